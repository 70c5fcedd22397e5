//! Checks of `remove_shop` of each store, which removes all data of a shop; with `true` (a dry run) it only counts.

use super::Backend;
use crate::build::{MINUTE, chunk, complete, processed, seal, store_records};
use host_core::{
    model::{
        ChunkRef, Digest, DocumentId, EntryClass, Job, LastRefusal, LedgerRecord, ProductId, ReportEntry,
    },
    storage::{
        Claim, DocumentsLeft, LedgerScope, LeftReason, QuarantineReason, ShopCounts, ShopIndex, ShopRemoval,
    },
};

/// A job of a shop with one chunk, which is sent and completed.
async fn ended_job(backend: &Backend, shop_id: &str) -> (Job, ChunkRef) {
    let (jobs, job) = (&backend.stores.jobs, backend.job(shop_id));
    let sent = chunk(&job.id, 0, 0);
    jobs.create(&job).await.unwrap();
    jobs.add_chunk(&sent).await.unwrap();
    backend.stores.queue.send(&job, &sent, 0).await.unwrap();
    jobs.seal(&job.id, &seal(1)).await.unwrap();
    complete(jobs.as_ref(), &job.id, 0, &processed(10)).await;
    (job, sent)
}

pub async fn objects_of_a_shop_are_removed_on_all_platforms(backend: &Backend) {
    let chunks = &backend.stores.chunks;
    let (shop, other) = (backend.name("shop"), backend.name("shop"));
    // A shop whose name begins with the first one's.
    let longer = format!("{shop}.more");
    let key = |platform: &str, shop: &str, name: &str| format!("{platform}/{shop}/bulk/job/{name}");
    let own = [
        key("shopify", &shop, "chunk_0000.jsonl"),
        key("shopify", &shop, "report_0000.ndjson"),
        key("bigcommerce", &shop, "chunk_0000.jsonl"),
    ];
    let others = [key("shopify", &other, "a"), key("shopify", &longer, "a"), key(&shop, &other, "a")];
    for key in own.iter().chain(&others) {
        chunks.put(key, b"{}").await.unwrap();
    }
    assert_eq!(chunks.remove_shop(&shop, true).await.unwrap(), 3);
    assert!(chunks.get(&own[0], None).await.unwrap().is_some(), "counting removes nothing");
    assert_eq!(chunks.remove_shop(&shop, false).await.unwrap(), 3);
    for key in &own {
        assert_eq!(chunks.get(key, None).await.unwrap(), None, "{key}");
    }
    for key in &others {
        assert!(chunks.get(key, None).await.unwrap().is_some(), "{key}");
    }
    assert_eq!(chunks.remove_shop(&shop, false).await.unwrap(), 0);
    // The shop may return.
    chunks.put_if_absent(&own[0], b"{}").await.unwrap();
    assert!(chunks.get(&own[0], None).await.unwrap().is_some());
}

pub async fn messages_and_dead_letters_of_a_shop_are_removed(backend: &Backend) {
    let queue = &backend.stores.queue;
    let (shop, other) = (backend.name("shop"), backend.name("shop"));
    for shop_id in [&shop, &other] {
        let job = backend.job(shop_id);
        for lane in 0..3 {
            queue.send(&job, &chunk(&job.id, lane, lane as u16), 0).await.unwrap();
        }
        let delivery = queue.receive(shop_id, 1, MINUTE).await.unwrap().remove(0);
        queue.dead_letter(&delivery.receipt, &QuarantineReason::new("code", "message")).await.unwrap();
    }
    assert_eq!(queue.remove_shop(&shop, true).await.unwrap(), 3);
    let in_flight = queue.receive(&shop, 1, MINUTE).await.unwrap().remove(0);
    assert_eq!(queue.remove_shop(&shop, false).await.unwrap(), 3);
    assert!(queue.receive(&shop, 9, MINUTE).await.unwrap().is_empty());
    assert!(queue.dead_letters(&shop).await.unwrap().is_empty());
    assert!(!queue.shops().await.unwrap().contains(&shop));
    assert!(!queue.ack(&in_flight.receipt).await.unwrap(), "the message is gone");
    assert_eq!(queue.remove_shop(&shop, false).await.unwrap(), 0);
    assert_eq!(queue.depth(&other).await.unwrap(), 2);
    assert_eq!(queue.dead_letters(&other).await.unwrap().len(), 1);
    // The shop may return. SQS accepts a queue of the same name after a minute only.
    backend.clock.sleep(MINUTE * 2).await;
    let job = backend.job(&shop);
    queue.send(&job, &chunk(&job.id, 0, 0), 0).await.unwrap();
    assert_eq!(queue.receive(&shop, 9, MINUTE).await.unwrap().len(), 1);
}

pub async fn the_ledgers_of_a_shop_are_removed(backend: &Backend) {
    let ledger = &backend.stores.ledger;
    let (shop, other) = (backend.name("shop"), backend.name("shop"));
    let scope = |shop_id: &str, target: &str, index_name: &str| LedgerScope {
        shop_id: shop_id.to_owned(),
        target: target.into(),
        index_name: index_name.to_owned(),
    };
    let own =
        [scope(&shop, "marqo", "one"), scope(&shop, "marqo", "two"), scope(&shop, "catalog:embedded", "one")];
    let job = backend.job(&shop);
    let refusal = LastRefusal::of(&ReportEntry::new(EntryClass::Failed, "bad", "so"), &job);
    for scope in own.iter().chain([&scope(&other, "marqo", "one")]) {
        let records = (0..40).map(|number| {
            let product = ProductId::new(number.to_string()).unwrap();
            let mut record = LedgerRecord::new(product, job.id.clone(), backend.clock.now());
            record.add_document(DocumentId::new(number.to_string()).unwrap());
            record
        });
        store_records(&**ledger, scope, &records.collect::<Vec<_>>()).await;
        ledger.refuse(scope, &[(ProductId::new("refused").unwrap(), refusal.clone())]).await.unwrap();
    }
    assert_eq!(ledger.remove_shop(&shop, true).await.unwrap(), 3 * 41);
    assert!(!ledger.page(&own[0], None, 9).await.unwrap().is_empty(), "counting removes nothing");
    assert_eq!(ledger.remove_shop(&shop, false).await.unwrap(), 3 * 41);
    for scope in &own {
        assert_eq!(ledger.page(scope, None, 9).await.unwrap(), []);
    }
    assert_eq!(ledger.remove_shop(&shop, false).await.unwrap(), 0);
    assert!(!ledger.page(&scope(&other, "marqo", "one"), None, 99).await.unwrap().is_empty());
}

pub async fn the_jobs_of_a_shop_are_removed(backend: &Backend) {
    let jobs = &backend.stores.jobs;
    let (shop, other) = (backend.name("shop"), backend.name("shop"));
    let (first, sent) = ended_job(backend, &shop).await;
    let open = Job { platform: "bigcommerce".to_owned(), ..backend.job(&shop) };
    jobs.create(&open).await.unwrap();
    let (theirs, _) = ended_job(backend, &other).await;
    assert_eq!(jobs.remove_shop(&shop, true).await.unwrap(), 2);
    assert_eq!(jobs.list(Some(&shop), 9).await.unwrap().len(), 2, "counting removes nothing");
    assert_eq!(jobs.remove_shop(&shop, false).await.unwrap(), 2);
    assert_eq!(jobs.list(Some(&shop), 9).await.unwrap(), []);
    for job in [&first, &open] {
        assert_eq!(jobs.get(&job.id).await.unwrap(), None);
        assert!(!jobs.list(None, usize::MAX).await.unwrap().iter().any(|found| found.job.id == job.id));
        assert_eq!(jobs.find_unfinished(&shop, job.fingerprint).await.unwrap(), None);
    }
    assert_eq!(jobs.chunk(&first.id, 0).await.unwrap(), None);
    assert_eq!(jobs.reports(&first.id).await.unwrap(), [""; 0]);
    // A worker that receives a late message of the job finds no chunk, and drops the message.
    assert!(matches!(jobs.claim(&first.id, sent.seq, MINUTE).await.unwrap(), Claim::Unknown));
    assert_eq!(jobs.remove_shop(&shop, false).await.unwrap(), 0);
    assert!(jobs.get(&theirs.id).await.unwrap().is_some());
    // The shop may return.
    let (again, _) = ended_job(backend, &shop).await;
    let listed = jobs.list(Some(&shop), 9).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|found| (&found.job.id, found.job.sequence)).collect();
    assert_eq!(listed, [(&again.id, 1)], "jobs are numbered anew");
}

pub async fn that_a_shop_was_removed_is_remembered(backend: &Backend) {
    let jobs = &backend.stores.jobs;
    let (shop, other) = (backend.name("shop"), backend.name("shop"));
    assert_eq!(jobs.shop_removal(&shop).await.unwrap(), None);
    let index = ShopIndex { target: "marqo".into(), index_name: "products".to_owned(), is_exclusive: true };
    let counts = ShopCounts { documents: 7, jobs: 1, ..ShopCounts::default() };
    let left = DocumentsLeft { index: Digest::of(b"products"), documents: 1, reason: LeftReason::Unlisted };
    let (began_at, left) = (backend.clock.now(), vec![left]);
    let begun = ShopRemoval { began_at, ended_at: None, counts, indexes: vec![index], left };
    for _ in 0..2 {
        jobs.put_shop_removal(&shop, &begun).await.unwrap();
    }
    assert_eq!(jobs.shop_removal(&shop).await.unwrap().as_ref(), Some(&begun));
    assert_eq!(jobs.shop_removal(&other).await.unwrap(), None);
    let ended = ShopRemoval { ended_at: Some(backend.clock.now()), indexes: Vec::new(), ..begun };
    jobs.put_shop_removal(&shop, &ended).await.unwrap();
    jobs.remove_shop(&shop, false).await.unwrap();
    assert_eq!(jobs.shop_removal(&shop).await.unwrap(), Some(ended));
}

pub async fn the_indexes_of_a_shop_are_known_until_it_is_removed(backend: &Backend) {
    let jobs = &backend.stores.jobs;
    let (shop, other, one, two) =
        (backend.name("shop"), backend.name("shop"), backend.name("a"), backend.name("b"));
    // A shop whose name begins with the first one's.
    let longer = format!("{shop}#INDEX");
    for (shop_id, index_name, target) in [
        (&shop, &one, "marqo"),
        (&shop, &two, "marqo"),
        (&shop, &one, "catalog:embedded"),
        (&shop, &one, "marqo"),
        (&other, &two, "marqo"),
        (&longer, &backend.name("c"), "marqo"),
    ] {
        let job = Job { index_name: index_name.clone(), target: target.into(), ..backend.job(shop_id) };
        jobs.create(&job).await.unwrap();
    }
    let index = |target: &str, index_name: &str, is_exclusive| ShopIndex {
        target: target.into(),
        index_name: index_name.to_owned(),
        is_exclusive,
    };
    let expected =
        [index("catalog:embedded", &one, true), index("marqo", &one, true), index("marqo", &two, false)];
    assert_eq!(jobs.indexes(&shop).await.unwrap(), expected);
    jobs.remove_shop(&shop, true).await.unwrap();
    assert_eq!(jobs.indexes(&shop).await.unwrap(), expected, "counting removes nothing");
    jobs.remove_shop(&shop, false).await.unwrap();
    assert_eq!(jobs.indexes(&shop).await.unwrap(), []);
    assert_eq!(jobs.indexes(&other).await.unwrap(), [index("marqo", &two, true)]);
    assert_eq!(jobs.indexes(&longer).await.unwrap().len(), 1);
}
