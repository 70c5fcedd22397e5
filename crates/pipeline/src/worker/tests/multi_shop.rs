//! Tests of one worker that works the queues of several shops.

use super::*;

/// A chunk of one document.
fn document(id: &str) -> String {
    format!("{{\"_id\":\"{id}\",\"v\":1,\"title\":\"a\"}}\n")
}

async fn job(harness: &Harness, id: &JobId) -> JobSnapshot {
    harness.stores.jobs.get(id).await.unwrap().unwrap()
}

/// Works the queues of all shops for this time.
async fn work(harness: &Harness, time: Duration) {
    let cancel = CancellationToken::new();
    let stop = async {
        tokio::time::sleep(time).await;
        cancel.cancel();
    };
    let (worked, ()) = tokio::join!(harness.worker.run_all(None, &cancel), stop);
    worked.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_large_shop_does_not_keep_small_ones_waiting() {
    let harness = Harness::new();
    let chunks: Vec<String> = (0..60).map(|number| document(&format!("large-{number}"))).collect();
    let chunks: Vec<_> = chunks.iter().map(|chunk| (ADD, chunk.as_str())).collect();
    let large = harness.publish_for("large", "large", &chunks, true).await;
    let mut small = Vec::new();
    for shop in ["small-1", "small-2"] {
        small.push(harness.publish_for(shop, shop, &[(ADD, &document(shop))], false).await);
    }
    harness.script(vec![Next::Slow(Duration::from_secs(1)); 62]);
    work(&harness, Duration::from_secs(120)).await;
    for id in small.iter().chain([&large]) {
        assert_eq!(job(&harness, id).await.status, JobStatus::Completed);
    }
    let written = harness.index.state().written_shops.clone();
    let last_small = written.iter().rposition(|shop| shop.starts_with("small")).unwrap();
    assert!(last_small < 12, "{last_small} of {}", written.len());
}

#[tokio::test(start_paused = true)]
async fn work_on_an_index_that_a_person_must_repair_is_stopped_and_the_others_go_on() {
    let harness = Harness::new();
    let broken = harness.publish_for("broken", "broken", &[(ADD, &document("b"))], false).await;
    let fine = harness.publish_for("fine", "fine", &[(ADD, &document("f"))], false).await;
    harness.index.state().broken_shop = Some("broken".to_owned());
    work(&harness, Duration::from_secs(600)).await;
    assert_eq!(job(&harness, &fine).await.status, JobStatus::Completed);
    assert_eq!(job(&harness, &broken).await.status, JobStatus::InProgress);
    let attempts = harness.index.state().written_shops.iter().filter(|shop| *shop == "broken").count();
    assert!((3..14).contains(&attempts), "15 s, 30 s, 60 s, 60 s … lie between attempts: {attempts}");
    // No attempt is used up: after the repair, the chunk is handled as if it had never been tried.
    harness.index.state().broken_shop = None;
    assert_eq!(harness.claim(&broken, Duration::ZERO).await.attempts, 1);
    work(&harness, Duration::from_secs(60)).await;
    assert_eq!(job(&harness, &broken).await.status, JobStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_worker_finishes_the_chunk_that_it_has_begun() {
    let harness = Harness::new();
    let chunks = [document("1"), document("2")];
    let chunks: Vec<_> = chunks.iter().map(|chunk| (ADD, chunk.as_str())).collect();
    let id = harness.publish("job", &chunks, false).await;
    harness.script([Next::Slow(Duration::from_secs(10))]);
    work(&harness, Duration::from_secs(5)).await;
    let job = job(&harness, &id).await;
    assert_eq!((job.completed_chunks, harness.writes()), (1, 1));
    assert_eq!(harness.stores.queue.depth(SHOP).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shop_that_appears_later_is_found() {
    let harness = Harness::new();
    let publish = async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        harness.publish_for("late", "late", &[(ADD, &document("l"))], false).await
    };
    let (id, ()) = tokio::join!(publish, work(&harness, Duration::from_secs(200)));
    assert_eq!(job(&harness, &id).await.status, JobStatus::Completed);
}
