//! Expired items and objects take nothing with them that is still needed.

use super::{MONTH, table, tombstones::Environment};
use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    index::{ArchiveLimit, Index},
    model::{ChunkRef, Digest, Job, JobId, JobStatus, Operation, QuarantinedProducts, Seal, SourceStats},
    storage::{IngestGuard, JobSnapshot, ShopCounts, ShopIndex, ShopRemoval, Storage, StoreError, Stores},
};
use host_pipeline::{
    archive::{Archive, ArchiveOutcome, RemovalSettings},
    forget::{self, Forget},
    ingest::chunk::ChunkBounds,
};
use host_storage_aws::{Key, Table, Update, acquire_ingest_on, jobs_on};
use host_testing::{
    VirtualClock,
    build::{self, MINUTE, job},
};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

const SHOP: &str = "example.myshopify.com";
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(start_paused = true)]
async fn a_shop_is_listed_a_year_after_its_first_job() {
    let clock: SharedClock = Arc::new(VirtualClock::paused(1));
    let table = Arc::new(table::Model::default());
    let jobs = jobs_on(table.clone(), clock.clone(), MONTH);
    for number in 1..=15 {
        let newest = jobs.create(&job(&*clock, SHOP)).await.unwrap();
        assert_eq!(newest.sequence, number, "the numbering of an index's jobs outlives them");
        clock.sleep(25 * DAY).await;
        table.expire(clock.now());
        let listed = jobs.list(Some(SHOP), usize::MAX).await.unwrap();
        let listed: Vec<JobId> = listed.into_iter().map(|listed| listed.job.id).collect();
        assert_eq!(listed, [newest.id], "older ones have expired, the newest has not");
    }
    let sequence = Key::new(format!("SHOP#{SHOP}"), "SEQUENCE#products");
    let sequence = table.get(&sequence).await.unwrap().unwrap();
    assert!(sequence.number("sequence") == Some(15) && !sequence.has("expires_at"), "{sequence:?}");
}

/// The stores of a test environment as the [`Storage`] that an ingest needs.
pub(super) struct ModelStorage {
    pub(super) stores: Stores,
    pub(super) jobs: Arc<table::Model>,
    pub(super) clock: SharedClock,
}

#[async_trait]
impl Storage for ModelStorage {
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
        let lease = acquire_ingest_on(self.jobs.clone(), self.clock.clone(), MONTH, job, MINUTE).await?;
        Ok((self.stores.jobs.supersede(job).await?, Box::new(lease)))
    }

    async fn run_maintenance(&self) -> Infallible {
        std::future::pending().await
    }

    fn location(&self) -> String {
        "models".to_owned()
    }

    fn poll_interval(&self) -> Option<Duration> {
        None
    }
}

impl Environment {
    /// Publishes a full sync of these products, and runs the worker until it ends.
    async fn full_sync(&self, products: &[&str]) -> JobSnapshot {
        let job = Job { full: true, target: "catalog".into(), ..job(&*self.clock, SHOP) };
        let job = self.stores.jobs.create(&job).await.unwrap();
        let line =
            |product: &&str| format!("{{\"_id\":\"{product}\",\"_mq_product\":\"gid/{product}\",\"v\":1}}\n");
        let text: String = products.iter().map(line).collect();
        let chunk = ChunkRef {
            job_id: job.id.clone(),
            seq: 0,
            lane: 0,
            operation: Operation::AddDocuments,
            key: ChunkRef::key(&job.platform, SHOP, &job.id, 0),
            sha256: Digest::of(text.as_bytes()),
            documents: products.len() as u32,
            bytes: text.len() as u64,
        };
        self.stores.chunks.put_if_absent(&chunk.key, text.as_bytes()).await.unwrap();
        self.stores.jobs.add_chunk(&chunk).await.unwrap();
        self.stores.queue.send(&job, &chunk, 0).await.unwrap();
        let source = SourceStats { products: products.len() as u64, ..SourceStats::default() };
        let (total_items, quarantine) = (products.len() as u64, QuarantinedProducts::default());
        let seal = Seal { total_items, source, quarantine, ..build::seal(1) };
        self.stores.jobs.seal(&job.id, &seal).await.unwrap();
        let job = self.run(&job.id).await;
        assert_eq!(job.status, JobStatus::Completed);
        job
    }

    /// Archives what a full sync did not have; the number of removed documents.
    async fn archive(&self, job: &JobSnapshot) -> u64 {
        let (stores, jobs, clock) = (self.stores.clone(), self.jobs.clone(), self.clock.clone());
        let archive = Archive {
            storage: &ModelStorage { stores, jobs, clock: clock.clone() },
            index: &*self.index,
            worker: Some(&self.worker),
            limit: ArchiveLimit { max_percent: 50, force: false },
            removals: RemovalSettings { bounds: ChunkBounds { documents: 1_000, bytes: 1 << 20 }, lanes: 4 },
            clock,
            cancel: &CancellationToken::new(),
        };
        match archive.run(job, |_| ()).await.unwrap().unwrap() {
            ArchiveOutcome::Removed(job) => job.counts.deleted,
            ArchiveOutcome::NothingMissing => 0,
            other => panic!("{other}"),
        }
    }

    fn documents(&self) -> Vec<String> {
        self.index.state().documents.keys().map(ToString::to_string).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn products_that_vanish_between_full_syncs_40_days_apart_are_removed() {
    let environment = Environment::new();
    let first = environment.full_sync(&["1", "2", "3", "4"]).await;
    assert_eq!(environment.archive(&first).await, 0);
    for (products, removed) in [(["1", "2", "3"].as_slice(), 1), (&["1", "3", "5"], 1), (&["1", "3", "5"], 0)]
    {
        environment.pass(40 * DAY).await;
        assert!(
            environment.stores.jobs.list(Some(SHOP), 10).await.unwrap().is_empty(),
            "all jobs have expired"
        );
        // The bucket's objects expire with their jobs.
        environment.stores.chunks.remove_shop(SHOP, false).await.unwrap();
        let sync = environment.full_sync(products).await;
        assert_eq!(environment.archive(&sync).await, removed);
        assert_eq!(environment.documents(), products);
    }
}

/// Guards against an earlier fault: an index whose jobs had expired was not found, and its documents and settings
/// stayed.
#[tokio::test(start_paused = true)]
async fn a_shop_whose_jobs_have_expired_is_removed_with_its_documents() {
    let target = "catalog";
    for (is_interrupted, is_of_older_version) in [(false, false), (true, false), (false, true)] {
        let environment = Environment::new();
        let Environment { stores, jobs, clock, .. } = &environment;
        environment.full_sync(&["1", "2"]).await;
        environment.pass(400 * DAY).await;
        assert!(stores.jobs.list(None, 10).await.unwrap().is_empty(), "all jobs have expired");
        if is_of_older_version {
            // The older version numbered jobs, but kept no list of indexes.
            for entry in jobs.query("INDEXES", "", false, None).await.unwrap() {
                jobs.delete(&Key::new("INDEXES", entry.text("sk").unwrap())).await.unwrap();
            }
            let numbers = Key::new(format!("SHOP#{SHOP}"), "SEQUENCE#products");
            jobs.update(&Update::new(numbers).remove("targets")).await.unwrap();
        }
        let found = forget::indexes(stores, SHOP).await.unwrap();
        let target = if is_of_older_version { "" } else { target };
        let expected =
            ShopIndex { target: target.into(), index_name: "products".to_owned(), is_exclusive: true };
        assert_eq!(found, [expected]);
        if is_interrupted {
            let began_at = clock.now();
            let begun = ShopRemoval {
                began_at,
                ended_at: None,
                counts: ShopCounts::default(),
                indexes: found.clone(),
                left: Vec::new(),
            };
            stores.jobs.put_shop_removal(SHOP, &begun).await.unwrap();
        }
        let storage = ModelStorage { stores: stores.clone(), jobs: jobs.clone(), clock: clock.clone() };
        let indexes =
            found.into_iter().map(|found| (found, environment.index.clone() as Arc<dyn Index>)).collect();
        let (storage, clock) = (&storage, clock.clone());
        let forget = Forget { storage, shop_id: SHOP, indexes, gone: Vec::new(), clock };
        let forgotten = forget.run(ShopCounts::default()).await.unwrap();
        assert_eq!(forgotten.left, []);
        assert_eq!(environment.documents(), [""; 0], "interrupted: {is_interrupted}");
        assert_eq!(stores.jobs.indexes(SHOP).await.unwrap(), []);
        assert_eq!(stores.ledger.remove_shop(SHOP, true).await.unwrap(), 0);
    }
}

/// Guards against an earlier fault: the settings and API key of an index were removed although another shop used it,
/// because that shop's jobs had all expired and were of a version that kept no list of indexes.
#[tokio::test(start_paused = true)]
async fn an_index_is_shared_while_another_shop_has_numbered_jobs_of_it() {
    const OTHER: &str = "other.myshopify.com";
    let clock: SharedClock = Arc::new(VirtualClock::paused(1));
    let table = Arc::new(table::Model::default());
    let jobs = jobs_on(table.clone(), clock.clone(), MONTH);
    let is_exclusive = async |shop_id| {
        let found = jobs.indexes(shop_id).await.unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].is_exclusive
    };
    let create = async |shop_id, index_name: &str| {
        let job = Job { index_name: index_name.to_owned(), ..job(&*clock, shop_id) };
        jobs.create(&job).await.unwrap();
    };
    create(OTHER, "products").await;
    create("third.myshopify.com", "products2").await;
    clock.sleep(400 * DAY).await;
    table.expire(clock.now());
    for entry in table.query("INDEXES", "", false, None).await.unwrap() {
        table.delete(&Key::new("INDEXES", entry.text("sk").unwrap())).await.unwrap();
    }
    create(SHOP, "products").await;
    assert!(!is_exclusive(SHOP).await, "jobs of the other shop are known by their number only");
    assert!(!is_exclusive(OTHER).await);
    assert!(is_exclusive("third.myshopify.com").await, "another name is another index");
    jobs.remove_shop(OTHER, false).await.unwrap();
    assert!(is_exclusive(SHOP).await, "the other shop is gone");
}

/// DynamoDB removes expired items within days, in any order. Guards against an earlier fault: with one such job, none
/// of the shop's jobs was listed.
#[tokio::test(start_paused = true)]
async fn a_job_whose_record_outlives_its_seal_disturbs_no_other() {
    let clock: SharedClock = Arc::new(VirtualClock::paused(1));
    let table = Arc::new(table::Model::default());
    let jobs = jobs_on(table.clone(), clock.clone(), MONTH);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let ended = jobs.create(&job(&*clock, SHOP)).await.unwrap();
        jobs.add_chunk(&build::chunk(&ended.id, 0, 0)).await.unwrap();
        jobs.seal(&ended.id, &build::seal(1)).await.unwrap();
        build::complete(&*jobs, &ended.id, 0, &build::processed(10)).await;
        ids.push(ended.id);
        clock.sleep(DAY).await;
    }
    for item in table.query(&format!("JOB#{}", ids[0]), "", false, None).await.unwrap() {
        let sk = item.text("sk").unwrap();
        if sk != "RECORD" {
            assert!(table.delete(&Key::new(item.text("pk").unwrap(), sk)).await.unwrap());
        }
    }
    let listed = jobs.list(Some(SHOP), 9).await.unwrap();
    assert_eq!(listed.iter().map(|listed| &listed.job.id).collect::<Vec<_>>(), [&ids[1], &ids[0]]);
    let old = jobs.get(&ids[0]).await.unwrap().unwrap();
    assert_eq!((old.status, old.counts.processed, old.seal), (JobStatus::Completed, 10, None));
    let next = jobs.create(&job(&*clock, SHOP)).await.unwrap();
    assert!(jobs.supersede(&next).await.unwrap().is_empty());
}
