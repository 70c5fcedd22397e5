//! Products that became no document: the ledger says why, so that `host why` can.

use super::retry::retry;
use host_core::{
    clock::SharedClock,
    model::{Job, LastRefusal, ProductId, ReportEntry},
    storage::{Ledger, LedgerScope, StoreError, Stores},
};
use std::collections::BTreeMap;

/// Products of one call of the ledger.
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

    /// Adds a refused product, if it has an id.
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
