//! `host status`, the first command of an on-call engineer: open jobs, stopped work and dead letters (chunks that no
//! worker could handle), each with a command to paste.

use crate::{
    aws::wait_for,
    support::{RunOutput, SHOP, SHOPIFY, TestDir, lines, product, run_output},
};
use marqo_stand_in::{Fault, FaultRule, Operation, Options, StandIn, Version};
use serde_json::{Value, json};

const INDEX: &str = "shop";
/// What `host status` prints if there is nothing to see.
const NOTHING: &str = "No job is open, nothing is stopped, no dead letters.\n";

/// A folder with an export of so many products.
fn test_dir(products: u32) -> TestDir {
    let test_dir = TestDir::new();
    let all: Vec<String> =
        (1..=products).flat_map(|number| product(number, "Mug", "2026-01-01T00:00:00Z")).collect();
    test_dir.write("export.jsonl", lines(&all));
    test_dir
}

fn host(test_dir: &TestDir, arguments: &[&str]) -> RunOutput {
    test_dir.host(&[arguments, &["--data-dir", "data"]].concat())
}

fn status(test_dir: &TestDir, more: &[&str]) -> RunOutput {
    host(test_dir, &[&["status"], more].concat())
}

fn json_of(test_dir: &TestDir, more: &[&str]) -> Value {
    status(test_dir, &[more, &["--output", "json"]].concat()).json()
}

/// The commands of host in backticks in a text.
fn commands(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).filter(|word| word.starts_with("host ")).map(str::to_owned).collect()
}

/// Runs a command that a text names, as it is.
fn paste(test_dir: &TestDir, command: &str) -> RunOutput {
    test_dir.host(&command.split(' ').skip(1).collect::<Vec<_>>())
}

/// `host ingest` of the export with one product a chunk; returns the job's id.
fn ingest(test_dir: &TestDir) -> String {
    let mut command = test_dir.command(&["ingest", "export.jsonl", "--shop", SHOP, "--data-dir", "data"]);
    command.args(["--output", "json", "--plugin"]).arg(&*SHOPIFY);
    let ingested = run_output(command.env("HOST_INGEST__CHUNK_DOCUMENTS", "1").output().unwrap());
    assert_eq!(ingested.code, Some(0), "{ingested:?}");
    ingested.json()["job_id"].as_str().unwrap().to_owned()
}

#[test]
fn one_sentence_says_that_there_is_nothing_to_see() {
    let test_dir = test_dir(1);
    assert_eq!(status(&test_dir, &[]).code, Some(2), "there is no data directory yet");
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
    let told = status(&test_dir, &[]);
    assert_eq!((told.code, told.stdout.as_str(), told.stderr.as_str()), (Some(0), NOTHING, ""));
    let of_shop = status(&test_dir, &["--shop", "tests"]);
    let nothing = format!("{SHOP}: no job is open, nothing is stopped, no dead letters.\n");
    assert_eq!((of_shop.code, of_shop.stdout), (Some(0), nothing));
    let expected = json!({"needs_action": false, "shops": [], "jobs_left_out": false, "shops_left_out": 0});
    assert_eq!(json_of(&test_dir, &[]), expected);
}

#[test]
fn an_open_job_is_shown_with_its_progress_and_the_command_that_resumes_it() {
    let test_dir = test_dir(3);
    let job = ingest(&test_dir);
    let told = status(&test_dir, &[]);
    assert_eq!(told.code, Some(0), "it only waits: {told:?}");
    for part in
        [SHOP, &job, "PENDING", "0 of 3 chunks", "of 3", "3 messages in the queue", "no worker runs: "]
    {
        assert!(told.stdout.contains(part), "{part}: {told:?}");
    }
    let shown = json_of(&test_dir, &[]);
    let index = &shown["shops"][0]["indexes"][0];
    let (of_job, waiting) = (&index["jobs"][0], &index["waiting_since"]);
    assert_eq!(
        (&of_job["job_id"], &of_job["chunks"], waiting),
        (&job.into(), &3.into(), &of_job["created_at"])
    );
    assert_eq!((&of_job["completed_chunks"], &of_job["total_items"]), (&0.into(), &3.into()));
    assert_eq!((&shown["needs_action"], &index["stopped"]), (&false.into(), &Value::Null));

    let [resume] = &commands(&told.stdout)[..] else { panic!("{told:?}") };
    assert_eq!(commands(index["next"].as_str().unwrap()), std::slice::from_ref(resume), "{shown}");
    // The command works the queue until it is interrupted.
    let mut worker = test_dir.command(&resume.split(' ').skip(1).collect::<Vec<_>>());
    let mut worker = worker.arg("--plugin").arg(&*SHOPIFY).spawn().unwrap();
    wait_for(|| (status(&test_dir, &[]).stdout == NOTHING).then_some(()));
    worker.kill().unwrap();
    worker.wait().unwrap();
}

#[test]
fn what_is_stopped_comes_with_its_reason_its_end_and_the_command_that_resumes_it() {
    let test_dir = test_dir(1);
    let indexes = vec![INDEX.to_owned()];
    let server = StandIn::start(Options { version: Version::V2_25, indexes, ..Options::default() }).unwrap();
    let put = ["settings", "put", INDEX, "--endpoint", server.url(), "--tensor-field", "title"];
    assert_eq!(host(&test_dir, &put).code, Some(0));
    server.set_faults(&[FaultRule::new(Fault::Gateway { status: 403 }).on(Operation::Add)]);
    let to_marqo = ["--target", "marqo", "--index", INDEX];
    assert_eq!(test_dir.run("export.jsonl", &to_marqo).code, Some(1));

    let told = status(&test_dir, &[]);
    let resume = format!("host resume {SHOP} --index {INDEX} --data-dir data");
    assert_eq!(told.code, Some(3), "{told:?}");
    for part in ["stopped", "403", "(index-refused)", "next try", "become dead letters in 24 h", &resume] {
        assert!(told.stdout.contains(part), "{part}: {told:?}");
    }
    let shown = json_of(&test_dir, &[]);
    let index = &shown["shops"][0]["indexes"][0];
    assert_eq!((&shown["needs_action"], &index["next"]), (&true.into(), &resume.clone().into()));
    let instant = |key: &str| index["stopped"][key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let day = std::time::Duration::from_secs(86_400);
    assert_eq!(instant("gives_up_at").duration_since(instant("since")).unsigned_abs(), day);
    assert!(commands(&told.stdout).contains(&resume), "{told:?}");
    // Another index of the shop is not stopped.
    let other = status(&test_dir, &["--shop", SHOP, "--index", "other"]);
    assert!(other.code == Some(0) && !other.stdout.contains("stopped "), "{other:?}");

    let resumed = paste(&test_dir, &resume);
    assert!(resumed.code == Some(0) && resumed.stdout.contains("403"), "{resumed:?}");
    assert_eq!(status(&test_dir, &[]).code, Some(0));
    // Status and job say what cleared the last stop, even after another stop.
    let cleared = |by: &str| {
        let told = status(&test_dir, &["--shop", SHOP]);
        assert!(told.stdout.contains("cleared  ") && told.stdout.contains("403"), "{told:?}");
        let shown = json_of(&test_dir, &["--shop", SHOP])["shops"][0]["indexes"][0]["cleared"].clone();
        assert_eq!((&shown["by"], &shown["code"]), (&by.into(), &"index-refused".into()), "{shown}");
        assert_eq!(host(&test_dir, &["jobs", "show", "--output", "json"]).json()["cleared"], shown);
        let job = host(&test_dir, &["jobs", "show"]);
        assert!(job.stdout.contains("  resumed    ") && job.stdout.contains("403"), "{job:?}");
    };
    cleared("host resume");
    assert_eq!(test_dir.run("export.jsonl", &to_marqo).code, Some(1));
    cleared("host resume");
    assert_eq!(host(&test_dir, &put).code, Some(0));
    cleared("host settings put");
    assert_eq!(test_dir.run("export.jsonl", &to_marqo).code, Some(1));
    server.set_faults(&[]);
    assert_eq!(test_dir.run("export.jsonl", &to_marqo).code, Some(0));
    cleared("probe");
    assert_eq!(status(&test_dir, &[]).stdout, NOTHING);
}

#[test]
fn dead_letters_need_a_person() {
    let test_dir = test_dir(3);
    let job = ingest(&test_dir);
    let path = test_dir.path(&format!("data/chunks/shopify/{SHOP}/bulk/{job}/chunk_0001.jsonl"));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, "spoiled\n").unwrap();
    let work = || {
        let mut worker = test_dir.command(&["work", "--data-dir", "data"]).spawn().unwrap();
        wait_for(|| {
            let shops = json_of(&test_dir, &[])["shops"].clone();
            let is_done = |shop: &Value| shop["messages"] == 0 && shop["indexes"] == json!([]);
            shops.as_array().unwrap().iter().all(is_done).then_some(())
        });
        worker.kill().unwrap();
        worker.wait().unwrap();
    };
    work();
    let told = status(&test_dir, &[]);
    let list = format!("host dlq list --shop {SHOP} --data-dir data");
    assert_eq!((told.code, told.stdout), (Some(3), format!("{SHOP}\n  1 dead letter: `{list}` tells why\n")));
    let shown = json_of(&test_dir, &[]);
    let of_shop = &shown["shops"][0];
    assert_eq!((&of_shop["dead_letters"], &of_shop["next"]), (&1.into(), &list.clone().into()));
    let listed = paste(&test_dir, &list);
    assert!(listed.code == Some(0) && listed.stdout.contains("corrupt-chunk"), "{listed:?}");
    // The command in the hint of `dlq show` can be pasted, too.
    std::fs::write(&path, bytes).unwrap();
    let letter = host(&test_dir, &["dlq", "show", &job]);
    let redrive =
        letter.stdout.lines().find_map(|line| line.strip_prefix("once the cause is fixed: ")).unwrap();
    assert_eq!(paste(&test_dir, redrive).code, Some(0), "{letter:?}");
    work();
    assert_eq!(status(&test_dir, &[]).stdout, NOTHING);
}
