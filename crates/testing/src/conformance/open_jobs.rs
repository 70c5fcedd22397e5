//! Checks of [`host_core::storage::Jobs`]: how jobs that have not ended are found.

use super::{Backend, jobs::snapshot};
use crate::build::{chunk, complete, processed, seal};
use host_core::model::{Job, JobId};
use std::time::Duration;

pub async fn open_jobs_are_listed_by_shop_index_and_sequence(backend: &Backend) {
    let jobs = &backend.stores.jobs;
    let shop = backend.name("shop");
    // A shop whose name begins with the first one's.
    let other = format!("{shop}-b");
    let year = Duration::from_secs(365 * 86_400);
    let create = async |shop: &str, index_name: &str, created_at| {
        let job = Job { index_name: index_name.to_owned(), created_at, ..backend.job(shop) };
        jobs.create(&job).await.unwrap()
    };
    let list = async |shop: Option<&str>, limit| -> Vec<JobId> {
        jobs.list_open(shop, limit).await.unwrap().into_iter().map(|snapshot| snapshot.job.id).collect()
    };
    assert_eq!(list(Some(&shop), 9).await, []);
    let now = backend.clock.now();
    let ended = create(&shop, "b", now).await;
    jobs.seal(&ended.id, &seal(0)).await.unwrap();
    let ahead = create(&shop, "b", now + year).await;
    let later = create(&shop, "b", now).await;
    let of_a = create(&shop, "a", now).await;
    let of_other = create(&other, "a", now).await;
    // A job that was cancelled is open, too: its chunk is still to be written.
    jobs.add_chunk(&chunk(&ahead.id, 0, 0)).await.unwrap();
    assert!(jobs.cancel(&ahead.id, "so").await.unwrap());
    let expected = [&of_a.id, &ahead.id, &later.id].map(Clone::clone);
    assert_eq!(list(Some(&shop), 9).await, expected);
    assert_eq!(list(Some(&shop), 1).await, expected[..1]);
    let mut all = list(None, usize::MAX).await;
    all.retain(|id| expected.contains(id) || *id == of_other.id);
    assert_eq!(all, [&expected[..], &[of_other.id]].concat());

    jobs.add_chunk(&chunk(&later.id, 0, 0)).await.unwrap();
    jobs.seal(&later.id, &seal(1)).await.unwrap();
    let listed = jobs.list_open(Some(&shop), 9).await.unwrap().remove(2);
    assert_eq!(listed, snapshot(backend, &later.id).await);
    for id in [&ahead.id, &later.id] {
        complete(&**jobs, id, 0, &processed(10)).await;
    }
    assert_eq!(list(Some(&shop), 9).await, [of_a.id]);
}

/// Regression: the job was found that a process with a fast clock had created.
pub async fn of_interrupted_jobs_the_last_one_is_found_whatever_clocks_say(backend: &Backend) {
    let (jobs, shop) = (&backend.stores.jobs, backend.name("shop"));
    let first = backend.job(&shop);
    let ahead = Job { created_at: first.created_at + Duration::from_secs(365 * 86_400), ..first.clone() };
    let ahead = jobs.create(&ahead).await.unwrap();
    let id = JobId::new(backend.name("job")).unwrap();
    let last = jobs.create(&Job { id, ..first }).await.unwrap();
    assert_eq!((ahead.sequence, last.sequence), (1, 2));
    assert_eq!(jobs.find_unfinished(&shop, last.fingerprint).await.unwrap(), Some(last));
}
