//! Tests of the relational catalog on SQLite and PostgreSQL: the conformance suite of the index port, what a catalog
//! does beyond it, and several writers at once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod backend;
mod checks;
mod erased;
mod overlap;
mod pgvector;
mod postgres;
mod processes;
mod search;
mod speed;
mod sqlite;
