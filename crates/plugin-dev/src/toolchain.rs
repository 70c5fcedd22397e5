//! Builds the component (the WebAssembly) of a plug-in project with the tools of its language, in the versions that the
//! project pins.

use crate::project::{Language, Project};
use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The Rust target; its components import nothing but the contract (the WIT package in the project's `wit/`).
const RUST_TARGET: &str = "wasm32-unknown-unknown";

/// Name of the WIT world (the list of interfaces that a plug-in imports and exports) in every project's `wit/`.
const WORLD: &str = "project";

/// Why a component cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A tool is not installed.
    #[error("{tool} is not installed")]
    Missing {
        /// The tool.
        tool: &'static str,
        /// How to install it.
        help: String,
    },
    /// A tool cannot be started.
    #[error("cannot start {tool}: {cause}")]
    Start {
        /// The tool.
        tool: &'static str,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// A tool reported an error.
    #[error("{tool} failed to build the plug-in; see its output above")]
    Failed {
        /// The tool.
        tool: &'static str,
    },
    /// The built component cannot be copied.
    #[error("cannot copy {} to {}: {cause}", from.display(), to.display())]
    Copy {
        /// The built component.
        from: PathBuf,
        /// Its destination.
        to: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
}

/// Builds a project's component and returns its path. The output of the tools goes to stderr.
///
/// # Errors
/// A tool is missing or fails, or the component cannot be copied into the project's folder.
pub fn build(project: &Project) -> Result<PathBuf, BuildError> {
    match project.settings.lang {
        Language::Rust => rust(project)?,
        Language::Javascript => javascript(project)?,
        Language::Python => python(project)?,
    }
    Ok(project.component())
}

fn rust(project: &Project) -> Result<(), BuildError> {
    let help = format!("install Rust from https://rustup.rs, then `rustup target add {RUST_TARGET}`");
    let rustc = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", RUST_TARGET])
        .current_dir(&project.dir)
        .output()
        .map_err(|_| BuildError::Missing { tool: "rustc", help })?;
    let library = String::from_utf8_lossy(&rustc.stdout).trim().to_owned();
    if !Path::new(&library).is_dir() {
        let help = format!("rustup target add {RUST_TARGET}");
        return Err(BuildError::Missing { tool: "the Rust target wasm32-unknown-unknown", help });
    }
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--target", RUST_TARGET, "--target-dir", "target"])
        // Flags in the environment are meant for the author's native builds.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    run("cargo", &mut cargo, project)?;
    let built = format!("target/{RUST_TARGET}/release/{}.wasm", project.settings.name.replace('-', "_"));
    let (from, to) = (project.dir.join(built), project.component());
    match std::fs::copy(&from, &to) {
        Ok(_) => Ok(()),
        Err(cause) => Err(BuildError::Copy { from, to, cause }),
    }
}

fn javascript(project: &Project) -> Result<(), BuildError> {
    let tool = "componentize-qjs";
    let local = "node_modules/.bin/componentize-qjs";
    let mut command = tool_of(project, tool, local, "npm install")?;
    command.args([
        "--wit",
        "wit",
        "--world",
        WORLD,
        "--js",
        "src/plugin.js",
        "--sync",
        "--stub-wasi",
        "--output",
    ]);
    run(tool, command.arg(output(project)), project)
}

fn python(project: &Project) -> Result<(), BuildError> {
    let tool = "componentize-py";
    let install = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";
    let mut command = tool_of(project, tool, ".venv/bin/componentize-py", install)?;
    command.args(["--quiet", "--wit-path", "wit", "--world", WORLD, "componentize", "--stub-wasi"]);
    command.args(["--python-path", "src", "--output"]);
    run(tool, command.arg(output(project)).arg("plugin"), project)
}

/// The project's own installation of a tool, or else the one in PATH.
fn tool_of(project: &Project, tool: &'static str, local: &str, install: &str) -> Result<Command, BuildError> {
    let path = project.dir.join(local);
    if path.is_file() {
        // A relative path would be resolved against the folder that the tool runs in.
        let path = std::path::absolute(&path).map_err(|cause| BuildError::Start { tool, cause })?;
        return Ok(Command::new(path));
    }
    let is_installed = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()));
    if is_installed {
        return Ok(Command::new(tool));
    }
    let folder = project.dir.display();
    Err(BuildError::Missing { tool, help: format!("in {folder}: {install}") })
}

/// The path of the component, relative to the project's folder.
fn output(project: &Project) -> PathBuf {
    let component = project.component();
    component.strip_prefix(&project.dir).map(Path::to_owned).unwrap_or(component)
}

/// Runs a tool in the project's folder, with its output on stderr.
fn run(tool: &'static str, command: &mut Command, project: &Project) -> Result<(), BuildError> {
    command.current_dir(&project.dir).stdin(Stdio::null()).stdout(io::stderr());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(BuildError::Failed { tool }),
        Err(cause) => Err(BuildError::Start { tool, cause }),
    }
}
