//! The raw results of a guest (a plug-in's code), in the same types for all versions of the contract (the WIT package
//! in `wit/`). They are not validated yet: nothing in here may be trusted.

use host_core::model::{Grouping, Severity};

/// What the guest says of itself.
#[derive(Debug)]
pub(super) struct RawDescription {
    pub(super) name: String,
    pub(super) version: String,
    /// The platform whose exports it reads, such as `shopify`; empty for none.
    pub(super) platform: String,
    pub(super) grouping: Grouping,
    /// JSON Schema of its configuration.
    pub(super) config_schema: String,
    /// The document fields by which versions of a document are compared.
    pub(super) version_fields: Vec<String>,
}

/// The guest's own error for a whole call: it handled none of the items.
#[derive(Debug)]
pub(super) struct RawFailure {
    pub(super) code: String,
    pub(super) message: String,
}

/// A document for the index.
#[derive(Debug)]
pub(super) struct RawDocument {
    pub(super) id: String,
    /// JSON text of an object.
    pub(super) fields: String,
}

/// A document that must leave the index.
#[derive(Debug)]
pub(super) struct RawRemoval {
    /// Position of its product in the batch, from 0.
    pub(super) item: u32,
    pub(super) id: String,
    /// JSON text of an object with the version fields of the product.
    pub(super) version: String,
}

/// A problem with one item of the batch.
#[derive(Debug)]
pub(super) struct RawIssue {
    /// Position of the item in the batch, from 0.
    pub(super) item: u32,
    pub(super) severity: Severity,
    pub(super) code: String,
    pub(super) message: String,
    /// JSON Pointer to the offending value, if there is one.
    pub(super) path: Option<String>,
}

/// What a batch of products was transformed into.
#[derive(Debug, Default)]
pub(super) struct RawTransformed {
    /// The documents of all products, in the order of the products.
    pub(super) documents: Vec<RawDocument>,
    /// The number of documents of each product.
    pub(super) counts: Vec<u32>,
    pub(super) removals: Vec<RawRemoval>,
    pub(super) issues: Vec<RawIssue>,
}

/// The result of a call into a guest: an error of the sandbox (a trap, say), the guest's own failure, or an answer.
pub(super) type GuestResult<T> = wasmtime::Result<Result<T, RawFailure>>;
