//! Tests of chunks that no worker can handle: they become dead letters.

use super::*;
use host_core::storage::IndexDocument;
use serde_json::Map;

#[tokio::test(start_paused = true)]
async fn a_chunk_that_cannot_be_handled_becomes_a_dead_letter_and_its_lane_goes_on() {
    let fatal = "{\"_id\":\"1\",\"title\":\"fatal\"}\n{\"_id\":\"2\",\"title\":\"x\"}\n";
    for (code, chunk) in
        [("plugin-failure", fatal), ("corrupt-chunk", TWO), ("lost-input", TWO), ("internal-error", TWO)]
    {
        let harness = Harness::new();
        let good = "{\"_id\":\"3\",\"v\":1,\"title\":\"after\"}\n";
        let id = harness.publish("job", &[(ADD, chunk), (ADD, good)], false).await;
        let (chunks, key) = (&harness.stores.chunks, ChunkRef::key("shopify", SHOP, &id, 0));
        match code {
            "corrupt-chunk" => chunks.put(&key, b"other bytes").await.unwrap(),
            "lost-input" => chunks.delete(&key).await.unwrap(),
            "internal-error" => harness.script([Next::Panic, Next::Panic]),
            _ => {}
        }
        let job = harness.run(&id).await.unwrap();
        let expected = Counts { processed: 1, failed: 2, ..Counts::default() };
        assert_eq!((job.status, job.counts), (JobStatus::Failed, expected), "{code}");
        let dead_letters = harness.stores.queue.dead_letters(SHOP).await.unwrap();
        assert_eq!(
            dead_letters
                .iter()
                .map(|dead_letter| (dead_letter.code.as_str(), dead_letter.chunk.seq))
                .collect::<Vec<_>>(),
            [(code, 0)]
        );
        let context = &dead_letters[0].context;
        let (attempts, ids): (u32, &[&str]) = match code {
            "plugin-failure" => (1, &["1", "2"]),
            "corrupt-chunk" => (1, &[]),
            "lost-input" => (3, &[]),
            _ => (2, &["1", "2"]),
        };
        assert_eq!(
            (context.attempts, context.sample_ids.as_slice()),
            (attempts, &*ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>()),
            "{code}"
        );
        for (error, attempt) in [(&context.first_error, 1), (&context.last_error, attempts)] {
            let error = error.as_ref().unwrap();
            assert_eq!((error.code.as_str(), error.attempt), (code, attempt));
        }
        assert_eq!(
            context.plugin_digest,
            Some(harness.stores.jobs.get(&id).await.unwrap().unwrap().job.plugin.digest)
        );
        assert_eq!(job.samples[0].code, code);
        assert_eq!(harness.stores.queue.depth(SHOP).await.unwrap(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_crashes_its_workers_is_quarantined() {
    let harness = Harness::new();
    let id = harness.publish("job", &[(ADD, TWO)], false).await;
    for attempt in 1..=20 {
        // Each claim's worker crashes, and its lease expires.
        assert_eq!(harness.claim(&id, Duration::from_secs(1)).await.attempts, attempt);
        harness.clock.sleep(Duration::from_secs(2)).await;
    }
    let job = harness.run(&id).await.unwrap();
    assert_eq!((job.status, job.counts), (JobStatus::Failed, Counts { failed: 2, ..Counts::default() }));
    assert_eq!(job.samples[0].code, "too-many-attempts");
    assert_eq!(harness.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_names_the_server_of_its_own_index_alone() {
    for server in [None, Some("http://marqo:8882".to_owned())] {
        let harness = Harness::new();
        harness.index.state().server = server.clone();
        let id = harness.publish("job", &[(ADD, TWO)], false).await;
        // The settings for an index of this name are for another target, so the dead letter must not name their server.
        let name = harness.stores.jobs.get(&id).await.unwrap().unwrap().job.index_name;
        let settings = Map::from_iter([("endpoint".to_owned(), "http://elsewhere:8882".into())]);
        harness.stores.settings.put(&name, &IndexDocument(settings)).await.unwrap();
        harness.script([Next::Panic, Next::Panic]);
        harness.run(&id).await.unwrap();
        let dead_letters = harness.stores.queue.dead_letters(SHOP).await.unwrap();
        assert_eq!(dead_letters[0].context.endpoint, server);
    }
}
