//! The removals of a chunk, each with the condition under which it holds: a newer document, or one that another job
//! has written since, stays.

use super::{
    changes::{Change, Changes},
    chunk_counts::AcceptedOutcome,
    content::version_of,
    decide::{Decision, removal_conflict, rewritten},
};
use host_core::{
    index::{IndexError, Outcome, Precondition, Removal, StoredVersion},
    model::{
        Document, DocumentId, Job, JobId, SameVersion,
        document::{ARCHIVES_FIELD, JOB_ID_FIELD},
    },
    plugin::VersionOrdering,
};
use serde_json::{Map, Value};

/// A removal, and the conditions that its chunk states.
pub(super) struct ConditionalRemoval {
    removal: Removal,
    /// It holds for this version of the document and older ones; if empty, for any version.
    version: Map<String, Value>,
    /// If set, it holds only for a document that this job was the last to write.
    written_by: Option<String>,
    /// Whether it leaves alone a document that its own job wrote: another product of the job has the document now.
    spares_own_job: bool,
    /// Whether it leaves alone a document of exactly `version`, because a later job has written the product.
    spares_same_version: bool,
}

impl ConditionalRemoval {
    /// The removal that a chunk's line says; `version_fields` are the fields that hold a document's version.
    pub(super) fn of(removal: Document, version_fields: &[String]) -> Self {
        let written_by = removal.fields.get(JOB_ID_FIELD).and_then(Value::as_str).map(str::to_owned);
        let version = version_of(&removal.fields, version_fields);
        // A removal that the host decided on archives unless it says otherwise; earlier versions of the host never did.
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

    /// The removal of a document that this job may have written before it knew that the product was removed in this
    /// version.
    pub(super) fn of_own(id: DocumentId, version: Map<String, Value>, job: &JobId) -> Self {
        let (removal, written_by) = (Removal::of(id), Some(job.to_string()));
        Self { version, removal, written_by, spares_own_job: false, spares_same_version: false }
    }

    /// Whether an export said it, in some version.
    fn is_of_export(&self) -> bool {
        self.written_by.is_none() && !self.version.is_empty()
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
            VersionOrdering::Same if self.is_of_export() && job.same_version != SameVersion::Write => {
                Decision::WriteUnlessEarlier(removal_conflict(id, &self.version, stored))
            }
            VersionOrdering::Newer | VersionOrdering::Same => Decision::Write,
            VersionOrdering::Older => Decision::Refused(removal_conflict(id, &self.version, stored)),
        }
    }

    fn expect(&mut self, stored: Option<StoredVersion>) {
        self.removal.precondition = match stored {
            // A removal without conditions.
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
