//! Products of a full sync that failed: their documents stay in the index.

use super::{ArchiveError, ids};
use crate::ingest::{id_provenance::candidate_ids, quarantine};
use host_core::{
    model::DocumentId,
    storage::{JobSnapshot, Stores},
};
use std::collections::{BTreeSet, HashMap};

/// Passes on everything that could be the id of a document in the products that were refused before they became documents.
pub(super) async fn named(
    stores: &Stores,
    job: &JobSnapshot,
    mut take: impl FnMut(&str) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let Some(seal) = &job.seal else { return Ok(()) };
    for object in 0..seal.quarantine.objects {
        for kept in quarantine::read_sealed(stores.chunks.as_ref(), &job.job, object).await? {
            for name in candidate_ids(&kept.product.text) {
                take(name)?;
            }
        }
    }
    Ok(())
}

/// The ids among `unseen` whose products failed in a full sync, so that the shop has them.
pub(super) async fn refused(
    stores: &Stores,
    job: &JobSnapshot,
    unseen: &[DocumentId],
) -> Result<BTreeSet<DocumentId>, ArchiveError> {
    let mut refused = BTreeSet::new();
    if job.counts.failed == 0 || unseen.is_empty() {
        return Ok(refused);
    }
    let unseen: HashMap<&str, &DocumentId> = unseen.iter().map(|id| (id.as_str(), id)).collect();
    let mut take = |id: &str| {
        if let Some(id) = unseen.get(id) {
            refused.insert((*id).clone());
        }
        Ok(())
    };
    ids::published(stores, job, true, |_, id| take(ids::split(id).0)).await?;
    named(stores, job, take).await?;
    Ok(refused)
}
