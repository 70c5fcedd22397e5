//! Why a worker quarantined a chunk (some of a job's documents): gave it up, counted its items as failed, and moved its
//! message to the dead letters.

use super::AttemptError;
use crate::model::Digest;
use serde::{Deserialize, Serialize};

/// Why a chunk as a whole was quarantined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineReason {
    /// Stable kebab-case name.
    pub code: String,
    /// One sentence for a person, with the chain of causes.
    pub message: String,
    /// How often an operator had redriven the chunk (sent its dead letter to the queue again) by then. Stored as
    /// `epoch`, its former name.
    #[serde(rename = "epoch", default)]
    pub redrive_count: u32,
    /// What is known of the failure. Stored as `evidence`, its former name.
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
    /// How often workers had claimed it.
    pub attempts: u32,
    /// Why the first attempt failed, since later ones may only fail because of what it left; `None` if that is not
    /// known.
    pub first_error: Option<AttemptError>,
    /// Why the last attempt failed; `None` if that is not known.
    pub last_error: Option<AttemptError>,
    /// Address of the server that the documents were to be written to; `None` with a relational catalog.
    pub endpoint: Option<String>,
    /// Digest of the plug-in that made the documents; `None` if the job could not be read.
    pub plugin_digest: Option<Digest>,
    /// Version of host that quarantined it.
    pub host_version: String,
    /// Ids of its first documents, as far as they could be read.
    pub sample_ids: Vec<String>,
    /// Storage key of its report; `None` if it has none.
    pub report_key: Option<String>,
    /// Backtrace of the panic with which host failed on it; `None` if host did not panic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<String>,
}
