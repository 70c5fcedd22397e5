//! Whether documents that a full sync did not have may leave an index.

use crate::{
    format::counted,
    model::{Class, Entry, JobId, JobStatus, Seal, job::SourceStats},
    storage::JobSnapshot,
};
use std::fmt;

/// How many documents may leave an index after one full sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveLimit {
    /// Most of the active products, in percent; more looks like half an export.
    pub max_percent: u8,
    /// Overrides every refusal that can be overridden, this limit among them.
    pub force: bool,
}

impl ArchiveLimit {
    /// Whether archiving continues despite this refusal.
    pub fn overrides(self, refusal: &ArchiveRefusal) -> bool {
        self.force && refusal.is_overridable()
    }

    /// The refusal if so many may not leave the index.
    pub fn refusal(self, missing: u64, active: u64) -> Option<TooManyMissing> {
        let Self { max_percent, force } = self;
        let is_too_many = missing * 100 > active * u64::from(max_percent);
        (is_too_many && !force).then_some(TooManyMissing { missing, active, max_percent })
    }
}

/// Why nothing is archived after a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveRefusal {
    /// The export was not said to be the whole shop.
    NotFull,
    /// Its export was not read to the end.
    NotSealed,
    /// Not all of its chunks are written.
    NotEnded,
    /// Items failed, so their documents were not seen.
    Failed(Box<Failures>),
    /// Lines could not be read: the export may be truncated.
    RejectedLines(u64),
    /// Lines belong to products that are not in the export.
    Orphans(u64),
    /// It had no products.
    Empty,
    /// Another job is being ingested into the same index; what it has is not known yet.
    Ingesting(JobId),
    /// Too many products are missing.
    Share(TooManyMissing),
}

/// Items of a full sync that failed, though the shop has their products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures {
    /// The job.
    pub job: JobId,
    /// How many.
    pub items: u64,
    /// The first of them, and why.
    pub first: Vec<String>,
    /// Why it is not known which documents are theirs, if that is so.
    pub unknown: Option<String>,
}

/// Failures that a message names.
const NAMED: usize = 3;

impl Failures {
    fn of(job: &JobSnapshot, seal: &Seal) -> Self {
        let failed = job.samples.iter().filter(|entry| entry.class == Class::Failed);
        let kept = seal.quarantine.products;
        let unknown = if seal.refused.failed > kept {
            let lost = seal.refused.failed - kept;
            Some(format!(
                "{lost} products that the plug-in refused were not kept (`ingest.quarantine_bytes`)"
            ))
        } else if kept > 0 && !seal.ids_in_products {
            Some("the plug-in uses document ids that do not appear in their products".to_owned())
        } else {
            None
        };
        Self {
            job: job.job.id.clone(),
            items: job.counts.failed,
            first: failed.take(NAMED).map(describe_item).collect(),
            unknown,
        }
    }
}

fn describe_item(entry: &Entry) -> String {
    let Entry { document_id, line, code, .. } = entry;
    match (document_id, line) {
        (Some(id), _) => format!("document {id} ({code})"),
        (None, Some(line)) => format!("the product of line {line} ({code})"),
        (None, None) => code.clone(),
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, items, first, unknown } = self;
        write!(
            f,
            "{} failed, whose products it may be missing: {}",
            counted(*items, "item"),
            first.join(", ")
        )?;
        let more = if *items > first.len() as u64 { " …" } else { "" };
        write!(f, "{more}; `host jobs report {job}` says why")?;
        match unknown {
            Some(reason) => write!(f, ". It is not known which documents are theirs: {reason}"),
            None => Ok(()),
        }
    }
}

/// Too many products would be archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyMissing {
    /// Products that are not in the export.
    pub missing: u64,
    /// Products that are active.
    pub active: u64,
    /// The allowed maximum, in percent.
    pub max_percent: u8,
}

impl fmt::Display for ArchiveRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFull => f.write_str("its export was not said to be the whole shop (--full)"),
            Self::NotSealed => f.write_str("its export was not read to the end"),
            Self::NotEnded => f.write_str("not all of its chunks are written"),
            Self::Failed(failures) => failures.fmt(f),
            Self::RejectedLines(lines) => {
                let lines = counted(*lines, "line");
                write!(f, "{lines} of the export could not be read, which may be cut off")
            }
            Self::Orphans(lines) => {
                let belong = if *lines == 1 { "belongs to a product" } else { "belong to products" };
                let lines = counted(*lines, "line");
                write!(f, "{lines} {belong} that the export does not have, which may be cut off")
            }
            Self::Ingesting(job) => {
                write!(f, "job {job} is being read into the same index; archive when it has ended")
            }
            Self::Empty => f.write_str("its export has no products"),
            Self::Share(TooManyMissing { missing, active, max_percent }) => write!(
                f,
                "{missing} of {active} products are missing from its export, and at most {max_percent} % may be archived"
            ),
        }
    }
}

impl ArchiveRefusal {
    /// Whether an operator who has looked into it may override it.
    pub fn is_overridable(&self) -> bool {
        match self {
            Self::RejectedLines(_) | Self::Orphans(_) | Self::Share(_) => true,
            // What failed stays, if that is known.
            Self::Failed(failures) => failures.unknown.is_none(),
            Self::NotFull | Self::NotSealed | Self::NotEnded | Self::Empty | Self::Ingesting(_) => false,
        }
    }

    /// The refusal after a job, if there is one; the share of missing products is checked later.
    pub fn after(job: &JobSnapshot) -> Option<Self> {
        let Some(seal) = &job.seal else { return Some(Self::NotSealed) };
        let SourceStats { products, rejected_lines, orphans, .. } = seal.source;
        match job.status {
            _ if !job.job.full => Some(Self::NotFull),
            JobStatus::Pending | JobStatus::InProgress => Some(Self::NotEnded),
            JobStatus::Failed => Some(Self::Failed(Box::new(Failures::of(job, seal)))),
            // Before what may be overridden: the whole shop is never archived.
            _ if products == 0 => Some(Self::Empty),
            _ if rejected_lines > 0 => Some(Self::RejectedLines(rejected_lines)),
            _ if orphans > 0 => Some(Self::Orphans(orphans)),
            JobStatus::Completed | JobStatus::Conflict => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Counts, Digest, Job, Operation, PluginRef, Quarantined, SameVersion};
    use jiff::Timestamp;

    /// A full sync of which some items failed, the first in the plug-in.
    fn failed(refused: u64, kept: u64, ids_in_products: bool) -> JobSnapshot {
        let counts = |failed| Counts { failed, ..Counts::default() };
        let job = Job {
            id: JobId::new("job").unwrap(),
            platform: "shopify".to_owned(),
            shop_id: "shop".to_owned(),
            index_name: "products".to_owned(),
            target: "catalog".into(),
            operation: Operation::AddDocuments,
            created_at: Timestamp::UNIX_EPOCH,
            plugin: PluginRef { name: "p".to_owned(), version: "1".to_owned(), digest: Digest::of(b"p") },
            fingerprint: Digest::of(b"f"),
            sources: Vec::new(),
            same_version: SameVersion::Conflict,
            full: true,
        };
        let seal = Seal {
            chunks: 1,
            total_items: 5,
            refused: counts(refused),
            source: SourceStats { products: 5, ..SourceStats::default() },
            samples: Vec::new(),
            reports: Vec::new(),
            quarantine: Quarantined { products: kept, left_out: refused - kept, objects: 1 },
            ids_in_products,
        };
        let entry = |code: &str| Entry::new(Class::Failed, code, "so");
        let samples = vec![
            Entry { line: Some(3), ..entry("plugin-trap") },
            Entry { document_id: Some("7".to_owned()), line: Some(9), ..entry("no-title") },
            entry("lost-input"),
            entry("lost-input"),
        ];
        JobSnapshot {
            job,
            status: JobStatus::Failed,
            seal: Some(seal),
            counts: counts(4),
            chunks: 1,
            completed_chunks: 1,
            samples,
            ended_at: None,
            error_message: None,
            last_error: None,
        }
    }

    #[test]
    fn failures_are_named_and_overridable_only_where_it_is_known_what_stays() {
        let named = "4 items failed, whose products it may be missing: the product of line 3 (plugin-trap), document 7 \
                     (no-title), lost-input …; `host jobs report job` says why";
        for (refused, kept, ids_in_products, unknown) in [
            (1, 1, true, ""),
            // What failed later is in the chunks.
            (0, 0, false, ""),
            (
                2,
                1,
                true,
                ". It is not known which documents are theirs: 1 products that the plug-in refused were not kept \
                 (`ingest.quarantine_bytes`)",
            ),
            (
                1,
                1,
                false,
                ". It is not known which documents are theirs: the plug-in uses document ids that do not appear in \
                 their products",
            ),
        ] {
            let reason = ArchiveRefusal::after(&failed(refused, kept, ids_in_products)).unwrap();
            assert_eq!(reason.to_string(), format!("{named}{unknown}"));
            assert_eq!(reason.is_overridable(), unknown.is_empty());
        }
    }
}
