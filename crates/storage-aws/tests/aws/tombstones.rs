//! A removed product stays removed, however late an older version of it arrives: on the tables and queues of AWS, whose
//! messages live for two weeks in a queue and for two more among the dead letters.

use super::{MONTH, sqs, table};
use host_core::{
    clock::SharedClock,
    model::{Job, JobId, JobStatus, Operation},
    storage::{JobSnapshot, Storage, Stores},
};
use host_pipeline::worker::{DeadLetterFilter, RunUntil, Worker, WorkerSettings, redrive};
use host_storage_aws::{Names, Table, breakers_on, jobs_on, ledger_on, queue_on, settings_on};
use host_testing::{
    VirtualClock, build,
    fakes::{FakeIndex, FakePlugin, Next},
    storage::Memory,
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

const SHOP: &str = "example.myshopify.com";
const DAY: Duration = Duration::from_secs(86_400);

/// Stores of an environment, a worker, and an index that starts empty.
pub(crate) struct Environment {
    pub(crate) clock: SharedClock,
    pub(crate) jobs: Arc<table::Model>,
    pub(crate) ledger: Arc<table::Model>,
    pub(crate) stores: Stores,
    pub(crate) index: Arc<FakeIndex>,
    pub(crate) worker: Arc<Worker>,
}

impl Environment {
    pub(crate) fn new() -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        let [jobs, ledger] = <[Arc<table::Model>; 2]>::default();
        let queues = Arc::new(sqs::Model::new(clock.clone()));
        let stores = Stores {
            chunks: Memory::new(clock.clone()).stores().chunks,
            queue: queue_on(queues, Names::new("test", None), clock.clone()),
            jobs: jobs_on(jobs.clone(), clock.clone(), MONTH),
            settings: settings_on(jobs.clone()),
            ledger: ledger_on(ledger.clone(), clock.clone(), MONTH),
            breakers: breakers_on(jobs.clone()),
        };
        let (index, rules) = (Arc::new(FakeIndex::default()), Arc::new(FakePlugin::default()));
        let settings = WorkerSettings {
            concurrency: 4,
            lease: Duration::from_secs(60),
            poll_interval: Duration::from_millis(500),
            shutdown_timeout: Duration::from_secs(20),
            stopped_after: DAY,
            keep_chunks: false,
        };
        let worker =
            Worker::new(stores.clone(), index.clone(), rules.clone(), rules, clock.clone(), settings);
        Self { clock, jobs, ledger, stores, index, worker: Arc::new(worker) }
    }

    /// Lets time pass, in which the tables remove what has expired.
    pub(crate) async fn pass(&self, time: Duration) {
        self.clock.sleep(time).await;
        let now = self.clock.now();
        self.jobs.expire(now);
        self.ledger.expire(now);
    }

    pub(crate) async fn run(&self, id: &JobId) -> JobSnapshot {
        self.worker.run(SHOP, RunUntil::JobEnds(id.clone()), &CancellationToken::new()).await.unwrap();
        self.stores.jobs.get(id).await.unwrap().unwrap()
    }

    /// Publishes a job of one chunk with one document, and runs the worker until it ends.
    async fn work(&self, name: &str, lane: u16, operation: Operation, version: i64) -> JobSnapshot {
        let job = Job { id: JobId::new(name).unwrap(), ..build::job(&*self.clock, SHOP) };
        let line = format!("{{\"_id\":\"1\",\"_mq_product\":\"gid/1\",\"v\":{version}}}\n");
        build::publish(&self.stores, &job, &[(lane, operation, &line)]).await;
        self.run(&job.id).await
    }

    fn is_empty(&self) -> bool {
        self.index.state().documents.is_empty()
    }
}

const ADD: Operation = Operation::AddDocuments;
const DELETE: Operation = Operation::DeleteDocuments;

/// The job's only document was refused, because its product was removed in a newer version.
fn assert_removed(job: &JobSnapshot) {
    assert_eq!((job.status, job.counts.conflict), (JobStatus::Conflict, 1), "{}", job.job.id);
    assert_eq!(job.samples[0].code, "removed-product");
}

#[tokio::test(start_paused = true)]
async fn removed_products_do_not_come_back() {
    // An older document in another lane than the removal's does not bring the product back.
    let environment = Environment::new();
    assert_eq!(environment.work("add", 0, ADD, 1).await.status, JobStatus::Completed);
    assert_eq!(environment.work("removal", 1, DELETE, 2).await.status, JobStatus::Completed);
    assert_removed(&environment.work("again", 2, ADD, 1).await);
    assert!(environment.is_empty());
    // The tombstone does not expire while an older message may still be in a queue.
    environment.pass(28 * DAY).await;
    assert_removed(&environment.work("late", 3, ADD, 1).await);
    assert!(environment.is_empty());
    assert_eq!(environment.work("newer", 0, ADD, 3).await.status, JobStatus::Completed);
    assert!(!environment.is_empty());

    // Nor does a redrive of a chunk that had failed before the removal, at once and on the last day of its message.
    for wait in [Duration::ZERO, 28 * DAY - Duration::from_secs(60)] {
        let environment = Environment::new();
        environment.index.state().script.extend([Next::Panic, Next::Panic]);
        assert_eq!(environment.work("add", 0, ADD, 1).await.status, JobStatus::Failed);
        assert_eq!(environment.work("removal", 1, DELETE, 2).await.status, JobStatus::Completed);
        environment.pass(wait).await;
        let Environment { stores, clock, .. } = &environment;
        let redriven = redrive(stores, clock, SHOP, &DeadLetterFilter::default()).await.unwrap();
        assert_eq!(redriven.sent.len(), 1);
        assert_removed(&environment.run(&JobId::new("add").unwrap()).await);
        assert!(environment.is_empty(), "after {wait:?}");
        // A tombstone is not kept for ever.
        environment.pass(33 * DAY).await;
        let (left, _) = environment.ledger.scan("shop_id", SHOP, None).await.unwrap();
        assert!(left.is_empty(), "{left:?}");
    }
}
