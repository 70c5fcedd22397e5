//! The worker's loop: takes messages, handles their chunks side by side, one a lane, and settles each exactly once.

use super::{
    chunk,
    lease::{Heartbeat, Lease},
};
use crate::fault::{Disposition, Fault, disposition};
use futures::FutureExt;
use host_core::{
    clock::SharedEnv,
    error::chain,
    index::{Index, WriteTarget},
    metrics as names,
    model::{ChunkRef, Job, JobId},
    plugin::{Validate, Version},
    storage::{AttemptError, ChunkOutcome, Claim, Delivery, Evidence, GivenUp, Jobs, StoreError, Stores},
};
use jiff::Timestamp;
use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How a worker works.
#[derive(Clone, Copy, Debug)]
pub struct WorkerSettings {
    /// Chunks handled at once, each of another lane.
    pub concurrency: usize,
    /// For how long a chunk and its message are ours without a sign of life.
    pub lease: Duration,
    /// Wait before looking again into an empty queue.
    pub idle: Duration,
    /// How long a chunk under way may go on after a cancel.
    pub grace: Duration,
}

/// Writes chunks to an index.
pub struct Worker {
    /// Where chunks, messages and jobs are.
    pub stores: Stores,
    /// Where documents go.
    pub index: Arc<dyn Index>,
    /// Judges documents.
    pub validate: Arc<dyn Validate>,
    /// Compares versions.
    pub version: Arc<dyn Version>,
    /// Time and randomness.
    pub env: SharedEnv,
    /// How to work.
    pub settings: WorkerSettings,
    /// Jobs seen, whose records never change in what is read here.
    pub(super) jobs: Mutex<HashMap<JobId, Arc<Job>>>,
    /// Ends the wait of an idle loop.
    news: Notify,
}

/// Why a worker stopped before its work was done. Everything is kept; the same command goes on.
#[derive(Debug, thiserror::Error)]
#[error("indexing stopped at chunk {key}, at attempt {attempts}")]
pub struct Stop {
    /// The chunk at which it happened.
    pub key: String,
    /// The job of that chunk; none if it happened before a chunk was received.
    pub job_id: Option<JobId>,
    /// How often the chunk had been tried.
    pub attempts: u32,
    /// What happened.
    #[source]
    pub fault: Fault,
}

/// A chunk that was claimed more often has killed its workers: more attempts than any other failure may take.
const MOST_ATTEMPTS: u32 = 20;

/// What a won claim gives.
#[derive(Clone, Debug)]
struct Held {
    fence: u64,
    attempts: u32,
    epoch: u32,
    first_error: Option<AttemptError>,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handled {
    /// The chunk is counted and the message gone, or somebody else's.
    Settled,
    /// The message is in the queue and comes again.
    Left,
}

/// When a chunk that is not done is given back, as if it had never been tried. What is written by then is found written the
/// next time.
#[derive(Clone, Debug)]
pub(super) enum Leave {
    /// At this instant.
    At(Timestamp),
    /// A grace after this is cancelled.
    After(CancellationToken),
}

/// When a worker's loop ends by itself.
#[derive(Clone, Debug)]
pub enum Until {
    /// When this job has ended.
    JobEnds(JobId),
    /// Only when cancelled.
    Cancelled,
}

impl Worker {
    /// A worker.
    pub fn new(
        stores: Stores,
        index: Arc<dyn Index>,
        validate: Arc<dyn Validate>,
        version: Arc<dyn Version>,
        env: SharedEnv,
        settings: WorkerSettings,
    ) -> Self {
        Self { stores, index, validate, version, env, settings, jobs: Mutex::default(), news: Notify::new() }
    }

    /// For how long a chunk and its message are ours without a sign of life.
    pub fn lease(&self) -> Duration {
        self.settings.lease
    }

    /// Has an idle loop look at once, because something was sent or sealed in this process.
    pub fn look_again(&self) {
        self.news.notify_one();
    }

    /// Works a shop's queue until `until` or until cancelled; chunks under way are then finished, or given back after the grace.
    pub async fn run(
        self: &Arc<Self>,
        shop_id: &str,
        until: Until,
        cancel: &CancellationToken,
    ) -> Result<(), Stop> {
        let mut tasks = JoinSet::new();
        let mut stopped = None;
        // Set before the chunk that stops the loop is given back, or this very loop could take it once more.
        let stopping = CancellationToken::new();
        loop {
            let leave = cancel.is_cancelled()
                || stopping.is_cancelled()
                || stopped.is_some()
                || self.is_over(&until).await;
            let free = self.settings.concurrency.max(1).saturating_sub(tasks.len());
            if leave && tasks.is_empty() {
                return stopped.map_or(Ok(()), Err);
            }
            let mut received = 0;
            if !leave && free > 0 {
                match self.stores.queue.receive(shop_id, free, self.settings.lease).await {
                    Ok(deliveries) => {
                        received = deliveries.len();
                        for delivery in deliveries {
                            let (worker, stopping) = (Arc::clone(self), stopping.clone());
                            let ChunkRef { job_id, seq, .. } = &delivery.chunk;
                            // Whatever is logged on the way is found by the job.
                            let span = tracing::info_span!("chunk", %job_id, seq);
                            let leave = Leave::After(cancel.clone());
                            let handle = async move { worker.handle(delivery, &leave, &stopping).await };
                            tasks.spawn(handle.instrument(span));
                        }
                    }
                    Err(error) => stopped = self.receive_failed(shop_id, error).await,
                }
            }
            if received > 0 && received < free {
                continue;
            }
            tokio::select! {
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                    match ended {
                        Ok(Ok(_)) => {}
                        Ok(Err(stop)) => { stopped.get_or_insert(*stop); }
                        // Its lease runs out, and the chunk is delivered again.
                        Err(error) => tracing::error!(%error, "giving a chunk back went wrong"),
                    }
                }
                () = self.news.notified() => {}
                () = self.env.sleep(self.settings.idle), if tasks.len() < self.settings.concurrency.max(1) => {}
            }
        }
    }

    async fn receive_failed(&self, shop_id: &str, error: StoreError) -> Option<Stop> {
        let fault = Fault::Store(error);
        match disposition(&fault, 1, self.env.random()) {
            Disposition::Retry(after) => {
                tracing::warn!(shop_id, error = %fault, "could not receive; trying again");
                self.env.sleep(after.max(self.settings.idle)).await;
                None
            }
            _ => Some(Stop { key: format!("the queue of {shop_id}"), job_id: None, attempts: 1, fault }),
        }
    }

    async fn is_over(&self, until: &Until) -> bool {
        match until {
            Until::Cancelled => false,
            Until::JobEnds(id) => match self.stores.jobs.get(id).await {
                Ok(snapshot) => snapshot.is_some_and(|job| job.status.has_ended()),
                Err(_) => false,
            },
        }
    }

    /// Handles one delivery from claim to acknowledgement.
    /// `stopping` is cancelled before a message is given back that needs somebody to act first.
    pub(super) async fn handle(
        &self,
        delivery: Delivery,
        leave: &Leave,
        stopping: &CancellationToken,
    ) -> Result<Handled, Box<Stop>> {
        let mut held = None;
        // A panic concerns this chunk alone; the loop and the other chunks go on.
        let result = AssertUnwindSafe(self.steps(&delivery, leave, &mut held)).catch_unwind().await;
        let result = result.unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<String>().cloned();
            let message = message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Fault::Bug { key: delivery.chunk.key.clone(), message: message.unwrap_or_default() })
        });
        match result {
            Ok(handled) => Ok(handled),
            Err(fault) => self.dispose(&delivery, held, fault, stopping).await,
        }
    }

    async fn steps(
        &self,
        delivery: &Delivery,
        leave: &Leave,
        held: &mut Option<Held>,
    ) -> Result<Handled, Fault> {
        let Delivery { chunk, receipt, .. } = delivery;
        let jobs = self.stores.jobs.as_ref();
        let claimed_at = self.env.now();
        let claim = jobs.claim(&chunk.job_id, chunk.seq, self.settings.lease).await?;
        note(delivery, &claim);
        match claim {
            Claim::Won { fence, attempts, epoch, first_error } => {
                *held = Some(Held { fence, attempts, epoch, first_error });
                if attempts > MOST_ATTEMPTS {
                    return Err(Fault::TooManyAttempts { key: chunk.key.clone(), attempts });
                }
                let lost = CancellationToken::new();
                let lease = Lease { claimed_at, duration: self.settings.lease };
                let heartbeat =
                    Heartbeat::start(&self.stores, &self.env, chunk, fence, receipt, lease, lost.clone());
                let began = self.env.now();
                let outcome = tokio::select! {
                    outcome = self.outcome(chunk) => outcome?,
                    () = lost.cancelled() => return Err(Fault::LeaseLost { key: chunk.key.clone() }),
                    () = self.time_is_up(leave) => return Err(Fault::OutOfTime { key: chunk.key.clone() }),
                };
                drop(heartbeat);
                self.settle(delivery, fence, &outcome).await?;
                let took = self.env.now().duration_since(began);
                metrics::histogram!(names::CHUNK_SECONDS).record(took.as_secs_f64());
            }
            Claim::Settling { quarantined } => {
                finish(jobs, chunk).await?;
                self.leave(delivery, quarantined.as_ref()).await?;
            }
            Claim::Done { quarantined } => self.leave(delivery, quarantined.as_ref()).await?,
            Claim::Held { until } => {
                let wait = self.env.now().duration_until(until).unsigned_abs();
                self.stores.queue.release(receipt, wait).await?;
                return Ok(Handled::Left);
            }
            Claim::Unknown => {
                tracing::warn!(key = chunk.key, "the message of a chunk that no job knows was dropped");
                self.leave(delivery, None).await?;
            }
        }
        Ok(Handled::Settled)
    }

    async fn time_is_up(&self, leave: &Leave) {
        let left = match leave {
            Leave::At(instant) => {
                Duration::try_from(self.env.now().duration_until(*instant)).unwrap_or_default()
            }
            Leave::After(cancel) => {
                cancel.cancelled().await;
                self.settings.grace
            }
        };
        self.env.sleep(left).await;
    }

    async fn outcome(&self, chunk: &ChunkRef) -> Result<ChunkOutcome, Fault> {
        let job = self.job(&chunk.job_id).await?;
        let ours = self.index.id();
        if !job.target.includes(&ours) {
            let (key, wanted) = (chunk.key.clone(), job.target.clone());
            return Err(Fault::OtherTarget { key, wanted, ours });
        }
        chunk::handle(self, &job, chunk).await
    }

    /// Completion's three steps, then the acknowledgement as the last act.
    async fn settle(&self, delivery: &Delivery, fence: u64, outcome: &ChunkOutcome) -> Result<(), Fault> {
        let Delivery { chunk, .. } = delivery;
        let jobs = self.stores.jobs.as_ref();
        if !jobs.settle(&chunk.job_id, chunk.seq, fence, outcome).await? {
            return Err(Fault::LeaseLost { key: chunk.key.clone() });
        }
        measure(outcome);
        finish(jobs, chunk).await?;
        Ok(self.leave(delivery, outcome.quarantined.as_ref()).await?)
    }

    /// Takes the message of a counted chunk off the queue. A void receipt means that somebody else has it, who will find
    /// the chunk done.
    async fn leave(&self, delivery: &Delivery, quarantined: Option<&GivenUp>) -> Result<(), StoreError> {
        let queue = self.stores.queue.as_ref();
        let _had_it = match quarantined {
            Some(reason) => queue.bury(&delivery.receipt, reason).await?,
            None => queue.ack(&delivery.receipt).await?,
        };
        Ok(())
    }

    async fn dispose(
        &self,
        delivery: &Delivery,
        held: Option<Held>,
        fault: Fault,
        stopping: &CancellationToken,
    ) -> Result<Handled, Box<Stop>> {
        let key = &delivery.chunk.key;
        let attempts = held.as_ref().map_or(delivery.receive_count, |held| held.attempts);
        let decided = disposition(&fault, attempts, self.env.random());
        let cause = chain(&fault);
        if decided != Disposition::Stop {
            // What stops the worker is told by whoever started it.
            tracing::warn!(
                key,
                attempts,
                code = fault.code(),
                cause,
                "a chunk could not be handled; {decided}"
            );
        }
        let name = match decided {
            Disposition::Retry(_) => "retry",
            Disposition::Quarantine => "quarantine",
            Disposition::Defer => "defer",
            Disposition::Abandon => "abandon",
            Disposition::Stop => "stop",
        };
        metrics::counter!(names::CHUNK_FAULTS, "disposition" => name).increment(1);
        let error = AttemptError::new(fault.code(), &fault, attempts, self.env.now());
        let is_held = held.is_some();
        let waits = matches!(decided, Disposition::Retry(_) | Disposition::Stop);
        let noted = (is_held && waits).then(|| error.clone());
        let given_back = match &decided {
            Disposition::Abandon => Ok(()),
            Disposition::Retry(after) => self.release(delivery, held, Some(error), *after).await,
            Disposition::Defer => self.forgive(delivery, held).await,
            Disposition::Stop => {
                stopping.cancel();
                self.forgive(delivery, held).await
            }
            Disposition::Quarantine => self.quarantine(delivery, held, error, cause).await,
        };
        let is_given_back = given_back.is_ok();
        if let Err(error) = given_back {
            // The lease runs out by itself, and the chunk is delivered again.
            tracing::warn!(key, cause = chain(&error), "a chunk could not be given back");
        }
        if let Some(noted) = noted
            && let Err(error) = self.stores.jobs.note_error(&delivery.chunk.job_id, &noted).await
        {
            tracing::warn!(key, cause = chain(&error), "the job's record does not say what happened");
        }
        if decided == Disposition::Stop {
            let job_id = Some(delivery.chunk.job_id.clone());
            return Err(Box::new(Stop { key: key.clone(), job_id, attempts, fault }));
        }
        // Whoever has an abandoned chunk may still need the message.
        Ok(match decided {
            Disposition::Quarantine if is_given_back && is_held => Handled::Settled,
            _ => Handled::Left,
        })
    }

    async fn release(
        &self,
        delivery: &Delivery,
        held: Option<Held>,
        error: Option<AttemptError>,
        after: Duration,
    ) -> Result<(), Fault> {
        let Delivery { chunk, receipt, .. } = delivery;
        let jobs = &self.stores.jobs;
        if let Some(Held { fence, .. }) = held
            && !jobs.give_back(&chunk.job_id, chunk.seq, fence, error.as_ref()).await?
        {
            return Err(Fault::LeaseLost { key: chunk.key.clone() });
        }
        self.stores.queue.release(receipt, after).await?;
        Ok(())
    }

    /// Gives a chunk back as if it had never been tried.
    async fn forgive(&self, delivery: &Delivery, held: Option<Held>) -> Result<(), Fault> {
        self.release(delivery, held, None, Duration::ZERO).await?;
        Ok(self.stores.jobs.forgive(&delivery.chunk.job_id, delivery.chunk.seq).await?)
    }

    async fn quarantine(
        &self,
        delivery: &Delivery,
        held: Option<Held>,
        error: AttemptError,
        cause: String,
    ) -> Result<(), Fault> {
        let Some(Held { fence, attempts, epoch, first_error }) = held else {
            return self.release(delivery, held, None, Duration::ZERO).await;
        };
        let chunk = &delivery.chunk;
        // Where it was to be written is worth knowing, but not worth failing for.
        let job = self.job(&chunk.job_id).await.ok();
        let endpoint = match &job {
            Some(job) => self.index.server(&WriteTarget::of(job)).await,
            None => None,
        };
        let evidence = Evidence {
            attempts,
            first_error: first_error.or_else(|| Some(error.clone())),
            endpoint,
            plugin_digest: job.map(|job| job.plugin.digest),
            ..Evidence::default()
        };
        let reason = GivenUp {
            code: error.code.clone(),
            message: cause,
            epoch,
            evidence: Evidence { last_error: Some(error), ..evidence },
        };
        let outcome = chunk::give_up(self.stores.chunks.as_ref(), chunk, reason).await?;
        self.settle(delivery, fence, &outcome).await
    }

    async fn job(&self, id: &JobId) -> Result<Arc<Job>, Fault> {
        let known = self.jobs.lock().expect("no holder of this lock panics").get(id).cloned();
        if let Some(job) = known {
            return Ok(job);
        }
        let snapshot = self.stores.jobs.get(id).await?;
        let snapshot = snapshot.ok_or_else(|| Fault::LostInput { key: format!("the record of job {id}") })?;
        let job = Arc::new(snapshot.job);
        self.jobs.lock().expect("no holder of this lock panics").insert(id.clone(), Arc::clone(&job));
        Ok(job)
    }
}

/// Tells of a delivery what was found: whoever looks into why a chunk was delivered twice finds its history by its key.
fn note(delivery: &Delivery, claim: &Claim) {
    let found = match claim {
        Claim::Won { fence: 1, .. } => "first",
        Claim::Won { .. } => "again",
        Claim::Held { .. } => "held",
        Claim::Settling { .. } => "settling",
        Claim::Done { .. } => "done",
        Claim::Unknown => "unknown",
    };
    metrics::counter!(names::CLAIMS, "found" => found).increment(1);
    let Delivery { chunk, receive_count, .. } = delivery;
    tracing::debug!(key = chunk.key, receive_count, found, "a chunk was delivered");
}

/// Adds an outcome that is now settled, and will not be settled again, to the metrics.
fn measure(outcome: &ChunkOutcome) {
    let settled = if outcome.quarantined.is_some() { "quarantined" } else { "done" };
    metrics::counter!(names::CHUNKS, "outcome" => settled).increment(1);
    names::count_items(&outcome.counts);
}

/// Completion's steps (b) and (c): whoever finds a settling chunk may take them.
pub(super) async fn finish(jobs: &dyn Jobs, chunk: &ChunkRef) -> Result<(), StoreError> {
    jobs.count(&chunk.job_id, chunk.seq).await?;
    jobs.finish(&chunk.job_id, chunk.seq).await
}
