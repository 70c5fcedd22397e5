//! The index of open jobs: who is in it, what it saves, and how it comes into environments that had none.

use super::{
    MONTH,
    intercepted::{InterceptedTable, TableCall, TableInterceptor},
    redrive::{InjectedFault, faulty, quarantined},
    sqs,
    table::Model,
};
use host_core::{
    clock::SharedClock,
    model::{Job, JobId},
    storage::{Breaker, BreakerScope, Breakers, Jobs, Queue},
};
use host_storage_aws::{
    Key, Names, Sweeper, Table, TableError, Update, breakers_on, jobs_on, queue_with_jobs_on, sweeper_on,
};
use host_testing::{
    VirtualClock,
    build::{self, MINUTE, chunk, complete, processed, seal},
};
use std::{sync::Arc, time::Duration};

const BOUND: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

struct Harness {
    clock: SharedClock,
    table: Arc<Model>,
    queue: Arc<dyn Queue>,
    jobs: Arc<dyn Jobs>,
    breakers: Arc<dyn Breakers>,
}

impl Harness {
    fn new() -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        let table = Arc::new(Model::default());
        let queues = Arc::new(sqs::Model::new(clock.clone()));
        Self {
            queue: queue_with_jobs_on(queues, table.clone(), Names::new("test", None), clock.clone(), MONTH),
            jobs: jobs_on(table.clone(), clock.clone(), MONTH),
            breakers: breakers_on(table.clone()),
            clock,
            table,
        }
    }

    fn sweeper(&self) -> Sweeper {
        let (table, queue) = (self.table.clone() as Arc<dyn Table>, self.queue.clone());
        sweeper_on(table, queue, self.clock.clone(), MONTH, BOUND)
    }

    /// A job with so many chunks.
    async fn job(&self, shop: &str, chunks: u32) -> Job {
        let job = self.jobs.create(&build::job(&*self.clock, shop)).await.unwrap();
        for seq in 0..chunks {
            self.jobs.add_chunk(&chunk(&job.id, seq, 0)).await.unwrap();
        }
        job
    }

    /// A job that has ended.
    async fn ended(&self, shop: &str) -> Job {
        let job = self.job(shop, 1).await;
        self.jobs.seal(&job.id, &seal(1)).await.unwrap();
        complete(&*self.jobs, &job.id, 0, &processed(10)).await;
        job
    }

    /// Ids in the index.
    async fn entries(&self) -> Vec<String> {
        let found = self.table.query("OPEN", "SHOP#", false, None).await.unwrap();
        found.iter().map(|item| item.text("open_job").unwrap().to_owned()).collect()
    }

    /// Removes the index, as if an older version had made everything.
    async fn forget_index(&self) {
        for item in self.table.query("OPEN", "", false, None).await.unwrap() {
            let key = Key::new(item.text("pk").unwrap(), item.text("sk").unwrap());
            self.table.delete(&key).await.unwrap();
        }
    }

    /// Another process.
    fn another(&self) -> Arc<dyn Jobs> {
        jobs_on(self.table.clone(), self.clock.clone(), MONTH)
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_in_the_index_until_nothing_of_it_waits() {
    let harness = Harness::new();
    let job = harness.job("shop", 2).await;
    assert_eq!(harness.entries().await, [job.id.to_string()]);
    harness.jobs.seal(&job.id, &seal(2)).await.unwrap();
    complete(&*harness.jobs, &job.id, 0, &quarantined()).await;
    assert_eq!(harness.entries().await.len(), 1);
    complete(&*harness.jobs, &job.id, 1, &processed(10)).await;
    assert_eq!(harness.entries().await, [""; 0], "it has ended");
    harness.jobs.redrive(&job.id, 0, 0).await.unwrap();
    assert_eq!(harness.entries().await.len(), 1, "it is redriven");
    complete(&*harness.jobs, &job.id, 0, &processed(10)).await;
    assert_eq!(harness.entries().await, [""; 0]);

    // Sealed when all is counted, or without any chunk.
    let late = harness.job("shop", 1).await;
    complete(&*harness.jobs, &late.id, 0, &processed(10)).await;
    harness.jobs.seal(&late.id, &seal(1)).await.unwrap();
    let empty = harness.job("shop", 0).await;
    harness.jobs.seal(&empty.id, &seal(0)).await.unwrap();
    // Ended without a seal.
    let cancelled = harness.job("shop", 0).await;
    harness.jobs.cancel(&cancelled.id, "so").await.unwrap();
    assert_eq!(harness.entries().await, [""; 0]);
    let waiting = harness.job("shop", 1).await;
    harness.jobs.cancel(&waiting.id, "so").await.unwrap();
    assert_eq!(harness.entries().await, [waiting.id.to_string()], "its chunk is still to be written");
    complete(&*harness.jobs, &waiting.id, 0, &processed(10)).await;
    harness.sweeper().sweep().await.unwrap();
    assert_eq!(harness.entries().await, [""; 0]);
}

/// A process that is slow: before it removes an entry, an operator redrives the first chunk.
struct Slow {
    operator: Arc<dyn Jobs>,
    job: JobId,
}

impl TableInterceptor for Slow {
    async fn of_table<T: Send>(
        &self,
        call: TableCall<'_>,
        answer: impl Future<Output = Result<T, TableError>> + Send,
    ) -> Result<T, TableError> {
        if matches!(call, TableCall::DeleteWhen) {
            assert_eq!(self.operator.redrive(&self.job, 0, 0).await.unwrap(), Some(1));
        }
        answer.await
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_takes_no_entry_out_that_a_redrive_has_written() {
    let harness = Harness::new();
    let job = harness.job("shop", 2).await;
    harness.jobs.seal(&job.id, &seal(2)).await.unwrap();
    complete(&*harness.jobs, &job.id, 0, &quarantined()).await;
    let slow = Slow { operator: harness.another(), job: job.id.clone() };
    let slow = Arc::new(InterceptedTable(harness.table.clone(), Arc::new(slow)));
    complete(&*jobs_on(slow, harness.clock.clone(), MONTH), &job.id, 1, &processed(10)).await;
    assert!(!harness.jobs.has_ended(&job.id).await.unwrap(), "the redrive has opened it again");
    assert_eq!(harness.entries().await, [job.id.to_string()]);
}

#[tokio::test(start_paused = true)]
async fn a_redrive_that_crashes_leaves_no_open_job_without_an_entry() {
    for at in 0..12 {
        let harness = Harness::new();
        let job = harness.job("shop", 1).await;
        harness.jobs.seal(&job.id, &seal(1)).await.unwrap();
        complete(&*harness.jobs, &job.id, 0, &quarantined()).await;
        // Crashes at any of its updates; the operator repeats it.
        let faulty = faulty(harness.table.clone(), InjectedFault::NotApplied(at));
        let redriven = jobs_on(faulty, harness.clock.clone(), MONTH).redrive(&job.id, 0, 0).await;
        let is_open = !harness.jobs.has_ended(&job.id).await.unwrap();
        assert!(!is_open || harness.entries().await.len() == 1, "{at}: {redriven:?}");
        harness.another().redrive(&job.id, 0, 0).await.unwrap();
        assert_eq!(harness.entries().await.len(), 1, "{at}");
    }
}

/// Fault of before: each ingest and each sweep read all jobs of a month.
#[tokio::test(start_paused = true)]
async fn what_looks_for_open_jobs_does_not_read_those_that_have_ended() {
    let cost = async |ended: u32| {
        let harness = Harness::new();
        for _ in 0..ended {
            harness.ended("shop").await;
        }
        harness.sweeper().sweep().await.unwrap();
        let open = harness.job("shop", 0).await;
        let before = harness.table.spent().read_units;
        assert!(harness.another().find_unfinished("shop", open.fingerprint).await.unwrap().is_some());
        let next = Job { lanes: 2, ..build::job(&*harness.clock, "shop") };
        harness.another().create(&next).await.unwrap();
        assert_eq!(harness.another().supersede(&next).await.unwrap(), [open.id]);
        harness.sweeper().sweep().await.unwrap();
        assert_eq!(harness.queue.ready_shops(MINUTE).await.unwrap(), ["shop"]);
        harness.table.spent().read_units - before
    };
    let (few, many) = (cost(2).await, cost(60).await);
    assert!(many <= few + 2, "{many} read units with 60 ended jobs, {few} with 2");
}

#[tokio::test(start_paused = true)]
async fn an_environment_of_before_gets_its_index_at_the_first_look() {
    for look in 0..3 {
        let harness = Harness::new();
        harness.ended("shop").await;
        let open = harness.job("shop", 1).await;
        let superseded = harness.job("other", 1).await;
        harness.jobs.cancel(&superseded.id, "so").await.unwrap();
        harness.forget_index().await;
        match look {
            0 => {
                let found = harness.another().find_unfinished("shop", open.fingerprint).await.unwrap();
                assert_eq!(found.unwrap().id, open.id);
            }
            1 => {
                let next = harness.another().create(&build::job(&*harness.clock, "shop")).await.unwrap();
                assert_eq!(harness.another().supersede(&next).await.unwrap(), std::slice::from_ref(&open.id));
                continue;
            }
            _ => assert_eq!(harness.queue.ready_shops(MINUTE).await.unwrap(), ["other", "shop"]),
        }
        let mut expected = [open.id.to_string(), superseded.id.to_string()];
        let mut entries = harness.entries().await;
        expected.sort_unstable();
        entries.sort_unstable();
        assert_eq!(entries, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn who_only_looks_at_open_jobs_makes_no_index() {
    let harness = Harness::new();
    harness.ended("shop").await;
    let open = harness.job("shop", 1).await;
    let superseded = harness.job("other", 1).await;
    harness.jobs.cancel(&superseded.id, "so").await.unwrap();
    let look = async |shop| {
        let listed = harness.another().list_open(shop, 9).await.unwrap();
        listed.into_iter().map(|found| found.job.id).collect::<Vec<_>>()
    };
    for is_of_older_version in [false, true] {
        if is_of_older_version {
            harness.forget_index().await;
        }
        let before = harness.table.spent().write_units;
        assert_eq!(look(None).await, [superseded.id.clone(), open.id.clone()]);
        assert_eq!(look(Some("shop")).await, std::slice::from_ref(&open.id));
        assert_eq!(harness.table.spent().write_units, before);
    }
}

/// Fault of before: entries were cut to the limit before those of no open job were left out.
#[tokio::test(start_paused = true)]
async fn entries_of_no_open_job_hide_none() {
    let harness = Harness::new();
    // This makes the index.
    harness.sweeper().sweep().await.unwrap();
    let ended = harness.job("a", 0).await;
    for shop in ["b", "c", "d", "e"] {
        harness.job(shop, 0).await;
    }
    let entries = harness.table.query("OPEN", "SHOP#", false, None).await.unwrap();
    let record = |at: usize| {
        let key = |name: &str| entries[at].text(name).unwrap().to_owned();
        Key::new(key("record_pk"), key("record_sk"))
    };
    // A crash left the entry of a job that has ended.
    harness.jobs.cancel(&ended.id, "so").await.unwrap();
    let entry = Key::new("OPEN", entries[0].text("sk").unwrap());
    let entry = Update::new(entry).set("open_job", ended.id.as_str()).set("shop_id", "a");
    let entry = entry.set("record_pk", record(0).pk.as_str()).set("record_sk", record(0).sk.as_str());
    harness.table.update(&entry).await.unwrap();
    // The next one's record has expired, and a newer version wrote the third.
    assert!(harness.table.delete(&record(1)).await.unwrap());
    harness.table.update(&Update::new(record(2)).set("status", "NEWER")).await.unwrap();
    assert_eq!(harness.entries().await.len(), 5);

    for (limit, expected) in [(1, &["d"][..]), (2, &["d", "e"]), (9, &["d", "e"]), (0, &[])] {
        let listed = harness.another().list_open(None, limit).await.unwrap();
        let shops: Vec<_> = listed.into_iter().map(|found| found.job.shop_id).collect();
        assert_eq!(shops, expected, "{limit}");
    }
}

/// A process of an older version creates jobs without entries.
#[tokio::test(start_paused = true)]
async fn a_job_that_an_older_version_creates_later_is_entered_within_a_day() {
    let harness = Harness::new();
    harness.sweeper().sweep().await.unwrap();
    let job = harness.job("shop", 1).await;
    let key = Key::new("OPEN", format!("SHOP#shop#INDEX#{}#JOB#{}", job.index_name, job.id));
    assert!(harness.table.delete(&key).await.unwrap());
    harness.clock.sleep(DAY).await;
    harness.sweeper().sweep().await.unwrap();
    assert_eq!(harness.entries().await, [job.id.to_string()]);
}

/// Fault of before: each hour another message for each chunk.
#[tokio::test(start_paused = true)]
async fn a_sweep_does_not_multiply_the_messages_of_a_shop_that_is_stopped_or_slow() {
    for is_stopped in [true, false] {
        let harness = Harness::new();
        let job = harness.job("shop", 3).await;
        harness.jobs.seal(&job.id, &seal(3)).await.unwrap();
        for seq in 0..3 {
            harness.queue.send(&job, &chunk(&job.id, seq, 0), 0).await.unwrap();
        }
        if is_stopped {
            let scope = BreakerScope { shop_id: job.shop_id.clone(), index_name: job.index_name.clone() };
            let failure = ("index-refused", "no".to_owned());
            let breaker = Breaker::opened(scope, &chunk(&job.id, 0, 0), failure, harness.clock.now());
            assert!(harness.breakers.replace(None, &breaker).await.unwrap());
        }
        for _ in 0..20 {
            harness.clock.sleep(BOUND).await;
            assert_eq!(harness.sweeper().sweep().await.unwrap().sent, 0, "stopped: {is_stopped}");
        }
        assert_eq!(harness.queue.depth("shop").await.unwrap(), 3);
    }
}

/// A foreign message may hide that one is missing.
#[tokio::test(start_paused = true)]
async fn a_lost_message_is_sent_again_within_a_day_whatever_else_is_in_the_queue() {
    let harness = Harness::new();
    let job = harness.job("shop", 1).await;
    harness.jobs.seal(&job.id, &seal(1)).await.unwrap();
    let theirs = Job { id: JobId::new("theirs").unwrap(), ..job.clone() };
    harness.queue.send(&theirs, &chunk(&theirs.id, 0, 3), 0).await.unwrap();
    let mut sent = 0;
    for _ in 0..25 {
        harness.clock.sleep(BOUND).await;
        sent += harness.sweeper().sweep().await.unwrap().sent;
    }
    assert_eq!(sent, 1);
}
