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
use std::{collections::BTreeSet, sync::Arc};

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
    /// Those of its indexes that are gone with their servers, as the operator says: nothing is removed from them.
    pub gone: Vec<ShopIndex>,
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
    #[error("a request to index {index_name} failed")]
    Index {
        /// The index.
        index_name: String,
        /// What it says.
        #[source]
        source: IndexError,
    },
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

impl ForgetError {
    /// The error of an index.
    fn of_index(of_shop: &ShopIndex) -> impl Fn(IndexError) -> Self {
        |source| Self::Index { index_name: of_shop.index_name.clone(), source }
    }

    /// The error of a comparison with an index.
    fn of_comparison(of_shop: &ShopIndex) -> impl Fn(ReconcileError) -> Self {
        |error| match error {
            ReconcileError::Store(error) => Self::Store(error),
            ReconcileError::Index(error) => Self::of_index(of_shop)(error),
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
    /// Its indexes, those that are gone last.
    pub indexes: Vec<FoundIndex>,
    /// A job that has not ended: nothing is removed before it has.
    pub open_job: Option<JobId>,
}

/// What was found of a shop in an index.
#[derive(Debug)]
pub struct FoundIndex {
    /// The index.
    pub of_shop: ShopIndex,
    /// Documents of the shop. Where the index was not asked, those that the ledger names.
    pub documents: u64,
    /// Whether it has settings that go with the shop. Indexes of one name share them.
    pub has_settings: bool,
    /// Why it was not asked.
    pub not_asked: Option<NotAsked>,
}

/// Why an index was not asked for documents.
#[derive(Debug)]
pub enum NotAsked {
    /// It is gone with its server, as the operator says.
    Gone,
    /// It could not be.
    Failed(ForgetError),
}

impl Forget<'_> {
    /// What can be found of the shop. Changes nothing.
    pub async fn find(&self) -> Result<Found, ForgetError> {
        let stores = self.storage.stores();
        let mut found = Vec::new();
        for (of_shop, index) in &self.indexes {
            let (documents, not_asked) = match self.documents(of_shop, index.as_ref()).await {
                Ok(documents) => (documents, None),
                Err(ForgetError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    let documents = self.documents_in_ledger(&stores, of_shop, index.id()).await?;
                    (documents, Some(NotAsked::Failed(error)))
                }
            };
            found.push(FoundIndex { of_shop: of_shop.clone(), documents, has_settings: false, not_asked });
        }
        for of_shop in &self.gone {
            let documents = self.documents_in_ledger(&stores, of_shop, of_shop.target.clone()).await?;
            let not_asked = Some(NotAsked::Gone);
            found.push(FoundIndex { of_shop: of_shop.clone(), documents, has_settings: false, not_asked });
        }
        let mut settings = BTreeSet::new();
        for FoundIndex { of_shop, has_settings, .. } in &mut found {
            if of_shop.is_exclusive && stores.settings.get(&of_shop.index_name).await?.is_some() {
                *has_settings = true;
                settings.insert(of_shop.index_name.clone());
            }
        }
        let counts = ShopCounts {
            documents: found.iter().map(|index| index.documents).sum(),
            settings: settings.len() as u64,
            messages: stores.queue.remove_shop(self.shop_id, true).await?,
            objects: stores.chunks.remove_shop(self.shop_id, true).await?,
            products: stores.ledger.remove_shop(self.shop_id, true).await?,
            jobs: stores.jobs.remove_shop(self.shop_id, true).await?,
        };
        let open_job = match self.ended_jobs(&stores).await {
            Err(ForgetError::Unfinished(job)) => Some(job),
            jobs => jobs.map(|_| None)?,
        };
        Ok(Found { counts, indexes: found, open_job })
    }

    /// Number of documents of the shop in an index.
    async fn documents(&self, of_shop: &ShopIndex, index: &dyn Index) -> Result<u64, ForgetError> {
        if index.is_per_shop() {
            let counted = index.count(&self.target(of_shop)).await;
            return counted.map_err(ForgetError::of_index(of_shop));
        }
        let compared = self.reconcile(of_shop, index).compare(|_| {}).await;
        let compared = compared.map_err(ForgetError::of_comparison(of_shop))?;
        Ok(compared.in_ledger + compared.unknown)
    }

    /// Removes everything of the shop, and returns the receipt. `counts` go into it unless an interrupted removal is continued.
    pub async fn run(&self, counts: ShopCounts) -> Result<ShopRemoval, ForgetError> {
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
            return Ok(receipt);
        }
        // Ledger and jobs go after documents, and say whose these are.
        let has_documents =
            interrupted.is_none() || !jobs.is_empty() || stores.ledger.remove_shop(shop, true).await? > 0;
        let mut begun = interrupted.unwrap_or_else(|| ShopRemoval {
            began_at: self.clock.now(),
            ended_at: None,
            counts,
            indexes: self.indexes.iter().map(|(of_shop, _)| of_shop).chain(&self.gone).cloned().collect(),
            left: Vec::new(),
        });
        stores.jobs.put_shop_removal(shop, &begun).await?;
        // One may have begun before the mark was there.
        self.ended_jobs(&stores).await?;
        stores.queue.remove_shop(shop, false).await?;
        if has_documents {
            let left = self.remove_from_indexes(&stores).await?;
            // The next call cannot find it out once ledger and jobs are gone.
            if left != begun.left {
                begun.left = left;
                stores.jobs.put_shop_removal(shop, &begun).await?;
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
        Ok(receipt)
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
