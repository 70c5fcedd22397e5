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

/// What a record was when it was read, and what it is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordChange {
    /// None if there was no record.
    pub before: Option<LedgerRecord>,
    /// Of the same product.
    pub after: LedgerRecord,
}

impl RecordChange {
    /// Whether the ledger still says what was read, whatever it says of a refusal.
    pub fn applies_to(&self, stored: Option<&LedgerRecord>) -> bool {
        match (&self.before, stored) {
            (Some(before), Some(stored)) => {
                let of_refusal = LedgerRecord { refusal: before.refusal.clone(), ..stored.clone() };
                of_refusal == *before
            }
            (None, None) => true,
            _ => false,
        }
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

    /// Stores records of distinct products, replacing those that were there; the last writer wins. All chunks of a product are
    /// in one lane, so there is one at a time. After an error any of them may be stored.
    async fn put(&self, scope: &LedgerScope, records: &[LedgerRecord]) -> Result<(), StoreError>;

    /// Changes records of distinct products, each only if the ledger still says what was read, and leaves refusals alone: for a caller
    /// that is not a writer in their lanes. False for each that another writer has changed meanwhile.
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
