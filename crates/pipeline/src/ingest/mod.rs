//! Turns an export into chunks: read, group, transform, cut, publish, seal.

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
pub(crate) mod unchanged;
