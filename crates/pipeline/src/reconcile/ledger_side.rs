//! From the ledger to the index: is there what should be, and is gone what left?

use super::{Difference, DifferenceKind, ReconcileError, digests::Digests, run::ReconcileRun};
use crate::removals::RemovalReason;
use host_core::{
    index::StoredVersion,
    model::{DocumentId, JobId, LedgerRecord, ProductState},
    storage::RecordChange,
};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Records of one page of the ledger: one may name 2,000 documents.
pub(super) const PAGE: usize = 200;

impl<F: FnMut(&Difference) + Send> ReconcileRun<'_, F> {
    /// Reads which documents the ledger says are in the index, and which left it.
    pub(super) async fn read_ledger(&mut self) -> Result<(Vec<u64>, Vec<u64>), ReconcileError> {
        let (mut live, mut left, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let page = self.stores.ledger.page(&self.scope, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok((live, left)) };
            after = Some(last.product.clone());
            for record in &page {
                let documents = record.documents.iter().map(Digests::of);
                if record.state == ProductState::Live {
                    self.found.in_ledger += record.documents.len() as u64;
                    live.extend(documents);
                } else {
                    left.extend(documents);
                }
                left.extend(record.gone.keys().map(Digests::of));
            }
        }
    }

    /// Compares the records with the index. `live` are the documents of all products that are in it: one that left a product may
    /// belong to another now.
    pub(super) async fn compare_ledger(&mut self, live: &Digests) -> Result<(), ReconcileError> {
        let mut after = None;
        loop {
            let page = self.stores.ledger.page(&self.scope, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.product.clone());
            let named = page.iter().flat_map(|record| record.documents.iter().chain(record.gone.keys()));
            let ids: Vec<DocumentId> = named.cloned().collect::<BTreeSet<_>>().into_iter().collect();
            let stored = self.stored(&ids).await?;
            let stored: HashMap<&DocumentId, StoredVersion> =
                ids.iter().zip(stored).filter_map(|(id, stored)| Some((id, stored?))).collect();
            let mut changed = Vec::new();
            for record in page {
                self.compare_left(&record, &stored, live).await?;
                changed.extend(self.compare_live(record, &stored));
            }
            self.mark_missing(changed).await?;
        }
    }

    /// How the record is to change, if the index lacks documents of a product.
    fn compare_live(
        &mut self,
        record: LedgerRecord,
        stored: &HashMap<&DocumentId, StoredVersion>,
    ) -> Option<(u64, RecordChange)> {
        if record.state != ProductState::Live {
            return None;
        }
        let missing = record.documents.iter().filter(|id| !stored.contains_key(id));
        let missing: BTreeSet<DocumentId> = missing.cloned().collect();
        if missing.is_empty() {
            return None;
        }
        missing.iter().for_each(|id| self.differs(DifferenceKind::Missing, id, Some(&record.product)));
        let mut after = record.clone();
        after.lose(&missing, self.reconcile.clock.now());
        Some((missing.len() as u64, RecordChange { before: Some(record), after }))
    }

    /// Has records say which documents the index lacks, each with their number. What a job has written meanwhile stays as it is.
    async fn mark_missing(&mut self, changed: Vec<(u64, RecordChange)>) -> Result<(), ReconcileError> {
        let Some(repair) = self.found.repair.as_mut().filter(|_| !changed.is_empty()) else { return Ok(()) };
        let (missing, changes): (Vec<u64>, Vec<RecordChange>) = changed.into_iter().unzip();
        let replaced = self.stores.ledger.replace(&self.scope, &changes).await?;
        repair.marked_missing += missing
            .iter()
            .zip(replaced)
            .filter(|(_, replaced)| *replaced)
            .map(|(missing, _)| missing)
            .sum::<u64>();
        Ok(())
    }

    /// Looks for documents in the index that left a product.
    async fn compare_left(
        &mut self,
        record: &LedgerRecord,
        stored: &HashMap<&DocumentId, StoredVersion>,
        live: &Digests,
    ) -> Result<(), ReconcileError> {
        let reason = match record.state {
            ProductState::Removed => Some(RemovalReason::Removed),
            ProductState::Absent => Some(RemovalReason::Absent),
            ProductState::Live | ProductState::Refused => None,
        };
        let gone = record.gone.iter().map(|(id, version)| (id, (version, RemovalReason::Removed)));
        let of_product =
            reason.iter().flat_map(|how| record.documents.iter().map(|id| (id, (&record.version, *how))));
        // One that left the product before it is in both; the later version holds.
        let left: BTreeMap<&DocumentId, (&Map<String, Value>, RemovalReason)> =
            gone.chain(of_product).collect();
        for (id, (version, reason)) in left {
            let Some(found) = stored.get(id).filter(|_| !live.contains(id)) else { continue };
            let Some(writer) = found.job_id.clone().and_then(JobId::new) else { continue };
            if !self.writers.wrote(&writer, &record.job_id, record.at).await? {
                continue;
            }
            self.differs(DifferenceKind::Removed, id, Some(&record.product));
            self.remove(id, &record.product, version, &writer, reason).await?;
        }
        Ok(())
    }
}
