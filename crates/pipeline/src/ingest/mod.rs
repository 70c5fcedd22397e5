//! From an export to chunks: read, group, transform, cut, publish, seal.

pub mod chunk;
pub mod naming;
pub mod publish;
pub mod quarantine;
pub mod reader;
pub mod refused;
pub mod run;
#[cfg(test)]
mod tests;
