//! Removes the records and objects of jobs that have ended and are old, unless something still needs them.

use host_core::{
    clock::SharedClock,
    error::chain,
    model::{ChunkRef, JobId, JobStatus},
    storage::{Chunks, JobRemover, JobSnapshot, Storage, StoreError},
};
use jiff::{SignedDuration, Timestamp};
use std::{cmp::Reverse, collections::HashSet, convert::Infallible, time::Duration};

/// How often a process that works until it is stopped removes old jobs.
const INTERVAL: Duration = Duration::from_secs(3_600);

/// How long jobs that have ended are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Time after a job's end for which its record and objects are kept.
    pub age: Duration,
    /// Whether the chunks of a job without failures are kept as long; the host needs them no more.
    pub keep_chunks: bool,
}

/// What [`prune`] removed, the oldest job first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pruned {
    /// Jobs that were removed, with all of their objects.
    pub jobs: Vec<JobSnapshot>,
    /// Jobs whose chunks were removed and whose records stay.
    pub chunks_of: Vec<JobSnapshot>,
}

impl Pruned {
    /// Whether there was nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.chunks_of.is_empty()
    }
}

/// Whether a job has a list of its ids, so that archiving (removing what a full sync did not have) does not need its
/// chunks.
fn has_list(job: &JobSnapshot) -> bool {
    job.seal.as_ref().is_some_and(|seal| seal.ids.is_some())
}

/// Whether a job has ended without failed items: then none of its chunks is a dead letter that could be sent again.
fn has_succeeded(job: &JobSnapshot) -> bool {
    matches!(job.status, JobStatus::Completed | JobStatus::Conflict)
}

fn chunk_key(job: &JobSnapshot, seq: u32) -> String {
    ChunkRef::key(&job.job.platform, &job.job.shop_id, &job.job.id, seq)
}

async fn remove_chunks(chunks: &dyn Chunks, job: &JobSnapshot) -> Result<(), StoreError> {
    let keys: Vec<String> = (0..job.chunks).map(|seq| chunk_key(job, seq)).collect();
    chunks.delete_all(&keys).await
}

/// Whether some of a job's chunks are there, as the first one shows: it is removed last.
async fn has_chunks(chunks: &dyn Chunks, job: &JobSnapshot) -> Result<bool, StoreError> {
    Ok(chunks.get(&chunk_key(job, 0), None).await?.is_some())
}

/// Removes the chunks of a job that has just ended, unless something may still need them. Idempotent.
pub(crate) async fn remove_chunks_at_end(chunks: &dyn Chunks, job: &JobSnapshot) -> Result<(), StoreError> {
    if has_succeeded(job) && has_list(job) { remove_chunks(chunks, job).await } else { Ok(()) }
}

/// Like [`remove_chunks_at_end`], for a caller that does not know whether a worker has done it: looks first whether
/// chunks are there.
pub(crate) async fn remove_chunks_left(chunks: &dyn Chunks, job: &JobSnapshot) -> Result<(), StoreError> {
    if has_succeeded(job) && has_chunks(chunks, job).await? {
        remove_chunks_at_end(chunks, job).await?;
    }
    Ok(())
}

/// Removes the jobs of one shop (of all shops if `shop_id` is `None`) that have ended and are old, and the chunks of
/// younger jobs that have ended and have no dead letter; with `dry_run` it only returns them. Idempotent: what a
/// crash leaves of a job is removed by the next call.
///
/// The newest job of each index of a shop stays, because commands show it; so does a job with a chunk in the queue or
/// among the dead letters, because that chunk can still be written. While an older full sync of an index stays, so
/// does the last one with all jobs after it.
pub async fn prune(
    storage: &dyn Storage,
    remover: &dyn JobRemover,
    shop_id: Option<&str>,
    now: Timestamp,
    retention: Retention,
    dry_run: bool,
) -> Result<Pruned, StoreError> {
    let age = SignedDuration::try_from(retention.age).unwrap_or(SignedDuration::MAX);
    let stores = storage.stores();
    // Jobs that stay whatever their age.
    let mut pinned: HashSet<JobId> = HashSet::new();
    let shops = match shop_id {
        Some(shop) => vec![shop.to_owned()],
        None => stores.queue.shops().await?,
    };
    // Dead letters are read before the jobs: if one is sent again in between, its job is found open.
    for shop in shops {
        let dead_letters = stores.queue.dead_letters(&shop).await?;
        pinned.extend(dead_letters.into_iter().map(|dead_letter| dead_letter.chunk.job_id));
    }
    let mut jobs = stores.jobs.list(shop_id, usize::MAX).await?;
    jobs.sort_by_key(|job| Reverse((job.job.sequence, job.job.created_at)));
    let index_of =
        |job: &JobSnapshot| (job.job.shop_id.clone(), job.job.index_name.clone(), job.job.target.to_string());
    let (mut with_newest, mut with_full) = (HashSet::new(), HashSet::new());
    pinned.extend(
        jobs.iter().filter(|job| with_newest.insert(index_of(job))).map(|newest| newest.job.id.clone()),
    );
    // Archiving after the last full sync needs the jobs after it, which say what came back. And if the last full sync
    // went before an earlier one, that one would count as the last.
    let last_full = jobs.iter().filter(|job| job.job.full && with_full.insert(index_of(job)));
    let last_full: HashSet<JobId> = last_full.map(|job| job.job.id.clone()).collect();
    // Indexes of which a full sync before the last one stays, and those of which the last one stays; the loop goes
    // from old to new.
    let (mut with_earlier_full, mut with_last_full) = (HashSet::new(), HashSet::new());
    let (mut old, mut pruned) = (Vec::new(), Pruned::default());
    for job in jobs.into_iter().rev() {
        let is_old = job.ended_at.is_some_and(|ended_at| now.duration_since(ended_at) > age);
        let is_written = job.completed_chunks == job.chunks;
        let (index, is_last_full) = (index_of(&job), last_full.contains(&job.job.id));
        let is_needed = pinned.contains(&job.job.id)
            || with_last_full.contains(&index)
            || (is_last_full && with_earlier_full.contains(&index));
        if is_old && is_written && !is_needed {
            old.push(job);
            continue;
        }
        if is_last_full {
            with_last_full.insert(index);
        } else if job.job.full {
            with_earlier_full.insert(index);
        }
        let chunks = stores.chunks.as_ref();
        let is_redrivable = pinned.contains(&job.job.id) && !has_succeeded(&job);
        if !retention.keep_chunks
            && job.status.has_ended()
            && is_written
            && !is_redrivable
            && has_list(&job)
            && has_chunks(chunks, &job).await?
            && !remover.may_be_worked(&job.job).await?
        {
            if !dry_run {
                remove_chunks(chunks, &job).await?;
            }
            pruned.chunks_of.push(job);
        }
    }
    for job in old {
        if dry_run || remover.remove_job(&job.job).await? {
            pruned.jobs.push(job);
        }
    }
    Ok(pruned)
}

/// Removes old jobs of all shops at an interval, for as long as it is polled. Failures are logged and tried again.
pub async fn run(storage: &dyn Storage, clock: &SharedClock, retention: Retention) -> Infallible {
    let Some(remover) = storage.job_remover() else { return std::future::pending().await };
    loop {
        match prune(storage, remover, None, clock.now(), retention, false).await {
            Ok(pruned) if pruned.is_empty() => {}
            Ok(Pruned { jobs, chunks_of }) => {
                tracing::info!(jobs = jobs.len(), chunks_of = chunks_of.len(), "removed old jobs and chunks");
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "cannot remove old jobs; trying again in an hour");
            }
        }
        clock.sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::{
        model::{ChunkRef, Job, Seal},
        storage::QuarantineReason,
    };
    use host_testing::{
        VirtualClock,
        build::{self, MINUTE, chunk, complete, processed, seal},
        storage::Memory,
    };
    use std::sync::Arc;

    const DAY: Duration = Duration::from_secs(86_400);
    const MONTH: Duration = Duration::from_secs(30 * 86_400);
    const KEPT: Retention = Retention { age: MONTH, keep_chunks: false };

    struct Shop {
        clock: SharedClock,
        storage: Memory,
    }

    impl Shop {
        fn new() -> Self {
            let clock: SharedClock = Arc::new(VirtualClock::new(1));
            Self { storage: Memory::new(clock.clone()), clock }
        }

        /// A job of one chunk, which is sent and not yet written.
        async fn publish(&self, name: &str, index_name: &str) -> (Job, ChunkRef) {
            self.publish_as(name, index_name, false).await
        }

        async fn publish_as(&self, name: &str, index_name: &str, full: bool) -> (Job, ChunkRef) {
            let stores = self.storage.stores();
            let job = Job { index_name: index_name.to_owned(), ..build::job(&*self.clock, "shop") };
            let job = Job { id: JobId::new(name).unwrap(), full, ..job };
            let key = ChunkRef::key(&job.platform, &job.shop_id, &job.id, 0);
            let sent = ChunkRef { key, ..chunk(&job.id, 0, 0) };
            stores.jobs.create(&job).await.unwrap();
            stores.chunks.put_if_absent(&sent.key, b"{}\n").await.unwrap();
            stores.jobs.add_chunk(&sent).await.unwrap();
            stores.queue.send(&job, &sent, 0).await.unwrap();
            stores.jobs.seal(&job.id, &Seal { chunks: 1, ..seal(1) }).await.unwrap();
            (job, sent)
        }

        /// Completes the job's chunk as a worker does.
        async fn work(&self, job: &Job) {
            let stores = self.storage.stores();
            let [delivery] = &stores.queue.receive("shop", 1, MINUTE).await.unwrap()[..] else { panic!() };
            complete(&*stores.jobs, &job.id, 0, &processed(1)).await;
            assert!(stores.queue.ack(&delivery.receipt).await.unwrap());
        }

        /// Prunes, and returns the ids of the jobs that were removed.
        async fn prune(&self, dry_run: bool) -> Vec<String> {
            let remover = self.storage.job_remover().unwrap();
            let now = self.clock.now();
            let pruned = prune(&self.storage, remover, None, now, KEPT, dry_run).await.unwrap();
            pruned.jobs.into_iter().map(|job| job.job.id.to_string()).collect()
        }

        /// Whether a chunk's job and its object are there.
        async fn has(&self, sent: &ChunkRef) -> [bool; 2] {
            let stores = self.storage.stores();
            let object = stores.chunks.get(&sent.key, None).await.unwrap();
            [stores.jobs.get(&sent.job_id).await.unwrap().is_some(), object.is_some()]
        }
    }

    #[tokio::test]
    async fn old_jobs_go_and_the_newest_of_each_index_stays() {
        let shop = Shop::new();
        let mut published = Vec::new();
        for (name, index_name) in [("one", "a"), ("two", "a"), ("other", "b")] {
            let (job, sent) = shop.publish(name, index_name).await;
            shop.work(&job).await;
            published.push(sent);
            shop.clock.sleep(DAY).await;
        }
        assert_eq!(shop.prune(false).await, [""; 0]);
        shop.clock.sleep(MONTH).await;
        assert_eq!([shop.prune(true).await, shop.prune(true).await], [["one"], ["one"]]);
        assert_eq!(shop.has(&published[0]).await, [true, true]);
        assert_eq!(shop.prune(false).await, ["one"]);
        assert_eq!(shop.has(&published[0]).await, [false, false]);
        assert_eq!(shop.has(&published[1]).await, [true, true]);
        assert_eq!(shop.prune(false).await, [""; 0]);
    }

    #[tokio::test]
    async fn the_jobs_after_a_full_sync_that_stays_stay_too() {
        for (full, expected) in [(true, &[][..]), (false, &["after"])] {
            let shop = Shop::new();
            let (dead, _) = shop.publish_as("dead", "a", full).await;
            let queue = shop.storage.stores().queue;
            let delivery = queue.receive("shop", 1, MINUTE).await.unwrap().remove(0);
            complete(&*shop.storage.stores().jobs, &dead.id, 0, &processed(1)).await;
            queue.dead_letter(&delivery.receipt, &QuarantineReason::new("code", "message")).await.unwrap();
            for name in ["after", "newest"] {
                shop.clock.sleep(DAY).await;
                let (job, _) = shop.publish(name, "a").await;
                shop.work(&job).await;
            }
            shop.clock.sleep(MONTH * 2).await;
            assert_eq!(shop.prune(true).await, expected);
        }
    }

    /// A full sync stays because of its dead letter; a later full sync lets the jobs between the two go.
    #[tokio::test]
    async fn the_jobs_after_a_full_sync_that_stays_go_when_there_is_a_later_one() {
        let shop = Shop::new();
        let (dead, _) = shop.publish_as("dead", "a", true).await;
        let queue = shop.storage.stores().queue;
        let delivery = queue.receive("shop", 1, MINUTE).await.unwrap().remove(0);
        complete(&*shop.storage.stores().jobs, &dead.id, 0, &processed(1)).await;
        queue.dead_letter(&delivery.receipt, &QuarantineReason::new("code", "message")).await.unwrap();
        for (name, full) in [("after", false), ("full", true), ("later", false)] {
            shop.clock.sleep(MONTH).await;
            let (job, _) = shop.publish_as(name, "a", full).await;
            shop.work(&job).await;
        }
        shop.clock.sleep(DAY).await;
        assert_eq!(shop.prune(false).await, ["after"]);
        shop.clock.sleep(MONTH * 12).await;
        let (newest, _) = shop.publish("newest", "a").await;
        assert_eq!(shop.prune(false).await, [""; 0], "else the first one would be the last full sync");
        shop.work(&newest).await;
        queue.remove_shop("shop", false).await.unwrap();
        assert_eq!(shop.prune(false).await, ["dead", "full", "later"]);
    }

    #[tokio::test]
    async fn a_job_with_a_chunk_in_the_queue_or_a_dead_letter_stays() {
        let shop = Shop::new();
        let (dead, dead_chunk) = shop.publish("dead", "a").await;
        let queue = shop.storage.stores().queue;
        let delivery = queue.receive("shop", 1, MINUTE).await.unwrap().remove(0);
        complete(&*shop.storage.stores().jobs, &dead.id, 0, &processed(1)).await;
        queue.dead_letter(&delivery.receipt, &QuarantineReason::new("code", "message")).await.unwrap();
        let (_, waiting) = shop.publish("waiting", "a").await;
        let (newest, _) = shop.publish("newest", "a").await;
        shop.storage.stores().jobs.cancel(&newest.id, "so").await.unwrap();
        shop.clock.sleep(MONTH * 2).await;
        assert_eq!(shop.prune(false).await, [""; 0]);
        assert_eq!([shop.has(&dead_chunk).await, shop.has(&waiting).await], [[true, true]; 2]);
        let superseded = Job { id: JobId::new("superseded").unwrap(), ..dead };
        let (stores, unwritten) = (shop.storage.stores(), chunk(&superseded.id, 0, 0));
        stores.jobs.create(&superseded).await.unwrap();
        stores.jobs.add_chunk(&unwritten).await.unwrap();
        stores.jobs.cancel(&superseded.id, "so").await.unwrap();
        shop.publish("last", "a").await;
        shop.clock.sleep(MONTH * 2).await;
        assert_eq!(shop.prune(true).await, [""; 0]);
        let dead_letters = queue.dead_letters("shop").await.unwrap();
        assert_eq!(dead_letters.len(), 1);
    }

    /// The worker's clock was ahead when the job ended.
    #[tokio::test]
    async fn a_job_that_ended_in_the_future_is_not_old() {
        let shop = Shop::new();
        for name in ["one", "two"] {
            let (job, _) = shop.publish(name, "a").await;
            shop.work(&job).await;
        }
        let remover = shop.storage.job_remover().unwrap();
        let now = shop.clock.now() - MONTH * 2;
        let pruned = prune(&shop.storage, remover, None, now, KEPT, true).await.unwrap();
        assert_eq!(pruned.jobs.len(), 0);
    }
}
