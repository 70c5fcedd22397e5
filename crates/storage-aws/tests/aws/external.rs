//! Messages of another program: `job_id, shop_id, index_name, operation, s3_bucket, s3_key`.

use super::{MONTH, sqs, table::Model};
use host_core::{
    clock::SharedClock,
    model::{JobId, JobStatus},
    storage::{Chunks, Jobs, Queue, Storage, UNREADABLE_VISIBILITY},
};
use host_storage_aws::{
    Key, Names, OpenBucket, Outgoing, QueueService, QueueSpec, Table, Update, external_queue_on, jobs_on,
};
use host_testing::{
    VirtualClock,
    build::{MINUTE, complete, processed},
    storage::Memory,
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

const QUEUE: &str = "test-ecom-indexer-shop.fifo";
const OURS: &str = "test-ecom-product-data-bucket";

struct Harness {
    clock: SharedClock,
    table: Arc<Model>,
    service: Arc<sqs::Model>,
    queue: Arc<dyn Queue>,
    jobs: Arc<dyn Jobs>,
    buckets: OpenBucket,
}

impl Harness {
    async fn new() -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        let table = Arc::new(Model::default());
        let service = Arc::new(sqs::Model::new(clock.clone()));
        for (name, dead) in [
            ("test-ecom-indexer-shop-dlq.fifo", None),
            (QUEUE, Some("test-ecom-indexer-shop-dlq.fifo".to_owned())),
        ] {
            let spec = QueueSpec { name: name.to_owned(), shop_id: "shop".to_owned(), dead_letters: dead };
            service.create(&spec).await.unwrap();
        }
        let opened: Mutex<BTreeMap<String, Arc<dyn Chunks>>> = Mutex::default();
        let of = clock.clone();
        let buckets: OpenBucket = Arc::new(move |name| {
            let mut opened = opened.lock().unwrap();
            opened.entry(name.to_owned()).or_insert_with(|| Memory::new(of.clone()).stores().chunks).clone()
        });
        let queue = external_queue_on(
            service.clone(),
            table.clone(),
            buckets.clone(),
            Names::new("test", None),
            clock.clone(),
            MONTH,
            vec!["allowed".to_owned()],
        );
        let jobs = jobs_on(table.clone(), clock.clone(), MONTH);
        Self { clock, table, service, queue, jobs, buckets }
    }

    /// Publishes a chunk of so many documents as another program does (docs/compatibility.md).
    async fn publish(&self, job: &str, number: u32, documents: u32, bucket: &str) -> String {
        let key = format!("shopify/shop/bulk/{job}/chunk_{number:04}.jsonl");
        let text: String = (0..documents).map(|at| format!("{{\"_id\":\"{number}-{at}\"}}\n")).collect();
        (self.buckets)(bucket).put_if_absent(&key, text.as_bytes()).await.unwrap();
        let body = json!({
            "job_id": job,
            "shop_id": "shop",
            "index_name": "shopify-shop",
            "operation": "ADD_DOCUMENTS",
            "s3_bucket": bucket,
            "s3_key": key,
        })
        .to_string();
        let message = Outgoing { deduplication_id: body.clone(), group: "shop".to_owned(), body };
        assert!(self.service.send(QUEUE, &message).await.unwrap());
        key
    }

    /// Works the next message as a worker does: a chunk whose items are all processed.
    async fn work(&self) -> Option<(JobId, u32)> {
        let delivery = self.queue.receive("shop", 1, MINUTE).await.unwrap().pop()?;
        let chunk = &delivery.chunk;
        let bytes = (self.buckets)(OURS).get(&chunk.key, Some(chunk.sha256)).await.unwrap().unwrap();
        assert_eq!(bytes.len() as u64, chunk.bytes);
        complete(&*self.jobs, &chunk.job_id, chunk.seq, &processed(chunk.documents.into())).await;
        assert!(self.queue.ack(&delivery.receipt).await.unwrap());
        Some((chunk.job_id.clone(), chunk.seq))
    }

    async fn state(&self, id: &str) -> (JobStatus, u64, u32) {
        let job = self.jobs.get(&JobId::new(id).unwrap()).await.unwrap().unwrap();
        (job.status, job.counts.processed, job.completed_chunks)
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_record_makes_the_job_of_its_object() {
    let harness = Harness::new().await;
    harness.publish("a", 0, 3, OURS).await;
    // Delivered and lost: the second delivery is of the same job and chunk.
    let first = harness.queue.receive("shop", 1, MINUTE).await.unwrap().remove(0);
    assert_eq!((first.chunk.documents, first.shop_id.as_str()), (3, "shop"));
    let job = harness.jobs.get(&first.chunk.job_id).await.unwrap().unwrap();
    assert_eq!((job.seal.unwrap().total_items, job.status), (3, JobStatus::Pending));
    harness.clock.sleep(MINUTE).await;
    assert_eq!(harness.work().await.unwrap(), (JobId::new("a").unwrap(), 0));
    assert_eq!(harness.state("a").await, (JobStatus::Completed, 3, 1));
    // The job is over: what comes for it later is counted in a job of its own, not lost.
    harness.publish("a", 1, 2, OURS).await;
    let (later, seq) = harness.work().await.unwrap();
    assert_eq!((later.as_str().starts_with("a."), seq), (true, 0));
    assert_eq!(harness.state(later.as_str()).await, (JobStatus::Completed, 2, 1));
    assert_eq!(harness.state("a").await, (JobStatus::Completed, 3, 1));
    assert_eq!(harness.queue.depth("shop").await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_record_that_the_producer_has_made_is_the_job() {
    let harness = Harness::new().await;
    let key = Key::new("PLATFORM#shopify#SHOP#shop", "JOB#2026-01-01T00:00:00Z#b");
    let record =
        Update::new(key.clone()).set("job_id", "b").set("status", "PENDING").set("total_items", 6u32);
    harness.table.update(&record).await.unwrap();
    for number in 0..3 {
        harness.publish("b", number, 2, OURS).await;
    }
    for seq in 0..3 {
        assert_eq!(harness.work().await.unwrap(), (JobId::new("b").unwrap(), seq));
        let status = if seq < 2 { JobStatus::InProgress } else { JobStatus::Completed };
        assert_eq!(harness.state("b").await.0, status, "after chunk {seq}");
    }
    let record = harness.table.get(&key).await.unwrap().unwrap();
    assert_eq!((record.text("status"), record.number("total_items")), (Some("COMPLETED"), Some(6)));
    let records = harness.table.query("PLATFORM#shopify#SHOP#shop", "JOB#", false, None).await.unwrap();
    assert_eq!(records.len(), 1, "the job has a second record: {records:?}");
}

#[tokio::test(start_paused = true)]
async fn objects_come_from_allowed_buckets_alone() {
    let harness = Harness::new().await;
    let key = harness.publish("c", 0, 1, "theirs").await;
    assert!(harness.work().await.is_none());
    let named = harness.queue.unreadable("shop").await.unwrap();
    assert_eq!(named.len(), 1);
    assert!(
        named[0].message.contains("bucket theirs") && named[0].message.contains("aws.source_buckets"),
        "{named:?}"
    );
    assert_eq!(harness.queue.depth("shop").await.unwrap(), 1);
    assert_eq!(harness.jobs.get(&JobId::new("c").unwrap()).await.unwrap(), None);
    assert_eq!((harness.buckets)(OURS).get(&key, None).await.unwrap(), None);

    let harness = Harness::new().await;
    harness.publish("d", 0, 4, "allowed").await;
    harness.work().await.unwrap();
    assert_eq!(harness.state("d").await, (JobStatus::Completed, 4, 1));
    // An object that is not there yet is waited for.
    let harness = Harness::new().await;
    harness.publish("e", 0, 1, OURS).await;
    (harness.buckets)(OURS).delete("shopify/shop/bulk/e/chunk_0000.jsonl").await.unwrap();
    assert!(harness.work().await.is_none());
    (harness.buckets)(OURS).put("shopify/shop/bulk/e/chunk_0000.jsonl", b"{}\n").await.unwrap();
    harness.clock.sleep(UNREADABLE_VISIBILITY).await;
    harness.work().await.unwrap();
}
