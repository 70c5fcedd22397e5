//! The removal of old jobs and of chunks (files of documents that ingest makes and workers write).

use crate::{
    aws::{Cloud, block_on},
    support::{TestDir, lines, product, run_output},
};

/// 31 days in microseconds, the unit of the database.
const A_MONTH: i64 = 31 * 86_400 * 1_000_000;

fn export(products: u32, title: &str) -> String {
    let at = "2026-01-01T00:00:00Z";
    let products = (1..=products).flat_map(|number| product(number, &format!("{title} {number}"), at));
    lines(&products.collect::<Vec<_>>())
}

#[test]
fn what_is_not_old_is_not_pruned() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", export(1, "Mug"));
    for _ in 0..2 {
        assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
    }
    let prune = |more: &[&str]| test_dir.host(&[&["prune", "--data-dir", "data"], more].concat());
    for more in [&["--dry-run", "--output", "json"][..], &["--output", "json"]] {
        let pruned = prune(more);
        assert_eq!(
            pruned.json(),
            serde_json::json!({ "dry_run": more.len() == 3, "jobs": [], "chunks_of": [] }),
            "{pruned:?}"
        );
        assert!(pruned.stderr.contains("more than 30 days ago (`retention.days`)"), "{pruned:?}");
    }
    assert_eq!(prune(&["--store", "aws"]).code, Some(2));
    let jobs = test_dir.host(&["jobs", "list", "--data-dir", "data", "--output", "json"]).json();
    assert_eq!(jobs.as_array().unwrap().len(), 2);
}

#[test]
fn old_jobs_go_with_prune_and_with_the_end_of_a_run() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", export(2, "Mug"));
    let run = || {
        let output = test_dir.run("export.jsonl", &[]);
        assert_eq!(output.code, Some(0), "{output:?}");
        output.json()["job_id"].as_str().unwrap().to_owned()
    };
    let jobs = || -> Vec<String> {
        let listed = test_dir.host(&["jobs", "list", "--data-dir", "data", "--output", "json"]).json();
        listed.as_array().unwrap().iter().map(|job| job["job_id"].as_str().unwrap().to_owned()).collect()
    };
    // Makes a job a month older.
    let age = |job: &str| {
        let database = rusqlite::Connection::open(test_dir.path("data/host.db")).unwrap();
        let sql = "UPDATE job SET ended_at = ended_at - ?2 WHERE id = ?1";
        assert_eq!(database.execute(sql, (job, A_MONTH)).unwrap(), 1);
    };
    let (first, second) = (run(), run());
    age(&first);
    let prune = |more: &[&str]| test_dir.host(&[&["prune", "--data-dir", "data"], more].concat());
    let planned = prune(&["--dry-run"]);
    assert!(planned.code == Some(0) && planned.stdout.contains(&first), "{planned:?}");
    assert!(!planned.stdout.contains(&second), "{planned:?}");
    assert_eq!(jobs(), [&*second, &*first], "a dry run removes nothing");
    let pruned = prune(&[]);
    assert!(pruned.code == Some(0) && pruned.stdout.contains(&first), "{pruned:?}");
    assert_eq!(jobs(), [&*second]);

    age(&second);
    let third = run();
    assert_eq!(jobs(), [&*third]);
}

#[test]
fn chunks_go_with_the_end_of_a_run_unless_they_are_to_be_kept() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", export(4, "Mug"));
    let run = |keep: &str, more: &[&str]| {
        let mut command = test_dir.run_command("export.jsonl", more);
        let ended = run_output(command.env("HOST_RETENTION__KEEP_CHUNKS", keep).output().unwrap());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        test_dir.chunks().len()
    };
    assert_eq!(run("true", &[]), 1);
    // The next run that does not keep its chunks also removes those that an earlier run kept.
    assert_eq!(run("false", &[]), 0);
    // Archiving works without chunks.
    test_dir.write("export.jsonl", export(3, "Mug"));
    assert_eq!((run("false", &["--full"]), test_dir.documents().len()), (0, 3));
}

#[test]
fn in_aws_chunks_go_with_the_end_of_a_run() {
    let (cloud, shops) = Cloud::new(1);
    let run = |keep: &str| {
        // `--force`, since otherwise nothing would be published of unchanged products.
        let mut command = cloud.export("run", &shops[0]);
        command.arg("--force");
        let ended = run_output(command.env("HOST_RETENTION__KEEP_CHUNKS", keep).output().unwrap());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let prefix = format!("shopify/{}/bulk/{}/", shops[0].id, ended.json()["job_id"].as_str().unwrap());
        let listed = cloud.clients().s3.list_objects_v2().bucket(cloud.bucket()).prefix(&prefix).send();
        let listed = block_on(listed).unwrap();
        let names = listed.contents().iter().filter_map(|object| object.key()?.strip_prefix(&prefix));
        names.map(str::to_owned).collect::<Vec<String>>()
    };
    let is_chunk = |name: &&String| name.starts_with("chunk_");
    std::fs::write(&shops[0].source, crate::aws::sample(0, 30)).unwrap();
    let gone = run("false");
    assert_eq!(gone.iter().filter(is_chunk).count(), 0, "{gone:?}");
    assert!(gone.iter().any(|name| name == "ids.bin"), "{gone:?}");
    let kept = run("true");
    assert!(kept.iter().filter(is_chunk).count() > 0, "{kept:?}");
}
