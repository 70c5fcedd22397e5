//! What the plug-in says about itself.

/// Name of the plug-in.
pub const NAME: &str = "validate";

/// Semantic version of the plug-in: that of its crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// JSON Schema of the configuration.
pub const CONFIG_SCHEMA: &str = include_str!("config-schema.json");

/// Field with the time of the last change on the platform.
pub const UPDATED_AT: &str = "updated_at";

/// Field with a version number, looked at when the times do not decide.
pub const VERSION_NUMBER: &str = "_mq_version";

/// The document fields that [`compare`](crate::compare) looks at.
pub const VERSION_FIELDS: [&str; 2] = [UPDATED_AT, VERSION_NUMBER];
