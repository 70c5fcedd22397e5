//! The Lambda package of host on a stand-in for AWS, with the shop's SQS queue as its event source, and the metrics
//! that CloudWatch takes from the function's log.

use crate::{
    aws::{Cloud, sample},
    support::run_output,
};
use marqo_stand_in::{Operation, Options};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};
use xtask::lambda_package::LambdaPackage;

const FUNCTION: &str = "dev-EcomIndexerFunction";
const QUEUE: &str = "dev-ecom-indexer-shop-0_myshopify_com.fifo";

/// More than the 100 values that a log line of a histogram can hold: each document is a request of its own.
const PRODUCTS: u64 = 150;

/// Runs `function.py`, which uses AWS's Python library, on the function; returns what it printed.
fn with_function(cloud: &Cloud, arguments: &[&str]) -> String {
    let mut command = Command::new(cloud.aws.python());
    command.args(["-c", include_str!("function.py"), cloud.aws.url(), FUNCTION]).args(arguments);
    let output = run_output(cloud.with_credentials(command).output().unwrap());
    assert_eq!(output.code, Some(0), "{output:?}");
    output.stdout
}

/// The settings of this test's commands as JSON of environment variables for the function.
fn variables(cloud: &Cloud) -> String {
    let command = cloud.command(&[]);
    let text = |text: &std::ffi::OsStr| text.to_str().unwrap().to_owned();
    let ours = command.get_envs().filter(|(name, _)| text(name).starts_with("HOST_"));
    let mut variables: Map<String, Value> =
        ours.map(|(name, value)| (text(name), text(value.unwrap()).into())).collect();
    variables.insert("HOST_TELEMETRY__EMF".to_owned(), "true".into());
    // One chunk after the other: otherwise a second has more requests than a log line can hold.
    variables.insert("HOST_WORKER__CONCURRENCY".to_owned(), "1".into());
    variables.insert("HOST_WORKER__LEASE_SECONDS".to_owned(), "60".into());
    Value::Object(variables).to_string()
}

/// A metric that CloudWatch knows.
#[derive(Debug, serde::Deserialize)]
struct Metric {
    namespace: String,
    name: String,
    dimensions: BTreeMap<String, String>,
    unit: String,
    sum: f64,
    samples: f64,
}

#[test]
fn the_lambda_service_runs_the_package_and_cloudwatch_takes_its_metrics() {
    let (cloud, shops) = Cloud::with(1, Options { latency: Duration::from_millis(25), ..Options::default() });
    let shop = &shops[0];
    std::fs::write(&shop.source, sample(0, PRODUCTS)).unwrap();
    let one_by_one = ["settings", "put", &shop.index, "--batch-documents", "1", "--concurrency", "1"];
    assert_eq!(cloud.host(&one_by_one).code, Some(0));
    let mut ingest = cloud.export("ingest", shop);
    let ingested = run_output(ingest.env("HOST_INGEST__CHUNK_DOCUMENTS", "40").output().unwrap());
    assert_eq!(ingested.code, Some(0), "{ingested:?}");

    let (host, zip) = (Path::new(env!("CARGO_BIN_EXE_host")), cloud.test_dir.path("host.zip"));
    LambdaPackage { host, config: None, plugins: &[] }.write(cloud.test_dir.dir.path(), &zip).unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    with_function(&cloud, &["create", zip.to_str().unwrap(), architecture, QUEUE, &variables(&cloud)]);
    let job = cloud.ended(shop);
    cloud.is_complete(shop, &job);
    assert_eq!((&job["total_items"], &job["processed"]), (&PRODUCTS.into(), &PRODUCTS.into()), "{job}");
    with_function(&cloud, &["drain", QUEUE]);

    let known: Vec<Metric> = serde_json::from_str(&with_function(&cloud, &["metrics"])).unwrap();
    // Each combination of dimensions is billed: they are few, and none of them grows with shops and jobs.
    let allowed = ["class", "code", "disposition", "found", "operation", "outcome", "reason"];
    let id = job["job_id"].as_str().unwrap();
    for metric in &known {
        assert_eq!(metric.namespace, "host");
        for (name, value) in &metric.dimensions {
            assert!(allowed.contains(&name.as_str()), "{metric:?}");
            assert!(![id, &shop.id, &shop.index].contains(&value.as_str()), "{metric:?}");
        }
        let unit = if metric.name.ends_with("_seconds") { "Seconds" } else { "None" };
        assert_eq!(metric.unit, unit, "{metric:?}");
    }
    // Sum and number of samples of a metric with this value of a dimension.
    let of = |name: &str, dimension: &str, value: &str| {
        let is_it = |metric: &&Metric| {
            metric.name == name && metric.dimensions.get(dimension).is_some_and(|found| found == value)
        };
        known
            .iter()
            .filter(is_it)
            .fold((0.0, 0.0), |(sum, samples), metric| (sum + metric.sum, samples + metric.samples))
    };
    assert_eq!(of("host_items_total", "class", "processed").0, PRODUCTS as f64, "{known:?}");
    assert_eq!(of("host_chunks_total", "outcome", "done").0, job["chunks"].as_f64().unwrap(), "{known:?}");
    // No request is missing, although one invocation had more requests than a log line can hold.
    let requests = cloud.marqo.requests();
    for (operation, name) in [(Operation::Add, "add"), (Operation::Delete, "delete")] {
        let asked = requests.iter().filter(|request| request.operation == operation).count();
        let (seconds, samples) = of("host_marqo_request_seconds", "operation", name);
        assert!(asked > 0 && seconds > 0.0, "{name}: {known:?}");
        assert_eq!(samples, asked as f64, "{name}: {known:?}");
    }
    for name in
        ["host_chunk_claims_total", "host_chunk_seconds", "host_marqo_concurrency", "host_marqo_items_total"]
    {
        assert!(known.iter().any(|metric| metric.name == name), "{name}: {known:?}");
    }
}
