//! What tasks and tests share: sample exports, throwaway servers, and packages.

pub mod aws_demo;
pub mod cargo_deny;
pub mod lambda_package;
pub mod ministack;
pub mod postgres;
mod python;
pub mod sample;
