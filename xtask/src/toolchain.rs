//! What a toolchain needs beyond the usual: installed when missing, by rustup.

use crate::command::{Failure, Step};
use anyhow::Result;
use std::path::Path;
use xtask::postgres::Server;

/// The target of the plug-ins.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// The target of a guest of the tests, whose standard library imports WASI.
pub(crate) const WASI_TARGET: &str = "wasm32-wasip2";

/// Makes sure that plug-ins can be compiled for a target.
pub(crate) fn ensure_target(target: &str) -> Result<()> {
    if has_target(target)? {
        return Ok(());
    }
    eprintln!("the target {target} is missing: rustup installs it");
    let installed = Step::new("installing a wasm target", "rustup").words("target add").words(target).run();
    if installed.is_ok() && has_target(target)? {
        return Ok(());
    }
    Err(Failure::new(
        format!(
            "plug-ins need the Rust target {target}, which this toolchain lacks and rustup could not install"
        ),
        format!("install it by hand: `rustup target add {target}`, or your distribution's package of it"),
    )
    .into())
}

/// Makes sure that a component of the toolchain, `clippy` say, is there.
pub(crate) fn ensure_component(component: &'static str) -> Result<()> {
    let name = if component == "rustfmt" { "fmt" } else { component };
    if Step::cargo("looking for a component").words(name).words("--version").succeeds() {
        return Ok(());
    }
    Step::new("installing a component of the toolchain", "rustup")
        .words("component add")
        .words(component)
        .help(format!("install it by hand: `rustup component add {component}`"))
        .run()
}

/// Makes sure that tests can start a PostgreSQL server of their own: on Debian and its kin it is installed where this may be done.
pub(crate) fn ensure_postgres() -> Result<()> {
    let Err(missing) = Server::start(&[]) else { return Ok(()) };
    eprintln!("{missing}; apt-get installs it");
    let installed =
        Step::new("reading the lists of packages", "apt-get").words("update -q").run().and_then(|()| {
            Step::new("installing PostgreSQL", "apt-get")
                .words("install -qy --no-install-recommends postgresql")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .run()
        });
    if installed.is_ok() && Server::start(&[]).is_ok() {
        return Ok(());
    }
    Err(Failure::new(
        format!("the tests of the catalog need a PostgreSQL server: {missing}"),
        "install PostgreSQL 15 or newer by hand",
    )
    .into())
}

/// Whether a subcommand of cargo, `nextest` say, is installed.
pub(crate) fn has_subcommand(name: &str) -> bool {
    Step::cargo("looking for a subcommand").words(name).words("--help").succeeds()
}

/// Asks the toolchain itself: a target may have come without rustup.
fn has_target(target: &str) -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = Step::new("looking for the toolchain", rustc).words("--print sysroot").output()?;
    let libraries = Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("lib");
    let Ok(mut entries) = std::fs::read_dir(libraries) else { return Ok(false) };
    Ok(entries
        .any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))))
}
