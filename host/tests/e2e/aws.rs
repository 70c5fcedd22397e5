//! The stores in AWS through the real binary, on a server that stands in for AWS and one that stands in for Marqo.

use crate::support::{Place, Ran, SHOPIFY, ran};
use aws_sdk_sqs::{
    config::{BehaviorVersion, Credentials, Region},
    types::MessageSystemAttributeName,
};
use marqo_stand_in::{Options, StandIn};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};
use xtask::{
    ministack::Ministack,
    sample::{Recipe, Shape},
};

/// Longest wait for something that takes seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// An environment in AWS and a search server.
pub(crate) struct Cloud {
    place: Place,
    pub(crate) aws: Ministack,
    pub(crate) marqo: StandIn,
}

/// One export of a shop.
pub(crate) struct Shop {
    pub(crate) id: String,
    pub(crate) index: String,
    source: String,
}

impl Cloud {
    pub(crate) fn new(shops: usize) -> (Self, Vec<Shop>) {
        let place = Place::new();
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let aws = Ministack::start(target, place.dir.path()).unwrap();
        let shops: Vec<Shop> = (0..shops).map(|number| Shop::new(&place, number)).collect();
        let indexes = shops.iter().map(|shop| shop.index.clone()).collect();
        let marqo = StandIn::start(Options { indexes, ..Options::default() }).unwrap();
        let cloud = Self { place, aws, marqo };
        for _ in 0..2 {
            let made = cloud.host(&["aws", "bootstrap"]);
            assert_eq!(made.code, Some(0), "{made:?}");
            assert_eq!(
                made.stdout,
                "dev-ecom-product-data-bucket\ndev-EcomIndexerJobsTable\ndev-EcomIndexSettingsTable\n"
            );
        }
        for shop in &shops {
            let url = cloud.marqo.url().to_owned();
            let put =
                cloud.host(&["settings", "put", &shop.index, "--endpoint", &url, "--tensor-field", "title"]);
            assert_eq!(put.code, Some(0), "{put:?}");
        }
        (cloud, shops)
    }

    fn with_environment(&self, mut command: Command) -> Command {
        command
            .env("HOST_STORE", "aws")
            .env("HOST_TARGET", "marqo")
            .env("HOST_AWS__ENDPOINT_URL", self.aws.url())
            .env("HOST_AWS__INGEST_LEASE_SECONDS", "2")
            .env("HOST_INGEST__CHUNK_DOCUMENTS", "10")
            .env("HOST_WORKER__LEASE_SECONDS", "3")
            .env("AWS_ACCESS_KEY_ID", "123456789012")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_REGION", "eu-central-1");
        command
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.with_environment(self.place.command(arguments))
    }

    /// Up to ten messages of a queue, as the Lambda service hands them to a function.
    pub(crate) fn receive(&self, queue: &str) -> Vec<Value> {
        let keys = Credentials::new("123456789012", "secret", None, None, "test");
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .endpoint_url(self.aws.url())
            .credentials_provider(keys)
            .http_client(host::store::aws::http_client());
        let client = aws_sdk_sqs::Client::from_conf(config.build());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let received = runtime.block_on(async {
            let url = client.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap();
            let received = client.receive_message().queue_url(url).max_number_of_messages(10);
            let counted = received.message_system_attribute_names(MessageSystemAttributeName::All);
            counted.send().await.unwrap()
        });
        let record = |message: &aws_sdk_sqs::types::Message| {
            json!({
                "messageId": message.message_id(),
                "receiptHandle": message.receipt_handle(),
                "body": message.body(),
                "attributes": {"ApproximateReceiveCount": "1"},
                "eventSourceARN": format!("arn:aws:sqs:eu-central-1:123456789012:{queue}"),
            })
        };
        received.messages().iter().map(record).collect()
    }

    pub(crate) fn host(&self, arguments: &[&str]) -> Ran {
        ran(self.command(arguments).output().unwrap())
    }

    /// `host run` or `host ingest` of a shop's export.
    pub(crate) fn export(&self, command: &str, shop: &Shop) -> Command {
        let folder = format!("data-{}", shop.id);
        let arguments = [
            command,
            "--output",
            "json",
            "--shop",
            &shop.id,
            "--index",
            &shop.index,
            "--data-dir",
            &folder,
            "--plugin",
        ];
        let mut command = self.with_environment(self.place.command(&arguments));
        command.arg(&*SHOPIFY).arg(&shop.source);
        command
    }

    pub(crate) fn worker(&self) -> Child {
        self.command(&["work", "--data-dir", "data-worker"]).spawn().unwrap()
    }

    /// Puts bytes under a key of the bucket, whatever is there; gives what is there then.
    pub(crate) fn object(&self, key: &str, bytes: Option<&[u8]>) -> Vec<u8> {
        let keys = Credentials::new("123456789012", "secret", None, None, "test");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .endpoint_url(self.aws.url())
            .credentials_provider(keys)
            .force_path_style(true)
            .http_client(host::store::aws::http_client());
        let client = aws_sdk_s3::Client::from_conf(config.build());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bucket = "dev-ecom-product-data-bucket";
            if let Some(bytes) = bytes {
                let put = client.put_object().bucket(bucket).key(key).body(bytes.to_vec().into());
                put.send().await.unwrap();
            }
            let got = client.get_object().bucket(bucket).key(key).send().await.unwrap();
            got.body.collect().await.unwrap().into_bytes().to_vec()
        })
    }

    /// What comes about within some time.
    pub(crate) fn until<T>(&self, look: impl Fn() -> Option<T>) -> T {
        wait_for(look)
    }

    /// The newest job of a shop once it has ended.
    pub(crate) fn ended(&self, shop: &Shop) -> Value {
        let started = Instant::now();
        loop {
            let shown = self.host(&["jobs", "show", "--shop", &shop.id, "--output", "json"]);
            assert_eq!(shown.code, Some(0), "{shown:?}");
            let job = shown.json();
            if ["COMPLETED", "CONFLICT", "FAILED"].contains(&job["status"].as_str().unwrap()) {
                return job;
            }
            assert!(started.elapsed() < PATIENCE, "the job does not end: {job}");
            thread::sleep(Duration::from_millis(300));
        }
    }

    /// Every document is there, and every item counted once.
    pub(crate) fn is_complete(&self, shop: &Shop, job: &Value) {
        assert_eq!(job["status"], "COMPLETED", "{job}");
        let number = |key: &str| job[key].as_u64().unwrap();
        let counted = number("processed") + number("failed") + number("skipped") + number("conflict");
        assert_eq!(counted, number("total_items"), "{job}");
        assert_eq!(number("chunks"), number("completed_chunks"), "{job}");
        let documents = self.marqo.documents(&shop.index).len() as u64;
        assert_eq!(documents, number("processed") - number("deleted"), "{job}");
    }
}

impl Shop {
    fn new(place: &Place, number: usize) -> Self {
        let export = sample(number as u64, 60);
        let source = place.write(&format!("export-{number}.jsonl"), export).to_str().unwrap().to_owned();
        Self { id: format!("shop-{number}.myshopify.com"), index: format!("shopify-shop-{number}"), source }
    }
}

/// What comes about within some time.
pub(crate) fn wait_for<T>(look: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "it does not come about");
        thread::sleep(Duration::from_millis(300));
    }
}

/// An export of so many products; one with fewer has the first of them.
fn sample(seed: u64, products: u64) -> Vec<u8> {
    let mut export = Vec::new();
    let recipe =
        Recipe { seed, shape: Shape::Small, grouped: true, products, bytes: u64::MAX, bad_lines: 0.0 };
    xtask::sample::write(&recipe, &mut export).unwrap();
    export
}

/// Asks a process to end.
fn terminate(child: &Child) {
    let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn one_process_does_both_halves() {
    let (cloud, shops) = Cloud::new(1);
    let shop = &shops[0];
    let first = ran(cloud.export("run", shop).output().unwrap());
    assert_eq!(first.code, Some(0), "{first:?}");
    cloud.is_complete(shop, &first.json());
    assert_eq!(cloud.ended(shop)["job_id"], first.json()["job_id"]);
    // The same once more writes nothing.
    let second = ran(cloud.export("run", shop).output().unwrap());
    let (first, second) = (first.json(), second.json());
    assert_ne!(first["job_id"], second["job_id"]);
    assert_eq!(
        second["unchanged"].as_u64().unwrap() + second["deleted"].as_u64().unwrap(),
        second["processed"]
    );
    let listed = cloud.host(&["jobs", "list", "--output", "json"]).json();
    let ids: Vec<&Value> = listed.as_array().unwrap().iter().map(|job| &job["job_id"]).collect();
    assert_eq!(ids, [&second["job_id"], &first["job_id"]]);
}

#[test]
fn a_full_sync_removes_what_the_shop_has_no_more() {
    let (cloud, shops) = Cloud::new(1);
    let shop = &shops[0];
    let whole = || cloud.marqo.documents(&shop.index).into_keys().collect::<BTreeSet<String>>();
    let first = ran(cloud.export("run", shop).arg("--full").output().unwrap());
    assert!(first.code == Some(0) && first.stderr.contains("nothing to compare it with"), "{first:?}");
    let before = whole();
    std::fs::write(&shop.source, sample(0, 50)).unwrap();
    let second = ran(cloud.export("run", shop).arg("--full").output().unwrap());
    assert_eq!(second.code, Some(0), "{second:?}");
    cloud.is_complete(shop, &second.json());
    let left = whole();
    assert!(left.is_subset(&before) && left.len() < before.len(), "{left:?}");

    // Where others do the work, somebody says when it is done.
    std::fs::write(&shop.source, sample(0, 40)).unwrap();
    let mut worker = cloud.worker();
    let ingested = ran(cloud.export("ingest", shop).arg("--full").output().unwrap());
    assert_eq!(ingested.code, Some(0), "{ingested:?}");
    let job = cloud.ended(shop);
    let archive = ["catalog", "archive", "--shop", &shop.id, "--index", &shop.index, "--data-dir", "data"];
    let archived = cloud.host(&archive);
    assert_eq!(archived.code, Some(0), "{archived:?}");
    cloud.is_complete(shop, &job);
    assert!(whole().is_subset(&left) && whole().len() < left.len());
    terminate(&worker);
    worker.wait().unwrap();
}

#[test]
fn workers_elsewhere_write_what_ingests_publish() {
    let (cloud, shops) = Cloud::new(3);
    let mut workers = [cloud.worker(), cloud.worker()];
    for shop in &shops {
        let ingested = ran(cloud.export("ingest", shop).output().unwrap());
        assert_eq!(ingested.code, Some(0), "{ingested:?}");
        assert_eq!(ingested.json()["sealed"], true);
    }
    for shop in &shops {
        cloud.is_complete(shop, &cloud.ended(shop));
    }
    for worker in &workers {
        terminate(worker);
    }
    for worker in &mut workers {
        assert_eq!(worker.wait().unwrap().code(), Some(130));
    }
}

#[test]
fn killed_ingests_and_workers_lose_and_double_nothing() {
    let (cloud, shops) = Cloud::new(1);
    let shop = &shops[0];
    for millis in [200, 500, 900] {
        let mut ingest = cloud.export("ingest", shop).spawn().unwrap();
        let mut worker = cloud.worker();
        thread::sleep(Duration::from_millis(millis));
        worker.kill().unwrap();
        ingest.kill().unwrap();
        worker.wait().unwrap();
        ingest.wait().unwrap();
    }
    let mut worker = cloud.worker();
    let ingested = ran(cloud.export("ingest", shop).output().unwrap());
    assert_eq!(ingested.code, Some(0), "{ingested:?}");
    cloud.is_complete(shop, &cloud.ended(shop));
    let listed = cloud.host(&["jobs", "list", "--output", "json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "an interrupted ingest is gone on with: {listed}");
    terminate(&worker);
    worker.wait().unwrap();
}
