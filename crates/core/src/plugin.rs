//! The port to plug-ins: the roles that the pipeline asks for, whatever contract version and engine implement them.

use crate::model::{DocumentId, Issue, PluginManifest, Product, ReportEntry};
use async_trait::async_trait;
use serde_json::{Map, Value};

/// A document that a plug-in made, checked by the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransformedDocument {
    /// Identity in the index.
    pub id: DocumentId,
    /// JSON object text on one line, without `_id`; begins with `{` and ends with `}`, and is `{}` if empty.
    pub fields: String,
}

/// A removal that a plug-in asked for, checked by the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransformedRemoval {
    /// Identity in the index.
    pub id: DocumentId,
    /// JSON object text on one line with the version fields, of the same form.
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
    /// Set if the product is refused: by an issue with severity error, by a trap, or because the answer broke the contract.
    pub refused: Option<Refusal>,
}

/// Why the plug-in's work on one item cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Stable kebab-case name: the issue's, or `plugin-trap`, `plugin-timeout`, `plugin-memory`, `invalid-document`, …
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// JSON Pointer into the item.
    pub path: Option<String>,
    /// Backtrace and last log lines of a trap, as the report's details.
    pub details: Map<String, Value>,
}

/// What the incoming version is, seen from the stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionOrdering {
    /// Newer than what is stored.
    Newer,
    /// The same version.
    Same,
    /// Older than what is stored.
    Older,
}

/// Version fields of an incoming and of a stored document.
pub type VersionPair = (Map<String, Value>, Map<String, Value>);

/// A batch could not be handled at all: the plug-in said so, or it broke the contract in a way that concerns no single
/// item. The same batch would fail again. Or the plug-in was stopped, and so would every other batch.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("plug-in {plugin} {}: {message} ({code})", if *stopped { "was stopped" } else { "failed on a whole batch" })]
pub struct BatchFailure {
    /// `name@version`.
    pub plugin: String,
    /// Stable kebab-case name.
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// Whether the plug-in was stopped because it kept failing: nothing is wrong with the batch.
    pub stopped: bool,
    /// The first products of the batch and their outcomes before it failed, in a transform.
    pub before: Vec<(Product, ProductOutcome)>,
}

/// The transform role.
#[async_trait]
pub trait Transform: Send + Sync {
    /// The plug-in's manifest.
    fn manifest(&self) -> &PluginManifest;

    /// Transforms a batch; one outcome a product, in their order. A product that makes the plug-in trap is found by
    /// bisecting and refused alone.
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

/// The validate role.
#[async_trait]
pub trait Validate: Send + Sync {
    /// The plug-in's manifest.
    fn manifest(&self) -> &PluginManifest;

    /// Judges a batch; one verdict a document, in their order.
    async fn validate(&self, documents: Vec<TransformedDocument>) -> Result<Vec<Verdict>, BatchFailure>;
}

/// The version role.
#[async_trait]
pub trait Version: Send + Sync {
    /// The plug-in's manifest.
    fn manifest(&self) -> &PluginManifest;

    /// Compares pairs of (incoming, stored) version fields; one answer a pair, in their order.
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
