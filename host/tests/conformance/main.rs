//! What every backend of a seam must do, sentence by sentence of the traits' documentation, on AWS's stores.

// Everything here is a test, which Clippy sees only in `#[test]` functions.
#![allow(clippy::unwrap_used, clippy::panic)]

mod aws;
