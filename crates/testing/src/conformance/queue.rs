//! Checks of [`host_core::storage::Queue`]: a queue per shop that behaves as SQS FIFO.
//!
//! The messages of a group, here a lane of a shop, are delivered in order, and one at a time. A receipt names one
//! delivery. A dead letter is a message that was set aside, because no worker could handle it.

use super::Backend;
use crate::build::{MINUTE, chunk, complete, processed, seal};
use futures::future::join_all;
use host_core::{
    model::{Digest, JobId},
    storage::{
        AttemptError, ChunkOutcome, Delivery, FailureContext, LeasedDeadLetter, QuarantineReason, Queue,
        Receipt, ShopBacklog,
    },
};
use std::{collections::HashSet, time::Duration};

/// Receives the only message that is visible.
async fn one(queue: &dyn Queue, shop: &str) -> Delivery {
    let mut deliveries = queue.receive(shop, 1, MINUTE).await.unwrap();
    assert_eq!(deliveries.len(), 1);
    deliveries.remove(0)
}

/// Asserts that no message is visible.
async fn nothing(queue: &dyn Queue, shop: &str) {
    let deliveries = queue.receive(shop, 10, MINUTE).await.unwrap();
    assert!(deliveries.is_empty(), "{deliveries:?}");
}

/// Sends the messages of so many chunks of a new job, all in one lane.
async fn send(backend: &Backend, shop: &str, chunks: u32) -> JobId {
    let job = backend.job(shop);
    for seq in 0..chunks {
        backend.stores.queue.send(&job, &chunk(&job.id, seq, 0), 0).await.unwrap();
    }
    job.id
}

pub async fn a_group_is_delivered_in_order_one_at_a_time(backend: &Backend) {
    let (queue, shop) = (&*backend.stores.queue, backend.name("shop"));
    let job = send(backend, &shop, 3).await;
    for seq in 0..3 {
        let delivery = one(queue, &shop).await;
        assert_eq!(delivery.chunk, chunk(&job, seq, 0));
        assert_eq!((delivery.shop_id.as_str(), delivery.receive_count), (shop.as_str(), 1));
        assert_eq!(delivery.visible_until, backend.clock.now() + MINUTE);
        nothing(queue, &shop).await;
        assert!(queue.ack(&delivery.receipt).await.unwrap());
    }
    nothing(queue, &shop).await;
}

pub async fn groups_do_not_wait_for_each_other(backend: &Backend) {
    let (queue, shop) = (&*backend.stores.queue, backend.name("shop"));
    let job = backend.job(&shop);
    for seq in 0..6 {
        queue.send(&job, &chunk(&job.id, seq, (seq % 3) as u16), 0).await.unwrap();
    }
    let two = queue.receive(&shop, 2, MINUTE).await.unwrap();
    let rest = queue.receive(&shop, 10, MINUTE).await.unwrap();
    let seqs: Vec<u32> = two.iter().chain(&rest).map(|delivery| delivery.chunk.seq).collect();
    assert_eq!((two.len(), HashSet::from([0, 1, 2])), (2, seqs.into_iter().collect()));
    queue.ack(&rest[0].receipt).await.unwrap();
    let next = one(queue, &shop).await;
    assert_eq!((next.chunk.lane, next.chunk.seq), (rest[0].chunk.lane, rest[0].chunk.seq + 3));
}

pub async fn shops_do_not_see_each_others_messages(backend: &Backend) {
    let (queue, shop, other) = (&*backend.stores.queue, backend.name("shop"), backend.name("shop"));
    send(backend, &shop, 1).await;
    nothing(queue, &other).await;
    one(queue, &shop).await;
}

pub async fn the_same_chunk_is_sent_once(backend: &Backend) {
    let (queue, shop) = (&*backend.stores.queue, backend.name("shop"));
    let job = backend.job(&shop);
    let chunk = chunk(&job.id, 0, 0);
    let sends = join_all((0..4).map(|_| queue.send(&job, &chunk, 0))).await;
    assert!(sends.iter().all(Result::is_ok));
    assert_eq!(queue.depth(&shop).await.unwrap(), 1);
    let delivery = one(queue, &shop).await;
    queue.ack(&delivery.receipt).await.unwrap();
    queue.send(&job, &chunk, 0).await.unwrap();
    nothing(queue, &shop).await;
}

pub async fn what_is_not_acknowledged_comes_again_before_its_successors(backend: &Backend) {
    let (queue, shop) = (&*backend.stores.queue, backend.name("shop"));
    send(backend, &shop, 2).await;
    let first = one(queue, &shop).await;
    backend.clock.sleep(MINUTE - Duration::from_secs(1)).await;
    nothing(queue, &shop).await;
    backend.clock.sleep(Duration::from_secs(1)).await;
    let again = one(queue, &shop).await;
    assert_eq!((again.chunk.seq, again.receive_count), (first.chunk.seq, 2));
    assert_ne!(again.receipt, first.receipt);
}

pub async fn an_older_receipt_is_void(backend: &Backend) {
    let (queue, shop) = (&*backend.stores.queue, backend.name("shop"));
    send(backend, &shop, 1).await;
    let old = one(queue, &shop).await.receipt;
    backend.clock.sleep(MINUTE).await;
    let new = one(queue, &shop).await.receipt;
    assert!(!queue.change_visibility(&old, Duration::ZERO).await.unwrap());
    assert!(!queue.release(&old, Duration::ZERO).await.unwrap());
    assert!(!queue.ack(&old).await.unwrap());
    assert!(!queue.dead_letter(&old, &QuarantineReason::new("code", "message")).await.unwrap());
    nothing(queue, &shop).await;
    assert!(queue.dead_letters(&shop).await.unwrap().is_empty());
    assert_eq!(queue.depth(&shop).await.unwrap(), 1);
    assert!(queue.ack(&new).await.unwrap());
    for receipt in [new, Receipt("nonsense".to_owned()), Receipt("1.0".to_owned()), Receipt(String::new())] {
        assert!(!queue.ack(&receipt).await.unwrap(), "{receipt:?}");
    }
}

pub async fn a_message_can_be_kept_hidden(backend: &Backend) {
    let (queue, shop) = (&*backend.stores.queue, backend.name("shop"));
    send(backend, &shop, 1).await;
    let delivery = one(queue, &shop).await;
    backend.clock.sleep(MINUTE / 2).await;
    assert!(queue.change_visibility(&delivery.receipt, MINUTE).await.unwrap());
    backend.clock.sleep(MINUTE - Duration::from_secs(1)).await;
    nothing(queue, &shop).await;
    backend.clock.sleep(Duration::from_secs(1)).await;
    one(queue, &shop).await;
}

pub async fn a_released_message_holds_its_group_back(backend: &Backend) {
    let (queue, shop) = (&*backend.stores.queue, backend.name("shop"));
    send(backend, &shop, 2).await;
    let delivery = one(queue, &shop).await;
    assert!(queue.release(&delivery.receipt, MINUTE / 2).await.unwrap());
    nothing(queue, &shop).await;
    backend.clock.sleep(MINUTE / 2).await;
    let again = one(queue, &shop).await;
    assert_eq!((again.chunk.seq, again.receive_count), (0, 2));
    assert!(queue.release(&again.receipt, Duration::ZERO).await.unwrap());
    assert_eq!(one(queue, &shop).await.chunk.seq, 0);
}

pub async fn a_quarantined_message_is_a_dead_letter_and_its_group_goes_on(backend: &Backend) {
    let (queue, shop) = (&*backend.stores.queue, backend.name("shop"));
    let job = send(backend, &shop, 3).await;
    for seq in 0..2 {
        let delivery = one(queue, &shop).await;
        assert!(
            queue
                .dead_letter(&delivery.receipt, &QuarantineReason::new("bad-checksum", "It differs."))
                .await
                .unwrap()
        );
        assert!(
            !queue
                .dead_letter(&delivery.receipt, &QuarantineReason::new("bad-checksum", "It differs."))
                .await
                .unwrap()
        );
        let dead_letters = queue.dead_letters(&shop).await.unwrap();
        let seqs: Vec<u32> = dead_letters.iter().map(|dead_letter| dead_letter.chunk.seq).collect();
        assert_eq!(seqs, (0..=seq).collect::<Vec<_>>(), "oldest first");
        let dead_letter = &dead_letters[seq as usize];
        assert_eq!(dead_letter.chunk, chunk(&job, seq, 0));
        assert_eq!((dead_letter.shop_id.as_str(), dead_letter.receive_count), (shop.as_str(), 1));
        assert_eq!(
            (dead_letter.code.as_str(), dead_letter.message.as_str()),
            ("bad-checksum", "It differs.")
        );
        assert_eq!(dead_letter.died_at, backend.clock.now());
    }
    assert_eq!(one(queue, &shop).await.chunk.seq, 2);
    assert!(queue.dead_letters(&backend.name("shop")).await.unwrap().is_empty());
}

pub async fn depth_counts_what_is_not_acknowledged(backend: &Backend) {
    let (queue, shop) = (&*backend.stores.queue, backend.name("shop"));
    let other = backend.name("shop");
    assert_eq!(queue.depth(&shop).await.unwrap(), 0);
    send(backend, &shop, 3).await;
    send(backend, &other, 2).await;
    assert_eq!(queue.depth(&shop).await.unwrap(), 3);
    let delivery = one(queue, &shop).await;
    assert_eq!(queue.depth(&shop).await.unwrap(), 3, "in flight");
    queue.ack(&delivery.receipt).await.unwrap();
    assert_eq!(queue.depth(&shop).await.unwrap(), 2);
    assert_eq!(queue.depth(&other).await.unwrap(), 2);
}

pub async fn shops_with_messages_are_listed(backend: &Backend) {
    let (queue, mut shops) = (&*backend.stores.queue, [backend.name("shop.b"), backend.name("shop.a")]);
    for shop in &shops {
        send(backend, shop, 2).await;
    }
    shops.sort_unstable();
    let mut listed = queue.shops().await.unwrap();
    assert!(listed.is_sorted());
    listed.retain(|shop| shops.contains(shop));
    assert_eq!(listed, shops);
}

/// Whether `ready_shops` names the shop in one of so many calls, a second apart.
async fn is_ready(backend: &Backend, shop: &str, calls: u32) -> bool {
    for _ in 0..calls {
        if backend.stores.queue.ready_shops(MINUTE).await.unwrap().iter().any(|ready| ready == shop) {
            return true;
        }
        backend.clock.sleep(Duration::from_secs(1)).await;
    }
    false
}

pub async fn a_shop_is_ready_while_a_message_of_it_is_visible(backend: &Backend) {
    let (queue, jobs) = (&*backend.stores.queue, &*backend.stores.jobs);
    let (shop, idle) = (backend.name("shop"), backend.name("shop"));
    let job = jobs.create(&backend.job(&shop)).await.unwrap();
    jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
    queue.send(&job, &chunk(&job.id, 0, 0), 0).await.unwrap();
    jobs.seal(&job.id, &seal(1)).await.unwrap();
    assert!(is_ready(backend, &shop, 1).await, "sent");
    assert!(!is_ready(backend, &idle, 3).await);
    let delivery = one(queue, &shop).await;
    queue.release(&delivery.receipt, MINUTE).await.unwrap();
    backend.clock.sleep(MINUTE).await;
    assert!(is_ready(backend, &shop, 1).await, "released");
    let delivery = one(queue, &shop).await;
    backend.clock.sleep(MINUTE).await;
    assert!(is_ready(backend, &shop, 1).await, "left by a crashed worker");
    drop(delivery);

    // The job ends as failed, and its chunk is redriven: sent again from the dead letters.
    let reason = QuarantineReason::new("code", "message");
    let failed = ChunkOutcome { quarantined: Some(reason.clone()), ..processed(0) };
    let delivery = one(queue, &shop).await;
    complete(jobs, &job.id, 0, &failed).await;
    assert!(queue.dead_letter(&delivery.receipt, &reason).await.unwrap());
    assert!(!is_ready(backend, &shop, 1).await, "a job that has ended");
    assert_eq!(jobs.redrive(&job.id, 0, 0).await.unwrap(), Some(1));
    queue.send(&job, &chunk(&job.id, 0, 0), 1).await.unwrap();
    assert!(is_ready(backend, &shop, 1).await, "redriven");
    let delivery = one(queue, &shop).await;
    complete(jobs, &job.id, 0, &processed(10)).await;
    assert!(queue.ack(&delivery.receipt).await.unwrap());
    assert!(!is_ready(backend, &shop, 1).await, "done");
}

/// Chunks of a job that was superseded or cancelled are still written.
pub async fn a_shop_whose_job_ended_early_is_ready_for_its_chunks(backend: &Backend) {
    let (queue, jobs) = (&*backend.stores.queue, &*backend.stores.jobs);
    let shop = backend.name("shop");
    let job = jobs.create(&backend.job(&shop)).await.unwrap();
    jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
    queue.send(&job, &chunk(&job.id, 0, 0), 0).await.unwrap();
    let next = jobs.create(&backend.job(&shop)).await.unwrap();
    assert_eq!(jobs.supersede(&next).await.unwrap(), [job.id]);
    jobs.seal(&next.id, &seal(0)).await.unwrap();
    assert!(is_ready(backend, &shop, 1).await);
}

/// Such a message is one that a program other than host sent.
pub async fn a_message_without_an_open_job_is_found_too(backend: &Backend) {
    let shop = backend.name("shop");
    send(backend, &shop, 1).await;
    assert!(is_ready(backend, &shop, 120).await);
}

pub async fn a_long_poll_gives_a_message_that_is_there(backend: &Backend) {
    let (queue, shop) = (&*backend.stores.queue, backend.name("shop"));
    assert!(queue.long_poll(&shop, MINUTE, Duration::ZERO).await.unwrap().is_none());
    let job = send(backend, &shop, 2).await;
    let first = queue.long_poll(&shop, MINUTE, Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(first.chunk, chunk(&job, 0, 0));
    assert!(queue.long_poll(&shop, MINUTE, Duration::ZERO).await.unwrap().is_none(), "its group is busy");
    assert!(queue.ack(&first.receipt).await.unwrap());
}

pub async fn of_many_receivers_one_gets_a_message(backend: &Backend) {
    let (queue, shop) = (&*backend.stores.queue, backend.name("shop"));
    let job = backend.job(&shop);
    for seq in 0..20 {
        queue.send(&job, &chunk(&job.id, seq, seq as u16), 0).await.unwrap();
    }
    let received = join_all((0..10).map(|_| queue.receive(&shop, 3, MINUTE))).await;
    let seqs: Vec<u32> =
        received.into_iter().flat_map(Result::unwrap).map(|delivery| delivery.chunk.seq).collect();
    assert_eq!((seqs.len(), seqs.iter().collect::<HashSet<_>>().len()), (20, 20));
}

pub async fn a_redriven_chunk_is_sent_anew(backend: &Backend) {
    let (queue, shop) = (&*backend.stores.queue, backend.name("shop"));
    let (job, mut received) = (backend.job(&shop), 0);
    for redrive_count in [0, 0, 1, 1, 2] {
        queue.send(&job, &chunk(&job.id, 0, 0), redrive_count).await.unwrap();
        for delivery in queue.receive(&shop, 10, MINUTE).await.unwrap() {
            received += 1;
            queue.ack(&delivery.receipt).await.unwrap();
        }
    }
    assert_eq!(received, 3);
}

pub async fn a_dead_letter_says_all_that_is_known(backend: &Backend) {
    let (queue, shop) = (&*backend.stores.queue, backend.name("shop"));
    send(backend, &shop, 1).await;
    let error = AttemptError {
        code: "index-unavailable".to_owned(),
        message: "the index failed".to_owned(),
        causes: vec!["a broken connection".to_owned(), "reset".to_owned()],
        attempt: 1,
        at: backend.clock.now(),
        max_attempts: None,
        retry_at: None,
    };
    let context = FailureContext {
        attempts: 4,
        first_error: Some(error.clone()),
        last_error: Some(AttemptError { attempt: 4, ..error }),
        endpoint: Some("http://search.example".to_owned()),
        plugin_digest: Some(Digest::of(b"plug-in")),
        host_version: "1.2.3".to_owned(),
        sample_ids: vec!["a".to_owned(), "b".to_owned()],
        report_key: Some("report_0000.ndjson".to_owned()),
        backtrace: Some("at lib.rs:1".to_owned()),
    };
    let reason = QuarantineReason {
        redrive_count: 2,
        context,
        ..QuarantineReason::new("bad-checksum", "It differs.")
    };
    assert!(queue.dead_letter(&one(queue, &shop).await.receipt, &reason).await.unwrap());
    let [dead_letter] = &queue.dead_letters(&shop).await.unwrap()[..] else { panic!("one dead letter") };
    assert_eq!((dead_letter.redrive_count, &dead_letter.context), (2, &reason.context));
}

pub async fn dead_letters_are_leased_released_and_removed(backend: &Backend) {
    let (queue, shop) = (&*backend.stores.queue, backend.name("shop"));
    send(backend, &shop, 12).await;
    for _ in 0..12 {
        let receipt = one(queue, &shop).await.receipt;
        assert!(queue.dead_letter(&receipt, &QuarantineReason::new("code", "message")).await.unwrap());
    }
    let receive_all = async || {
        let mut held: Vec<LeasedDeadLetter> = Vec::new();
        loop {
            let page = queue.receive_dead_letters(&shop, MINUTE).await.unwrap();
            if page.is_empty() {
                held.sort_by_key(|held| held.dead_letter.chunk.seq);
                return held;
            }
            held.extend(page);
        }
    };
    let held = receive_all().await;
    let seqs: Vec<u32> = held.iter().map(|held| held.dead_letter.chunk.seq).collect();
    assert_eq!(seqs, (0..12).collect::<Vec<_>>());
    for LeasedDeadLetter { dead_letter, receipt } in &held {
        assert!(queue.change_visibility(receipt, MINUTE).await.unwrap());
        match dead_letter.chunk.seq {
            0..10 => assert!(queue.ack(receipt).await.unwrap()),
            _ => assert!(queue.release(receipt, Duration::ZERO).await.unwrap()),
        }
    }
    let left = queue.dead_letters(&shop).await.unwrap();
    assert_eq!(left.iter().map(|dead_letter| dead_letter.chunk.seq).collect::<Vec<_>>(), [10, 11]);
    assert_eq!(receive_all().await.len(), 2);
    assert!(!queue.ack(&held[0].receipt).await.unwrap(), "it is gone");
}

pub async fn the_backlog_counts_messages_and_dead_letters_and_takes_none(backend: &Backend) {
    let queue = &*backend.stores.queue;
    let [shop, other, empty] = ["shop.b", "shop.a", "shop.c"].map(|name| backend.name(name));
    let backlog_of = async |shops: &[&String], others: bool| -> Vec<ShopBacklog> {
        let ids: Vec<String> = shops.iter().map(|&shop| shop.clone()).collect();
        let backlog = queue.backlog(&ids, others).await.unwrap();
        assert_eq!(backlog.shops_left_out, 0);
        assert!(backlog.shops.is_sorted_by(|one, other| one.shop_id < other.shop_id), "{backlog:?}");
        backlog.shops
    };
    assert_eq!(backlog_of(&[&empty, &shop], false).await, []);
    send(backend, &other, 2).await;
    send(backend, &empty, 1).await;
    queue.ack(&one(queue, &empty).await.receipt).await.unwrap();
    send(backend, &shop, 3).await;
    let reason = QuarantineReason::new("bad-checksum", "It differs.");
    assert!(queue.dead_letter(&one(queue, &shop).await.receipt, &reason).await.unwrap());
    one(queue, &shop).await;
    let expected =
        |shop: &String, messages, dead_letters| ShopBacklog { shop_id: shop.clone(), messages, dead_letters };
    let of_shop = expected(&shop, 2, 1);
    assert_eq!(backlog_of(&[&empty, &shop], false).await, std::slice::from_ref(&of_shop));
    for named in [&[][..], &[&shop], &[&other, &empty]] {
        let mut all = backlog_of(named, true).await;
        all.retain(|found| [&shop, &other, &empty].contains(&&found.shop_id));
        assert_eq!(all, [expected(&other, 2, 0), of_shop.clone()], "{named:?}");
    }
    assert_eq!(queue.dead_letters(&shop).await.unwrap().len(), 1, "it is still visible");
    assert_eq!(queue.receive(&other, 1, MINUTE).await.unwrap().len(), 1);
}
