//! The conformance suites on ministack, a server that answers as AWS does, and what AWS's own programs would see there.

use super::{MONTH, insert_raw, needs_dynoxide::Dynoxide, wait};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::QueueAttributeName;
use host_core::clock::{Clock, SharedClock};
use host_core::storage::Storage;
use host_storage_aws::{Aws, AwsConfig, BootstrapOptions, Clients, Dynamo};
use host_testing::{VirtualClock, chunk_tests, conformance::Backend, storage_tests};
use jiff::Timestamp;
use std::{path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use xtask::ministack::Ministack;

/// A virtual clock that moves the server's clock along.
#[derive(Debug)]
struct ServerClock {
    clock: VirtualClock,
    start: Timestamp,
    server: Arc<Ministack>,
}

#[async_trait::async_trait]
impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
        self.server.set_clock(self.clock.now().duration_since(self.start).as_secs_f64());
    }

    fn random(&self) -> u64 {
        self.clock.random()
    }
}

pub(super) struct Environment {
    pub(super) aws: Aws,
    pub(super) clients: Clients,
    _server: Arc<Ministack>,
    _dynoxide: Option<Dynoxide>,
    _folder: TempDir,
}

pub(super) fn stand_in() -> Backend {
    backend(None)
}

/// The same with the tables on dynoxide, a server that answers as DynamoDB does.
pub(super) fn with_dynoxide() -> Backend {
    backend(Some(Dynoxide::start()))
}

/// An account without anything in it.
pub(super) fn account() -> (SharedClock, Environment) {
    environment(None)
}

fn environment(dynoxide: Option<Dynoxide>) -> (SharedClock, Environment) {
    let folder = tempfile::tempdir().unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let server = Arc::new(Ministack::start(target, folder.path()).unwrap());
    let clock = VirtualClock::new(1);
    let start = clock.now();
    let clock: SharedClock = Arc::new(ServerClock { clock, start, server: server.clone() });
    let config = |url: &str| AwsConfig {
        env: "test".to_owned(),
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(url.to_owned()),
        ..AwsConfig::default()
    };
    let connect = |url| wait(Clients::connect_with_keys(&config(url), "123456789012", "secret"));
    let mut clients = connect(server.url());
    if let Some(dynoxide) = &dynoxide {
        clients.dynamodb = connect(dynoxide.url()).dynamodb;
    }
    let config = config(server.url());
    let aws = Aws::new(clients.clone(), &config, MONTH, clock.clone());
    (clock, Environment { aws, clients, _server: server, _dynoxide: dynoxide, _folder: folder })
}

fn backend(dynoxide: Option<Dynoxide>) -> Backend {
    let (clock, environment) = environment(dynoxide);
    wait(bootstrap(&environment.aws));
    Backend {
        stores: environment.aws.stores(),
        clock,
        insert_raw_settings: |backend, index_name, json| {
            let environment = backend.resources.downcast_ref::<Environment>().unwrap();
            let settings_table = environment.aws.names().settings_table();
            let table = Dynamo::new(environment.clients.dynamodb.clone(), settings_table);
            wait(insert_raw(&table, index_name, json));
        },
        resources: Box::new(environment),
    }
}

/// Creates the missing bucket and tables.
pub(super) async fn bootstrap(aws: &Aws) {
    let plan = aws.plan_bootstrap(&options(false)).await.unwrap();
    aws.bootstrap(&plan).await.unwrap();
}

pub(super) fn options(adopt: bool) -> BootstrapOptions {
    BootstrapOptions { platforms: vec!["shopify".to_owned()], adopt }
}

chunk_tests!(stand_in);
storage_tests!(stand_in);

/// Queue, table, index and bucket under the names of docs/aws.md, as AWS's own programs find them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resources_have_the_documented_names() {
    use host_testing::build::{chunk, complete, processed, seal};
    let backend = stand_in();
    let Environment { aws, clients, .. } = backend.resources.downcast_ref::<Environment>().unwrap();
    let job = backend.job("example.myshopify.com");
    let stores = aws.stores();
    stores.jobs.create(&job).await.unwrap();
    let sent = chunk(&job.id, 0, 0);
    assert_eq!(sent.key, format!("shopify/example.myshopify.com/bulk/{}/chunk_0000.jsonl", job.id));
    stores.chunks.put_if_absent(&sent.key, b"{}\n").await.unwrap();
    stores.jobs.add_chunk(&sent).await.unwrap();
    stores.queue.send(&job, &sent, 0).await.unwrap();
    stores.jobs.seal(&job.id, &seal(1)).await.unwrap();
    complete(&*stores.jobs, &job.id, 0, &processed(10)).await;

    let head = clients.s3.head_object().bucket("test-ecom-product-data-bucket").key(&sent.key).send().await;
    assert_eq!(head.unwrap().content_length(), Some(3));

    let found = clients
        .dynamodb
        .query()
        .table_name("test-EcomIndexerJobsTable")
        .index_name("GSI_JobLookup")
        .key_condition_expression("job_id = :jid")
        .expression_attribute_values(":jid", AttributeValue::S(job.id.to_string()))
        .send()
        .await
        .unwrap();
    let [record] = found.items() else { panic!("{found:?}") };
    let text = |name: &str| record[name].as_s().unwrap().as_str();
    assert_eq!(text("pk"), "PLATFORM#shopify#SHOP#example.myshopify.com");
    assert_eq!(text("sk"), format!("JOB#{}#{}", text("created_at"), job.id));
    assert_eq!((text("status"), text("shop_id")), ("COMPLETED", "example.myshopify.com"));
    assert_eq!(
        (record["total_items"].as_n().unwrap().as_str(), record["processed"].as_n().unwrap().as_str()),
        ("10", "10")
    );

    let url = clients.sqs.get_queue_url().queue_name("test-ecom-indexer-example_myshopify_com.fifo");
    let url = url.send().await.unwrap().queue_url.unwrap();
    let attributes =
        clients.sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All);
    let attributes = attributes.send().await.unwrap().attributes.unwrap();
    for (name, value) in [
        (QueueAttributeName::FifoQueue, "true"),
        (QueueAttributeName::DeduplicationScope, "messageGroup"),
        (QueueAttributeName::FifoThroughputLimit, "perMessageGroupId"),
        (QueueAttributeName::MessageRetentionPeriod, "1209600"),
    ] {
        assert_eq!(attributes[&name], value, "{name}");
    }
    assert!(attributes[&QueueAttributeName::RedrivePolicy].contains("example_myshopify_com-dlq.fifo"));
    let message = clients.sqs.receive_message().queue_url(&url).send().await.unwrap();
    let body: serde_json::Value = serde_json::from_str(message.messages()[0].body().unwrap()).unwrap();
    for (key, value) in [
        ("job_id", job.id.as_str()),
        ("shop_id", "example.myshopify.com"),
        ("index_name", "products"),
        ("operation", "ADD_DOCUMENTS"),
        ("s3_bucket", "test-ecom-product-data-bucket"),
        ("s3_key", &sent.key),
    ] {
        assert_eq!(body[key], value);
    }
}

/// The query of docs/aws.md by a job's id, while the job runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_query_shows_how_far_a_job_is() {
    use host_testing::build::{chunk, complete, processed};
    let backend = stand_in();
    let Environment { aws, clients, .. } = backend.resources.downcast_ref::<Environment>().unwrap();
    let job = backend.job("example.myshopify.com");
    let jobs = aws.stores().jobs;
    jobs.create(&job).await.unwrap();
    for seq in 0..3 {
        jobs.add_chunk(&chunk(&job.id, seq, 0)).await.unwrap();
    }
    complete(&*jobs, &job.id, 1, &processed(10)).await;
    let query = clients.dynamodb.query().table_name("test-EcomIndexerJobsTable").index_name("GSI_JobLookup");
    let query = query.key_condition_expression("job_id = :jid");
    let query = query.expression_attribute_values(":jid", AttributeValue::S(job.id.to_string()));
    let found = query.send().await.unwrap();
    let [record] = found.items() else { panic!("{found:?}") };
    let number = |name: &str| record[name].as_n().unwrap().as_str();
    assert_eq!(record["status"].as_s().unwrap(), "IN_PROGRESS");
    assert_eq!([number("total_items"), number("processed"), number("failed")], ["30", "10", "0"]);
    assert_eq!(record["completed_chunks"].as_ns().unwrap(), &["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingest_supersedes_the_other_job_and_is_active_until_it_releases_its_lease() {
    let backend = stand_in();
    let Environment { aws, .. } = backend.resources.downcast_ref::<Environment>().unwrap();
    let [first, second] = [backend.job("shop"), backend.job("shop")];
    for job in [&first, &second] {
        backend.stores.jobs.create(job).await.unwrap();
    }
    let (superseded, ingesting) = aws.acquire_ingest(&first).await.unwrap();
    assert_eq!(superseded, std::slice::from_ref(&second.id));
    assert!(aws.has_active_ingest(&first).await.unwrap());
    ingesting.release().await.unwrap();
    assert!(!aws.has_active_ingest(&first).await.unwrap());
}
