//! Gets a shop's products into an index: `ingest` publishes chunks of documents, `worker` writes them and counts
//! every item exactly once, `archive` removes what a full sync no longer has, `sync` runs these three as a job,
//! `status` shows which work is stopped or waits, `why` the state of one product, `reconcile` compares an index with
//! its ledger (what the host recorded of each product's outcome), and `forget` removes all data of a shop.
//!
//! This crate knows the ports (traits that a backend implements) of `host-core` and the items that `host-export`
//! reads from an export; it knows no storage backend, index or plug-in engine.
//!
//! # Example
//!
//! Cuts documents into chunks, the unit that a worker writes: a chunk has distinct ids and one operation, so the
//! removal of `mug` completes the chunk that adds `mug` and goes into the next one.
//!
//! ```
//! use host_core::model::{DocumentId, Operation, ProductId};
//! use host_pipeline::ingest::chunk::{ChunkBounds, Chunker, PendingLine};
//!
//! let mug = DocumentId::new("mug").expect("a valid id");
//! let product = ProductId::from(&mug);
//! let line = |operation, object| PendingLine {
//!     operation,
//!     product: &product,
//!     product_stays: false,
//!     siblings: None,
//!     source_digest: None,
//!     object,
//! };
//! let mut chunker = Chunker::new(ChunkBounds { documents: 1_000, bytes: 8 << 20 }, 1);
//! let added = line(Operation::AddDocuments, r#"{"title":"Mug"}"#);
//! assert!(chunker.push(mug.clone(), added).is_empty());
//! let sealed = chunker.push(mug.clone(), line(Operation::DeleteDocuments, "{}"));
//! assert_eq!(sealed[0].bytes, b"{\"_id\":\"mug\",\"title\":\"Mug\"}\n");
//! assert_eq!(chunker.finish().len(), 1);
//! ```

pub mod archive;
pub mod forget;
pub mod ids;
pub mod ingest;
pub mod reconcile;
mod removals;
pub mod removed_shop;
pub mod retention;
pub mod status;
pub mod sync;
pub mod why;
pub mod worker;
mod writers;
