//! Syncs into a Marqo index: what the server answers, and what becomes of the documents. `StandIn` is a local server
//! that answers as Marqo does and fails on request.

use crate::support::{ClosedPort, RunOutput, SHOP, TestDir, run_output};
use marqo_stand_in::{Fault, FaultRule, Operation, Options, StandIn, Version};
use serde_json::Value;
use std::process::{Child, Command};
use xtask::sample::{SampleOptions, Shape};

const INDEX: &str = "shop";
const PRODUCTS: u64 = 12;

/// A shop whose products go to a stand-in for a Marqo server.
struct Shop {
    test_dir: TestDir,
    source: String,
}

impl Shop {
    fn new() -> Self {
        let test_dir = TestDir::new();
        let mut export = Vec::new();
        let recipe = SampleOptions {
            seed: 3,
            shape: Shape::Small,
            grouped: true,
            products: PRODUCTS,
            bytes: u64::MAX,
            bad_lines: 0.0,
        };
        xtask::sample::write(&recipe, &mut export).unwrap();
        let source = test_dir.write("export.jsonl", export).to_str().unwrap().to_owned();
        Self { test_dir, source }
    }

    /// `host settings put` for the index.
    fn put(&self, flags: &[&str]) {
        let output = self.test_dir.host(&[&["settings", "put", INDEX, "--data-dir", "data"], flags].concat());
        assert_eq!(output.code, Some(0), "{output:?}");
    }

    fn run(&self, more: &[&str]) -> RunOutput {
        self.run_with(more, &[])
    }

    fn run_with(&self, more: &[&str], settings: &[(&str, &str)]) -> RunOutput {
        run_output(self.command(more).envs(settings.iter().copied()).output().unwrap())
    }

    fn run_spawned(&self, more: &[&str]) -> Child {
        self.command(more).spawn().unwrap()
    }

    fn command(&self, more: &[&str]) -> Command {
        let target = ["--target", "marqo", "--index", INDEX];
        let mut command = self.test_dir.run_command(&self.source, &[&target, more].concat());
        command.env("HOST_MARQO__UNREACHABLE_PATIENCE_SECONDS", "1");
        command.env("HOST_MARQO__REQUEST_TIMEOUT_SECONDS", "2");
        command
    }
}

fn server(version: Version) -> StandIn {
    StandIn::start(Options { version, indexes: vec![INDEX.to_owned()], ..Options::default() }).unwrap()
}

/// How many items a run had, and how many of them were processed, unchanged, failed and deleted.
fn counts(output: &RunOutput) -> [u64; 5] {
    let json = output.json();
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
        let shown = shop.test_dir.host(&[
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
        let output = shop.run(&[]);
        assert_eq!(output.code, Some(4), "{name}: {output:?}");
        let ([total, processed, _, failed, _], [_, all, ..]) = (counts(&output), counts(&clean));
        assert_eq!((total, processed, failed), (all, all - 1, 1), "{name}: {output:?}");
        let sample = &output.json()["samples"]["failed"][0];
        assert_eq!(sample["document_id"], *id, "{name}");
        assert!(sample["message"].as_str().unwrap().contains(words), "{name}: {sample}");
        assert!(!server.documents(INDEX).contains_key(&id), "{name}");
    }
}

/// A run stops and says all of `causes`, and counts nothing. After `fix`, the next run counts
/// everything.
fn stops_until_fixed(shop: &Shop, causes: &[&str], fix: impl FnOnce()) {
    let output = shop.run(&[]);
    assert_eq!(output.code, Some(1), "{output:?}");
    for cause in causes {
        assert!(output.stderr.contains(cause), "{cause}: {output:?}");
    }
    let job = shop.test_dir.host(&["jobs", "show", "--data-dir", "data", "--output", "json"]);
    assert_eq!(job.json()["processed"], 0, "{job:?}");
    // `jobs show` says the same, as JSON and as text.
    let last_error = job.json()["last_error"].to_string();
    let text = shop.test_dir.host(&["jobs", "show", "--data-dir", "data"]).stdout;
    let line =
        text.lines().find(|line| line.starts_with("  last error 20")).unwrap_or_else(|| panic!("{text}"));
    for cause in causes {
        assert!(last_error.contains(cause) && line.contains(cause), "{cause}: {last_error}\n{text}");
    }
    fix();
    let output = shop.run(&[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let [total, processed, ..] = counts(&output);
    assert_eq!(processed, total);
    assert!(output.json()["last_error"].is_null());
}

#[test]
fn a_server_that_cannot_be_reached_is_waited_for_and_then_named() {
    let (shop, server) = (Shop::new(), server(Version::V2_25));
    let (dead, other) = (ClosedPort::new(), ClosedPort::new());
    shop.put(&["--endpoint", dead.url(), "--fallback-endpoint", other.url()]);
    stops_until_fixed(&shop, &["cannot be reached", dead.url(), other.url()], || {
        shop.put(&["--endpoint", server.url()]);
    });
}

/// The run ends before it reads the export or creates a job, so the next run can begin at once.
#[test]
fn an_index_that_cannot_be_written_is_told_before_the_export_is_read() {
    let server = server(Version::V2_25);
    let key = StandIn::start(Options {
        indexes: vec![INDEX.to_owned()],
        api_key: Some("right".to_owned()),
        ..Options::default()
    })
    .unwrap();
    let empty = StandIn::start(Options::default()).unwrap();
    for (what, flags, words) in [
        ("no settings", None, ["has no settings", "host settings put shop"]),
        ("no such index", Some(["--endpoint", empty.url()]), ["create the index on the server", "404"]),
        ("no key", Some(["--endpoint", key.url()]), ["401", "key"]),
    ] {
        let shop = Shop::new();
        if let Some(flags) = flags {
            shop.put(&flags);
        }
        let output = shop.run(&[]);
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{what}: {output:?}");
        for words in words {
            assert!(output.stderr.contains(words), "{what}: {words}: {output:?}");
        }
        let jobs = shop.test_dir.host(&["jobs", "list", "--data-dir", "data", "--output", "json"]);
        assert_eq!(jobs.stdout, "[]\n", "{what}");
        shop.put(&["--endpoint", server.url()]);
        assert_eq!(shop.run(&[]).code, Some(0), "{what}");
    }
}

#[test]
fn a_server_that_is_down_is_told_at_once() {
    let (shop, server) = (Shop::new(), server(Version::V2_25));
    let dead = ClosedPort::new();
    shop.put(&["--endpoint", dead.url()]);
    let mut child = shop.run_spawned(&[]);
    let mut said = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stderr.as_mut().unwrap()), &mut said)
        .unwrap();
    assert!(said.starts_with("warning: ") && said.contains(dead.url()), "{said}");
    child.kill().unwrap();
    child.wait().unwrap();
    let count = shop.test_dir.host(&[
        "documents",
        "count",
        "--target",
        "marqo",
        "--index",
        INDEX,
        "--shop",
        SHOP,
        "--data-dir",
        "data",
    ]);
    assert!(count.code == Some(1) && count.stderr.contains("cannot be reached"), "{count:?}");
    shop.put(&["--endpoint", server.url()]);
    assert_eq!(shop.run(&[]).code, Some(0));
}

#[test]
fn a_job_that_blocks_its_shop_can_be_cancelled() {
    let (shop, server) = (Shop::new(), server(Version::V2_25));
    shop.put(&["--endpoint", server.url()]);
    server.set_faults(&[FaultRule::new(Fault::Item { status: 507, applied: false }).on(Operation::Add)]);
    assert_eq!(shop.run(&[]).code, Some(1));
    let job = shop.test_dir.host(&["jobs", "show", "--data-dir", "data", "--output", "json"]).json();
    let id = job["job_id"].as_str().unwrap();

    // Its chunk is before those of any later run of the shop, whose error names the command that cancels the job.
    let output = shop.test_dir.run(&shop.source, &["--index", "other"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    for words in [
        "is meant for the target `marqo`, and this worker writes `catalog:embedded`",
        &format!("host jobs cancel {id}"),
    ] {
        assert!(output.stderr.contains(words), "{words}: {output:?}");
    }

    let waiting = shop.test_dir.host(&["jobs", "show", "--data-dir", "data"]);
    assert!(waiting.stdout.contains("\n  chunks     0 of "), "{waiting:?}");
    for words in [
        &format!("job {id} of the same shop is not finished and blocks it"),
        // Whether its export was read to the end when it stopped, and so which command resumes it, is a matter of time.
        &format!("no worker runs for job {id}: "),
        "--target marqo --data-dir data`",
    ] {
        assert!(waiting.stderr.contains(words), "{words}: {waiting:?}");
    }

    let cancel = ["jobs", "cancel", id, "--data-dir", "data", "--output", "json"];
    let cancelled = shop.test_dir.host(&cancel);
    let view = cancelled.json();
    assert_eq!((cancelled.code, &view["status"]), (Some(0), &"FAILED".into()), "{cancelled:?}");
    assert_eq!(view["error_message"], "the job was cancelled");
    assert!(view["failed"].as_u64().unwrap() > 0 && view["chunks"] == view["completed_chunks"], "{view}");
    assert_eq!(view["samples"]["failed"][0]["code"], "cancelled", "{view}");
    let again = shop.test_dir.host(&cancel);
    assert!(again.code == Some(2) && again.stderr.contains("has ended already: FAILED"), "{again:?}");

    let output = shop.test_dir.run(&shop.source, &["--index", "other"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let [total, processed, ..] = counts(&output);
    assert_eq!(processed, total);
    assert!(server.documents(INDEX).is_empty());
}

#[test]
fn documents_are_looked_for_where_the_newest_job_wrote_them() {
    let (shop, server) = (Shop::new(), server(Version::V2_25));
    shop.put(&["--endpoint", server.url()]);
    assert_eq!(shop.run(&[]).code, Some(0));
    let count =
        |more: &[&str]| shop.test_dir.host(&[&["documents", "count", "--data-dir", "data"], more].concat());
    assert_eq!(count(&[]).stdout, format!("{}\n", server.documents(INDEX).len()));
    assert_eq!(count(&["--target", "catalog"]).code, Some(0));
    assert_eq!(count(&["--target", "catalog"]).stdout, "0\n");
}

#[test]
fn an_update_of_a_field_with_vectors_is_refused_with_the_reason() {
    let (shop, server) = (Shop::new(), server(Version::V2_25));
    shop.put(&["--endpoint", server.url(), "--tensor-field", "title"]);
    assert_eq!(shop.run(&[]).code, Some(0));
    let before = server.requests().len();
    let export =
        std::fs::read_to_string(&shop.source).unwrap().replace("\"updatedAt\":\"20", "\"updatedAt\":\"21");
    std::fs::write(&shop.source, export).unwrap();
    let output = shop.run(&["--operation", "update"]);
    assert_eq!(output.code, Some(4), "{output:?}");
    let [total, _, _, failed, deleted] = counts(&output);
    assert_eq!(failed, total - deleted, "{output:?}");
    let sample = &output.json()["samples"]["failed"][0];
    assert_eq!(sample["code"], "tensor-field-update");
    assert!(sample["message"].as_str().unwrap().contains("vectors of title"), "{sample}");
    let updates =
        server.requests().into_iter().skip(before).filter(|seen| seen.operation == Operation::Patch);
    assert_eq!(updates.count(), 0);
}

#[test]
fn a_full_server_stops_the_run_and_fails_no_document() {
    let (shop, server) = (Shop::new(), server(Version::V2_25));
    shop.put(&["--endpoint", server.url()]);
    server.set_faults(&[FaultRule::new(Fault::Item { status: 507, applied: false }).on(Operation::Add)]);
    stops_until_fixed(&shop, &["out of memory or disk space"], || server.set_faults(&[]));
}

#[test]
fn a_wrong_key_is_said_and_never_shown() {
    let options =
        Options { indexes: vec![INDEX.to_owned()], api_key: Some("right".to_owned()), ..Options::default() };
    let (shop, server) = (Shop::new(), StandIn::start(options).unwrap());
    let key = shop.test_dir.write("key", "wrong-secret");
    shop.put(&["--endpoint", server.url(), "--api-key-file", key.to_str().unwrap()]);
    let output = shop.run(&[]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("401") && !output.stderr.contains("wrong-secret"), "{output:?}");
    let key = shop.test_dir.write("key", "right\n");
    shop.put(&["--api-key-file", key.to_str().unwrap()]);
    assert_eq!(shop.run(&[]).code, Some(0));
}

#[test]
fn a_dead_primary_with_a_fallback_loses_nothing_and_shows_in_the_metrics() {
    let (shop, server) = (Shop::new(), server(Version::V2_25));
    let dead = ClosedPort::new();
    shop.put(&["--endpoint", dead.url(), "--fallback-endpoint", server.url()]);
    let output = shop.run_with(&[], &[("HOST_TELEMETRY__PROMETHEUS_FILE", "metrics.prom")]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let [total, processed, ..] = counts(&output);
    assert_eq!(processed, total);
    let metrics = std::fs::read_to_string(shop.test_dir.path("metrics.prom")).unwrap();
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
    shop.test_dir.write("export.jsonl", line(1, "1", r#""title":"Mug","vendor":"Acme""#));
    assert_eq!(shop.run(&[]).code, Some(0));
    let update = line(1, "2", r#""title":"New mug""#) + &line(2, "2", r#""title":"New to the index""#);
    shop.test_dir.write("export.jsonl", update);
    let output = shop.run(&["--operation", "update"]);
    assert_eq!(output.code, Some(4), "{output:?}");
    let [total, processed, _, failed, _] = counts(&output);
    assert_eq!((total, processed, failed), (2, 1, 1), "{output:?}");
    assert_eq!(output.json()["samples"]["failed"][0]["document_id"], "2", "{output:?}");
    let documents = server.documents(INDEX);
    assert_eq!(documents.len(), 1);
    assert_eq!(
        (&documents["1"].read_back["title"], &documents["1"].read_back["vendor"]),
        (&"New mug".into(), &"Acme".into())
    );
    // The same update again: document 1 is unchanged, document 2 still is not in the index.
    let output = shop.run(&["--operation", "update"]);
    assert_eq!(counts(&output)[2], 1, "{output:?}");
}
