//! `host plugin`: for authors of plug-ins, one file a command.

mod bench;
mod build;
mod diff;
mod findings;
mod inspect;
mod lock;
mod new;
mod run;
mod shadow;
mod test;
mod verify;

pub(super) use findings::text as comparison_text;
pub(super) use shadow::shadow;

use super::{
    Ended, Global,
    failure::Failure,
    plugin_source::unlocked_plugin_source,
    run::{ReplayArgs, replay},
};
use crate::{config::Config, telemetry::progress::Screen};
use clap::Subcommand;
use host_core::plugin::BatchFailure;
use host_plugin_dev::{
    project::{Project, ProjectError},
    workbench::{Workbench, fresh},
};
use host_plugin_host::{Cache, LoadError, Plugin, Profile, Runner};
use std::path::{Path, PathBuf};

/// Instances at a time: an old and a new plug-in, and one of each that is still going away.
const INSTANCES: usize = 4;

/// Commands for authors of plug-ins. Where a plug-in is to be named, a component file or the folder of a project with a
/// `plugin.toml` will do.
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Start a project: sources, the contract, a fixture with its golden file
    New(new::NewArgs),
    /// Build a project's component
    Build(build::BuildArgs),
    /// Run the fixtures: golden files, purity, budgets
    Test(test::TestArgs),
    /// Give a plug-in a few products and see what it makes of them
    Run(run::RunArgs),
    /// Say whether this host can use a plug-in: it is loaded, linked, described and configured
    Verify {
        /// The component, or the folder of a project
        plugin: PathBuf,
    },
    /// Measure a plug-in
    Bench(bench::BenchArgs),
    /// Compare what two versions of a plug-in make of the same products
    Diff(diff::DiffArgs),
    /// Write down which components plug-ins are now, so that no others are run under their names
    Lock(lock::LockArgs),
    /// Give a mended plug-in exactly those products of a job that the old one trapped on or refused, as a new job
    Replay(ReplayArgs),
    /// Say what a plug-in is
    Inspect {
        /// The component, or the folder of a project
        plugin: PathBuf,
    },
}

impl PluginCommand {
    /// Whether the author wants to see what the plug-in logs.
    pub(super) fn shows_log(&self) -> bool {
        matches!(self, Self::Run(_))
    }
}

pub(super) fn run(global: &Global, command: PluginCommand, screen: &Screen) -> Ended {
    match command {
        PluginCommand::New(args) => new::run(global, &args),
        PluginCommand::Build(args) => build::run(global, &args),
        PluginCommand::Test(args) => test::run(global, &args),
        PluginCommand::Run(args) => run::run(global, &args),
        PluginCommand::Verify { plugin } => verify::run(global, &plugin),
        PluginCommand::Bench(args) => bench::run(global, &args),
        PluginCommand::Diff(args) => diff::run(global, &args),
        PluginCommand::Lock(args) => lock::run(global, &args),
        PluginCommand::Replay(args) => replay(global, args, screen),
        PluginCommand::Inspect { plugin } => inspect::run(global, &plugin),
    }
}

/// An engine with the limits of the settings.
fn workbench(config: &Config, profile: Profile) -> Result<Workbench, Failure> {
    Workbench::new(profile, &config.plugin.limits, Cache::of_user(), INSTANCES).map_err(Failure::broke)
}

/// The component itself, or the one that a project's folder builds.
fn component(path: &Path) -> Result<PathBuf, Failure> {
    if path.is_dir() { Ok(project(path)?.component()) } else { Ok(path.to_owned()) }
}

/// Loads a component as the settings configure it, or a project's as its `plugin.toml` does.
fn load(workbench: &Workbench, path: &Path, config: &Config) -> Result<Plugin, Failure> {
    if path.to_string_lossy().starts_with("oci://") {
        let component = unlocked_plugin_source(config)?.fetch_one(path)?.component;
        return workbench.load_component(&component, &config.plugin.config).map_err(Failure::usage);
    }
    if !path.is_dir() {
        return workbench.load(path, &config.plugin.config).map_err(Failure::usage);
    }
    let project = project(path)?;
    let configured = workbench
        .read(&project.component())
        .and_then(|candidate| candidate.configured(&project.settings.config));
    configured.map_err(|error| unbuilt(error, path))
}

fn project(dir: &Path) -> Result<Project, Failure> {
    Project::open(dir).map_err(|error| match error {
        ProjectError::Missing(_) => Failure::usage(error).help("`host plugin new NAME` starts one"),
        other => Failure::usage(other),
    })
}

/// The failure to load a project's component, which may not have been built yet.
fn unbuilt(error: LoadError, dir: &Path) -> Failure {
    match error {
        LoadError::Missing { path } => {
            Failure::usage(format!("the component {} has not been built", path.display()))
                .help(format!("host plugin build {}", dir.display()))
        }
        other => Failure::usage(other),
    }
}

/// A plug-in on a thread of its own.
fn runner(plugin: &Plugin) -> Result<Runner, Failure> {
    fresh(plugin).map_err(Failure::broke)
}

/// What is wrong when a plug-in fails on a whole batch: the plug-in or what it was told, not this program.
fn batch_failure(failure: BatchFailure) -> Failure {
    Failure::usage(failure)
}

/// `1 product`, `2 products`.
fn counted(number: u64, noun: &str) -> String {
    let number_text = host_core::text::count(number);
    if number == 1 { format!("{number_text} {noun}") } else { format!("{number_text} {noun}s") }
}
