use super::AttemptError;
use crate::model::Digest;
use serde::{Deserialize, Serialize};

/// Why a chunk as a whole was quarantined: counted as failed, its message moved to the dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineReason {
    /// Stable kebab-case name.
    pub code: String,
    /// One sentence for a person, with the chain of causes.
    pub message: String,
    /// How often the chunk had been redriven when it was quarantined.
    #[serde(rename = "epoch", default)]
    pub redrive_count: u32,
    /// What is known of the failure.
    #[serde(rename = "evidence", default)]
    pub context: FailureContext,
}

impl QuarantineReason {
    /// A reason without context.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { code, message, redrive_count: 0, context: FailureContext::default() }
    }
}

/// What helps to find out why a chunk was quarantined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FailureContext {
    /// How often it was tried.
    pub attempts: u32,
    /// Why the first attempt that ended failed; later ones may fail because of what it left.
    pub first_error: Option<AttemptError>,
    /// Why the last attempt failed.
    pub last_error: Option<AttemptError>,
    /// The server that was to be written to; none for a catalog.
    pub endpoint: Option<String>,
    /// Digest of the plug-in that made the documents.
    pub plugin_digest: Option<Digest>,
    /// Version of the host that quarantined it.
    pub host_version: String,
    /// Ids of its first documents, as far as they could be read.
    pub sample_ids: Vec<String>,
    /// Key of its report.
    pub report_key: Option<String>,
    /// Where the host panicked, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<String>,
}
