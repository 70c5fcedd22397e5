//! A plug-in is replaced by a new version while jobs run: a new job uses the new version, and what an old job has
//! published stays as the old version made it.

use crate::{
    registry::digest,
    support::{SHOP, TestDir, guest, run_output},
};
use serde_json::{Value, json};
use std::{fs, ops::RangeInclusive};

/// Options of each command.
const OPTIONS: [&str; 4] = ["--data-dir", "data", "--output", "json"];

/// Writes an export of these products, all changed on this day of January 2026.
fn export(test_dir: &TestDir, name: &str, products: RangeInclusive<u32>, day: u32) {
    let line = |number: u32| {
        let at = format!("2026-01-{day:02}T00:00:00Z");
        json!({ "id": format!("p{number:03}"), "title": "Mug", "updated_at": at, "made": "new" }).to_string()
            + "\n"
    };
    test_dir.write(name, products.map(line).collect::<String>());
}

#[test]
fn a_swap_while_jobs_run_loses_and_mixes_nothing() {
    let test_dir = TestDir::new();
    let old = fs::read(guest("guest-evil")).unwrap();
    let new = [old.as_slice(), b"\x00\x03\x01xy"].concat();
    export(&test_dir, "old.jsonl", 1..=300, 1);
    export(&test_dir, "new.jsonl", 201..=500, 2);
    test_dir.write("host.toml", "[ingest]\nchunk_documents = 20\nlanes = 3\n");
    let ingest = |wasm: &[u8], doing: &str, source: &str| {
        test_dir.write("shop.wasm", wasm);
        let arguments = ["ingest", "--plugin", "shop.wasm", source, "--shop", SHOP];
        let mut command = test_dir.command(&[&arguments[..], &OPTIONS].concat());
        let output = run_output(command.env("HOST_PLUGIN__CONFIG__EVIL__DO", doing).output().unwrap());
        assert_eq!(output.code, Some(0), "{output:?}");
        output.json()["job_id"].as_str().unwrap().to_owned()
    };
    // Both versions are the evil plug-in, a guest of the tests. Told `good` it makes documents without the field
    // `made`, told `verbatim` with it.
    let first = ingest(&old, "good", "old.jsonl");
    let mut worker = test_dir.command(&["work", "--quiet", "--data-dir", "data"]).spawn().unwrap();
    let second = ingest(&new, "verbatim", "new.jsonl");

    let ended = |id: &str| -> Value {
        let output = test_dir.host(&[&["jobs", "watch", id, "--quiet"][..], &OPTIONS].concat());
        assert_eq!(output.code, Some(0), "{output:?}");
        output.json()
    };
    let jobs = [ended(&first), ended(&second)];
    worker.kill().unwrap();
    worker.wait().unwrap();
    for (job, wasm) in jobs.iter().zip([&old, &new]) {
        assert_eq!((&job["status"], &job["processed"]), (&json!("COMPLETED"), &json!(300)));
        assert_eq!(job["plugin"]["digest"], digest(wasm));
    }
    let chunks = |id: &str| -> Vec<String> {
        let folder = test_dir.path(&format!("data/chunks/evil/{SHOP}/bulk/{id}"));
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let chunks = files.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        let texts = chunks.map(|path| fs::read_to_string(path).unwrap());
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    for (id, is_new) in [(&first, false), (&second, true)] {
        let lines = chunks(id);
        assert_eq!(lines.len(), 300);
        assert!(lines.iter().all(|line| line.contains("\"made\"") == is_new), "chunks of {id} are mixed");
    }
    let documents = test_dir.documents();
    assert_eq!(documents.len(), 500);
    for (number, document) in (1..).zip(&documents) {
        assert_eq!(document["_id"], format!("p{number:03}"));
        assert_eq!(document.get("made").is_some(), number > 200, "{document}");
    }
}
