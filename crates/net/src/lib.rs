//! What all network clients of host share: [TLS set-up](tls), [the HTTP client](http) and [the retry policy](retry). It
//! uses the clock of `host-core` and knows nothing of any particular server.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use host_core::clock::SystemClock;
//! use host_net::{HttpTimeouts, Retry, RetryPolicy, http_client};
//! use std::time::Duration;
//!
//! let timeouts = HttpTimeouts { connect: Duration::from_secs(5), request: Duration::from_secs(60) };
//! let client = http_client(timeouts)?;
//! let mut retry = Retry::new(RetryPolicy::EMBEDDINGS, &SystemClock);
//! let response = loop {
//!     match client.get("http://localhost:8882").send().await {
//!         Ok(response) => break response,
//!         Err(error) if !retry.wait(None).await => return Err(error.into()),
//!         Err(_) => {}
//!     }
//! };
//! # drop(response);
//! # Ok(())
//! # }
//! ```

pub mod http;
pub mod retry;
pub mod tls;

pub use http::{HttpTimeouts, http_client};
pub use retry::{Retry, RetryPolicy, RetryProfile, retry_after};
pub use tls::{install_tls_provider, tls_config};
