//! A job of 100,000 chunks: no item grows with it, and no step costs more for it.

use super::{MONTH, table::Model};
use crate::{
    clock::Clock,
    embedded::embedded,
    make::{chunk, claim, complete, entry, processed, seal},
};
use host_core::model::{Class, JobStatus};
use host_storage_aws::jobs_on;
use std::sync::Arc;

const CHUNKS: u32 = 100_000;

#[tokio::test]
async fn a_job_of_a_hundred_thousand_chunks_costs_no_more_a_chunk() {
    let table = Arc::new(Model::default());
    let jobs = jobs_on(table.clone(), Arc::new(Clock::new(1)), MONTH);
    let job = embedded().job("shop");
    jobs.create(&job).await.unwrap();
    for seq in 0..CHUNKS {
        jobs.add_chunk(&chunk(&job.id, seq, 0)).await.unwrap();
    }
    jobs.seal(&job.id, &seal(CHUNKS)).await.unwrap();
    let mut outcome = processed(10);
    outcome.counts.conflict = 1;
    outcome.report = Some("shopify/example.myshopify.com/bulk/job/report_0000.ndjson".to_owned());
    outcome.samples = (0..20).map(|n| entry(Class::Conflict, format!("item {n}"))).collect();
    let mut dearest = [(0, 0); 2];
    for seq in 0..CHUNKS {
        let before = table.spent();
        complete(&*jobs, &job.id, seq, &outcome).await;
        let after = table.spent();
        // The very last one adds up the whole job, once.
        if seq + 1 < CHUNKS {
            let cost = (after.write_units - before.write_units, after.read_units - before.read_units);
            let dearest = &mut dearest[usize::from(seq >= CHUNKS / 2)];
            *dearest = (dearest.0.max(cost.0), dearest.1.max(cost.1));
        }
    }
    let ended = jobs.get(&job.id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.completed_chunks), (JobStatus::Conflict, CHUNKS));
    // A late repetition of the last step does not end it again.
    jobs.count(&job.id, CHUNKS - 1).await.unwrap();
    jobs.seal(&job.id, &seal(CHUNKS)).await.unwrap();
    assert_eq!(table.times_set("ended_at"), 1, "the end is noted once");
    assert_eq!((ended.counts.processed, ended.counts.conflict), (1_000_000, 100_000));
    assert_eq!(ended.samples.len(), 20);
    assert!(dearest[1].0 <= dearest[0].0 + 1 && dearest[1].1 <= dearest[0].1 + 1, "{dearest:?}");
    assert!(dearest[1].0 <= 40 && dearest[1].1 <= 10, "write and read units of a chunk: {dearest:?}");
    println!("dearest chunk of each half: {dearest:?}; largest item: {} bytes", table.spent().largest_item);
}

#[tokio::test]
async fn long_texts_do_not_make_large_items() {
    let table = Arc::new(Model::default());
    let jobs = jobs_on(table.clone(), Arc::new(Clock::new(1)), MONTH);
    let job = embedded().job("shop");
    jobs.create(&job).await.unwrap();
    jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
    let mut outcome = processed(1);
    outcome.samples = (0..20).map(|_| entry(Class::Failed, "ü".repeat(5_000))).collect();
    outcome.quarantined = Some(host_core::storage::GivenUp::new("lost-input", "ü".repeat(100_000)));
    let fence = claim(&*jobs, &job.id, 0).await;
    assert!(jobs.settle(&job.id, 0, fence, &outcome).await.unwrap());
    jobs.count(&job.id, 0).await.unwrap();
    jobs.finish(&job.id, 0).await.unwrap();
    let mut sealed = seal(1);
    sealed.reports =
        (0..5_000).map(|n| format!("shopify/shop/bulk/job/report_ingest_{n:04}.ndjson")).collect();
    sealed.samples = (0..20).map(|_| entry(Class::Skipped, "ü".repeat(5_000))).collect();
    jobs.seal(&job.id, &sealed).await.unwrap();
    let ended = jobs.get(&job.id).await.unwrap().unwrap();
    assert_eq!(ended.seal, Some(sealed));
    let failed = ended.samples.iter().filter(|entry| entry.class == Class::Failed);
    assert_eq!(failed.count(), 4, "as many as fit into a row");
}
