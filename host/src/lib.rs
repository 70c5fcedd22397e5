//! Gets an online shop's products into its search index.
//!
//! Data flows one way: `ingest` reads an export, lets a plug-in turn products into documents and publishes them as
//! chunks; `worker` takes the chunks from a queue and writes them to an index, counting every item exactly once.
//! `plugin`, `store` and `index` are the seams between them and the outside world, `model` is the plain data that all
//! of them speak of. Dependencies run downward only: `cli` → `ingest`, `worker` → `plugin`, `store`, `index` → `model`.

pub mod env;
pub mod index;
pub mod ingest;
pub mod model;
pub mod plugin;
pub mod store;
