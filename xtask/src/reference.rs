//! `cargo xtask reference`: renews `docs/reference/`, whose pages are made of the code.

use crate::command::Step;
use anyhow::Result;

/// The variable that has the tests of the pages write them.
const RENEW: &str = "HOST_RENEW_REFERENCE";

pub(crate) fn run() -> Result<()> {
    // Of the whole workspace, as `cargo xtask test` builds it: with the features that one package asks for, wasmtime would be built again.
    Step::cargo("renewing docs/reference")
        .words("test --quiet --release --workspace --test reference")
        .env(RENEW, "1")
        .run()
}
