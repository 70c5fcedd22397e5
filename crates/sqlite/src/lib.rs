//! The SQLite file `host.db` in the data directory: connections, transactions, and the steps of its schema. Queue,
//! jobs, settings and the relational catalog of products share the file, so that after a power cut all of them are in
//! the state of the same moment.

mod database;
mod failure;
pub mod time;

pub use database::{Cause, Database, from_envelope, from_json, to_envelope, to_json};
pub use failure::DatabaseError;
