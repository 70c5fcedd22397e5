//! From chunks to the index while nearly a third of all requests fail: two workers, their stores, write protection (the
//! comparison of versions before a write), and 20,000 items, many of which are versions of the same document.

use crate::storm;
use harness::{Harness, INDEX, SHOP};
use host_core::model::{Counts, JobStatus, Operation};
use marqo_stand_in::{Fault, FaultRule, Operation as Call};
use plan::{Chunk, ITEMS, Plan};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

mod harness;
mod plan;

/// The string, or nothing if the value is none.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Faults of which each add, read or delete request has one with a probability of 30%.
fn faults() -> Vec<FaultRule> {
    // Each fault is drawn for itself, so that all together are absent with a probability of 0.7.
    let probability = |faults: usize| 1.0 - 0.7_f64.powf(1.0 / faults as f64);
    let in_operation = |faults: Vec<Fault>, operation| {
        let probability = probability(faults.len());
        storm::rules(faults, probability, operation)
    };
    let more = [
        Fault::SchemaRaced,
        Fault::SchemaNotConverged,
        Fault::Gateway { status: 408 },
        Fault::Gateway { status: 504 },
    ];
    let items = [Fault::Item { status: 409, applied: false }, Fault::Media { url: None, reason: None }];
    in_operation(storm::of_writes().into_iter().chain(more).collect(), Call::Add)
        .chain(in_operation(storm::of_requests(), Call::GetMany))
        .chain(in_operation(storm::of_requests(), Call::Delete))
        .chain(storm::rules(storm::of_items().into_iter().chain(items).collect(), 0.003, Call::Add))
        .chain([FaultRule::new(Fault::Hang).probability(0.003)])
        .collect()
}

#[tokio::test]
async fn of_20_000_items_none_is_lost_while_a_third_of_all_requests_fails() {
    let seed = std::env::var("HOST_TEST_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("HOST_TEST_SEED={seed}");
    let plan = Plan::new(seed);
    let harness = Harness::new(seed, faults()).await;
    let id = harness.publish(&plan.chunks).await;
    let job = harness
        .run(&harness.workers, &id)
        .await
        .unwrap_or_else(|stop| panic!("{}", host_core::error::chain(&stop)));

    // Only those items fail that must: those that the validator refuses, and those with an array of numbers, which no
    // Marqo server accepts.
    let must_fail =
        |entry: &Value| entry["code"] == "bad-title" || text(&entry["message"]).contains("Unsupported type");
    let failed = harness.report(&id).await.into_iter().filter(|entry| entry["class"] == "failed");
    let wrongly_failed: Vec<Value> = failed.filter(|entry| !must_fail(entry)).collect();
    assert!(wrongly_failed.is_empty(), "{wrongly_failed:#?}");

    // Each item is counted exactly once, in its class.
    assert_eq!((job.status, job.counts), (JobStatus::Failed, plan.counts));
    assert_eq!((job.counts.total(), job.completed_chunks as usize), (ITEMS as u64, plan.chunks.len()));
    assert_eq!(harness.stores.queue.depth(SHOP).await.unwrap(), 0);
    assert!(harness.stores.queue.dead_letters(SHOP).await.unwrap().is_empty());

    // The server holds what must be there in the end, and nothing else.
    let held: BTreeMap<String, (u64, String)> = harness
        .server
        .documents(INDEX)
        .into_iter()
        .map(|(id, document)| {
            let text = document.sent["title"].as_str().unwrap().to_owned();
            (id, (document.sent["v"].as_u64().unwrap(), text))
        })
        .collect();
    let expected: BTreeMap<String, (u64, String)> =
        plan.held.iter().map(|(product, held)| (format!("p{product}"), held.clone())).collect();
    assert!(held == expected, "{:?}", held.iter().zip(&expected).find(|(held, expected)| held != expected));

    // No document was replaced by an older version, and no version was written twice.
    let history = harness.server.history(INDEX);
    for (id, writes) in &history {
        let versions: Vec<Option<u64>> = writes.iter().map(|write| write.version.as_u64()).collect();
        for pair in versions.windows(2) {
            // A removal has no version.
            assert!(pair[0].is_none() || pair[1].is_none() || pair[0] < pair[1], "{id}: {versions:?}");
        }
    }
    // What the index acknowledged to a worker was written.
    let acknowledged = harness.recorder.acknowledged.lock().unwrap();
    for (id, version) in acknowledged.iter() {
        let is_written =
            history.get(id).is_some_and(|writes| writes.iter().any(|write| write.version == *version));
        assert!(is_written, "version {version} of {id} was acknowledged and is not there");
    }

    // Attempts and waits are bounded: 9 attempts at a chunk and at a request, and 40 s between two of them.
    let most_begun = harness.recorder.begun.lock().unwrap().values().copied().max().unwrap_or_default();
    assert!(most_begun <= 9, "a chunk was begun {most_begun} times");
    let mut sent: BTreeMap<Vec<String>, u32> = BTreeMap::new();
    let requests = harness.server.requests();
    for request in requests.iter().filter(|request| request.operation == Call::Add) {
        *sent.entry(request.ids.clone()).or_default() += u32::from(request.status == Some(409));
    }
    let most_busy = sent.values().copied().max().unwrap_or_default();
    assert!(most_busy < 9, "a request was sent again {most_busy} times because of 409");
    assert!(harness.longest_wait() <= Duration::from_secs(40), "{:?}", harness.longest_wait());

    // Enough requests failed for this test to mean something. Requests about the server and the index are not counted:
    // none of the faults except `Hang` happens to them.
    let of_documents = [Call::Add, Call::GetMany, Call::Delete];
    let of_documents = requests.iter().filter(|request| of_documents.contains(&request.operation));
    let all = of_documents.clone().count();
    let failed = of_documents.filter(|request| request.fault.is_some()).count();
    println!(
        "{failed} of {all} requests failed; a chunk was begun {most_begun} times at most; {:?}",
        job.counts
    );
    assert!(failed * 100 > all * 25, "too few requests failed: {failed} of {all}");
}

/// One chunk of ten documents.
fn ten_documents() -> Vec<Chunk> {
    let line = |number: u32| json!({ "_id": format!("p{number}"), "v": 1, "title": "A mug" }).to_string();
    vec![Chunk { lane: 0, operation: Operation::AddDocuments, lines: (0..10).map(line).collect() }]
}

#[tokio::test]
async fn a_worker_stops_at_the_bound_of_attempts_and_a_later_run_completes_the_job() {
    for (fault, chunk_attempts, sends) in [(Fault::SchemaLocked, 1, 9), (Fault::Internal, 9, 81)] {
        let harness = Harness::new(7, vec![FaultRule::new(fault.clone()).on(Call::Add)]).await;
        let id = harness.publish(&ten_documents()).await;
        let stop = harness.run(&harness.workers[..1], &id).await.unwrap_err();
        assert_eq!(stop.attempts, chunk_attempts, "{fault:?}: {stop:?}");
        assert_eq!(harness.adds(), sends, "{fault:?}");
        assert!(harness.longest_wait() <= Duration::from_secs(40), "{fault:?}: {:?}", harness.longest_wait());
        let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
        assert_eq!(job.counts, Counts::default(), "{fault:?}");
        harness.server.set_faults(&[]);
        let job = harness
            .run(&harness.workers[..1], &id)
            .await
            .unwrap_or_else(|stop| panic!("{}", host_core::error::chain(&stop)));
        assert_eq!(job.counts, Counts { processed: 10, ..Counts::default() }, "{fault:?}");
    }
}
