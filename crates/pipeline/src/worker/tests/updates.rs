//! Tests of partial updates, which change only the fields that they have.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_update_changes_what_is_there_and_creates_nothing() {
    const UPDATE: Operation = Operation::UpdateDocuments;
    let harness = Harness::new();
    let id = harness.publish("job", &[(ADD, TWO)], false).await;
    harness.run(&id).await.unwrap();
    let updates = "{\"_id\":\"1\",\"v\":2,\"stock\":5}\n{\"_id\":\"2\",\"v\":0,\"stock\":6}\n\
                   {\"_id\":\"3\",\"v\":1,\"stock\":7}\n{\"_id\":\"4\",\"title\":\"bad\"}\n";
    let id = harness.publish("update", &[(UPDATE, updates)], false).await;
    let job = harness.run(&id).await.unwrap();
    let expected = Counts { processed: 1, failed: 2, conflict: 1, ..Counts::default() };
    assert_eq!((job.status, job.counts), (JobStatus::Failed, expected));
    let mut codes: Vec<_> = job.samples.iter().map(|entry| entry.code.as_str()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["bad-title", "document-not-found", "older-version"]);
    let fields = |id: &str| {
        let indexed = harness.index.state().documents[&DocumentId::new(id).unwrap()].clone();
        Value::from(indexed.write.document.fields)
    };
    assert_eq!(fields("1"), serde_json::json!({"v": 2, "title": "a", "stock": 5}));
    assert_eq!(fields("2"), serde_json::json!({"v": 1, "title": "b"}));

    // The same update again is unchanged; another update of the same version is a conflict; the whole document in
    // that version is written.
    let again = "{\"_id\":\"1\",\"v\":2,\"stock\":5}\n";
    let other = "{\"_id\":\"1\",\"v\":2,\"price\":9}\n";
    let whole = "{\"_id\":\"1\",\"v\":2,\"title\":\"new\"}\n";
    for (name, operation, chunk, expected) in [
        ("again", UPDATE, again, Counts { processed: 1, unchanged: 1, ..Counts::default() }),
        ("other", UPDATE, other, Counts { conflict: 1, ..Counts::default() }),
        ("whole", ADD, whole, counts(1)),
        ("whole again", UPDATE, whole, Counts { processed: 1, unchanged: 1, ..Counts::default() }),
    ] {
        let id = harness.publish(&name.replace(' ', "-"), &[(operation, chunk)], false).await;
        assert_eq!(harness.run(&id).await.unwrap().counts, expected, "{name}");
    }
    assert_eq!(fields("1"), serde_json::json!({"v": 2, "title": "new"}));
}

#[tokio::test(start_paused = true)]
async fn an_update_that_is_repeated_after_a_crash_is_written_and_counted_once() {
    let harness = Harness::new();
    let id = harness.publish("job", &[(ADD, TWO)], false).await;
    harness.run(&id).await.unwrap();
    let update = "{\"_id\":\"1\",\"v\":2,\"stock\":5}\n";
    let id = harness.publish("update", &[(Operation::UpdateDocuments, update)], false).await;
    // A worker crashed after the write and before the completion.
    let lease = harness.claim(&id, Duration::from_secs(1)).await;
    let job = harness.stores.jobs.get(&id).await.unwrap().unwrap().job;
    let chunk = harness.chunk(&id).await;
    crate::worker::chunk::handle(&harness.worker, &job, &chunk, &lease).await.unwrap();
    harness.clock.sleep(Duration::from_secs(2)).await;
    let job = harness.run(&id).await.unwrap();
    assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(1)));
    assert_eq!(harness.writes(), 2, "one for the documents, one for the update");
}
