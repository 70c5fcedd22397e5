//! Faults (failures that a test asks for) of the connection and of time, and how a test asks for them.

use crate::support::{Harness, send};
use marqo_stand_in::{Fault, FaultRule, Operation, Options, Version};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A stand-in with these rules for faults.
fn harness_with(rules: &[FaultRule]) -> Harness {
    let harness = Harness::new(Version::V2_25);
    harness.stand_in.set_faults(rules);
    harness
}

/// Adds a document; an error if the connection fails.
fn add_one(harness: &Harness) -> std::io::Result<crate::support::Answer> {
    let body = json!({ "tensorFields": [], "documents": [{ "_id": "a", "n": 1 }] });
    harness.send("POST", "/indexes/u/documents", &body)
}

#[test]
fn a_reset_before_writes_nothing_and_one_after_writes_everything() {
    for (fault, is_written) in [(Fault::ResetBefore, false), (Fault::ResetAfterApply, true)] {
        let harness = harness_with(&[FaultRule::new(fault.clone()).on(Operation::Add).next(1)]);
        let error = add_one(&harness).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "a reset instead of an orderly end");
        assert_eq!(harness.stand_in.documents("u").contains_key("a"), is_written);
        let logged = harness.stand_in.requests().pop().unwrap();
        assert_eq!((logged.status, logged.fault), (None, Some(fault)));
        add_one(&harness).unwrap().accepted();
    }
}

#[test]
fn a_document_is_written_although_the_answer_is_an_error() {
    for (status, is_json) in [(500, true), (504, false)] {
        let harness = harness_with(&[FaultRule::new(Fault::ErrorAfter { status }).on(Operation::Add)]);
        let answer = add_one(&harness).unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(serde_json::from_str::<Value>(&answer.text).is_ok(), is_json);
        assert!(harness.stand_in.documents("u").contains_key("a"));
        assert!(harness.stand_in.requests().last().unwrap().items.is_empty());
    }
}

#[test]
fn a_hanging_request_is_never_answered_and_blocks_no_other() {
    let harness = harness_with(&[FaultRule::new(Fault::Hang).on(Operation::Add).next(1)]);
    let mut stream = TcpStream::connect(harness.stand_in.url().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let body = r#"{"tensorFields":[],"documents":[{"_id":"a"}]}"#;
    let head = format!("POST /indexes/u/documents HTTP/1.1\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error:?}");
    assert!(harness.stand_in.documents("u").is_empty());
    add_one(&harness).unwrap().accepted();
}

#[test]
fn the_write_of_a_client_that_closes_the_connection_is_applied() {
    let harness = harness_with(&[FaultRule::new(Fault::Slow { ms: 150 }).on(Operation::Add)]);
    {
        let mut stream = TcpStream::connect(harness.stand_in.url().trim_start_matches("http://")).unwrap();
        let body = r#"{"tensorFields":[],"documents":[{"_id":"late"}]}"#;
        let head = format!("POST /indexes/u/documents HTTP/1.1\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    }
    let closed = Instant::now();
    while !harness.stand_in.documents("u").contains_key("late") {
        assert!(closed.elapsed() < Duration::from_secs(10), "the document was not written");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn latency_delays_adds_only() {
    let latency = Duration::from_millis(500);
    let harness = Harness::with(Options { latency, ..Options::default() });
    let started = Instant::now();
    harness.get("/indexes");
    assert!(started.elapsed() < latency);
    add_one(&harness).unwrap().accepted();
    assert!(started.elapsed() >= latency);
}

/// Several clients fill a new index from the start: each of their requests wants to add the same new fields to its
/// schema.
#[test]
fn of_concurrent_requests_with_new_fields_one_succeeds() {
    let latency = Duration::from_millis(800);
    let harness = Harness::with(Options { latency, ..Options::default() });
    let add = |number: usize| {
        let documents = json!([{ "_id": format!("d{number}"), "brand": "Acme" }]);
        harness.post("/indexes/u/documents", json!({ "tensorFields": [], "documents": documents }))
    };
    let add = &add;
    let conflicts_of_four = || {
        std::thread::scope(|scope| {
            let calls: Vec<_> = (0..4).map(|number| scope.spawn(move || add(number))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).filter(|answer| answer.status == 409).count()
        })
    };
    assert_eq!(conflicts_of_four(), 3);
    assert_eq!(harness.stand_in.documents("u").len(), 1, "a refused request writes nothing");
    assert_eq!(conflicts_of_four(), 0, "the index knows the fields now");
}

#[test]
fn a_throttle_fault_refuses_requests_above_its_number() {
    let harness = harness_with(&[
        FaultRule::new(Fault::Slow { ms: 1_000 }).on(Operation::Add),
        FaultRule::new(Fault::Throttle { above: 2 }).on(Operation::Add),
    ]);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..5).map(|_| scope.spawn(|| add_one(&harness).unwrap().status)).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 3, "{statuses:?}");
}

#[test]
fn faults_are_set_over_http() {
    let harness = Harness::new(Version::V2_25);
    let rules = json!([{ "fault": { "item": { "status": 429 } }, "operation": "add", "document": "a" }]);
    assert_eq!(harness.call("PUT", "/_stand-in/faults", rules).status, 200);
    assert_eq!(add_one(&harness).unwrap().items()[0].1, 429);
    assert_eq!(harness.call("PUT", "/_stand-in/faults", json!({ "seed": 9, "faults": [] })).status, 200);
    assert_eq!(harness.get("/_stand-in/faults").json(), json!({ "seed": 9, "faults": [] }));
    add_one(&harness).unwrap().accepted();
    let wrong = harness.call("PUT", "/_stand-in/faults", json!([{ "fault": "explode" }]));
    assert!(wrong.status == 400 && wrong.text.contains("explode"), "{}", wrong.text);
}

#[test]
fn the_log_the_documents_and_the_history_are_read_over_http() {
    let harness = Harness::new(Version::V2_25);
    harness.add(json!([{ "_id": "a", "updated_at": 1, "dims": { "w": 2 } }])).accepted();
    harness.post("/indexes/u/documents/delete-batch", json!(["a"]));
    harness.add(json!([{ "_id": "a", "updated_at": 2 }])).accepted();
    let log = harness.get("/_stand-in/log").json();
    let added = &log[2];
    assert_eq!(
        (&added["operation"], &added["ids"], &added["status"]),
        (&json!("add"), &json!(["a"]), &json!(200))
    );
    assert_eq!(added["items"], json!([{ "id": "a", "status": 200 }]));
    let documents = harness.get("/_stand-in/documents/u").json();
    assert_eq!(documents["a"]["readBack"], json!({ "_id": "a", "updated_at": 2 }));
    let history = harness.get("/_stand-in/history/u").json();
    let versions: Vec<&Value> =
        history["a"].as_array().unwrap().iter().map(|write| &write["version"]).collect();
    assert_eq!(versions, [&json!(1), &Value::Null, &json!(2)]);
    assert_eq!(history["a"][0]["content"]["dims"], json!({ "w": 2 }));
    assert_eq!(harness.get("/_stand-in/rules").json()["map-flattened"], 1);
}

#[test]
fn a_connection_serves_several_requests_and_bodies_may_be_chunked() {
    let harness = Harness::new(Version::V2_25);
    let mut stream = TcpStream::connect(harness.stand_in.url().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let chunked = "POST /indexes/u/documents/delete-batch HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\n[\"a\r\n2\r\n\"]\r\n0\r\n\r\n";
    let with_expect_header = "POST /indexes/u/documents/delete-batch HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n[\"b\"]";
    let last = "GET / HTTP/1.1\r\nconnection: close\r\n\r\n";
    stream.write_all(format!("{chunked}{with_expect_header}{last}").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3, "{text}");
    assert_eq!(text.matches("HTTP/1.1 100 Continue").count(), 1);
    let ids: Vec<Vec<String>> =
        harness.stand_in.requests().into_iter().map(|exchange| exchange.ids).collect();
    assert!(ids.contains(&vec!["a".to_owned()]) && ids.contains(&vec!["b".to_owned()]));
}

#[test]
fn a_request_that_is_not_http_is_answered_with_400() {
    let harness = Harness::new(Version::V2_25);
    let answer = send(harness.stand_in.url(), "G\u{1}T", "/", &[], "").unwrap();
    assert_eq!(answer.status, 400);
}
