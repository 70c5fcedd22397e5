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
const NOTHING: &str = "No job is open, nothing is stopped, no dead letters.\n\
                       `host status --shop SHOP --data-dir data` tells when a shop was synced last.\n";

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
    assert_eq!(of_shop.code, Some(0));
    assert!(of_shop.stdout.starts_with(&nothing), "{of_shop:?}");
    assert_eq!(of_shop.stdout.matches(SHOP).count(), 1, "{of_shop:?}");
    assert!(of_shop.stdout.contains("    synced   "), "{of_shop:?}");
    let shown = json_of(&test_dir, &["--shop", "tests"]);
    let index = &shown["shops"][0]["indexes"][0];
    assert_eq!(
        (&index["last_sync"]["status"], &index["last_success"]),
        (&"COMPLETED".into(), &index["last_sync"])
    );
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
    // The reason names what corrects it, as it can be typed here.
    let fix = format!("host settings put {INDEX} --api-key-file FILE --data-dir data");
    assert!(told.stdout.contains("next try when a worker runs"), "{told:?}");
    assert_eq!(told.stdout.matches(" answered add with 403").count(), 1, "said once: {told:?}");
    let shown = json_of(&test_dir, &[]);
    let index = &shown["shops"][0]["indexes"][0];
    assert_eq!((&shown["needs_action"], &index["next"]), (&true.into(), &fix.clone().into()));
    assert!(commands(&told.stdout).contains(&fix), "{told:?}");
    assert_eq!(index["stopped"]["holds_up_jobs"], true);
    let instant = |key: &str| index["stopped"][key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let day = std::time::Duration::from_secs(86_400);
    assert_eq!(instant("gives_up_at").duration_since(instant("since")).unsigned_abs(), day);
    assert!(commands(&told.stdout).contains(&resume), "{told:?}");
    // Another index of the shop is not stopped.
    let other = status(&test_dir, &["--shop", SHOP, "--index", "other"]);
    assert!(other.code == Some(0) && !other.stdout.contains("stopped "), "{other:?}");

    let resumed = paste(&test_dir, &resume);
    assert!(resumed.code == Some(0) && resumed.stdout.contains("403"), "{resumed:?}");
    assert!(
        resumed
            .stdout
            .contains("no worker runs, and the next attempt shows whether the cause is gone: `host run "),
        "{resumed:?}"
    );
    assert_eq!(status(&test_dir, &[]).code, Some(0));
    // What corrects it is next for as long as nothing else is known.
    assert_eq!(json_of(&test_dir, &[])["shops"][0]["indexes"][0]["next"], fix);
    // Status and job say what cleared the last stop, even after another stop.
    let cleared = |by: &str, is_stopped: bool| {
        let told = status(&test_dir, &["--shop", SHOP]);
        assert!(told.stdout.contains("403"), "{told:?}");
        assert_eq!(
            told.stdout.contains("cleared  "),
            !is_stopped,
            "the current stop is worth more: {told:?}"
        );
        let shown = json_of(&test_dir, &["--shop", SHOP])["shops"][0]["indexes"][0]["cleared"].clone();
        assert_eq!((&shown["by"], &shown["code"]), (&by.into(), &"index-refused".into()), "{shown}");
        assert_eq!(host(&test_dir, &["jobs", "show", "--output", "json"]).json()["cleared"], shown);
        let job = host(&test_dir, &["jobs", "show"]);
        assert!(job.stdout.contains("  resumed    ") && job.stdout.contains("403"), "{job:?}");
    };
    cleared("host resume", false);
    assert_eq!(test_dir.run("export.jsonl", &to_marqo).code, Some(1));
    cleared("host resume", true);
    assert_eq!(host(&test_dir, &put).code, Some(0));
    cleared("host settings put", false);
    assert_eq!(test_dir.run("export.jsonl", &to_marqo).code, Some(1));
    server.set_faults(&[]);
    assert_eq!(test_dir.run("export.jsonl", &to_marqo).code, Some(0));
    cleared("probe", false);
    assert_eq!(status(&test_dir, &[]).stdout, NOTHING);
}

/// A job that is stopped, on a server that refuses everything.
fn stopped_job() -> (TestDir, StandIn, String) {
    let test_dir = test_dir(1);
    let indexes = vec![INDEX.to_owned()];
    let server = StandIn::start(Options { version: Version::V2_25, indexes, ..Options::default() }).unwrap();
    let put = ["settings", "put", INDEX, "--endpoint", server.url(), "--tensor-field", "title"];
    assert_eq!(host(&test_dir, &put).code, Some(0));
    server.set_faults(&[FaultRule::new(Fault::Gateway { status: 403 }).on(Operation::Add)]);
    assert_eq!(test_dir.run("export.jsonl", &["--target", "marqo", "--index", INDEX]).code, Some(1));
    let job = json_of(&test_dir, &[])["shops"][0]["indexes"][0]["jobs"][0]["job_id"].clone();
    (test_dir, server, job.as_str().unwrap().to_owned())
}

#[test]
fn a_stop_that_a_cancelled_job_left_is_no_alarm() {
    let (test_dir, _server, job) = stopped_job();
    assert_eq!(status(&test_dir, &[]).code, Some(3));
    assert_eq!(host(&test_dir, &["jobs", "cancel", &job]).code, Some(0));
    let told = status(&test_dir, &[]);
    assert_eq!(told.code, Some(0), "{told:?}");
    for part in ["stopped  ", "403", "no job waits for it", "1 message in the queue, of no open job"] {
        assert!(told.stdout.contains(part), "{part}: {told:?}");
    }
    assert!(!told.stdout.contains("dead letters") && !told.stdout.contains("next try"), "{told:?}");
    let shown = json_of(&test_dir, &[]);
    let index = &shown["shops"][0]["indexes"][0];
    let (stop, expected) = (&index["stopped"], (&json!(false), &Value::Null, &Value::Null));
    assert_eq!((&stop["holds_up_jobs"], &stop["gives_up_at"], &index["next"]), expected, "{shown}");
    // Its message needs no server.
    let mut worker = test_dir.command(&["work", "--target", "marqo", "--data-dir", "data"]).spawn().unwrap();
    wait_for(|| (json_of(&test_dir, &[])["shops"][0]["messages"] == 0).then_some(()));
    worker.kill().unwrap();
    worker.wait().unwrap();
    let stopped = &json_of(&test_dir, &[])["shops"][0]["indexes"][0]["stopped"];
    assert_eq!(stopped["probes"], 0, "{stopped}");
}

#[test]
fn while_a_server_cannot_be_reached_the_status_says_which_attempt_failed() {
    let (test_dir, server, _) = stopped_job();
    drop(server);
    assert_eq!(host(&test_dir, &["resume", SHOP]).code, Some(0));
    let mut worker = test_dir.command(&["work", "--target", "marqo", "--data-dir", "data"]);
    worker.env("HOST_MARQO__UNREACHABLE_TIMEOUT_SECONDS", "1");
    let mut worker = worker.spawn().unwrap();
    let told = wait_for(|| {
        let told = status(&test_dir, &[]);
        (told.stdout.contains(" of 9 failed at ") && told.stdout.contains("the next one begins "))
            .then_some(told)
    });
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert!(told.stdout.contains("cannot be reached"), "{told:?}");
    let error = json_of(&test_dir, &[])["shops"][0]["indexes"][0]["jobs"][0]["last_error"].clone();
    assert_eq!(error["max_attempts"], 9, "{error}");
}

#[test]
fn a_worker_of_another_target_does_not_hide_that_none_of_its_own_runs() {
    let (test_dir, server, _) = stopped_job();
    server.set_faults(&[]);
    assert_eq!(host(&test_dir, &["resume", SHOP]).code, Some(0));
    let mut worker =
        test_dir.command(&["work", "--target", "catalog", "--data-dir", "data"]).spawn().unwrap();
    let told = wait_for(|| {
        let told = status(&test_dir, &[]);
        told.stdout.contains("a worker of another target left it at ").then_some(told)
    });
    worker.kill().unwrap();
    worker.wait().unwrap();
    let resume = format!("host run --shop {SHOP} --target marqo --data-dir data");
    assert!(commands(&told.stdout).contains(&resume), "{told:?}");
}

#[test]
fn where_the_settings_name_the_plugins_a_command_needs_none() {
    let test_dir = test_dir(1);
    ingest(&test_dir);
    assert!(status(&test_dir, &[]).stdout.contains("--plugin"));
    test_dir.write("host.toml", format!("[plugin]\nfiles = [{:?}]\n", SHOPIFY.to_str().unwrap()));
    let told = status(&test_dir, &[]);
    assert!(
        told.stdout.contains("no worker runs: `host run ") && !told.stdout.contains("--plugin"),
        "{told:?}"
    );
}

#[test]
fn a_mistyped_shop_does_not_look_well() {
    let test_dir = test_dir(1);
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
    for command in [vec!["status", "--shop", "test.myshopify.com"], vec!["resume", "test.myshopify.com"]] {
        let told = host(&test_dir, &command);
        assert_eq!((told.code, told.stdout.as_str()), (Some(2), ""), "{told:?}");
        let said = format!("nothing is known of shop test.myshopify.com\n  help: did you mean {SHOP}?\n");
        assert!(told.stderr.ends_with(&said), "{told:?}");
    }
    // One that was forgotten is known.
    assert_eq!(host(&test_dir, &["shop", "forget", SHOP, "--yes"]).code, Some(0));
    assert_eq!(status(&test_dir, &["--shop", SHOP]).code, Some(0));
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
    let command = |line| str::strip_prefix(line, "  ").filter(|line| line.starts_with("host dlq redrive"));
    let redrive = letter.stdout.lines().find_map(command).unwrap();
    assert_eq!(paste(&test_dir, redrive).code, Some(0), "{letter:?}");
    work();
    assert_eq!(status(&test_dir, &[]).stdout, NOTHING);
}
