//! Jobs: a job is one sync of one shop into one index. Ingest reads the export and publishes chunks of documents;
//! workers write the chunks; once ingest has sealed the job (fixed the number of its chunks) and all are counted, the
//! job ends.

use crate::{
    index::TargetId,
    model::{Counts, Digest, Operation, ReportEntry},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Globally unique id of a job: a UUID, or what the caller chose: 1 to 100 characters of `[A-Za-z0-9._-]`, the first
/// not a dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// Validates an id; `None` if it is empty, longer than 100 characters or unsuitable for a storage key.
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        let is_allowed = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
        (!id.is_empty() && id.len() <= 100 && id.chars().all(is_allowed) && !id.starts_with('.'))
            .then_some(Self(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Status of a job (`docs/counting.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobStatus {
    /// No chunk has been claimed yet.
    Pending,
    /// Chunks are being processed, or ingest still adds some.
    InProgress,
    /// Ended: every item was processed or skipped.
    Completed,
    /// Ended: no item failed, but some were in conflict, such as older than what the index holds.
    Conflict,
    /// Ended: some items failed, or the job was cancelled or superseded.
    Failed,
}

impl JobStatus {
    /// The status of a job that ended with these counts: FAILED if any item failed, else CONFLICT if any was in
    /// conflict, else COMPLETED.
    pub fn from_final_counts(counts: &Counts) -> Self {
        match counts {
            Counts { failed: 1.., .. } => Self::Failed,
            Counts { conflict: 1.., .. } => Self::Conflict,
            _ => Self::Completed,
        }
    }

    /// Whether the status is final.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Conflict | Self::Failed)
    }

    /// The name in stored records and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Conflict => "CONFLICT",
            Self::Failed => "FAILED",
        }
    }
}

/// Identity of a plug-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRef {
    /// Name, as the plug-in's manifest (its description of itself) says.
    pub name: String,
    /// Version, as its manifest says.
    pub version: String,
    /// Digest of the bytes of its WebAssembly component.
    pub digest: Digest,
}

/// The immutable part of a job, known when it is created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Id of the job.
    pub id: JobId,
    /// Platform whose exports the plug-in reads: `shopify`.
    pub platform: String,
    /// The shop: `example.myshopify.com`.
    pub shop_id: String,
    /// Name of the index that the job writes.
    pub index_name: String,
    /// The server or database that the index is in; empty in records of versions that knew one only.
    #[serde(default)]
    pub target: TargetId,
    /// What the job as a whole does; removals are in separate chunks with their own operation.
    pub operation: Operation,
    /// Time of creation, by the clock of the process that created it.
    pub created_at: Timestamp,
    /// Number of the job among those of its shop and index, from 1, which storage assigns. 0 before that, and in
    /// records of older versions of host.
    #[serde(default)]
    pub sequence: u64,
    /// When the export was taken from the shop; `None` where that is not known.
    #[serde(default)]
    pub exported_at: Option<Timestamp>,
    /// Number of lanes that its documents are distributed over (chunks of one lane are processed in order). Storage
    /// decides it, because all chunks of an index that wait must be distributed over the same number. 0 in records of
    /// older versions.
    #[serde(default)]
    pub lanes: u16,
    /// The plug-in that transforms products into documents.
    pub plugin: PluginRef,
    /// Digest of everything that determines the chunks: sources, configuration, plug-in. A run with the fingerprint of
    /// a job that has not ended continues that job.
    pub fingerprint: Digest,
    /// The sources of the export, as the user named them.
    pub sources: Vec<String>,
    /// How to treat a document with the stored version and other content.
    #[serde(default)]
    pub same_version: SameVersion,
    /// Digest of everything that makes documents of a product's lines: plug-ins and their configuration. `None` in
    /// records of older versions.
    #[serde(default)]
    pub transform_digest: Option<Digest>,
    /// Whether products that are unchanged according to the ledger (what host remembers of each product) are counted
    /// without being made into documents again.
    #[serde(default)]
    pub skips_unchanged: bool,
    /// Whether the export holds the whole shop, so that missing products are archived at the end
    /// (`docs/archiving.md`).
    #[serde(default)]
    pub full: bool,
    /// The full sync whose missing products this job removes; none in other jobs, and in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removes_missing_of: Option<JobId>,
}

/// The folder of a job's objects: `{platform}/{shop_id}/bulk/{job_id}`.
pub(super) fn folder(platform: &str, shop_id: &str, job_id: &JobId) -> String {
    format!("{platform}/{shop_id}/bulk/{job_id}")
}

impl Job {
    /// Whether it was created after another job of its index. Jobs of older versions of host, which have no number,
    /// come before all others.
    pub fn is_after(&self, other: &Self) -> bool {
        (self.sequence, self.created_at) > (other.sequence, other.created_at)
    }

    /// Whether both write the same index of the same shop, so that their numbers can be compared.
    pub fn is_of_same_index(&self, other: &Self) -> bool {
        (&self.shop_id, &self.index_name) == (&other.shop_id, &other.index_name)
    }

    /// Whether other plug-ins, or another configuration of them, do the same operation; false if one is not known.
    pub fn has_other_transform_than(&self, other: &Self) -> bool {
        self.operation == other.operation
            && matches!((self.transform_digest, other.transform_digest), (Some(one), Some(other)) if one != other)
    }

    /// Prefix of the storage keys of all the job's objects, without a trailing slash.
    pub fn folder(&self) -> String {
        folder(&self.platform, &self.shop_id, &self.id)
    }
}

/// How to treat a document whose version equals the stored one while its content differs (`docs/write-protection.md`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SameVersion {
    /// Write it if its export was taken later than that of the stored document, or if it is the same export and the
    /// plug-ins or their configuration have changed; otherwise report a conflict
    #[default]
    Newer,
    /// Report a conflict: another writer has used this version for other content
    Conflict,
    /// Write it
    Write,
}

/// What ingest stores when it seals a job: no chunk can be added afterwards. A job can end only once it is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Number of chunks.
    pub chunks: u32,
    /// Number of items: documents, removals, and items refused before they became either.
    pub total_items: u64,
    /// Items that are in no chunk, because ingest refused them (`failed`, `skipped`) or found them unchanged.
    #[serde(rename = "refused")]
    pub ingest_counts: Counts,
    /// Statistics of the sources.
    pub source: SourceStats,
    /// The first refused items, at most 20 of each class.
    pub samples: Vec<ReportEntry>,
    /// Storage keys of ingest's reports, which hold all refused items in order.
    pub reports: Vec<String>,
    /// Totals of the products that are kept for a replay with a corrected plug-in (`host plugin replay`).
    #[serde(default)]
    pub quarantine: QuarantinedProducts,
    /// Digest of the storage object that lists the ids of the products and documents in the chunks. Where there is such
    /// a list, the chunks are not needed once the job has ended. `None` in records of older versions, and of jobs whose
    /// chunks a program other than host published.
    #[serde(default)]
    pub ids: Option<Digest>,
}

/// Totals of the products on which a plug-in failed or which it refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedProducts {
    /// Products kept.
    pub products: u64,
    /// Products not kept, because as many were kept as the settings allow.
    pub left_out: u64,
    /// Number of storage objects with the kept products.
    pub objects: u32,
}

/// Statistics of the sources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStats {
    /// Lines, not counting empty ones.
    pub lines: u64,
    /// Products.
    pub products: u64,
    /// Bytes after decompression.
    pub bytes: u64,
    /// Lines that are not UTF-8 or not a JSON object.
    pub rejected_lines: u64,
    /// Lines whose product is missing from the export.
    pub orphans: u64,
    /// Whether the last page of an API's answer says that another page follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_pages: bool,
    /// How lines were grouped into products: `whole-lines`, `adjacent` or `spill` (`docs/grouping.md`).
    pub grouping: String,
}
