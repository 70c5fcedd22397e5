//! What `host status` costs on AWS: it reads the open jobs, the circuit breakers and the attributes of queues, whatever
//! the number of ended jobs and of shops.

use super::{
    costs::Figures,
    shops::{Harness, shop},
    table::Model,
};
use host_core::{
    clock::SystemClock,
    model::{Job, JobId},
    storage::{Breaker, BreakerScope, CLEARED_RETENTION, Cleared, ClearedBy, QuarantineReason},
};
use host_pipeline::status::{Status, status};
use host_storage_aws::{Table, breakers_on};
use host_testing::build::{self, MINUTE, chunk, complete, processed, seal};
use std::sync::Arc;

/// Requests for a shop that is named: two for the URLs of its queues, and two for their attributes.
const OF_A_SHOP: u64 = 4;
/// Requests for any other shop: the URLs of its queues come with a list.
const OF_ANOTHER_SHOP: u64 = 2;
/// Most other shops that are looked at.
const MAX_OTHERS: u64 = 500;

/// A job with so many chunks, whose messages wait.
async fn publish(harness: &Harness, shop_id: &str, chunks: u32) -> Job {
    let job = harness.stores.jobs.create(&build::job(&*harness.clock, shop_id)).await.unwrap();
    for seq in 0..chunks {
        harness.stores.jobs.add_chunk(&chunk(&job.id, seq, 0)).await.unwrap();
        harness.stores.queue.send(&job, &chunk(&job.id, seq, 0), 0).await.unwrap();
    }
    harness.stores.jobs.seal(&job.id, &seal(chunks)).await.unwrap();
    job
}

/// A job that was published, worked and has ended.
async fn ended(harness: &Harness, shop_id: &str) {
    let job = publish(harness, shop_id, 1).await;
    let delivery = harness.stores.queue.receive(shop_id, 1, MINUTE).await.unwrap().remove(0);
    complete(&*harness.stores.jobs, &job.id, 0, &processed(10)).await;
    harness.stores.queue.ack(&delivery.receipt).await.unwrap();
}

/// The status, and what it cost.
async fn measured(harness: &Harness, shop_id: Option<&str>) -> (Status, Figures) {
    let before = harness.spent();
    let found = status(&harness.stores, shop_id, None).await.unwrap();
    (found, harness.spent().minus(before))
}

#[tokio::test(start_paused = true)]
async fn a_status_costs_the_same_however_many_jobs_have_ended() {
    let cost = async |jobs: u32| {
        let harness = Harness::new(3).await;
        // This call makes the index of open jobs, as each ingest and worker does.
        harness.stores.queue.ready_shops(MINUTE).await.unwrap();
        for _ in 0..jobs {
            ended(&harness, &shop(0)).await;
        }
        publish(&harness, &shop(0), 3).await;
        let (found, spent) = measured(&harness, None).await;
        assert_eq!((found.shops.len(), found.shops[0].messages), (1, 3));
        let (found, of_shop) = measured(&harness, Some(&shop(0))).await;
        assert_eq!(found.shops[0].indexes[0].jobs.len(), 1);
        (spent, of_shop)
    };
    // A status reads the 20 newest jobs of the shop to tell when it was synced last.
    let (few, many) = (cost(25).await, cost(50).await);
    assert_eq!(few, many);
    let (all, of_shop) = many;
    for Figures { write_units, puts, gets, .. } in [all, of_shop] {
        assert_eq!((write_units, puts, gets), (0, 0, 0), "it reads no objects and writes nothing");
    }
    assert!(all.read_units <= 120 && of_shop.read_units <= 120, "{all:?}, {of_shop:?}");
    // All shops: one named shop, a list, and two other shops.
    assert!(
        of_shop.sqs <= OF_A_SHOP && all.sqs <= OF_A_SHOP + 1 + 2 * OF_ANOTHER_SHOP,
        "{all:?}, {of_shop:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn of_ten_thousand_shops_a_status_asks_a_bounded_number_of_queues() {
    const SHOPS: u32 = 10_000;
    let harness = Harness::new(SHOPS).await;
    let found = status(&harness.stores, None, None).await.unwrap();
    assert_eq!((found.shops.len(), found.shops_left_out), (0, u64::from(SHOPS) - MAX_OTHERS));
    assert!(!found.is_quiet(), "dead letters may be in the queues that were not looked at");
    // Shops that are not among the first in the list of queues.
    let (stopped, open) = (shop(9_000), shop(9_001));
    let job = publish(&harness, &stopped, 2).await;
    publish(&harness, &open, 1).await;
    let scope = BreakerScope { shop_id: stopped.clone(), index_name: job.index_name.clone() };
    let failure = ("index-refused", "403".to_owned());
    let breaker = Breaker::opened(scope, &chunk(&job.id, 0, 0), failure, harness.clock.now());
    assert!(harness.stores.breakers.replace(None, &breaker).await.unwrap());
    // The job of this shop has ended: only the queue tells that it has a dead letter.
    let dead = shop(0);
    let of_dead = publish(&harness, &dead, 1).await;
    let delivery = harness.stores.queue.receive(&dead, 1, MINUTE).await.unwrap().remove(0);
    let reason = QuarantineReason::new("corrupt-chunk", "It differs.");
    assert!(harness.stores.queue.dead_letter(&delivery.receipt, &reason).await.unwrap());
    complete(&*harness.stores.jobs, &of_dead.id, 0, &processed(10)).await;

    let (found, spent) = measured(&harness, None).await;
    let seen: Vec<&str> = found.shops.iter().map(|shop| shop.shop_id.as_str()).collect();
    assert_eq!(seen, [&stopped, &dead, &open]);
    assert_eq!(found.shops_left_out, u64::from(SHOPS) - 2 - MAX_OTHERS);
    // A page of the list has 1,000 of the queues, of which each shop has two.
    let most = 2 * OF_A_SHOP + u64::from(SHOPS) * 2 / 1_000 + MAX_OTHERS * OF_ANOTHER_SHOP;
    assert!(spent.sqs <= most && spent.read_units <= 30 && spent.write_units == 0, "{spent:?}");
}

/// A worker of an older version lists the items that begin with `SHOP#`, and would take a cleared breaker among them
/// for an open one.
#[tokio::test]
async fn a_cleared_breaker_is_not_among_the_open_ones_and_expires() {
    let table = Arc::new(Model::default());
    let breakers = breakers_on(table.clone());
    let at = host_core::clock::Clock::now(&SystemClock);
    let scope = BreakerScope { shop_id: "shop".to_owned(), index_name: "products".to_owned() };
    let first = chunk(&JobId::new("job").unwrap(), 0, 0);
    let breaker = Breaker::opened(scope, &first, ("index-refused", "403".to_owned()), at);
    assert!(breakers.replace(None, &breaker).await.unwrap());
    let cleared = Cleared { by: ClearedBy::Resume, at };
    assert!(breakers.close(&breaker.scope, cleared).await.unwrap().is_some());
    assert!(table.query("BREAKERS", "SHOP#", false, None).await.unwrap().is_empty());
    let [item] = &table.query("BREAKERS", "", false, None).await.unwrap()[..] else { panic!() };
    assert_eq!(item.text("sk"), Some("CLEARED#SHOP#shop#INDEX#products"));
    assert_eq!(item.number("expires_at"), Some((at + CLEARED_RETENTION).as_second()));
}
