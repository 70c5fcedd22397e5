//! A storm: nearly a third of all requests fail, at random and in every known way that passes.

use crate::support::{Harness, error_chain, ids, write};
use host_core::index::{Index, Outcome, Write};
use marqo_stand_in::{Fault, FaultRule, Operation, Options, Version};
use serde_json::json;
use std::collections::BTreeMap;

const DOCUMENTS: usize = 1500;
/// Versions of each document, written one after another.
const ROUNDS: usize = 3;

/// Faults of whole write requests that pass.
pub(crate) fn of_writes() -> Vec<Fault> {
    [Fault::SchemaLocked].into_iter().chain(of_requests()).collect()
}

/// Faults of whole requests of any kind that pass.
pub(crate) fn of_requests() -> Vec<Fault> {
    vec![
        Fault::TooManyRequests { retry_after: None },
        Fault::TooManyRequests { retry_after: Some(2) },
        Fault::Internal,
        Fault::Uncaught,
        Fault::Gateway { status: 502 },
        Fault::Gateway { status: 503 },
        Fault::Html,
        Fault::ResetBefore,
        Fault::ResetAfterApply,
        Fault::ErrorAfter { status: 500 },
        Fault::ErrorAfter { status: 504 },
        Fault::Truncated,
    ]
}

/// Faults of single documents that pass.
pub(crate) fn of_items() -> Vec<Fault> {
    vec![
        Fault::Item { status: 429, applied: false },
        Fault::Item { status: 500, applied: false },
        Fault::Item { status: 500, applied: true },
    ]
}

/// Each of these faults with this probability, in requests of one kind.
pub(crate) fn rules(
    faults: Vec<Fault>,
    probability: f64,
    operation: Operation,
) -> impl Iterator<Item = FaultRule> {
    faults.into_iter().map(move |fault| FaultRule::new(fault).probability(probability).on(operation))
}

fn faults() -> Vec<FaultRule> {
    let in_writes = rules(of_writes(), 0.025, Operation::Add);
    let in_reads = rules(of_requests(), 0.025, Operation::GetMany);
    in_writes.chain(in_reads).chain(rules(of_items(), 0.005, Operation::Add)).collect()
}

/// Whether every server must refuse the document; three of 1,500.
fn is_bad(number: usize) -> bool {
    number % 499 == 7
}

fn document(number: usize, round: usize) -> Write {
    let mut fields =
        json!({"title": format!("Mug {number}"), "stock": round, "updated_at": format!("2026-01-0{round}")});
    if is_bad(number) {
        // For an array of numbers, 2.25 refuses the document and 2.13 the whole batch.
        fields["sizes"] = json!([1, 2]);
    }
    write(&format!("d{number}"), fields)
}

/// All good documents are written in each round, once and in order, and only the bad ones are refused.
async fn survives(version: Version, seed: u64) {
    println!("seed {seed}, version {version}");
    let faults = faults();
    let harness = Harness::with(Options { version, seed, faults, ..Options::default() }, |settings| {
        settings.batch_documents = 40;
    })
    .await;
    let mut transient_errors = 0;
    for round in 1..=ROUNDS {
        let target =
            host_core::index::WriteTarget { job_id: format!("job-{round}"), ..harness.target.clone() };
        for start in (0..DOCUMENTS).step_by(500) {
            let mut unwritten: Vec<Write> =
                (start..start + 500).map(|number| document(number, round)).collect();
            // Repeats the call as a worker does: what this job has written already is not written again.
            let refused = loop {
                let Ok(stored) = harness.index.stored(&target, &ids(&unwritten)).await else { continue };
                let mut stored = stored.into_iter();
                unwritten.retain(|write| {
                    !stored.next().unwrap().is_some_and(|stored| {
                        stored.content_hash.as_ref() == Some(&write.content_hash)
                            && stored.job_id.as_ref() == Some(&target.job_id)
                    })
                });
                match harness.index.write(&target, &unwritten).await {
                    Ok(outcomes) => {
                        break outcomes.iter().filter(|outcome| **outcome != Outcome::Done).count();
                    }
                    Err(error) => {
                        assert!(error.transient, "{}", error_chain(&error));
                        transient_errors += 1;
                        assert!(transient_errors < 200, "{}", error_chain(&error));
                    }
                }
            };
            assert_eq!(refused, (start..start + 500).filter(|number| is_bad(*number)).count());
        }
        // What the index acknowledged is there.
        let held = harness.server.documents("shop");
        let good = (0..DOCUMENTS).filter(|number| !is_bad(*number));
        for number in good.clone() {
            assert_eq!(
                held[&format!("d{number}")].sent["stock"],
                round,
                "document {number} after round {round}"
            );
        }
        assert_eq!(held.len(), good.count());
    }
    for (id, writes) in harness.server.history("shop") {
        let versions: Vec<_> = writes.iter().map(|write| write.version.clone()).collect();
        let mut times = BTreeMap::new();
        versions.iter().for_each(|version| *times.entry(version.to_string()).or_insert(0) += 1);
        assert!(versions.is_sorted_by_key(|version| version.to_string()), "{id}: {versions:?}");
        assert!(times.len() == ROUNDS && times.values().all(|times| *times == 1), "{id}: {times:?}");
    }
    let requests = harness.server.requests();
    let failed =
        requests.iter().filter(|request| request.fault.is_some() || request.status != Some(200)).count();
    println!("{} requests, {failed} failed, {transient_errors} transient errors", requests.len());
    assert!(failed * 10 > requests.len() * 2, "too few requests failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_document_is_written_once_on_the_current_server() {
    survives(Version::V2_25, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_document_is_written_once_on_a_server_of_2_13() {
    survives(Version::V2_13, 2).await;
}
