//! What the tasks of this repository share with its tests: exports to try things on.

pub mod sample;
