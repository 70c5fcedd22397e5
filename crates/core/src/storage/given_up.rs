use crate::model::Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why a chunk as a whole could not be handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// Stable kebab-case name.
    pub code: String,
    /// One sentence for a person, with the chain of causes.
    pub message: String,
    /// How often the chunk had been redriven when it was given up.
    #[serde(default)]
    pub epoch: u32,
    /// What whoever looks at the dead letter wants to know.
    #[serde(default)]
    pub evidence: Evidence,
}

impl GivenUp {
    /// A reason without evidence.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), epoch: 0, evidence: Evidence::default() }
    }
}

/// What is known of a chunk that was given up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// How often it was tried.
    pub attempts: u32,
    /// Why the first attempt failed that came to an end; later ones may fail for what it left behind.
    pub first_error: Option<AttemptError>,
    /// Why the last attempt failed.
    pub last_error: Option<AttemptError>,
    /// The server that was to be written to; none for a catalog.
    pub endpoint: Option<String>,
    /// Digest of the plug-in that made the documents.
    pub plugin_digest: Option<Digest>,
    /// Version of the host that gave it up.
    pub host_version: String,
    /// Ids of its first documents, as far as they could be read.
    pub sample_ids: Vec<String>,
    /// Key of its report.
    pub report_key: Option<String>,
}

/// Why an attempt at a chunk failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// Stable kebab-case name.
    pub code: String,
    /// What happened, to which thing.
    pub message: String,
    /// The causes, the last one first of all.
    pub causes: Vec<String>,
    /// Which attempt it was.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
}

/// Most bytes of a text and most causes: an error is kept twice on a row that has little room.
const TEXT: usize = 1 << 10;
const CAUSES: usize = 4;

impl AttemptError {
    /// What a failed attempt leaves behind.
    pub fn new(code: &str, error: &dyn std::error::Error, attempt: u32, at: Timestamp) -> Self {
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            causes.push(cut(error.to_string()));
            cause = error.source();
        }
        // The root of all is worth more than what lies between.
        if causes.len() > CAUSES {
            causes.drain(CAUSES - 1..causes.len() - 1);
        }
        Self { code: code.to_owned(), message: cut(error.to_string()), causes, attempt, at }
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT));
    text
}
