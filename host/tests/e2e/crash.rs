//! `kill -9` at random moments: the same command resumes, and the result equals that of an uninterrupted run.
//!
//! `tests/crash.sh` runs the long form: 200 kills over 20,000 products.

use crate::support::{Random, RunOutput, TestDir, setting};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use std::{
    fmt::Write,
    path::Path,
    time::{Duration, Instant},
};
use xtask::sample::{Recipe, Shape};

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
    for key in ["job_id", "elapsed_ms", "created_at", "report"] {
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

/// The catalog's tables as text, by natural keys, since row numbers may differ.
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
    let recipe =
        Recipe { seed: 1, shape: Shape::Real, grouped: true, products, bytes: u64::MAX, bad_lines: 0.0 };
    xtask::sample::write(&recipe, &mut bytes).unwrap();
    bytes.extend_from_slice(
        b"this line is broken\n{\"id\":\"x\",\"__parentId\":\"gid://shopify/Product/404\"}\n",
    );
    std::fs::write(&path, bytes).unwrap();
    let source = path.to_str().unwrap();

    let undisturbed = TestDir::new();
    let started = Instant::now();
    let ran = undisturbed.run(source, &[]);
    let usual = started.elapsed();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let expected = final_state(&undisturbed, &ran.stdout);
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
            // A last round must come to its end.
            if killed < kills {
                let moment = Instant::now() + Duration::from_micros(random.below(usual.as_micros() as u64));
                // One that ends before its moment is not waited for.
                while child.try_wait().unwrap().is_none() && Instant::now() < moment {
                    std::thread::sleep(Duration::from_micros(200));
                }
                child.kill().unwrap();
            }
            let ran = crate::support::ran(child.wait_with_output().unwrap());
            if ran.code.is_some() {
                break ran;
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
