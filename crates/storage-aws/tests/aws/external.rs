//! Messages of another program: `job_id, shop_id, index_name, operation, s3_bucket, s3_key`.

use super::{
    MONTH,
    intercepted::{InterceptedTable, TableCall, TableInterceptor},
    sqs,
    table::Model,
};
use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    model::{JobId, JobStatus},
    storage::{Chunks, Jobs, Queue, Storage, StoreError, Stores},
};
use host_pipeline::worker::{DeadLetterFilter, redrive};
use host_storage_aws::{
    ForeignBucket, ForeignObject, Key, Names, OpenBucket, Outgoing, QueueService, QueueSpec, Table,
    TableError, Update, external_queue_on, jobs_on, queue_on,
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

#[derive(Clone)]
struct Harness {
    clock: SharedClock,
    table: Arc<Model>,
    service: Arc<sqs::Model>,
    queue: Arc<dyn Queue>,
    jobs: Arc<dyn Jobs>,
    buckets: Buckets,
}

/// All buckets, by their names.
type Buckets = Arc<dyn Fn(&str) -> Arc<Bucket> + Send + Sync>;

/// A bucket of any program.
struct Bucket {
    chunks: Arc<dyn Chunks>,
    /// What it says instead of giving an object.
    answer: Mutex<Option<ForeignObject>>,
}

#[async_trait]
impl ForeignBucket for Bucket {
    async fn read(&self, key: &str, _: u64) -> Result<ForeignObject, StoreError> {
        if let Some(answer) = &*self.answer.lock().unwrap() {
            return Ok(answer.clone());
        }
        Ok(self.chunks.get(key, None).await?.map_or(ForeignObject::Missing, ForeignObject::Found))
    }
}

fn key(shop_id: &str, job: &str, number: u32) -> String {
    format!("shopify/{shop_id}/bulk/{job}/chunk_{number:04}.jsonl")
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
        let opened: Mutex<BTreeMap<String, Arc<Bucket>>> = Mutex::default();
        let of = clock.clone();
        let open = move |name: &str| {
            let (mut opened, chunks) = (opened.lock().unwrap(), Memory::new(of.clone()).stores().chunks);
            let bucket = || Arc::new(Bucket { chunks, answer: Mutex::default() });
            opened.entry(name.to_owned()).or_insert_with(bucket).clone()
        };
        let jobs = jobs_on(table.clone(), clock.clone(), MONTH);
        // Replaced by one that accepts chunks of other programs.
        let queue = queue_on(service.clone(), Names::new("test", None), clock.clone());
        let harness = Self { clock, table, service, queue, jobs, buckets: Arc::new(open) };
        Self { queue: harness.queue_on(harness.table.clone(), &["allowed"]), ..harness }
    }

    fn queue_on(&self, table: Arc<dyn Table>, allowed: &[&str]) -> Arc<dyn Queue> {
        let buckets = self.buckets.clone();
        let open: OpenBucket = Arc::new(move |name| buckets(name));
        let chunks = (self.buckets)(OURS).chunks.clone();
        let allowed = allowed.iter().map(|name| (*name).to_owned()).collect();
        let (service, clock) = (self.service.clone(), self.clock.clone());
        external_queue_on(service, table, chunks, open, Names::new("test", None), clock, MONTH, allowed)
    }

    fn stores(&self) -> Stores {
        let memory = Memory::new(self.clock.clone()).stores();
        Stores { jobs: self.jobs.clone(), queue: self.queue.clone(), ..memory }
    }

    /// Publishes a chunk of so many documents as another program does (docs/compatibility.md).
    async fn publish(&self, job: &str, number: u32, documents: u32, bucket: &str) {
        self.publish_in("shop", job, number, documents, bucket).await;
    }

    async fn publish_in(&self, group: &str, job: &str, number: u32, documents: u32, bucket: &str) {
        let text: String = (0..documents).map(|at| format!("{{\"_id\":\"{number}-{at}\"}}\n")).collect();
        self.put_and_send(group, job, &key("shop", job, number), text.as_bytes(), bucket).await;
    }

    async fn put_and_send(&self, group: &str, job: &str, key: &str, bytes: &[u8], bucket: &str) {
        self.put_and_send_for("shop", group, job, key, bytes, bucket).await;
    }

    async fn put_and_send_for(
        &self,
        shop_id: &str,
        group: &str,
        job: &str,
        key: &str,
        bytes: &[u8],
        bucket: &str,
    ) {
        (self.buckets)(bucket).chunks.put_if_absent(key, bytes).await.unwrap();
        let body = json!({
            "job_id": job,
            "shop_id": shop_id,
            "index_name": "shopify-shop",
            "operation": "ADD_DOCUMENTS",
            "s3_bucket": bucket,
            "s3_key": key,
        })
        .to_string();
        let message = Outgoing { deduplication_id: body.clone(), group: group.to_owned(), body };
        assert!(self.service.send(QUEUE, &message).await.unwrap());
    }

    /// Works the next message as a worker does: a chunk whose items are all processed.
    async fn work(&self) -> Option<(JobId, u32)> {
        let delivery = self.queue.receive("shop", 1, MINUTE).await.unwrap().pop()?;
        let chunk = &delivery.chunk;
        let bytes = (self.buckets)(OURS).chunks.get(&chunk.key, Some(chunk.sha256)).await.unwrap().unwrap();
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

/// Fault of before: an object was counted with the items of another one whose message arrived at the same time, and the job ended too
/// early or never.
#[tokio::test(start_paused = true)]
async fn messages_of_several_groups_that_arrive_at_once_are_counted_with_their_own_items() {
    for (seed, has_record) in (0..200).flat_map(|seed| [(seed, true), (seed, false)]) {
        let harness = Harness::new().await;
        if has_record {
            let key = Key::new("PLATFORM#shopify#SHOP#shop", "JOB#2026-01-01T00:00:00Z#b");
            let record =
                Update::new(key).set("job_id", "b").set("status", "PENDING").set("total_items", 15u32);
            harness.table.update(&record).await.unwrap();
        }
        for number in 0..5 {
            harness.publish_in(&format!("group-{number}"), "b", number, number + 1, OURS).await;
        }
        let interleaved = Arc::new(Interleaved(Mutex::new(seed + 1)));
        let table = Arc::new(InterceptedTable(harness.table.clone(), interleaved));
        let workers = (0..3).map(|_| {
            let worker = Harness { queue: harness.queue_on(table.clone(), &["allowed"]), ..harness.clone() };
            async move {
                while worker.queue.depth("shop").await.unwrap() > 0 {
                    if worker.work().await.is_none() {
                        worker.clock.sleep(MINUTE).await;
                    }
                }
            }
        });
        futures::future::join_all(workers.collect::<Vec<_>>()).await;
        let jobs = harness.jobs.list(Some("shop"), 9).await.unwrap();
        assert!(jobs.iter().all(|job| job.status == JobStatus::Completed), "seed {seed}");
        let items: u64 = jobs.iter().map(|job| job.seal.as_ref().unwrap().total_items).sum();
        let processed: u64 = jobs.iter().map(|job| job.counts.processed).sum();
        assert_eq!((items, processed), (15, 15), "seed {seed}");
        assert!(!has_record || jobs.len() == 1, "seed {seed}");
    }
}

/// Has concurrent calls take turns at random.
struct Interleaved(Mutex<u64>);

impl TableInterceptor for Interleaved {
    async fn of_table<T: Send>(
        &self,
        _: TableCall<'_>,
        answer: impl Future<Output = Result<T, TableError>> + Send,
    ) -> Result<T, TableError> {
        let random = host_testing::next_random(&mut self.0.lock().unwrap());
        for _ in 0..random % 4 {
            tokio::task::yield_now().await;
        }
        answer.await
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_is_worked_in_the_folder_of_its_shop() {
    let harness = Harness::new().await;
    harness.publish("d", 0, 4, "allowed").await;
    harness.work().await.unwrap();
    assert_eq!(harness.state("d").await, (JobStatus::Completed, 4, 1));
    // Copied under its own key if that is in the folder, otherwise into the folder.
    assert!((harness.buckets)(OURS).chunks.get(&key("shop", "d", 0), None).await.unwrap().is_some());
    harness.put_and_send("group", "e", "exports/today.jsonl", b"{\"_id\":\"1\"}\n", "allowed").await;
    let delivery = harness.queue.receive("shop", 1, MINUTE).await.unwrap().remove(0);
    assert!(delivery.chunk.key.starts_with("shopify/shop/external/"), "{}", delivery.chunk.key);
    harness.clock.sleep(MINUTE).await;
    harness.work().await.unwrap();
    assert_eq!(harness.state("e").await, (JobStatus::Completed, 1, 1));
    assert_eq!((harness.buckets)(OURS).chunks.remove_shop("shop", true).await.unwrap(), 2);
}

/// Fault of before: it was left in the queue, its group behind it, until SQS moved it.
#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_worked_becomes_a_dead_letter_and_a_redrive_brings_it_back() {
    for (code, answer) in [
        ("object-missing", ForeignObject::Missing),
        ("object-refused", ForeignObject::Refused("AccessDenied".to_owned())),
        ("object-too-large", ForeignObject::TooLarge),
    ] {
        let harness = Harness::new().await;
        *(harness.buckets)("allowed").answer.lock().unwrap() = Some(answer);
        for number in 0..2 {
            harness.publish("c", number, 3, "allowed").await;
        }
        // It may come a little later.
        for _ in 0..2 {
            assert!(harness.work().await.is_none());
            assert!(harness.queue.dead_letters("shop").await.unwrap().is_empty());
            harness.clock.sleep(MINUTE).await;
        }
        for _ in 0..3 {
            assert!(harness.work().await.is_none());
            harness.clock.sleep(MINUTE).await;
        }
        let letters = harness.queue.dead_letters("shop").await.unwrap();
        let mut keys: Vec<&str> = letters.iter().map(|letter| letter.chunk.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, [key("shop", "c", 0), key("shop", "c", 1)]);
        assert!(letters.iter().all(|letter| letter.code == code && letter.receive_count == 3), "{letters:?}");
        assert!(letters[0].message.contains("s3://allowed/shopify/shop/"), "{letters:?}");
        assert_eq!(harness.queue.depth("shop").await.unwrap(), 0);
        assert!(harness.queue.unreadable("shop").await.unwrap().is_empty());
        assert_eq!(harness.jobs.get(&JobId::new("c").unwrap()).await.unwrap(), None);
        *(harness.buckets)("allowed").answer.lock().unwrap() = None;
        let stores = harness.stores();
        let redriven = redrive(&stores, &harness.clock, "shop", &DeadLetterFilter::default()).await.unwrap();
        assert_eq!(redriven.sent.len(), 2);
        assert!(harness.queue.dead_letters("shop").await.unwrap().is_empty());
        while harness.work().await.is_some() {}
        let jobs = harness.jobs.list(Some("shop"), 9).await.unwrap();
        assert_eq!(jobs.iter().map(|job| job.counts.processed).sum::<u64>(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_reads_nothing_of_other_shops_and_buckets() {
    let line = b"{\"_id\":\"1\"}\n";
    for (code, shop_id, key, bucket) in [
        ("bucket-not-allowed", "shop", key("shop", "c", 0), "theirs"),
        ("key-of-other-shop", "shop", key("other", "c", 0), OURS),
        ("key-of-other-shop", "shop", "exports/today.jsonl".to_owned(), OURS),
        ("queue-of-other-shop", "other", key("other", "c", 0), OURS),
    ] {
        let harness = Harness::new().await;
        harness.put_and_send_for(shop_id, "group", "c", &key, line, bucket).await;
        for _ in 0..3 {
            assert!(harness.work().await.is_none());
            harness.clock.sleep(MINUTE).await;
        }
        let letters = harness.queue.dead_letters("shop").await.unwrap();
        assert_eq!(letters.iter().map(|letter| letter.code.as_str()).collect::<Vec<_>>(), [code]);
        assert_eq!(harness.jobs.list(None, 9).await.unwrap(), []);
        if bucket != OURS {
            assert_eq!((harness.buckets)(OURS).chunks.get(&key, None).await.unwrap(), None);
            assert!(letters[0].message.contains("aws.source_buckets"), "{letters:?}");
        }
        // Once its bucket is allowed, AWS's own redrive brings it back as well, which sends its body as it is.
        let dead = "test-ecom-indexer-shop-dlq.fifo";
        let body = harness.service.bodies(dead).remove(0);
        let again = Outgoing { deduplication_id: "again".to_owned(), group: "again".to_owned(), body };
        assert!(harness.service.send(QUEUE, &again).await.unwrap());
        let allowed =
            Harness { queue: harness.queue_on(harness.table.clone(), &["theirs"]), ..harness.clone() };
        assert_eq!(allowed.work().await.is_some(), bucket == "theirs", "{code}");
    }
}
