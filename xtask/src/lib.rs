//! What the tasks of this repository share with its tests: exports to try things on, servers to try them with.

pub mod ministack;
pub mod sample;
