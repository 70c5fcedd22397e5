//! Marqo as the target, through the real binary: what a server answers, and what becomes of the documents.

use crate::support::{Place, Ran, SHOP, ran};
use marqo_stand_in::{Fault, FaultRule, Operation, Options, StandIn, Version};
use serde_json::Value;
use xtask::sample::{Recipe, Shape};

const INDEX: &str = "shop";
const PRODUCTS: u64 = 12;

/// A shop whose products go to a server.
struct Shop {
    place: Place,
    source: String,
}

impl Shop {
    fn new() -> Self {
        let place = Place::new();
        let mut export = Vec::new();
        let recipe = Recipe {
            seed: 3,
            shape: Shape::Small,
            grouped: true,
            products: PRODUCTS,
            bytes: u64::MAX,
            bad_lines: 0.0,
        };
        xtask::sample::write(&recipe, &mut export).unwrap();
        let source = place.write("export.jsonl", export).to_str().unwrap().to_owned();
        Self { place, source }
    }

    fn put(&self, flags: &[&str]) {
        let ran = self.place.host(&[&["settings", "put", INDEX, "--data-dir", "data"], flags].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }

    fn run(&self, more: &[&str]) -> Ran {
        self.run_with(more, &[])
    }

    fn run_with(&self, more: &[&str], settings: &[(&str, &str)]) -> Ran {
        let target = ["--target", "marqo", "--index", INDEX];
        let mut command = self.place.run_command(&self.source, &[&target, more].concat());
        command.env("HOST_MARQO__UNREACHABLE_PATIENCE_SECONDS", "1");
        command.env("HOST_MARQO__REQUEST_TIMEOUT_SECONDS", "2");
        command.envs(settings.iter().copied());
        ran(command.output().unwrap())
    }
}

fn server(version: Version) -> StandIn {
    StandIn::start(Options { version, indexes: vec![INDEX.to_owned()], ..Options::default() }).unwrap()
}

/// The classes of a run's items, in the order of the output's keys.
fn counts(ran: &Ran) -> [u64; 5] {
    let json = ran.json();
    ["total_items", "processed", "unchanged", "failed", "deleted"].map(|key| json[key].as_u64().unwrap())
}

#[test]
fn products_reach_the_index_once_and_unchanged_ones_are_not_written_again() {
    for version in [Version::V2_13, Version::V2_25] {
        let (shop, server) = (Shop::new(), server(version));
        shop.put(&["--endpoint", server.url(), "--tensor-field", "title"]);
        let first = shop.run(&[]);
        assert_eq!((first.code, &first.json()["status"]), (Some(0), &Value::from("COMPLETED")), "{first:?}");
        let stored = server.documents(INDEX);
        let [total, processed, unchanged, failed, deleted] = counts(&first);
        assert_eq!((processed, unchanged, failed), (total, 0, 0), "{first:?}");
        assert_eq!(stored.len() as u64, total - deleted);
        assert!(stored.values().all(|document| document.sent.get("variants").is_none()));

        let id = stored.keys().next().unwrap();
        let shown = shop.place.host(&[
            "documents",
            "get",
            id,
            "--target",
            "marqo",
            "--index",
            INDEX,
            "--shop",
            SHOP,
            "--data-dir",
            "data",
            "--output",
            "json",
        ]);
        assert_eq!(shown.json()["_id"], **id, "{shown:?}");

        let before = server.requests().len();
        let second = shop.run(&[]);
        assert_eq!(second.code, Some(0), "{second:?}");
        let [total, processed, unchanged, ..] = counts(&second);
        assert_eq!((processed, unchanged + deleted), (total, total), "{second:?}");
        let writes: Vec<_> = server
            .requests()
            .into_iter()
            .skip(before)
            .filter(|seen| seen.operation == Operation::Add)
            .collect();
        assert!(writes.is_empty(), "{writes:?}");
    }
}

#[test]
fn a_document_that_is_refused_is_explained_and_the_rest_is_written() {
    for (name, fault, words) in [
        ("a value", Fault::Item { status: 400, applied: false }, ""),
        ("a picture", Fault::Media { url: None, reason: None }, "Could not process the media file"),
    ] {
        let (shop, server) = (Shop::new(), server(Version::V2_25));
        shop.put(&["--endpoint", server.url(), "--tensor-field", "title"]);
        let clean = shop.run(&[]);
        let id = server.documents(INDEX).keys().next().unwrap().clone();

        let (shop, server) = (Shop::new(), self::server(Version::V2_25));
        shop.put(&["--endpoint", server.url(), "--tensor-field", "title"]);
        server.set_faults(&[FaultRule::new(fault).on(Operation::Add).document(&id)]);
        let ran = shop.run(&[]);
        assert_eq!(ran.code, Some(4), "{name}: {ran:?}");
        let ([total, processed, _, failed, _], [_, all, ..]) = (counts(&ran), counts(&clean));
        assert_eq!((total, processed, failed), (all, all - 1, 1), "{name}: {ran:?}");
        let sample = &ran.json()["samples"]["failed"][0];
        assert_eq!(sample["document_id"], *id, "{name}");
        assert!(sample["message"].as_str().unwrap().contains(words), "{name}: {sample}");
        assert!(!server.documents(INDEX).contains_key(&id), "{name}");
    }
}

/// Runs until the target is mended: nothing is counted before, everything after.
fn stops_until_mended(shop: &Shop, words: &[&str], mend: impl FnOnce()) {
    let ran = shop.run(&[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for words in words {
        assert!(ran.stderr.contains(words), "{words}: {ran:?}");
    }
    let job = shop.place.host(&["jobs", "show", "--data-dir", "data", "--output", "json"]);
    assert_eq!(job.json()["processed"], 0, "{job:?}");
    mend();
    let ran = shop.run(&[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let [total, processed, ..] = counts(&ran);
    assert_eq!(processed, total);
}

#[test]
fn a_server_that_cannot_be_reached_is_waited_for_and_then_named() {
    let (shop, server) = (Shop::new(), server(Version::V2_25));
    let (dead, other) = (unused_address(), unused_address());
    shop.put(&["--endpoint", &dead, "--fallback-endpoint", &other]);
    stops_until_mended(&shop, &["cannot be reached", &dead, &other], || {
        shop.put(&["--endpoint", server.url()]);
    });
}

#[test]
fn a_missing_index_is_named() {
    let (shop, server) = (Shop::new(), StandIn::start(Options::default()).unwrap());
    shop.put(&["--endpoint", server.url()]);
    let mended = self::server(Version::V2_25);
    stops_until_mended(&shop, &["create the index on the server", "404"], || {
        shop.put(&["--endpoint", mended.url()]);
    });
}

#[test]
fn a_full_server_is_no_fault_of_the_document() {
    let (shop, server) = (Shop::new(), server(Version::V2_25));
    shop.put(&["--endpoint", server.url()]);
    server.set_faults(&[FaultRule::new(Fault::Item { status: 507, applied: false }).on(Operation::Add)]);
    stops_until_mended(&shop, &["out of memory or disk space"], || server.set_faults(&[]));
}

#[test]
fn without_settings_the_command_that_puts_them_is_named() {
    let shop = Shop::new();
    let ran = shop.run(&[]);
    assert!(ran.code == Some(1) && ran.stderr.contains("host settings put shop"), "{ran:?}");
}

#[test]
fn a_chunk_is_never_written_to_another_target_than_its_jobs() {
    let shop = Shop::new();
    assert_eq!(shop.run(&[]).code, Some(1), "there are no settings");
    let ran = shop.place.run(&shop.source, &["--index", INDEX]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("is meant for the target `marqo`, and this is `catalog`"), "{ran:?}");
}

#[test]
fn a_wrong_key_is_said_and_never_shown() {
    let options =
        Options { indexes: vec![INDEX.to_owned()], api_key: Some("right".to_owned()), ..Options::default() };
    let (shop, server) = (Shop::new(), StandIn::start(options).unwrap());
    let key = shop.place.write("key", "wrong-secret");
    shop.put(&["--endpoint", server.url(), "--api-key-file", key.to_str().unwrap()]);
    let ran = shop.run(&[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("401") && !ran.stderr.contains("wrong-secret"), "{ran:?}");
    let key = shop.place.write("key", "right\n");
    shop.put(&["--api-key-file", key.to_str().unwrap()]);
    assert_eq!(shop.run(&[]).code, Some(0));
}

#[test]
fn a_dead_primary_with_a_fallback_loses_nothing_and_shows_in_the_metrics() {
    let (shop, server) = (Shop::new(), server(Version::V2_25));
    shop.put(&["--endpoint", &unused_address(), "--fallback-endpoint", server.url()]);
    let ran = shop.run_with(&[], &[("HOST_TELEMETRY__PROMETHEUS_FILE", "metrics.prom")]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let [total, processed, ..] = counts(&ran);
    assert_eq!(processed, total);
    let metrics = std::fs::read_to_string(shop.place.path("metrics.prom")).unwrap();
    let switches = metrics.lines().find_map(|line| line.strip_prefix("host_marqo_endpoint_switches_total "));
    assert!(switches.is_some_and(|count| count != "0"), "{metrics}");
    for name in ["host_marqo_request_seconds_count", "host_marqo_items_total", "host_marqo_batch_documents"] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
}

#[test]
fn an_update_changes_what_is_there_and_explains_what_is_not() {
    let (shop, server) = (Shop::new(), server(Version::V2_25));
    shop.put(&["--endpoint", server.url()]);
    let line = |id: u64, time: &str, rest: &str| {
        format!(
            "{{\"id\":\"gid://shopify/Product/{id}\",\"updatedAt\":\"2026-01-0{time}T00:00:00Z\",{rest}}}\n"
        )
    };
    shop.place.write("export.jsonl", line(1, "1", r#""title":"Mug","vendor":"Acme""#));
    assert_eq!(shop.run(&[]).code, Some(0));
    let update = line(1, "2", r#""title":"New mug""#) + &line(2, "2", r#""title":"Nobody knows it""#);
    shop.place.write("export.jsonl", update);
    let ran = shop.run(&["--operation", "update"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let [total, processed, _, failed, _] = counts(&ran);
    assert_eq!((total, processed, failed), (2, 1, 1), "{ran:?}");
    assert_eq!(ran.json()["samples"]["failed"][0]["document_id"], "2", "{ran:?}");
    let documents = server.documents(INDEX);
    assert_eq!(documents.len(), 1);
    assert_eq!(
        (&documents["1"].read_back["title"], &documents["1"].read_back["vendor"]),
        (&"New mug".into(), &"Acme".into())
    );
    // Once more: the one is as it should be, the other still is not there.
    let ran = shop.run(&["--operation", "update"]);
    assert_eq!(counts(&ran)[2], 1, "{ran:?}");
}

/// An address where nobody listens.
fn unused_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
