//! A server that refuses everything stops work on its index, which commands show and resume.

use crate::{
    aws::wait_for,
    support::{RunOutput, SHOP, SHOPIFY, TestDir, lines, product, run_output},
};
use marqo_stand_in::{Fault, FaultRule, Operation, Options, StandIn, Version};
use serde_json::Value;
use std::process::Command;

const INDEX: &str = "shop";

struct Shop {
    test_dir: TestDir,
    source: String,
    server: StandIn,
}

impl Shop {
    fn new() -> Self {
        let test_dir = TestDir::new();
        let export = lines(&product(1, "Mug", "2026-01-01T00:00:00Z"));
        let source = test_dir.write("export.jsonl", export).to_str().unwrap().to_owned();
        let options =
            Options { version: Version::V2_25, indexes: vec![INDEX.to_owned()], ..Options::default() };
        let shop = Self { test_dir, source, server: StandIn::start(options).unwrap() };
        shop.put();
        shop
    }

    fn host(&self, arguments: &[&str]) -> RunOutput {
        self.test_dir.host(&[arguments, &["--data-dir", "data"]].concat())
    }

    fn put(&self) -> RunOutput {
        let put = self.host(&[
            "settings",
            "put",
            INDEX,
            "--endpoint",
            self.server.url(),
            "--tensor-field",
            "title",
        ]);
        assert_eq!(put.code, Some(0), "{put:?}");
        put
    }

    fn run_command(&self) -> Command {
        self.test_dir.run_command(&self.source, &["--target", "marqo", "--index", INDEX])
    }

    fn run(&self) -> RunOutput {
        run_output(self.run_command().output().unwrap())
    }

    /// A run that logs and measures; what it and the metric of open breakers said.
    fn measured(&self) -> (RunOutput, Option<String>) {
        let metrics = self.test_dir.path("metrics.prom");
        let mut run = self.run_command();
        run.env("HOST_TELEMETRY__PROMETHEUS_FILE", &metrics).env("HOST_LOG", "info");
        let output = run_output(run.output().unwrap());
        let metrics = std::fs::read_to_string(metrics).unwrap();
        let open = metrics.lines().find_map(|line| line.strip_prefix("host_breakers_open "));
        (output, open.map(str::to_owned))
    }

    fn refuse(&self) {
        self.server.set_faults(&[FaultRule::new(Fault::Gateway { status: 403 }).on(Operation::Add)]);
        let run = self.run();
        assert!(run.code == Some(1) && run.stderr.contains("403"), "{run:?}");
    }

    fn stopped(&self) -> Value {
        self.host(&["jobs", "show", "--output", "json"]).json()["stopped"].clone()
    }
}

#[test]
fn what_stops_an_index_is_shown_and_resumed() {
    let shop = Shop::new();
    assert_eq!(shop.host(&["resume", SHOP]).code, Some(2), "there is no job of it");
    shop.refuse();
    let stopped = shop.stopped();
    assert_eq!((&stopped["code"], &stopped["index_name"]), (&"index-refused".into(), &INDEX.into()));
    assert!(stopped["message"].as_str().unwrap().contains("403"), "{stopped}");
    for command in [["jobs", "show"], ["jobs", "list"]] {
        let shown = shop.host(&command);
        for part in ["403", "next try", &format!("`host resume {SHOP} --data-dir data`")] {
            assert!(shown.stdout.contains(part), "{part}: {shown:?}");
        }
    }
    let listed = shop.host(&["jobs", "list", "--output", "json"]).json();
    assert_eq!(listed[0]["stopped"]["since"], stopped["since"]);

    let other = shop.host(&["resume", SHOP, "--index", "other"]);
    assert_eq!((other.code, shop.stopped()), (Some(0), stopped), "{other:?}");
    let resumed = shop.host(&["resume", SHOP]);
    assert!(resumed.code == Some(0) && resumed.stdout.contains("403"), "{resumed:?}");
    assert_eq!(shop.stopped(), Value::Null);

    shop.refuse();
    let resumed = shop.host(&["resume", SHOP, "--index", INDEX, "--output", "json"]).json();
    assert_eq!((&resumed[0]["code"], &resumed[0]["shop_id"]), (&"index-refused".into(), &SHOP.into()));
    assert_eq!(shop.host(&["resume", SHOP, "--output", "json"]).json(), serde_json::json!([]));

    // New settings may be what was missing.
    shop.refuse();
    assert!(shop.put().stderr.contains("resumed index shop"));
    assert_eq!(shop.stopped(), Value::Null);
}

#[test]
fn a_run_tries_what_is_stopped_at_once_and_resumes_it() {
    let shop = Shop::new();
    shop.refuse();
    let since = shop.stopped()["since"].clone();
    let again = shop.run();
    assert!(again.code == Some(1) && again.stderr.contains("; trying now"), "{again:?}");
    assert_eq!(shop.stopped()["since"], since, "it is the same stop");
    shop.server.set_faults(&[]);
    let run = shop.run();
    assert!(run.code == Some(0) && run.stderr.contains("; trying now"), "{run:?}");
    assert_eq!((&run.json()["status"], &run.json()["stopped"]), (&"COMPLETED".into(), &Value::Null));
    assert_eq!(shop.host(&["resume", SHOP]).stdout, format!("work on {SHOP} was not stopped\n"));
}

#[test]
fn a_metric_counts_what_is_stopped_and_the_log_says_what_resumed_it() {
    let shop = Shop::new();
    shop.server.set_faults(&[FaultRule::new(Fault::Gateway { status: 403 }).on(Operation::Add)]);
    let (refused, open) = shop.measured();
    assert_eq!((refused.code, open.as_deref()), (Some(1), Some("1")), "{refused:?}");
    shop.server.set_faults(&[]);
    let (done, open) = shop.measured();
    assert_eq!((done.code, open.as_deref()), (Some(0), Some("0")), "{done:?}");
    let logged = |output: &RunOutput, by: &str| {
        output.stderr.lines().any(|line| line.contains("work on an index goes on") && line.contains(by))
    };
    assert!(logged(&done, "by=\"probe\""), "{done:?}");

    for (by, at, command) in [
        ("host resume", "2026-01-02T00:00:00Z", vec!["resume", SHOP]),
        (
            "host settings put",
            "2026-01-03T00:00:00Z",
            vec!["settings", "put", INDEX, "--endpoint", shop.server.url()],
        ),
    ] {
        shop.test_dir.write("export.jsonl", lines(&product(1, by, at)));
        shop.refuse();
        let mut command = shop.test_dir.command(&[&command[..], &["--data-dir", "data"]].concat());
        let resumed = run_output(command.env("HOST_LOG", "info").output().unwrap());
        assert!(resumed.code == Some(0) && logged(&resumed, by), "{resumed:?}");
        shop.server.set_faults(&[]);
        assert_eq!(shop.run().code, Some(0));
    }
}

/// The chunk is hidden for 15 seconds by then; in a data directory it is there at once.
#[test]
fn what_is_resumed_does_not_wait() {
    let shop = Shop::new();
    shop.server.set_faults(&[FaultRule::new(Fault::Gateway { status: 403 }).on(Operation::Add)]);
    let ingest =
        ["ingest", "--shop", SHOP, "--target", "marqo", "--index", INDEX, "--data-dir", "data", "--plugin"];
    let mut ingest = shop.test_dir.command(&ingest);
    assert_eq!(run_output(ingest.arg(&*SHOPIFY).arg(&shop.source).output().unwrap()).code, Some(0));
    let mut worker =
        shop.test_dir.command(&["work", "--target", "marqo", "--data-dir", "data"]).spawn().unwrap();
    wait_for(|| (shop.stopped() != Value::Null).then_some(()));
    worker.kill().unwrap();
    worker.wait().unwrap();
    let queue = rusqlite::Connection::open(shop.test_dir.path("data/host.db")).unwrap();
    let hidden = "SELECT count(*) FROM message WHERE hidden_until > 0";
    let hidden = || queue.query_row(hidden, [], |row| row.get::<_, u32>(0)).unwrap();
    assert_eq!(hidden(), 1);
    let resumed = shop.host(&["resume", SHOP]);
    assert!(
        resumed.stdout.contains("\nno worker runs, and the next attempt shows whether the cause is gone: "),
        "{resumed:?}"
    );
    assert_eq!(hidden(), 0);
}
