//! The port to plug-ins: one trait per role that a plug-in can have (transform, validate, version), whatever version of
//! the contract and which engine implement it. A plug-in is a WebAssembly component; a *trap* is a crash inside it.

use crate::model::{DocumentId, Issue, PluginManifest, Product, ReportEntry};
use async_trait::async_trait;
use serde_json::{Map, Value};

/// A document that a plug-in made, checked by host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransformedDocument {
    /// Id in the index.
    pub id: DocumentId,
    /// JSON object text on one line, without `_id`; begins with `{` and ends with `}`, and is `{}` if empty.
    pub fields: String,
}

/// A removal that a plug-in asked for, checked by host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransformedRemoval {
    /// Id in the index.
    pub id: DocumentId,
    /// JSON object text on one line with the version fields of the removal, of the form of
    /// [`TransformedDocument::fields`].
    pub version: String,
}

/// What a plug-in made of one product.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProductOutcome {
    /// Its documents, in the plug-in's order; empty if it was refused.
    pub documents: Vec<TransformedDocument>,
    /// Its removals; empty if it was refused.
    pub removals: Vec<TransformedRemoval>,
    /// What the plug-in remarked, errors included.
    pub issues: Vec<Issue>,
    /// Set if the product is refused: because of an issue with severity error, a trap, or an answer that broke the
    /// contract.
    pub refused: Option<Refusal>,
}

/// Why the plug-in's work on one item cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Stable kebab-case name: the issue's, or `plugin-trap`, `plugin-timeout`, `plugin-memory`, `invalid-document`, …
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// JSON Pointer to the place in the item; `None` if the refusal concerns the whole item.
    pub path: Option<String>,
    /// For the report: the backtrace and the last log lines of a trap, otherwise empty.
    pub details: Map<String, Value>,
}

/// How the version of an incoming document compares with that of the stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionOrdering {
    /// The incoming version is newer.
    Newer,
    /// Both are the same version.
    Same,
    /// The incoming version is older.
    Older,
}

/// Version fields (such as `updated_at`) of an incoming and of a stored document, in this order.
pub type VersionPair = (Map<String, Value>, Map<String, Value>);

/// A batch could not be handled at all: the plug-in returned an error for all of it, broke the contract in a way that
/// concerns no single item, or was stopped. The same batch would fail again; once the plug-in is stopped, every other
/// batch fails too.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("plug-in {plugin} {}: {message} ({code})", if *stopped { "was stopped" } else { "failed on a whole batch" })]
pub struct BatchFailure {
    /// The plug-in, as `name@version`.
    pub plugin: String,
    /// Stable kebab-case name of the reason.
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// Whether the plug-in was stopped because it kept failing: nothing is wrong with the batch.
    pub stopped: bool,
    /// The first products of the batch with their outcomes, as far as a transform came before it failed; otherwise
    /// empty.
    pub before: Vec<(Product, ProductOutcome)>,
}

/// The transform role: makes documents and removals of products.
#[async_trait]
pub trait Transform: Send + Sync {
    /// The plug-in's manifest.
    fn manifest(&self) -> &PluginManifest;

    /// Transforms a batch; one outcome per product, in their order. A product that makes the plug-in trap is found by
    /// bisecting the batch and refused alone.
    async fn transform(&self, products: Vec<Product>)
    -> Result<Vec<(Product, ProductOutcome)>, BatchFailure>;
}

/// What a validator said of one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What it remarked, errors included.
    pub issues: Vec<Issue>,
    /// Set if the document is refused: by its first issue with severity error, or by a trap.
    pub refused: Option<Refusal>,
}

/// The validate role: judges documents before they are written.
#[async_trait]
pub trait Validate: Send + Sync {
    /// The plug-in's manifest.
    fn manifest(&self) -> &PluginManifest;

    /// Judges a batch; one verdict per document, in their order.
    async fn validate(&self, documents: Vec<TransformedDocument>) -> Result<Vec<Verdict>, BatchFailure>;
}

/// The version role: tells which of two versions of a document is newer.
#[async_trait]
pub trait Version: Send + Sync {
    /// The plug-in's manifest.
    fn manifest(&self) -> &PluginManifest;

    /// Compares pairs of (incoming, stored) version fields; one answer per pair, in their order. A pair that the
    /// plug-in cannot compare has a refusal as its answer.
    async fn compare(
        &self,
        pairs: Vec<VersionPair>,
    ) -> Result<Vec<Result<VersionOrdering, Refusal>>, BatchFailure>;
}

impl Refusal {
    /// The refusal of an item by an issue with severity error.
    pub fn of(issue: Issue) -> Self {
        let Issue { code, message, path, .. } = issue;
        Self { code, message, path, details: Map::new() }
    }

    /// The report entry of a refused item.
    pub fn into_entry(self, plugin: &PluginManifest) -> ReportEntry {
        ReportEntry {
            path: self.path,
            plugin: Some(plugin.reference()),
            details: self.details,
            ..ReportEntry::new(crate::model::EntryClass::Failed, self.code, self.message)
        }
    }
}
