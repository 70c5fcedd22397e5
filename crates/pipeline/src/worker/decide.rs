//! Write protection: decides whether a document is written, given what the index has of it
//! (`docs/write-protection.md`).

use super::{
    changes::{Change, Changes},
    chunk_counts::AcceptedOutcome,
    content::{is_partial, is_same_content},
};
use host_core::{
    index::{IndexError, Outcome, Precondition, StoredVersion, Write},
    model::{DocumentId, EntryClass, Job, Operation, ReportEntry, SameVersion},
    plugin::VersionOrdering,
};
use serde_json::{Map, Value};

/// What is done with a write or a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The change is made.
    Write,
    /// The change is made if the job is later than the one that wrote the document; otherwise it is refused with this
    /// entry.
    WriteIfLater(ReportEntry),
    /// The change is made, unless the export of the job that wrote the document was taken later; then it is refused with
    /// this entry.
    WriteUnlessEarlier(ReportEntry),
    /// Nothing is left to do: this very job has written the document before, and then crashed or lost the index's
    /// answer.
    Written,
    /// Nothing is left to do: another job has written the same content. Holds the version that the index has.
    Unchanged(Map<String, Value>),
    /// The change is not made: the index has something that must not be overwritten, or versions could not be compared.
    Refused(ReportEntry),
}

/// Whether the index has the document with this content and version: then the plug-in need not compare versions.
fn is_same(write: &Write, stored: &StoredVersion) -> bool {
    is_same_content(write, stored) && stored.version == write.version
}

impl Change for Write {
    fn id(&self) -> &DocumentId {
        &self.document.id
    }

    fn version_to_compare(&self, stored: &StoredVersion) -> Option<&Map<String, Value>> {
        (!is_same(self, stored)).then_some(&self.version)
    }

    fn decide(&self, stored: &StoredVersion, ordering: VersionOrdering, job: &Job) -> Decision {
        decide(self, stored, ordering, job.id.as_str(), job.same_version)
    }

    fn expect(&mut self, stored: Option<StoredVersion>) {
        self.precondition = stored.map_or(Precondition::Absent, Precondition::Matches);
    }

    async fn apply(changes: &Changes<'_>, batch: &[Self]) -> Result<Vec<Outcome>, IndexError> {
        match changes.operation {
            Operation::UpdateDocuments => changes.worker.index.update(changes.target, batch).await,
            _ => changes.worker.index.write(changes.target, batch).await,
        }
    }

    fn outcome(&self) -> AcceptedOutcome {
        AcceptedOutcome::Written(self.version.clone())
    }
}

/// The decision for a document that the index has in some version. `ordering` says how the incoming version compares
/// with it.
fn decide(
    write: &Write,
    stored: &StoredVersion,
    ordering: VersionOrdering,
    job_id: &str,
    same_version: SameVersion,
) -> Decision {
    let same_content = is_same_content(write, stored);
    // A partial update was stored in this version; the whole document completes it.
    let completes_an_update =
        stored.content_hash.as_deref().is_some_and(is_partial) && !is_partial(&write.content_hash);
    let by_this_job = stored.job_id.as_deref() == Some(job_id);
    match ordering {
        VersionOrdering::Newer => Decision::Write,
        VersionOrdering::Older => Decision::Refused(conflict("older-version", write, stored)),
        // An archived document comes back: nothing is overwritten that a search would find.
        VersionOrdering::Same if stored.is_archived => Decision::Write,
        VersionOrdering::Same if same_content && by_this_job => Decision::Written,
        VersionOrdering::Same if same_content => Decision::Unchanged(stored.version.clone()),
        VersionOrdering::Same if completes_an_update => {
            Decision::WriteUnlessEarlier(conflict("same-version", write, stored))
        }
        // An export has one id and version twice, with different content: the first stays.
        VersionOrdering::Same if by_this_job => Decision::Refused(conflict("same-version", write, stored)),
        VersionOrdering::Same => match same_version {
            SameVersion::Write => Decision::Write,
            SameVersion::Newer => Decision::WriteIfLater(conflict("same-version", write, stored)),
            SameVersion::Conflict => Decision::Refused(conflict("same-version", write, stored)),
        },
    }
}

/// The report entry of a removal that is older than the document in the index.
pub(super) fn removal_conflict(
    id: &str,
    version: &Map<String, Value>,
    stored: &StoredVersion,
) -> ReportEntry {
    entry("older-removal", id, version, stored, false)
}

/// The report entry of a removal that holds only for what one job wrote, of a document that another job has written
/// since.
pub(super) fn rewritten(id: &str, stored: &StoredVersion) -> ReportEntry {
    entry("rewritten", id, &Map::new(), stored, false)
}

/// The version of the document in the index, as a conflict's entry made here has it; `None` for other entries.
pub(super) fn stored_version(entry: &ReportEntry) -> Option<&Map<String, Value>> {
    entry.details.get(STORED).and_then(Value::as_object).filter(|_| entry.class == EntryClass::Conflict)
}

/// Key of the detail of a conflict's report entry that holds the version in the index.
const STORED: &str = "stored";

fn conflict(code: &str, write: &Write, stored: &StoredVersion) -> ReportEntry {
    entry(code, write.document.id.as_str(), &write.version, stored, is_partial(&write.content_hash))
}

fn entry(
    code: &str,
    id: &str,
    incoming: &Map<String, Value>,
    stored: &StoredVersion,
    is_update: bool,
) -> ReportEntry {
    let (ours, theirs) = (spell(incoming), spell(&stored.version));
    let message = match code {
        "older-version" => {
            format!("the index holds a newer version ({theirs}) than this one ({ours}); it was left alone")
        }
        "older-removal" => format!(
            "the index holds a newer version ({theirs}) than this removal ({ours}); it was left alone"
        ),
        "rewritten" => {
            "the document was written again since it was decided to remove it; it was left alone".to_owned()
        }
        "same-version" if is_update => format!(
            "the index holds this version already ({theirs}), with other fields or values than this update has; it was \
             left alone, because it is not known to be older; `--same-version write` updates it"
        ),
        _ => format!(
            "the index holds other content of the same version ({theirs}); it was left alone, because it is not known to be \
             older; `--same-version write` overwrites it"
        ),
    };
    let mut entry = ReportEntry::new(EntryClass::Conflict, code, message)
        .with("incoming", incoming.clone())
        .with(STORED, stored.version.clone());
    if let Some(job) = &stored.job_id {
        entry = entry.with("stored_by_job", job.as_str());
    }
    entry.document_id = Some(id.to_owned());
    entry
}

/// A version as messages show it: names and values of its fields.
pub(super) fn spell(version: &Map<String, Value>) -> String {
    if version.is_empty() {
        return "no version".to_owned();
    }
    let fields: Vec<_> = version
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name} {text}"),
            other => format!("{name} {other}"),
        })
        .collect();
    fields.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::content::{prepare, prepare_update};
    use host_core::model::Document;

    fn write(title: &str) -> Write {
        let line = format!(r#"{{"_id":"1","title":"{title}","updated_at":"2026-01-01T00:00:00Z"}}"#);
        prepare(Document::from_line(&line).unwrap(), &["updated_at".to_owned()])
    }

    fn stored(title: &str, job: &str) -> StoredVersion {
        let write = write(title);
        StoredVersion {
            version: write.version,
            content_hash: Some(write.content_hash),
            job_id: Some(job.to_owned()),
            is_archived: false,
        }
    }

    #[test]
    fn whole_documents_are_decided_as_the_table_in_the_documentation_says() {
        use SameVersion::{Conflict as Refuse, Newer as IfLater, Write as Rewrite};
        use VersionOrdering::{Newer, Older, Same};
        let decided = |ordering, title: &str, job: &str, same_version| match decide(
            &write("new"),
            &stored(title, job),
            ordering,
            "this",
            same_version,
        ) {
            Decision::Refused(entry) => entry.code,
            Decision::Unchanged(_) => "unchanged".to_owned(),
            Decision::WriteIfLater(_) => "if later".to_owned(),
            other => format!("{other:?}").to_lowercase(),
        };
        for (ordering, title, job, same_version, expected) in [
            (Newer, "old", "other", Refuse, "write"),
            (Newer, "new", "other", Refuse, "write"),
            (Older, "old", "other", Refuse, "older-version"),
            (Older, "old", "other", Rewrite, "older-version"),
            (Older, "new", "this", Refuse, "older-version"),
            (Same, "new", "this", Refuse, "written"),
            (Same, "new", "other", Refuse, "unchanged"),
            (Same, "new", "other", Rewrite, "unchanged"),
            (Same, "old", "other", Refuse, "same-version"),
            (Same, "old", "other", Rewrite, "write"),
            (Same, "old", "other", IfLater, "if later"),
            (Same, "new", "other", IfLater, "unchanged"),
            (Older, "old", "other", IfLater, "older-version"),
            (Same, "old", "this", IfLater, "same-version"),
            // An export has one id and version twice, with different content: the first stays, whatever the setting.
            (Same, "old", "this", Rewrite, "same-version"),
        ] {
            assert_eq!(
                decided(ordering, title, job, same_version),
                expected,
                "{ordering:?} {title} {job} {same_version:?}"
            );
        }
    }

    #[test]
    fn an_archived_document_comes_back_in_its_version() {
        use VersionOrdering::{Older, Same};
        for (ordering, title, is_written) in [(Same, "new", true), (Same, "old", true), (Older, "new", false)]
        {
            let archived = StoredVersion { is_archived: true, ..stored(title, "other") };
            let decided = decide(&write("new"), &archived, ordering, "this", SameVersion::Conflict);
            assert_eq!(decided == Decision::Write, is_written, "{ordering:?} {title}");
        }
    }

    #[test]
    fn partial_updates_and_whole_documents_over_them_are_decided_as_the_table_says() {
        use VersionOrdering::{Newer, Older, Same};
        let document = |title: &str| {
            let line = format!(r#"{{"_id":"1","title":"{title}","updated_at":"2026-01-01T00:00:00Z"}}"#);
            Document::from_line(&line).unwrap()
        };
        let fields = ["updated_at".to_owned()];
        let whole = |title: &str| prepare(document(title), &fields);
        let update = |title: &str| prepare_update(document(title), &fields);
        for (ordering, incoming, before, job, expected) in [
            (Newer, update("new"), whole("old"), "other", "write"),
            (Older, update("new"), whole("old"), "other", "older-version"),
            (Same, update("new"), update("new"), "this", "written"),
            (Same, update("new"), update("new"), "other", "unchanged"),
            (Same, update("all"), whole("all"), "other", "unchanged"),
            (Same, update("new"), whole("old"), "other", "same-version"),
            (Same, update("new"), update("old"), "other", "same-version"),
            // The whole document has the fields that an update of the same version lacked.
            (Same, whole("all"), update("all"), "other", "unless earlier"),
            (Older, whole("all"), update("all"), "other", "older-version"),
        ] {
            let stored = StoredVersion {
                version: before.version.clone(),
                content_hash: Some(before.content_hash.clone()),
                job_id: Some(job.to_owned()),
                is_archived: false,
            };
            let decided = match decide(&incoming, &stored, ordering, "this", SameVersion::Conflict) {
                Decision::Refused(entry) => entry.code,
                Decision::Unchanged(_) => "unchanged".to_owned(),
                Decision::WriteUnlessEarlier(_) => "unless earlier".to_owned(),
                other => format!("{other:?}").to_lowercase(),
            };
            assert_eq!(decided, expected, "{ordering:?} {incoming:?} {before:?} {job}");
        }
    }

    #[test]
    fn a_conflict_names_both_versions_and_the_other_job() {
        let Decision::Refused(entry) =
            decide(&write("new"), &stored("old", "j"), VersionOrdering::Older, "this", SameVersion::Conflict)
        else {
            panic!("no conflict")
        };
        let version = "updated_at 2026-01-01T00:00:00Z";
        let expected = format!(
            "the index holds a newer version ({version}) than this one ({version}); it was left alone"
        );
        assert_eq!((entry.message, entry.document_id.as_deref()), (expected, Some("1")));
        assert_eq!(entry.details["incoming"]["updated_at"], "2026-01-01T00:00:00Z");
        assert_eq!(entry.details["stored_by_job"], "j");
    }
}
