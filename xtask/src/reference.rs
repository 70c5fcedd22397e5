//! `cargo xtask reference`: renews `docs/reference/`, whose pages are made of the code.

use crate::command::Step;
use anyhow::Result;

/// If this environment variable is set, the tests that compare the pages with the code write the pages instead.
const RENEW: &str = "HOST_RENEW_REFERENCE";

pub(crate) fn run() -> Result<()> {
    // The whole workspace, as `cargo xtask test` builds it: one package alone selects other features, and wasmtime
    // would be built again.
    Step::cargo("renewing docs/reference")
        .words("test --quiet --release --workspace --test reference")
        .env(RENEW, "1")
        .run()
}
