//! `host plugin`: the commands for plug-in authors, one file per command.

mod bench;
mod build;
mod comparison;
mod diff;
mod inspect;
mod lock;
mod new;
mod run;
mod shadow;
mod test;
mod verify;

pub(super) use comparison::text as comparison_text;
pub(super) use shadow::shadow;

use super::{
    CliResult, Global,
    context::{compiler, component_failure},
    failure::Failure,
    plugin_source::plugin_source_without_lock,
};
use crate::config::Config;
use clap::Subcommand;
use host_core::{format::pluralize, plugin::BatchFailure};
use host_plugin_dev::{
    engine::{DevEngine, fresh_runner},
    project::{Project, ProjectError},
};
use host_plugin_host::{Cache, EngineProfile, LoadError, Plugin, Runner};
use std::path::{Path, PathBuf};

/// Most instances at a time: an old and a new plug-in, and one of each that is still shutting down.
const INSTANCES: usize = 4;

/// The commands that work without a job: all but `host plugin replay`.
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Create a project with sources, the contract, and a fixture with its golden file
    New(new::NewArgs),
    /// Build the component of a project
    Build(build::BuildArgs),
    /// Test a project: golden files, pure results (the same answer alone, in a batch and repeated), and the budget of
    /// plugin.toml
    Test(test::TestArgs),
    /// Run a plug-in on a few products and show its output
    Run(run::RunArgs),
    /// Check that this host can use a plug-in: load, link, describe and configure it
    Verify {
        /// Component file or project folder
        plugin: PathBuf,
    },
    /// Measure speed, instructions and memory of a plug-in
    Bench(bench::BenchArgs),
    /// Compare the output of two versions of a plug-in for the same products
    Diff(diff::DiffArgs),
    /// Pin plug-in digests in plugin.lock
    Lock(lock::LockArgs),
    /// Show a plug-in's roles, contract, imports, settings and load time
    Inspect {
        /// Component file or project folder
        plugin: PathBuf,
    },
}

impl PluginCommand {
    /// Whether to show the plug-in's log by default.
    pub(super) fn shows_log(&self) -> bool {
        matches!(self, Self::Run(_))
    }
}

pub(super) fn run(global: &Global, command: PluginCommand) -> CliResult {
    match command {
        PluginCommand::New(args) => new::run(global, &args),
        PluginCommand::Build(args) => build::run(global, &args),
        PluginCommand::Test(args) => test::run(global, &args),
        PluginCommand::Run(args) => run::run(global, &args),
        PluginCommand::Verify { plugin } => verify::run(global, &plugin),
        PluginCommand::Bench(args) => bench::run(global, &args),
        PluginCommand::Diff(args) => diff::run(global, &args),
        PluginCommand::Lock(args) => lock::run(global, &args),
        PluginCommand::Inspect { plugin } => inspect::run(global, &plugin),
    }
}

/// An engine with the limits from the settings.
fn dev_engine(config: &Config, profile: EngineProfile) -> Result<DevEngine, Failure> {
    DevEngine::new(profile, &config.plugin.limits, Cache::of_user(), compiler()?, INSTANCES)
        .map_err(Failure::runtime)
}

/// The component file, or the component of a project folder.
pub(super) fn component(path: &Path) -> Result<PathBuf, Failure> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let project = project(path)?;
    let file = project.component();
    if !file.exists() {
        return Err(load_failure(LoadError::Missing { path: file }, path));
    }
    warn_of_stale(&project);
    Ok(file)
}

/// Warns of a component that is older than the project's source: the author has probably forgotten to build.
fn warn_of_stale(project: &Project) {
    if let Some(source) = project.changed_since_build() {
        eprintln!(
            "warning: {} was changed after {} was built; `host plugin build {}` builds it again",
            source.display(),
            project.component().display(),
            project.dir.display()
        );
    }
}

/// Loads a component with the configuration from the settings, or a project's with the one from its `plugin.toml`.
fn load(engine: &DevEngine, path: &Path, config: &Config) -> Result<Plugin, Failure> {
    if path.to_string_lossy().starts_with("oci://") {
        let component = plugin_source_without_lock(config)?.fetch_one(path)?.component;
        return engine.load_component(&component, &config.plugin.config).map_err(component_failure);
    }
    if !path.is_dir() {
        return engine.load(path, &config.plugin.config).map_err(component_failure);
    }
    let project = project(path)?;
    warn_of_stale(&project);
    engine
        .read(&project.component())
        .and_then(|component| component.load(&project.settings.config))
        .map_err(|error| load_failure(error, path))
}

fn project(dir: &Path) -> Result<Project, Failure> {
    Project::open(dir).map_err(|error| match error {
        ProjectError::Missing(_) => Failure::usage(error).help("create one with `host plugin new NAME`"),
        other => Failure::usage(other),
    })
}

/// Why a project's component cannot be loaded; a missing one has probably not been built yet.
fn load_failure(error: LoadError, dir: &Path) -> Failure {
    match error {
        LoadError::Missing { path } => {
            Failure::usage(format!("the component {} has not been built", path.display()))
                .help(format!("host plugin build {}", dir.display()))
        }
        other => component_failure(other),
    }
}

/// A runner, which calls the plug-in, with a new instance of it.
fn new_runner(plugin: &Plugin) -> Result<Runner, Failure> {
    fresh_runner(plugin).map_err(Failure::runtime)
}

/// A plug-in's failure on a whole batch is an error of its input, configuration or code, not of this program.
fn batch_failure(failure: BatchFailure) -> Failure {
    Failure::usage(failure)
}
