//! Edge cases that Shopify's exports were seen to contain or are documented to contain, one module for each topic.
//! Other crates test what happens before and after the transform: `host-export` empty, compressed and partial files,
//! interleaved products and orphans; the default validator the comparison of versions.

// A helper that cannot continue fails the test that called it.
#![allow(clippy::unwrap_used)]

mod added;
mod bulk_query;
mod completeness;
mod golden;
mod lines;
mod markets;
mod media;
mod metafields;
mod naming;
mod needs_samples;
mod preset;
mod products;
mod properties;
mod records;
mod sources;
mod support;
mod variants;
mod versions;
