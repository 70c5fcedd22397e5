//! Storage on AWS, for many processes on many machines: chunks (files of documents that a worker writes at once) and
//! reports in S3, an SQS FIFO queue per shop, jobs, settings and the ledger of products in DynamoDB. docs/aws.md lists
//! the names, keys and messages. An "environment" is one set of bucket, tables and queues, such as `dev`.

use async_trait::async_trait;
use aws_config::{
    BehaviorVersion, ConfigLoader, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_lambda_events::sqs::SqsMessage;
use aws_sdk_s3::config::{Credentials, SharedHttpClient, StalledStreamProtectionConfig};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use host_core::storage::{
    Breakers, Chunks, IngestGuard, Jobs, Ledger, Queue, Settings, Storage, StoreError, Stores,
};
use host_core::{
    clock::SharedClock,
    model::{Job, JobId},
};
use std::{convert::Infallible, sync::Arc, time::Duration};

mod bootstrap;
mod breakers;
mod chunks;
mod config;
mod external;
mod failure;
mod jobs;
mod ledger;
mod names;
mod queue;
mod settings;
mod source;
mod sweep;
mod table;

pub use bootstrap::{BootstrapOptions, BootstrapPlan, Change, Resource, ResourceKind};
pub use chunks::{ForeignBucket, ForeignObject};
pub use config::AwsConfig;
pub use external::OpenBucket;
pub use jobs::IngestLease;
pub use names::Names;
pub use queue::{Depth, EventBatch, Incoming, Outgoing, QueueService, QueueSpec, ReceiveRequest, Sqs};
pub use source::S3Objects;
pub use sweep::{Sweeper, Swept};
pub use table::{Condition, Dynamo, Item, Key, Table, TableError, Update, Updated, Value};

/// A client of each service.
#[derive(Clone, Debug)]
pub struct Clients {
    /// For chunks and reports.
    pub s3: aws_sdk_s3::Client,
    /// For messages and dead letters.
    pub sqs: aws_sdk_sqs::Client,
    /// For jobs, settings and the ledger.
    pub dynamodb: aws_sdk_dynamodb::Client,
}

/// HTTPS through rustls with ring, as for all other connections of the program.
fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// Time limit for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for one attempt at a call, enough for a chunk of some megabytes. Receiving from SQS has a limit of its
/// own.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);
/// Attempts of the SDK at a call. After the last one, the worker's failure policy decides.
const MAX_ATTEMPTS: u32 = 5;

impl Clients {
    /// Clients with the credentials of the environment: variables, profile, container or machine.
    pub async fn connect(config: &AwsConfig) -> Self {
        Self::of(&loader(config).load().await, config)
    }

    /// Clients with these credentials, for tests against a stand-in: a local server that answers as AWS does.
    pub async fn connect_with_keys(config: &AwsConfig, access_key_id: &str, secret_access_key: &str) -> Self {
        let keys = Credentials::new(access_key_id, secret_access_key, None, None, "fixed keys");
        Self::of(&loader(config).credentials_provider(keys).load().await, config)
    }

    fn of(shared: &SdkConfig, config: &AwsConfig) -> Self {
        // AWS has a host name for each bucket; a stand-in has one for all.
        let path_style = config.endpoint_url.is_some();
        let s3 = aws_sdk_s3::config::Builder::from(shared).force_path_style(path_style).build();
        // A long poll receives nothing for many seconds. Stalled-stream protection would wake the process many times a
        // second for each queue. The attempt's timeout ends a call that hangs.
        let sqs = aws_sdk_sqs::config::Builder::from(shared)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self {
            s3: aws_sdk_s3::Client::from_conf(s3),
            sqs: aws_sdk_sqs::Client::from_conf(sqs),
            dynamodb: aws_sdk_dynamodb::Client::new(shared),
        }
    }
}

/// The configuration that all clients share.
fn loader(config: &AwsConfig) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS));
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(url) = &config.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    loader
}

/// The stores of one environment. Cheap to clone.
#[derive(Clone)]
pub struct Aws {
    names: Names,
    config: AwsConfig,
    /// How long jobs, chunks and reports are kept.
    retention: Duration,
    clock: SharedClock,
    clients: Clients,
    jobs: Arc<jobs::DynamoJobs>,
    queues: Arc<queue::Queues>,
    stores: Stores,
}

impl Aws {
    /// The stores of an environment that [`bootstrap`](Self::bootstrap) has made. Jobs, chunks and reports are kept for
    /// `retention`, and at least for as long as SQS keeps a message that needs them.
    pub fn new(clients: Clients, config: &AwsConfig, retention: Duration, clock: SharedClock) -> Self {
        let retention = config::kept(retention);
        let names = Names::new(&config.env, config.bucket.as_deref());
        let table = |name| Arc::new(Dynamo::new(clients.dynamodb.clone(), name)) as Arc<dyn Table>;
        let jobs_table = table(names.jobs_table());
        let jobs = Arc::new(jobs::DynamoJobs::new(jobs_table.clone(), clock.clone(), retention));
        let sqs = Arc::new(Sqs::new(clients.sqs.clone()));
        let s3 = clients.s3.clone();
        let bucket = Arc::new(chunks::Bucket::new(clients.s3.clone(), names.bucket()));
        let external = external::ExternalChunks {
            jobs: jobs.clone(),
            clock: clock.clone(),
            open: Arc::new(move |name| Arc::new(chunks::Bucket::new(s3.clone(), name.to_owned()))),
            chunks: bucket.clone(),
            bucket: names.bucket(),
            allowed: config.source_buckets.clone(),
        };
        let queues = queue::Queues::new(sqs, names.clone(), clock.clone());
        let queues = queues.with_jobs(jobs.clone()).with_external(external);
        let queues = Arc::new(queues);
        let stores = Stores {
            chunks: bucket,
            queue: queues.clone(),
            jobs: jobs.clone(),
            settings: Arc::new(settings::DynamoSettings::new(table(names.settings_table()))),
            ledger: Arc::new(ledger::DynamoLedger::new(
                table(names.products_table()),
                clock.clone(),
                retention,
            )),
            breakers: Arc::new(breakers::DynamoBreakers::new(jobs_table)),
        };
        Self { names, config: config.clone(), retention, clock, clients, jobs, queues, stores }
    }

    /// The settings that these stores were made with.
    pub fn config(&self) -> &AwsConfig {
        &self.config
    }

    /// The names of bucket, tables and queues.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Which of bucket and tables exist, and what [`bootstrap`](Self::bootstrap) would change.
    pub async fn plan_bootstrap(&self, options: &BootstrapOptions) -> Result<BootstrapPlan, StoreError> {
        bootstrap::plan(&self.clients, &self.names, self.retention, options).await
    }

    /// Makes the changes of a plan. If the plan refuses a resource, this is an error, and nothing is changed.
    pub async fn bootstrap(&self, plan: &BootstrapPlan) -> Result<(), StoreError> {
        bootstrap::apply(&self.clients, &self.names, plan).await
    }

    /// The deliveries of a batch of messages that the Lambda service has received, invisible to others for
    /// `visibility`.
    pub async fn deliveries_of_event(&self, records: &[SqsMessage], visibility: Duration) -> EventBatch {
        self.queues.deliveries_of_event(records, self.config.endpoint_url.as_deref(), visibility).await
    }

    /// The recovery sweep: repairs what crashed processes have left.
    pub fn sweeper(&self) -> Sweeper {
        Sweeper {
            jobs: self.jobs.clone(),
            queue: self.queues.clone(),
            breakers: self.stores.breakers.clone(),
            bound: self.config.resend_after(),
        }
    }
}

/// How often a worker polls an empty queue: AWS bills each request.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

#[async_trait]
impl Storage for Aws {
    fn stores(&self) -> Stores {
        self.stores.clone()
    }

    /// Does nothing: leases that expire show which processes have crashed.
    async fn register(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Always true: workers may run on machines that this process does not know.
    fn has_active_worker(&self) -> bool {
        true
    }

    async fn has_active_ingest(&self, job: &Job) -> Result<bool, StoreError> {
        self.jobs.is_ingested_into(job, self.config.ingest_lease()).await
    }

    async fn acquire_ingest(&self, job: &Job) -> Result<(Vec<JobId>, Box<dyn IngestGuard>), StoreError> {
        let ingesting = self.jobs.clone().acquire_ingest(job, self.config.ingest_lease()).await?;
        let superseded = self.stores.jobs.supersede(job).await?;
        Ok((superseded, Box::new(ingesting)))
    }

    async fn run_maintenance(&self) -> Infallible {
        match self.config.sweep_interval() {
            Some(interval) => self.sweeper().run(interval, &self.clock).await,
            None => std::future::pending().await,
        }
    }

    fn location(&self) -> String {
        format!("s3://{}", self.names.bucket())
    }

    fn poll_interval(&self) -> Option<Duration> {
        Some(POLL_INTERVAL)
    }
}

/// Jobs on any table, for tests that replace DynamoDB.
pub fn jobs_on(table: Arc<dyn Table>, clock: SharedClock, retention: Duration) -> Arc<dyn Jobs> {
    Arc::new(jobs::DynamoJobs::new(table, clock, retention))
}

/// Settings on any table, for tests.
pub fn settings_on(table: Arc<dyn Table>) -> Arc<dyn Settings> {
    Arc::new(settings::DynamoSettings::new(table))
}

/// The ledger of products on any table, for tests.
pub fn ledger_on(table: Arc<dyn Table>, clock: SharedClock, retention: Duration) -> Arc<dyn Ledger> {
    Arc::new(ledger::DynamoLedger::new(table, clock, retention))
}

/// Circuit breakers on any table, for tests.
pub fn breakers_on(table: Arc<dyn Table>) -> Arc<dyn Breakers> {
    Arc::new(breakers::DynamoBreakers::new(table))
}

/// Queues on any service, for tests that replace SQS.
pub fn queue_on(service: Arc<dyn QueueService>, names: Names, clock: SharedClock) -> Arc<dyn Queue> {
    Arc::new(queue::Queues::new(service, names, clock))
}

/// Queues on any service that find shops by the open jobs on any table, for tests.
pub fn queue_with_jobs_on(
    service: Arc<dyn QueueService>,
    table: Arc<dyn Table>,
    names: Names,
    clock: SharedClock,
    retention: Duration,
) -> Arc<dyn Queue> {
    let jobs = Arc::new(jobs::DynamoJobs::new(table, clock.clone(), retention));
    Arc::new(queue::Queues::new(service, names, clock).with_jobs(jobs))
}

/// A recovery sweep on any table and queue, for tests. It sends the message of a chunk again that has waited for
/// `bound`.
pub fn sweeper_on(
    table: Arc<dyn Table>,
    queue: Arc<dyn Queue>,
    clock: SharedClock,
    retention: Duration,
    bound: Duration,
) -> Sweeper {
    let breakers = Arc::new(breakers::DynamoBreakers::new(table.clone()));
    Sweeper { jobs: Arc::new(jobs::DynamoJobs::new(table, clock, retention)), queue, breakers, bound }
}

/// The exclusive right to ingest for the job's shop and index, on any table, for tests.
pub async fn acquire_ingest_on(
    table: Arc<dyn Table>,
    clock: SharedClock,
    retention: Duration,
    job: &Job,
    lease: Duration,
) -> Result<IngestLease, StoreError> {
    Arc::new(jobs::DynamoJobs::new(table, clock, retention)).acquire_ingest(job, lease).await
}

/// The queues as a Lambda function uses them, for tests.
#[derive(Clone)]
pub struct EventQueues(Arc<queue::Queues>);

impl EventQueues {
    /// The queues themselves.
    pub fn queue(&self) -> Arc<dyn Queue> {
        self.0.clone()
    }

    /// The deliveries of a Lambda event. `endpoint` is the URL of the stand-in that has the queues.
    pub async fn deliveries_of_event(&self, records: &[SqsMessage], endpoint: &str) -> EventBatch {
        self.0.deliveries_of_event(records, Some(endpoint), Duration::from_secs(60)).await
    }
}

/// The queues of a Lambda function on any service, for tests.
pub fn event_queues_on(service: Arc<dyn QueueService>, names: Names, clock: SharedClock) -> EventQueues {
    EventQueues(Arc::new(queue::Queues::new(service, names, clock)))
}

/// Queues that accept the chunks of programs other than host, on any service, table and buckets, for tests.
#[expect(clippy::too_many_arguments, reason = "each is what a test replaces")]
pub fn external_queue_on(
    service: Arc<dyn QueueService>,
    table: Arc<dyn Table>,
    chunks: Arc<dyn Chunks>,
    open: OpenBucket,
    names: Names,
    clock: SharedClock,
    retention: Duration,
    allowed: Vec<String>,
) -> Arc<dyn Queue> {
    let external = external::ExternalChunks {
        jobs: Arc::new(jobs::DynamoJobs::new(table, clock.clone(), retention)),
        clock: clock.clone(),
        open,
        chunks,
        bucket: names.bucket(),
        allowed,
    };
    Arc::new(queue::Queues::new(service, names, clock).with_external(external))
}
