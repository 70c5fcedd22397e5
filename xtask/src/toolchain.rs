//! Installs what the tasks need and a machine may lack: targets and components of Rust, and PostgreSQL.

use crate::command::{Failure, Step};
use anyhow::Result;
use std::path::Path;
use xtask::postgres::Server;

/// Rust target of the plug-ins.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Rust target of a plug-in of the tests, whose standard library imports WASI (system calls for WebAssembly).
pub(crate) const WASI_TARGET: &str = "wasm32-wasip2";

/// Installs a Rust target with rustup if it is missing.
pub(crate) fn ensure_target(target: &str) -> Result<()> {
    if has_target(target)? {
        return Ok(());
    }
    eprintln!("the target {target} is missing; installing it with rustup");
    let installed = Step::new("installing a wasm target", "rustup").words("target add").words(target).run();
    if installed.is_ok() && has_target(target)? {
        return Ok(());
    }
    Err(Failure::new(
        format!("plug-ins need the Rust target {target}; it is missing, and rustup could not install it"),
        format!("install it: `rustup target add {target}`, or the package of your distribution"),
    )
    .into())
}

/// Installs a component of the toolchain, such as `clippy`, with rustup if it is missing.
pub(crate) fn ensure_component(component: &'static str) -> Result<()> {
    let name = if component == "rustfmt" { "fmt" } else { component };
    if Step::cargo("looking for a component").words(name).words("--version").succeeds() {
        return Ok(());
    }
    Step::new("installing a component of the toolchain", "rustup")
        .words("component add")
        .words(component)
        .help(format!("install it: `rustup component add {component}`"))
        .run()
}

/// Installs PostgreSQL with apt-get if it is missing; tests start their own servers.
pub(crate) fn ensure_postgres() -> Result<()> {
    let Err(missing) = Server::start(&[]) else { return Ok(()) };
    eprintln!("{missing}; installing it with apt-get");
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
        "install PostgreSQL 15 or newer",
    )
    .into())
}

/// Whether a subcommand of cargo, such as `nextest`, is installed.
pub(crate) fn has_subcommand(name: &str) -> bool {
    Step::cargo("looking for a subcommand").words(name).words("--help").succeeds()
}

/// Whether the toolchain has a target; it may have been installed without rustup.
fn has_target(target: &str) -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = Step::new("looking for the toolchain", rustc).words("--print sysroot").output()?;
    let libraries = Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("lib");
    let Ok(mut entries) = std::fs::read_dir(libraries) else { return Ok(false) };
    Ok(entries
        .any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))))
}
