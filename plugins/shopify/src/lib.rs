//! Turns products of a Shopify export into search documents: the plug-in `shopify.wasm`.
//!
//! [`transform`] takes complete products, each as JSON Lines text (the product's own record, then everything that hangs on it), and
//! gives documents, removals and issues. It reads bulk files, GraphQL answers with nested connections and REST or webhook
//! bodies alike, in any order of lines, and is a pure function: no clock, no randomness, no files. [`Config`] is all that there is
//! to choose. The library is plain Rust; as a component it is wrapped by the contract's world `transformer`.
//!
//! # The fields of a document
//!
//! The identity of a document is the number of its product, or of its variant where variants are documents. A field without
//! value is left out. The set of names does not depend on what a shop calls its options and metafields: those become fields only by
//! configuration.
//!
//! | field | type | level | meaning |
//! | --- | --- | --- | --- |
//! | `title`, `handle`, `vendor`, `product_type` | text | both | as the shop wrote them, entities decoded |
//! | `description` | text | both | the text of the HTML description, words apart, without markup |
//! | `seo_title`, `seo_description` | text | both | what the shop shows to search engines, if it differs from the above |
//! | `category` | text | both | full name in Shopify's taxonomy |
//! | `url` | text | both | page of the product (`?variant=` for a variant); from `shop-domain` and handle if the export has none |
//! | `tags`, `collections`, `collection_handles` | texts | both | without repetitions, upper and lower case being the same |
//! | `options` | texts | both | `Size: M`, `Color: Red`; a variant has its own only |
//! | `metafields` | texts | both | `custom.care: cold`, only with `other-metafields: list` |
//! | `image`, `images` | text, texts | both | addresses, the featured picture (of a variant: its own) first |
//! | `image_alts` | texts | both | what the pictures show, in words |
//! | `price` | float | both | the lowest price of all variants, or the variant's own |
//! | `min_price`, `max_price` | float | product | lowest and highest price |
//! | `compare_at_price` | float | both | the earlier, higher price of the variant that `price` is from |
//! | `on_sale` | boolean | both | whether any variant has an earlier, higher price |
//! | `currency` | text | both | of the export, else of the configuration |
//! | `available` | boolean | both | whether any variant can be bought, stock or not |
//! | `inventory_quantity` | integer | both | stock, below zero if oversold |
//! | `gift_card` | boolean | both | |
//! | `sku`, `barcode`, `variant_id`, `variant_title`, `position` | text, integer | variant | of the variant |
//! | `skus`, `barcodes`, `variant_count` | texts, integer | product | of all variants |
//! | `product_id` | text | both | number of the product |
//! | `created_at`, `updated_at`, `published_at` | text | both | times as the export spells them; `updated_at` is the version |
//! | `variants` | objects | both | for a catalog: `id`, `title`, `sku`, `barcode`, `price`, `compare_at_price`, `available`, `inventory_quantity`, `position`, `image`, `attributes` (option name to value) |
//! | configured options | texts; text of a variant | both | `options: {"Size": "size"}` |
//! | configured metafields | by their type | both | `metafields: {"custom.care": {"field": "care"}}` |
//!
//! # Rules worth knowing
//!
//! - Drafts, archived and unlisted products, and products with a status that this version does not know, are removed from the index.
//!   Unpublished products and gift cards stay unless configured otherwise.
//! - A picture's address is given without the version number that Shopify adds (`?v=…`), because that changes with every edit;
//!   `image-versions: keep` keeps it.
//! - Of several copies of a product in one export the newest by `updatedAt` counts, of equally new ones the last. Children of all
//!   copies are united. Of several metafields with the same key the newest counts.
//! - A document without its `variants` never exceeds `max-document-chars`, counted as Marqo counts. What is shortened for that is said
//!   in a warning: a list may take a quarter, everything before the description seven tenths.
//! - Control characters, noncharacters, zero-width spaces, soft hyphens and byte order marks are dropped everywhere.
//!
//! # Issues
//!
//! | code | severity | meaning |
//! | --- | --- | --- |
//! | `invalid-product`, `not-a-product`, `missing-id` | error | there is no product that could be identified |
//! | `invalid-record` | warning | a line that is no JSON object was left out |
//! | `unknown-status` | warning | the product is removed because its status is unknown |
//! | `invalid-price`, `invalid-metafield` | warning | a value was left out |
//! | `missing-variant-id`, `no-variants` | warning | a variant cannot be listed, or a product has none to make documents of |
//! | `shortened` | warning | fields were too long |
//! | `more-issues` | warning | the product has more problems than are reported |

mod assemble;
#[cfg(target_arch = "wasm32")]
mod component;
mod config;
mod document;
mod fast_path;
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
mod simd;
mod text;
mod transform;
mod writer;

pub use config::{
    CONFIG_SCHEMA, Config, Disposition, FieldKind, ImageVersions, Level, MetafieldRule, OtherMetafields,
};
pub use manifest::{Description, describe};
pub use report::{Document, Issue, Removal, Severity, Transformed};
pub use transform::transform;
