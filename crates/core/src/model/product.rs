//! The data exchanged with plug-ins, the same for all versions of the contract (the WIT interfaces between host and
//! plug-ins).

use serde::{Deserialize, Serialize};

/// A complete product of the export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Its lines as JSON Lines without a trailing newline: first the product's own line, then those of its descendants
    /// (such as variants) in export order.
    pub text: String,
    /// Number of its first line in the source, from 1.
    pub line: u64,
    /// The product's id as the export spells it; `None` if its line has none.
    pub id: Option<String>,
}

/// Which lines of an export belong to one product, as the plug-in's manifest says (`docs/grouping.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grouping {
    /// Every line is a product.
    WholeLines,
    /// A line that belongs to another line names that one as its parent; a line without a parent is a product.
    ByParent {
        /// JSON Pointer to a line's own id.
        id: String,
        /// JSON Pointers to the parent's id; the first that leads to a value other than null is used.
        parents: Vec<String>,
    },
}

/// A plug-in's description of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginManifest {
    /// Name, in kebab-case.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// Platform of the exports that it reads, such as `shopify`; empty if it does not transform products.
    pub platform: String,
    /// How lines form products.
    pub grouping: Grouping,
    /// JSON Schema of its configuration.
    pub config_schema: String,
    /// Document fields by which the plug-in tells which of two versions of a document is newer: `updated_at`.
    pub version_fields: Vec<String>,
}

impl PluginManifest {
    /// `name@version`, as reports name a plug-in.
    pub fn reference(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// The consequence of an [`Issue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The item is refused.
    Error,
    /// The item is processed nevertheless.
    Warning,
}

/// A problem with an item, as a plug-in reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// The consequence for the item.
    pub severity: Severity,
    /// Stable name of the problem, in kebab-case.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// JSON Pointer to the place in the item; `None` if the issue concerns the whole item.
    pub path: Option<String>,
}
