//! What tests share: conformance suites of the ports (the traits that backends implement), builders of plain data,
//! virtual time, a storage in memory that is as strict as the ports allow, and fakes of index and plug-in.
//!
//! Only tests depend on this crate. It knows the ports of `host-core` and no backend. A backend runs the suites of its
//! ports in its own tests:
//!
//! ```
//! use host_core::clock::SharedClock;
//! use host_testing::{VirtualClock, conformance::Backend, storage::Memory};
//! use std::sync::Arc;
//!
//! fn memory() -> Backend {
//!     let clock: SharedClock = Arc::new(VirtualClock::new(1));
//!     Memory::new(clock).backend()
//! }
//!
//! // Each macro makes a test of every check of its suite; a test gets a fresh backend.
//! host_testing::chunk_tests!(memory);
//! host_testing::storage_tests!(memory);
//! ```

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is used in tests, and fails as tests do")]

pub mod build;
mod clock;
pub mod conformance;
pub mod fakes;
pub mod storage;

pub use clock::{VirtualClock, next_random};
