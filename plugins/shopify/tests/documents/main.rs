//! Edge cases that Shopify's exports were seen to contain or are documented to contain, one module a topic. What a product has gone
//! through before or after the transform is tested there: empty, compressed and partial files by the reader, interleaved products and
//! orphans by the grouping, versions by the plug-in role that compares them.

// A helper that cannot continue fails the test that called it.
#![allow(clippy::unwrap_used)]

mod bulk_query;
mod completeness;
mod golden;
mod lines;
mod media;
mod needs_samples;
mod products;
mod properties;
mod records;
mod support;
mod variants;
mod versions;
