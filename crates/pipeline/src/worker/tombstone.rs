//! Keeps a removed product or document from coming back with an older document that arrives late. The ledger's record
//! of a removal serves as a tombstone (`docs/ledger.md`).

use super::{
    chunk_counts::ChunkCounts, chunk_error::ChunkError, content::version_of, decide::spell,
    ledger::ChunkLedger, removal::ConditionalRemoval,
};
use host_core::{
    model::{
        Document, DocumentId, EntryClass, JobRecency, LedgerRecord, ProductState, ReportEntry, SameVersion,
    },
    plugin::VersionOrdering,
};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

impl ChunkLedger<'_> {
    /// The removals of this document, or of its product as a whole, that the ledger knows.
    fn tombstones(&self, id: &DocumentId) -> Vec<Tombstone<'_>> {
        let Some(record) = self.record(id) else { return Vec::new() };
        let tombstone = |version| Tombstone { record, version };
        match record.state {
            ProductState::Removed | ProductState::Absent => Some(&record.version)
                .filter(|version| !version.is_empty())
                .map(tombstone)
                .into_iter()
                .collect(),
            ProductState::Live | ProductState::Refused => {
                record.versions_without(id).map(tombstone).collect()
            }
        }
    }

    /// Compares the versions of the chunk's documents and removals with the removals that the ledger knows, and keeps
    /// the result in `since_removal`. Counts those whose versions cannot be compared as failed, and returns the
    /// others.
    pub(super) async fn compare(
        &mut self,
        documents: Vec<Document>,
        counts: &mut ChunkCounts,
    ) -> Result<Vec<Document>, ChunkError> {
        let fields = &self.worker.version.manifest().version_fields;
        let mut pairs = Vec::new();
        let mut compared = Vec::new();
        for document in &documents {
            let version = version_of(&document.fields, fields);
            let tombstones = if version.is_empty() { Vec::new() } else { self.tombstones(&document.id) };
            for tombstone in tombstones {
                pairs.push((version.clone(), tombstone.version.clone()));
                compared.push(document.id.clone());
            }
        }
        if pairs.is_empty() {
            return Ok(documents);
        }
        let orderings = self.worker.version.compare(pairs).await?;
        let mut refused = BTreeSet::new();
        for (id, ordering) in compared.into_iter().zip(orderings) {
            match ordering {
                Ok(ordering) => {
                    if let Some(info) = self.documents.get_mut(&id) {
                        // Of several tombstones, the newest decides.
                        info.since_removal = Some(match (info.since_removal, ordering) {
                            (Some(VersionOrdering::Older), _) | (_, VersionOrdering::Older) => {
                                VersionOrdering::Older
                            }
                            (Some(VersionOrdering::Same), _) | (_, VersionOrdering::Same) => {
                                VersionOrdering::Same
                            }
                            _ => VersionOrdering::Newer,
                        });
                    }
                }
                Err(_) if refused.contains(&id) => {}
                Err(refusal) => {
                    let entry = refusal.into_entry(self.worker.version.manifest());
                    counts.add_entry(ReportEntry { document_id: Some(id.to_string()), ..entry });
                    refused.insert(id);
                }
            }
        }
        Ok(documents.into_iter().filter(|document| !refused.contains(&document.id)).collect())
    }

    /// Leaves out documents of removed products that are not newer than the removal: they come late, from a dead
    /// letter, a replay or another lane. Returns the others, and the removals of these as far as this job wrote them.
    pub(super) fn leave_out_removed(
        &self,
        documents: Vec<Document>,
        counts: &mut ChunkCounts,
    ) -> (Vec<Document>, Vec<ConditionalRemoval>) {
        let mut left_out = Vec::new();
        let mut stays = |document: &Document| {
            let ordering = self.documents.get(&document.id).and_then(|info| info.since_removal);
            let (Some(ordering), Some(tombstone)) =
                (ordering, self.tombstones(&document.id).into_iter().next())
            else {
                return true;
            };
            if self.outlives(ordering, &tombstone) {
                return true;
            }
            let fields = &self.worker.version.manifest().version_fields;
            counts.add_entry(tombstone.refusal(document, &version_of(&document.fields, fields), ordering));
            let (id, version) = (document.id.clone(), tombstone.version.clone());
            left_out.push(ConditionalRemoval::of_own(id, version, &self.job.id));
            false
        };
        let documents = documents.into_iter().filter(|document| stays(document)).collect();
        (documents, left_out)
    }

    /// Whether a document may be written, given how its version compares with the tombstone's.
    fn outlives(&self, ordering: VersionOrdering, tombstone: &Tombstone<'_>) -> bool {
        match (ordering, tombstone.record.state) {
            (VersionOrdering::Newer, _) => true,
            (VersionOrdering::Older, _) => false,
            (VersionOrdering::Same, ProductState::Removed) if tombstone.record.job_id == self.job.id => false,
            (VersionOrdering::Same, ProductState::Removed) => match self.job.same_version {
                SameVersion::Write => true,
                SameVersion::Newer => {
                    let (recency, now) = (JobRecency::of(self.job), self.worker.clock.now());
                    tombstone.record.order.is_some_and(|removal| recency.has_later_export_than(removal, now))
                }
                SameVersion::Conflict => false,
            },
            // A full sync lacked the product. An export that was taken after that one and has the product is right;
            // an earlier one is not.
            (VersionOrdering::Same, ProductState::Absent) => {
                let absent = tombstone.record.order;
                absent.is_none_or(|absent| absent.exported_at <= JobRecency::of(self.job).exported_at)
            }
            (VersionOrdering::Same, _) => true,
        }
    }
}

/// A record of the ledger that says that a document, or its whole product, has left the index.
struct Tombstone<'a> {
    record: &'a LedgerRecord,
    /// The version of the product in which it left.
    version: &'a Map<String, Value>,
}

impl Tombstone<'_> {
    /// The report entry of a document that is left out.
    fn refusal(
        &self,
        document: &Document,
        version: &Map<String, Value>,
        ordering: VersionOrdering,
    ) -> ReportEntry {
        let (ours, theirs) = (spell(version), spell(self.version));
        let LedgerRecord { product, job_id, state, .. } = self.record;
        let entry = if *state == ProductState::Live {
            let message = format!(
                "version {theirs} of product {product} does not have this document any more, and this version ({ours}) is not newer; \
                 it was left out"
            );
            ReportEntry::new(EntryClass::Conflict, "removed-document", message)
        } else if (*state, ordering) == (ProductState::Absent, VersionOrdering::Same) {
            let message = format!(
                "a later export than this one did not have product {product} any more, says job {job_id}; it was \
                 left out, and `--exported-at` says if this export is the later one"
            );
            ReportEntry::new(EntryClass::Conflict, "removed-product", message)
        } else {
            let or_write = match ordering {
                VersionOrdering::Same => {
                    ", nor is this export known to be later; `--same-version write` brings it back"
                }
                _ => "",
            };
            let message = format!(
                "product {product} was removed in version {theirs} by job {job_id}, and this version ({ours}) is not newer; it was \
                 left out{or_write}"
            );
            ReportEntry::new(EntryClass::Conflict, "removed-product", message)
        };
        let mut entry = entry.with("incoming", version.clone()).with("removed", self.version.clone());
        if *state != ProductState::Live {
            entry = entry.with("removed_by_job", job_id.as_str());
        }
        ReportEntry { document_id: Some(document.id.to_string()), ..entry }
    }
}
