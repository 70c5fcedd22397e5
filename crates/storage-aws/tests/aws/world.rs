//! The schedules of `host-simulation` (shops over months, on virtual time) on models of AWS in memory, in which
//! everything expires that expires in AWS.

use super::{MONTH, sqs, table};
use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    model::{Digest, Job, JobId},
    storage::{Chunks, IngestGuard, Put, Storage, StoreError, StoreErrorKind, Stores},
};
use host_simulation::{Figures, Plan, Size, World, run_schedules, run_year};
use host_storage_aws::{
    Names, Table, acquire_ingest_on, breakers_on, jobs_on, ledger_on, queue_on, settings_on,
};
use host_testing::VirtualClock;
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

const INGEST_LEASE: Duration = Duration::from_secs(60);

/// An environment (tables, bucket and queues) as one process sees it.
pub(super) struct Environment {
    clock: SharedClock,
    pub(super) jobs: Arc<table::Model>,
    pub(super) products: Arc<table::Model>,
    pub(super) bucket: Arc<Bucket>,
    queues: Arc<sqs::Model>,
    settings: Arc<table::Model>,
    stores: Stores,
}

impl Environment {
    pub(super) fn new(clock: SharedClock) -> Self {
        let (jobs, products) = (Arc::new(table::Model::default()), Arc::new(table::Model::default()));
        let bucket = Arc::new(Bucket { clock: clock.clone(), objects: Mutex::default() });
        let queues = Arc::new(sqs::Model::new(clock.clone()));
        Self::of(clock, [jobs, products, Arc::default()], bucket, queues)
    }

    /// Bucket and queues go by the clock of the services, the rest by that of the process.
    fn of(
        clock: SharedClock,
        [jobs, products, settings]: [Arc<table::Model>; 3],
        bucket: Arc<Bucket>,
        queues: Arc<sqs::Model>,
    ) -> Self {
        let stores = Stores {
            chunks: bucket.clone(),
            queue: queue_on(queues.clone(), Names::new("test", None), clock.clone()),
            jobs: jobs_on(jobs.clone(), clock.clone(), MONTH),
            settings: settings_on(settings.clone()),
            ledger: ledger_on(products.clone(), clock.clone(), MONTH),
            breakers: breakers_on(jobs.clone()),
        };
        Self { clock, jobs, products, bucket, queues, settings, stores }
    }
}

#[async_trait]
impl World for Environment {
    fn storage(&self) -> &dyn Storage {
        self
    }

    fn process(&self, clock: SharedClock) -> Arc<dyn Storage> {
        let Self { jobs, products, bucket, queues, settings, .. } = self;
        let tables = [jobs, products, settings].map(Arc::clone);
        Arc::new(Self::of(clock, tables, bucket.clone(), queues.clone()))
    }

    async fn expire(&self, _: bool) -> u64 {
        let now = self.clock.now();
        self.bucket.objects.lock().unwrap().retain(|_, (put_at, _)| *put_at + MONTH > now);
        self.products.expire(now);
        self.jobs.expire(now)
    }

    fn forgets(&self) -> bool {
        true
    }
}

#[async_trait]
impl Storage for Environment {
    fn stores(&self) -> Stores {
        self.stores.clone()
    }

    async fn register(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn has_active_worker(&self) -> bool {
        true
    }

    async fn has_active_ingest(&self, _: &Job) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn acquire_ingest(&self, job: &Job) -> Result<(Vec<JobId>, Box<dyn IngestGuard>), StoreError> {
        let table: Arc<dyn Table> = self.jobs.clone();
        let lease = acquire_ingest_on(table, self.clock.clone(), MONTH, job, INGEST_LEASE).await?;
        Ok((self.stores.jobs.supersede(job).await?, Box::new(lease)))
    }

    async fn run_maintenance(&self) -> Infallible {
        std::future::pending().await
    }

    fn location(&self) -> String {
        "s3://test".to_owned()
    }

    fn poll_interval(&self) -> Option<Duration> {
        None
    }
}

/// A bucket in memory that stores with each object when it was put.
pub(super) struct Bucket {
    clock: SharedClock,
    objects: Mutex<BTreeMap<String, (Timestamp, Vec<u8>)>>,
}

impl Bucket {
    /// Number and bytes of its objects.
    pub(super) fn size(&self) -> (usize, usize) {
        let objects = self.objects.lock().unwrap();
        (objects.len(), objects.values().map(|(_, bytes)| bytes.len()).sum())
    }
}

#[async_trait]
impl Chunks for Bucket {
    async fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        if let Some(there) = self.get(key, None).await? {
            return Ok(if there == bytes { Put::AlreadyExists } else { Put::ContentMismatch });
        }
        self.put(key, bytes).await?;
        Ok(Put::Created)
    }

    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.objects.lock().unwrap().insert(key.to_owned(), (self.clock.now(), bytes.to_vec()));
        Ok(())
    }

    async fn get(&self, key: &str, sha256: Option<Digest>) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes = self.objects.lock().unwrap().get(key).map(|(_, bytes)| bytes.clone());
        match (&bytes, sha256) {
            (Some(bytes), Some(expected)) if Digest::of(bytes) != expected => Err(StoreError {
                action: format!("reading {key}"),
                kind: StoreErrorKind::Corrupt,
                source: "its digest is another one".into(),
            }),
            _ => Ok(bytes),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.objects.lock().unwrap().remove(key);
        Ok(())
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        let mut objects = self.objects.lock().unwrap();
        keys.iter().for_each(|key| drop(objects.remove(key)));
        Ok(())
    }

    async fn remove_shop(&self, _: &str, _: bool) -> Result<u64, StoreError> {
        Ok(0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_year_of_syncs_keeps_what_is_needed_and_stays_as_large_as_a_month() {
    let clock: SharedClock = Arc::new(VirtualClock::paused(1));
    let environment = Environment::new(clock.clone());
    let plan = Plan { days: 365, hours: 12, chunks: 3, pins: false };
    let size = async || {
        let Environment { jobs, products, bucket, .. } = &environment;
        let [mut items, mut bytes] = [0; 2];
        for (number, size) in [jobs.size(), products.size(), bucket.size()] {
            items += number as u64;
            bytes += size as u64;
        }
        Size { items, bytes }
    };
    let figures = run_year(&environment, &clock, plan, size).await;
    // Two syncs a day and a retention of 30 days: about 60 jobs are kept.
    let Figures { first, largest, jobs, reports, redriven, replayable } = figures;
    assert!(largest.bytes < first.bytes * 11 / 10 && largest.items < first.items * 11 / 10, "{figures:?}");
    assert!((55..70).contains(&jobs) && reports >= jobs && redriven > 30, "{figures:?}");
    assert!(replayable > 30, "{figures:?}");
}

/// Random schedules: syncs, crashes, wrong clocks, redrives and expiry over months.
#[test]
fn the_index_has_the_newest_state_that_any_job_said() {
    run_schedules(100, Environment::new);
}
