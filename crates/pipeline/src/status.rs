//! The use case: what is stopped, open or waits, of a shop or of all, and what became a dead letter. Reads only what is open, whatever
//! the number of jobs and shops that have nothing to see.

use host_core::{
    model::{ArchiveRefused, JobId, JobStatus, Operation},
    storage::{Backlog, Breaker, BreakerScope, JobSnapshot, ShopBacklog, StoreError, Stores},
};
use jiff::Timestamp;
use std::{cmp::Reverse, collections::BTreeMap};

/// Open jobs that are read.
const MAX_JOBS: usize = 200;
/// The newest jobs of a shop, among which its last syncs are looked for.
pub const RECENT_JOBS: usize = 20;
/// Shops whose last syncs are looked for: each costs a read.
const MAX_SHOPS_WITH_SYNCS: usize = 20;

/// What is to be seen, of one shop or of all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Shops with something to see, the worst first: those on which work is stopped, by when that began; those with dead letters, the
    /// most first; then those whose work waits longest.
    pub shops: Vec<ShopStatus>,
    /// Whether there are more open jobs than were read.
    pub more_jobs: bool,
    /// Shops without an open job or a stop whose queues were not looked at, because there are too many.
    pub shops_left_out: u64,
}

/// What is to be seen of a shop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShopStatus {
    /// The shop.
    pub shop_id: String,
    /// Messages in its queue, in flight or not.
    pub messages: u64,
    /// Its dead letters, of all its indexes: a shop has one queue.
    pub dead_letters: u64,
    /// Its indexes, the worst first; where one shop is asked for, also those that recent syncs wrote.
    pub indexes: Vec<IndexStatus>,
}

/// A sync that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedSync {
    /// Its job.
    pub job_id: JobId,
    /// How it ended.
    pub status: JobStatus,
    /// When.
    pub ended_at: Timestamp,
}

/// What is to be seen of an index of a shop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IndexStatus {
    /// Its name.
    pub index_name: String,
    /// What stops work on it.
    pub stopped: Option<Breaker>,
    /// Whether jobs are open, or may be, that this keeps from ending. What a cancelled job left holds up nothing.
    pub is_held_up: bool,
    /// What stopped work on it before and was cleared; only where one shop is asked for.
    pub cleared: Option<Breaker>,
    /// Its open jobs, in their order.
    pub jobs: Vec<JobSnapshot>,
    /// The newest sync that has ended; none if there is none among the [recent](RECENT_JOBS) jobs of the shop, or if there are too many
    /// shops to look.
    pub last_sync: Option<EndedSync>,
    /// The newest of these in which nothing failed.
    pub last_success: Option<EndedSync>,
    /// The newest full sync that has ended, if nothing was archived after it because its export may not be the whole shop.
    pub not_archived: Option<(JobId, ArchiveRefused)>,
}

/// Sorts the worst first.
type Rank = (Reverse<bool>, Option<Timestamp>, Reverse<u64>, Timestamp);

impl Status {
    /// Whether a person has something to do: a stop holds work up, or there are dead letters. That there are none says nothing of the
    /// [shops left out](Self::shops_left_out).
    pub fn needs_action(&self) -> bool {
        self.shops.iter().any(|shop| shop.dead_letters > 0 || shop.held_up_since().is_some())
    }

    /// Whether everything was looked at, and nothing is open, stopped or a dead letter.
    pub fn is_quiet(&self) -> bool {
        self.shops.iter().all(ShopStatus::is_quiet) && !self.more_jobs && self.shops_left_out == 0
    }
}

impl ShopStatus {
    /// Whether nothing of it is open, stopped or a dead letter.
    pub fn is_quiet(&self) -> bool {
        self.messages == 0 && self.dead_letters == 0 && self.indexes.iter().all(IndexStatus::is_quiet)
    }

    fn held_up_since(&self) -> Option<Timestamp> {
        self.indexes.iter().filter_map(IndexStatus::held_up_since).min()
    }

    fn rank(&self) -> Rank {
        let (since, waiting) =
            (self.held_up_since(), self.indexes.iter().filter_map(IndexStatus::waiting_since).min());
        (Reverse(since.is_some()), since, Reverse(self.dead_letters), waiting.unwrap_or(Timestamp::MAX))
    }
}

impl IndexStatus {
    /// Since when the oldest job waits of which not all chunks are written. Its creation, which may be long before it was redriven.
    pub fn waiting_since(&self) -> Option<Timestamp> {
        let waits = |job: &&JobSnapshot| job.completed_chunks < job.chunks;
        self.jobs.iter().filter(waits).map(|job| job.job.created_at).min()
    }

    fn is_quiet(&self) -> bool {
        self.stopped.is_none() && self.jobs.is_empty()
    }

    fn held_up_since(&self) -> Option<Timestamp> {
        self.stopped.as_ref().filter(|_| self.is_held_up).map(|breaker| breaker.since)
    }

    /// Records a job of the index that was created after those recorded before, if it is a sync that has ended.
    fn record_sync(&mut self, job: &JobSnapshot) {
        // What a sync did not have is removed by a job that belongs to it.
        let (Some(ended_at), true) = (job.ended_at, job.job.operation != Operation::DeleteDocuments) else {
            return;
        };
        if job.job.full {
            self.not_archived =
                job.archive_refused.as_ref().map(|refused| (job.job.id.clone(), refused.clone()));
        }
        let sync = EndedSync { job_id: job.job.id.clone(), status: job.status, ended_at };
        if job.status != JobStatus::Failed {
            self.last_success = Some(sync.clone());
        }
        self.last_sync = Some(sync);
    }

    fn rank(&self) -> Rank {
        let since = self.held_up_since();
        (Reverse(since.is_some()), since, Reverse(0), self.waiting_since().unwrap_or(Timestamp::MAX))
    }
}

type Indexes = BTreeMap<(String, String), IndexStatus>;

fn index<'a>(indexes: &'a mut Indexes, shop_id: &str, index_name: &str) -> &'a mut IndexStatus {
    let index = indexes.entry((shop_id.to_owned(), index_name.to_owned()));
    index.or_insert_with(|| IndexStatus { index_name: index_name.to_owned(), ..IndexStatus::default() })
}

/// What is to be seen of a shop and one of its indexes, or of all. Writes nothing, and takes no message.
pub async fn status(
    stores: &Stores,
    shop_id: Option<&str>,
    index_name: Option<&str>,
) -> Result<Status, StoreError> {
    let mut indexes = Indexes::new();
    for breaker in stores.breakers.list(shop_id).await? {
        let BreakerScope { shop_id, index_name } = &breaker.scope;
        index(&mut indexes, shop_id, index_name).stopped = Some(breaker.clone());
    }
    if let Some(shop_id) = shop_id {
        for breaker in stores.breakers.last_cleared(shop_id).await? {
            index(&mut indexes, shop_id, &breaker.scope.index_name).cleared = Some(breaker.clone());
        }
    }
    let mut jobs = stores.jobs.list_open(shop_id, MAX_JOBS + 1).await?;
    let more_jobs = jobs.len() > MAX_JOBS;
    jobs.truncate(MAX_JOBS);
    for job in jobs {
        index(&mut indexes, &job.job.shop_id, &job.job.index_name).jobs.push(job);
    }
    add_syncs(stores, shop_id, &mut indexes).await?;
    indexes.retain(|(_, name), _| index_name.is_none_or(|wanted| wanted == name));
    for index in indexes.values_mut() {
        // Its jobs may be among those that were not read.
        index.is_held_up = index.stopped.is_some() && (more_jobs || !index.jobs.is_empty());
    }

    let mut shops: BTreeMap<String, ShopStatus> = BTreeMap::new();
    for ((shop_id, _), index) in indexes {
        shops.entry(shop_id).or_default().indexes.push(index);
    }
    let named: Vec<String> = match shop_id {
        Some(shop_id) => vec![shop_id.to_owned()],
        None => shops.keys().cloned().collect(),
    };
    let Backlog { shops: backlog, shops_left_out } = stores.queue.backlog(&named, shop_id.is_none()).await?;
    for ShopBacklog { shop_id, messages, dead_letters } in backlog {
        let shop = shops.entry(shop_id).or_default();
        (shop.messages, shop.dead_letters) = (messages, dead_letters);
    }
    let mut shops: Vec<ShopStatus> =
        shops.into_iter().map(|(shop_id, shop)| ShopStatus { shop_id, ..shop }).collect();
    for shop in &mut shops {
        shop.indexes.sort_by_key(IndexStatus::rank);
    }
    shops.sort_by_key(ShopStatus::rank);
    Ok(Status { shops, more_jobs, shops_left_out })
}

/// Adds the last syncs: of the shop that is asked for, with all indexes that they wrote; otherwise of the indexes that are seen.
async fn add_syncs(stores: &Stores, shop_id: Option<&str>, indexes: &mut Indexes) -> Result<(), StoreError> {
    let mut shops: Vec<String> = match shop_id {
        Some(shop_id) => vec![shop_id.to_owned()],
        None => indexes.keys().map(|(shop_id, _)| shop_id.clone()).collect(),
    };
    shops.dedup();
    for shop in shops.iter().take(MAX_SHOPS_WITH_SYNCS) {
        let mut recent = stores.jobs.list(Some(shop), RECENT_JOBS).await?;
        // Not by time: the clock of a process may have been ahead.
        recent.sort_by(JobSnapshot::by_index);
        for job in recent {
            if shop_id.is_some() || indexes.contains_key(&(shop.clone(), job.job.index_name.clone())) {
                index(indexes, shop, &job.job.index_name).record_sync(&job);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
