//! What the recovery sweep repairs. Each test first shows what stays broken without the sweep.

use super::{
    MONTH,
    redrive::{InjectedFault, faulty, quarantined},
    sqs,
    table::Model,
};
use host_core::{
    clock::SharedClock,
    model::{Job, JobStatus},
    storage::{Claim, Delivery, JobSnapshot, Jobs, Queue},
};
use host_storage_aws::{Names, Swept, Table, acquire_ingest_on, jobs_on, queue_on, sweeper_on};
use host_testing::{
    VirtualClock,
    build::{MINUTE, chunk, claim, complete, job, processed, seal},
};
use std::{sync::Arc, time::Duration};

/// How long a chunk may wait before the sweep sends its message again.
const BOUND: Duration = Duration::from_secs(3600);

/// A sealed job whose messages were not sent.
struct Harness {
    clock: SharedClock,
    table: Arc<Model>,
    queue: Arc<dyn Queue>,
    jobs: Arc<dyn Jobs>,
    job: Job,
}

impl Harness {
    async fn new(chunks: u32) -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        let table = Arc::new(Model::default());
        let queues = Arc::new(sqs::Model::new(clock.clone()));
        let job = Job { created_at: clock.now(), ..job(&VirtualClock::new(1), "shop") };
        let harness = Self {
            queue: queue_on(queues, Names::new("test", None), clock.clone()),
            jobs: jobs_on(table.clone(), clock.clone(), MONTH),
            clock,
            table,
            job,
        };
        harness.jobs.create(&harness.job).await.unwrap();
        for seq in 0..chunks {
            harness.jobs.add_chunk(&chunk(&harness.job.id, seq, 0)).await.unwrap();
        }
        harness.jobs.seal(&harness.job.id, &seal(chunks)).await.unwrap();
        harness
    }

    /// The jobs as another process sees them, of whose calls one fails.
    fn faulty(&self, fault: InjectedFault) -> Arc<dyn Jobs> {
        jobs_on(faulty(self.table.clone(), fault), self.clock.clone(), MONTH)
    }

    async fn sweep(&self) -> Swept {
        let (table, queue) = (self.table.clone() as Arc<dyn Table>, self.queue.clone());
        sweeper_on(table, queue, self.clock.clone(), MONTH, BOUND).sweep().await.unwrap()
    }

    async fn received(&self) -> Option<Delivery> {
        self.queue.receive("shop", 1, MINUTE).await.unwrap().pop()
    }

    async fn snapshot(&self) -> JobSnapshot {
        self.jobs.get(&self.job.id).await.unwrap().unwrap()
    }

    /// A worker crashes while it completes the chunk, at the update of the table with this number, from 0.
    async fn complete_partially(&self, seq: u32, update: usize) {
        let lease = claim(&*self.jobs, &self.job.id, seq).await;
        self.faulty(InjectedFault::NotApplied(update)).complete(&lease, &processed(10)).await.unwrap_err();
    }
}

fn sent(sent: u32) -> Swept {
    Swept { sent, ..Swept::default() }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_was_never_sent_is_sent_when_it_has_waited_long_enough() {
    let harness = Harness::new(2).await;
    harness.clock.sleep(BOUND - MINUTE).await;
    assert_eq!(harness.sweep().await, Swept::default());
    assert!(harness.received().await.is_none());
    harness.clock.sleep(MINUTE).await;
    assert_eq!(harness.sweep().await, sent(2));
    assert_eq!(harness.sweep().await, Swept::default(), "only once in each `BOUND`");
    for seq in 0..2 {
        let delivery = harness.received().await.unwrap();
        assert_eq!(delivery.chunk, chunk(&harness.job.id, seq, 0));
        complete(&*harness.jobs, &harness.job.id, seq, &processed(10)).await;
        assert!(harness.queue.ack(&delivery.receipt).await.unwrap());
    }
    assert_eq!(harness.snapshot().await.status, JobStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_chunk_of_a_dead_worker_whose_message_is_gone_is_sent_again() {
    let harness = Harness::new(1).await;
    harness.queue.send(&harness.job, &chunk(&harness.job.id, 0, 0), 0).await.unwrap();
    let delivery = harness.received().await.unwrap();
    let lease = claim(&*harness.jobs, &harness.job.id, 0).await;
    assert!(harness.queue.ack(&delivery.receipt).await.unwrap());
    harness.clock.sleep(BOUND).await;
    assert_eq!(harness.sweep().await, Swept::default(), "its lease has just expired");
    harness.clock.sleep(MINUTE).await;
    assert!(harness.received().await.is_none());
    assert_eq!(harness.sweep().await, sent(1));
    assert!(harness.received().await.is_some());
    assert_eq!(claim(&*harness.jobs, &harness.job.id, 0).await.attempts, 2);
    assert!(!harness.jobs.complete(&lease, &processed(10)).await.unwrap().is_counted());
}

#[tokio::test(start_paused = true)]
async fn a_half_completed_chunk_whose_worker_died_is_counted() {
    let harness = Harness::new(1).await;
    harness.complete_partially(0, 1).await;
    harness.clock.sleep(BOUND * 24).await;
    assert_eq!(
        (harness.snapshot().await.status, harness.snapshot().await.completed_chunks),
        (JobStatus::InProgress, 0)
    );
    let id = harness.job.id.clone();
    assert_eq!(harness.sweep().await, Swept { completed: 1, ended: vec![id], ..Swept::default() });
    assert_eq!(
        (harness.snapshot().await.status, harness.snapshot().await.counts.processed),
        (JobStatus::Completed, 10)
    );
    assert_eq!(harness.sweep().await, Swept::default());
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_last_worker_crashed_before_its_end_is_ended() {
    // The updates of a completion: 0 the outcome, 1 the segment, 2 the record's set of full segments, 3 the end.
    for update in [2, 3] {
        let harness = Harness::new(1).await;
        harness.complete_partially(0, update).await;
        harness.clock.sleep(BOUND * 24).await;
        assert_eq!(
            (harness.snapshot().await.status, harness.snapshot().await.completed_chunks),
            (JobStatus::InProgress, 1)
        );
        let id = harness.job.id.clone();
        assert_eq!(harness.sweep().await, Swept { ended: vec![id], ..Swept::default() });
        assert_eq!(
            (harness.snapshot().await.status, harness.snapshot().await.counts.processed),
            (JobStatus::Completed, 10)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_redrive_whose_process_crashed_is_resumed() {
    // The updates of a redrive: 0 the index of open jobs, 1 the segment, 2 to 6 samples and report, 7 the record, 8 the
    // row.
    for call in 2..9 {
        let harness = Harness::new(2).await;
        complete(&*harness.jobs, &harness.job.id, 0, &quarantined()).await;
        harness.faulty(InjectedFault::NotApplied(call)).redrive(&harness.job.id, 0, 0).await.unwrap_err();
        let claim = harness.jobs.claim(&harness.job.id, 0, MINUTE).await.unwrap();
        assert!(matches!(claim, Claim::Done { .. }), "{claim:?}");
        assert_eq!(harness.snapshot().await.counts.failed, 0, "the chunk is not counted any more");
        assert_eq!(harness.sweep().await, sent(1));
        assert_eq!(harness.received().await.unwrap().chunk.seq, 0);
        let claim = harness.jobs.claim(&harness.job.id, 0, MINUTE).await.unwrap();
        let Claim::Acquired(lease) = claim else { panic!("{claim:?}") };
        assert_eq!(lease.redrive_count, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn one_process_of_many_sweeps_in_an_interval() {
    let harness = Harness::new(0).await;
    let due = async || {
        let (table, queue) = (harness.table.clone() as Arc<dyn Table>, harness.queue.clone());
        sweeper_on(table, queue, harness.clock.clone(), MONTH, BOUND).is_due(MINUTE).await.unwrap()
    };
    assert_eq!([due().await, due().await, due().await], [true, false, false]);
    harness.clock.sleep(MINUTE).await;
    assert_eq!([due().await, due().await], [true, false]);
}

#[tokio::test(start_paused = true)]
async fn an_ingest_that_crashed_is_taken_over_or_reported_as_abandoned() {
    let harness = Harness::new(0).await;
    let job = Job { id: host_core::model::JobId::new("open").unwrap(), ..harness.job.clone() };
    harness.jobs.create(&job).await.unwrap();
    let begin = || acquire_ingest_on(harness.table.clone(), harness.clock.clone(), MONTH, &job, MINUTE);
    let first = begin().await.unwrap();
    harness.clock.sleep(BOUND).await;
    assert_eq!(harness.sweep().await, Swept::default(), "the ingest renews its lease");
    let waiting = tokio::time::timeout(BOUND, begin()).await;
    assert!(
        waiting.is_err() && !first.lost().is_cancelled(),
        "a process that renews its lease keeps others waiting"
    );
    drop(first);
    let died_at = harness.clock.now();
    let second = begin().await.unwrap();
    let waited = harness.clock.now().duration_since(died_at).unsigned_abs();
    assert!(waited >= MINUTE / 2 && waited <= MINUTE * 2, "{waited:?}");
    drop(second);
    harness.clock.sleep(MINUTE * 2).await;
    assert_eq!(harness.sweep().await, Swept { abandoned: vec![job.id.clone()], ..Swept::default() });
}

/// Each index of each shop has its own lease.
#[tokio::test(start_paused = true)]
async fn an_ingest_waits_for_another_of_the_same_shop_and_index_only() {
    let harness = Harness::new(0).await;
    let begin = async |job: &Job| {
        acquire_ingest_on(harness.table.clone(), harness.clock.clone(), MONTH, job, MINUTE).await.unwrap()
    };
    let started = harness.clock.now();
    let first = begin(&harness.job).await;
    let others = [
        Job { index_name: "other".to_owned(), ..harness.job.clone() },
        Job { shop_id: "other".to_owned(), ..harness.job.clone() },
        // Shop and index must not be joined into one name: "sho" + "pproducts" would be "shop" + "products".
        Job { shop_id: "sho".to_owned(), index_name: "pproducts".to_owned(), ..harness.job.clone() },
    ];
    for other in &others {
        let guard = tokio::time::timeout(BOUND, begin(other)).await.expect("it waits");
        assert_eq!(harness.clock.now(), started, "{} of {}", other.index_name, other.shop_id);
        guard.end().await.unwrap();
    }
    let same = tokio::time::timeout(BOUND, begin(&harness.job)).await;
    assert!(same.is_err() && !first.lost().is_cancelled(), "the same index waits");
    first.end().await.unwrap();
    let released = harness.clock.now();
    begin(&harness.job).await;
    assert_eq!(harness.clock.now(), released);
}

/// A process whose clock is a day ahead has crashed, as an ingest, as a sweeper and as a worker. Here long leases stand
/// for its clock.
#[tokio::test(start_paused = true)]
async fn what_a_wrong_clock_holds_for_a_day_is_taken_over_at_once() {
    const DAY: Duration = Duration::from_secs(86_400);
    let harness = Harness::new(1).await;
    let begin =
        |lease| acquire_ingest_on(harness.table.clone(), harness.clock.clone(), MONTH, &harness.job, lease);
    drop(begin(DAY).await.unwrap());
    let started = harness.clock.now();
    begin(MINUTE).await.unwrap();
    assert_eq!(harness.clock.now(), started);

    let (table, queue) = (harness.table.clone() as Arc<dyn Table>, harness.queue.clone());
    let sweeper = sweeper_on(table, queue, harness.clock.clone(), MONTH, BOUND);
    assert_eq!([sweeper.is_due(DAY).await.unwrap(), sweeper.is_due(MINUTE).await.unwrap()], [true, true]);

    let claimed = harness.jobs.claim(&harness.job.id, 0, DAY * 7).await.unwrap();
    assert!(matches!(claimed, Claim::Acquired(_)), "{claimed:?}");
    assert_eq!(harness.sweep().await.sent, 1);
}
