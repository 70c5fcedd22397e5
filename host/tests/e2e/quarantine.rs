//! Products that a plug-in trapped on or refused are kept in the job's quarantine, and `host plugin replay` feeds them
//! to a fixed plug-in. A plug-in that keeps failing is stopped. The evil plug-in is a guest of the tests that does what
//! its configuration `do` tells.

use crate::support::{RunOutput, SHOP, TestDir, guest, run_output};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

static EVIL: LazyLock<PathBuf> = LazyLock::new(|| guest("guest-evil"));

/// Writes an export with one product a line; with `trap-one` the evil plug-in traps on those for which `is_bad` holds.
fn export(test_dir: &TestDir, products: u32, is_bad: impl Fn(u32) -> bool) {
    let line = |number: u32| {
        let title = if is_bad(number) { "bomb" } else { "Mug" };
        json!({ "id": format!("p{number}"), "title": title, "updated_at": "2026-01-01T00:00:00Z" })
            .to_string()
            + "\n"
    };
    test_dir.write("export.jsonl", (1..=products).map(line).collect::<String>());
}

/// Writes settings in which the evil plug-in is told `doing`, and `more` settings before that.
fn settings(test_dir: &TestDir, doing: &str, more: &str) {
    test_dir.write("host.toml", format!("{more}\n[plugin.config.evil]\ndo = \"{doing}\"\n"));
}

/// The evil plug-in as a file with another digest: a fixed version, if the settings tell it to be good.
fn fixed(test_dir: &TestDir) -> PathBuf {
    let mut wasm = fs::read(&*EVIL).unwrap();
    wasm.extend_from_slice(b"\x00\x03\x01xy");
    test_dir.write("fixed.wasm", wasm)
}

fn run(test_dir: &TestDir, plugin: &Path) -> RunOutput {
    let plugin = plugin.to_str().unwrap();
    test_dir.host(&[
        "run",
        "--plugin",
        plugin,
        "export.jsonl",
        "--shop",
        SHOP,
        "--data-dir",
        "data",
        "--output",
        "json",
    ])
}

fn replay(test_dir: &TestDir, job: &Value, more: &[&str]) -> RunOutput {
    let arguments =
        ["plugin", "replay", job["job_id"].as_str().unwrap(), "--data-dir", "data", "--output", "json"];
    test_dir.host(&[&arguments[..], more].concat())
}

fn job(test_dir: &TestDir, id: &Value) -> Value {
    test_dir.host(&["jobs", "show", id.as_str().unwrap(), "--data-dir", "data", "--output", "json"]).json()
}

fn titles(test_dir: &TestDir) -> Vec<String> {
    test_dir.documents().iter().map(|document| document["title"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn exactly_what_a_plugin_trapped_on_is_sent_to_the_fixed_plugin() {
    let test_dir = TestDir::new();
    let bad = [17, 400, 999];
    export(&test_dir, 1_000, |number| bad.contains(&number));
    settings(&test_dir, "trap-one", "");
    let first = run(&test_dir, &EVIL);
    assert_eq!(first.code, Some(4), "{first:?}");
    let first = first.json();
    assert_eq!((&first["processed"], &first["failed"]), (&json!(997), &json!(3)));
    assert_eq!(first["quarantine"]["products"], 3);

    let listed = replay(&test_dir, &first, &["--dry-run"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let kept: Vec<Value> = listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kept.iter().map(|kept| &kept["product"]["line"]).collect::<Vec<_>>(), bad);
    let export = fs::read_to_string(test_dir.path("export.jsonl")).unwrap();
    for kept in &kept {
        let line = kept["product"]["line"].as_u64().unwrap() as usize;
        assert_eq!(kept["product"]["text"], export.lines().nth(line - 1).unwrap());
        assert_eq!(kept["plugin"], first["plugin"]);
        assert_eq!(kept["reason"]["code"], "plugin-trap");
        assert_eq!(kept["reason"]["details"]["source"], "export.jsonl");
        assert!(!kept["reason"]["details"]["backtrace"].as_array().unwrap().is_empty());
    }

    settings(&test_dir, "good", "");
    let again = replay(&test_dir, &first, &["--plugin", fixed(&test_dir).to_str().unwrap()]);
    assert_eq!(again.code, Some(0), "{again:?}");
    let again = again.json();
    assert_eq!((&again["total_items"], &again["processed"]), (&json!(3), &json!(3)));
    assert_eq!((&again["source"]["products"], &again["source"]["grouping"]), (&json!(3), &json!("replay")));
    for same in ["shop_id", "index_name", "operation", "platform"] {
        assert_eq!(again[same], first[same]);
    }
    assert_ne!(
        (&again["job_id"], &again["plugin"]["digest"]),
        (&first["job_id"], &first["plugin"]["digest"])
    );
    let titles = titles(&test_dir);
    assert_eq!((titles.len(), titles.iter().filter(|title| *title == "bomb").count()), (1_000, 3));
    // The counts of the old job do not change.
    assert_eq!(job(&test_dir, &first["job_id"])["failed"], 3);
}

#[test]
fn what_is_refused_again_is_kept_again_and_what_is_older_does_not_win() {
    let test_dir = TestDir::new();
    let line = |id: &str, title: Value, at: &str| {
        json!({ "id": id, "title": title, "updated_at": at }).to_string() + "\n"
    };
    let bad = line("bad", json!(1), "2026-01-01T00:00:00Z");
    test_dir.write("export.jsonl", line("old", json!("bomb"), "2026-01-01T00:00:00Z") + &bad);
    settings(&test_dir, "trap-one", "");
    let first = run(&test_dir, &EVIL).json();
    assert_eq!((&first["failed"], &first["quarantine"]["products"]), (&json!(2), &json!(2)));

    settings(&test_dir, "good", "");
    test_dir.write("export.jsonl", line("old", json!("newer"), "2026-02-01T00:00:00Z"));
    assert_eq!(run(&test_dir, &EVIL).code, Some(0));
    // The last of the plug-ins with the role `version` compares versions.
    let (fixed, version) = (fixed(&test_dir), guest("default-validator"));
    let again = replay(
        &test_dir,
        &first,
        &["--plugin", fixed.to_str().unwrap(), "--plugin", version.to_str().unwrap()],
    );
    assert_eq!(again.code, Some(4), "{again:?}");
    let again = again.json();
    assert_eq!((&again["conflict"], &again["failed"]), (&json!(1), &json!(1)));
    assert_eq!(again["quarantine"]["products"], 1);
    assert_eq!(again["samples"]["failed"][0]["line"], 2, "the line is that of the export");
    assert_eq!(titles(&test_dir), ["newer"]);
}

/// The quarantine outlives the job's chunks and later runs.
#[test]
fn a_replay_finds_its_products_when_the_chunks_are_gone_and_brings_no_removed_product_back() {
    let test_dir = TestDir::new();
    let without_chunks = |arguments: &[&str]| {
        let mut command = test_dir.command(arguments);
        command.env("HOST_RETENTION__KEEP_CHUNKS", "false");
        run_output(command.output().unwrap())
    };
    let evil = EVIL.to_str().unwrap();
    let run = || {
        let arguments = [
            "run",
            "--plugin",
            evil,
            "export.jsonl",
            "--shop",
            SHOP,
            "--data-dir",
            "data",
            "--output",
            "json",
        ];
        without_chunks(&arguments)
    };
    export(&test_dir, 20, |number| [3, 7].contains(&number));
    settings(&test_dir, "trap-one", "");
    let first = run();
    assert_eq!((first.code, &first.json()["quarantine"]["products"]), (Some(4), &json!(2)), "{first:?}");
    // Meanwhile the shop removes one of the two.
    settings(&test_dir, "verbatim", "");
    let removal = json!({ "id": "p7", "removed": true, "updated_at": "2026-02-01T00:00:00Z" });
    test_dir.write("export.jsonl", removal.to_string() + "\n");
    let removed = run();
    assert_eq!((removed.code, &removed.json()["deleted"]), (Some(0), &json!(1)), "{removed:?}");

    settings(&test_dir, "good", "");
    let fixed = fixed(&test_dir);
    let replayed = without_chunks(&[
        "plugin",
        "replay",
        first.json()["job_id"].as_str().unwrap(),
        "--data-dir",
        "data",
        "--output",
        "json",
        "--plugin",
        fixed.to_str().unwrap(),
        // For comparing versions: the evil plug-in takes each version for newer.
        "--plugin",
        guest("default-validator").to_str().unwrap(),
    ]);
    assert_eq!(replayed.code, Some(3), "{replayed:?}");
    let replayed = replayed.json();
    assert_eq!((&replayed["processed"], &replayed["conflict"]), (&json!(1), &json!(1)), "{replayed}");
    assert_eq!(replayed["samples"]["conflict"][0]["code"], "removed-product", "{replayed}");
    assert_eq!(test_dir.documents().len(), 19);
}

/// Replays a product that a later run has written in the same version with other content.
#[test]
fn a_replay_can_choose_what_the_same_version_does() {
    let test_dir = TestDir::new();
    let line = |title: &str| {
        json!({ "id": "one", "title": title, "updated_at": "2026-01-01T00:00:00Z" }).to_string() + "\n"
    };
    test_dir.write("export.jsonl", line("bomb"));
    settings(&test_dir, "trap-one", "");
    let first = run(&test_dir, &EVIL).json();
    settings(&test_dir, "good", "");
    test_dir.write("export.jsonl", line("Mug"));
    assert_eq!(run(&test_dir, &EVIL).code, Some(0));
    let (fixed, version) = (fixed(&test_dir), guest("default-validator"));
    let plugins = ["--plugin", fixed.to_str().unwrap(), "--plugin", version.to_str().unwrap()];
    let inherited = replay(&test_dir, &first, &plugins);
    assert_eq!((inherited.code, titles(&test_dir)), (Some(3), vec!["Mug".to_owned()]), "{inherited:?}");
    let chosen = replay(&test_dir, &first, &[&plugins[..], &["--same-version", "write"]].concat());
    assert_eq!((chosen.code, titles(&test_dir)), (Some(0), vec!["bomb".to_owned()]), "{chosen:?}");
}

#[test]
fn a_quarantine_is_bounded_and_says_what_it_left_out() {
    let test_dir = TestDir::new();
    export(&test_dir, 100, |number| number <= 3);
    settings(&test_dir, "trap-one", "[ingest]\nquarantine_bytes = 1500");
    let first = run(&test_dir, &EVIL).json();
    let (kept, left) = (&first["quarantine"]["products"], &first["quarantine"]["left_out"]);
    assert_eq!(kept.as_u64().unwrap() + left.as_u64().unwrap(), 3);
    assert!(kept.as_u64().unwrap() > 0 && left.as_u64().unwrap() > 0, "{first}");
    settings(&test_dir, "good", "");
    let again = replay(&test_dir, &first, &["--plugin", EVIL.to_str().unwrap()]);
    assert_eq!((again.code, &again.json()["processed"]), (Some(0), kept), "{again:?}");
    assert!(again.stderr.contains("only the whole export has them"), "{again:?}");
}

#[test]
fn what_cannot_be_replayed_is_said() {
    let test_dir = TestDir::new();
    export(&test_dir, 10, |number| number == 3);
    settings(&test_dir, "good", "");
    let good = run(&test_dir, &EVIL).json();
    settings(&test_dir, "trap-one", "");
    let bad = run(&test_dir, &EVIL).json();
    let mut said = String::new();
    let mut say = |output: RunOutput| {
        assert_eq!(output.code, Some(2), "{output:?}");
        said += &output.stderr;
    };
    let evil = EVIL.to_str().unwrap();
    say(replay(&test_dir, &good, &["--plugin", evil]));
    say(replay(&test_dir, &bad, &[]));
    test_dir.write("host.toml", "");
    say(replay(&test_dir, &bad, &["--plugin", crate::support::SHOPIFY.to_str().unwrap()]));
    let ids = [(&good, "GOOD"), (&bad, "BAD")];
    let said = ids.iter().fold(said, |said, (job, name)| said.replace(job["job_id"].as_str().unwrap(), name));
    insta::assert_snapshot!(said);
}

#[test]
fn a_plugin_that_keeps_trapping_is_stopped_before_it_refuses_the_shop() {
    let test_dir = TestDir::new();
    export(&test_dir, 1_000, |number| number > 600);
    let more = "[ingest]\nchunk_documents = 50\n[telemetry]\nprometheus_file = \"metrics.prom\"";
    settings(&test_dir, "trap-one", more);
    let stopped = run(&test_dir, &EVIL);
    assert_eq!((stopped.code, stopped.stdout.as_str()), (Some(1), ""), "{stopped:?}");
    let alarms: Vec<&str> =
        stopped.stderr.lines().filter(|line| line.contains("code=\"plugin-stopped\"")).collect();
    assert_eq!(alarms.len(), 1, "{stopped:?}");
    // The plug-in also validates documents, so it is by chance the ingest or the worker that meets the stopped plug-in
    // first.
    let said = "plug-in evil@0.1.0 was stopped: it failed on 41 of its last 200 items";
    assert!(stopped.stderr.contains(said), "{stopped:?}");
    let metrics = fs::read_to_string(test_dir.path("metrics.prom")).unwrap();
    assert!(metrics.contains("host_plugins_stopped_total 1"), "{metrics}");

    // Nothing more was refused, and the job waits for the next worker.
    let jobs: Value = test_dir.host(&["jobs", "list", "--data-dir", "data", "--output", "json"]).json();
    let waiting = &jobs[0];
    // It is by chance, too, whether a chunk was begun before.
    let is_open = ["PENDING", "IN_PROGRESS"].contains(&waiting["status"].as_str().unwrap());
    assert!(is_open && waiting["sealed"] == false, "{jobs}");
    assert!(waiting["failed"].as_u64().unwrap() == 0);
    let last_error = &waiting["last_error"];
    assert!(last_error.to_string().contains(said), "{waiting}");
    assert_eq!(last_error["code"].as_str().map(|code| code.starts_with("plugin-")), Some(true), "{waiting}");
    let refused = replay(&test_dir, waiting, &["--plugin", EVIL.to_str().unwrap()]);
    assert!(refused.code == Some(2) && refused.stderr.contains("was not read to its end"), "{refused:?}");

    settings(&test_dir, "good", more);
    let fixed = run(&test_dir, &fixed(&test_dir));
    assert_eq!((fixed.code, &fixed.json()["processed"]), (Some(0), &json!(1_000)), "{fixed:?}");
    assert_eq!(job(&test_dir, &waiting["job_id"])["status"], "FAILED");
    let id = waiting["job_id"].as_str().unwrap();
    let report = test_dir.host(&["jobs", "report", id, "--data-dir", "data"]);
    let said =
        format!("nothing is said of any item of job {id}, whose export was not read to its end: superseded");
    assert!(report.stderr.starts_with(&said), "{report:?}");
    assert_eq!(titles(&test_dir).len(), 1_000);
}

#[test]
fn what_a_stopped_plugin_trapped_on_is_kept() {
    let test_dir = TestDir::new();
    export(&test_dir, 300, |number| number % 2 == 1);
    settings(&test_dir, "trap-one", "");
    let stopped = run(&test_dir, &EVIL);
    assert!(stopped.code == Some(1) && stopped.stderr.contains("was stopped"), "{stopped:?}");
    let jobs: Value = test_dir.host(&["jobs", "list", "--data-dir", "data", "--output", "json"]).json();
    // No chunk was published, so only the ingest can have recorded why.
    assert_eq!(
        (&jobs[0]["chunks"], &jobs[0]["last_error"]["code"]),
        (&json!(0), &json!("plugin-stopped")),
        "{jobs}"
    );
    let shown = test_dir.host(&["jobs", "show", "--data-dir", "data"]);
    assert_eq!(shown.stdout.matches("(plugin-stopped)").count(), 1, "{shown:?}");
    let listed = replay(&test_dir, &jobs[0], &["--dry-run"]);
    let lines = listed.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<u64> = lines.map(|kept| kept["product"]["line"].as_u64().unwrap()).collect();
    assert!(!lines.is_empty(), "{listed:?}");
    assert_eq!(lines, Vec::from_iter((1..).step_by(2).take(lines.len())));

    // A run of the whole export with the fixed plug-in writes each product once.
    settings(&test_dir, "good", "");
    let fixed = run(&test_dir, &fixed(&test_dir));
    assert_eq!((fixed.code, &fixed.json()["processed"]), (Some(0), &json!(300)), "{fixed:?}");
}

#[test]
fn a_validator_that_keeps_trapping_stops_the_worker_and_fails_no_document() {
    let test_dir = TestDir::new();
    export(&test_dir, 300, |number| number > 100);
    settings(&test_dir, "validate-trap-one", "[ingest]\nchunk_documents = 100");
    let stopped = run(&test_dir, &EVIL);
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    assert!(stopped.stderr.contains("cause: plug-in evil@0.1.0 was stopped: it failed on "), "{stopped:?}");
    let jobs: Value = test_dir.host(&["jobs", "list", "--data-dir", "data", "--output", "json"]).json();
    assert_eq!((&jobs[0]["failed"], &jobs[0]["processed"]), (&json!(0), &json!(100)), "{jobs}");

    settings(&test_dir, "good", "[ingest]\nchunk_documents = 100");
    let worked = test_dir.host(&["jobs", "show", "--data-dir", "data", "--output", "json"]).json();
    assert_eq!(worked["status"], "IN_PROGRESS");
    let fixed = run(&test_dir, &EVIL);
    assert_eq!((fixed.code, &fixed.json()["failed"]), (Some(0), &json!(0)), "{fixed:?}");
    assert_eq!(titles(&test_dir).len(), 300);
}
