use super::Shared;
use async_trait::async_trait;
use host_core::{
    model::{LastRefusal, ProductId, ProductRecord},
    storage::{Ledger, LedgerScope, StoreError},
};
use std::ops::Bound;

#[async_trait]
impl Ledger for Shared {
    async fn get(
        &self,
        scope: &LedgerScope,
        products: &[ProductId],
    ) -> Result<Vec<Option<ProductRecord>>, StoreError> {
        let state = self.state();
        let records = state.ledgers.get(scope);
        Ok(products.iter().map(|product| records?.get(product).cloned()).collect())
    }

    async fn put(&self, scope: &LedgerScope, records: &[ProductRecord]) -> Result<(), StoreError> {
        let mut state = self.state();
        let ledger = state.ledgers.entry(scope.clone()).or_default();
        ledger.extend(records.iter().map(|record| (record.product.clone(), record.clone())));
        Ok(())
    }

    async fn refuse(
        &self,
        scope: &LedgerScope,
        refusals: &[(ProductId, LastRefusal)],
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        let ledger = state.ledgers.entry(scope.clone()).or_default();
        for (product, refusal) in refusals {
            let record = ledger
                .entry(product.clone())
                .or_insert_with(|| ProductRecord::of_refusal(product.clone(), refusal.clone()));
            if !record.refusal.as_ref().is_some_and(|earlier| refusal.repeats(earlier)) {
                record.refusal = Some(refusal.clone());
            }
        }
        Ok(())
    }

    async fn page(
        &self,
        scope: &LedgerScope,
        after: Option<&ProductId>,
        limit: usize,
    ) -> Result<Vec<ProductRecord>, StoreError> {
        let state = self.state();
        let Some(ledger) = state.ledgers.get(scope) else { return Ok(Vec::new()) };
        let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        Ok(ledger.range(behind).take(limit).map(|(_, record)| record.clone()).collect())
    }
}
