//! Jobs: one sync of one shop.

use crate::{
    index::TargetId,
    model::{Counts, Digest, Entry, Operation},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Name of a job, unique everywhere: a UUID made by the host, or what the caller chose, `[A-Za-z0-9._-]` only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// Checks a job id; none if it is empty, longer than 100 characters or unfit for a storage key.
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        (!id.is_empty() && id.len() <= 100 && id.chars().all(fits) && !id.starts_with('.'))
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

/// Where a job stands (seed, step 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobStatus {
    /// No chunk has been claimed.
    Pending,
    /// Chunks are being handled, or more of them are still to come.
    InProgress,
    /// Ended; every item was processed or skipped.
    Completed,
    /// Ended; some items were older than the index, none failed.
    Conflict,
    /// Ended; some items failed.
    Failed,
}

impl JobStatus {
    /// The status of a job that ended with these counts: FAILED over CONFLICT over COMPLETED.
    pub fn of_ended(counts: &Counts) -> Self {
        match counts {
            Counts { failed: 1.., .. } => Self::Failed,
            Counts { conflict: 1.., .. } => Self::Conflict,
            _ => Self::Completed,
        }
    }

    /// Whether nothing will change any more.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Conflict | Self::Failed)
    }

    /// The name in records and output.
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

/// Which plug-in made a job's documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRef {
    /// Name from the manifest.
    pub name: String,
    /// Version from the manifest.
    pub version: String,
    /// Digest of the component's bytes.
    pub digest: Digest,
}

/// What is known of a job when it is created; none of it changes later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Name of the job.
    pub id: JobId,
    /// Platform of the plug-in, `shopify`.
    pub platform: String,
    /// The shop, `example.myshopify.com`.
    pub shop_id: String,
    /// The index that is written.
    pub index_name: String,
    /// Which index that is; empty in records that are older than the choice.
    #[serde(default)]
    pub target: TargetId,
    /// What the job as a whole does; removals travel in chunks of their own operation.
    pub operation: Operation,
    /// When it was created.
    pub created_at: Timestamp,
    /// The plug-in with the transform role.
    pub plugin: PluginRef,
    /// Digest of everything that decides the chunks' bytes: source, configuration, plug-in. A job with the same
    /// fingerprint that has not ended is resumed instead of starting another.
    pub fingerprint: Digest,
    /// Where the export came from, as the user named it.
    pub sources: Vec<String>,
    /// What a document of the same version with other content does.
    #[serde(default)]
    pub same_version: SameVersion,
    /// Whether the export is the whole shop, so that products that it does not have are archived at the end.
    #[serde(default)]
    pub full: bool,
}

/// The folder of a job's objects: `{platform}/{shop_id}/bulk/{job_id}`.
pub(super) fn folder(platform: &str, shop_id: &str, job_id: &JobId) -> String {
    format!("{platform}/{shop_id}/bulk/{job_id}")
}

impl Job {
    /// Under which all objects of the job stand, without a slash at the end (seed, step 3).
    pub fn folder(&self) -> String {
        folder(&self.platform, &self.shop_id, &self.id)
    }
}

/// What happens to a document whose version equals the stored one while its content differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SameVersion {
    /// It is a conflict, as in the seed: somebody else wrote this version.
    #[default]
    Conflict,
    /// It is written: right after a change of plug-in or configuration, which changes content but no version.
    Write,
}

/// What ingest knows at its end. A job may end only when it is sealed: before, more chunks can come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Number of chunks.
    pub chunks: u32,
    /// Number of items: documents, removals, and what was refused before it became either.
    pub total_items: u64,
    /// Items that ingest itself refused (`failed`, `skipped`); they are in no chunk.
    pub refused: Counts,
    /// What was read.
    pub source: SourceStats,
    /// The first refused items, at most 20 of each class.
    pub samples: Vec<Entry>,
    /// Keys of the report objects with all refused items, in their order.
    pub reports: Vec<String>,
    /// Products that the plug-in trapped on or refused, kept so that a mended one can be given them again.
    #[serde(default)]
    pub quarantine: Quarantined,
    /// Whether the ids of all documents stand in the texts of their products, so that it is known which documents may be of a
    /// product that was refused.
    #[serde(default)]
    pub ids_in_products: bool,
}

/// How much of what a plug-in trapped on or refused was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Products that were kept.
    pub products: u64,
    /// Products that there was no room for.
    pub left_out: u64,
    /// Objects that hold them.
    pub objects: u32,
}

/// What was read from the sources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStats {
    /// Lines with content.
    pub lines: u64,
    /// Products found.
    pub products: u64,
    /// Bytes, unpacked.
    pub bytes: u64,
    /// Lines that are not UTF-8, not JSON or not an object.
    pub rejected_lines: u64,
    /// Lines whose parent is nowhere in the export.
    pub orphans: u64,
    /// How products were put together: `whole-lines`, `adjacent` or `spill`.
    pub grouping: String,
}
