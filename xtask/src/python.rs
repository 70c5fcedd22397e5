//! Installs Python packages for tests, each in its own virtual environment.

use anyhow::{Context, Result, ensure};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// Returns the virtual environment `name` below `target` with a package, given as `PACKAGE==VERSION`. Installs it once,
/// even if several tests ask for it at the same time.
pub(crate) fn install(target: &Path, name: &str, package: &str) -> Result<PathBuf> {
    let environment = target.join(name);
    // An empty file that says that the installation is complete.
    let installed = environment.join(package);
    if installed.exists() {
        return Ok(environment);
    }
    fs::create_dir_all(&environment)?;
    let lock = File::create(target.join(format!("{name}.lock")))?;
    lock.lock().context("cannot lock the installation")?;
    if !installed.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        let python = environment.join("bin/python");
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package];
        run(Command::new(python).args(pip))?;
        File::create(installed)?;
    }
    Ok(environment)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(
        status.success(),
        "{command:?} ended with {status}; it needs Python 3.10 or newer with venv and pip"
    );
    Ok(())
}
