//! The ledger in memory: what became of each product, by shop, target and index.

use super::SharedState;
use async_trait::async_trait;
use host_core::{
    model::{LastRefusal, LedgerRecord, ProductId},
    storage::{ChangeDecision, Ledger, LedgerScope, RecordChange, StoreError},
};
use std::ops::Bound;

/// What is stored of a product. Record and last refusal are apart, as in every backend: a product that was only ever
/// refused has no record.
#[derive(Clone, Default)]
pub(super) struct Stored {
    record: Option<LedgerRecord>,
    refusal: Option<LastRefusal>,
}

impl Stored {
    fn read(&self, product: &ProductId) -> Option<LedgerRecord> {
        let refusal = self.refusal.clone();
        match &self.record {
            Some(record) => Some(LedgerRecord { refusal, ..record.clone() }),
            None => refusal.map(|refusal| LedgerRecord::of_refusal(product.clone(), refusal)),
        }
    }
}

#[async_trait]
impl Ledger for SharedState {
    async fn get(
        &self,
        scope: &LedgerScope,
        products: &[ProductId],
    ) -> Result<Vec<Option<LedgerRecord>>, StoreError> {
        let state = self.state();
        let records = state.ledgers.get(scope);
        Ok(products.iter().map(|product| records?.get(product)?.read(product)).collect())
    }

    async fn replace(&self, scope: &LedgerScope, changes: &[RecordChange]) -> Result<Vec<bool>, StoreError> {
        let mut state = self.state();
        let ledger = state.ledgers.entry(scope.clone()).or_default();
        let replace = |change: &RecordChange| {
            let product = &change.after.product;
            let stored = ledger.get(product).and_then(|stored| stored.read(product));
            let decision = change.decide(stored.as_ref());
            if decision == ChangeDecision::Apply {
                let stored = ledger.entry(product.clone()).or_default();
                stored.record = Some(change.after.clone());
                if let Some(refusal) = change.new_refusal() {
                    stored.refusal = refusal.cloned();
                }
            }
            decision != ChangeDecision::Conflict
        };
        Ok(changes.iter().map(replace).collect())
    }

    async fn refuse(
        &self,
        scope: &LedgerScope,
        refusals: &[(ProductId, LastRefusal)],
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        let ledger = state.ledgers.entry(scope.clone()).or_default();
        for (product, refusal) in refusals {
            let stored = ledger.entry(product.clone()).or_default();
            if !stored.refusal.as_ref().is_some_and(|earlier| refusal.repeats(earlier)) {
                stored.refusal = Some(refusal.clone());
            }
        }
        Ok(())
    }

    async fn page(
        &self,
        scope: &LedgerScope,
        after: Option<&ProductId>,
        limit: usize,
    ) -> Result<Vec<LedgerRecord>, StoreError> {
        let state = self.state();
        let Some(ledger) = state.ledgers.get(scope) else { return Ok(Vec::new()) };
        let range = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        Ok(ledger.range(range).take(limit).filter_map(|(product, stored)| stored.read(product)).collect())
    }

    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        let ledgers = &mut self.state().ledgers;
        let of_shop = ledgers.iter().filter(|(scope, _)| scope.shop_id == shop_id);
        let records: usize = of_shop.map(|(_, records)| records.len()).sum();
        if !dry_run {
            ledgers.retain(|scope, _| scope.shop_id != shop_id);
        }
        Ok(records as u64)
    }
}
