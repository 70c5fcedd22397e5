//! Removals of a chunk: which of them still hold, given what the index has, and their execution.

use super::{
    chunk::{MOST_ROUNDS, Tally, answered_all, compare, refused_by_index, stored, too_many_conflicts},
    content::version_of,
    decide::{removal_conflict, rewritten},
    run::Worker,
};
use crate::fault::Fault;
use host_core::{
    index::{Outcome, Precondition, Removal, StoredVersion, WriteTarget},
    model::{Document, DocumentId, document::WRITTEN_BY},
    plugin::VersionOrdering,
};
use serde_json::{Map, Value};

/// A removal as its chunk says it.
struct Wanted {
    id: DocumentId,
    /// It holds for this version and older ones; empty: for any.
    version: Map<String, Value>,
    /// It holds only for what this job wrote.
    written_by: Option<String>,
}

impl Wanted {
    fn of(removal: Document, version_fields: &[String]) -> Self {
        let written_by = removal.fields.get(WRITTEN_BY).and_then(Value::as_str).map(str::to_owned);
        Self { version: version_of(&removal.fields, version_fields), id: removal.id, written_by }
    }

    /// Whether it holds whatever is there.
    fn is_unconditional(&self) -> bool {
        self.version.is_empty() && self.written_by.is_none()
    }

    fn is_of_another_writer(&self, stored: &StoredVersion) -> bool {
        self.written_by.is_some() && self.written_by != stored.job_id
    }

    /// The versions that are to be compared, if any are.
    fn pair(&self, stored: Option<&StoredVersion>) -> Option<(Map<String, Value>, Map<String, Value>)> {
        let stored =
            stored.filter(|stored| !self.version.is_empty() && !self.is_of_another_writer(stored))?;
        Some((self.version.clone(), stored.version.clone()))
    }
}

pub(super) async fn remove(
    worker: &Worker,
    target: &WriteTarget,
    removals: Vec<Document>,
    tally: &mut Tally,
) -> Result<(), Fault> {
    let fields = &worker.version.manifest().version_fields;
    let mut batch: Vec<Wanted> = removals.into_iter().map(|removal| Wanted::of(removal, fields)).collect();
    for _ in 0..MOST_ROUNDS {
        if batch.is_empty() {
            return Ok(());
        }
        batch = remove_round(worker, target, batch, tally).await?;
    }
    Err(too_many_conflicts(target))
}

/// Decides about each removal and carries it out. Gives those whose documents somebody else wrote meanwhile.
async fn remove_round(
    worker: &Worker,
    target: &WriteTarget,
    batch: Vec<Wanted>,
    tally: &mut Tally,
) -> Result<Vec<Wanted>, Fault> {
    let ids: Vec<DocumentId> = batch.iter().map(|wanted| wanted.id.clone()).collect();
    let stored = stored(worker, target, &ids).await?;
    let pairs = batch.iter().zip(&stored).filter_map(|(wanted, stored)| wanted.pair(stored.as_ref()));
    let mut orderings = compare(worker, pairs.collect()).await?.into_iter();

    let mut accepted = Vec::with_capacity(ids.len());
    // What stays is not to be archived because an old export wanted it gone.
    let mut kept = Vec::new();
    for (wanted, stored) in batch.into_iter().zip(stored) {
        let refused = match &stored {
            None => None,
            Some(stored) if wanted.is_of_another_writer(stored) => {
                Some(rewritten(wanted.id.as_str(), stored))
            }
            Some(stored) if wanted.version.is_empty() => None,
            Some(stored) => match orderings.next().expect("compare answers each pair") {
                Ok(VersionOrdering::Newer | VersionOrdering::Same) => None,
                Ok(VersionOrdering::Older) => {
                    Some(removal_conflict(wanted.id.as_str(), &wanted.version, stored))
                }
                Err(refusal) => {
                    let mut entry = refusal.into_entry(worker.version.manifest());
                    entry.document_id = Some(wanted.id.to_string());
                    Some(entry)
                }
            },
        };
        match refused {
            Some(entry) => {
                tally.refuse(entry);
                kept.push(wanted.id);
            }
            None => {
                let precondition = match stored {
                    _ if wanted.is_unconditional() => Precondition::None,
                    None => Precondition::Absent,
                    Some(stored) => Precondition::Matches(stored),
                };
                accepted.push((Removal { id: wanted.id.clone(), precondition }, wanted));
            }
        }
    }
    worker.index.mark_seen(target, &kept).await?;
    if accepted.is_empty() {
        return Ok(Vec::new());
    }
    let (removals, accepted): (Vec<Removal>, Vec<Wanted>) = accepted.into_iter().unzip();
    let outcomes = worker.index.delete(target, &removals).await?;
    answered_all(target, accepted.len(), outcomes.len())?;
    let mut conflicting = Vec::new();
    for (wanted, outcome) in accepted.into_iter().zip(outcomes) {
        match outcome {
            // Counted whether it was there or not: a repetition after a crash must count the same.
            Outcome::Done => tally.remove(),
            Outcome::Refused { code, message } => tally.refuse(refused_by_index(&wanted.id, code, message)),
            Outcome::Conflict => conflicting.push(wanted),
        }
    }
    Ok(conflicting)
}
