//! Ctrl-C ends cleanly, and the same command goes on.

use crate::support::{Place, lines, product, ran};
use std::{process::Command, time::Duration};

#[test]
fn an_interrupted_run_is_resumed_by_the_same_command() {
    let place = Place::new();
    let export: Vec<String> =
        (1..3000).flat_map(|n| product(n, &format!("Thing {n}"), "2026-01-01T00:00:00Z")).collect();
    place.write("export.jsonl", lines(&export));
    place.write("host.toml", "[ingest]\nchunk_documents = 50\n");
    let child = place.spawn("export.jsonl");
    // As soon as the first chunk is there: ingest and indexing are both under way.
    while !place.path("data/chunks/shopify").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let interrupted = ran(child.wait_with_output().unwrap());
    assert_eq!(interrupted.code, Some(130), "{interrupted:?}");
    let told = "the rest is given back; run the same command again to go on with job";
    assert!(interrupted.stderr.contains(told), "{interrupted:?}");
    let left = interrupted.json();
    assert!(["PENDING", "IN_PROGRESS"].contains(&left["status"].as_str().unwrap()), "{left}");

    let resumed = place.run("export.jsonl", &[]);
    let view = resumed.json();
    assert_eq!((resumed.code, &view["job_id"]), (Some(0), &left["job_id"]), "{resumed:?}");
    assert_eq!(
        (&view["processed"], &view["unchanged"], &view["chunks"]),
        (&2999.into(), &0.into(), &60.into())
    );
}
