//! Ctrl-C ends cleanly, and the same command resumes.

use crate::{
    aws::wait_for,
    support::{ClosedPort, SHOP, TestDir, guest, interrupt, lines, product, run_output},
};
use std::{
    fs,
    time::{Duration, Instant},
};

/// Longest time that a process may take to end after an interrupt.
const TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn an_interrupted_run_is_resumed_by_the_same_command() {
    let test_dir = TestDir::new();
    let export: Vec<String> = (1..3000)
        .flat_map(|number| product(number, &format!("Thing {number}"), "2026-01-01T00:00:00Z"))
        .collect();
    test_dir.write("export.jsonl", lines(&export));
    test_dir.write("host.toml", "[ingest]\nchunk_documents = 50\n");
    let child = test_dir.spawn("export.jsonl");
    // Interrupted when the first chunk is published: ingest and indexing are both under way.
    while !test_dir.path("data/chunks/shopify").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    interrupt(child.id());
    let interrupted = run_output(child.wait_with_output().unwrap());
    assert_eq!(interrupted.code, Some(130), "{interrupted:?}");
    let told = "the rest is queued again; re-run the same command to resume job";
    assert!(interrupted.stderr.contains(told), "{interrupted:?}");
    let left = interrupted.json();
    assert!(["PENDING", "IN_PROGRESS"].contains(&left["status"].as_str().unwrap()), "{left}");

    let resumed = test_dir.run("export.jsonl", &[]);
    let view = resumed.json();
    assert_eq!((resumed.code, &view["job_id"]), (Some(0), &left["job_id"]), "{resumed:?}");
    assert_eq!(
        (&view["processed"], &view["unchanged"], &view["chunks"]),
        (&2999.into(), &0.into(), &60.into())
    );
}

/// Whether a thread that runs plug-ins has used a tenth of a second of processor time.
fn is_at_work(process: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let busy = |stat: &str| {
        let ticks = stat.rsplit(") ").next()?.split(' ').nth(11)?.parse::<u64>().ok()?;
        Some(stat.contains("(plugin-") && !stat.contains("(plugin-clock") && ticks >= 10)
    };
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok())
        .any(|stat| busy(&stat) == Some(true))
}

#[test]
fn a_plugin_that_loops_does_not_hold_an_interrupt_up() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", lines(&product(1, "Thing", "2026-01-01T00:00:00Z")));
    test_dir.write("host.toml", "[plugin.limits]\ncall_ms = 3600000\n[plugin.config.evil]\ndo = \"loop\"\n");
    let mut command = test_dir.command(&["run", "--shop", "loops.example", "--data-dir", "data", "--plugin"]);
    let mut child = command.arg(guest("guest-evil")).arg("export.jsonl").spawn().unwrap();
    while !is_at_work(child.id()) {
        std::thread::sleep(Duration::from_millis(10));
    }
    interrupt(child.id());
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > TIMEOUT {
            child.kill().unwrap();
            panic!("it waits for the plug-in: {:?}", run_output(child.wait_with_output().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(run_output(child.wait_with_output().unwrap()).code, Some(130));
}

/// A server that cannot be reached is shown with the job from the first failed attempt on, and an interrupt does not
/// wait for it.
#[test]
fn a_dead_server_is_shown_and_does_not_hold_an_interrupt_up() {
    let test_dir = TestDir::new();
    let dead = ClosedPort::new();
    let put = test_dir.host(&["settings", "put", "shop", "--data-dir", "data", "--endpoint", dead.url()]);
    assert_eq!(put.code, Some(0), "{put:?}");
    test_dir.write("export.jsonl", lines(&product(1, "Thing", "2026-01-01T00:00:00Z")));
    let mut run = test_dir.run_command("export.jsonl", &["--target", "marqo", "--index", "shop"]);
    run.env("HOST_WORKER__GRACE_SECONDS", "3600").env("HOST_MARQO__UNREACHABLE_TIMEOUT_SECONDS", "3600");
    let mut child = run.spawn().unwrap();
    let show = |more: &[&str]| test_dir.host(&[&["jobs", "show", "--data-dir", "data"], more].concat());
    let error = wait_for(|| {
        let shown = show(&["--output", "json"]);
        let error = (shown.code == Some(0)).then(|| shown.json()["last_error"].clone());
        error.filter(|error| error.is_object())
    });
    assert_eq!((&error["code"], &error["attempt"]), (&"index-unavailable".into(), &1.into()), "{error}");
    let text = show(&[]).stdout;
    assert!(text.contains("last error") && text.contains(dead.url()), "{text}");
    interrupt(child.id());
    wait_for(|| child_has_ended(child.id()).then_some(()));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let left = show(&["--output", "json"]).json();
    assert_eq!((&left["shop_id"], &left["completed_chunks"]), (&SHOP.into(), &0.into()));
}

/// Whether a child has ended and its parent has not yet asked for its exit code (a zombie).
fn child_has_ended(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.starts_with('Z') || rest.is_empty())
}
