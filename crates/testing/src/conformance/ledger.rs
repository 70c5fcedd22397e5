//! Checks of [`host_core::storage::Ledger`]: for each shop, target and index, what became of each product, and why it
//! was last refused.

use super::Backend;
use crate::build::{chunk, complete, processed, seal, store_records};
use host_core::{
    index::TargetId,
    model::{DocumentId, EntryClass, Job, LastRefusal, LedgerRecord, ProductId, ProductState, ReportEntry},
    storage::{LedgerScope, RecordChange},
};
use serde_json::Map;

fn scope(backend: &Backend) -> LedgerScope {
    LedgerScope {
        shop_id: backend.name("shop"),
        target: TargetId::from("catalog:embedded"),
        index_name: "products".to_owned(),
    }
}

fn product(text: &str) -> ProductId {
    ProductId::new(text).unwrap()
}

/// A record of a product with one document and a version.
fn record(backend: &Backend, id: &str, state: ProductState) -> LedgerRecord {
    let job = backend.job("shop");
    let mut record = LedgerRecord::new(product(id), job.id, backend.clock.now());
    record.state = state;
    record.add_document(DocumentId::new("document-1").unwrap());
    record.set_version(Map::from_iter([("updated_at".to_owned(), "2026-01-01T00:00:00Z".into())]));
    record
}

/// Why a product was left out by a job.
fn left_out(job: &Job, code: &str) -> LastRefusal {
    LastRefusal::of(&ReportEntry::new(EntryClass::Failed, code, "so \"it\" is"), job)
}

pub async fn records_come_back_as_they_were_put_and_in_the_order_asked(backend: &Backend) {
    let (ledger, scope) = (&backend.stores.ledger, scope(backend));
    let mut records = Vec::new();
    for (id, state) in [
        ("gid://shopify/Product/1", ProductState::Live),
        ("2 \"two\" \\ #%é", ProductState::Removed),
        ("3", ProductState::Absent),
        ("4", ProductState::Refused),
    ] {
        records.push(record(backend, id, state));
    }
    records[0].refusal = Some(left_out(&backend.job("shop"), "bad-title"));
    for _ in 0..2 {
        store_records(&**ledger, &scope, &records).await;
    }
    let mut asked: Vec<ProductId> = records.iter().rev().map(|record| record.product.clone()).collect();
    asked.insert(1, product("unknown"));
    let mut expected: Vec<Option<LedgerRecord>> = records.into_iter().rev().map(Some).collect();
    expected.insert(1, None);
    assert_eq!(ledger.get(&scope, &asked).await.unwrap(), expected);
    assert_eq!(ledger.get(&scope, &[]).await.unwrap(), []);
}

pub async fn a_record_is_replaced_as_a_whole(backend: &Backend) {
    let (ledger, scope) = (&backend.stores.ledger, scope(backend));
    let mut removed = record(backend, "1", ProductState::Removed);
    removed.refusal = Some(left_out(&backend.job("shop"), "removed-product"));
    store_records(&**ledger, &scope, &[removed]).await;
    let live = LedgerRecord::new(product("1"), backend.job("shop").id, backend.clock.now());
    store_records(&**ledger, &scope, std::slice::from_ref(&live)).await;
    assert_eq!(ledger.get(&scope, &[product("1")]).await.unwrap(), [Some(live)]);
}

pub async fn ledgers_of_indexes_are_kept_apart(backend: &Backend) {
    let (ledger, own) = (&backend.stores.ledger, scope(backend));
    store_records(&**ledger, &own, &[record(backend, "1", ProductState::Live)]).await;
    for other in [
        LedgerScope { shop_id: backend.name("shop"), ..own.clone() },
        LedgerScope { target: "catalog:postgres://db".into(), ..own.clone() },
        LedgerScope { index_name: "other".to_owned(), ..own.clone() },
    ] {
        assert_eq!(ledger.get(&other, &[product("1")]).await.unwrap(), [None], "{other:?}");
        assert_eq!(ledger.page(&other, None, 9).await.unwrap(), [], "{other:?}");
        ledger.refuse(&other, &[(product("1"), left_out(&backend.job("shop"), "no"))]).await.unwrap();
    }
    assert_eq!(ledger.page(&own, None, 9).await.unwrap()[0].refusal, None);
}

pub async fn a_refusal_changes_nothing_else(backend: &Backend) {
    let (ledger, scope) = (&backend.stores.ledger, scope(backend));
    let records = [record(backend, "1", ProductState::Live), record(backend, "2", ProductState::Removed)];
    store_records(&**ledger, &scope, &records).await;
    let (first, second) = (backend.job("shop"), backend.job("shop"));
    let refuse = |job: &Job, code: &str| ["1", "2", "3"].map(|id| (product(id), left_out(job, code)));
    for _ in 0..2 {
        ledger.refuse(&scope, &refuse(&first, "bad")).await.unwrap();
    }
    let with = |refusal: &LastRefusal| {
        let known = records.clone().map(|record| LedgerRecord { refusal: Some(refusal.clone()), ..record });
        let unknown = LedgerRecord::of_refusal(product("3"), refusal.clone());
        known.into_iter().chain([unknown]).map(Some).collect::<Vec<_>>()
    };
    let ids = ["1", "2", "3"].map(product);
    assert_eq!(ledger.get(&scope, &ids).await.unwrap(), with(&left_out(&first, "bad")));
    // The same refusal by a later job keeps the first one; another refusal replaces it.
    ledger.refuse(&scope, &refuse(&second, "bad")).await.unwrap();
    assert_eq!(ledger.get(&scope, &ids).await.unwrap(), with(&left_out(&first, "bad")));
    ledger.refuse(&scope, &refuse(&second, "worse")).await.unwrap();
    assert_eq!(ledger.get(&scope, &ids).await.unwrap(), with(&left_out(&second, "worse")));
}

pub async fn a_record_that_another_writer_changed_is_not_replaced(backend: &Backend) {
    let (ledger, scope) = (&backend.stores.ledger, scope(backend));
    let known = [record(backend, "1", ProductState::Live), record(backend, "2", ProductState::Live)];
    store_records(&**ledger, &scope, &known).await;
    let only_refused = (product("3"), left_out(&backend.job("shop"), "bad"));
    ledger.refuse(&scope, std::slice::from_ref(&only_refused)).await.unwrap();
    let ids = ["1", "2", "3", "4"].map(product);
    let before = ledger.get(&scope, &ids).await.unwrap();
    // After this read, a worker writes product 2, and an ingest refuses product 1.
    let written = LedgerRecord { job_id: backend.job("shop").id, ..known[1].clone() };
    store_records(&**ledger, &scope, std::slice::from_ref(&written)).await;
    let refusal = left_out(&backend.job("shop"), "worse");
    ledger.refuse(&scope, &[(product("1"), refusal.clone())]).await.unwrap();
    let changes: Vec<RecordChange> = before
        .into_iter()
        .zip(ids.clone())
        .map(|(before, id)| {
            let refusal = before.as_ref().and_then(|before| before.refusal.clone());
            let after = LedgerRecord { refusal, ..record(backend, id.as_str(), ProductState::Absent) };
            RecordChange { before, after }
        })
        .collect();
    assert_eq!(ledger.replace(&scope, &changes).await.unwrap(), [true, false, true, true]);
    let after = |position: usize| changes[position].after.clone();
    let expected = [
        LedgerRecord { refusal: Some(refusal), ..after(0) },
        written,
        LedgerRecord { refusal: Some(only_refused.1), ..after(2) },
        after(3),
    ];
    assert_eq!(ledger.get(&scope, &ids).await.unwrap(), expected.map(Some));
    // A caller that lost the answer repeats the call.
    assert_eq!(ledger.replace(&scope, &changes).await.unwrap(), [true, false, true, true]);
}

/// Two workers may have the same product: one whose lease ended while it worked, and the next holder.
pub async fn of_two_writers_that_read_the_same_record_one_changes_it(backend: &Backend) {
    let (ledger, scope) = (&backend.stores.ledger, scope(backend));
    let job = backend.job("shop");
    let known =
        LedgerRecord { refusal: Some(left_out(&job, "bad")), ..record(backend, "1", ProductState::Live) };
    store_records(&**ledger, &scope, std::slice::from_ref(&known)).await;
    ledger.refuse(&scope, &[(product("2"), left_out(&job, "bad"))]).await.unwrap();
    for id in ["1", "2", "3"] {
        let before = ledger.get(&scope, &[product(id)]).await.unwrap().remove(0);
        let change = |state| RecordChange { before: before.clone(), after: record(backend, id, state) };
        let (first, second) = (change(ProductState::Removed), change(ProductState::Live));
        let (is_first, is_second) = tokio::join!(
            ledger.replace(&scope, std::slice::from_ref(&first)),
            ledger.replace(&scope, std::slice::from_ref(&second)),
        );
        let (is_first, is_second) = (is_first.unwrap()[0], is_second.unwrap()[0]);
        assert!(is_first != is_second, "{id}");
        let (stored, late) = if is_first { (first, second) } else { (second, first) };
        assert_eq!(ledger.replace(&scope, &[late]).await.unwrap(), [false], "{id}");
        assert_eq!(ledger.replace(&scope, std::slice::from_ref(&stored)).await.unwrap(), [true], "{id}");
        // The refusal that was read is removed, since the new record has none.
        assert_eq!(ledger.get(&scope, &[product(id)]).await.unwrap(), [Some(stored.after)], "{id}");
    }
}

pub async fn a_change_of_the_refusal_alone_is_stored(backend: &Backend) {
    let (ledger, scope, job) = (&backend.stores.ledger, scope(backend), backend.job("shop"));
    let live = record(backend, "1", ProductState::Live);
    store_records(&**ledger, &scope, std::slice::from_ref(&live)).await;
    let refused = LedgerRecord { refusal: Some(left_out(&job, "bad")), ..live.clone() };
    for (before, after) in [(&live, &refused), (&refused, &live)] {
        let change = RecordChange { before: Some(before.clone()), after: after.clone() };
        for _ in 0..2 {
            assert_eq!(ledger.replace(&scope, std::slice::from_ref(&change)).await.unwrap(), [true]);
            assert_eq!(ledger.get(&scope, &[product("1")]).await.unwrap(), [Some(after.clone())]);
        }
    }
}

pub async fn pages_have_each_record_once_and_in_order(backend: &Backend) {
    let (ledger, scope) = (&backend.stores.ledger, scope(backend));
    let mut records: Vec<LedgerRecord> =
        (0..230).map(|number| record(backend, &format!("gid/{number}"), ProductState::Live)).collect();
    records.extend(["Z", "z", "é", "~"].map(|id| record(backend, id, ProductState::Removed)));
    store_records(&**ledger, &scope, &records).await;
    records.sort_by(|one, other| one.product.cmp(&other.product));
    for limit in [1, 7, 100, 10_000] {
        // Small pages are not read to the end: every request costs time on a real server.
        let expected = if limit < 7 { &records[..20] } else { &records[..] };
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = ledger.page(&scope, after.as_ref(), limit).await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.product.clone());
            paged.extend(page);
            if limit < 7 && paged.len() >= expected.len() {
                break;
            }
        }
        assert!(paged == expected, "pages of {limit}");
    }
}

pub async fn many_records_are_put_and_read_at_once(backend: &Backend) {
    let (ledger, scope) = (&backend.stores.ledger, scope(backend));
    let mut records: Vec<LedgerRecord> =
        (0..260).map(|number| record(backend, &number.to_string(), ProductState::Live)).collect();
    for record in &mut records[..3] {
        (0..2_000).for_each(|number| record.add_document(DocumentId::new(format!("{number:014}")).unwrap()));
    }
    store_records(&**ledger, &scope, &records).await;
    let ids: Vec<ProductId> = records.iter().map(|record| record.product.clone()).collect();
    let expected: Vec<Option<LedgerRecord>> = records.into_iter().map(Some).collect();
    assert!(ledger.get(&scope, &ids).await.unwrap() == expected);
}

pub async fn chunks_that_are_not_counted_are_listed(backend: &Backend) {
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(5).await);
    complete(jobs.as_ref(), &job.id, 1, &processed(10)).await;
    for (limit, expected) in [(9, vec![0, 2, 3, 4]), (2, vec![0, 2])] {
        let chunks = jobs.uncounted(&job.id, limit).await.unwrap();
        assert_eq!(chunks.iter().map(|chunk| chunk.seq).collect::<Vec<_>>(), expected);
        assert_eq!(chunks[1], chunk(&job.id, 2, 0));
    }
    for seq in [0, 2, 3, 4] {
        complete(jobs.as_ref(), &job.id, seq, &processed(10)).await;
    }
    jobs.seal(&job.id, &seal(5)).await.unwrap();
    for id in [&job.id, &backend.job("shop").id] {
        assert_eq!(jobs.uncounted(id, 9).await.unwrap(), [], "of a job that ended or does not exist");
    }
}
