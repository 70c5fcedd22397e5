//! Handles a batch of messages that the Lambda service has received from a queue and passes to the function as an
//! event.

use super::{
    Incoming, Queues,
    incoming::{Received, Undelivered},
};
use aws_lambda_events::sqs::SqsMessage;
use host_core::storage::Delivery;
use std::{collections::HashMap, time::Duration};

/// What an event contains.
#[derive(Debug, Default)]
pub struct EventBatch {
    /// The messages that can be handled, each with its id, in the order of their groups.
    pub deliveries: Vec<(String, Delivery)>,
    /// Ids of the messages that cannot be handled, and of all that follow one of them in its SQS message group: they
    /// are redelivered together.
    pub held: Vec<String>,
}

impl Queues {
    /// The deliveries of an event. `endpoint` is the URL of a stand-in for AWS; none for AWS itself.
    pub(crate) async fn deliveries_of_event(
        &self,
        records: &[SqsMessage],
        endpoint: Option<&str>,
        visibility: Duration,
    ) -> EventBatch {
        let mut batch = EventBatch::default();
        // By queue and group: the delay of a message that was left, and so of all that follow it in its group.
        let mut groups: HashMap<(String, String), Duration> = HashMap::new();
        for record in records {
            let id = record.message_id.clone().unwrap_or_default();
            let arn = record.event_source_arn.clone().unwrap_or_default();
            let group = record.attributes.get("MessageGroupId").cloned().unwrap_or_default();
            let Some((queue, url)) = queue_of(&arn, endpoint) else {
                tracing::warn!(arn, "a record names no queue");
                batch.held.push(id);
                continue;
            };
            self.remember(&queue, &url);
            let count = record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok());
            let incoming = Incoming {
                body: record.body.clone().unwrap_or_default(),
                handle: record.receipt_handle.clone().unwrap_or_default(),
                receive_count: count.unwrap_or(1),
                group: group.clone(),
            };
            if let Some(delay) = groups.get(&(arn.clone(), group.clone())) {
                // No message of a group is delivered while one of it is in flight.
                self.leave(&url, &incoming.handle, *delay).await;
                batch.held.push(id);
                continue;
            }
            let received = Received { queue: &queue, url: &url, incoming, at: self.clock.now() };
            match self.deliver(received, visibility).await {
                Ok(delivery) => batch.deliveries.push((id, delivery)),
                Err(Undelivered::DeadLettered) => {}
                Err(Undelivered::Left { incoming, delay }) => {
                    self.leave(&url, &incoming.handle, delay).await;
                    groups.insert((arn, group), delay);
                    batch.held.push(id);
                }
            }
        }
        batch
    }
}

/// Name and URL of the queue with this ARN: `arn:aws:sqs:{region}:{account}:{name}`.
fn queue_of(arn: &str, endpoint: Option<&str>) -> Option<(String, String)> {
    let mut parts = arn.split(':');
    let (_, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (region, account, name) = (parts.next()?, parts.next()?, parts.next()?);
    if service != "sqs" || name.is_empty() || parts.next().is_some() {
        return None;
    }
    let suffix = if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    let url = match endpoint {
        Some(endpoint) => format!("{}/{account}/{name}", endpoint.trim_end_matches('/')),
        None => format!("https://sqs.{region}.{suffix}/{account}/{name}"),
    };
    Some((name.to_owned(), url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_queue_comes_from_its_arn() {
        let arn = "arn:aws:sqs:eu-central-1:123456789012:dev-ecom-indexer-shop.fifo";
        let (name, url) = queue_of(arn, None).unwrap();
        assert_eq!(name, "dev-ecom-indexer-shop.fifo");
        assert_eq!(url, "https://sqs.eu-central-1.amazonaws.com/123456789012/dev-ecom-indexer-shop.fifo");
        let (_, url) = queue_of(arn, Some("http://127.0.0.1:4566/")).unwrap();
        assert_eq!(url, "http://127.0.0.1:4566/123456789012/dev-ecom-indexer-shop.fifo");
        let (_, url) = queue_of("arn:aws-cn:sqs:cn-north-1:1:q", None).unwrap();
        assert_eq!(url, "https://sqs.cn-north-1.amazonaws.com.cn/1/q");
        for other in ["", "q", "arn:aws:sns:eu-central-1:1:q", "arn:aws:sqs:eu-central-1:1:"] {
            assert_eq!(queue_of(other, None), None, "{other}");
        }
    }
}
