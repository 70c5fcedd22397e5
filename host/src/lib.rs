//! Gets an online shop's products into its search index.
//!
//! Data flows one way: `export` reads products, `ingest` lets a plug-in turn them into documents and publishes these as
//! chunks; `worker` takes the chunks from a queue and writes them to an index, counting every item exactly once.
//! `plugin`, `store` and `index` are the seams between them and the outside world, `model` is the plain data that all
//! of them speak of. `archive` removes what a full sync did not have. `author` is for those who write plug-ins. Dependencies run downward only: `cli` → `archive`, `author` → `ingest`, `worker` → `export`, `plugin`, `store`, `index` → `model`.

pub mod archive;
pub mod author;
pub mod cli;
pub mod config;
pub mod env;
pub mod export;
pub mod fault;
pub mod heap;
pub mod index;
pub mod ingest;
pub mod model;
pub mod plugin;
pub mod store;
pub mod supply;
pub mod telemetry;
pub mod worker;
