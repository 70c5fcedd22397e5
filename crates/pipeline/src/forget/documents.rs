//! Documents of a shop leave its indexes.

use super::{DocumentsLeft, Forget, ForgetError, LeftReason};
use crate::{ingest::chunk::ChunkBounds, removals::RemovalSettings, writers::Writers};
use host_core::{
    index::{Index, Outcome, Precondition, Removal, WriteTarget},
    model::{DocumentId, JobId, LedgerRecord, ProductState},
    storage::{LedgerScope, ShopIndex, StoreError, Stores},
};
use std::collections::BTreeMap;

/// Records of one page of the ledger: one may name 2,000 documents.
const PAGE: usize = 200;

/// Documents of one request to an index.
const BATCH: usize = 1_000;

impl Forget<'_> {
    /// Number of documents that the ledger names in an index.
    pub(super) async fn documents_in_ledger(
        &self,
        stores: &Stores,
        of_shop: &ShopIndex,
        index: &dyn Index,
    ) -> Result<u64, StoreError> {
        let (scope, mut after, mut documents) = (self.scope(of_shop, index), None, 0);
        loop {
            let page = stores.ledger.page(&scope, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(documents) };
            after = Some(last.product.clone());
            let live = page.iter().filter(|record| record.state == ProductState::Live);
            documents += live.map(|record| record.documents.len() as u64).sum::<u64>();
        }
    }

    fn scope(&self, of_shop: &ShopIndex, index: &dyn Index) -> LedgerScope {
        let (shop_id, index_name) = (self.shop_id.to_owned(), of_shop.index_name.clone());
        LedgerScope { shop_id, target: index.id(), index_name }
    }

    /// Removes a shop's documents from an index. Where shops share an index, that is what the ledger names, and what the ledger lacks,
    /// which is recorded in it first, unless another shop or program has written it since. Returns what may be left.
    pub(super) async fn remove_documents(
        &self,
        stores: &Stores,
        of_shop: &ShopIndex,
        index: &dyn Index,
    ) -> Result<Option<DocumentsLeft>, ForgetError> {
        let target = self.target(of_shop);
        if index.remove_shop(&target).await?.is_some() {
            return Ok(None);
        }
        // Before the others are looked for: an index that lists only so many documents may list all that are left then.
        self.remove_documents_in_ledger(stores, of_shop, index).await?;
        // Nothing is removed by a job of the shop that is being removed.
        let unused = RemovalSettings { bounds: ChunkBounds { documents: 1, bytes: 1 }, lanes: 1 };
        let compared = self.reconcile(of_shop, index).repair_removed_shop(unused, |_| {}).await?;
        if compared.unknown > 0 {
            self.remove_documents_in_ledger(stores, of_shop, index).await?;
        }
        let (documents, reason) = if compared.is_unlisted {
            (index.count(&target).await?, LeftReason::Unlisted)
        } else {
            // Where other shops write, they are taken for theirs.
            let unattributed = if of_shop.is_exclusive { compared.unattributed } else { 0 };
            (unattributed, LeftReason::Unattributed)
        };
        let index_name = of_shop.index_name.clone();
        Ok((documents > 0).then_some(DocumentsLeft { index_name, documents, reason }))
    }

    async fn remove_documents_in_ledger(
        &self,
        stores: &Stores,
        of_shop: &ShopIndex,
        index: &dyn Index,
    ) -> Result<(), ForgetError> {
        let (scope, target) = (self.scope(of_shop, index), self.target(of_shop));
        let (mut writers, mut after) = (Writers::new(stores, self.shop_id), None);
        loop {
            let page = stores.ledger.page(&scope, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.product.clone());
            let mut named: BTreeMap<&DocumentId, &LedgerRecord> = BTreeMap::new();
            for record in &page {
                named.extend(record.documents.iter().chain(record.gone.keys()).map(|id| (id, record)));
            }
            let named: Vec<_> = named.into_iter().collect();
            for some in named.chunks(BATCH) {
                self.remove_named(index, &target, some, &mut writers).await?;
            }
        }
    }

    async fn remove_named(
        &self,
        index: &dyn Index,
        target: &WriteTarget,
        named: &[(&DocumentId, &LedgerRecord)],
        writers: &mut Writers<'_>,
    ) -> Result<(), ForgetError> {
        let ids: Vec<DocumentId> = named.iter().map(|(id, _)| (*id).clone()).collect();
        let mut removals = Vec::new();
        for ((id, record), stored) in named.iter().zip(index.stored(target, &ids).await?) {
            let Some(stored) = stored else { continue };
            let Some(writer) = stored.job_id.clone().and_then(JobId::new) else { continue };
            if writers.wrote(&writer, &record.job_id, record.at).await? {
                let precondition = Precondition::Matches(stored);
                removals.push(Removal { precondition, ..Removal::of((*id).clone()) });
            }
        }
        if removals.is_empty() {
            return Ok(());
        }
        let outcomes = index.delete(target, &removals).await?;
        for (removal, outcome) in removals.into_iter().zip(outcomes) {
            let reason = match outcome {
                Outcome::Done => continue,
                Outcome::Refused { code, message } => format!("{code}: {message}"),
                Outcome::Conflict => "it was written again meanwhile".to_owned(),
            };
            let index_name = target.index_name.clone();
            return Err(ForgetError::Kept { index_name, document: removal.id, reason });
        }
        Ok(())
    }
}
