//! Tests of the schema number in stored JSON: all of it has one, and a record with a number of a newer version of host
//! blocks nothing but itself.

use super::{insert_raw, job, open};
use crate::SqliteStorage;
use host_core::{
    clock::{Clock, SystemClock},
    model::{EntryClass, Job, JobId, LastRefusal, LedgerRecord, ProductId},
    storage::{
        Breaker, BreakerScope, Claim, JobRemover, LedgerScope, QuarantineReason, RecordChange, Storage,
        StoreErrorKind, Stores,
    },
};
use host_pipeline::retention::{Retention, prune};
use host_testing::build::{self, MINUTE, chunk, entry, processed, seal};
use serde_json::Value;
use std::time::Duration;

/// The texts of a query's one column.
async fn texts(storage: &SqliteStorage, sql: &'static str) -> Vec<String> {
    let read = storage.database.read(move |tx| {
        let mut statement = tx.prepare(sql)?;
        let texts = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(texts)
    });
    read.await.unwrap()
}

#[tokio::test]
async fn everything_that_is_stored_has_a_schema_number() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path()).unwrap();
    let Stores { jobs, queue, ledger, breakers, .. } = storage.stores();
    let (job, now) = (job("job", "shop"), SystemClock.now());
    jobs.create(&job).await.unwrap();
    for seq in 0..2 {
        let sent = chunk(&job.id, seq, 0);
        jobs.add_chunk(&sent).await.unwrap();
        queue.send(&job, &sent, 0).await.unwrap();
    }
    build::complete(&*jobs, &job.id, 0, &processed(10)).await;
    let delivery = queue.receive("shop", 1, MINUTE).await.unwrap().remove(0);
    let reason = QuarantineReason::new("broken", "it is broken");
    assert!(queue.dead_letter(&delivery.receipt, &reason).await.unwrap());
    let scope = BreakerScope { shop_id: "shop".to_owned(), index_name: "products".to_owned() };
    let failure = || ("index-refused", "401".to_owned());
    let breaker = Breaker::opened(scope, &chunk(&job.id, 0, 0), failure(), now);
    assert!(breakers.replace(None, &breaker).await.unwrap());
    let second =
        Breaker { scope: BreakerScope { index_name: "b".to_owned(), ..breaker.scope.clone() }, ..breaker };
    assert!(breakers.replace(None, &second).await.unwrap());
    assert!(breakers.replace(Some(&second), &second.probing(now)).await.unwrap());

    let scope = LedgerScope::of(&job, "marqo".into());
    let [put, replaced, refused] =
        ["put", "replaced", "refused"].map(|product| ProductId::new(product).unwrap());
    let refusal = LastRefusal::of(&entry(EntryClass::Failed, "so"), &job);
    let record = |product| LedgerRecord::new(product, job.id.clone(), now);
    let with_refusal = LedgerRecord { refusal: Some(refusal.clone()), ..record(put) };
    build::store_records(&*ledger, &scope, &[with_refusal]).await;
    let change = RecordChange { before: None, after: record(replaced) };
    assert_eq!(ledger.replace(&scope, &[change]).await.unwrap(), [true]);
    ledger.refuse(&scope, &[(refused, refusal)]).await.unwrap();

    for (sql, expected) in [
        ("SELECT job FROM job", 1),
        ("SELECT chunk FROM chunk", 2),
        ("SELECT outcome FROM chunk WHERE outcome IS NOT NULL", 1),
        ("SELECT chunk FROM message", 1),
        ("SELECT letter FROM dead_letter", 1),
        ("SELECT record FROM breaker", 2),
        ("SELECT record FROM ledger WHERE record IS NOT NULL", 2),
        ("SELECT refusal FROM ledger WHERE refusal IS NOT NULL", 2),
    ] {
        let found = texts(&storage, sql).await;
        assert_eq!(found.len(), expected, "{sql}");
        for text in found {
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["schema"], 1, "{sql}: {text}");
        }
    }
}

/// A regression test: once one outcome that a newer version had written stopped the work on all jobs of its shop.
#[tokio::test]
async fn an_outcome_of_a_newer_version_blocks_only_its_own_job() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path()).unwrap();
    let Stores { jobs, .. } = storage.stores();
    let create = async |id: &str| {
        let job = jobs.create(&job(id, "shop")).await.unwrap();
        jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
        job
    };
    let (newer, ended, other) = (create("newer").await, create("ended").await, create("other").await);
    jobs.seal(&newer.id, &seal(1)).await.unwrap();
    insert_raw(
        &storage,
        r#"UPDATE chunk SET state = 'SETTLING', outcome = '{"schema":9}' WHERE job_id = 'newer'"#,
    )
    .await;
    let row = "SELECT json_array(state, outcome, counted, attempts, fence, lease_until)
        FROM chunk WHERE job_id = 'newer'";
    let before = texts(&storage, row).await;

    let claimed = jobs.claim(&newer.id, 0, MINUTE).await.unwrap_err();
    assert_eq!(claimed.kind, StoreErrorKind::Unsupported, "{claimed:?}");
    assert!(claimed.action.contains("job newer"), "{claimed:?}");

    jobs.seal(&ended.id, &seal(1)).await.unwrap();
    build::complete(&*jobs, &ended.id, 0, &processed(10)).await;
    assert!(jobs.has_ended(&ended.id).await.unwrap());
    let claimed = jobs.claim(&other.id, 0, MINUTE).await.unwrap();
    assert!(matches!(claimed, Claim::Acquired(_)), "{claimed:?}");
    let next = Job { id: JobId::new("next").unwrap(), ..other.clone() };
    jobs.create(&next).await.unwrap();
    assert_eq!(jobs.supersede(&next).await.unwrap(), [other.id]);
    let listed = jobs.list(Some("shop"), 9).await.unwrap();
    assert_eq!(listed.len(), 4, "{listed:?}");
    let uncounted = jobs.uncounted(&newer.id, 9).await.unwrap();
    assert_eq!(uncounted, [chunk(&newer.id, 0, 0)]);
    let (retention, later) =
        (Retention { age: MINUTE, keep_chunks: false }, SystemClock.now() + Duration::from_secs(3_600));
    let remover = storage.job_remover().unwrap();
    let pruned = prune(&storage, remover, Some("shop"), later, retention, false).await.unwrap();
    let pruned: Vec<&str> = pruned.jobs.iter().map(|pruned| pruned.job.id.as_str()).collect();
    assert!(pruned.contains(&"ended") && !pruned.contains(&"newer"), "{pruned:?}");
    assert!(!storage.remove_job(&newer).await.unwrap(), "it has not ended");
    assert_eq!(texts(&storage, row).await, before, "a newer version finishes it");
}
