//! The domain: plain data, the ports to storage, index and plug-ins, and the clock. It does no I/O and knows no backend.

pub mod backoff;
pub mod clock;
pub mod error;
pub mod index;
pub mod metrics;
pub mod model;
pub mod plugin;
pub mod seconds;
pub mod secret;
pub mod storage;
pub mod text;
