//! From chunks to the index: receive, claim, download and verify, validate, read stored versions, compare, write,
//! settle, acknowledge. Every step may be repeated after a crash; each item counts exactly once.

mod batch;
mod cancel;
mod chunk;
mod content;
mod decide;
mod fleet;
mod lease;
mod letters;
mod removal;
mod run;
#[cfg(test)]
mod tests;
mod validate;

pub use batch::Budget;
pub use cancel::{Cancelled, cancel};
pub use letters::{Redriven, Wanted, discard, redrive};
pub use run::{Stop, Until, Worker, WorkerSettings};
