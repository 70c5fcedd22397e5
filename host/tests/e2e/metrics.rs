//! Metrics go where the settings send them: to a Prometheus file, or to CloudWatch as log lines in the embedded metric
//! format.

use crate::support::{TestDir, run_output};
use marqo_stand_in::{Fault, FaultRule, Options, StandIn};
use serde_json::Value;

/// An export with one product and a line that is skipped.
const EXPORT: &str = r#"{"id":"gid://shopify/Product/1","title":"Mug","updatedAt":"2026-01-01T00:00:00Z"}
not a line
"#;

fn run(test_dir: &TestDir, setting: (&str, &str)) -> crate::support::RunOutput {
    let source = test_dir.write("export.jsonl", EXPORT);
    let mut command = test_dir.run_command(source.to_str().unwrap(), &["--quiet"]);
    run_output(command.env(setting.0, setting.1).output().unwrap())
}

#[test]
fn a_prometheus_file_holds_what_happened() {
    let test_dir = TestDir::new();
    let output = run(&test_dir, ("HOST_TELEMETRY__PROMETHEUS_FILE", "metrics.prom"));
    assert_eq!(output.code, Some(0), "{output:?}");
    let metrics = std::fs::read_to_string(test_dir.path("metrics.prom")).unwrap();
    for line in [
        "host_items_total{class=\"processed\"} 1",
        "host_items_total{class=\"skipped\"} 1",
        "# HELP host_chunks_total Finished chunks",
        "host_chunks_total{outcome=\"done\"} 1",
        "host_chunk_seconds_count 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
}

#[test]
fn cloudwatch_finds_its_lines_on_stderr() {
    let test_dir = TestDir::new();
    let output = run(&test_dir, ("HOST_TELEMETRY__EMF", "true"));
    assert_eq!(output.code, Some(0), "{output:?}");
    let lines: Vec<Value> =
        output.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let processed = lines.iter().find(|line| line["class"] == "processed");
    assert_eq!(processed.map(|line| &line["host_items_total"]), Some(&Value::from(1)), "{lines:?}");
    // CloudWatch bills each combination of dimensions, so none of them names the shop or the job.
    for line in &lines {
        assert!(!line.to_string().contains("tests.myshopify.com"), "{line}");
    }
}

/// Partial documents lack vectors that they should have. CloudWatch alarms that exist already watch these two names.
#[test]
fn cloudwatch_counts_partial_documents_under_their_alarm_names() {
    let (test_dir, server) = (
        TestDir::new(),
        StandIn::start(Options { indexes: vec!["shop".to_owned()], ..Options::default() }).unwrap(),
    );
    server.set_faults(&[FaultRule::new(Fault::Partial { field: None, reads: Some(1) })]);
    let put =
        ["settings", "put", "shop", "--endpoint", server.url(), "--tensor-field", "title", "--readback"];
    let output = test_dir.host(&[&put[..], &["--data-dir", "data"]].concat());
    assert_eq!(output.code, Some(0), "{output:?}");
    let source = test_dir.write("export.jsonl", EXPORT);
    let mut command =
        test_dir.run_command(source.to_str().unwrap(), &["--quiet", "--target", "marqo", "--index", "shop"]);
    let output = run_output(command.env("HOST_TELEMETRY__EMF", "true").output().unwrap());
    assert_eq!(output.code, Some(0), "{output:?}");
    for name in ["PartialDocumentsDetected", "PartialDocumentsRecoveredAfterRetry"] {
        let lines = output.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        assert_eq!(lines.filter(|line| line[name] == 1).count(), 1, "{name}: {output:?}");
    }
}

#[test]
fn prometheus_and_cloudwatch_at_once_are_refused() {
    let test_dir = TestDir::new();
    let source = test_dir.write("export.jsonl", EXPORT);
    let mut command = test_dir.run_command(source.to_str().unwrap(), &[]);
    command.env("HOST_TELEMETRY__EMF", "true").env("HOST_TELEMETRY__PROMETHEUS_FILE", "metrics.prom");
    let output = run_output(command.output().unwrap());
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("either to Prometheus or to CloudWatch"), "{output:?}");
}

#[test]
fn an_address_that_is_in_use_is_told_with_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&TestDir::new(), ("HOST_TELEMETRY__PROMETHEUS_LISTEN", &address));
    assert_eq!(output.code, Some(2), "{output:?}");
    let said = format!("metrics cannot be served at {address}, which `telemetry.prometheus_listen` names: ");
    assert!(output.stderr.contains(&said), "{output:?}");
}
