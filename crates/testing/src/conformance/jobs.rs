//! Checks of [`host_core::storage::Jobs`], the store of jobs and their chunks.
//!
//! Ingest adds chunks to a job and seals it when there will be no more. A worker claims a chunk: it gets a lease with a
//! fencing token, which grows with each claim, and completes the chunk with its counts. A job ends when it is sealed
//! and all its chunks are counted.

use super::Backend;
use crate::build::{MINUTE, chunk, claim, complete, entry, processed, seal};
use futures::future::join_all;
use host_core::{
    model::{ArchiveRefused, Counts, Digest, EntryClass, Job, JobId, JobStatus},
    storage::{
        AttemptError, ChunkLease, ChunkOutcome, Claim, Completion, JobSnapshot, QuarantineReason, Release,
    },
};
use std::time::Duration;

pub async fn snapshot(backend: &Backend, id: &JobId) -> JobSnapshot {
    backend.stores.jobs.get(id).await.unwrap().unwrap()
}

pub async fn a_job_is_created_once(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job(&backend.name("shop")));
    assert_eq!(jobs.get(&job.id).await.unwrap(), None);
    let stored = jobs.create(&job).await.unwrap();
    assert_eq!(stored, Job { sequence: 1, ..job.clone() });
    let created = snapshot(backend, &job.id).await;
    let mut other = job.clone();
    other.index_name = "other".to_owned();
    assert_eq!(jobs.create(&other).await.unwrap(), stored);
    assert_eq!(snapshot(backend, &job.id).await, created);
    assert_eq!((created.job, created.status, created.seal), (stored, JobStatus::Pending, None));
    assert_eq!((created.counts, created.chunks, created.completed_chunks), (Counts::default(), 0, 0));
    assert_eq!((created.samples, created.ended_at), (Vec::new(), None));
}

pub async fn whether_a_job_has_ended_is_told(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job(&backend.name("shop")));
    let has_ended = async || jobs.has_ended(&job.id).await.unwrap();
    assert!(!has_ended().await, "it does not exist");
    jobs.create(&job).await.unwrap();
    jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
    jobs.seal(&job.id, &seal(1)).await.unwrap();
    assert!(!has_ended().await);
    complete(&**jobs, &job.id, 0, &processed(10)).await;
    assert!(has_ended().await);
}

/// Whatever the clocks of the processes say that create them.
pub async fn jobs_of_an_index_are_numbered(backend: &Backend) {
    let (jobs, shops) = (&backend.stores.jobs, [backend.name("shop"), backend.name("shop")]);
    let year = Duration::from_secs(365 * 86_400);
    let create = async |shop: &str, index_name: &str, created_at| {
        let job = Job { index_name: index_name.to_owned(), created_at, ..backend.job(shop) };
        jobs.create(&job).await.unwrap()
    };
    let now = backend.clock.now();
    let first = create(&shops[0], "products", now + year).await;
    let second = create(&shops[0], "products", now).await;
    assert_eq!((first.sequence, second.sequence), (1, 2));
    assert!(second.is_after(&first) && !first.is_after(&second));
    assert_eq!(create(&shops[0], "others", now).await.sequence, 1);
    assert_eq!(create(&shops[1], "products", now).await.sequence, 1);
    jobs.seal(&second.id, &seal(0)).await.unwrap();
    assert_eq!(create(&shops[0], "products", now - year).await.sequence, 3);
}

/// Otherwise a later chunk of a product could go to another lane than one that waits, and be written before it.
pub async fn lanes_change_when_no_chunk_waits(backend: &Backend) {
    let (jobs, shop) = (&backend.stores.jobs, backend.name("shop"));
    let create = async |lanes| {
        let job = Job { lanes, skips_unchanged: true, ..backend.job(&shop) };
        jobs.create(&job).await.unwrap()
    };
    let ended = create(2).await;
    assert!(ended.skips_unchanged);
    jobs.seal(&ended.id, &seal(0)).await.unwrap();
    let open = create(4).await;
    assert_eq!(open.lanes, 4);
    jobs.add_chunk(&chunk(&open.id, 0, 3)).await.unwrap();
    let next = create(8).await;
    // Nor are unchanged products skipped: a waiting chunk may change what the ledger says of them.
    assert_eq!((next.lanes, next.skips_unchanged), (4, false));
    let other_index = Job { index_name: "others".to_owned(), lanes: 8, ..backend.job(&shop) };
    assert_eq!(jobs.create(&other_index).await.unwrap().lanes, 8);
    // A job that was superseded has ended, and its chunk still waits.
    assert_eq!(jobs.supersede(&next).await.unwrap(), std::slice::from_ref(&open.id));
    jobs.seal(&next.id, &seal(0)).await.unwrap();
    let next = create(8).await;
    assert_eq!((next.lanes, next.skips_unchanged), (4, false));
    jobs.seal(&next.id, &seal(0)).await.unwrap();
    complete(&**jobs, &open.id, 0, &processed(10)).await;
    let last = create(8).await;
    assert_eq!((last.lanes, last.skips_unchanged), (8, true));
}

pub async fn an_interrupted_job_is_found_by_its_fingerprint(backend: &Backend) {
    let (jobs, shop) = (&backend.stores.jobs, backend.name("shop"));
    let job = backend.job(&shop);
    let job = jobs.create(&job).await.unwrap();
    assert_eq!(jobs.find_unfinished(&shop, job.fingerprint).await.unwrap(), Some(job.clone()));
    assert_eq!(jobs.find_unfinished(&backend.name("shop"), job.fingerprint).await.unwrap(), None);
    assert_eq!(jobs.find_unfinished(&shop, Digest::of(b"other")).await.unwrap(), None);
    // The sealed job has not ended: its chunk is still to be counted.
    jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
    jobs.seal(&job.id, &seal(1)).await.unwrap();
    assert_eq!(jobs.find_unfinished(&shop, job.fingerprint).await.unwrap(), Some(job.clone()));

    let ended =
        Job { id: JobId::new(backend.name("job")).unwrap(), fingerprint: Digest::of(b"ended"), ..job };
    jobs.create(&ended).await.unwrap();
    jobs.seal(&ended.id, &seal(0)).await.unwrap();
    assert_eq!(jobs.find_unfinished(&shop, ended.fingerprint).await.unwrap(), None);
}

pub async fn jobs_are_listed_newest_first(backend: &Backend) {
    let (jobs, shops) = (&backend.stores.jobs, [backend.name("shop"), backend.name("shop")]);
    let mut ids = [Vec::new(), Vec::new()];
    for at in 0..6 {
        backend.clock.sleep(Duration::from_millis(2)).await;
        let job = backend.job(&shops[at % 2]);
        jobs.create(&job).await.unwrap();
        ids[at % 2].insert(0, job.id);
    }
    let list = async |shop: Option<&str>, limit| -> Vec<JobId> {
        jobs.list(shop, limit).await.unwrap().into_iter().map(|snapshot| snapshot.job.id).collect()
    };
    assert_eq!(list(Some(&shops[0]), 10).await, ids[0]);
    assert_eq!(list(Some(&shops[1]), 2).await, ids[1][..2]);
    assert_eq!(list(None, 2).await, [ids[1][0].clone(), ids[0][0].clone()]);
    let listed = &jobs.list(Some(&shops[0]), 1).await.unwrap()[0];
    assert_eq!(*listed, snapshot(backend, &ids[0][0]).await);
}

pub async fn a_chunk_is_added_once(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(2).await);
    let lease = claim(&**jobs, &job.id, 0).await;
    jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
    assert!(jobs.renew(&lease, MINUTE).await.unwrap(), "the row is as it was");
    assert_eq!(snapshot(backend, &job.id).await.chunks, 2);
    jobs.seal(&job.id, &seal(2)).await.unwrap();
    jobs.add_chunk(&chunk(&job.id, 1, 0)).await.unwrap();
    assert_eq!(snapshot(backend, &job.id).await.chunks, 2);
}

pub async fn the_first_claim_starts_the_job(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(1).await);
    assert_eq!(snapshot(backend, &job.id).await.status, JobStatus::Pending);
    assert_eq!(claim(&**jobs, &job.id, 0).await.attempts, 1);
    assert_eq!(snapshot(backend, &job.id).await.status, JobStatus::InProgress);
}

pub async fn a_chunk_is_held_until_its_lease_ends(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(1).await);
    let until = backend.clock.now() + MINUTE;
    let old = claim(&**jobs, &job.id, 0).await;
    assert_eq!(jobs.claim(&job.id, 0, MINUTE).await.unwrap(), Claim::Held { until });
    backend.clock.sleep(MINUTE - Duration::from_secs(1)).await;
    assert_eq!(jobs.claim(&job.id, 0, MINUTE).await.unwrap(), Claim::Held { until });
    backend.clock.sleep(Duration::from_secs(1)).await;
    let new = claim(&**jobs, &job.id, 0).await;
    assert!(new.attempts == 2 && new.fencing_token > old.fencing_token, "{new:?}");
    assert!(!jobs.renew(&old, MINUTE).await.unwrap());
    for release in [Release::CountAttempt(None), Release::ResetAttempts] {
        assert!(!jobs.release(&old, release).await.unwrap());
    }
    assert!(!jobs.complete(&old, &processed(1)).await.unwrap().is_counted());
    assert_eq!(snapshot(backend, &job.id).await.counts, Counts::default());
    assert!(jobs.complete(&new, &processed(2)).await.unwrap().is_counted());
    assert!(!jobs.complete(&old, &processed(1)).await.unwrap().is_counted());
    assert_eq!(snapshot(backend, &job.id).await.counts.processed, 2);
}

/// A process whose clock was a day ahead has died, and its lease would block the chunk for that day.
pub async fn a_lease_that_ends_in_a_day_is_that_of_a_wrong_clock(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(1).await);
    let Claim::Acquired(ahead) = jobs.claim(&job.id, 0, MINUTE * 60 * 24).await.unwrap() else { panic!() };
    let lease = claim(&**jobs, &job.id, 0).await;
    assert!(lease.fencing_token > ahead.fencing_token);
    assert!(!jobs.renew(&ahead, MINUTE).await.unwrap());
    assert!(jobs.complete(&lease, &processed(1)).await.unwrap().is_counted());
}

pub async fn a_lease_that_has_run_out_is_still_its_holders(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(2).await);
    let (first, second) = (claim(&**jobs, &job.id, 0).await, claim(&**jobs, &job.id, 1).await);
    backend.clock.sleep(MINUTE * 2).await;
    assert!(jobs.complete(&first, &processed(1)).await.unwrap().is_counted());
    assert!(jobs.renew(&second, MINUTE).await.unwrap());
    assert!(matches!(jobs.claim(&job.id, 1, MINUTE).await.unwrap(), Claim::Held { .. }));
}

pub async fn renewal_counts_from_now(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(1).await);
    let lease = claim(&**jobs, &job.id, 0).await;
    backend.clock.sleep(MINUTE / 2).await;
    assert!(jobs.renew(&lease, MINUTE).await.unwrap());
    let until = backend.clock.now() + MINUTE;
    assert_eq!(jobs.claim(&job.id, 0, MINUTE).await.unwrap(), Claim::Held { until });
}

pub async fn a_released_chunk_can_be_claimed_at_once(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(1).await);
    let first = claim(&**jobs, &job.id, 0).await;
    for _ in 0..2 {
        assert!(jobs.release(&first, Release::CountAttempt(None)).await.unwrap());
    }
    assert!(!jobs.complete(&first, &processed(1)).await.unwrap().is_counted());
    assert!(!jobs.renew(&first, MINUTE).await.unwrap());
    let second = claim(&**jobs, &job.id, 0).await;
    assert!(second.fencing_token > first.fencing_token);
    assert_eq!(second.attempts, 2);

    // Only the holder of the lease can reset the attempts.
    assert!(!jobs.release(&first, Release::ResetAttempts).await.unwrap());
    assert!(jobs.release(&second, Release::CountAttempt(None)).await.unwrap());
    let third = claim(&**jobs, &job.id, 0).await;
    assert_eq!(third.attempts, 3);
    for _ in 0..2 {
        assert!(jobs.release(&third, Release::ResetAttempts).await.unwrap());
    }
    assert_eq!(claim(&**jobs, &job.id, 0).await.attempts, 1);
}

pub async fn of_many_claims_one_wins(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(1).await);
    let claims = join_all((0..16).map(|_| jobs.claim(&job.id, 0, MINUTE))).await;
    let acquired = claims.iter().filter(|claim| matches!(claim, Ok(Claim::Acquired(_)))).count();
    let held = claims.iter().filter(|claim| matches!(claim, Ok(Claim::Held { .. }))).count();
    assert_eq!((acquired, held), (1, 15));
}

pub async fn a_second_completion_changes_nothing(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(2).await);
    let lease = claim(&**jobs, &job.id, 0).await;
    assert_eq!(snapshot(backend, &job.id).await.completed_chunks, 0);
    for outcome in [processed(3), processed(5)] {
        assert!(jobs.complete(&lease, &outcome).await.unwrap().is_counted());
        let counted = snapshot(backend, &job.id).await;
        assert_eq!((counted.counts.processed, counted.completed_chunks), (3, 1));
        assert_eq!(jobs.claim(&job.id, 0, MINUTE).await.unwrap(), Claim::Done { quarantined: None });
    }
    let other = ChunkLease { fencing_token: lease.fencing_token + 1, ..lease.clone() };
    assert!(!jobs.complete(&other, &processed(5)).await.unwrap().is_counted());
    backend.clock.sleep(MINUTE * 2).await;
    let claim = jobs.claim(&job.id, 0, MINUTE).await.unwrap();
    assert_eq!(claim, Claim::Done { quarantined: None }, "no lease can expire any more");
    assert!(!jobs.release(&lease, Release::CountAttempt(None)).await.unwrap());
    assert!(!jobs.release(&lease, Release::ResetAttempts).await.unwrap());
    assert!(!jobs.renew(&lease, MINUTE).await.unwrap());
    let done = snapshot(backend, &job.id).await;
    assert_eq!((done.counts.processed, done.completed_chunks, done.chunks), (3, 1, 2));
    assert_eq!((done.status, done.ended_at), (JobStatus::InProgress, None));
}

pub async fn why_a_chunk_was_quarantined_is_remembered(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(1).await);
    let quarantined = Some(QuarantineReason::new("bad-checksum", "It differs."));
    complete(&**jobs, &job.id, 0, &ChunkOutcome { quarantined: quarantined.clone(), ..processed(0) }).await;
    assert_eq!(jobs.claim(&job.id, 0, MINUTE).await.unwrap(), Claim::Done { quarantined });
}

pub async fn many_completions_at_once_count_once(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(4).await);
    let mut leases = Vec::new();
    for seq in 0..4 {
        leases.push(claim(&**jobs, &job.id, seq).await);
    }
    let outcome = processed(1);
    let completions = join_all((0..32).map(|at| jobs.complete(&leases[at % 4], &outcome))).await;
    assert!(
        completions.iter().all(|completed| matches!(completed, Ok(Completion::Counted))),
        "{completions:?}"
    );
    let counted = snapshot(backend, &job.id).await;
    assert_eq!((counted.counts.processed, counted.completed_chunks), (4, 4));
}

pub async fn one_completion_says_that_the_job_has_ended(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(2).await);
    let (first, last) = (claim(&**jobs, &job.id, 0).await, claim(&**jobs, &job.id, 1).await);
    let outcome = processed(1);
    assert_eq!(jobs.complete(&first, &outcome).await.unwrap(), Completion::Counted);
    jobs.seal(&job.id, &seal(2)).await.unwrap();
    assert_eq!(jobs.complete(&last, &outcome).await.unwrap(), Completion::JobEnded);
    assert_eq!(jobs.complete(&last, &outcome).await.unwrap(), Completion::Counted);
    let unsealed = backend.job_with_chunks(1).await;
    let only = claim(&**jobs, &unsealed.id, 0).await;
    assert_eq!(jobs.complete(&only, &outcome).await.unwrap(), Completion::Counted);
}

pub async fn a_chunk_without_a_row_is_unknown(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(1).await);
    let absent = JobId::new(backend.name("job")).unwrap();
    for (id, seq) in [(&job.id, 7), (&absent, 0)] {
        assert_eq!(jobs.claim(id, seq, MINUTE).await.unwrap(), Claim::Unknown);
        let job_id = id.clone();
        let lease =
            ChunkLease { job_id, seq, fencing_token: 1, attempts: 1, redrive_count: 0, first_error: None };
        assert!(!jobs.renew(&lease, MINUTE).await.unwrap());
        assert!(!jobs.release(&lease, Release::ResetAttempts).await.unwrap());
        assert!(!jobs.complete(&lease, &processed(1)).await.unwrap().is_counted());
    }
    assert_eq!(snapshot(backend, &job.id).await.status, JobStatus::Pending);
}

pub async fn a_job_ends_with_its_last_chunk_only_when_sealed(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(2).await);
    complete(&**jobs, &job.id, 0, &processed(10)).await;
    complete(&**jobs, &job.id, 1, &processed(10)).await;
    let all_counted = snapshot(backend, &job.id).await;
    assert_eq!((all_counted.status, all_counted.ended_at), (JobStatus::InProgress, None));
    backend.clock.sleep(MINUTE).await;
    jobs.seal(&job.id, &seal(2)).await.unwrap();
    let ended = snapshot(backend, &job.id).await;
    assert_eq!((ended.status, ended.ended_at), (JobStatus::Completed, Some(backend.clock.now())));
    assert_eq!(ended.seal, Some(seal(2)));

    let job = backend.job_with_chunks(2).await;
    complete(&**jobs, &job.id, 1, &processed(10)).await;
    jobs.seal(&job.id, &seal(2)).await.unwrap();
    assert_eq!(snapshot(backend, &job.id).await.ended_at, None);
    complete(&**jobs, &job.id, 0, &processed(10)).await;
    let ended = snapshot(backend, &job.id).await;
    assert_eq!((ended.status, ended.ended_at), (JobStatus::Completed, Some(backend.clock.now())));
    // No later call changes the time of the end.
    backend.clock.sleep(MINUTE).await;
    assert_eq!(jobs.claim(&job.id, 0, MINUTE).await.unwrap(), Claim::Done { quarantined: None });
    jobs.seal(&job.id, &seal(2)).await.unwrap();
    assert_eq!(snapshot(backend, &job.id).await, ended);
}

pub async fn an_unsealed_job_is_superseded(backend: &Backend) {
    let jobs = &backend.stores.jobs;
    let old = backend.job_with_chunks(2).await;
    let of_shop = |change: fn(&mut Job)| {
        let mut job = backend.job(&old.shop_id);
        change(&mut job);
        job
    };
    let other_index = of_shop(|job| job.index_name = "other".to_owned());
    let sealed = of_shop(|_| ());
    let other_shop = backend.job_with_chunks(1).await;
    let new = of_shop(|_| ());
    for job in [&other_index, &sealed, &new] {
        jobs.create(job).await.unwrap();
    }
    jobs.add_chunk(&chunk(&sealed.id, 0, 0)).await.unwrap();
    jobs.seal(&sealed.id, &seal(1)).await.unwrap();
    complete(&**jobs, &old.id, 0, &processed(10)).await;
    let lease = claim(&**jobs, &old.id, 1).await;

    assert_eq!(jobs.supersede(&new).await.unwrap(), std::slice::from_ref(&old.id));
    let superseded_at = backend.clock.now();
    backend.clock.sleep(MINUTE).await;
    assert_eq!(jobs.supersede(&new).await.unwrap(), []);
    let ended = snapshot(backend, &old.id).await;
    assert_eq!((ended.status, ended.ended_at, &ended.seal), (JobStatus::Failed, Some(superseded_at), &None));
    assert!(ended.error_message.unwrap().contains(new.id.as_str()));
    for job in [&other_index, &sealed, &other_shop, &new] {
        let untouched = snapshot(backend, &job.id).await;
        assert_eq!((untouched.ended_at, untouched.error_message), (None, None));
    }
    assert_eq!(jobs.find_unfinished(&old.shop_id, old.fingerprint).await.unwrap(), None);

    // A chunk in progress is still counted, but none is added and the status stays.
    assert!(jobs.complete(&lease, &processed(10)).await.unwrap().is_counted());
    assert!(jobs.add_chunk(&chunk(&old.id, 2, 0)).await.is_err());
    jobs.add_chunk(&chunk(&old.id, 1, 0)).await.unwrap();
    assert!(jobs.seal(&old.id, &seal(2)).await.is_err());
    let counted = snapshot(backend, &old.id).await;
    assert_eq!((counted.counts.processed, counted.completed_chunks, counted.chunks), (20, 2, 2));
    assert_eq!(
        (counted.status, counted.ended_at, counted.seal),
        (JobStatus::Failed, Some(superseded_at), None)
    );
}

pub async fn a_job_without_chunks_ends_when_it_is_sealed(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(0).await);
    jobs.seal(&job.id, &seal(0)).await.unwrap();
    assert_eq!(snapshot(backend, &job.id).await.status, JobStatus::Completed);
}

pub async fn a_seal_holds_and_its_refused_items_count_once(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(1).await);
    let mut first = seal(1);
    first.ingest_counts = Counts { skipped: 3, failed: 2, ..Counts::default() };
    first.reports = vec!["reports/ingest".to_owned()];
    let mut second = first.clone();
    second.total_items = 99;
    jobs.seal(&job.id, &first).await.unwrap();
    jobs.seal(&job.id, &second).await.unwrap();
    let sealed = snapshot(backend, &job.id).await;
    assert_eq!((sealed.counts, sealed.seal), (first.ingest_counts, Some(first)));
    complete(&**jobs, &job.id, 0, &processed(1)).await;
    let ended = snapshot(backend, &job.id).await;
    assert_eq!(ended.counts, Counts { processed: 1, skipped: 3, failed: 2, ..Counts::default() });
    assert_eq!(ended.status, JobStatus::Failed, "what ingest refused decides too");
}

pub async fn failed_outranks_conflict_outranks_completed(backend: &Backend) {
    let jobs = &backend.stores.jobs;
    for (failed, conflict, status) in
        [(0, 0, JobStatus::Completed), (0, 1, JobStatus::Conflict), (1, 1, JobStatus::Failed)]
    {
        let job = backend.job_with_chunks(2).await;
        jobs.seal(&job.id, &seal(2)).await.unwrap();
        let mut outcome = processed(1);
        outcome.counts = Counts { processed: 1, failed, conflict, skipped: 1, unchanged: 1, deleted: 1 };
        complete(&**jobs, &job.id, 0, &outcome).await;
        complete(&**jobs, &job.id, 1, &processed(1)).await;
        let ended = snapshot(backend, &job.id).await;
        assert_eq!(ended.status, status);
        assert_eq!(ended.counts, Counts { processed: 2, ..outcome.counts });
    }
}

pub async fn samples_do_not_depend_on_the_order_of_counting(backend: &Backend) {
    let jobs = &backend.stores.jobs;
    let mut samples = Vec::new();
    for order in [[0, 1, 2, 3], [3, 1, 0, 2]] {
        let job = backend.job_with_chunks(4).await;
        let mut sealed = seal(4);
        sealed.samples = (0..3).map(|item| entry(EntryClass::Failed, format!("ingest {item}"))).collect();
        if order[0] == 0 {
            jobs.seal(&job.id, &sealed).await.unwrap();
        }
        for seq in order {
            let mut outcome = processed(1);
            for item in 0..9 {
                outcome.samples.push(entry(EntryClass::Failed, format!("chunk {seq} item {item}")));
                outcome.samples.push(entry(EntryClass::Conflict, format!("chunk {seq} item {item}")));
            }
            complete(&**jobs, &job.id, seq, &outcome).await;
        }
        jobs.seal(&job.id, &sealed).await.unwrap();
        samples.push(snapshot(backend, &job.id).await.samples);
    }
    let [first, second] = &samples[..] else { unreachable!() };
    assert_eq!(first, second);
    // Of each class a job has 20 samples: those of ingest, then those of the chunks in their order.
    let of_class =
        |class| first.iter().filter(move |entry| entry.class == class).map(|entry| &entry.message[..]);
    assert_eq!((of_class(EntryClass::Failed).count(), of_class(EntryClass::Conflict).count()), (20, 20));
    assert_eq!(of_class(EntryClass::Failed).next(), Some("ingest 0"));
    assert_eq!(of_class(EntryClass::Failed).next_back(), Some("chunk 1 item 7"));
    assert_eq!(of_class(EntryClass::Conflict).next_back(), Some("chunk 2 item 1"));
    assert_eq!(first[0], entry(EntryClass::Failed, "ingest 0"), "entries are kept whole");
}

pub async fn reports_come_in_chunk_order_ingest_first(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(4).await);
    for seq in [3, 0, 1] {
        let mut outcome = processed(1);
        outcome.report = (seq != 0).then(|| format!("reports/{seq}"));
        complete(&**jobs, &job.id, seq, &outcome).await;
    }
    claim(&**jobs, &job.id, 2).await;
    assert_eq!(jobs.reports(&job.id).await.unwrap(), ["reports/1", "reports/3"], "2 is not counted");
    let mut sealed = seal(4);
    sealed.reports = vec!["reports/ingest-0".to_owned(), "reports/ingest-1".to_owned()];
    jobs.seal(&job.id, &sealed).await.unwrap();
    assert_eq!(
        jobs.reports(&job.id).await.unwrap(),
        ["reports/ingest-0", "reports/ingest-1", "reports/1", "reports/3"]
    );
    assert!(jobs.reports(&JobId::new(backend.name("job")).unwrap()).await.unwrap().is_empty());
}

pub async fn a_cancelled_job_keeps_the_reason(backend: &Backend) {
    let jobs = &backend.stores.jobs;
    let [sealed, open] = [backend.job(&backend.name("shop")), backend.job(&backend.name("shop"))];
    for job in [&sealed, &open] {
        jobs.create(job).await.unwrap();
        jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
    }
    jobs.seal(&sealed.id, &seal(1)).await.unwrap();
    for job in [&sealed, &open] {
        assert!(jobs.cancel(&job.id, "enough").await.unwrap());
        assert_eq!(snapshot(backend, &job.id).await.error_message.as_deref(), Some("enough"));
    }
    // The sealed job waits for its chunk to be counted; the other one has ended and takes no more chunks.
    assert_eq!(snapshot(backend, &sealed.id).await.status, JobStatus::Pending);
    let ended = snapshot(backend, &open.id).await;
    assert_eq!((ended.status, ended.ended_at.is_some()), (JobStatus::Failed, true));
    assert!(jobs.add_chunk(&chunk(&open.id, 1, 0)).await.is_err());
    assert!(jobs.seal(&open.id, &seal(1)).await.is_err());
    assert!(!jobs.cancel(&open.id, "again").await.unwrap());
    assert_eq!(snapshot(backend, &open.id).await, ended);
    assert!(!jobs.cancel(&JobId::new(backend.name("none")).unwrap(), "x").await.unwrap());
}

pub async fn a_job_keeps_its_last_error_until_it_ends(backend: &Backend) {
    let jobs = &backend.stores.jobs;
    let [counted, cancelled, superseded] =
        ["counted", "cancelled", "superseded"].map(|shop| backend.job(&backend.name(shop)));
    let error = |what: &str| {
        AttemptError::new("index-unavailable", &std::io::Error::other(what), 3, backend.clock.now())
    };
    for job in [&counted, &cancelled, &superseded] {
        jobs.create(job).await.unwrap();
        assert_eq!(snapshot(backend, &job.id).await.last_error, None);
        for what in ["first", "last"] {
            jobs.record_error(&job.id, &error(what)).await.unwrap();
        }
        let kept = snapshot(backend, &job.id).await.last_error.unwrap();
        assert_eq!((&*kept.message, kept.attempt, &*kept.code), ("last", 3, "index-unavailable"));
    }
    jobs.add_chunk(&chunk(&counted.id, 0, 0)).await.unwrap();
    jobs.seal(&counted.id, &seal(1)).await.unwrap();
    assert!(snapshot(backend, &counted.id).await.last_error.is_some());
    complete(jobs.as_ref(), &counted.id, 0, &processed(1)).await;
    jobs.cancel(&cancelled.id, "enough").await.unwrap();
    let newer = backend.job(&superseded.shop_id);
    assert_eq!(jobs.supersede(&newer).await.unwrap(), std::slice::from_ref(&superseded.id));
    for job in [&counted, &cancelled, &superseded] {
        jobs.record_error(&job.id, &error("late")).await.unwrap();
        let ended = snapshot(backend, &job.id).await;
        assert!(ended.ended_at.is_some());
        assert_eq!(ended.last_error, None);
    }
    let absent = JobId::new(backend.name("absent")).unwrap();
    jobs.record_error(&absent, &error("late")).await.unwrap();
    assert_eq!(jobs.get(&absent).await.unwrap(), None);
}

pub async fn a_job_keeps_why_nothing_was_archived(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job(&backend.name("shop")));
    jobs.create(&job).await.unwrap();
    assert_eq!(snapshot(backend, &job.id).await.archive_refused, None);
    jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
    jobs.seal(&job.id, &seal(1)).await.unwrap();
    complete(jobs.as_ref(), &job.id, 0, &processed(1)).await;
    let refused = |message: &str| ArchiveRefused {
        code: "orphans".to_owned(),
        message: message.to_owned(),
        at: backend.clock.now(),
    };
    for message in ["first", "\"zweite\" Zeile"] {
        jobs.record_archiving(&job.id, Some(&refused(message))).await.unwrap();
        let kept = snapshot(backend, &job.id).await.archive_refused.unwrap();
        assert_eq!((&*kept.code, &*kept.message), ("orphans", message));
    }
    let listed = jobs.list(Some(&job.shop_id), 10).await.unwrap();
    assert!(listed[0].archive_refused.is_some());
    for _ in 0..2 {
        jobs.record_archiving(&job.id, None).await.unwrap();
        assert_eq!(snapshot(backend, &job.id).await.archive_refused, None);
    }
    let absent = JobId::new(backend.name("absent")).unwrap();
    jobs.record_archiving(&absent, Some(&refused("late"))).await.unwrap();
    assert_eq!(jobs.get(&absent).await.unwrap(), None);
}

pub async fn a_chunk_is_read_as_it_was_added(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job(&backend.name("shop")));
    jobs.create(&job).await.unwrap();
    let added = chunk(&job.id, 0, 3);
    jobs.add_chunk(&added).await.unwrap();
    assert_eq!(jobs.chunk(&job.id, 0).await.unwrap(), Some(added));
    assert_eq!(jobs.chunk(&job.id, 1).await.unwrap(), None);
}

pub async fn the_first_error_stays_with_a_chunk(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(1).await);
    let error = |attempt: u32| AttemptError {
        code: "index-unavailable".to_owned(),
        message: format!("attempt {attempt} failed"),
        causes: vec!["a broken connection".to_owned()],
        attempt,
        at: backend.clock.now(),
        max_attempts: Some(9),
        retry_at: Some(backend.clock.now()),
    };
    let first = error(1);
    for attempt in 1..4 {
        let lease = claim(&**jobs, &job.id, 0).await;
        assert_eq!(lease.first_error, (attempt > 1).then(|| first.clone()));
        for _ in 0..2 {
            let release = Release::CountAttempt(Some(&error(attempt)));
            assert!(jobs.release(&lease, release).await.unwrap());
        }
    }
    let lease = claim(&**jobs, &job.id, 0).await;
    assert!(jobs.release(&lease, Release::ResetAttempts).await.unwrap());
    let lease = claim(&**jobs, &job.id, 0).await;
    assert_eq!((lease.attempts, lease.first_error), (1, None));
}
