//! Messages, job records, breakers and ledger records that a newer version of host or another program has written: they
//! are left alone, named to operators, and do not disturb anything else. All JSON of host has a schema number, by which
//! it is recognised.

use super::{MONTH, sqs, table::Model};
use host_core::{
    clock::SharedClock,
    model::{Job, JobId, LedgerRecord, ProductId},
    storage::{
        Breaker, BreakerScope, Cleared, ClearedBy, Jobs, LedgerScope, MessagePlace, Queue, StoreErrorKind,
        UNREADABLE_VISIBILITY,
    },
};
use host_storage_aws::{
    Key, Names, Outgoing, QueueService, Table, Update, breakers_on, jobs_on, ledger_on, queue_on, sweeper_on,
};
use host_testing::{
    VirtualClock,
    build::{self, MINUTE, chunk, complete, job, processed, seal},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

struct Harness {
    clock: SharedClock,
    table: Arc<Model>,
    service: Arc<sqs::Model>,
    queue: Arc<dyn Queue>,
    jobs: Arc<dyn Jobs>,
    job: Job,
}

const QUEUE: &str = "test-ecom-indexer-shop.fifo";

impl Harness {
    async fn new() -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        let table = Arc::new(Model::default());
        let service = Arc::new(sqs::Model::new(clock.clone()));
        let job = Job { created_at: clock.now(), ..job(&VirtualClock::new(1), "shop") };
        let queue = queue_on(service.clone(), Names::new("test", None), clock.clone());
        let jobs = jobs_on(table.clone(), clock.clone(), MONTH);
        jobs.create(&job).await.unwrap();
        Self { clock, table, service, queue, jobs, job }
    }

    async fn send(&self, seq: u32, lane: u16) {
        self.queue.send(&self.job, &chunk(&self.job.id, seq, lane), 0).await.unwrap();
    }

    async fn send_raw(&self, group: &str, body: &str) {
        let (group, deduplication_id) = (group.to_owned(), body.chars().take(9).collect());
        let message = Outgoing { body: body.to_owned(), group, deduplication_id };
        assert!(self.service.send(QUEUE, &message).await.unwrap());
    }

    /// Receives and acknowledges all visible messages; the numbers of their chunks.
    async fn received(&self) -> Vec<u32> {
        let deliveries = self.queue.receive("shop", 10, MINUTE).await.unwrap();
        let mut seqs = Vec::new();
        for delivery in deliveries {
            seqs.push(delivery.chunk.seq);
            assert!(self.queue.ack(&delivery.receipt).await.unwrap());
        }
        seqs
    }

    /// Writes a job record of the same shop, as another program would.
    async fn insert_raw(&self, sk: &str, job: Option<Value>) {
        let key = Key::new("PLATFORM#shopify#SHOP#shop", sk);
        let mut record = Update::new(key).set("job_id", "theirs").set("status", "QUEUED");
        if let Some(job) = job {
            record = record.set("job", job.to_string());
        }
        self.table.update(&record).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_message_is_left_and_named_and_stops_no_other_lane() {
    let harness = Harness::new().await;
    harness.send(0, 9).await;
    assert_eq!(harness.received().await, [0]);
    let newer = json!({"schema": 2, "job_id": "j", "shop_id": "shop"}).to_string();
    harness.send_raw("shop#0", "not JSON").await;
    harness.send_raw("shop#1", &newer).await;
    harness.send_raw("theirs", r#"{"event":"refund"}"#).await;
    harness.send(1, 0).await;
    harness.send(2, 2).await;
    harness.send(3, 3).await;
    // Chunk 1 waits behind the unreadable message of lane 0.
    assert_eq!(harness.received().await, [2, 3]);
    assert_eq!(harness.queue.depth("shop").await.unwrap(), 4, "one was removed");

    let named = harness.queue.unreadable("shop").await.unwrap();
    assert_eq!(named.len(), 3, "{named:?}");
    assert!(named.iter().all(|message| message.place == MessagePlace::Queue), "{named:?}");
    assert!(
        named.iter().any(|message| message.body == newer && message.message.contains("schema is 2")),
        "{named:?}"
    );
    assert!(harness.queue.dead_letters("shop").await.unwrap().is_empty());
    assert_eq!(harness.queue.unreadable("shop").await.unwrap(), named, "a list changes nothing");

    // An unreadable message is redelivered after `UNREADABLE_VISIBILITY`, not before.
    harness.clock.sleep(UNREADABLE_VISIBILITY - MINUTE).await;
    harness.send(4, 4).await;
    let before = harness.service.redeliveries();
    assert_eq!(harness.received().await, [4]);
    assert_eq!(harness.service.redeliveries(), before);
    harness.clock.sleep(MINUTE * 2).await;
    assert!(harness.received().await.is_empty());
    assert_eq!(harness.service.redeliveries(), before + 3);
    assert_eq!(harness.queue.depth("shop").await.unwrap(), 4);
    assert_eq!(harness.queue.unreadable("shop").await.unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_of_other_programs_do_not_cut_lists_short() {
    let harness = Harness::new().await;
    let dead_letters = "test-ecom-indexer-shop-dlq.fifo";
    for seq in 0..12 {
        harness.send(seq, seq as u16).await;
    }
    for number in 0..11 {
        let body = format!("{number} is theirs");
        let message = Outgoing { deduplication_id: body.clone(), group: body.clone(), body };
        assert!(harness.service.send(dead_letters, &message).await.unwrap());
    }
    for delivery in harness.queue.receive("shop", 12, MINUTE).await.unwrap() {
        let reason = host_core::storage::QuarantineReason::new("broken", "it is broken");
        assert!(harness.queue.dead_letter(&delivery.receipt, &reason).await.unwrap());
    }
    assert_eq!(harness.queue.dead_letters("shop").await.unwrap().len(), 12);
    assert_eq!(harness.queue.unreadable("shop").await.unwrap().len(), 11);
    let mut leased = 0;
    loop {
        let page = harness.queue.receive_dead_letters("shop", MINUTE).await.unwrap();
        leased += page.len();
        if page.is_empty() {
            break;
        }
    }
    assert_eq!(leased, 12);
}

/// The record of another program has no `job`; that of a newer version has another schema number.
#[tokio::test(start_paused = true)]
async fn job_records_of_others_disturb_no_ingest_list_or_sweep() {
    let harness = Harness::new().await;
    let mut newer: Value = serde_json::to_value(&harness.job).unwrap();
    newer["schema"] = json!(2);
    newer["id"] = json!("newer");
    harness.insert_raw("JOB#2999-01-01T00:00:00Z#theirs", None).await;
    harness.insert_raw("JOB#2999-01-02T00:00:00Z#newer", Some(newer.clone())).await;
    for (name, sk) in
        [("theirs", "JOB#2999-01-01T00:00:00Z#theirs"), ("newer", "JOB#2999-01-02T00:00:00Z#newer")]
    {
        let locator = Update::new(Key::new(format!("JOB#{name}"), "RECORD"))
            .set("record_pk", "PLATFORM#shopify#SHOP#shop")
            .set("record_sk", sk);
        harness.table.update(&locator).await.unwrap();
        let pointer = Update::new(Key::new("JOBS", format!("CREATED#2999#{name}"))).set("created_job", name);
        harness.table.update(&pointer).await.unwrap();
    }
    let Harness { jobs, job, .. } = &harness;
    let other = Job { id: JobId::new("other").unwrap(), ..job.clone() };
    jobs.create(&other).await.unwrap();
    assert_eq!(jobs.supersede(&other).await.unwrap(), std::slice::from_ref(&job.id));
    assert_eq!(jobs.find_unfinished("shop", job.fingerprint).await.unwrap().unwrap().id, other.id);
    for shop in [Some("shop"), None] {
        let listed: Vec<JobId> =
            jobs.list(shop, 2).await.unwrap().into_iter().map(|listed| listed.job.id).collect();
        assert!(listed.contains(&other.id), "{listed:?}");
        assert!(!listed.iter().any(|id| ["theirs", "newer"].contains(&id.as_str())), "{listed:?}");
    }
    let error = jobs.get(&JobId::new("newer").unwrap()).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unsupported);

    jobs.add_chunk(&chunk(&other.id, 0, 0)).await.unwrap();
    jobs.seal(&other.id, &seal(1)).await.unwrap();
    // A chunk whose outcome this version cannot read holds up no other job.
    let unlucky = Job { id: JobId::new("unlucky").unwrap(), ..job.clone() };
    jobs.create(&unlucky).await.unwrap();
    jobs.add_chunk(&chunk(&unlucky.id, 0, 0)).await.unwrap();
    let row = Update::new(Key::new("JOB#unlucky", "CHUNK#00000000"))
        .set("state", "SETTLING")
        .set("outcome", json!({"schema": 9}).to_string());
    harness.table.update(&row).await.unwrap();
    harness.clock.sleep(Duration::from_secs(7200)).await;
    let (table, queue) = (harness.table.clone() as Arc<dyn Table>, harness.queue.clone());
    let swept = sweeper_on(table, queue, harness.clock.clone(), MONTH, MINUTE).sweep().await.unwrap();
    assert_eq!(swept.sent, 1);
    complete(&**jobs, &other.id, 0, &processed(10)).await;
}

#[tokio::test(start_paused = true)]
async fn job_records_of_others_are_removed_with_their_shop() {
    let harness = Harness::new().await;
    let Harness { jobs, job, table, .. } = &harness;
    jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
    let mut newer: Value = serde_json::to_value(job).unwrap();
    newer["schema"] = json!(2);
    newer["sequence"] = json!("a word");
    harness.insert_raw("JOB#2999-01-01T00:00:00Z#theirs", None).await;
    harness.insert_raw("JOB#2999-01-02T00:00:00Z#newer", Some(newer)).await;
    harness.insert_raw("JOB#broken", Some(json!("no object"))).await;
    for (sk, id) in [
        ("JOB#2999-01-02T00:00:00Z#newer", Some("newer")),
        // A record of another program need not name a job.
        ("JOB#broken", None),
    ] {
        let record = Update::new(Key::new("PLATFORM#shopify#SHOP#shop", sk));
        let record = match id {
            Some(id) => record.set("job_id", id).set("created_at", "2999-01-02T00:00:00Z"),
            None => record.remove("job_id"),
        };
        table.update(&record).await.unwrap();
    }
    for name in ["theirs", "newer"] {
        let row = Update::new(Key::new(format!("JOB#{name}"), "CHUNK#00000000")).set("state", "PENDING");
        table.update(&row).await.unwrap();
    }
    let pointer = Key::new("JOBS", "CREATED#2999-01-02T00:00:00Z#newer");
    table.update(&Update::new(pointer).set("created_job", "newer")).await.unwrap();
    // The job of another shop stays.
    let kept = Job { id: JobId::new("kept").unwrap(), shop_id: "other".to_owned(), ..job.clone() };
    jobs.create(&kept).await.unwrap();

    assert_eq!(jobs.remove_shop("shop", true).await.unwrap(), 4);
    assert_eq!(jobs.remove_shop("shop", false).await.unwrap(), 4);
    assert_eq!(jobs.remove_shop("shop", true).await.unwrap(), 0);
    for partition in ["PLATFORM#shopify#SHOP#shop", "JOB#theirs", "JOB#newer", "SHOP#shop"] {
        let left = table.query(partition, "", false, None).await.unwrap();
        assert!(left.is_empty(), "{partition}: {left:?}");
    }
    let listed = table.query("JOBS", "", false, None).await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(jobs.get(&kept.id).await.unwrap().unwrap().job.id, kept.id);
}

#[tokio::test(start_paused = true)]
async fn breakers_and_ledger_records_of_newer_versions_do_not_cut_lists_short() {
    let harness = Harness::new().await;
    let (clock, table) = (harness.clock.clone(), Arc::new(Model::default()));
    let breakers = breakers_on(table.clone());
    let scope = |index: &str| BreakerScope { shop_id: "shop".to_owned(), index_name: index.to_owned() };
    for index in ["a", "b", "c"] {
        let first = chunk(&harness.job.id, 0, 0);
        let breaker = Breaker::opened(scope(index), &first, ("index-refused", "401".to_owned()), clock.now());
        assert!(breakers.replace(None, &breaker).await.unwrap());
    }
    let set = async |key: Key, name: &'static str, text: &str| {
        table.update(&Update::new(key).set(name, text)).await.unwrap();
    };
    let of_breaker = |index: &str| Key::new("BREAKERS", format!("SHOP#shop#INDEX#{index}"));
    set(of_breaker("a"), "breaker", r#"{"schema":2}"#).await;
    set(of_breaker("c"), "breaker", "a foreign text").await;
    for shop in [Some("shop"), None] {
        let listed: Vec<_> =
            breakers.list(shop).await.unwrap().into_iter().map(|breaker| breaker.scope.index_name).collect();
        assert_eq!(listed, ["b"]);
    }
    for index in ["a", "c"] {
        let error = breakers.get(&scope(index)).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unsupported, "{error:?}");
        let cleared = Cleared { by: ClearedBy::Resume, at: clock.now() };
        let error = breakers.close(&scope(index), cleared).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unsupported, "{error:?}");
    }

    let ledger = ledger_on(table.clone(), clock.clone(), MONTH);
    let scope =
        LedgerScope { shop_id: "shop".to_owned(), target: "marqo".into(), index_name: "products".to_owned() };
    let products: Vec<ProductId> = (0..40).map(|n| ProductId::new(format!("{n:02}")).unwrap()).collect();
    let record =
        |product: &ProductId| LedgerRecord::new(product.clone(), harness.job.id.clone(), clock.now());
    let records: Vec<_> = products.iter().map(record).collect();
    build::store_records(&*ledger, &scope, &records).await;
    // More unreadable records in a row than a page has.
    for (number, product) in products[..30].iter().enumerate() {
        let key = key_of(&table, product).await;
        match number % 3 {
            0 => set(key, "record", r#"{"schema":2}"#).await,
            1 => set(key, "record", "a foreign text").await,
            _ => set(key, "refusal", r#"{"schema":3,"code":1}"#).await,
        }
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = ledger.page(&scope, after.as_ref(), 4).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.product.clone());
        listed.extend(page.into_iter().map(|record| record.product));
    }
    assert_eq!(listed, products[30..]);
    assert_eq!(ledger.get(&scope, &products[30..]).await.unwrap().len(), 10);
    for product in &products[..3] {
        let error = ledger.get(&scope, std::slice::from_ref(product)).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unsupported);
        assert!(error.action.contains(product.as_str()), "{error}");
    }
}

/// The key of a product's record in the ledger.
async fn key_of(table: &Model, product: &ProductId) -> Key {
    let (keys, mut after) = (&mut Vec::new(), None);
    loop {
        let (page, next) = table.scan("shop_id", "shop", after).await.unwrap();
        keys.extend(page);
        after = next;
        if after.is_none() {
            break;
        }
    }
    keys.iter().find(|key| key.sk == product.as_str()).unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_written_has_a_schema_number() {
    let harness = Harness::new().await;
    let Harness { jobs, job, .. } = &harness;
    jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
    complete(&**jobs, &job.id, 0, &processed(10)).await;
    harness.send(0, 0).await;
    let request = host_storage_aws::ReceiveRequest {
        max: 1,
        visibility: Duration::ZERO,
        wait_time: Duration::ZERO,
        attempt_id: String::new(),
    };
    let message = harness.service.receive(QUEUE, &request).await.unwrap().unwrap().remove(0).body;
    let delivery = harness.queue.receive("shop", 1, MINUTE).await.unwrap().remove(0);
    let reason = host_core::storage::QuarantineReason::new("broken", "it is broken");
    harness.queue.dead_letter(&delivery.receipt, &reason).await.unwrap();
    let scope = BreakerScope { shop_id: "shop".to_owned(), index_name: "products".to_owned() };
    let failure = ("index-refused", "401".to_owned());
    let breaker = Breaker::opened(scope, &chunk(&job.id, 0, 0), failure, harness.clock.now());
    breakers_on(harness.table.clone()).replace(None, &breaker).await.unwrap();
    let breaker = harness.table.query("BREAKERS", "", false, None).await.unwrap().remove(0);
    let ledger = ledger_on(harness.table.clone(), harness.clock.clone(), MONTH);
    let scope =
        LedgerScope { shop_id: "shop".to_owned(), target: "marqo".into(), index_name: "products".to_owned() };
    let product = ProductId::new("product").unwrap();
    let record = LedgerRecord::new(product.clone(), job.id.clone(), harness.clock.now());
    build::store_records(&*ledger, &scope, &[record]).await;
    let record = harness.table.get(&key_of(&harness.table, &product).await).await.unwrap().unwrap();
    let dead_letters =
        harness.service.receive("test-ecom-indexer-shop-dlq.fifo", &request).await.unwrap().unwrap();
    let row =
        harness.table.get(&Key::new(format!("JOB#{}", job.id), "CHUNK#00000000")).await.unwrap().unwrap();
    let locator = harness.table.get(&Key::new(format!("JOB#{}", job.id), "RECORD")).await.unwrap().unwrap();
    for text in [
        message.as_str(),
        &dead_letters[0].body,
        row.text("outcome").unwrap(),
        row.text("chunk").unwrap(),
        breaker.text("breaker").unwrap(),
        record.text("record").unwrap(),
        locator.text("job").unwrap(),
    ] {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value["schema"], 1, "{text}");
    }
}
