//! The manifest of the plug-in: what host must know of it before the first batch.

use crate::config::CONFIG_SCHEMA;

/// The manifest of this plug-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// Short name.
    pub name: &'static str,
    /// Semantic version.
    pub version: &'static str,
    /// The platform, as used in storage keys.
    pub platform: &'static str,
    /// Where a line names itself, as JSON Pointer.
    pub id: &'static str,
    /// Where a line names its parent, as JSON Pointers tried in this order.
    pub parents: &'static [&'static str],
    /// JSON Schema of the configuration.
    pub config_schema: &'static str,
    /// The document fields that say which of two versions is newer.
    pub version_fields: &'static [&'static str],
}

/// Describes the plug-in; always with the same answer.
pub fn describe() -> Description {
    Description {
        name: "shopify",
        version: env!("CARGO_PKG_VERSION"),
        platform: "shopify",
        id: "/id",
        // Bulk files name the parent in `__parentId`; children fetched by a separate operation name it in their object.
        parents: &["/__parentId", "/product/id", "/owner/id"],
        config_schema: CONFIG_SCHEMA,
        version_fields: &["updated_at", "_mq_version"],
    }
}
