//! What a full sync had and nothing could be written of: its documents stay in the index.

use super::{ArchiveError, ids};
use crate::ingest::{id_provenance::candidate_ids, quarantine};
use host_core::storage::{JobSnapshot, Stores};
use std::collections::{BTreeSet, HashSet};

/// Hands on all that could be the id of a document in the products that were refused before they became any.
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
pub async fn refused(
    stores: &Stores,
    job: &JobSnapshot,
    unseen: &[String],
) -> Result<BTreeSet<String>, ArchiveError> {
    let mut refused = BTreeSet::new();
    if job.counts.failed == 0 || unseen.is_empty() {
        return Ok(refused);
    }
    let unseen: HashSet<&str> = unseen.iter().map(String::as_str).collect();
    let mut take = |id: &str| {
        if unseen.contains(id) {
            refused.insert(id.to_owned());
        }
        Ok(())
    };
    ids::published(stores, job, true, |_, id| take(id)).await?;
    named(stores, job, take).await?;
    Ok(refused)
}
