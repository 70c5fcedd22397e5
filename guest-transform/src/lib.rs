//! Turns products of a Shopify export into search documents: the plug-in `shopify.wasm`.

mod assemble;
#[cfg(target_arch = "wasm32")]
mod component;
mod config;
mod document;
mod gid;
mod html;
mod instant;
mod lines;
mod manifest;
mod media;
mod metafield;
mod offer;
mod options;
mod price;
mod record;
mod report;
mod scalar;
mod text;
mod transform;
mod writer;

pub use config::{
    CONFIG_SCHEMA, Config, Disposition, FieldKind, ImageVersions, Level, MetafieldRule, OtherMetafields,
};
pub use manifest::{Description, describe};
pub use report::{Document, Issue, Removal, Severity, Transformed};
pub use transform::transform;
