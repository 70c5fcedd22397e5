//! Tests of documents that another writer changes between this worker's reading and writing: the worker decides about
//! them anew.

use super::*;

const REMOVE: Operation = Operation::DeleteDocuments;
const NEW: &str = "{\"_id\":\"1\",\"v\":2,\"title\":\"new\"}\n{\"_id\":\"2\",\"v\":2,\"title\":\"b\"}\n";
const GONE: &str = "{\"_id\":\"1\",\"v\":2}\n{\"_id\":\"2\",\"v\":2}\n";

impl Harness {
    /// Writes documents 1 and 2 in version 1, then runs a job of `chunk` while others write document 1 in the
    /// versions `by`, one before each write of the job. Returns the job's counts, the codes of its entries, and the
    /// version of document 1 in the end.
    async fn run_with_concurrent_writes(
        &self,
        by: &[i64],
        operation: Operation,
        chunk: &str,
    ) -> (Counts, Vec<String>, Option<Value>) {
        let first = self.publish("first", &[(ADD, TWO)], false).await;
        self.run(&first).await.unwrap();
        self.index.state().concurrent_writes.extend(by);
        let id = self.publish("second", &[(operation, chunk)], false).await;
        let job = self.run(&id).await.unwrap();
        assert!(self.index.state().concurrent_writes.is_empty());
        let codes = job.samples.into_iter().map(|entry| entry.code).collect();
        let state = self.index.state();
        let document = state.documents.get(&DocumentId::new("1").unwrap());
        (job.counts, codes, document.map(|indexed| indexed.write.version["v"].clone()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_over_an_older_one_is_made_and_one_over_a_newer_one_is_a_conflict() {
    let older = Harness::new().run_with_concurrent_writes(&[1, 1], ADD, NEW).await;
    assert_eq!(older, (counts(2), Vec::new(), Some(2.into())));
    let newer = Harness::new().run_with_concurrent_writes(&[1, 3], ADD, NEW).await;
    let expected = Counts { conflict: 1, ..counts(1) };
    assert_eq!(newer, (expected, vec!["older-version".to_owned()], Some(3.into())));
}

#[tokio::test(start_paused = true)]
async fn a_removal_of_a_document_that_became_newer_is_a_conflict_and_of_another_one_is_made() {
    let older = Harness::new().run_with_concurrent_writes(&[1, 2], REMOVE, GONE).await;
    assert_eq!(older, (Counts { deleted: 2, ..counts(2) }, Vec::new(), None));
    let newer = Harness::new().run_with_concurrent_writes(&[1, 3], REMOVE, GONE).await;
    let expected = Counts { deleted: 1, conflict: 1, ..counts(1) };
    assert_eq!(newer, (expected, vec!["older-removal".to_owned()], Some(3.into())));
}

#[tokio::test(start_paused = true)]
async fn a_removal_of_what_one_job_wrote_spares_what_another_job_has_written() {
    let removals_of = |job: &str| {
        let line = |id: u32| format!("{{\"_id\":\"{id}\",\"v\":1,\"_mq_job_id\":\"{job}\"}}\n");
        line(1) + &line(2)
    };
    let removed = Harness::new().run_with_concurrent_writes(&[], REMOVE, &removals_of("first")).await;
    assert_eq!(removed, (Counts { deleted: 2, ..counts(2) }, Vec::new(), None));
    // The other write has the same version, so that only its writer differs.
    let meanwhile = Harness::new().run_with_concurrent_writes(&[1], REMOVE, &removals_of("first")).await;
    let expected = Counts { deleted: 1, conflict: 1, ..counts(1) };
    assert_eq!(meanwhile, (expected, vec!["rewritten".to_owned()], Some(1.into())));
    let before = Harness::new().run_with_concurrent_writes(&[], REMOVE, &removals_of("another")).await;
    assert_eq!((before.0, before.2), (Counts { conflict: 2, ..counts(0) }, Some(1.into())));
}

#[tokio::test(start_paused = true)]
async fn a_document_that_others_write_all_the_time_is_tried_again_later() {
    // 50 writes of others: more than the rounds of one attempt at the chunk.
    let busy = Harness::new();
    assert_eq!(
        busy.run_with_concurrent_writes(&[1; 50], ADD, NEW).await,
        (counts(2), Vec::new(), Some(2.into()))
    );
    let busy = Harness::new();
    let expected = Counts { deleted: 2, ..counts(2) };
    assert_eq!(busy.run_with_concurrent_writes(&[1; 50], REMOVE, GONE).await, (expected, Vec::new(), None));
}
