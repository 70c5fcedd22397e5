//! A stand-in for a Marqo server, for tests: it answers exactly as Marqo does, odd cases included, and fails when a
//! test asks for it (a fault).
//!
//! ```
//! use marqo_stand_in::{Fault, FaultRule, Operation, Options, StandIn};
//!
//! let stand_in = StandIn::start(Options { indexes: vec!["shop".to_owned()], ..Options::default() })?;
//! stand_in.set_faults(&[FaultRule::new(Fault::ResetAfterApply).on(Operation::Add).next(1)]);
//! // … let a client index into `stand_in.url()` …
//! assert!(stand_in.documents("shop").is_empty());
//! assert!(stand_in.requests().is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`RULES`] is the table of Marqo's behaviour: every known case and how Marqo answers it. The stand-in answers at
//! once, unless a test asks for latency, slow answers or none.

mod add;
mod admin;
mod app;
mod clock;
mod delete;
pub mod embeddings;
mod exchange;
mod fault;
mod http;
mod ids;
mod index;
mod indexes;
mod names;
mod operation;
mod options;
mod patch;
mod python;
mod random;
mod read;
mod reply;
mod rules;
mod search;
mod server;
mod session;
mod store;
mod vectors;
mod vespa;

pub use exchange::{Exchange, ItemOutcome};
pub use fault::{Fault, FaultRule};
pub use operation::Operation;
pub use options::{Options, Version};
pub use rules::{Answer, ItemId, RULES, Rule, Versions, listing};
pub use server::StandIn;
pub use store::{StoredDocument, Write};
