//! What the tasks of `cargo xtask` share with tests of other crates: sample exports, throwaway servers, and packages.

pub mod aws_demo;
pub mod cargo_deny;
pub mod lambda_package;
pub mod ministack;
pub mod postgres;
mod python;
pub mod sample;
