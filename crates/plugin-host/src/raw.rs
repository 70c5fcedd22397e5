//! Raw results of a guest, independent of the contract's version and not validated yet: nothing in here may be trusted.

use host_core::model::{Grouping, Severity};

/// The guest's manifest.
#[derive(Debug)]
pub(super) struct RawDescription {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) platform: String,
    pub(super) grouping: Grouping,
    pub(super) config_schema: String,
    pub(super) version_fields: Vec<String>,
}

/// The guest refused to do anything with the whole call.
#[derive(Debug)]
pub(super) struct RawFailure {
    pub(super) code: String,
    pub(super) message: String,
}

#[derive(Debug)]
pub(super) struct RawDocument {
    pub(super) id: String,
    pub(super) fields: String,
}

#[derive(Debug)]
pub(super) struct RawRemoval {
    pub(super) item: u32,
    pub(super) id: String,
    pub(super) version: String,
}

#[derive(Debug)]
pub(super) struct RawIssue {
    pub(super) item: u32,
    pub(super) severity: Severity,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) path: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct RawTransformed {
    pub(super) documents: Vec<RawDocument>,
    pub(super) counts: Vec<u32>,
    pub(super) removals: Vec<RawRemoval>,
    pub(super) issues: Vec<RawIssue>,
}

/// The result of a call into a guest: an error of the sandbox (a trap, say), the guest's own failure, or an answer.
pub(super) type GuestResult<T> = wasmtime::Result<Result<T, RawFailure>>;
