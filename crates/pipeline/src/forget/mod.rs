//! The use case: everything of a shop goes: documents, messages, objects, ledger, jobs, settings (`docs/offboarding.md`).
//!
//! First the shop is marked, so that no run begins; then each kind of thing goes after what is needed to find it; what was
//! interrupted at any point is finished by the next call. A receipt stays, which names the shop only by a digest.

use crate::{
    reconcile::{Reconcile, ReconcileError, ReconcileMode},
    removed_shop::open_removal,
};
use host_core::{
    clock::SharedClock,
    index::{Index, IndexError, WriteTarget},
    model::{DocumentId, JobId},
    storage::{JobSnapshot, ShopCounts, ShopIndex, ShopRemoval, Storage, StoreError, Stores},
};
use std::sync::Arc;

mod documents;
#[cfg(test)]
mod tests;

/// What the removal of a shop needs.
pub struct Forget<'a> {
    /// Where its jobs, messages and objects are.
    pub storage: &'a dyn Storage,
    /// The shop.
    pub shop_id: &'a str,
    /// Its indexes, as [`indexes`] found them.
    pub indexes: OpenIndexes,
    /// The clock.
    pub clock: SharedClock,
}

/// The indexes of a shop, opened.
pub type OpenIndexes = Vec<(ShopIndex, Arc<dyn Index>)>;

/// Why the removal of a shop failed. What is gone stays gone; the next call removes the rest.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// It is not known which documents are the shop's.
    #[error(transparent)]
    Reconcile(ReconcileError),
    /// A worker may still write what a job published.
    #[error("job {0} has not ended")]
    Unfinished(JobId),
    /// An index keeps a document.
    #[error("index {index_name} does not remove document {document}: {reason}")]
    Kept {
        /// The index.
        index_name: String,
        /// The document.
        document: DocumentId,
        /// The index's own words, or that another program has written it meanwhile.
        reason: String,
    },
}

impl From<ReconcileError> for ForgetError {
    fn from(error: ReconcileError) -> Self {
        match error {
            ReconcileError::Store(error) => Self::Store(error),
            ReconcileError::Index(error) => Self::Index(error),
            ReconcileError::Unfinished(job) => Self::Unfinished(job),
            other => Self::Reconcile(other),
        }
    }
}

/// The indexes that jobs of a shop were created for, in order; with a removal that was interrupted, those that it found.
pub async fn indexes(stores: &Stores, shop_id: &str) -> Result<Vec<ShopIndex>, StoreError> {
    match open_removal(stores, shop_id).await? {
        Some(removal) => Ok(removal.indexes),
        None => stores.jobs.indexes(shop_id).await,
    }
}

/// What was found of a shop.
#[derive(Debug)]
pub struct Found {
    /// What there is.
    pub counts: ShopCounts,
    /// The names of indexes that could not be asked, and why: of these, the documents are counted that the ledger names.
    pub uncounted: Vec<(String, ForgetError)>,
}

/// What the removal of a shop came to.
#[derive(Debug)]
pub struct Forgotten {
    /// The receipt.
    pub receipt: ShopRemoval,
    /// Documents that may be the shop's, in the order of its indexes.
    pub left: Vec<DocumentsLeft>,
}

/// Documents that stay in an index, and of which some may be the shop's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentsLeft {
    /// The index.
    pub index_name: String,
    /// How many they are.
    pub documents: u64,
    /// Why it is not known whose they are.
    pub reason: LeftReason,
}

/// Why it is not known whose documents are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftReason {
    /// The index has more documents than it lists: these are all that it has.
    Unlisted,
    /// Jobs wrote them that are no longer known, and no other shop is known to write to the index.
    Unattributed,
}

impl LeftReason {
    /// The name in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unlisted => "unlisted",
            Self::Unattributed => "unattributed",
        }
    }
}

impl Forget<'_> {
    /// What there is of the shop. Changes nothing. Fails if an index cannot be asked.
    pub async fn counts(&self) -> Result<ShopCounts, ForgetError> {
        let Found { counts, mut uncounted } = self.find().await?;
        uncounted.pop().map_or(Ok(counts), |(_, error)| Err(error))
    }

    /// What can be found of the shop. Changes nothing.
    pub async fn find(&self) -> Result<Found, ForgetError> {
        let stores = self.storage.stores();
        let (mut documents, mut uncounted) = (0, Vec::new());
        for (of_shop, index) in &self.indexes {
            match self.documents(of_shop, index.as_ref()).await {
                Ok(counted) => documents += counted,
                Err(ForgetError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    documents += self.documents_in_ledger(&stores, of_shop, index.as_ref()).await?;
                    uncounted.push((of_shop.index_name.clone(), error));
                }
            }
        }
        let mut settings = 0;
        for (of_shop, _) in self.indexes.iter().filter(|(of_shop, _)| of_shop.is_exclusive) {
            settings += u64::from(stores.settings.get(&of_shop.index_name).await?.is_some());
        }
        let counts = ShopCounts {
            documents,
            settings,
            messages: stores.queue.remove_shop(self.shop_id, true).await?,
            objects: stores.chunks.remove_shop(self.shop_id, true).await?,
            products: stores.ledger.remove_shop(self.shop_id, true).await?,
            jobs: stores.jobs.remove_shop(self.shop_id, true).await?,
        };
        Ok(Found { counts, uncounted })
    }

    /// Number of documents of the shop in an index.
    async fn documents(&self, of_shop: &ShopIndex, index: &dyn Index) -> Result<u64, ForgetError> {
        if index.is_per_shop() {
            return Ok(index.count(&self.target(of_shop)).await?);
        }
        let compared = self.reconcile(of_shop, index).compare(|_| {}).await?;
        Ok(compared.in_ledger + compared.unknown)
    }

    /// Removes everything of the shop, and returns what stays. `counts` go into that unless an interrupted removal is continued.
    pub async fn run(&self, counts: ShopCounts) -> Result<Forgotten, ForgetError> {
        let (stores, shop) = (self.storage.stores(), self.shop_id);
        let jobs = self.ended_jobs(&stores).await?;
        let (interrupted, ended) = match stores.jobs.shop_removal(shop).await? {
            Some(removal) if removal.is_open() => (Some(removal), None),
            ended => (None, ended),
        };
        // A call whose answer was lost is repeated: its receipt says what there was. What came late, and is counted nowhere, goes.
        if let Some(receipt) = ended.filter(|_| jobs.is_empty() && counts == ShopCounts::default()) {
            stores.queue.remove_shop(shop, false).await?;
            stores.breakers.remove_shop(shop).await?;
            self.storage.erase().await?;
            self.storage.flush().await?;
            return Ok(Forgotten { receipt, left: Vec::new() });
        }
        // Ledger and jobs go after documents, and say whose these are.
        let has_documents =
            interrupted.is_none() || !jobs.is_empty() || stores.ledger.remove_shop(shop, true).await? > 0;
        let begun = interrupted.unwrap_or_else(|| ShopRemoval {
            began_at: self.clock.now(),
            ended_at: None,
            counts,
            indexes: self.indexes.iter().map(|(of_shop, _)| of_shop.clone()).collect(),
        });
        stores.jobs.put_shop_removal(shop, &begun).await?;
        // One may have begun before the mark was there.
        self.ended_jobs(&stores).await?;
        stores.queue.remove_shop(shop, false).await?;
        let mut left = Vec::new();
        if has_documents {
            for (of_shop, index) in &self.indexes {
                left.extend(self.remove_documents(&stores, of_shop, index.as_ref()).await?);
            }
        }
        stores.chunks.remove_shop(shop, false).await?;
        stores.ledger.remove_shop(shop, false).await?;
        stores.breakers.remove_shop(shop).await?;
        stores.jobs.remove_shop(shop, false).await?;
        for of_shop in begun.indexes.iter().filter(|of_shop| of_shop.is_exclusive) {
            stores.settings.delete(&of_shop.index_name).await?;
        }
        // A worker whose chunk ended the last job may have closed a breaker since.
        stores.breakers.remove_shop(shop).await?;
        // The names of indexes, which may be the shop's, are erased with the rest.
        let nameless = ShopRemoval { indexes: Vec::new(), ..begun };
        stores.jobs.put_shop_removal(shop, &nameless).await?;
        self.storage.erase().await?;
        let receipt = ShopRemoval { ended_at: Some(self.clock.now()), ..nameless };
        stores.jobs.put_shop_removal(shop, &receipt).await?;
        self.storage.flush().await?;
        Ok(Forgotten { receipt, left })
    }

    /// The jobs of the shop. All must have ended.
    async fn ended_jobs(&self, stores: &Stores) -> Result<Vec<JobSnapshot>, ForgetError> {
        let jobs = stores.jobs.list(Some(self.shop_id), usize::MAX).await?;
        match jobs.iter().find(|job| !job.status.has_ended()) {
            Some(open) => Err(ForgetError::Unfinished(open.job.id.clone())),
            None => Ok(jobs),
        }
    }

    fn target(&self, of_shop: &ShopIndex) -> WriteTarget {
        WriteTarget {
            shop_id: self.shop_id.to_owned(),
            index_name: of_shop.index_name.clone(),
            job_id: String::new(),
        }
    }

    /// Finds the documents of the shop that its ledger does not name.
    fn reconcile<'a>(&'a self, of_shop: &ShopIndex, index: &'a dyn Index) -> Reconcile<'a> {
        let (storage, target, clock) = (self.storage, self.target(of_shop), self.clock.clone());
        Reconcile { storage, index, target, mode: ReconcileMode::Unknown, adopt: false, clock }
    }
}
