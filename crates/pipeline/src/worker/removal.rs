//! Removals of a chunk: under which condition each holds.

use super::{
    changes::{Change, Changes},
    chunk_counts::AcceptedOutcome,
    content::version_of,
    decide::{Decision, removal_conflict, rewritten},
};
use host_core::{
    index::{IndexError, Outcome, Precondition, Removal, StoredVersion},
    model::{
        Document, DocumentId, Job, JobId,
        document::{ARCHIVES_FIELD, JOB_ID_FIELD},
    },
    plugin::VersionOrdering,
};
use serde_json::{Map, Value};

/// A removal as its chunk says it.
pub(super) struct ConditionalRemoval {
    removal: Removal,
    /// It holds for this version and older ones; empty: for any.
    version: Map<String, Value>,
    /// It holds only for what this job wrote.
    written_by: Option<String>,
    /// Whether it leaves alone what its own job wrote, which belongs to another product then.
    spares_own_job: bool,
    /// Whether it leaves alone what has its own version: a later job has written the product.
    spares_same_version: bool,
}

impl ConditionalRemoval {
    pub(super) fn of(removal: Document, version_fields: &[String]) -> Self {
        let written_by = removal.fields.get(JOB_ID_FIELD).and_then(Value::as_str).map(str::to_owned);
        let version = version_of(&removal.fields, version_fields);
        // Removals of earlier versions of the host say nothing of it, and all archive.
        let archives = written_by.is_some() && removal.fields.get(ARCHIVES_FIELD) != Some(&false.into());
        let removal = Removal { archives, ..Removal::of(removal.id) };
        Self { version, removal, written_by, spares_own_job: false, spares_same_version: false }
    }

    /// The removal of a document that its product does not have any more.
    pub(super) fn of_vanished(
        removal: Document,
        version_fields: &[String],
        spares_same_version: bool,
    ) -> Self {
        Self { spares_own_job: true, spares_same_version, ..Self::of(removal, version_fields) }
    }

    /// The removal of a document that this job may have written before it knew of the removal in this version.
    pub(super) fn of_own(id: DocumentId, version: Map<String, Value>, job: &JobId) -> Self {
        let (removal, written_by) = (Removal::of(id), Some(job.to_string()));
        Self { version, removal, written_by, spares_own_job: false, spares_same_version: false }
    }

    fn is_of_another_writer(&self, stored: &StoredVersion) -> bool {
        self.written_by.is_some() && self.written_by != stored.job_id
    }
}

impl Change for ConditionalRemoval {
    fn id(&self) -> &DocumentId {
        &self.removal.id
    }

    fn version_to_compare(&self, stored: &StoredVersion) -> Option<&Map<String, Value>> {
        (!self.version.is_empty() && !self.is_of_another_writer(stored)).then_some(&self.version)
    }

    fn decide(&self, stored: &StoredVersion, ordering: VersionOrdering, job: &Job) -> Decision {
        let id = self.removal.id.as_str();
        match ordering {
            _ if self.spares_own_job && stored.job_id.as_deref() == Some(job.id.as_str()) => {
                Decision::Written
            }
            _ if self.is_of_another_writer(stored) => Decision::Refused(rewritten(id, stored)),
            VersionOrdering::Same if self.spares_same_version => {
                Decision::Refused(removal_conflict(id, &self.version, stored))
            }
            VersionOrdering::Newer | VersionOrdering::Same => Decision::Write,
            VersionOrdering::Older => Decision::Refused(removal_conflict(id, &self.version, stored)),
        }
    }

    fn expect(&mut self, stored: Option<StoredVersion>) {
        self.removal.precondition = match stored {
            // It holds whatever is there.
            _ if self.version.is_empty() && self.written_by.is_none() => Precondition::None,
            None => Precondition::Absent,
            Some(stored) => Precondition::Matches(stored),
        };
    }

    async fn apply(changes: &Changes<'_>, batch: &[Self]) -> Result<Vec<Outcome>, IndexError> {
        let removals: Vec<Removal> = batch.iter().map(|change| change.removal.clone()).collect();
        changes.worker.index.delete(changes.target, &removals).await
    }

    fn outcome(&self) -> AcceptedOutcome {
        AcceptedOutcome::Removed(self.version.clone())
    }
}
