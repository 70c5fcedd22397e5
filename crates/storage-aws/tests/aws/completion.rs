//! A worker crashes at any step of a completion (storing and counting a chunk's outcome): the next claim finishes it,
//! and the chunk counts once.

use super::{
    MONTH,
    redrive::{InjectedFault, faulty, quarantined},
    table::Model,
};
use host_core::{
    clock::SharedClock,
    model::JobStatus,
    storage::{Claim, JobSnapshot},
};
use host_storage_aws::jobs_on;
use host_testing::{
    VirtualClock,
    build::{MINUTE, chunk, claim, job, seal},
};
use std::sync::Arc;

/// The job and its reports after its only chunk was completed with a fault and claimed again; and the number of updates
/// of the table.
async fn completed(fault: InjectedFault) -> (JobSnapshot, Vec<String>, usize) {
    let (table, clock) = (Arc::new(Model::default()), Arc::new(VirtualClock::new(1)) as SharedClock);
    let (jobs, job) = (jobs_on(table.clone(), clock.clone(), MONTH), job(&VirtualClock::new(1), "shop"));
    jobs.create(&job).await.unwrap();
    jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
    jobs.seal(&job.id, &seal(1)).await.unwrap();
    let lease = claim(&*jobs, &job.id, 0).await;
    let faulty = faulty(table, fault);
    let completed = jobs_on(faulty.clone(), clock, MONTH).complete(&lease, &quarantined()).await;
    assert_eq!(completed.is_ok(), matches!(fault, InjectedFault::None), "{fault:?}");
    for _ in 0..2 {
        match jobs.claim(&job.id, 0, MINUTE).await.unwrap() {
            Claim::Done { quarantined: Some(reason) } => assert_eq!(reason.code, "bad-checksum"),
            // Nothing was stored: the worker still holds the chunk.
            Claim::Held { .. } if matches!(fault, InjectedFault::NotApplied(0)) => {
                assert!(jobs.complete(&lease, &quarantined()).await.unwrap().is_counted());
            }
            other => panic!("{fault:?}: {other:?}"),
        }
    }
    let (ended, reports) = (jobs.get(&job.id).await.unwrap().unwrap(), jobs.reports(&job.id).await.unwrap());
    (JobSnapshot { job, ..ended }, reports, faulty.1.updates())
}

#[tokio::test]
async fn a_completion_that_dies_at_any_step_is_finished_by_the_next_claim() {
    let (ended, reports, updates) = completed(InjectedFault::None).await;
    assert_eq!((ended.status, ended.counts.failed, ended.completed_chunks), (JobStatus::Failed, 10, 1));
    assert_eq!((ended.samples.len(), reports.len()), (1, 1));
    // The outcome, the segment that counts the chunk, a sample, the report, the full segment, the end of the job, the
    // row.
    assert_eq!(updates, 7);
    for at in 0..updates {
        for fault in [InjectedFault::NotApplied(at), InjectedFault::ResponseLost(at)] {
            let (resumed, its_reports, _) = completed(fault).await;
            let resumed = JobSnapshot { job: ended.job.clone(), ..resumed };
            assert_eq!((&resumed, &its_reports), (&ended, &reports), "{fault:?}");
        }
    }
}
