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
    /// The index that products are written to.
    pub target: TargetId,
    /// Its name.
    pub index_name: String,
}

impl LedgerScope {
    /// The ledger of a job that is written to `target`. Not the job's own: records of older versions name the kind alone.
    pub fn of(job: &Job, target: TargetId) -> Self {
        Self { shop_id: job.shop_id.clone(), target, index_name: job.index_name.clone() }
    }
}

/// What a record was when it was read, and what it is to be. The refusal is changed only if the two differ in it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordChange {
    /// None if there was no record.
    pub before: Option<LedgerRecord>,
    /// Of the same product.
    pub after: LedgerRecord,
}

/// What is to be done about a change, given the stored record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeDecision {
    /// The ledger still says what was read: store what is new.
    Apply,
    /// The ledger says what is new: an earlier attempt stored it.
    Applied,
    /// Another writer has changed the record.
    Conflict,
}

impl RecordChange {
    /// Decides by the stored record, whatever that says of a refusal.
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

    /// The refusal to store, if it changes; within, none if there is to be none.
    pub fn new_refusal(&self) -> Option<Option<&LastRefusal>> {
        let before = self.before.as_ref().and_then(|before| before.refusal.as_ref());
        let after = self.after.refusal.as_ref();
        (before != after).then_some(after)
    }
}

/// What the host remembers of products between two jobs: `docs/ledger.md`.
///
/// All methods are idempotent; an error does not tell whether the call took effect, and the caller retries. Each may be
/// cancelled, with the same effect as an error. A lost ledger makes nothing wrong that the index itself prevents; only what has left the
/// index is known nowhere else.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// The records of these products, one entry each, in their order. Strongly consistent. Reads only.
    async fn get(
        &self,
        scope: &LedgerScope,
        products: &[ProductId],
    ) -> Result<Vec<Option<LedgerRecord>>, StoreError>;

    /// Changes records of distinct products, each only if the ledger still says what was read: of two writers that read the same
    /// record, one changes it. True for each that says what is new, also if an earlier attempt stored it; false for each that
    /// another writer has changed meanwhile. After an error any of them may be changed.
    async fn replace(&self, scope: &LedgerScope, changes: &[RecordChange]) -> Result<Vec<bool>, StoreError>;

    /// Stores why distinct products were left out, and changes nothing else of their records: the caller is not a writer in
    /// their lanes. A product without a record gets one in the state `refused`. A refusal that repeats the stored one is not
    /// written.
    async fn refuse(
        &self,
        scope: &LedgerScope,
        refusals: &[(ProductId, LastRefusal)],
    ) -> Result<(), StoreError>;

    /// Records in the order of their products' bytes, those after `after`. A page has at most `limit` records and may have
    /// fewer; only an empty one is the end. Reads only.
    async fn page(
        &self,
        scope: &LedgerScope,
        after: Option<&ProductId>,
        limit: usize,
    ) -> Result<Vec<LedgerRecord>, StoreError>;

    /// Number of records, in all ledgers, of a shop; unless `dry_run`, there is none of them afterwards. Idempotent: after an error or cancelled, some
    /// are gone, and the next call removes the rest.
    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError>;
}
