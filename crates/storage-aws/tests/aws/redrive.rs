//! Redriving on a table that loses calls and makes them once more, late: whatever happens in between, each chunk counts once.

use super::{MONTH, table::Model};
use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    model::{Class, Counts, Job, JobStatus},
    storage::{ChunkOutcome, Claim, JobSnapshot, Jobs, QuarantineReason, StoreErrorKind},
};
use host_storage_aws::{Item, Key, Table, TableError, Update, Updated, jobs_on};
use host_testing::{
    VirtualClock,
    build::{MINUTE, chunk, complete, entry, job, processed, seal},
};
use std::sync::{Arc, Mutex};

/// What goes wrong, once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mishap {
    Nothing,
    /// The update with this number is not made.
    Refused(usize),
    /// It takes effect, and the answer is lost.
    Unheard(usize),
    /// The first one is made again right behind the second.
    Late(usize, usize),
}

pub(super) struct Frail {
    table: Arc<Model>,
    mishap: Mishap,
    made: Mutex<Vec<Update>>,
}

impl Frail {
    pub(super) fn new(table: Arc<Model>, mishap: Mishap) -> Arc<Self> {
        Arc::new(Self { table, mishap, made: Mutex::default() })
    }

    /// How many updates were made.
    pub(super) fn updates(&self) -> usize {
        self.made.lock().unwrap().len()
    }
}

fn lost() -> TableError {
    TableError { kind: StoreErrorKind::Transient, source: "lost".into() }
}

#[async_trait]
impl Table for Frail {
    async fn get(&self, key: &Key) -> Result<Option<Item>, TableError> {
        self.table.get(key).await
    }

    async fn update(&self, update: &Update) -> Result<Updated, TableError> {
        let number = {
            let mut made = self.made.lock().unwrap();
            made.push(update.clone());
            made.len() - 1
        };
        if matches!(self.mishap, Mishap::Refused(at) if at == number) {
            return Err(lost());
        }
        let answer = self.table.update(update).await;
        match self.mishap {
            Mishap::Unheard(at) if at == number => Err(lost()),
            Mishap::Late(first, behind) if behind == number => {
                let late = self.made.lock().unwrap()[first].clone();
                self.table.update(&late).await.unwrap();
                answer
            }
            _ => answer,
        }
    }

    async fn delete(&self, key: &Key) -> Result<bool, TableError> {
        self.table.delete(key).await
    }

    async fn query(
        &self,
        pk: &str,
        prefix: &str,
        newest_first: bool,
        limit: Option<usize>,
    ) -> Result<Vec<Item>, TableError> {
        self.table.query(pk, prefix, newest_first, limit).await
    }
}

pub(super) fn quarantined() -> ChunkOutcome {
    ChunkOutcome {
        counts: Counts { failed: 10, ..Counts::default() },
        report: Some("reports/given-up".to_owned()),
        samples: vec![entry(Class::Failed, "It differs.")],
        quarantined: Some(QuarantineReason::new("bad-checksum", "It differs.")),
    }
}

async fn again<T, E>(call: impl AsyncFn() -> Result<T, E>) -> T {
    loop {
        if let Ok(done) = call().await {
            return done;
        }
    }
}

/// Brings a chunk to its end as workers do, each of which may die.
async fn work(jobs: &dyn Jobs, clock: &SharedClock, job: &Job, seq: u32, outcome: &ChunkOutcome) {
    let id = &job.id;
    loop {
        match again(async || jobs.claim(id, seq, MINUTE).await).await {
            Claim::Acquired(lease) => {
                if let Ok(true) = jobs.complete(&lease, outcome).await {
                    return;
                }
            }
            Claim::Held { until } => clock.sleep(clock.now().duration_until(until).unsigned_abs()).await,
            Claim::Done { .. } => return,
            Claim::Unknown => panic!("the chunk is there"),
        }
    }
}

/// A chunk of each of two segments is quarantined, redriven, quarantined once more and written in the end. The others are counted.
async fn course(table: Model, job: &Job, mishap: Mishap) -> (JobSnapshot, Vec<String>, usize) {
    let clock: SharedClock = Arc::new(VirtualClock::new(1));
    let table = Frail::new(Arc::new(table), mishap);
    // Another process for each act: none knows what the one before it knew.
    let jobs = || jobs_on(table.clone(), clock.clone(), MONTH);
    let (id, seqs) = (&job.id, [CHUNKS - 2, CHUNKS - 1]);
    for redrive_count in 0..3 {
        let outcome = if redrive_count < 2 { quarantined() } else { processed(10) };
        for seq in seqs {
            work(&*jobs(), &clock, job, seq, &outcome).await;
        }
        if redrive_count == 0 {
            again(async || jobs().seal(id, &seal(CHUNKS)).await).await;
        }
        let now = again(async || jobs().get(id).await).await.unwrap();
        let (counts, status) = match redrive_count {
            2 => (Counts { processed: 10 * u64::from(CHUNKS), ..Counts::default() }, JobStatus::Completed),
            _ => {
                let processed = 10 * u64::from(CHUNKS - 2);
                (Counts { processed, failed: 20, ..Counts::default() }, JobStatus::Failed)
            }
        };
        assert_eq!((now.counts, now.status, now.completed_chunks), (counts, status, CHUNKS), "{mishap:?}");
        for seq in seqs {
            let sent = again(async || jobs().redrive(id, seq, redrive_count).await).await;
            assert_eq!(sent, (redrive_count < 2).then_some(redrive_count + 1), "{mishap:?}");
        }
    }
    let ended = jobs().get(id).await.unwrap().unwrap();
    let reports = jobs().reports(id).await.unwrap();
    (JobSnapshot { ended_at: None, ..ended }, reports, table.updates())
}

/// One more than a segment has.
const CHUNKS: u32 = 251;

/// A job whose chunks are counted but for the last of each segment.
async fn almost_done() -> (Model, Job) {
    let (table, job) = (Arc::new(Model::default()), job(&VirtualClock::new(1), "shop"));
    let jobs = jobs_on(table.clone(), Arc::new(VirtualClock::new(1)), MONTH);
    jobs.create(&job).await.unwrap();
    for seq in 0..CHUNKS {
        jobs.add_chunk(&chunk(&job.id, seq, 0)).await.unwrap();
        if seq < CHUNKS - 2 {
            complete(&*jobs, &job.id, seq, &processed(10)).await;
        }
    }
    (table.copy(), job)
}

#[tokio::test]
async fn a_redrive_that_dies_at_any_step_is_resumed() {
    let (table, job) = almost_done().await;
    let (ended, reports, made) = course(table.copy(), &job, Mishap::Nothing).await;
    assert_eq!((ended.status, ended.samples.len(), reports.len()), (JobStatus::Completed, 0, 0));
    assert!(made > 60, "{made} updates");
    for at in 0..made {
        for mishap in [Mishap::Refused(at), Mishap::Unheard(at)] {
            let (fixed, its_reports, _) = course(table.copy(), &job, mishap).await;
            assert_eq!((&fixed, &its_reports), (&ended, &reports), "{mishap:?}");
        }
    }
}

#[tokio::test]
async fn a_call_that_comes_late_once_more_changes_nothing() {
    let (table, job) = almost_done().await;
    let (ended, reports, made) = course(table.copy(), &job, Mishap::Nothing).await;
    for first in 0..made {
        for behind in first..made {
            let mishap = Mishap::Late(first, behind);
            let (fixed, its_reports, _) = course(table.copy(), &job, mishap).await;
            assert_eq!((&fixed, &its_reports), (&ended, &reports), "{mishap:?}");
        }
    }
}
