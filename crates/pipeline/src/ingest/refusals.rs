//! Records why a product became no document in the ledger (what the host knows of each product's outcome), where
//! `host why PRODUCT` finds it.

use super::retry::retry;
use host_core::{
    clock::SharedClock,
    model::{Job, LastRefusal, ProductId, ReportEntry},
    storage::{Ledger, LedgerScope, StoreError, Stores},
};
use std::collections::BTreeMap;

/// Products that are recorded with one call.
const BATCH: usize = 100;

/// The refusals of one ingest, on their way into the ledger.
pub(super) struct Refusals<'a> {
    ledger: &'a dyn Ledger,
    clock: &'a SharedClock,
    job: &'a Job,
    scope: LedgerScope,
    waiting: BTreeMap<ProductId, LastRefusal>,
}

impl<'a> Refusals<'a> {
    pub(super) fn new(stores: &'a Stores, clock: &'a SharedClock, job: &'a Job) -> Self {
        let scope = LedgerScope::of(job, job.target.clone());
        Self { ledger: stores.ledger.as_ref(), clock, job, scope, waiting: BTreeMap::new() }
    }

    /// Adds a refused product. One without an id is left out: the ledger knows products by their ids.
    pub(super) async fn add(&mut self, product: Option<&str>, entry: &ReportEntry) -> Result<(), StoreError> {
        let Some(product) = product.and_then(|id| ProductId::new(id).ok()) else { return Ok(()) };
        self.waiting.insert(product, LastRefusal::of(entry, self.job));
        if self.waiting.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    /// Stores what is waiting.
    pub(super) async fn flush(&mut self) -> Result<(), StoreError> {
        let refusals: Vec<_> = std::mem::take(&mut self.waiting).into_iter().collect();
        if refusals.is_empty() {
            return Ok(());
        }
        retry(self.clock, || self.ledger.refuse(&self.scope, &refusals)).await
    }
}
