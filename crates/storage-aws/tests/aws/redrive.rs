//! Redriving on a table that loses calls and makes them once more, late: whatever happens in between, each chunk counts once.

use super::{
    MONTH,
    intercepted::{InterceptedTable, TableCall, TableInterceptor},
    table::Model,
};
use host_core::{
    clock::SharedClock,
    model::{Counts, EntryClass, Job, JobStatus},
    storage::{ChunkOutcome, Claim, Completion, JobSnapshot, Jobs, QuarantineReason, StoreErrorKind},
};
use host_storage_aws::{Table, TableError, Update, jobs_on};
use host_testing::{
    VirtualClock,
    build::{MINUTE, chunk, complete, entry, job, processed, seal},
};
use std::sync::{Arc, Mutex};

/// A fault that is injected once.
#[derive(Clone, Copy, Debug)]
pub(super) enum InjectedFault {
    None,
    /// The update with this number is not made.
    NotApplied(usize),
    /// It takes effect, and the response is lost.
    ResponseLost(usize),
    /// The first one is made again right after the second.
    Duplicated(usize, usize),
}

/// Loses or repeats updates of a table.
pub(super) struct FaultyUpdates {
    table: Arc<Model>,
    fault: InjectedFault,
    made: Mutex<Vec<Update>>,
}

/// A table with this fault.
pub(super) fn faulty(table: Arc<Model>, fault: InjectedFault) -> Arc<InterceptedTable<FaultyUpdates>> {
    let faulty = FaultyUpdates { table: table.clone(), fault, made: Mutex::default() };
    Arc::new(InterceptedTable(table, Arc::new(faulty)))
}

impl FaultyUpdates {
    /// How many updates were made.
    pub(super) fn updates(&self) -> usize {
        self.made.lock().unwrap().len()
    }
}

fn lost() -> TableError {
    TableError { kind: StoreErrorKind::Transient, source: "lost".into() }
}

impl TableInterceptor for FaultyUpdates {
    async fn of_table<T: Send>(
        &self,
        call: TableCall<'_>,
        answer: impl Future<Output = Result<T, TableError>> + Send,
    ) -> Result<T, TableError> {
        let TableCall::Update(update) = call else { return answer.await };
        let number = {
            let mut made = self.made.lock().unwrap();
            made.push(update.clone());
            made.len() - 1
        };
        match self.fault {
            InjectedFault::NotApplied(at) if at == number => Err(lost()),
            InjectedFault::ResponseLost(at) if at == number => answer.await.and(Err(lost())),
            InjectedFault::Duplicated(first, second) if second == number => {
                let answer = answer.await;
                let late = self.made.lock().unwrap()[first].clone();
                self.table.update(&late).await.unwrap();
                answer
            }
            _ => answer.await,
        }
    }
}

pub(super) fn quarantined() -> ChunkOutcome {
    ChunkOutcome {
        counts: Counts { failed: 10, ..Counts::default() },
        report: Some("reports/given-up".to_owned()),
        samples: vec![entry(EntryClass::Failed, "It differs.")],
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
                if jobs.complete(&lease, outcome).await.is_ok_and(Completion::is_counted) {
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
async fn run_scenario(table: Model, job: &Job, fault: InjectedFault) -> (JobSnapshot, Vec<String>, usize) {
    let clock: SharedClock = Arc::new(VirtualClock::new(1));
    let table = faulty(Arc::new(table), fault);
    // Another process for each act: none shares state with the one before it.
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
        assert_eq!((now.counts, now.status, now.completed_chunks), (counts, status, CHUNKS), "{fault:?}");
        for seq in seqs {
            let sent = again(async || jobs().redrive(id, seq, redrive_count).await).await;
            assert_eq!(sent, (redrive_count < 2).then_some(redrive_count + 1), "{fault:?}");
        }
    }
    let ended = jobs().get(id).await.unwrap().unwrap();
    let reports = jobs().reports(id).await.unwrap();
    (JobSnapshot { ended_at: None, ..ended }, reports, table.1.updates())
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
async fn a_redrive_that_is_interrupted_at_any_step_is_resumed() {
    let (table, job) = almost_done().await;
    let (ended, reports, made) = run_scenario(table.copy(), &job, InjectedFault::None).await;
    assert_eq!((ended.status, ended.samples.len(), reports.len()), (JobStatus::Completed, 0, 0));
    assert!(made > 60, "{made} updates");
    for at in 0..made {
        for fault in [InjectedFault::NotApplied(at), InjectedFault::ResponseLost(at)] {
            let (fixed, its_reports, _) = run_scenario(table.copy(), &job, fault).await;
            assert_eq!((&fixed, &its_reports), (&ended, &reports), "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_call_that_comes_late_once_more_changes_nothing() {
    let (table, job) = almost_done().await;
    let (ended, reports, made) = run_scenario(table.copy(), &job, InjectedFault::None).await;
    for first in 0..made {
        for second in first..made {
            let fault = InjectedFault::Duplicated(first, second);
            let (fixed, its_reports, _) = run_scenario(table.copy(), &job, fault).await;
            assert_eq!((&fixed, &its_reports), (&ended, &reports), "{fault:?}");
        }
    }
}
