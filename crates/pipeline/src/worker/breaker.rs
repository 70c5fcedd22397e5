//! Circuit breakers: a failure that stops all work on an index is stored, chunks wait for it, and one at a time finds out
//! whether its cause is gone.

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

/// Deliveries that are left of those that the backend allows when a chunk is given up: the backend would not count it.
const SPARE_DELIVERIES: u32 = 50;

/// Whether the backend is about to take a message away by itself.
pub(super) fn is_near_receive_limit(receive_limit: Option<u32>, receive_count: u32) -> bool {
    receive_limit.is_some_and(|limit| receive_count.saturating_add(SPARE_DELIVERIES) >= limit)
}

/// What the breaker of a chunk's index says.
#[derive(Debug)]
pub(super) enum Admission {
    /// The breaker is closed, or the chunk needs no index: its job is not known, or all that it published is counted.
    Granted,
    /// It is open, and this chunk is tried.
    Probe(Probe),
    /// The chunk waits for so long.
    Wait(Duration),
    /// It has been open for too long: the chunk is given up.
    Expired(Breaker),
}

/// The trial of a chunk whose breaker is open.
#[derive(Debug)]
pub(super) struct Probe {
    breaker: Breaker,
    began: Timestamp,
}

/// The breakers that this process knows to be open, for the metric.
#[derive(Debug, Default)]
pub(super) struct Open(Mutex<HashSet<BreakerScope>>);

impl Open {
    fn lock(&self) -> MutexGuard<'_, HashSet<BreakerScope>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

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

/// Closes a breaker, and records and logs what did. Returns what it was if it was open.
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
    /// Asks the breaker before a chunk is claimed.
    pub(super) async fn admit(
        &self,
        delivery: &Delivery,
        stop_policy: &StopPolicy,
    ) -> Result<Admission, ChunkError> {
        let Some(job) = self.find_job(&delivery.chunk.job_id).await? else { return Ok(Admission::Granted) };
        let breakers = &self.stores.breakers;
        let Some(breaker) = breakers.get(&scope_of(&job)).await? else { return Ok(Admission::Granted) };
        self.open.change(|open| open.insert(breaker.scope.clone()));
        // Only its message is left, which no probe is worth. Small read first: most chunks that wait are of jobs that have not ended.
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

    /// Records that a failure stops work on the index of a chunk. The breaker as it is then; none if the chunk's job is unknown.
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
            // Where the failure ends the loop, its caller reports it.
            if probe.is_none() && stop_policy.is_wait() {
                let Breaker { code, message, .. } = &breaker;
                tracing::error!(%scope, code, cause = message, "work on an index is stopped until the cause is fixed");
            }
            self.open.change(|open| open.insert(scope));
            return Ok(Some(breaker));
        }
        // Another chunk has opened it, or probes by now; or the breaker was closed while this one was tried.
        let stored = breakers.get(&scope).await?;
        Ok(Some(stored.unwrap_or(breaker)))
    }

    /// Closes the breaker of a chunk that was written. Best effort: the next chunk that is written closes it too.
    pub(super) async fn close_breaker(&self, probe: &Probe) {
        let scope = &probe.breaker.scope;
        match resume(&self.stores, &self.clock, scope, ClearedBy::Probe).await {
            Ok(_) => self.open.change(|open| open.remove(scope)),
            Err(error) => tracing::warn!(%scope, cause = chain(&error), "could not close a circuit breaker"),
        }
    }

    /// Looks which of the breakers that this process has seen open are closed by now.
    pub(super) async fn refresh_open_breakers(&self) {
        let open: Vec<BreakerScope> = self.open.lock().iter().cloned().collect();
        for scope in open {
            if let Ok(None) = self.stores.breakers.get(&scope).await {
                self.open.change(|open| open.remove(&scope));
            }
        }
    }
}
