//! From the ledger to the index: is there what should be, and is gone what left?

use super::{Difference, DifferenceKind, ReconcileError, digests::Digests, pass::Pass};
use crate::removals::Leaving;
use host_core::{
    index::StoredVersion,
    model::{DocumentId, JobId, ProductRecord, ProductState},
};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Records of one page of the ledger: one may name 2,000 documents.
const PAGE: usize = 200;

impl<F: FnMut(&Difference) + Send> Pass<'_, F> {
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
            if !changed.is_empty() && self.is_repairing() {
                self.stores.ledger.put(&self.scope, &changed).await?;
            }
        }
    }

    /// The record as it should be, if the index lacks documents of a product.
    fn compare_live(
        &mut self,
        mut record: ProductRecord,
        stored: &HashMap<&DocumentId, StoredVersion>,
    ) -> Option<ProductRecord> {
        if record.state != ProductState::Live {
            return None;
        }
        let missing = record.documents.iter().filter(|id| !stored.contains_key(id));
        let missing: BTreeSet<DocumentId> = missing.cloned().collect();
        if missing.is_empty() {
            return None;
        }
        missing.iter().for_each(|id| self.differs(DifferenceKind::Missing, id, Some(&record.product)));
        if let Some(repair) = &mut self.found.repair {
            repair.marked_missing += missing.len() as u64;
        }
        record.lose(&missing);
        Some(record)
    }

    /// Looks for documents in the index that left a product.
    async fn compare_left(
        &mut self,
        record: &ProductRecord,
        stored: &HashMap<&DocumentId, StoredVersion>,
        live: &Digests,
    ) -> Result<(), ReconcileError> {
        let leaving = match record.state {
            ProductState::Removed => Some(Leaving::Removed),
            ProductState::Absent => Some(Leaving::Absent),
            ProductState::Live | ProductState::Refused => None,
        };
        let gone = record.gone.iter().map(|(id, version)| (id, (version, Leaving::Removed)));
        let of_product =
            leaving.iter().flat_map(|how| record.documents.iter().map(|id| (id, (&record.version, *how))));
        // One that left the product before it is in both; the later version holds.
        let left: BTreeMap<&DocumentId, (&Map<String, Value>, Leaving)> = gone.chain(of_product).collect();
        for (id, (version, leaving)) in left {
            let Some(found) = stored.get(id).filter(|_| !live.contains(id)) else { continue };
            let Some(writer) = found.job_id.clone().and_then(JobId::new) else { continue };
            if !self.writers.wrote(&writer, &record.job_id, record.at).await? {
                continue;
            }
            self.differs(DifferenceKind::Removed, id, Some(&record.product));
            self.remove(id, &record.product, version, &writer, leaving).await?;
        }
        Ok(())
    }
}
