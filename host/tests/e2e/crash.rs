//! `kill -9` at random moments: the same command resumes, and the result equals that of an uninterrupted run.
//!
//! `tests/crash.sh` runs the long form: 200 kills over 20,000 products.

use crate::support::{Random, RunOutput, SHOP, SHOPIFY, TestDir, lines, product, setting};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use std::{
    fmt::Write,
    path::Path,
    time::{Duration, Instant},
};
use xtask::sample::{SampleOptions, Shape};

/// Everything that a run leaves and that must not depend on crashes.
#[derive(PartialEq)]
struct FinalState {
    view: Value,
    documents: String,
    report: String,
    chunks: Vec<(String, Vec<u8>)>,
}

fn final_state(test_dir: &TestDir, stdout: &str) -> FinalState {
    let mut view: Value = serde_json::from_str(stdout).unwrap();
    let job = view["job_id"].as_str().unwrap().to_owned();
    let object = view.as_object_mut().unwrap();
    for key in ["job_id", "elapsed_ms", "created_at", "ended_at", "report"] {
        object.remove(key);
    }
    let report = test_dir.host(&["jobs", "report", "--data-dir", "data"]).stdout.replace(&job, "JOB");
    FinalState {
        view,
        documents: dump(&test_dir.path("data/host.db"), &job),
        report,
        chunks: test_dir.chunks(),
    }
}

/// The tables of the relational catalog as text, with the source's ids instead of row numbers, which may differ.
fn dump(database: &Path, job: &str) -> String {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut text = String::new();
    for query in [
        "SELECT source_id || ' ' || fields || ' ' || version || ' ' || content_hash || ' ' || job_id || ' ' || status FROM products ORDER BY source_id",
        "SELECT p.source_id || ' ' || s.source_id || ' ' || s.position || ' ' || coalesce(s.sku, '') || ' ' || coalesce(s.price, '')
           FROM skus s JOIN products p ON p.id = s.product_id ORDER BY p.source_id, s.position",
        "SELECT p.source_id || ' ' || s.source_id || ' ' || a.name || ' ' || a.value
           FROM attributes a JOIN skus s ON s.id = a.sku_id JOIN products p ON p.id = s.product_id
          ORDER BY p.source_id, s.position, a.name, a.value",
    ] {
        let mut statement = connection.prepare(query).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            writeln!(text, "{}", row.get::<_, String>(0).unwrap()).unwrap();
        }
    }
    text.replace(job, "JOB")
}

/// The newest job, if any.
fn job(test_dir: &TestDir) -> Option<RunOutput> {
    let shown = test_dir.host(&["jobs", "show", "--data-dir", "data", "--output", "json"]);
    (shown.code == Some(0)).then_some(shown)
}

#[test]
fn killed_runs_end_like_an_undisturbed_one() {
    let kills = setting("HOST_TEST_CRASH_KILLS", 12);
    let products = setting("HOST_TEST_CRASH_PRODUCTS", 1_500);
    let mut random = Random::new();
    eprintln!("{kills} kills, {products} products");

    let export = TestDir::new();
    let path = export.path("export.jsonl");
    let mut bytes = Vec::new();
    let recipe = SampleOptions {
        seed: 1,
        shape: Shape::Real,
        grouped: true,
        products,
        bytes: u64::MAX,
        bad_lines: 0.0,
    };
    xtask::sample::write(&recipe, &mut bytes).unwrap();
    bytes.extend_from_slice(
        b"this line is broken\n{\"id\":\"x\",\"__parentId\":\"gid://shopify/Product/404\"}\n",
    );
    std::fs::write(&path, bytes).unwrap();
    let source = path.to_str().unwrap();

    let undisturbed = TestDir::new();
    let started = Instant::now();
    let output = undisturbed.run(source, &[]);
    let usual = started.elapsed();
    assert_eq!(output.code, Some(0), "{output:?}");
    let expected = final_state(&undisturbed, &output.stdout);
    assert!(
        expected.report.contains("invalid-json") && expected.report.contains("orphan"),
        "{}",
        expected.report
    );

    let (mut killed, mut killed_in_ingest, mut killed_in_indexing, mut rounds) = (0, 0, 0, 0);
    while killed < kills {
        rounds += 1;
        let test_dir = TestDir::new();
        let ended = loop {
            let mut child = test_dir.spawn(source);
            // After the last kill, the command must come to its end.
            if killed < kills {
                let moment = Instant::now() + Duration::from_micros(random.below(usual.as_micros() as u64));
                // If it ends before its moment, it is not killed.
                while child.try_wait().unwrap().is_none() && Instant::now() < moment {
                    std::thread::sleep(Duration::from_micros(200));
                }
                child.kill().unwrap();
            }
            let output = crate::support::run_output(child.wait_with_output().unwrap());
            if output.code.is_some() {
                break output;
            }
            killed += 1;
            let Some(job) = job(&test_dir) else { continue };
            // Killed between the end of the job and the end of the program.
            if job.json()["status"] == "COMPLETED" {
                break job;
            }
            *(if job.json()["sealed"] == true { &mut killed_in_indexing } else { &mut killed_in_ingest }) +=
                1;
        };
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let found = final_state(&test_dir, &ended.stdout);
        assert_eq!(found.view, expected.view);
        assert!(found.report == expected.report, "reports differ:\n{}\n{}", found.report, expected.report);
        assert!(found.documents == expected.documents, "documents differ");
        assert!(found.chunks == expected.chunks, "chunks differ");
        if kills >= 50 {
            eprintln!("{killed} of {kills} kills");
        }
    }
    eprintln!(
        "{killed} kills in {rounds} jobs: {killed_in_ingest} before the seal, {killed_in_indexing} after"
    );
    assert!(kills < 50 || (killed_in_ingest > 0 && killed_in_indexing > 0), "the kills all hit one phase");
}

/// What a command says of the database file without its journal, which is what a power cut leaves at worst.
fn without_journal(test_dir: &TestDir, command: &[&str]) -> Value {
    let copy = TestDir::new();
    std::fs::copy(test_dir.path("data/host.db"), copy.write("host.db", "")).unwrap();
    let told = copy.host(&[command, &["--data-dir", ".", "--output", "json"]].concat());
    assert_eq!(told.code, Some(0), "{told:?}");
    told.json()
}

#[test]
fn what_a_command_did_before_exit_0_is_in_the_database_without_its_journal() {
    let test_dir = TestDir::new();
    test_dir.write("host.toml", "data_dir = \"data\"\n[catalog]\narchive_percent = 1\n");
    let export = |numbers: std::ops::RangeInclusive<u32>| {
        let products = numbers.flat_map(|number| product(number, "Mug", "2026-01-01T00:00:00Z"));
        test_dir.write("export.jsonl", lines(&products.collect::<Vec<_>>()));
    };
    let host = |arguments: &[&str]| -> RunOutput {
        let output = test_dir.host(arguments);
        assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
        output
    };
    export(1..=3);
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
    // While another process has the file open, SQLite does not write the journal back by itself when a command ends.
    let other = Connection::open(test_dir.path("data/host.db")).unwrap();
    other.query_row("SELECT count(*) FROM job", [], |row| row.get::<_, u32>(0)).unwrap();

    export(1..=2);
    assert_eq!(test_dir.run("export.jsonl", &["--full"]).code, Some(5));
    let job = without_journal(&test_dir, &["jobs", "show"]);
    assert_eq!((&job["status"], &job["processed"]), (&"COMPLETED".into(), &2.into()));
    assert_eq!(without_journal(&test_dir, &["documents", "count"])["count"], 3);

    host(&["catalog", "archive", "--force"]);
    assert_eq!(without_journal(&test_dir, &["documents", "count"])["count"], 2);

    other.execute("DELETE FROM ledger WHERE product = 'gid://shopify/Product/1'", []).unwrap();
    host(&["reconcile", "--repair"]);
    assert_eq!(without_journal(&test_dir, &["why", "1"])["state"], "live");

    export(4..=9);
    let ingest = |more: &[&str]| {
        let mut ingest = test_dir.command(&["ingest", "export.jsonl", "--shop", SHOP, "--output", "json"]);
        let output =
            crate::support::run_output(ingest.args(more).arg("--plugin").arg(&*SHOPIFY).output().unwrap());
        assert_eq!(output.code, Some(0), "{output:?}");
        output.json()["job_id"].as_str().unwrap().to_owned()
    };
    let cancelled = ingest(&[]);
    assert_eq!(without_journal(&test_dir, &["jobs", "show"])["status"], "PENDING");
    host(&["jobs", "cancel", &cancelled]);
    assert_eq!(without_journal(&test_dir, &["jobs", "show"])["status"], "FAILED");

    // Chunks that are damaged become dead letters, which are sent again.
    let spoiled = ingest(&["--same-version", "write"]);
    for chunk in
        std::fs::read_dir(test_dir.path(&format!("data/chunks/shopify/{SHOP}/bulk/{spoiled}"))).unwrap()
    {
        std::fs::write(chunk.unwrap().path(), "spoiled\n").unwrap();
    }
    let mut worker = test_dir.command(&["work"]).spawn().unwrap();
    crate::aws::wait_for(|| {
        let shown = test_dir.host(&["jobs", "show", &spoiled, "--output", "json"]).json();
        (shown["status"] == "FAILED").then_some(())
    });
    worker.kill().unwrap();
    worker.wait().unwrap();
    host(&["dlq", "redrive", "--all"]);
    assert_eq!(without_journal(&test_dir, &["dlq", "list"]).as_array().unwrap().len(), 0);
    host(&["jobs", "cancel", &spoiled]);

    host(&["shop", "forget", SHOP, "--yes"]);
    assert_eq!(without_journal(&test_dir, &["jobs", "list"]).as_array().unwrap().len(), 0);
}
