//! Checks of [`host_core::storage::Jobs::redrive`]. A quarantined chunk is one that workers could not write; its items
//! count as failed. To redrive it is to undo that count and send it to the workers again.

use super::{Backend, jobs::snapshot};
use crate::build::{claim, complete, entry, processed, seal};
use host_core::{
    model::{Counts, EntryClass, JobStatus},
    storage::{ChunkOutcome, QuarantineReason},
};

/// The outcome of a quarantined chunk: all its ten items failed.
fn quarantined() -> ChunkOutcome {
    quarantined_because("It differs.")
}

fn quarantined_because(message: &str) -> ChunkOutcome {
    ChunkOutcome {
        counts: Counts { failed: 10, ..Counts::default() },
        report: Some("reports/given-up".to_owned()),
        samples: vec![entry(EntryClass::Failed, message)],
        quarantined: Some(QuarantineReason::new("bad-checksum", message)),
    }
}

pub async fn a_redriven_chunk_counts_anew_and_its_job_ends_once_more(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(2).await);
    jobs.seal(&job.id, &seal(2)).await.unwrap();
    complete(&**jobs, &job.id, 0, &processed(10)).await;
    let old = claim(&**jobs, &job.id, 1).await;
    assert!(jobs.complete(&old, &quarantined()).await.unwrap().is_counted());
    let failed = snapshot(backend, &job.id).await;
    assert_eq!((failed.status, failed.counts.failed, failed.samples.len()), (JobStatus::Failed, 10, 1));
    assert_eq!((failed.failure_message(), &failed.error_message), (Some("It differs."), &None));
    assert_eq!(jobs.reports(&job.id).await.unwrap(), ["reports/given-up"]);

    // Refused are a chunk that was written, one that does not exist, and one that has another redrive count.
    for (seq, redrive_count) in [(0, 0), (7, 0), (1, 1)] {
        assert_eq!(jobs.redrive(&job.id, seq, redrive_count).await.unwrap(), None);
    }
    assert_eq!(snapshot(backend, &job.id).await, failed);
    for _ in 0..2 {
        assert_eq!(jobs.redrive(&job.id, 1, 0).await.unwrap(), Some(1));
        let open = snapshot(backend, &job.id).await;
        assert_eq!((open.status, open.ended_at, open.completed_chunks), (JobStatus::InProgress, None, 1));
        assert_eq!(open.counts, Counts { processed: 10, ..Counts::default() });
        assert_eq!(open.failure_message(), None);
        assert_eq!((open.samples, jobs.reports(&job.id).await.unwrap()), (vec![], vec![]));
    }
    // The worker that quarantined the chunk repeats its call too late.
    assert!(!jobs.complete(&old, &quarantined()).await.unwrap().is_counted());
    let new = claim(&**jobs, &job.id, 1).await;
    assert_eq!((new.attempts, new.redrive_count, &new.first_error), (1, 1, &None));
    assert!(new.fencing_token > old.fencing_token);
    assert_eq!(jobs.redrive(&job.id, 1, 0).await.unwrap(), Some(1), "it may be sent again");
    assert!(jobs.complete(&new, &processed(10)).await.unwrap().is_counted());
    let ended = snapshot(backend, &job.id).await;
    assert_eq!((ended.status, ended.completed_chunks), (JobStatus::Completed, 2));
    assert_eq!(ended.failure_message(), None);
    assert_eq!(ended.counts, Counts { processed: 20, ..Counts::default() });
    assert_eq!((ended.samples.as_slice(), ended.ended_at), (&[][..], Some(backend.clock.now())));
    for redrive_count in 0..2 {
        assert_eq!(jobs.redrive(&job.id, 1, redrive_count).await.unwrap(), None);
    }
    assert_eq!(snapshot(backend, &job.id).await, ended);
}

/// Even if more items failed before than a job has samples of.
pub async fn a_job_says_why_a_chunk_of_it_is_quarantined(backend: &Backend) {
    let jobs = &backend.stores.jobs;
    let with_failed_items = || ChunkOutcome {
        counts: Counts { processed: 1, failed: 25, ..Counts::default() },
        samples: vec![entry(EntryClass::Failed, "It has no title."); 25],
        ..processed(0)
    };
    let job = backend.job_with_chunks(3).await;
    jobs.seal(&job.id, &seal(3)).await.unwrap();
    complete(&**jobs, &job.id, 0, &with_failed_items()).await;
    complete(&**jobs, &job.id, 1, &quarantined()).await;
    assert_eq!(snapshot(backend, &job.id).await.failure_message(), None, "it has not ended");
    complete(&**jobs, &job.id, 2, &with_failed_items()).await;
    let ended = snapshot(backend, &job.id).await;
    assert_eq!((ended.status, ended.failure_message()), (JobStatus::Failed, Some("It differs.")));
    let listed = jobs.list(Some(&job.shop_id), 1).await.unwrap();
    assert_eq!(listed[0].failure_message(), Some("It differs."));
    // The chunk is redriven and written. The failed items of the others are no reason why a chunk is quarantined.
    assert_eq!(jobs.redrive(&job.id, 1, 0).await.unwrap(), Some(1));
    complete(&**jobs, &job.id, 1, &processed(10)).await;
    let ended = snapshot(backend, &job.id).await;
    assert_eq!((ended.status, ended.failure_message()), (JobStatus::Failed, None));
    // The seal may come last, and the reason of an operator who cancels the job has precedence.
    let job = backend.job_with_chunks(1).await;
    complete(&**jobs, &job.id, 0, &quarantined()).await;
    jobs.seal(&job.id, &seal(1)).await.unwrap();
    assert_eq!(snapshot(backend, &job.id).await.failure_message(), Some("It differs."));
    let job = backend.job_with_chunks(1).await;
    jobs.seal(&job.id, &seal(1)).await.unwrap();
    assert!(jobs.cancel(&job.id, "enough").await.unwrap());
    complete(&**jobs, &job.id, 0, &quarantined()).await;
    assert_eq!(snapshot(backend, &job.id).await.failure_message(), Some("enough"));
}

/// Regression: redriving one of them erased the reasons of the others.
pub async fn a_job_says_why_the_chunks_of_it_that_were_not_redriven_are_quarantined(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(4).await);
    jobs.seal(&job.id, &seal(4)).await.unwrap();
    complete(&**jobs, &job.id, 0, &processed(10)).await;
    // The reason of the first chunk is shown, in whatever order they failed.
    for seq in [2, 1, 3] {
        complete(&**jobs, &job.id, seq, &quarantined_because(&format!("Chunk {seq} differs."))).await;
    }
    let failure = async || snapshot(backend, &job.id).await.failure_message().map(str::to_owned);
    assert_eq!(failure().await.as_deref(), Some("Chunk 1 differs."));
    for (seq, expected) in [(1, Some("Chunk 2 differs.")), (3, Some("Chunk 2 differs.")), (2, None)] {
        assert_eq!(jobs.redrive(&job.id, seq, 0).await.unwrap(), Some(1));
        assert_eq!(failure().await, None, "it has not ended");
        complete(&**jobs, &job.id, seq, &processed(10)).await;
        assert_eq!(failure().await.as_deref(), expected, "after chunk {seq}");
    }
    let ended = snapshot(backend, &job.id).await;
    assert_eq!((ended.status, ended.counts.processed), (JobStatus::Completed, 40));
}

pub async fn a_chunk_is_quarantined_and_redriven_again_and_again(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(1).await);
    jobs.seal(&job.id, &seal(1)).await.unwrap();
    for redrive_count in 0..3 {
        complete(&**jobs, &job.id, 0, &quarantined()).await;
        let failed = snapshot(backend, &job.id).await;
        assert_eq!((failed.status, failed.counts.failed, failed.samples.len()), (JobStatus::Failed, 10, 1));
        assert_eq!(jobs.reports(&job.id).await.unwrap().len(), 1);
        assert_eq!(jobs.redrive(&job.id, 0, redrive_count).await.unwrap(), Some(redrive_count + 1));
        assert_eq!(snapshot(backend, &job.id).await.counts, Counts::default());
    }
    complete(&**jobs, &job.id, 0, &processed(10)).await;
    let ended = snapshot(backend, &job.id).await;
    assert_eq!((ended.status, ended.counts.processed, ended.counts.failed), (JobStatus::Completed, 10, 0));
}

pub async fn a_chunk_that_was_not_quarantined_is_only_sent_again(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(1).await);
    let redrive = async || jobs.redrive(&job.id, 0, 0).await.unwrap();
    assert_eq!(redrive().await, Some(0), "pending");
    let lease = claim(&**jobs, &job.id, 0).await;
    assert_eq!(redrive().await, Some(0), "running");
    assert!(jobs.complete(&lease, &quarantined()).await.unwrap().is_counted(), "it is still its holder's");
    assert_eq!(snapshot(backend, &job.id).await.counts.failed, 10);
}

pub async fn a_job_that_ended_without_a_seal_stays_ended(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(1).await);
    complete(&**jobs, &job.id, 0, &quarantined()).await;
    assert!(jobs.cancel(&job.id, "enough").await.unwrap());
    assert_eq!(jobs.redrive(&job.id, 0, 0).await.unwrap(), Some(1));
    complete(&**jobs, &job.id, 0, &processed(10)).await;
    let ended = snapshot(backend, &job.id).await;
    assert_eq!((ended.status, ended.counts.processed), (JobStatus::Failed, 10));
    assert_eq!(ended.error_message.as_deref(), Some("enough"));
}
