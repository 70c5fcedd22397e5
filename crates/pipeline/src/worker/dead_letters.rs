//! Dead letters: redriven once their cause is fixed, or discarded.
//!
//! All dead letters of a shop are leased, by a heartbeat, while the selected ones are handled in the order in which their
//! chunks were published. A dead letter is removed last, so that a process that crashes before leaves it to the next one.

use futures::StreamExt;
use host_core::{
    clock::SharedClock,
    error::chain,
    index::TargetId,
    model::{Job, JobId},
    storage::{DeadLetter, LeasedDeadLetter, Queue, Receipt, StoreError, Stores},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long dead letters stay invisible when the process that leased them crashes.
const VISIBILITY: Duration = Duration::from_secs(120);

/// Leases that are renewed concurrently.
const CONCURRENT_RENEWALS: usize = 16;

/// Selects dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only those of this job.
    pub job: Option<JobId>,
    /// Only those with this reason.
    pub code: Option<String>,
    /// Only that of the chunk with this number.
    pub chunk: Option<u32>,
}

impl DeadLetterFilter {
    /// Whether a dead letter is selected.
    pub fn matches(&self, dead_letter: &DeadLetter) -> bool {
        self.job.as_ref().is_none_or(|job| dead_letter.chunk.job_id == *job)
            && self.code.as_ref().is_none_or(|code| dead_letter.code == *code)
            && self.chunk.is_none_or(|chunk| dead_letter.chunk.seq == chunk)
    }
}

/// The result of redriving dead letters.
#[derive(Debug, Default)]
pub struct Redriven {
    /// Their chunks are in the queue again.
    pub sent: Vec<DeadLetter>,
    /// Their chunks are done by now: the message was a copy, or left over. It is gone.
    pub done: Vec<DeadLetter>,
    /// Their jobs are no longer known. They are still there.
    pub orphaned: Vec<DeadLetter>,
    /// Chunks of another job of their index wait in another number of lanes, where one could overtake the other (`docs/order.md`). They
    /// are still there, and the same call sends them once those chunks are done.
    pub held_back: Vec<DeadLetter>,
}

/// Sends the chunks of dead letters again: they no longer count as failed, and their jobs end once more. A repeated call
/// resumes an interrupted one.
pub async fn redrive(
    stores: &Stores,
    clock: &SharedClock,
    shop_id: &str,
    filter: &DeadLetterFilter,
) -> Result<Redriven, StoreError> {
    let mut redriven = Redriven::default();
    let mut in_use = LanesInUse::of(stores, shop_id).await?;
    let send = async |dead_letter: DeadLetter, job: Option<Arc<Job>>| {
        if stores.queue.resend(&dead_letter).await? {
            redriven.sent.push(dead_letter);
            return Ok(true);
        }
        let Some(job) = job else {
            redriven.orphaned.push(dead_letter);
            return Ok(false);
        };
        if in_use.are_others_than(&job) {
            redriven.held_back.push(dead_letter);
            return Ok(false);
        }
        in_use.add(&job);
        let chunk = &dead_letter.chunk;
        match stores.jobs.redrive(&chunk.job_id, chunk.seq, dead_letter.redrive_count).await? {
            Some(redrive_count) => {
                stores.queue.send(&job, chunk, redrive_count).await?;
                redriven.sent.push(dead_letter);
            }
            None => redriven.done.push(dead_letter),
        }
        Ok(true)
    };
    each(stores, clock, shop_id, filter, send).await?;
    Ok(redriven)
}

/// What [`redrive`] would do now. Which chunks are done is not looked up: their dead letters count as sent.
pub async fn plan_redrive(
    stores: &Stores,
    shop_id: &str,
    filter: &DeadLetterFilter,
) -> Result<Redriven, StoreError> {
    let mut jobs: HashMap<JobId, Option<Job>> = HashMap::new();
    let mut selected = Vec::new();
    for dead_letter in stores.queue.dead_letters(shop_id).await? {
        if !filter.matches(&dead_letter) {
            continue;
        }
        let id = &dead_letter.chunk.job_id;
        if !jobs.contains_key(id) {
            jobs.insert(id.clone(), stores.jobs.get(id).await?.map(|snapshot| snapshot.job));
        }
        selected.push(dead_letter);
    }
    let job_of = |dead_letter: &DeadLetter| jobs.get(&dead_letter.chunk.job_id).and_then(Option::as_ref);
    selected.sort_by_key(|dead_letter| job_of(dead_letter).map(|job| (job.sequence, job.created_at)));
    let (mut planned, mut in_use) = (Redriven::default(), LanesInUse::of(stores, shop_id).await?);
    for dead_letter in selected {
        match job_of(&dead_letter) {
            _ if dead_letter.external.is_some() => planned.sent.push(dead_letter),
            None => planned.orphaned.push(dead_letter),
            Some(job) if in_use.are_others_than(job) => planned.held_back.push(dead_letter),
            Some(job) => {
                in_use.add(job);
                planned.sent.push(dead_letter);
            }
        }
    }
    Ok(planned)
}

/// In how many lanes chunks of a shop's indexes wait.
#[derive(Default)]
struct LanesInUse(HashMap<(TargetId, String), BTreeSet<u16>>);

impl LanesInUse {
    async fn of(stores: &Stores, shop_id: &str) -> Result<Self, StoreError> {
        let mut in_use = Self::default();
        for open in stores.jobs.list_open(Some(shop_id), usize::MAX).await? {
            if open.completed_chunks < open.chunks {
                in_use.add(&open.job);
            }
        }
        Ok(in_use)
    }

    fn add(&mut self, job: &Job) {
        // Jobs of older versions do not say.
        if job.lanes > 0 {
            self.0.entry((job.target.clone(), job.index_name.clone())).or_default().insert(job.lanes);
        }
    }

    /// Whether chunks of the job's index wait in another number of lanes than the job's, where one could overtake another.
    fn are_others_than(&self, job: &Job) -> bool {
        let in_use = self.0.get(&(job.target.clone(), job.index_name.clone()));
        job.lanes > 0 && in_use.is_some_and(|in_use| in_use.iter().any(|lanes| *lanes != job.lanes))
    }
}

/// Removes dead letters. Their chunks stay counted as failed.
pub async fn discard(
    stores: &Stores,
    clock: &SharedClock,
    shop_id: &str,
    filter: &DeadLetterFilter,
) -> Result<Vec<DeadLetter>, StoreError> {
    let mut discarded = Vec::new();
    let discard = async |dead_letter, _| {
        discarded.push(dead_letter);
        Ok(true)
    };
    each(stores, clock, shop_id, filter, discard).await?;
    Ok(discarded)
}

/// Passes each selected dead letter and its job to `handle`, and removes it if that says so.
async fn each(
    stores: &Stores,
    clock: &SharedClock,
    shop_id: &str,
    filter: &DeadLetterFilter,
    mut handle: impl AsyncFnMut(DeadLetter, Option<Arc<Job>>) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let queue = stores.queue.as_ref();
    let leased = Leased::default();
    let work = async {
        let mut jobs = HashMap::new();
        loop {
            let round = receive_all(stores, shop_id, filter, &leased, &mut jobs).await?;
            if round.is_empty() {
                return Ok(());
            }
            for Selected { dead_letter, job, receipts } in round {
                if !handle(dead_letter, job).await? {
                    continue;
                }
                for receipt in receipts {
                    queue.ack(&receipt).await?;
                    leased.all().remove(&receipt);
                }
            }
        }
    };
    let done = tokio::select! {
        done = work => done,
        never = leased.renew_visibility(queue, clock) => match never {},
    };
    let left = std::mem::take(&mut *leased.all());
    for receipt in left {
        if let Err(error) = queue.release(&receipt, Duration::ZERO).await {
            tracing::warn!(
                cause = chain(&error),
                "could not release a dead letter; it is invisible for a while"
            );
        }
    }
    done
}

/// A dead letter, with the receipts of all its copies.
struct Selected {
    dead_letter: DeadLetter,
    job: Option<Arc<Job>>,
    receipts: Vec<Receipt>,
}

/// Receives all visible dead letters; returns the selected ones in the order of their jobs and chunks.
async fn receive_all(
    stores: &Stores,
    shop_id: &str,
    filter: &DeadLetterFilter,
    leased: &Leased,
    jobs: &mut HashMap<JobId, Option<Arc<Job>>>,
) -> Result<Vec<Selected>, StoreError> {
    let mut round: BTreeMap<_, Selected> = BTreeMap::new();
    loop {
        let page = stores.queue.receive_dead_letters(shop_id, VISIBILITY).await?;
        if page.is_empty() {
            return Ok(round.into_values().collect());
        }
        leased.all().extend(page.iter().map(|LeasedDeadLetter { receipt, .. }| receipt.clone()));
        for LeasedDeadLetter { dead_letter, receipt } in page {
            if !filter.matches(&dead_letter) {
                continue;
            }
            let id = &dead_letter.chunk.job_id;
            if !jobs.contains_key(id) {
                let job = stores.jobs.get(id).await?.map(|snapshot| Arc::new(snapshot.job));
                jobs.insert(id.clone(), job);
            }
            let job = jobs.get(id).cloned().flatten();
            let created = job.as_ref().map(|job| (job.sequence, job.created_at));
            let chunk = (dead_letter.chunk.seq, dead_letter.chunk.key.clone());
            let order = (created, id.clone(), chunk, dead_letter.redrive_count);
            let known =
                round.entry(order).or_insert_with(|| Selected { dead_letter, job, receipts: Vec::new() });
            known.receipts.push(receipt);
        }
    }
}

/// Receipts of dead letters that this process has leased.
#[derive(Default)]
struct Leased(Mutex<HashSet<Receipt>>);

impl Leased {
    fn all(&self) -> std::sync::MutexGuard<'_, HashSet<Receipt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn renew_visibility(&self, queue: &dyn Queue, clock: &SharedClock) -> Infallible {
        loop {
            clock.sleep(VISIBILITY / 3).await;
            let receipts: Vec<Receipt> = self.all().iter().cloned().collect();
            let renew = async |receipt: Receipt| {
                // One whose lease is lost is handled twice at worst, which changes nothing.
                if let Err(error) = queue.change_visibility(&receipt, VISIBILITY).await {
                    tracing::warn!(cause = chain(&error), "could not renew the lease of a dead letter");
                }
            };
            futures::stream::iter(receipts).for_each_concurrent(CONCURRENT_RENEWALS, renew).await;
        }
    }
}
