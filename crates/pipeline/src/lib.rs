//! From products to an index: `ingest` publishes chunks of documents, `worker` writes them and counts every item exactly
//! once, `archive` removes what a full sync no longer has. It knows the ports of `host-core` and no backend.

pub mod archive;
pub mod ingest;
pub mod worker;
