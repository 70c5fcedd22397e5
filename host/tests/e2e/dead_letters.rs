//! Dead letters: chunks that no worker could handle. What is reported of one, and how it is written once its cause is
//! fixed.

use crate::{
    aws::{Cloud, Shop, wait_for},
    support::{RunOutput, SHOP, SHOPIFY, TestDir, interrupt, lines, product, run_output},
};
use serde_json::{Value, json};
use std::{io::Read, path::PathBuf, process::Command};

/// Overwrites a chunk's object past host with other content; returns its former bytes.
fn damage(cloud: &Cloud, key: &str) -> Vec<u8> {
    let bytes = cloud.object(key, None);
    cloud.object(key, Some(b"{\"_id\": \"not what was written\"}\n"));
    bytes
}

/// Items of a job in all, processed and failed.
fn counts(job: &Value) -> [u64; 3] {
    ["total_items", "processed", "failed"].map(|key| job[key].as_u64().unwrap())
}

/// The text with names in the place of digests, times, the job and the endpoint, which differ from run to run.
fn neutral(text: &str, job: &str, endpoint: &str) -> String {
    let text = text.replace(job, "JOB").replace(endpoint, "ENDPOINT");
    let is_part = |character: char| character.is_ascii_alphanumeric() || "-:.".contains(character);
    let mut neutral = String::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|character| !is_part(character)).unwrap_or(rest.len()).max(if is_part(first) {
            1
        } else {
            0
        });
        let (word, remaining) = rest.split_at(if end == 0 { first.len_utf8() } else { end });
        let plain = word.trim_end_matches([':', '.']);
        if plain.starts_with("sha256:") {
            neutral.push_str("DIGEST");
        } else if plain.parse::<jiff::Timestamp>().is_ok() {
            neutral.push_str("INSTANT");
        } else {
            neutral.push_str(plain);
        }
        neutral.push_str(&word[plain.len()..]);
        rest = remaining;
    }
    neutral
}

#[test]
fn a_poison_chunk_is_explained_and_redriven_when_its_cause_is_fixed() {
    let (cloud, shops) = Cloud::new(1);
    let shop: &Shop = &shops[0];
    let ingested = run_output(cloud.export("ingest", shop).output().unwrap());
    assert_eq!(ingested.code, Some(0), "{ingested:?}");
    let (job, chunks) = (ingested.json()["job_id"].as_str().unwrap().to_owned(), &ingested.json()["chunks"]);
    assert!(chunks.as_u64().unwrap() > 3, "{chunks}");
    let key = format!("shopify/{}/bulk/{job}/chunk_0001.jsonl", shop.id);
    let bytes = damage(&cloud, &key);

    // The chunks behind it in the queue go on: everything else is written.
    let mut worker = cloud.worker();
    let failed = cloud.ended(shop);
    let [total, processed, lost] = counts(&failed);
    assert_eq!((failed["status"].as_str(), processed + lost), (Some("FAILED"), total));
    assert_eq!(lost, bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() as u64);
    let dlq = |arguments: &[&str]| -> RunOutput {
        let output = cloud.host(&[&["dlq"], arguments].concat());
        assert_eq!(output.code, Some(0), "{output:?}");
        output
    };
    let seen = cloud.until(|| {
        let status = cloud.host(&["status", "--output", "json"]);
        (status.code == Some(3)).then(|| status.json())
    });
    let of_shop = &seen["shops"][0];
    assert_eq!(
        (&of_shop["shop_id"], &of_shop["dead_letters"]),
        (&shop.id.as_str().into(), &1.into()),
        "{seen}"
    );
    let snapshot = |text: &str| neutral(text, &job, cloud.marqo.url());
    insta::assert_snapshot!(snapshot(&dlq(&["show", &job]).stdout));
    let letter = dlq(&["show", &job, "1", "--output", "json"]).json();
    insta::assert_snapshot!(snapshot(&serde_json::to_string_pretty(&letter).unwrap()));
    for choice in [vec![], vec!["--job", &job], vec!["--code", "corrupt-chunk"]] {
        let planned = dlq(&[&["redrive", "--dry-run", "--output", "json"], &choice[..]].concat()).json();
        assert_eq!(planned["redriven"][0]["chunk"], 1, "{planned}");
    }
    for command in ["redrive", "discard"] {
        let other = cloud.host(&["dlq", command, "--job", &job, "--code", "lost-input"]);
        assert_eq!(other.code, Some(2), "{other:?}");
        assert!(other.stderr.contains("has no dead letter with the reason lost-input"), "{other:?}");
    }

    // Redriven before the cause is fixed, it becomes a dead letter again; its items still count as failed once.
    dlq(&["redrive", "--job", &job]);
    let again = cloud.until(|| {
        let listed = dlq(&["list", "--output", "json"]).json();
        (listed[0]["epoch"] == 1).then_some(listed)
    });
    assert_eq!(again.as_array().unwrap().len(), 1, "{again}");
    assert_eq!(
        (counts(&cloud.ended(shop)), cloud.ended(shop)["status"].as_str()),
        (counts(&failed), Some("FAILED"))
    );

    cloud.object(&key, Some(&bytes));
    let sent = dlq(&["redrive", "--job", &job, "--output", "json"]).json();
    assert_eq!((sent["redriven"][0]["chunk"].as_u64(), sent["done"].as_array().unwrap().len()), (Some(1), 0));
    let ended = cloud.until(|| Some(cloud.ended(shop)).filter(|job| job["status"] != "FAILED"));
    cloud.is_complete(shop, &ended);
    assert_eq!(counts(&ended), [total, total, 0]);
    assert_eq!(ended["samples"]["failed"].as_array().unwrap().len(), 0);
    assert_eq!(dlq(&["list"]).stdout, "");
    // The worker acknowledges the last message shortly after the job has ended, so status is asked until it is gone.
    let nothing = "No job is open, nothing is stopped, no dead letters.\n";
    cloud.until(|| {
        Some(cloud.host(&["status"]))
            .filter(|quiet| quiet.code == Some(0) && quiet.stdout.starts_with(nothing))
    });
    let swept = cloud.host(&["aws", "sweep"]);
    assert_eq!((swept.code, swept.stdout.as_str()), (Some(0), "nothing to repair\n"), "{swept:?}");
    worker.kill().unwrap();
    worker.wait().unwrap();
}

/// A command that makes chunks of ten documents.
fn chunked(test_dir: &TestDir, command: &str) -> Command {
    let mut command = test_dir.command(&[command, "--output", "json", "--shop", SHOP]);
    command.args(["--data-dir", "data"]).env("HOST_INGEST__CHUNK_DOCUMENTS", "10");
    command
}

/// Makes three chunks, of which the second can be spoiled before a worker writes it. Returns their job and that one's object.
fn ingested(test_dir: &TestDir) -> (String, PathBuf) {
    let mut export = Vec::new();
    for number in 0..30 {
        let line = format!(
            "{{\"id\":\"gid://shopify/Product/{number}\",\"title\":\"Mug\",\"handle\":\"mug-{number}\",\
             \"status\":\"ACTIVE\",\"updatedAt\":\"2026-01-01T00:00:00Z\"}}\n"
        );
        export.extend_from_slice(line.as_bytes());
    }
    let source = test_dir.write("export.jsonl", export);
    let mut ingest = chunked(test_dir, "ingest");
    let ingested = run_output(ingest.arg("--plugin").arg(&*SHOPIFY).arg(&source).output().unwrap());
    assert_eq!(ingested.code, Some(0), "{ingested:?}");
    let job = ingested.json()["job_id"].as_str().unwrap().to_owned();
    let path = test_dir.path(&format!("data/chunks/shopify/{SHOP}/bulk/{job}/chunk_0001.jsonl"));
    (job, path)
}

/// Has a worker bring the job to its end; returns the job, and what the worker said.
fn worked(test_dir: &TestDir, job: &str) -> (Value, String) {
    let mut worker = chunked(test_dir, "work").spawn().unwrap();
    let shown = wait_for(|| {
        let shown = test_dir.host(&["jobs", "show", job, "--data-dir", "data", "--output", "json"]).json();
        let has_ended = ["COMPLETED", "FAILED"].contains(&shown["status"].as_str().unwrap());
        has_ended.then_some(shown)
    });
    interrupt(worker.id());
    worker.wait().unwrap();
    let mut said = String::new();
    worker.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (shown, said)
}

#[test]
fn on_one_machine_too() {
    let test_dir = TestDir::new();
    let (job, path) = ingested(&test_dir);
    let waiting = test_dir.host(&["jobs", "show", &job, "--data-dir", "data"]);
    let warning = format!(
        "warning: no worker runs for job {job}: `host run --shop {SHOP} --target catalog --data-dir data` resumes the queued chunks; give it the \
         same `--plugin` options as before (shopify@"
    );
    assert!(waiting.stderr.starts_with(&warning), "{waiting:?}");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, "spoiled\n").unwrap();
    let (failed, said) = worked(&test_dir, &job);
    assert_eq!(counts(&failed), [30, 20, 10]);
    let hint = format!(
        "1 chunk was quarantined, because its object is damaged or gone: `host dlq list --shop {SHOP} --job {job} --data-dir \
         data` names it, and `host dlq show {job} --data-dir data` says what helps\n"
    );
    let shown = test_dir.host(&["jobs", "show", &job, "--data-dir", "data"]);
    assert!(shown.stdout.contains(&format!("  dlq        {hint}")), "{shown:?}");
    assert!(said.contains(&format!("job {job} FAILED: {SHOP} → index ")), "{said}");
    assert!(said.contains(&format!(", 20 processed, 10 failed; {hint}")), "{said}");
    assert!(said.ends_with("stopped: no job is open\n"), "{said}");
    assert_eq!(test_dir.host(&["jobs", "report", &job, "--data-dir", "data"]).stderr, hint);
    std::fs::write(&path, bytes).unwrap();
    let refused = test_dir.host(&["dlq", "discard", "--data-dir", "data"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let all = test_dir.host(&["dlq", "redrive", "--data-dir", "data"]);
    assert!(all.code == Some(2) && all.stderr.contains("use --all"), "{all:?}");
    let sent = test_dir.host(&["dlq", "redrive", "--all", "--data-dir", "data"]);
    assert_eq!(
        (sent.code, sent.stdout.lines().next()),
        (Some(0), Some(&*format!("sent chunk 1 of job {job} (corrupt-chunk)")))
    );
    assert!(sent.stdout.contains("is quarantined again unless its object is restored first"), "{sent:?}");
    // The hint names the plug-ins, since a worker without the job's validators would write what they refuse.
    let plugins = "give it the same `--plugin` options as before (shopify@";
    assert!(sent.stdout.contains(plugins) && sent.stdout.contains("and validators"), "{sent:?}");
    let (ended, said) = worked(&test_dir, &job);
    assert_eq!((counts(&ended), ended["status"].as_str()), ([30, 30, 0], Some("COMPLETED")));
    assert!(said.contains(", 30 processed\n") && said.ends_with("stopped: no job is open\n"), "{said}");
    assert_eq!(test_dir.host(&["dlq", "list", "--data-dir", "data"]).stdout, "");
}

#[test]
fn what_was_discarded_is_not_offered_again() {
    let test_dir = TestDir::new();
    let (job, path) = ingested(&test_dir);
    std::fs::write(&path, "spoiled\n").unwrap();
    assert_eq!(counts(&worked(&test_dir, &job).0), [30, 20, 10]);
    let host = |arguments: &[&str]| test_dir.host(&[arguments, &["--data-dir", "data"]].concat());
    assert_eq!(host(&["jobs", "show", &job, "--output", "json"]).json()["dead_letters"], 1);
    let discarded = host(&["dlq", "discard", "--job", &job]);
    assert_eq!(discarded.stdout, format!("removed chunk 1 of job {job} (corrupt-chunk)\n"));
    let shown = host(&["jobs", "show", &job]);
    assert!(shown.stdout.contains("1 chunk was quarantined, and no dead letter is left"), "{shown:?}");
    assert_eq!(host(&["jobs", "show", &job, "--output", "json"]).json()["dead_letters"], 0);
    let report = host(&["jobs", "report", &job]);
    for said in [shown.stdout, report.stderr, host(&["jobs", "report", &job, "--format", "html"]).stdout] {
        assert!(said.contains("run the export again") && !said.contains("host dlq"), "{said}");
    }
    // One rule: what names dead letters that are not there is an error, and `--all` names none.
    for command in
        [&["show"][..], &["redrive", "--job"], &["redrive", "--dry-run", "--job"], &["discard", "--job"]]
    {
        let output = host(&[&["dlq"], command, &[&job]].concat());
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{output:?}");
        assert!(output.stderr.contains(&format!("job {job} has no dead letter\n")), "{output:?}");
    }
    for command in ["redrive", "discard"] {
        let output = host(&["dlq", command, "--all"]);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(0), "there are no dead letters\n"),
            "{output:?}"
        );
    }
}

/// Workers acknowledge the messages that a cancelled job still has in the queue.
#[test]
fn cancelling_a_job_makes_no_dead_letters() {
    let test_dir = TestDir::new();
    let export = (1..=30).flat_map(|number| product(number, "Mug", "2026-01-01T00:00:00Z"));
    test_dir.write("export.jsonl", lines(&export.collect::<Vec<_>>()));
    test_dir.write("host.toml", "data_dir = \"data\"\n[ingest]\nchunk_documents = 5\n");
    let mut ingest =
        test_dir.command(&["ingest", "export.jsonl", "--shop", SHOP, "--output", "json", "--plugin"]);
    let ingested = run_output(ingest.arg(&*SHOPIFY).output().unwrap());
    assert!(ingested.json()["chunks"].as_u64() > Some(5), "{ingested:?}");
    let job = ingested.json()["job_id"].as_str().unwrap().to_owned();
    let cancelled = test_dir.host(&["jobs", "cancel", &job, "--output", "json"]).json();
    assert_eq!((cancelled["status"].as_str(), counts(&cancelled)), (Some("FAILED"), [30, 0, 30]));

    let mut worker = test_dir.command(&["work"]).spawn().unwrap();
    let queue = rusqlite::Connection::open(test_dir.path("data/host.db")).unwrap();
    let rows =
        |table| queue.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, u64>(0));
    wait_for(|| (rows("message").unwrap() == 0).then_some(()));
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert_eq!(rows("dead_letter").unwrap(), 0);
    assert_eq!(test_dir.host(&["dlq", "list", "--output", "json"]).json(), json!([]));
    assert_eq!(counts(&test_dir.host(&["jobs", "show", &job, "--output", "json"]).json()), [30, 0, 30]);
}

#[test]
fn cancelling_a_job_in_aws_makes_no_dead_letters() {
    let (cloud, shops) = Cloud::new(1);
    let shop = &shops[0];
    let ingested = run_output(cloud.export("ingest", shop).output().unwrap()).json();
    let job = ingested["job_id"].as_str().unwrap();
    let queue = "dev-ecom-indexer-shop-0_myshopify_com";
    let depth = || [".fifo", "-dlq.fifo"].map(|suffix| cloud.depth(&format!("{queue}{suffix}")));
    assert_eq!(depth(), [ingested["chunks"].as_u64().unwrap() as u32, 0]);
    assert_eq!(cloud.host(&["jobs", "cancel", job]).code, Some(0));
    let mut worker = cloud.worker();
    cloud.until(|| (depth()[0] == 0).then_some(()));
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert_eq!(depth(), [0, 0]);
    assert_eq!(cloud.host(&["dlq", "list", "--output", "json"]).json(), json!([]));
    let [total, processed, failed] = counts(&cloud.ended(shop));
    assert_eq!((processed, failed), (0, total));
}
