//! Documents of a shop leave its indexes.

use super::{Forget, ForgetError};
use crate::{ingest::chunk::ChunkBounds, removals::RemovalSettings, writers::Writers};
use host_core::{
    index::{Index, Outcome, Precondition, Removal, TargetId},
    model::{Digest, DocumentId, JobId, LedgerRecord, ProductState},
    storage::{DocumentsLeft, LedgerScope, LeftReason, ShopIndex, StoreError, Stores},
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
        target: TargetId,
    ) -> Result<u64, StoreError> {
        let (scope, mut after, mut documents) = (self.scope(of_shop, target), None, 0);
        loop {
            let page = stores.ledger.page(&scope, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(documents) };
            after = Some(last.product.clone());
            let live = page.iter().filter(|record| record.state == ProductState::Live);
            documents += live.map(|record| record.documents.len() as u64).sum::<u64>();
        }
    }

    fn scope(&self, of_shop: &ShopIndex, target: TargetId) -> LedgerScope {
        let (shop_id, index_name) = (self.shop_id.to_owned(), of_shop.index_name.clone());
        LedgerScope { shop_id, target, index_name }
    }

    /// Removes the shop's documents from all its indexes. Returns what was not removed.
    pub(super) async fn remove_from_indexes(
        &self,
        stores: &Stores,
    ) -> Result<Vec<DocumentsLeft>, ForgetError> {
        let mut all = Vec::new();
        let mut add = |of_shop: &ShopIndex, documents, reason| {
            let index = Digest::of(of_shop.index_name.as_bytes());
            all.push(DocumentsLeft { index, documents, reason });
        };
        for (of_shop, index) in &self.indexes {
            let (documents, reason) = self.remove_documents(stores, of_shop, index.as_ref()).await?;
            if documents > 0 {
                add(of_shop, documents, reason);
            }
        }
        for of_shop in &self.gone {
            let documents = self.documents_in_ledger(stores, of_shop, of_shop.target.clone()).await?;
            add(of_shop, documents, LeftReason::WithoutIndex);
        }
        Ok(all)
    }

    /// Removes a shop's documents from an index. Where shops share an index, that is what the ledger names, and what the ledger lacks,
    /// which is recorded in it first, unless another shop or program has written it since. Returns how many documents may be
    /// left, and why.
    async fn remove_documents(
        &self,
        stores: &Stores,
        of_shop: &ShopIndex,
        index: &dyn Index,
    ) -> Result<(u64, LeftReason), ForgetError> {
        let (target, failed) = (self.target(of_shop), ForgetError::of_index(of_shop));
        if index.remove_shop(&target).await.map_err(&failed)?.is_some() {
            return Ok((0, LeftReason::Unattributed));
        }
        // Before the others are looked for: an index that lists only so many documents may list all that are left then.
        self.remove_documents_in_ledger(stores, of_shop, index).await?;
        // Nothing is removed by a job of the shop that is being removed.
        let unused = RemovalSettings { bounds: ChunkBounds { documents: 1, bytes: 1 }, lanes: 1 };
        let compared = self.reconcile(of_shop, index).repair_removed_shop(unused, |_| {}).await;
        let compared = compared.map_err(ForgetError::of_comparison(of_shop))?;
        if compared.unknown > 0 {
            self.remove_documents_in_ledger(stores, of_shop, index).await?;
        }
        if compared.is_unlisted {
            return Ok((index.count(&target).await.map_err(&failed)?, LeftReason::Unlisted));
        }
        // Where other shops write, they are taken for theirs.
        let unattributed = if of_shop.is_exclusive { compared.unattributed } else { 0 };
        Ok((unattributed, LeftReason::Unattributed))
    }

    async fn remove_documents_in_ledger(
        &self,
        stores: &Stores,
        of_shop: &ShopIndex,
        index: &dyn Index,
    ) -> Result<(), ForgetError> {
        let scope = self.scope(of_shop, index.id());
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
                self.remove_named(of_shop, index, some, &mut writers).await?;
            }
        }
    }

    async fn remove_named(
        &self,
        of_shop: &ShopIndex,
        index: &dyn Index,
        named: &[(&DocumentId, &LedgerRecord)],
        writers: &mut Writers<'_>,
    ) -> Result<(), ForgetError> {
        let (target, failed) = (self.target(of_shop), ForgetError::of_index(of_shop));
        let ids: Vec<DocumentId> = named.iter().map(|(id, _)| (*id).clone()).collect();
        let mut removals = Vec::new();
        for ((id, record), stored) in named.iter().zip(index.stored(&target, &ids).await.map_err(&failed)?) {
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
        let outcomes = index.delete(&target, &removals).await.map_err(&failed)?;
        for (removal, outcome) in removals.into_iter().zip(outcomes) {
            let reason = match outcome {
                Outcome::Done => continue,
                Outcome::Refused { code, message } => format!("{code}: {message}"),
                Outcome::Conflict => "it was written again meanwhile".to_owned(),
            };
            let index_name = of_shop.index_name.clone();
            return Err(ForgetError::Kept { index_name, document: removal.id, reason });
        }
        Ok(())
    }
}
