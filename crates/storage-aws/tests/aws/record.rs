//! What a job's record shows, the item that the `aws dynamodb query` of docs/aws.md finds, while the job runs and at
//! its end.

use super::{MONTH, table::Model};
use host_core::{
    clock::SharedClock,
    model::{Counts, EntryClass, Job},
    storage::{AttemptError, ChunkOutcome, Jobs},
};
use host_storage_aws::{Item, Table, jobs_on};
use host_testing::{
    VirtualClock,
    build::{chunk, complete, entry, job, processed, seal},
};
use serde_json::Value;
use std::sync::Arc;

struct Harness {
    clock: SharedClock,
    table: Arc<Model>,
    jobs: Arc<dyn Jobs>,
    job: Job,
}

impl Harness {
    async fn new(chunks: u32) -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        let table = Arc::new(Model::default());
        let jobs = jobs_on(table.clone(), clock.clone(), MONTH);
        let job = Job { created_at: clock.now(), ..job(&VirtualClock::new(1), "shop") };
        jobs.create(&job).await.unwrap();
        for seq in 0..chunks {
            jobs.add_chunk(&chunk(&job.id, seq, 0)).await.unwrap();
        }
        Self { clock, table, jobs, job }
    }

    async fn record(&self) -> Item {
        let found = self.table.query("PLATFORM#shopify#SHOP#shop", "JOB#", false, None).await.unwrap();
        found.into_iter().next().unwrap()
    }

    async fn complete(&self, seq: u32, outcome: &ChunkOutcome) {
        complete(&*self.jobs, &self.job.id, seq, outcome).await;
    }
}

fn numbers<const N: usize>(record: &Item, names: [&str; N]) -> [Option<i64>; N] {
    names.map(|name| record.number(name))
}

fn details(record: &Item, name: &str) -> Vec<Value> {
    serde_json::from_str(record.text(name).unwrap_or("[]")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_record_tells_how_far_a_job_is() {
    let harness = Harness::new(3).await;
    let outcome = ChunkOutcome {
        counts: Counts { processed: 7, skipped: 1, conflict: 2, ..Counts::default() },
        samples: vec![
            entry(EntryClass::Skipped, "no id"),
            entry(EntryClass::Conflict, "older"),
            entry(EntryClass::Conflict, "older too"),
        ],
        ..processed(0)
    };
    // A chunk is counted while ingest still publishes others.
    harness.complete(1, &outcome).await;
    let record = harness.record().await;
    assert_eq!(record.text("status"), Some("IN_PROGRESS"));
    let names = ["total_items", "processed", "skipped", "conflict", "failed", "completed"];
    assert_eq!(numbers(&record, names), [30, 7, 1, 2, 0, 1].map(Some));
    assert_eq!(record.numbers("completed_chunks").iter().copied().collect::<Vec<_>>(), [1]);
    assert_eq!(details(&record, "conflict_details").len(), 2);
    assert_eq!(details(&record, "skipped_items_details")[0]["message"], "no id");

    // What ingest refused counts from the seal on.
    let mut sealed = seal(3);
    sealed.total_items = 31;
    sealed.ingest_counts = Counts { failed: 1, ..Counts::default() };
    sealed.samples = vec![entry(EntryClass::Failed, "the plug-in refused it")];
    harness.jobs.seal(&harness.job.id, &sealed).await.unwrap();
    harness.complete(0, &processed(10)).await;
    let record = harness.record().await;
    assert_eq!(numbers(&record, names), [31, 17, 1, 2, 1, 2].map(Some));
    assert_eq!(record.numbers("completed_chunks").len(), 2);
    harness.complete(2, &processed(10)).await;
    let record = harness.record().await;
    assert_eq!(record.text("status"), Some("FAILED"));
    assert_eq!(numbers(&record, names), [31, 27, 1, 2, 1, 3].map(Some));
    let message = record.text("error_message").unwrap();
    assert_eq!(message, "1 item failed, the first because: the plug-in refused it");
    // The message repeats a sample: the host itself knows no reason why the job was ended early.
    assert_eq!(harness.jobs.get(&harness.job.id).await.unwrap().unwrap().error_message, None);
}

#[tokio::test(start_paused = true)]
async fn the_last_error_is_shown_until_the_job_has_recovered() {
    let harness = Harness::new(1).await;
    harness.jobs.seal(&harness.job.id, &seal(1)).await.unwrap();
    let error = AttemptError {
        code: "index-unavailable".to_owned(),
        message: "writing failed".to_owned(),
        causes: vec!["connection refused".to_owned()],
        attempt: 1,
        at: harness.clock.now(),
        max_attempts: None,
        retry_at: None,
    };
    harness.jobs.record_error(&harness.job.id, &error).await.unwrap();
    let record = harness.record().await;
    assert_eq!(record.text("error_message"), Some("writing failed: connection refused"));
    assert_eq!(record.text("error_code"), Some("index-unavailable"));
    harness.complete(0, &processed(10)).await;
    let record = harness.record().await;
    assert_eq!((record.text("status"), record.text("error_message")), (Some("COMPLETED"), None));

    // What a person has said stays.
    let harness = Harness::new(1).await;
    harness.jobs.seal(&harness.job.id, &seal(1)).await.unwrap();
    harness.jobs.record_error(&harness.job.id, &error).await.unwrap();
    harness.jobs.cancel(&harness.job.id, "cancelled").await.unwrap();
    harness.jobs.record_error(&harness.job.id, &error).await.unwrap();
    let snapshot = harness.jobs.get(&harness.job.id).await.unwrap().unwrap();
    assert_eq!((snapshot.error_message.as_deref(), snapshot.last_error), (Some("cancelled"), Some(error)));
    harness.complete(0, &processed(10)).await;
    assert_eq!(harness.record().await.text("error_message"), Some("cancelled"));
}

#[tokio::test(start_paused = true)]
async fn the_record_of_a_large_job_stays_small() {
    // Of 500 counted chunks, the record lists those among the first 250: all but chunk 3.
    let harness = Harness::new(600).await;
    for seq in (0..501).filter(|seq| *seq != 3) {
        let samples = vec![entry(EntryClass::Conflict, "older".repeat(20))];
        harness.complete(seq, &ChunkOutcome { samples, ..processed(10) }).await;
    }
    let record = harness.record().await;
    assert_eq!(numbers(&record, ["completed", "processed", "total_items"]), [500, 5_000, 6_000].map(Some));
    assert_eq!(record.numbers("completed_chunks").len(), 249);
    assert_eq!(details(&record, "conflict_details").len(), 20);
    assert!(record.size() < 12 << 10, "each write costs {} bytes", record.size());
}

#[tokio::test(start_paused = true)]
async fn the_record_no_longer_counts_a_redriven_chunk() {
    let harness = Harness::new(2).await;
    harness.complete(0, &super::redrive::quarantined()).await;
    let failed = harness.record().await.number("failed");
    assert!(failed > Some(0));
    harness.jobs.redrive(&harness.job.id, 0, 0).await.unwrap();
    let record = harness.record().await;
    assert_eq!(numbers(&record, ["failed", "completed"]), [0, 0].map(Some));
    assert!(record.numbers("completed_chunks").is_empty());
}
