//! What is to be seen on storage in memory, and in which order.

use super::{EndedSync, Status, status};
use host_core::{
    clock::SharedClock,
    model::{Counts, Job, JobStatus},
    storage::{Breaker, BreakerScope, ChunkOutcome, Cleared, ClearedBy, QuarantineReason, Storage, Stores},
};
use host_testing::{
    VirtualClock,
    build::{self, MINUTE, chunk, complete, processed, seal},
    storage::Memory,
};
use std::{sync::Arc, time::Duration};

struct World {
    stores: Stores,
    clock: SharedClock,
}

impl World {
    fn new() -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        Self { stores: Memory::new(clock.clone()).stores(), clock }
    }

    /// A sealed job with so many chunks and their messages, created a minute after the last one.
    async fn publish(&self, shop: &str, index_name: &str, chunks: u32) -> Job {
        self.clock.sleep(MINUTE).await;
        let job = Job { index_name: index_name.to_owned(), ..build::job(&*self.clock, shop) };
        let job = self.stores.jobs.create(&job).await.unwrap();
        for seq in 0..chunks {
            let chunk = chunk(&job.id, seq, 0);
            self.stores.jobs.add_chunk(&chunk).await.unwrap();
            self.stores.queue.send(&job, &chunk, 0).await.unwrap();
        }
        self.stores.jobs.seal(&job.id, &seal(chunks)).await.unwrap();
        job
    }

    /// Completes a job's first chunk, whose message becomes a dead letter.
    async fn dead_letter(&self, job: &Job) {
        let delivery = self.stores.queue.receive(&job.shop_id, 1, MINUTE).await.unwrap().remove(0);
        let reason = QuarantineReason::new("corrupt-chunk", "It differs.");
        assert!(self.stores.queue.dead_letter(&delivery.receipt, &reason).await.unwrap());
        complete(&*self.stores.jobs, &job.id, 0, &processed(10)).await;
    }

    async fn stop(&self, job: &Job) -> Breaker {
        self.clock.sleep(MINUTE).await;
        let scope = BreakerScope { shop_id: job.shop_id.clone(), index_name: job.index_name.clone() };
        let failure = ("index-refused", "403".to_owned());
        let breaker = Breaker::opened(scope, &chunk(&job.id, 0, 0), failure, self.clock.now());
        assert!(self.stores.breakers.replace(None, &breaker).await.unwrap());
        breaker
    }

    async fn status(&self) -> Status {
        status(&self.stores, None, None).await.unwrap()
    }
}

fn names(status: &Status) -> Vec<(&str, Vec<&str>)> {
    status
        .shops
        .iter()
        .map(|shop| {
            (shop.shop_id.as_str(), shop.indexes.iter().map(|index| index.index_name.as_str()).collect())
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_shop_without_open_work_is_not_seen() {
    let world = World::new();
    assert_eq!(world.status().await, Status::default());
    let job = world.publish("a", "products", 1).await;
    let delivery = world.stores.queue.receive("a", 1, MINUTE).await.unwrap().remove(0);
    complete(&*world.stores.jobs, &job.id, 0, &processed(10)).await;
    world.stores.queue.ack(&delivery.receipt).await.unwrap();
    assert_eq!(world.status().await, Status::default());
    assert!(world.status().await.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn the_worst_comes_first() {
    let world = World::new();
    let open = world.publish("open", "products", 2).await;
    world.publish("open-later", "products", 1).await;
    world.dead_letter(&world.publish("dead", "products", 1).await).await;
    let later = world.publish("stopped-later", "products", 1).await;
    let first = world.publish("stopped", "z", 1).await;
    world.publish("stopped", "a", 1).await;
    assert!(world.status().await.needs_action(), "there is a dead letter");
    let breaker = world.stop(&first).await;
    world.stop(&later).await;

    let found = world.status().await;
    assert_eq!(
        names(&found),
        [
            ("stopped", vec!["z", "a"]),
            ("stopped-later", vec!["products"]),
            ("dead", vec![]),
            ("open", vec!["products"]),
            ("open-later", vec!["products"]),
        ]
    );
    let [stopped, _, dead, waits, _] = &found.shops[..] else { panic!("{found:?}") };
    assert_eq!((stopped.indexes[0].stopped.as_ref(), stopped.messages), (Some(&breaker), 2));
    assert_eq!((dead.messages, dead.dead_letters), (0, 1));
    assert_eq!((waits.indexes[0].jobs.len(), waits.messages), (1, 2));
    assert_eq!(waits.indexes[0].waiting_since(), Some(open.created_at));
    assert!(found.needs_action() && !found.is_quiet());

    // One shop, and one of its indexes.
    let of_index = status(&world.stores, Some("stopped"), Some("a")).await.unwrap();
    assert_eq!(names(&of_index), [("stopped", vec!["a"])]);
    assert!(!of_index.needs_action());
}

#[tokio::test(start_paused = true)]
async fn what_was_cleared_is_told_of_one_shop_and_needs_no_action() {
    let world = World::new();
    let job = world.publish("a", "products", 1).await;
    let breaker = world.stop(&job).await;
    let cleared = Cleared { by: ClearedBy::Resume, at: world.clock.now() };
    world.stores.breakers.close(&breaker.scope, cleared).await.unwrap();
    let found = status(&world.stores, Some("a"), None).await.unwrap();
    assert_eq!(found.shops[0].indexes[0].cleared, Some(breaker.cleared(cleared)));
    assert!(!found.needs_action());
    assert_eq!(world.status().await.shops[0].indexes[0].cleared, None);
}

/// As after `host jobs cancel`, or once all chunks of a job have become dead letters that were discarded.
#[tokio::test(start_paused = true)]
async fn a_stop_that_holds_nothing_up_needs_no_action() {
    let world = World::new();
    let job = world.publish("a", "products", 1).await;
    let breaker = world.stop(&job).await;
    world.publish("b", "products", 1).await;
    let held_up = world.status().await;
    assert!(held_up.needs_action() && held_up.shops[0].indexes[0].is_held_up);
    complete(&*world.stores.jobs, &job.id, 0, &processed(10)).await;
    let found = world.status().await;
    assert!(!found.needs_action() && !found.is_quiet());
    assert_eq!(names(&found), [("b", vec!["products"]), ("a", vec!["products"])], "work that waits is worse");
    let index = &found.shops[1].indexes[0];
    assert_eq!((index.stopped.as_ref(), index.is_held_up), (Some(&breaker), false));
}

#[tokio::test(start_paused = true)]
async fn the_last_syncs_of_a_shop_are_told_also_where_nothing_is_open() {
    let world = World::new();
    let end = async |index_name: &str, counts: Counts| {
        let job = world.publish("a", index_name, 1).await;
        world.clock.sleep(MINUTE).await;
        let delivery = world.stores.queue.receive("a", 1, MINUTE).await.unwrap().remove(0);
        complete(&*world.stores.jobs, &job.id, 0, &ChunkOutcome { counts, ..processed(0) }).await;
        assert!(world.stores.queue.ack(&delivery.receipt).await.unwrap());
        let job = world.stores.jobs.get(&job.id).await.unwrap().unwrap();
        Some(EndedSync { job_id: job.job.id, status: job.status, ended_at: job.ended_at.unwrap() })
    };
    end("products", Counts { processed: 10, ..Counts::default() }).await;
    let good = end("products", Counts { processed: 9, conflict: 1, ..Counts::default() }).await;
    let failed = end("products", Counts { processed: 9, failed: 1, ..Counts::default() }).await;
    let never = end("other", Counts { failed: 10, ..Counts::default() }).await;
    let of_shop = status(&world.stores, Some("a"), None).await.unwrap();
    assert!(of_shop.is_quiet() && !of_shop.needs_action());
    let syncs = |found: &Status, name: &str| {
        let index = found.shops[0].indexes.iter().find(|index| index.index_name == name).unwrap();
        (index.last_sync.clone(), index.last_success.clone())
    };
    assert_eq!(syncs(&of_shop, "products"), (failed.clone(), good.clone()));
    assert_eq!(failed.as_ref().unwrap().status, JobStatus::Failed);
    assert_eq!(syncs(&of_shop, "other"), (never, None));
    assert_eq!(world.status().await, Status::default(), "of all shops, only what is to be seen");

    // An open job says nothing of when the last one ended.
    world.publish("a", "products", 1).await;
    assert_eq!(syncs(&world.status().await, "products"), (failed, good));
}

#[tokio::test(start_paused = true)]
async fn a_status_changes_nothing() {
    let world = World::new();
    let job = world.publish("a", "products", 2).await;
    world.dead_letter(&job).await;
    world.stop(&job).await;
    let before = world.status().await;
    assert_eq!(world.status().await, before);
    assert_eq!(world.stores.queue.dead_letters("a").await.unwrap().len(), 1, "it is visible");
    assert_eq!(world.stores.queue.receive("a", 9, Duration::from_secs(1)).await.unwrap().len(), 1);
}
