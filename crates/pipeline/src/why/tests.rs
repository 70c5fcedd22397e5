//! Where a product may be, on storage in memory, when chunks cannot be read.

use super::{Answer, UnreadableChunks, why};
use host_core::{
    clock::SharedClock,
    index::Index,
    model::{ChunkRef, Job, JobId, Operation},
    storage::{LedgerScope, QuarantineReason, Storage, Stores},
};
use host_testing::{
    VirtualClock,
    build::{self, MINUTE},
    fakes::FakeIndex,
    storage::Memory,
};
use std::sync::Arc;

const SHOP: &str = "shop";
const TWO: &str = "{\"_id\":\"1\",\"_mq_product\":\"gid/1\"}\n{\"_id\":\"2\",\"_mq_product\":\"gid/2\"}\n";

struct World {
    stores: Stores,
    clock: SharedClock,
}

impl World {
    fn new() -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        Self { stores: Memory::new(clock.clone()).stores(), clock }
    }

    /// A job of an index, of one chunk with two products.
    async fn publish(&self, index_name: &str) -> Job {
        let target = FakeIndex::default().id();
        let job = Job { index_name: index_name.to_owned(), target, ..build::job(&*self.clock, SHOP) };
        build::publish(&self.stores, &job, &[(0, Operation::AddDocuments, TWO)]).await;
        job
    }

    /// Makes a dead letter of the next message.
    async fn dead_letter(&self) {
        let delivery = self.stores.queue.receive(SHOP, 1, MINUTE).await.unwrap().remove(0);
        let reason = QuarantineReason::new("corrupt-chunk", "It differs.");
        assert!(self.stores.queue.dead_letter(&delivery.receipt, &reason).await.unwrap());
        let chunk = &delivery.chunk;
        build::complete(&*self.stores.jobs, &chunk.job_id, chunk.seq, &build::processed(0)).await;
    }

    async fn damage(&self, job: &Job, bytes: &str) {
        let key = ChunkRef::key(&job.platform, &job.shop_id, &job.id, 0);
        self.stores.chunks.put(&key, bytes.as_bytes()).await.unwrap();
    }

    async fn why(&self, product: &str) -> Answer {
        let scope = LedgerScope {
            shop_id: SHOP.to_owned(),
            target: FakeIndex::default().id(),
            index_name: "products".to_owned(),
        };
        why(&self.stores, &scope, product).await.unwrap()
    }
}

fn unreadable(job: &JobId, dead_letters: u64, waiting: u64) -> Vec<UnreadableChunks> {
    vec![UnreadableChunks { job_id: job.clone(), dead_letters, waiting }]
}

#[tokio::test(start_paused = true)]
async fn a_product_may_be_in_a_dead_chunk_that_cannot_be_read() {
    let world = World::new();
    let job = world.publish("products").await;
    world.dead_letter().await;
    let (one, two) = TWO.split_once('\n').unwrap();
    let damaged = [
        format!("{one}\n{}\n", two.replace('{', "")),
        format!("{one}\n"),
        format!("{one}\n\u{fffd}"),
        String::new(),
    ];
    for bytes in damaged {
        world.damage(&job, &bytes).await;
        let answer = world.why("gid/2").await;
        assert!(answer.why.is_none(), "{bytes:?}");
        assert_eq!(answer.unreadable, unreadable(&job.id, 1, 0), "{bytes:?}");
    }
    // What can be read says whose it is.
    world.damage(&job, &format!("{one}\n")).await;
    let answer = world.why("gid/1").await;
    assert_eq!((answer.why.unwrap().dead_letters.len(), answer.unreadable), (1, vec![]));

    let key = ChunkRef::key(&job.platform, &job.shop_id, &job.id, 0);
    world.stores.chunks.delete(&key).await.unwrap();
    assert_eq!(world.why("gid/1").await.unreadable, unreadable(&job.id, 1, 0), "it is gone");
}

#[tokio::test(start_paused = true)]
async fn all_that_can_be_read_raises_no_doubt() {
    let world = World::new();
    let job = world.publish("products").await;
    world.dead_letter().await;
    for bytes in [TWO.to_owned(), TWO.to_owned() + "\n"] {
        world.damage(&job, &bytes).await;
        let answer = world.why("gid/3").await;
        assert!(answer.why.is_none() && answer.unreadable.is_empty(), "{bytes:?}");
    }
}

/// It is not known yet that it cannot be read.
#[tokio::test(start_paused = true)]
async fn a_waiting_chunk_that_is_damaged_is_no_error() {
    let world = World::new();
    let job = world.publish("products").await;
    world.damage(&job, "spoiled").await;
    assert_eq!(world.why("gid/1").await.unreadable, unreadable(&job.id, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_unreadable_in_another_index_is_not_told() {
    let world = World::new();
    let job = world.publish("other").await;
    world.dead_letter().await;
    world.damage(&job, "spoiled").await;
    assert_eq!(world.why("gid/1").await.unreadable, []);
}
