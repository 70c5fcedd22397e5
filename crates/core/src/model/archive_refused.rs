//! Why a full sync archived nothing, as the record of its job keeps it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A refusal to archive what a full sync (a job whose export is the whole shop) did not have (`docs/archiving.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveRefused {
    /// Stable kebab-case name of the reason.
    pub code: String,
    /// The reason, as a part of a sentence.
    pub message: String,
    /// When archiving was refused.
    pub at: Timestamp,
}
