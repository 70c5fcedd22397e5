//! Batches of messages that the Lambda service passes to the function: a message that cannot be handled holds its SQS
//! message group back, and no other.

use super::sqs;
use aws_lambda_events::sqs::SqsMessage;
use host_core::{clock::SharedClock, storage::UNREADABLE_VISIBILITY};
use host_storage_aws::{
    EventBatch, Incoming, Names, Outgoing, QueueService, QueueSpec, ReceiveRequest, event_queues_on, queue_on,
};
use host_testing::{
    VirtualClock,
    build::{chunk, job},
};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

const QUEUE: &str = "test-ecom-indexer-shop.fifo";
/// The visibility timeout of the queues, with which the Lambda service receives: 16 minutes, because a function may run
/// for 15.
pub(crate) const QUEUE_VISIBILITY: Duration = Duration::from_secs(960);

/// The records of an event. A message that is not of a chunk gets the group of the lane `foreign`.
pub(crate) fn records(received: &[Incoming], queue: &str, foreign: u64) -> Vec<SqsMessage> {
    let record = |Incoming { body, handle, receive_count, .. }: &Incoming| {
        let value: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let lane = value["lane"].as_u64().unwrap_or(foreign);
        let id = value["seq"].as_u64().map_or("unreadable".to_owned(), |seq| seq.to_string());
        let record = serde_json::json!({
            "messageId": id,
            "receiptHandle": handle,
            "body": body,
            "attributes": {
                "ApproximateReceiveCount": receive_count.to_string(),
                "MessageGroupId": format!("shop#{lane}"),
            },
            "eventSourceARN": format!("arn:aws:sqs:eu-central-1:123456789012:{queue}"),
        });
        serde_json::from_value(record).unwrap()
    };
    received.iter().map(record).collect()
}

struct Harness {
    clock: SharedClock,
    service: Arc<sqs::Model>,
}

impl Harness {
    async fn new() -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        let service = Arc::new(sqs::Model::new(clock.clone()));
        let create = |name: &str, dead_letters| QueueSpec {
            name: name.to_owned(),
            shop_id: "shop".to_owned(),
            dead_letters,
        };
        let dead_letters = "test-ecom-indexer-shop-dlq.fifo".to_owned();
        service.create(&create(&dead_letters, None)).await.unwrap();
        service.create(&create(QUEUE, Some(dead_letters))).await.unwrap();
        Self { clock, service }
    }

    async fn send(&self, seq: u32, lane: u16) {
        let job = job(&VirtualClock::new(1), "shop");
        let queue = queue_on(self.service.clone(), Names::new("test", None), self.clock.clone());
        queue.send(&job, &chunk(&job.id, seq, lane), 0).await.unwrap();
    }

    async fn send_raw(&self, group: &str, body: &str) {
        let message =
            Outgoing { body: body.to_owned(), group: group.to_owned(), deduplication_id: body.to_owned() };
        assert!(self.service.send(QUEUE, &message).await.unwrap());
    }

    async fn receive(&self) -> Vec<Incoming> {
        let request = ReceiveRequest {
            max: 10,
            visibility: QUEUE_VISIBILITY,
            wait_time: Duration::ZERO,
            attempt_id: String::new(),
        };
        self.service.receive(QUEUE, &request).await.unwrap().unwrap()
    }

    async fn event(&self, received: Vec<Incoming>) -> EventBatch {
        let queues = event_queues_on(self.service.clone(), Names::new("test", None), self.clock.clone());
        queues.deliveries_of_event(&records(&received, QUEUE, 0), "http://localhost:1").await
    }
}

fn ids(batch: &EventBatch) -> Vec<&str> {
    batch.deliveries.iter().map(|(id, _)| id.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_record_holds_its_group_back_and_no_other() {
    let harness = Harness::new().await;
    harness.send(0, 0).await;
    harness.send_raw("shop#0", "another program's").await;
    harness.send(1, 0).await;
    harness.send(2, 1).await;
    harness.send(3, 0).await;
    let batch = harness.event(harness.receive().await).await;
    assert_eq!(
        (ids(&batch), batch.held.clone()),
        (vec!["0", "2"], vec!["unreadable".into(), "1".into(), "3".into()])
    );
    for (_, delivery) in &batch.deliveries {
        assert!(harness.service.delete(QUEUE, &delivery.receipt.0).await.unwrap());
    }
    // The group is redelivered as a whole and in order, when the unreadable message is.
    assert!(harness.receive().await.is_empty());
    harness.clock.sleep(UNREADABLE_VISIBILITY).await;
    let again = harness.receive().await;
    let bodies: Vec<&str> = again.iter().map(|incoming| incoming.body.as_str()).collect();
    assert_eq!((again.len(), bodies[0]), (3, "another program's"));
}

#[tokio::test(start_paused = true)]
async fn a_batch_needs_no_call_for_the_address_of_its_queue() {
    let harness = Harness::new().await;
    harness.send(0, 0).await;
    harness.send(1, 0).await;
    harness.service.is_throttled.store(true, Relaxed);
    let batch = harness.event(harness.receive().await).await;
    assert_eq!((ids(&batch), batch.held.clone()), (vec!["0", "1"], Vec::<String>::new()));
    // If the note about an unreadable message cannot be sent, the message is held back all the same.
    harness.send_raw("shop#0", "another program's").await;
    for (_, delivery) in &batch.deliveries {
        assert!(harness.service.delete(QUEUE, &delivery.receipt.0).await.unwrap());
    }
    assert_eq!(harness.event(harness.receive().await).await.held, ["unreadable"]);
}
