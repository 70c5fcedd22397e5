//! How much a run holds at a time.

use super::*;
use crate::reconcile::{index_side, ledger_side, run};
use host_core::storage::StoreError;
use host_testing::fakes::{InterceptedStorage, StoreCall, StoreInterceptor, Subject};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The largest call of each kind.
#[derive(Debug, Default)]
struct Largest {
    stored: AtomicUsize,
    list: AtomicUsize,
    ledger_page: AtomicUsize,
    ledger_records: AtomicUsize,
}

#[async_trait]
impl Interceptor for Largest {
    async fn before(&self, call: IndexCall<'_>) -> Result<(), IndexError> {
        match call {
            IndexCall::Stored(ids) => self.stored.fetch_max(ids.len(), Relaxed),
            IndexCall::List(limit) => self.list.fetch_max(limit, Relaxed),
            other => panic!("a reconciliation does not change the index: {other:?}"),
        };
        Ok(())
    }
}

impl StoreInterceptor for Largest {
    async fn around<T: Send>(
        &self,
        call: StoreCall<'_>,
        answer: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match (call.name, call.subject) {
            ("ledger.page", Subject::Records(limit)) => _ = self.ledger_page.fetch_max(limit, Relaxed),
            (_, Subject::Records(records)) => _ = self.ledger_records.fetch_max(records, Relaxed),
            _ => {}
        }
        answer.await
    }
}

#[tokio::test(start_paused = true)]
async fn it_holds_a_page_of_documents_at_a_time() {
    let shop = Shop::with_products().await;
    // Of each kind of difference more than a page has.
    const NUMBER: usize = 2 * index_side::PAGE + 1;
    let mut records = Vec::new();
    for number in 0..NUMBER {
        let id = format!("known-{number:06}");
        let product = ProductId::new(format!("gid/{id}")).unwrap();
        let mut record = LedgerRecord::new(product, JobId::new("first").unwrap(), shop.clock.now());
        record.state = ProductState::Live;
        record.add_document(document(&id));
        if number % 3 == 0 {
            record.add_document(document(&format!("missing-{number:06}")));
        }
        records.push(record);
        shop.hold(&id, 1, "first");
        shop.hold(&format!("unknown-{number:06}"), 1, "first");
    }
    build::store_records(&*shop.stores().ledger, &shop.scope(), &records).await;

    let largest = Arc::new(Largest::default());
    let storage =
        InterceptedStorage { storage: Arc::new(shop.storage.clone()), interceptor: largest.clone() };
    let index = Intercepted { index: FakeIndex::default(), interceptor: largest.clone() };
    *index.index.state() = std::mem::take(&mut *shop.index.state());
    let reconcile =
        Reconcile { storage: &storage, index: &index, ..shop.reconcile(ReconcileMode::All, false) };
    let settings = RemovalSettings { bounds: ChunkBounds { documents: 10, bytes: 9_999 }, lanes: 4 };
    let (mut reported, number) = (0, NUMBER as u64);
    let found = reconcile.repair(settings, |_| reported += 1).await.unwrap();
    assert_eq!((found.missing, found.unknown), (number.div_ceil(3), number));
    assert_eq!(reported, found.differences());
    let repair = found.repair.unwrap();
    assert_eq!((repair.marked_missing, repair.recorded), (number.div_ceil(3), number));

    let of = |largest: &AtomicUsize| largest.load(Relaxed);
    assert_eq!(of(&largest.stored), run::LOOKUP_BATCH, "{largest:?}");
    assert_eq!(of(&largest.list), index_side::PAGE, "{largest:?}");
    assert_eq!(of(&largest.ledger_page), ledger_side::PAGE, "{largest:?}");
    assert!(of(&largest.ledger_records) <= index_side::PAGE, "{largest:?}");
}
