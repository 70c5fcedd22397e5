//! What the tasks of this repository share with its tests: exports to try things on, and servers to write to.

pub mod aws_demo;
pub mod cargo_deny;
pub mod lambda_package;
pub mod ministack;
pub mod postgres;
mod python;
pub mod sample;
