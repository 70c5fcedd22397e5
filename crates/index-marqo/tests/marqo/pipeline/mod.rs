//! From chunks to the index with everything in between, while nearly a third of all requests fail: two workers, their
//! stores, write protection, and 20,000 items, of which many are versions of one document.

use crate::storm;
use harness::{Harness, INDEX, SHOP};
use host_core::model::{Counts, JobStatus, Operation};
use marqo_stand_in::{Fault, FaultRule, Operation as Call};
use plan::{Chunk, ITEMS, Plan};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

mod harness;
mod plan;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Of 100 requests, 30 fail.
fn faults() -> Vec<FaultRule> {
    let share = |faults: usize| 1.0 - 0.7_f64.powf(1.0 / faults as f64);
    let in_operation = |faults: Vec<Fault>, operation| {
        let share = share(faults.len());
        storm::rules(faults, share, operation)
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
async fn a_storm_over_20_000_items_costs_none_of_them() {
    let seed = std::env::var("HOST_TEST_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("HOST_TEST_SEED={seed}");
    let plan = Plan::new(seed);
    let harness = Harness::new(seed, faults()).await;
    let id = harness.publish(&plan.chunks).await;
    let job = harness
        .run(&harness.workers, &id)
        .await
        .unwrap_or_else(|stop| panic!("{}", host_core::error::chain(&stop)));

    // Only those fail that must: by the validator, or because no server takes numbers in an array.
    let must_fail =
        |entry: &Value| entry["code"] == "bad-title" || text(&entry["message"]).contains("Unsupported type");
    let failed = harness.report(&id).await.into_iter().filter(|entry| entry["class"] == "failed");
    let wronged: Vec<Value> = failed.filter(|entry| !must_fail(entry)).collect();
    assert!(wronged.is_empty(), "{wronged:#?}");

    // Exactly once, each in its class.
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

    // Never older than it was before, and no version twice.
    let history = harness.server.history(INDEX);
    for (id, writes) in &history {
        let versions: Vec<Option<u64>> = writes.iter().map(|write| write.version.as_u64()).collect();
        for two in versions.windows(2) {
            assert!(two[0].is_none() || two[1].is_none() || two[0] < two[1], "{id}: {versions:?}");
        }
    }
    // What was acknowledged was written.
    let acknowledged = harness.recorder.acknowledged.lock().unwrap();
    for (id, version) in acknowledged.iter() {
        let is_written =
            history.get(id).is_some_and(|writes| writes.iter().any(|write| write.version == *version));
        assert!(is_written, "version {version} of {id} was acknowledged and is not there");
    }

    // Bounds.
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

    // Questions about server and index are repeated as time passes; no fault befalls them but `Hang`.
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

fn ten() -> Vec<Chunk> {
    let line = |n: u32| json!({ "_id": format!("p{n}"), "v": 1, "title": "A mug" }).to_string();
    vec![Chunk { lane: 0, operation: Operation::AddDocuments, lines: (0..10).map(line).collect() }]
}

#[tokio::test]
async fn each_bound_of_attempts_is_kept_and_then_nothing_is_lost() {
    for (fault, chunk_attempts, sends) in [(Fault::SchemaLocked, 1, 9), (Fault::Internal, 9, 81)] {
        let harness = Harness::new(7, vec![FaultRule::new(fault.clone()).on(Call::Add)]).await;
        let id = harness.publish(&ten()).await;
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
