//! What people stumble over in everyday use: each mistake is explained, and nothing hangs.

use crate::support::{RunOutput, SHOP, SHOPIFY, TestDir, interrupt, lines, product, run_output};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::Command,
    time::{Duration, Instant},
};

const AT: &str = "2026-01-01T00:00:00Z";

fn export(products: u32, title: &str) -> String {
    let products = (1..=products).flat_map(|number| product(number, &format!("{title} {number}"), AT));
    lines(&products.collect::<Vec<_>>())
}

/// A job whose ingest was interrupted, as `jobs show` prints it.
fn interrupted(test_dir: &TestDir) -> Value {
    test_dir.write("export.jsonl", export(6000, "Thing"));
    test_dir.write("host.toml", "[ingest]\nchunk_documents = 50\n");
    let child = test_dir.spawn("export.jsonl");
    // Interrupt it once a few chunks (files of documents) are published.
    while !test_dir.path("data/chunks/shopify").exists() || test_dir.chunks().len() < 4 {
        std::thread::sleep(Duration::from_millis(1));
    }
    interrupt(child.id());
    let left = run_output(child.wait_with_output().unwrap());
    assert_eq!((left.code, &left.json()["sealed"]), (Some(130), &Value::from(false)), "{left:?}");
    left.json()
}

fn job(test_dir: &TestDir, id: &Value) -> Value {
    test_dir.host(&["jobs", "show", id.as_str().unwrap(), "--data-dir", "data", "--output", "json"]).json()
}

#[test]
fn wrong_settings_are_explained_in_the_words_of_the_settings() {
    let test_dir = TestDir::new();
    let check = |test_dir: &TestDir, variable: Option<(&str, &str)>, arguments: &[&str]| {
        let mut command = test_dir.command(&[&["config", "check"], arguments].concat());
        let output = run_output(command.envs(variable).output().unwrap());
        assert_eq!(output.code, Some(2), "{output:?}");
        output.stderr.lines().next().unwrap().to_owned() + "\n"
    };
    let mut said = String::new();
    for toml in [
        "[ingest]\nchunk_bytes = \"8 MB\"\n",
        "[ingest]\nlanes = 0\n",
        "[ingest]\nlanes = 70000\n",
        "[ingest]\nlanes = -1\n",
        "[ingest]\ngrouping = \"guess\"\n",
        "[worker]\nlease_seconds = 1.5\n",
        "[worker]\nsame_version = true\n",
        "ingest = 3\n",
        "shop = [\"a\", \"b\"]\n",
        "[plugin]\nfiles = \"shopify.wasm\"\n",
        "[plugin.limits]\nfuel = true\n",
        "[plugins]\n",
        "target = \"index\"\n",
        "[aws]\nenv = \"Dev_1\"\n",
    ] {
        test_dir.write("host.toml", toml);
        said += &check(&test_dir, None, &[]);
    }
    test_dir.write("host.toml", "");
    said += &check(&test_dir, Some(("HOST_INGEST__LANES", "many")), &[]);
    said += &check(&test_dir, Some(("HOST_INGEST__LANE", "3")), &[]);
    insta::assert_snapshot!(said);
    // A flag is checked, too, and before any request to AWS.
    let bootstrap = test_dir.host(&["aws", "bootstrap", "--env", "Dev_1", "--dry-run"]);
    assert_eq!(bootstrap.code, Some(2), "{bootstrap:?}");
    assert!(bootstrap.stderr.contains("`aws.env` is `Dev_1`"), "{bootstrap:?}");
    for rust_word in ["usize", "u64", "NonZero", "struct", "enum", "sequence", "invalid type"] {
        assert!(!said.contains(rust_word), "{rust_word}");
    }
}

#[test]
fn checking_the_settings_loads_the_plugins_with_theirs() {
    let test_dir = TestDir::new();
    let shopify = SHOPIFY.to_str().unwrap();
    let check = |config: &str| {
        test_dir.write("host.toml", format!("[plugin]\nfiles = [{shopify:?}]\n{config}"));
        test_dir.host(&["config", "check"])
    };
    assert_eq!(check("[plugin.config.shopify]\nlevel = \"variant\"\n").stdout, "the settings are good\n");
    for (config, fault) in [
        ("[plugin.config.shopify]\nlevle = \"variant\"\n", "unknown field `levle`"),
        ("[plugin.config.validate]\nrequired = 3\n", "required"),
        ("[plugin.config.shopware]\na = 1\n", "no plug-in of this name"),
    ] {
        let output = check(config);
        assert!(output.code == Some(2) && output.stderr.contains(fault), "{output:?}");
    }
}

#[test]
fn an_inspection_says_what_a_setting_may_be() {
    let test_dir = TestDir::new();
    let output = test_dir.host(&["plugin", "inspect", SHOPIFY.to_str().unwrap()]);
    let settings: Vec<&str> = output.stdout.lines().filter(|line| line.starts_with("  setting ")).collect();
    insta::assert_snapshot!(settings.join("\n"));
}

#[test]
fn an_inspection_lists_imports_that_would_be_refused() {
    let test_dir = TestDir::new();
    let plugin = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crates/plugin-host/tests/fixtures/contract-0.1.0/rust-std.wasm"
    );
    let output = test_dir.host(&["plugin", "inspect", plugin, "--wasi", "none"]);
    assert!(output.code == Some(0) && output.stdout.contains("wasi:cli/stdout"), "{output:?}");
    assert!(output.stderr.contains("--wasi none refuses to run it"), "{output:?}");
}

#[test]
fn the_help_of_an_ingest_is_its_own() {
    let help = TestDir::new().host(&["ingest", "--help"]).stdout;
    assert!(!help.contains("host run") && help.contains("<SOURCE>..."), "{help}");
}

#[test]
fn a_cancelled_job_says_once_why() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", export(30, "Mug"));
    test_dir.write("host.toml", "[ingest]\nchunk_documents = 10\n");
    let source =
        ["export.jsonl", "--plugin", SHOPIFY.to_str().unwrap(), "--shop", SHOP, "--data-dir", "data"];
    let ingested = test_dir.host(&[&["ingest", "--output", "json"], &source[..]].concat());
    let job = ingested.json()["job_id"].as_str().unwrap().to_owned();
    let cancelled = test_dir.host(&["jobs", "cancel", &job, "--data-dir", "data"]);
    assert_eq!(cancelled.stdout.matches("before the chunk was written").count(), 1, "{cancelled:?}");
}

/// A power cut leaves, at worst, the database without its journal. While another process has the database open, SQLite
/// does not write the journal back when a command ends.
#[test]
fn exit_0_is_durable_beside_another_process() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", export(3, "Mug"));
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
    let (file, copy) = (test_dir.path("data/host.db"), test_dir.path("copy.db"));
    let completed = |file: &std::path::Path| -> u32 {
        let file = rusqlite::Connection::open(file).unwrap();
        file.query_row("SELECT count(*) FROM job WHERE status = 'COMPLETED'", [], |row| row.get(0)).unwrap()
    };
    let other = rusqlite::Connection::open(&file).unwrap();
    other.query_row("SELECT count(*) FROM job", [], |row| row.get::<_, u32>(0)).unwrap();
    test_dir.write("export.jsonl", export(4, "Mug"));
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
    assert!(test_dir.path("data/host.db-wal").exists());
    std::fs::copy(&file, &copy).unwrap();
    assert_eq!(completed(&copy), 2);
    drop(other);
}

#[test]
fn what_does_not_exist_is_no_empty_answer() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", export(1, "Mug"));
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
    let mut said = String::new();
    for arguments in [
        &["documents", "get", "404"][..],
        &["documents", "list", "--index", "nowhere"],
        &["documents", "count", "--index", "nowhere"],
        &["documents", "get", "1", "--index", "nowhere"],
        &["documents", "list", "--shop", "unknown.myshopify.com"],
        &["documents", "count", "--shop", "unknown.myshopify.com", "--index", "shopify-tests"],
        &["jobs", "show", "404"],
    ] {
        let output = test_dir.host(&[arguments, &["--data-dir", "data"]].concat());
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{arguments:?} {output:?}");
        said += &format!("{}\n{}\n", arguments.join(" "), output.stderr);
    }
    insta::assert_snapshot!(said);
    // An index whose only document was removed exists: it has 0 documents.
    test_dir.write("export.jsonl", export(1, "Mug").replace("ACTIVE", "DRAFT"));
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
    let count = test_dir.host(&["documents", "count", "--data-dir", "data"]);
    assert_eq!((count.code, count.stdout.as_str()), (Some(0), "0\n"), "{count:?}");
}

#[test]
fn a_run_without_a_source_says_that_it_works_the_queue() {
    let test_dir = TestDir::new();
    let mut child = test_dir.command(&["run", "--shop", SHOP, "--data-dir", "data"]).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, format!("working the queue of {SHOP} until Ctrl-C\n"));
    interrupt(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// A worker started with another build of the plug-in may also have other validators than the command that made the
/// job.
#[test]
fn a_worker_with_another_plugin_than_a_job_had_warns_of_it() {
    let test_dir = TestDir::new();
    let source = test_dir.write("export.jsonl", export(1, "Mug"));
    let shopify = SHOPIFY.to_str().unwrap();
    let ingest =
        ["ingest", "--shop", SHOP, "--data-dir", "data", "--plugin", shopify, source.to_str().unwrap()];
    assert_eq!(test_dir.host(&ingest).code, Some(0));
    let mut other = std::fs::read(shopify).unwrap();
    other.extend_from_slice(b"\x00\x03\x01xy");
    let other = test_dir.write("other.wasm", other);
    for (plugin, warns) in [(other.to_str().unwrap(), true), (shopify, false)] {
        let mut work = test_dir.command(&["work", "--data-dir", "data", "--plugin", plugin]).spawn().unwrap();
        let mut said = String::new();
        let mut stderr = BufReader::new(work.stderr.take().unwrap());
        while !said.contains("working the queues of all shops until Ctrl-C\n") {
            assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
        }
        // Killed before it writes, if possible, so that the second worker finds the job open, too.
        work.kill().unwrap();
        work.wait().unwrap();
        assert_eq!(said.contains("warning: the documents of job "), warns, "{said}");
    }
}

#[test]
fn watching_a_job_without_a_worker_ends() {
    let test_dir = TestDir::new();
    let left = interrupted(&test_dir);
    let id = left["job_id"].as_str().unwrap();
    let watch = ["jobs", "watch", id, "--data-dir", "data", "--output", "json"];
    let started = Instant::now();
    let output = test_dir.host(&watch);
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!((output.code, &output.json()["status"]), (Some(1), &left["status"]), "{output:?}");
    let expected = output.stderr;
    let hint = format!(
        "warning: no worker runs for job {id}: re-run the original command to resume, which may be `host run export.jsonl "
    );
    assert!(expected.starts_with(&hint), "{expected}");
    let shown = test_dir.host(&["jobs", "show", id, "--data-dir", "data"]);
    assert_eq!((shown.code, &shown.stderr), (Some(0), &expected), "{shown:?}");
    assert!(shown.stdout.contains(" so far are written\n"), "{shown:?}");

    // `jobs watch` follows a job that another process resumes.
    let mut resumed = test_dir.spawn("export.jsonl");
    let mut said = String::new();
    BufReader::new(resumed.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert!(
        said.starts_with("resuming job")
            && said.contains(", which was interrupted or which another process works on: "),
        "{said}"
    );
    let output = test_dir.host(&watch);
    assert_eq!((output.code, &output.json()["processed"]), (Some(0), &Value::from(6000)), "{output:?}");
    assert!(resumed.wait().unwrap().success());
}

#[test]
fn a_changed_export_supersedes_the_interrupted_job() {
    let test_dir = TestDir::new();
    let left = interrupted(&test_dir);
    test_dir.write("export.jsonl", export(20, "Thing"));
    let output = test_dir.run("export.jsonl", &[]);
    let view = output.json();
    assert_eq!((output.code, &view["status"]), (Some(0), &"COMPLETED".into()), "{output:?}");
    assert_ne!(view["job_id"], left["job_id"]);
    let id = left["job_id"].as_str().unwrap();
    assert!(
        output.stderr.contains(&format!("job {id} was interrupted and is superseded by this run")),
        "{output:?}"
    );

    let old = job(&test_dir, &left["job_id"]);
    assert_eq!((&old["status"], &old["sealed"]), (&"FAILED".into(), &false.into()), "{old}");
    let by = format!("superseded by job {}", view["job_id"].as_str().unwrap());
    assert!(old["error_message"].as_str().unwrap().starts_with(&by), "{old}");
    // The chunks that it had published come before the new job's, and are written and counted. One chunk may be
    // missing, which had its row and no message yet when the process ended.
    let [chunks, written] = ["chunks", "completed_chunks"].map(|key| old[key].as_u64().unwrap());
    assert!(chunks > 0 && (written == chunks || written + 1 == chunks), "{old}");
    assert_eq!(old["processed"].as_u64().unwrap(), 50 * written, "{old}");
    let watch = test_dir.host(&["jobs", "watch", id, "--data-dir", "data"]);
    assert!(watch.code == Some(4) && watch.stdout.contains("  reason     superseded by job"), "{watch:?}");

    // The old export again makes a new job, since the old job has ended.
    test_dir.write("export.jsonl", export(6000, "Thing"));
    let again = test_dir.run("export.jsonl", &[]);
    assert_eq!((again.code, &again.json()["total_items"]), (Some(0), &Value::from(6000)), "{again:?}");
    assert_ne!(again.json()["job_id"], left["job_id"]);
}

#[test]
fn a_job_that_is_being_ingested_is_not_superseded() {
    let test_dir = TestDir::new();
    let left = interrupted(&test_dir);
    // While the lock file is held, another process seems to ingest for the shop and index.
    let mut locks = std::fs::read_dir(test_dir.path("data/ingest")).unwrap();
    let lock = std::fs::File::open(locks.next().unwrap().unwrap().path()).unwrap();
    assert!(locks.next().is_none());
    lock.lock().unwrap();
    test_dir.write("export.jsonl", export(20, "Thing"));
    let mut waiting = test_dir.spawn("export.jsonl");
    // A run into another index does not wait.
    assert_eq!(test_dir.run("export.jsonl", &["--index", "other"]).code, Some(0));
    assert!(waiting.try_wait().unwrap().is_none(), "it does not wait");
    assert_eq!(job(&test_dir, &left["job_id"])["error_message"], Value::Null);
    drop(lock);
    assert!(waiting.wait().unwrap().success());
    assert_eq!(job(&test_dir, &left["job_id"])["status"], "FAILED");
}

#[test]
fn a_data_directory_of_another_user_is_told_from_a_missing_one() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", export(1, "Mug"));
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
    let data = test_dir.path("data");
    let mut command = Command::new(env!("CARGO_BIN_EXE_host"));
    command.args(["jobs", "list", "--data-dir"]).arg(&data).env_clear().current_dir("/");
    if std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        // Root may read everything, so the command runs as the user `nobody`.
        command.uid(65534).gid(65534);
    } else {
        std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    }
    let said =
        run_output(command.output().expect("another user can run the binary: its folders are open to all"));
    std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(said.code, Some(2), "{said:?}");
    let expected =
        format!("error: permission to look into the data directory {} is denied\n", data.display());
    assert!(said.stderr.starts_with(&expected), "{said:?}");
    let none = test_dir.host(&["jobs", "list", "--data-dir", "nowhere"]);
    assert!(none.stderr.starts_with("error: there is no data directory at nowhere\n"), "{none:?}");
}

#[test]
fn a_cache_that_cannot_be_used_is_warned_of_once() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", export(1, "Mug"));
    test_dir.write("cache", "a file where the folder should be");
    let mut command = test_dir.run_command("export.jsonl", &["--quiet"]);
    let RunOutput { code, stderr, .. } =
        run_output(command.env("XDG_CACHE_HOME", test_dir.path("cache")).output().unwrap());
    assert_eq!((code, stderr.matches("WARN").count()), (Some(0), 1), "{stderr}");
    assert!(stderr.contains("compiled plug-ins are not"), "{stderr}");
}

#[test]
fn spellings_of_one_shop_share_jobs_and_index() {
    let test_dir = TestDir::new();
    test_dir.write("host.toml", "data_dir = \"data\"\n");
    test_dir.write("export.jsonl", export(2, "Mug"));
    let run = |shop: &str| {
        let mut run =
            test_dir.command(&["run", "export.jsonl", "--shop", shop, "--output", "json", "--plugin"]);
        let output = run_output(run.arg(&*SHOPIFY).output().unwrap());
        assert_eq!(output.code, Some(0), "{output:?}");
        output.json()
    };
    for (shop, unchanged) in [("Foo", 0), ("foo.myshopify.com", 2), ("FOO", 2)] {
        let job = run(shop);
        assert_eq!(
            (&job["shop_id"], &job["index_name"]),
            (&"foo.myshopify.com".into(), &"shopify-foo".into())
        );
        assert_eq!(job["unchanged"], unchanged, "{shop}: {job}");
    }
    let [dots, dash] = ["a.b.com", "a-b.com"].map(|shop| run(shop)["index_name"].clone());
    assert_ne!(dots, dash);

    let json = |arguments: &[&str]| {
        let output = test_dir.host(&[arguments, &["--output", "json"]].concat());
        assert_eq!(output.code, Some(0), "{output:?}");
        output.json()
    };
    for shop in ["foo", "Foo", "FOO", "foo.myshopify.com", "FOO.myshopify.com"] {
        assert_eq!(json(&["jobs", "list", "--shop", shop]).as_array().unwrap().len(), 3, "{shop}");
        assert_eq!(json(&["why", "1", "--shop", shop])["state"], "live", "{shop}");
        assert_eq!(json(&["documents", "count", "--shop", shop])["count"], 2, "{shop}");
        assert_eq!(json(&["shop", "forget", shop, "--dry-run"])["jobs"], 3, "{shop}");
        let resumed = test_dir.host(&["resume", shop]);
        assert_eq!(resumed.stdout, "work on foo.myshopify.com was not stopped\n", "{shop}: {resumed:?}");
    }
    assert_eq!(json(&["shop", "forget", "Foo", "--yes"])["jobs"], 3);
    assert_eq!(json(&["jobs", "list"]).as_array().unwrap().len(), 2);
}
