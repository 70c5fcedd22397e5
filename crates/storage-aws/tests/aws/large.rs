//! A job of 100,000 chunks: no item grows with it, and no step costs more for it.

use super::{MONTH, table::Model};
use host_core::model::{EntryClass, JobStatus};
use host_storage_aws::jobs_on;
use host_testing::{
    VirtualClock,
    build::{chunk, claim, complete, entry, job, processed, seal},
};
use std::sync::Arc;

const CHUNKS: u32 = 100_000;

#[tokio::test]
async fn a_job_of_a_hundred_thousand_chunks_costs_no_more_a_chunk() {
    let table = Arc::new(Model::default());
    let jobs = jobs_on(table.clone(), Arc::new(VirtualClock::new(1)), MONTH);
    let job = job(&VirtualClock::new(1), "shop");
    jobs.create(&job).await.unwrap();
    for seq in 0..CHUNKS {
        jobs.add_chunk(&chunk(&job.id, seq, 0)).await.unwrap();
    }
    jobs.seal(&job.id, &seal(CHUNKS)).await.unwrap();
    let mut outcome = processed(10);
    outcome.counts.conflict = 1;
    outcome.report = Some("shopify/example.myshopify.com/bulk/job/report_0000.ndjson".to_owned());
    outcome.samples = (0..20).map(|n| entry(EntryClass::Conflict, format!("item {n}"))).collect();
    let mut most_expensive = [(0, 0); 2];
    let mut last = None;
    for seq in 0..CHUNKS {
        let before = table.spent();
        let lease = claim(&*jobs, &job.id, seq).await;
        assert!(jobs.complete(&lease, &outcome).await.unwrap().is_counted());
        last = Some(lease);
        let after = table.spent();
        // The last chunk costs more, because it adds up the whole job, once.
        if seq + 1 < CHUNKS {
            let cost = (after.write_units - before.write_units, after.read_units - before.read_units);
            let most_expensive = &mut most_expensive[usize::from(seq >= CHUNKS / 2)];
            *most_expensive = (most_expensive.0.max(cost.0), most_expensive.1.max(cost.1));
        }
    }
    let ended = jobs.get(&job.id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.completed_chunks), (JobStatus::Conflict, CHUNKS));
    // A late repetition does not end it again.
    assert!(jobs.complete(&last.unwrap(), &outcome).await.unwrap().is_counted());
    jobs.seal(&job.id, &seal(CHUNKS)).await.unwrap();
    assert_eq!(table.times_set("ended_at"), 1, "the end is written once");
    assert_eq!((ended.counts.processed, ended.counts.conflict), (1_000_000, 100_000));
    assert_eq!(ended.samples.len(), 20);
    let [first, second] = most_expensive;
    assert!(second.0 <= first.0 + 1 && second.1 <= first.1 + 1, "{most_expensive:?}");
    assert!(second.0 <= 40 && second.1 <= 10, "write and read units of a chunk: {most_expensive:?}");
    println!(
        "most expensive chunk of each half: {most_expensive:?}; largest item: {} bytes",
        table.spent().largest_item
    );
}

#[tokio::test]
async fn long_texts_do_not_make_large_items() {
    let table = Arc::new(Model::default());
    let jobs = jobs_on(table.clone(), Arc::new(VirtualClock::new(1)), MONTH);
    let job = job(&VirtualClock::new(1), "shop");
    jobs.create(&job).await.unwrap();
    jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
    let mut outcome = processed(1);
    outcome.samples = (0..20).map(|_| entry(EntryClass::Failed, "ü".repeat(5_000))).collect();
    outcome.quarantined = Some(host_core::storage::QuarantineReason::new("lost-input", "ü".repeat(100_000)));
    complete(&*jobs, &job.id, 0, &outcome).await;
    let mut sealed = seal(1);
    sealed.reports =
        (0..5_000).map(|n| format!("shopify/shop/bulk/job/report_ingest_{n:04}.ndjson")).collect();
    sealed.samples = (0..20).map(|_| entry(EntryClass::Skipped, "ü".repeat(5_000))).collect();
    jobs.seal(&job.id, &sealed).await.unwrap();
    let ended = jobs.get(&job.id).await.unwrap().unwrap();
    assert_eq!(ended.seal, Some(sealed));
    let failed = ended.samples.iter().filter(|entry| entry.class == EntryClass::Failed);
    assert_eq!(failed.count(), 4, "as many as fit into a row");
}
