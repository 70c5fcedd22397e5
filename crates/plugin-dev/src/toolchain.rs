//! How a project becomes a component: by the tools of its language, in the versions that it pins.

use crate::project::{Language, Project};
use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What Rust is compiled for: a component without imports of its own.
const RUST_TARGET: &str = "wasm32-unknown-unknown";

/// The world of every project, in its `wit/`.
const WORLD: &str = "project";

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A tool is not installed.
    #[error("{tool} is not installed")]
    Missing {
        /// The tool.
        tool: &'static str,
        /// How it is installed.
        help: String,
    },
    /// A tool cannot be started.
    #[error("{tool} cannot be started: {cause}")]
    Start {
        /// The tool.
        tool: &'static str,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A tool said what is wrong.
    #[error("{tool} could not build the plug-in; what it said is above")]
    Failed {
        /// The tool.
        tool: &'static str,
    },
    /// The result is not where it should be.
    #[error("{} cannot be copied to {}: {cause}", from.display(), to.display())]
    Copy {
        /// What was built.
        from: PathBuf,
        /// Where it goes.
        to: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// Builds a project's component and returns its path. What the tools say goes to stderr.
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
        // Flags for other builds are not for this one.
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

/// A tool as the project has installed it, or else the one of the system.
fn tool_of(project: &Project, tool: &'static str, local: &str, install: &str) -> Result<Command, BuildError> {
    let path = project.dir.join(local);
    if path.is_file() {
        // Absolute, because a relative one would be looked for from the folder that the tool is started in.
        let path = std::path::absolute(&path).map_err(|cause| BuildError::Start { tool, cause })?;
        return Ok(Command::new(path));
    }
    let is_there = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()));
    if is_there {
        return Ok(Command::new(tool));
    }
    let folder = project.dir.display();
    Err(BuildError::Missing { tool, help: format!("in {folder}: {install}") })
}

/// The component as seen from the project's folder.
fn output(project: &Project) -> PathBuf {
    let component = project.component();
    component.strip_prefix(&project.dir).map(Path::to_owned).unwrap_or(component)
}

fn run(tool: &'static str, command: &mut Command, project: &Project) -> Result<(), BuildError> {
    command.current_dir(&project.dir).stdin(Stdio::null()).stdout(io::stderr());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(BuildError::Failed { tool }),
        Err(cause) => Err(BuildError::Start { tool, cause }),
    }
}
