//! Turns products of a Shopify export into search documents: the plug-in `shopify.wasm`.
//!
//! [`transform`] takes complete products, each as JSON Lines text (the product's own record and those of its variants,
//! media, metafields, collections and inventory levels), and returns documents, removals and issues. It reads bulk
//! files, GraphQL answers with nested connections and REST or webhook bodies alike, in any order of lines, and is a
//! pure function: no clock, no randomness, no files. [`Config`] is all that there is to choose. The library is plain
//! Rust; as a WebAssembly component it exports the world `transformer` of the plug-in contract in `wit/`. An "index" is
//! what host writes documents to: a Marqo index or the relational catalog (SQLite or PostgreSQL).
//!
//! # The fields of a document
//!
//! [`FIELDS`] lists them, and [`OPTIONAL_FIELDS`] those that [`Config::add`] switches on; `docs/reference/shopify.md` shows
//! the tables and the bulk query that fills them. The identity of
//! a document is the number of its product, or of its variant where variants are documents. A field without value is
//! omitted. The set of names does not depend on what a shop calls its options and metafields: those become fields only
//! by configuration.
//!
//! # Rules worth knowing
//!
//! - Drafts, archived and unlisted products, and products with a status that this version does not know, are removed
//!   from the index. Unpublished products and gift cards stay unless configured otherwise.
//! - Where variants are documents, an active product without variants in the export adds and removes no document: in a
//!   shop each product has a variant, so the export lacks them. A product that leaves the index does so with all of its
//!   documents, whichever variants the export has.
//! - The URL of an image is returned without the version number that Shopify adds (`?v=…`), because that changes with
//!   every edit; `image-versions: keep` keeps it.
//! - Several records of one product or child, as an export in several files has them, are merged field by field: the
//!   newest value counts, null included, and an absent field says nothing. A record is as new as its own `updatedAt`, a
//!   nested one without `updatedAt` as new as the record around it; one without any comes last. Of equally new records
//!   that contradict each other, the one with more fields counts, then the text of the line decides; a product that any
//!   of them hides is hidden. Lines of their own are united; a list within a newer record says which elements there are.
//! - Of several metafields with the same key the newest counts, else the one with the highest id.
//! - The order of lines means nothing. Variants are ordered by position, then by id; pictures by position, then by their
//!   place in a list, then by id; collections by id; metafields by namespace and key.
//! - A child of a variant is never a variant. A kind of record that no field is made of is named in a warning.
//! - A document without its `variants` never exceeds `max-document-chars`, counted as Marqo counts. What is shortened
//!   for that is said in a warning: a list may take a quarter of the limit, everything before the description seven
//!   tenths. All of it gives way to `skus` and `barcodes`.
//! - A product of which the export says that it has more than the export does (another page, more variants) is
//!   refused.
//! - Control characters, noncharacters, zero-width spaces, soft hyphens and byte order marks are dropped everywhere. Next to
//!   Thai, Lao and Khmer letters a zero-width space becomes a space.
//! - In titles and other plain text an entity is decoded once, and only if it ends in `;`.
//!
//! # Issues
//!
//! Their codes are in `docs/reference/report-codes.md`.

mod added;
mod aliases;
mod assemble;
mod category;
mod completeness;
#[cfg(target_arch = "wasm32")]
mod component;
mod config;
mod details;
mod document;
mod entities;
mod family;
mod fast_path;
mod fields;
mod gid;
mod html;
mod instant;
mod kind;
mod lines;
mod manifest;
mod markets;
mod media;
mod merge;
mod metafield;
mod naming;
mod offer;
mod optional_fields;
mod options;
mod preset;
mod price;
mod record;
mod reference;
mod report;
mod sale;
mod scalar;
mod schema;
mod simd;
mod text;
mod transform;
mod units;
mod writer;

pub use config::{
    CONFIG_SCHEMA, Config, FieldKind, ImageVersions, Level, ListingPolicy, MetafieldRule, Names,
    OtherMetafields,
};
pub use fields::{BULK_QUERY, FIELDS, Field, FieldLevel};
pub use manifest::{Description, describe};
pub use optional_fields::OPTIONAL_FIELDS;
pub use preset::Preset;
pub use report::{Document, Issue, Removal, Severity, Transformed};
pub use transform::transform;
