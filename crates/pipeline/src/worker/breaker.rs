//! Circuit breakers. A failure that concerns a whole index, such as a wrong API key, opens a breaker, which is stored
//! for the shop and index. While it is open, chunks of the index wait, and all workers together try one of them at a
//! time, the probe, to find out whether the cause is gone.

use super::{Worker, chunk_error::ChunkError, handle::StopPolicy};
use host_core::{
    clock::SharedClock,
    error::chain,
    metrics as names,
    model::Job,
    storage::{Breaker, BreakerScope, Cleared, ClearedBy, Delivery, StoreError, Stores},
};
use jiff::Timestamp;
use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A chunk is given up when this number is left of the deliveries of its message that the queue allows (SQS: 1,000).
/// After the last one the queue itself would make the message a dead letter, and the chunk would never be counted.
const SPARE_DELIVERIES: u32 = 50;

/// Whether the queue is about to take a message away by itself. `receive_limit` is `None` for a queue that never does.
pub(super) fn is_near_receive_limit(receive_limit: Option<u32>, receive_count: u32) -> bool {
    receive_limit.is_some_and(|limit| receive_count.saturating_add(SPARE_DELIVERIES) >= limit)
}

/// Whether a chunk may be tried now, by the breaker of its index.
#[derive(Debug)]
pub(super) enum Admission {
    /// The breaker is closed, or the chunk needs no index: its job is not known, or all that it published is counted.
    Granted,
    /// It is open, and this chunk is the one to try.
    Probe(Probe),
    /// It is open, and the chunk waits for this time.
    Wait(Duration),
    /// The chunk is given up: the breaker has been open for too long, or the chunk's message has almost used up its
    /// deliveries.
    Expired(Breaker),
}

/// The attempt at a chunk while the breaker of its index is open.
#[derive(Debug)]
pub(super) struct Probe {
    breaker: Breaker,
    began: Timestamp,
}

/// The breakers that this process knows to be open, whose number is a metric.
#[derive(Debug, Default)]
pub(super) struct OpenBreakers(Mutex<HashSet<BreakerScope>>);

impl OpenBreakers {
    fn lock(&self) -> MutexGuard<'_, HashSet<BreakerScope>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the set; `change` returns whether it did, and then the metric is set.
    fn change(&self, change: impl FnOnce(&mut HashSet<BreakerScope>) -> bool) {
        let mut open = self.lock();
        if change(&mut open) {
            metrics::gauge!(names::BREAKERS_OPEN).set(open.len() as f64);
        }
    }
}

fn scope_of(job: &Job) -> BreakerScope {
    BreakerScope { shop_id: job.shop_id.clone(), index_name: job.index_name.clone() }
}

/// Closes a breaker, and records and logs what closed it (`by`). Returns the breaker as it was; `None` if it was not
/// open.
pub async fn resume(
    stores: &Stores,
    clock: &SharedClock,
    scope: &BreakerScope,
    by: ClearedBy,
) -> Result<Option<Breaker>, StoreError> {
    let closed = stores.breakers.close(scope, Cleared { by, at: clock.now() }).await?;
    let by = by.as_str();
    if let Some(Breaker { since, code, message, probes, .. }) = &closed {
        tracing::info!(%scope, by, %since, code, reason = message, probes, "work on an index goes on");
    }
    Ok(closed)
}

impl Worker {
    /// Looks, before a chunk is claimed, whether the breaker of its index lets it be tried.
    pub(super) async fn admit(
        &self,
        delivery: &Delivery,
        stop_policy: &StopPolicy,
    ) -> Result<Admission, ChunkError> {
        let Some(job) = self.find_job(&delivery.chunk.job_id).await? else { return Ok(Admission::Granted) };
        let breakers = &self.stores.breakers;
        let Some(breaker) = breakers.get(&scope_of(&job)).await? else { return Ok(Admission::Granted) };
        self.open_breakers.change(|open| open.insert(breaker.scope.clone()));
        // Of a job that has ended only messages are left, which are dropped without the index. The small read comes
        // first: most chunks that wait are of jobs that have not ended.
        if self.stores.jobs.has_ended(&job.id).await?
            && self.stores.jobs.get(&job.id).await?.is_some_and(|job| !job.is_open())
        {
            return Ok(Admission::Granted);
        }
        let now = self.clock.now();
        if let StopPolicy::End(_) = stop_policy {
            return Ok(Admission::Probe(Probe { breaker, began: now }));
        }
        if breaker.is_due(now) {
            let probing = breaker.probing(now);
            if breakers.replace(Some(&breaker), &probing).await? {
                return Ok(Admission::Probe(Probe { breaker: probing, began: now }));
            }
        }
        if self.is_given_up(delivery, &breaker) {
            return Ok(Admission::Expired(breaker));
        }
        // Another worker probes: wait for its result.
        let breaker = if breaker.is_due(now) { breaker.probing(now) } else { breaker };
        Ok(Admission::Wait(breaker.wait(now)))
    }

    /// Opens the breaker of a chunk's index because of `error`, or, if the chunk was a probe, has it wait for the
    /// next one. Returns the breaker as it is then; `None` if the chunk's job is unknown.
    pub(super) async fn trip(
        &self,
        delivery: &Delivery,
        probe: Option<&Probe>,
        error: &ChunkError,
        stop_policy: &StopPolicy,
    ) -> Result<Option<Breaker>, ChunkError> {
        let Some(job) = self.find_job(&delivery.chunk.job_id).await? else { return Ok(None) };
        let (scope, breakers, now) = (scope_of(&job), &self.stores.breakers, self.clock.now());
        let failure = || (error.code(), chain(error));
        let breaker = match probe {
            Some(Probe { breaker, began }) => breaker.probe_failed(failure(), *began, now),
            None => Breaker::opened(scope.clone(), &delivery.chunk, failure(), now),
        };
        if breakers.replace(probe.map(|probe| &probe.breaker), &breaker).await? {
            // If the failure ends the loop, the loop's caller reports it.
            if probe.is_none() && stop_policy.is_wait() {
                let Breaker { code, message, .. } = &breaker;
                tracing::error!(%scope, code, cause = message, "work on an index is stopped until the cause is fixed");
            }
            self.open_breakers.change(|open| open.insert(scope));
            return Ok(Some(breaker));
        }
        // Meanwhile another chunk has opened the breaker or is a probe, or the breaker was closed: the stored state
        // holds.
        let stored = breakers.get(&scope).await?;
        Ok(Some(stored.unwrap_or(breaker)))
    }

    /// Closes the breaker after a probe was written. If that fails, it is logged: the next probe that is written
    /// closes it.
    pub(super) async fn close_breaker(&self, probe: &Probe) {
        let scope = &probe.breaker.scope;
        match resume(&self.stores, &self.clock, scope, ClearedBy::Probe).await {
            Ok(_) => self.open_breakers.change(|open| open.remove(scope)),
            Err(error) => tracing::warn!(%scope, cause = chain(&error), "could not close a circuit breaker"),
        }
    }

    /// Updates the metric: looks which of the breakers that this process has seen open are closed by now.
    pub(super) async fn refresh_open_breakers(&self) {
        let open: Vec<BreakerScope> = self.open_breakers.lock().iter().cloned().collect();
        for scope in open {
            if let Ok(None) = self.stores.breakers.get(&scope).await {
                self.open_breakers.change(|open| open.remove(&scope));
            }
        }
    }
}
