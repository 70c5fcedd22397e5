//! Turns a shop's product export into chunks in the queue: reads products, has a plug-in transform them into
//! documents, cuts these into chunks, publishes the chunks and seals the job (no chunk follows, so it can end). What
//! becomes no document is reported, and kept for a replay where the plug-in is at fault.

pub mod chunk;
pub mod publish;
pub mod quarantine;
pub mod reader;
mod refusals;
pub mod reject_log;
pub(crate) mod retry;
pub mod run;
#[cfg(test)]
mod tests;
mod transform;
mod unanswered;
pub(crate) mod unchanged;
