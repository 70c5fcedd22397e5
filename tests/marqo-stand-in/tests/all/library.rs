//! The stand-in for a Marqo server as a library.

use crate::support::{Harness, send};
use marqo_stand_in::{Fault, FaultRule, Operation, Options, StandIn, Version};
use serde_json::json;
use std::net::TcpStream;

#[test]
fn several_run_at_once_and_end_when_dropped() {
    let stand_ins: Vec<StandIn> = (0..3)
        .map(|number| {
            let indexes = vec![format!("shop_{number}")];
            StandIn::start(Options { indexes, ..Options::default() }).unwrap()
        })
        .collect();
    for (number, stand_in) in stand_ins.iter().enumerate() {
        let list = send(stand_in.url(), "GET", "/indexes", &[], "").unwrap().json();
        assert_eq!(list, json!({ "results": [{ "indexName": format!("shop_{number}") }] }));
    }
    let address = stand_ins[0].url().trim_start_matches("http://").to_owned();
    drop(stand_ins);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn an_index_is_created_on_write_only_with_auto_create() {
    let body = json!({ "tensorFields": [], "documents": [{ "_id": "a" }] });
    let auto_creating = Harness::with(Options { auto_create: true, ..Options::default() });
    auto_creating.post("/indexes/new/documents", body.clone()).accepted();
    let harness = Harness::new(Version::V2_25);
    harness.post("/indexes/new/documents", body).refused(404, "index_not_found");
}

#[test]
fn the_root_says_the_version() {
    let root = |version| Harness::new(version).get("/").json();
    assert_eq!(root(Version::V2_13), json!({ "message": "Welcome to Marqo", "version": "2.13.0" }));
    assert_eq!(root(Version::V2_25)["version"], "2.25.2");
}

#[test]
fn the_place_of_an_error_in_a_body_is_named_as_the_version_does() {
    let place = |version| Harness::new(version).add(json!("not an array")).json()["detail"][0]["loc"].clone();
    assert_eq!(place(Version::V2_13), json!(["body", "documents"]));
    assert_eq!(place(Version::V2_25), json!(["__root__", "documents"]));
}

#[test]
fn health_settings_and_statistics_of_an_index() {
    let harness = Harness::new(Version::V2_25);
    assert_eq!(harness.get("/health").json()["status"], "green");
    assert_eq!(harness.get("/indexes/u/health").json()["backend"]["storageIsAvailable"], true);
    let settings = harness.get("/indexes/u/settings").json();
    assert_eq!((&settings["type"], &settings["model"]), (&json!("unstructured"), &json!("random/small")));
    assert_eq!(harness.get("/indexes/s/settings").json()["type"], "structured");
    let stats = harness.get("/indexes/u/stats").json();
    assert_eq!((&stats["numberOfDocuments"], &stats["numberOfVectors"]), (&json!(0), &json!(0)));
}

/// A write of an older version was applied although its client saw a reset. Tests that older versions never overwrite
/// newer ones find such a write in the history.
#[test]
fn the_history_has_an_unacknowledged_write_of_an_older_version() {
    let harness = Harness::new(Version::V2_25);
    let add = |version: u64| harness.add(json!([{ "_id": "a", "updated_at": version }]));
    add(2).accepted();
    harness.stand_in.set_faults(&[FaultRule::new(Fault::ResetAfterApply).on(Operation::Add).next(1)]);
    let body = json!({ "tensorFields": [], "documents": [{ "_id": "a", "updated_at": 1 }] });
    harness.send("POST", "/indexes/u/documents", &body).unwrap_err();

    let requests = harness.stand_in.requests();
    let writes = harness.stand_in.history("u")["a"].clone();
    let was_acknowledged = |write: &marqo_stand_in::Write| {
        requests[write.request as usize - 1].items.iter().any(|item| item.id == "a" && item.status == 200)
    };
    assert_eq!(writes.iter().map(was_acknowledged).collect::<Vec<_>>(), [true, false]);
    assert_eq!(writes.iter().map(|write| write.version.as_u64()).collect::<Vec<_>>(), [Some(2), Some(1)]);
}

#[test]
fn the_same_seed_gives_the_same_faults() {
    let run = |seed: u64| {
        let harness = Harness::with(Options { seed, ..Options::default() });
        harness
            .stand_in
            .set_faults(&[FaultRule::new(Fault::Item { status: 429, applied: false }).probability(0.4)]);
        let documents: Vec<_> = (0..100).map(|number| json!({ "_id": format!("d{number}") })).collect();
        harness.add(documents.into()).items()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
