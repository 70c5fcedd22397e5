//! Two workers on one Marqo stand-in that fails, and a recorder of their calls to the index.

use super::plan::Chunk;
use crate::waiting::SteppingClock;
use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    index::{IndexError, Outcome},
    model::{DocumentId, Job, JobId},
    storage::{JobSnapshot, Storage, Stores},
};
use host_index_marqo::{IndexSettings, Marqo, MarqoConfig};
use host_net::RetryProfile;
use host_pipeline::worker::{RunUntil, Worker, WorkerSettings, WorkerStopped};
use host_testing::{
    build,
    fakes::{FakePlugin, IndexCall, Intercepted, Interceptor},
    storage::Memory,
};
use marqo_stand_in::{FaultRule, Operation as Call, Options, StandIn};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

pub(super) const SHOP: &str = "tests.myshopify.com";
pub(super) const INDEX: &str = "shop";
/// How long a worker may hold a chunk without a heartbeat.
const LEASE: Duration = Duration::from_secs(600);

/// The workers' calls to the index and its answers.
#[derive(Default)]
pub(super) struct Recorder {
    /// How often workers began each chunk, by the ids of its documents.
    pub(super) begun: Mutex<BTreeMap<Vec<DocumentId>, u32>>,
    /// Ids and versions of which the index answered that they are written.
    pub(super) acknowledged: Mutex<Vec<(String, u64)>>,
}

#[async_trait]
impl Interceptor for Recorder {
    async fn before(&self, call: IndexCall<'_>) -> Result<(), IndexError> {
        // A worker begins a chunk by reading the stored versions.
        if let IndexCall::Stored(ids) = call {
            *self.begun.lock().unwrap().entry(ids.to_vec()).or_default() += 1;
        }
        Ok(())
    }

    async fn after(&self, call: IndexCall<'_>, outcomes: &[Outcome]) -> Result<(), IndexError> {
        if let IndexCall::Write(batch) = call {
            let done = batch.iter().zip(outcomes).filter(|(_, outcome)| **outcome == Outcome::Done);
            let written =
                done.map(|(write, _)| (write.document.id.to_string(), write.version["v"].as_u64().unwrap()));
            self.acknowledged.lock().unwrap().extend(written);
        }
        Ok(())
    }
}

/// A server, stores, and two workers as in two processes: each has its own client of the index; they share the stores.
pub(super) struct Harness {
    pub(super) server: Arc<StandIn>,
    clock: Arc<SteppingClock>,
    pub(super) stores: Stores,
    pub(super) workers: [Arc<Worker>; 2],
    pub(super) recorder: Arc<Recorder>,
}

impl Harness {
    pub(super) async fn new(seed: u64, faults: Vec<FaultRule>) -> Self {
        let indexes = vec![INDEX.to_owned()];
        let options = Options { indexes, seed, faults, version_field: "v".to_owned(), ..Options::default() };
        let server = Arc::new(StandIn::start(options).unwrap());
        let clock = SteppingClock::new(seed);
        tokio::spawn(clock.clone().pass(server.clone()));
        let shared: SharedClock = clock.clone();
        let stores = Memory::new(shared.clone()).stores();
        let settings = IndexSettings {
            endpoint: server.url().to_owned(),
            tensor_fields: vec!["title".to_owned()],
            batch_documents: 40,
            batch_complexity: 1000,
            ..IndexSettings::default()
        };
        settings.store(stores.settings.as_ref(), INDEX).await.unwrap();
        let plugin = Arc::new(FakePlugin::default());
        let recorder = Arc::new(Recorder::default());
        let workers = [(); 2].map(|()| {
            // In real time, unlike all others: how long an answer that never comes is waited for.
            let config =
                MarqoConfig { request_timeout: Duration::from_millis(700), ..MarqoConfig::default() };
            let marqo =
                Marqo::new(stores.settings.clone(), shared.clone(), &config, RetryProfile::Background)
                    .unwrap();
            let index = Arc::new(Intercepted { index: marqo, interceptor: recorder.clone() });
            let settings = WorkerSettings {
                concurrency: 3,
                lease: LEASE,
                poll_interval: Duration::from_secs(5),
                shutdown_timeout: Duration::from_secs(20),
                stopped_after: Duration::from_secs(24 * 3_600),
                keep_chunks: false,
            };
            Arc::new(Worker::new(
                stores.clone(),
                index,
                plugin.clone(),
                plugin.clone(),
                shared.clone(),
                settings,
            ))
        });
        Self { server, clock, stores, workers, recorder }
    }

    /// Publishes the chunks as one job, as ingest does.
    pub(super) async fn publish(&self, chunks: &[Chunk]) -> JobId {
        let job = Job {
            index_name: INDEX.to_owned(),
            target: "marqo".into(),
            ..build::job(self.clock.as_ref(), SHOP)
        };
        let texts: Vec<String> = chunks.iter().map(|chunk| chunk.lines.join("\n") + "\n").collect();
        let chunks: Vec<_> =
            chunks.iter().zip(&texts).map(|(chunk, text)| (chunk.lane, chunk.operation, &**text)).collect();
        build::publish(&self.stores, &job, &chunks).await;
        job.id
    }

    /// Runs these workers until the job has ended; an error if one of them stops.
    pub(super) async fn run(
        &self,
        workers: &[Arc<Worker>],
        id: &JobId,
    ) -> Result<JobSnapshot, WorkerStopped> {
        let cancel = CancellationToken::new();
        let run = |worker: &Arc<Worker>| {
            let (worker, until, cancel) = (worker.clone(), RunUntil::JobEnds(id.clone()), cancel.clone());
            async move { worker.run(SHOP, until, &cancel).await }
        };
        futures::future::try_join_all(workers.iter().map(run)).await?;
        Ok(self.stores.jobs.get(id).await.unwrap().unwrap())
    }

    /// All entries of the job's reports: one for each item that was not simply written.
    pub(super) async fn report(&self, id: &JobId) -> Vec<Value> {
        let mut entries = Vec::new();
        for key in self.stores.jobs.reports(id).await.unwrap() {
            let bytes = self.stores.chunks.get(&key, None).await.unwrap().unwrap();
            entries.extend(
                String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()),
            );
        }
        entries
    }

    /// Number of add requests so far.
    pub(super) fn adds(&self) -> usize {
        self.server.requests().iter().filter(|request| request.operation == Call::Add).count()
    }

    /// The longest wait that was not a heartbeat.
    pub(super) fn longest_wait(&self) -> Duration {
        // Heartbeats wait for a fraction of the lease, far longer than any retry.
        let is_heartbeat = |time: &Duration| *time > LEASE / 4;
        self.clock.slept().into_iter().filter(|time| !is_heartbeat(time)).max().unwrap_or_default()
    }
}
