//! The port to ledgers: what host remembers of the products of an index between two jobs (`docs/ledger.md`).

use super::{StoreError, async_trait};
use crate::{
    index::TargetId,
    model::{Job, LastRefusal, LedgerRecord, ProductId},
};

/// Which ledger: that of one index of one shop.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LedgerScope {
    /// The shop.
    pub shop_id: String,
    /// The server or database that the index is in.
    pub target: TargetId,
    /// Name of the index.
    pub index_name: String,
}

impl LedgerScope {
    /// The ledger of a job that is written to `target`. The job's own target would not do: job records of older
    /// versions of host name only the kind of target.
    pub fn of(job: &Job, target: TargetId) -> Self {
        Self { shop_id: job.shop_id.clone(), target, index_name: job.index_name.clone() }
    }
}

/// A change of a product's record. The refusal (why the product was left out last) is changed only if both differ in
/// it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordChange {
    /// The record as the caller read it; `None` if there was none.
    pub before: Option<LedgerRecord>,
    /// The record to store, of the same product.
    pub after: LedgerRecord,
}

/// What a backend does about a change, given the stored record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeDecision {
    /// The stored record is still the one that was read: store the new one.
    Apply,
    /// The stored record is the new one already: an earlier attempt stored it.
    Applied,
    /// Another writer has changed the record.
    Conflict,
}

impl RecordChange {
    /// Compares the stored record with both sides of the change; refusals are ignored.
    pub fn decide(&self, stored: Option<&LedgerRecord>) -> ChangeDecision {
        let stored = stored.and_then(LedgerRecord::without_refusal);
        if stored == self.before.as_ref().and_then(LedgerRecord::without_refusal) {
            ChangeDecision::Apply
        } else if stored == self.after.without_refusal() {
            ChangeDecision::Applied
        } else {
            ChangeDecision::Conflict
        }
    }

    /// `None` if the refusal does not change; otherwise the refusal to store, `Some(None)` to delete the stored one.
    pub fn new_refusal(&self) -> Option<Option<&LastRefusal>> {
        let before = self.before.as_ref().and_then(|before| before.refusal.as_ref());
        let after = self.after.refusal.as_ref();
        (before != after).then_some(after)
    }
}

/// The ledgers of all indexes.
///
/// All methods are idempotent; an error does not tell whether the call took effect, and the caller retries. Each may be
/// cancelled, with the same effect as an error. If a ledger is lost, the index still protects the documents that it
/// holds; only the products that have left the index are known nowhere else.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// The records of these products, one entry each, in their order; `None` for a product without a record. Strongly
    /// consistent. Reads only.
    async fn get(
        &self,
        scope: &LedgerScope,
        products: &[ProductId],
    ) -> Result<Vec<Option<LedgerRecord>>, StoreError>;

    /// Changes records of distinct products, each only if the stored record is still the one that was read: of two
    /// writers that read the same record, one changes it. True for each change that is stored, also if an earlier
    /// attempt stored it; false for each record that another writer has changed meanwhile. After an error any of them
    /// may be changed.
    async fn replace(&self, scope: &LedgerScope, changes: &[RecordChange]) -> Result<Vec<bool>, StoreError>;

    /// Stores why distinct products were left out, and changes nothing else of their records, because the caller
    /// (ingest) may run while a worker changes these. A product without a record gets one in the state `refused`. A
    /// refusal that repeats the stored one is not written.
    async fn refuse(
        &self,
        scope: &LedgerScope,
        refusals: &[(ProductId, LastRefusal)],
    ) -> Result<(), StoreError>;

    /// A page of records in the byte order of their product ids, those after `after` (`None`: from the first). A page
    /// has at most `limit` records and may have fewer; only an empty page is the end. Reads only.
    async fn page(
        &self,
        scope: &LedgerScope,
        after: Option<&ProductId>,
        limit: usize,
    ) -> Result<Vec<LedgerRecord>, StoreError>;

    /// Removes the records of a shop in all its ledgers, unless `dry_run`; returns how many there were. Idempotent:
    /// after an error or when cancelled, some are removed, and the next call removes the rest.
    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError>;
}
