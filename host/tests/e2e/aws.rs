//! The storage in AWS (S3, SQS, DynamoDB) on stand-ins: local servers that answer as AWS and Marqo do. Other tests of
//! AWS use [`Cloud`] from here.

use crate::support::{RunOutput, SHOPIFY, TestDir, run_output};
use host_storage_aws::{AwsConfig, Clients, Dynamo};
use marqo_stand_in::{Options, StandIn};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::Path,
    process::{Child, Command},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use xtask::{
    aws_demo::{AwsDemo, index_name},
    ministack::Ministack,
    sample::{SampleOptions, Shape},
};

/// Longest wait for something that takes seconds on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(300);

/// An account in AWS with the resources of host, and a search server.
pub(crate) struct Cloud {
    pub(crate) test_dir: TestDir,
    pub(crate) aws: Arc<Server>,
    /// The stand-in for AWS keeps accounts apart, so that tests can share one.
    account: String,
    pub(crate) marqo: StandIn,
}

/// A shop, its index on the search server, and the file of its export.
pub(crate) struct Shop {
    pub(crate) id: String,
    pub(crate) index: String,
    pub(crate) source: String,
}

/// Clients of an account on a stand-in for AWS.
pub(crate) fn clients(url: &str, account: &str) -> Clients {
    clients_in("eu-central-1", url, account)
}

pub(crate) fn clients_in(region: &str, url: &str, account: &str) -> Clients {
    let config = AwsConfig {
        region: Some(region.to_owned()),
        endpoint_url: Some(url.to_owned()),
        ..AwsConfig::default()
    };
    block_on(Clients::connect_with_keys(&config, account, "secret"))
}

impl Cloud {
    /// A stand-in for AWS of its own, and `shops` shops with their indexes and exports.
    pub(crate) fn new(shops: usize) -> (Self, Vec<Shop>) {
        Self::with(shops, Options::default())
    }

    /// As [`Self::new`], with these options of the search server.
    pub(crate) fn with(shops: usize, marqo: Options) -> (Self, Vec<Shop>) {
        let indexes = (0..shops).map(Shop::index_of).collect();
        let cloud = Self::on(&Server::start(), 123_456_789_012, Options { indexes, ..marqo });
        let shops: Vec<Shop> = (0..shops).map(|number| Shop::new(&cloud.test_dir, number)).collect();
        for shop in &shops {
            cloud.put_settings(shop);
        }
        (cloud, shops)
    }

    /// An account on a stand-in for AWS, in which `host aws bootstrap` has created what host needs.
    pub(crate) fn on(aws: &Arc<Server>, account: u64, marqo: Options) -> Self {
        let (account, marqo) = (format!("{account:012}"), StandIn::start(marqo).unwrap());
        let cloud = Self { test_dir: TestDir::new(), aws: aws.clone(), account, marqo };
        let each_says = |made: &RunOutput, what: &str| {
            assert_eq!((made.code, made.stdout.lines().count()), (Some(0), 4), "{made:?}");
            assert!(made.stdout.lines().all(|line| line.contains(what)), "{made:?}");
        };
        each_says(&cloud.host(&["aws", "bootstrap", "--dry-run"]), ": create");
        each_says(&cloud.host(&["aws", "bootstrap"]), ": create");
        each_says(&cloud.host(&["aws", "bootstrap"]), ": nothing to change");
        cloud
    }

    /// Name of the bucket; it has the account's number, since buckets of all accounts share their names.
    pub(crate) fn bucket(&self) -> String {
        format!("{}-ecom-product-data-bucket", self.account)
    }

    pub(crate) fn put_settings(&self, shop: &Shop) {
        let put = ["settings", "put", &shop.index, "--endpoint", self.marqo.url(), "--tensor-field", "title"];
        let put = self.host(&put);
        assert_eq!(put.code, Some(0), "{put:?}");
    }

    fn with_environment(&self, mut command: Command) -> Command {
        command
            .env("HOST_STORE", "aws")
            .env("HOST_TARGET", "marqo")
            .env("HOST_AWS__ENDPOINT_URL", self.aws.url())
            .env("HOST_AWS__BUCKET", self.bucket())
            .env("HOST_AWS__INGEST_LEASE_SECONDS", "2")
            .env("HOST_INGEST__CHUNK_DOCUMENTS", "10")
            .env("HOST_WORKER__LEASE_SECONDS", "3");
        self.with_credentials(command)
    }

    pub(crate) fn with_credentials(&self, mut command: Command) -> Command {
        command
            .env("AWS_ACCESS_KEY_ID", &self.account)
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_DEFAULT_REGION", "eu-central-1");
        command
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.with_environment(self.test_dir.command(arguments))
    }

    /// Clients of the same account as the host's.
    pub(crate) fn clients(&self) -> Clients {
        clients(self.aws.url(), &self.account)
    }

    /// The DynamoDB table of jobs.
    pub(crate) fn jobs_table(&self) -> Dynamo {
        Dynamo::new(self.clients().dynamodb, "dev-EcomIndexerJobsTable".to_owned())
    }

    /// Up to ten messages of a queue, as the Lambda service hands them to a function.
    pub(crate) fn receive(&self, queue: &str) -> Vec<Value> {
        let client = self.clients().sqs;
        let received = block_on(async {
            let url = client.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap();
            let received = client.receive_message().queue_url(url).max_number_of_messages(10);
            received.message_system_attribute_names("All".into()).send().await.unwrap()
        });
        let records = received.messages().iter().map(|message| {
            let group = message.attributes().and_then(|all| all.get(&"MessageGroupId".into()));
            json!({
                "messageId": message.message_id(),
                "receiptHandle": message.receipt_handle(),
                "body": message.body(),
                "attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": group},
                "eventSourceARN": format!("arn:aws:sqs:eu-central-1:{}:{queue}", self.account),
            })
        });
        records.collect()
    }

    /// Number of messages in a queue, visible or not.
    pub(crate) fn depth(&self, queue: &str) -> u32 {
        let client = self.clients().sqs;
        let attributes = block_on(async {
            let url = client.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap();
            let states = ["", "Delayed", "NotVisible"];
            let names = states.map(|state| format!("ApproximateNumberOfMessages{state}").as_str().into());
            let request =
                client.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.into()));
            request.send().await.unwrap().attributes.unwrap()
        });
        attributes.values().map(|number| number.parse::<u32>().unwrap()).sum()
    }

    pub(crate) fn host(&self, arguments: &[&str]) -> RunOutput {
        run_output(self.command(arguments).output().unwrap())
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
        let mut command = self.with_environment(self.test_dir.command(&arguments));
        command.arg(&*SHOPIFY).arg(&shop.source);
        command
    }

    pub(crate) fn worker(&self) -> Child {
        self.command(&["work", "--data-dir", "data-worker"]).spawn().unwrap()
    }

    /// Puts `bytes`, if there are any, under a key of the bucket; returns what is there then.
    pub(crate) fn object(&self, key: &str, bytes: Option<&[u8]>) -> Vec<u8> {
        let (client, bucket) = (self.clients().s3, self.bucket());
        block_on(async {
            if let Some(bytes) = bytes {
                let put = client.put_object().bucket(&bucket).key(key).body(bytes.to_vec().into());
                put.send().await.unwrap();
            }
            let got = client.get_object().bucket(&bucket).key(key).send().await.unwrap();
            got.body.collect().await.unwrap().into_bytes().to_vec()
        })
    }

    /// Waits until `look` finds something, and returns it.
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
            assert!(started.elapsed() < TIMEOUT, "the job does not end: {job}");
            thread::sleep(Duration::from_millis(300));
        }
    }

    /// Asserts that every document is in the index and every item is counted once.
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
    fn index_of(number: usize) -> String {
        format!("shopify-shop-{number}")
    }

    fn new(test_dir: &TestDir, number: usize) -> Self {
        let export = sample(number as u64, 60);
        let source = test_dir.write(&format!("export-{number}.jsonl"), export).to_str().unwrap().to_owned();
        Self { id: format!("shop-{number}.myshopify.com"), index: Self::index_of(number), source }
    }
}

/// Waits until `look` finds something, and returns it; panics after [`TIMEOUT`].
pub(crate) fn wait_for<T>(look: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(started.elapsed() < TIMEOUT, "it does not come about");
        thread::sleep(Duration::from_millis(300));
    }
}

/// An export of so many products. With the same seed, a smaller export has the first products of a larger one.
pub(crate) fn sample(seed: u64, products: u64) -> Vec<u8> {
    let mut export = Vec::new();
    let recipe =
        SampleOptions { seed, shape: Shape::Small, grouped: true, products, bytes: u64::MAX, bad_lines: 0.0 };
    xtask::sample::write(&recipe, &mut export).unwrap();
    export
}

/// A stand-in for AWS, for one account or many, and the folder of its files.
pub(crate) struct Server {
    server: Ministack,
    _folder: TempDir,
}

impl Server {
    pub(crate) fn start() -> Arc<Self> {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let server = Ministack::start(target, folder.path()).unwrap();
        Arc::new(Self { server, _folder: folder })
    }
}

impl std::ops::Deref for Server {
    type Target = Ministack;

    fn deref(&self) -> &Ministack {
        &self.server
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Asks a process with SIGTERM to end.
pub(crate) fn terminate(child: &Child) {
    let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn one_run_ingests_and_writes_to_the_index() {
    let (cloud, shops) = Cloud::new(1);
    let shop = &shops[0];
    let first = run_output(cloud.export("run", shop).output().unwrap());
    assert_eq!(first.code, Some(0), "{first:?}");
    cloud.is_complete(shop, &first.json());
    assert_eq!(cloud.ended(shop)["job_id"], first.json()["job_id"]);
    // The same export again changes nothing.
    let second = run_output(cloud.export("run", shop).output().unwrap());
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
    let ids = || cloud.marqo.documents(&shop.index).into_keys().collect::<BTreeSet<String>>();
    let first = run_output(cloud.export("run", shop).arg("--full").output().unwrap());
    assert_eq!(first.code, Some(0), "{first:?}");
    let before = ids();
    std::fs::write(&shop.source, sample(0, 50)).unwrap();
    let second = run_output(cloud.export("run", shop).arg("--full").output().unwrap());
    assert_eq!(second.code, Some(0), "{second:?}");
    cloud.is_complete(shop, &second.json());
    let left = ids();
    assert!(left.is_subset(&before) && left.len() < before.len(), "{left:?}");

    // Where other processes work the queue, `host ingest` does not archive: an operator does it when the job has ended.
    std::fs::write(&shop.source, sample(0, 40)).unwrap();
    let mut worker = cloud.worker();
    let ingested = run_output(cloud.export("ingest", shop).arg("--full").output().unwrap());
    assert_eq!(ingested.code, Some(0), "{ingested:?}");
    let job = cloud.ended(shop);
    let archive = ["catalog", "archive", "--shop", &shop.id, "--index", &shop.index, "--data-dir", "data"];
    let archived = cloud.host(&archive);
    assert_eq!(archived.code, Some(0), "{archived:?}");
    cloud.is_complete(shop, &job);
    assert!(ids().is_subset(&left) && ids().len() < left.len());
    terminate(&worker);
    worker.wait().unwrap();
}

#[test]
fn workers_elsewhere_write_what_ingests_publish() {
    let (cloud, shops) = Cloud::new(3);
    let mut workers = [cloud.worker(), cloud.worker()];
    for shop in &shops {
        let ingested = run_output(cloud.export("ingest", shop).output().unwrap());
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

/// The short form of `cargo xtask demo --aws`, which looks for the results with the clients of AWS instead of host.
#[test]
fn aws_clients_find_everything_under_its_documented_name() {
    let folder = tempfile::tempdir().unwrap();
    let indexes = (0..2).map(index_name).collect();
    let marqo = StandIn::start(Options { indexes, ..Options::default() }).unwrap();
    let demo = AwsDemo {
        host: Path::new(env!("CARGO_BIN_EXE_host")),
        plugin: &SHOPIFY,
        target: Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap(),
        folder: folder.path(),
        marqo_url: marqo.url(),
        shops: 2,
        products: 401,
        workers: 2,
    };
    let found = demo.run().unwrap();
    assert_eq!(found.matches("COMPLETED").count(), 2, "{found}");
}
