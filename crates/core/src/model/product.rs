//! What passes between the host and a plug-in, free of any contract version.

use serde::{Deserialize, Serialize};

/// One complete product of the export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Its lines as JSON Lines text without a trailing newline: own record first, then its descendants in export order.
    pub text: String,
    /// Number of its first line in the source, from 1.
    pub line: u64,
    /// The product's own id as the export spells it, when it has one.
    pub id: Option<String>,
}

/// How lines form products: the manifest's `grouping`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grouping {
    /// Each line is a product.
    WholeLines,
    /// Lines name their parents.
    ByParent {
        /// JSON Pointer to a line's own id.
        id: String,
        /// JSON Pointers to its parent's id, tried in order.
        parents: Vec<String>,
    },
}

/// What a plug-in says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Short kebab-case name.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// Platform of the exports it reads; empty if it reads none.
    pub platform: String,
    /// How lines form products.
    pub grouping: Grouping,
    /// JSON Schema of its configuration.
    pub config_schema: String,
    /// Document fields that the version role looks at.
    pub version_fields: Vec<String>,
}

impl Manifest {
    /// `name@version`, as reports name a plug-in.
    pub fn reference(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// What an issue does to its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The item is left out.
    Error,
    /// The item goes on.
    Warning,
}

/// One problem with one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// What it does to the item.
    pub severity: Severity,
    /// Stable kebab-case name.
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// JSON Pointer into the item.
    pub path: Option<String>,
}
