//! Dead letters: sent again once their cause is mended, or thrown away.
//!
//! All letters of a shop are held, by a heartbeat, while those that are meant are worked on in the order in which their chunks
//! were published. A letter is removed last, so whoever dies before leaves it to be found again.

use futures::StreamExt;
use host_core::{
    clock::SharedEnv,
    error::chain,
    model::{Job, JobId},
    storage::{DeadLetter, HeldLetter, Queue, Receipt, StoreError, Stores},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// For how long letters stay hidden when whoever holds them dies.
const HOLD: Duration = Duration::from_secs(120);

/// Letters that are kept hidden at once.
const AT_ONCE: usize = 16;

/// Which dead letters are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only those of this job.
    pub job: Option<JobId>,
    /// Only those with this reason.
    pub code: Option<String>,
    /// Only that of the chunk with this number.
    pub chunk: Option<u32>,
}

impl Wanted {
    /// Whether a letter is meant.
    pub fn includes(&self, letter: &DeadLetter) -> bool {
        self.job.as_ref().is_none_or(|job| letter.chunk.job_id == *job)
            && self.code.as_ref().is_none_or(|code| letter.code == *code)
            && self.chunk.is_none_or(|chunk| letter.chunk.seq == chunk)
    }
}

/// What became of dead letters that were to be redriven.
#[derive(Debug, Default)]
pub struct Redriven {
    /// Their chunks are in the queue again.
    pub sent: Vec<DeadLetter>,
    /// Their chunks are done by now: the letter was a copy, or left over. It is gone.
    pub done: Vec<DeadLetter>,
    /// Nobody knows their jobs any more. They are still there.
    pub orphaned: Vec<DeadLetter>,
}

/// Sends the chunks of dead letters again: they no longer count as failed, and their jobs end once more. The second call
/// goes on with a first one that died.
pub async fn redrive(
    stores: &Stores,
    env: &SharedEnv,
    shop_id: &str,
    wanted: &Wanted,
) -> Result<Redriven, StoreError> {
    let mut redriven = Redriven::default();
    let send = async |letter: DeadLetter, job: Option<Arc<Job>>| {
        let Some(job) = job else {
            redriven.orphaned.push(letter);
            return Ok(false);
        };
        let chunk = &letter.chunk;
        match stores.jobs.redrive(&chunk.job_id, chunk.seq, letter.epoch).await? {
            Some(epoch) => {
                stores.queue.send(&job, chunk, epoch).await?;
                redriven.sent.push(letter);
            }
            None => redriven.done.push(letter),
        }
        Ok(true)
    };
    each(stores, env, shop_id, wanted, send).await?;
    Ok(redriven)
}

/// Removes dead letters. Their chunks stay counted as failed.
pub async fn discard(
    stores: &Stores,
    env: &SharedEnv,
    shop_id: &str,
    wanted: &Wanted,
) -> Result<Vec<DeadLetter>, StoreError> {
    let mut discarded = Vec::new();
    let discard = async |letter, _| {
        discarded.push(letter);
        Ok(true)
    };
    each(stores, env, shop_id, wanted, discard).await?;
    Ok(discarded)
}

/// Shows each letter that is meant and its job to `handle`, and removes it if that says so.
async fn each(
    stores: &Stores,
    env: &SharedEnv,
    shop_id: &str,
    wanted: &Wanted,
    mut handle: impl AsyncFnMut(DeadLetter, Option<Arc<Job>>) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let queue = stores.queue.as_ref();
    let held = Held::default();
    let work = async {
        let mut jobs = HashMap::new();
        loop {
            let round = take(stores, shop_id, wanted, &held, &mut jobs).await?;
            if round.is_empty() {
                return Ok(());
            }
            for Letter { letter, job, receipts } in round {
                if !handle(letter, job).await? {
                    continue;
                }
                for receipt in receipts {
                    queue.ack(&receipt).await?;
                    held.all().remove(&receipt);
                }
            }
        }
    };
    let done = tokio::select! {
        done = work => done,
        never = held.keep(queue, env) => match never {},
    };
    let left = std::mem::take(&mut *held.all());
    for receipt in left {
        if let Err(error) = queue.release(&receipt, Duration::ZERO).await {
            tracing::warn!(
                cause = chain(&error),
                "a dead letter could not be given back; it is hidden for a while"
            );
        }
    }
    done
}

/// A letter, as often as it was there.
struct Letter {
    letter: DeadLetter,
    job: Option<Arc<Job>>,
    receipts: Vec<Receipt>,
}

/// Takes all letters that can be had; gives those that are meant in the order of their jobs and chunks.
async fn take(
    stores: &Stores,
    shop_id: &str,
    wanted: &Wanted,
    held: &Held,
    jobs: &mut HashMap<JobId, Option<Arc<Job>>>,
) -> Result<Vec<Letter>, StoreError> {
    let mut round: BTreeMap<_, Letter> = BTreeMap::new();
    loop {
        let page = stores.queue.take_dead_letters(shop_id, HOLD).await?;
        if page.is_empty() {
            return Ok(round.into_values().collect());
        }
        held.all().extend(page.iter().map(|HeldLetter { receipt, .. }| receipt.clone()));
        for HeldLetter { letter, receipt } in page {
            if !wanted.includes(&letter) {
                continue;
            }
            let id = &letter.chunk.job_id;
            if !jobs.contains_key(id) {
                let job = stores.jobs.get(id).await?.map(|snapshot| Arc::new(snapshot.job));
                jobs.insert(id.clone(), job);
            }
            let job = jobs.get(id).cloned().flatten();
            let created_at = job.as_ref().map(|job| job.created_at);
            let order = (created_at, id.clone(), letter.chunk.seq, letter.epoch);
            let known = round.entry(order).or_insert_with(|| Letter { letter, job, receipts: Vec::new() });
            known.receipts.push(receipt);
        }
    }
}

/// Letters that nobody else gets.
#[derive(Default)]
struct Held(Mutex<HashSet<Receipt>>);

impl Held {
    fn all(&self) -> std::sync::MutexGuard<'_, HashSet<Receipt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn keep(&self, queue: &dyn Queue, env: &SharedEnv) -> Infallible {
        loop {
            env.sleep(HOLD / 3).await;
            let receipts: Vec<Receipt> = self.all().iter().cloned().collect();
            let extend = async |receipt: Receipt| {
                // One that is lost is worked on twice at worst, which changes nothing.
                if let Err(error) = queue.extend(&receipt, HOLD).await {
                    tracing::warn!(cause = chain(&error), "could not keep a dead letter");
                }
            };
            futures::stream::iter(receipts).for_each_concurrent(AT_ONCE, extend).await;
        }
    }
}
