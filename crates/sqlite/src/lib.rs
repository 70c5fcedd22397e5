//! The SQLite file `host.db`: connections, transactions, and the steps of its schema. Queue, jobs, settings and catalog
//! share the file, so that a power cut loses a common tail of all of them or nothing.

mod database;
mod failure;
pub mod time;

pub use database::{Cause, Database, from_envelope, from_json, to_envelope, to_json};
pub use failure::DatabaseError;
