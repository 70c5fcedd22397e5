//! `cargo xtask`: the tasks of this repository.

mod bench;
mod build;
mod command;
mod demo;
mod features;
mod hygiene;
mod make_sample;
mod marqo_stand_in;
mod package_lambda;
mod requirements;
mod test;
mod toolchain;
mod workspace;

use clap::{Parser, Subcommand};
use command::Failure;
use std::process::ExitCode;

/// The tasks of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

/// One file a task.
#[derive(Debug, Subcommand)]
enum Task {
    /// Build the plug-ins into target/plugins/ and the host.
    Build,
    /// Build everything, make a sample shop and index it.
    Demo(demo::Options),
    /// Install what the tests need and run them all.
    Test(test::Options),
    /// Measure.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Write an export like a Shopify shop's.
    Sample(make_sample::Options),
    /// Pack the host for AWS Lambda.
    PackageLambda(package_lambda::Options),
    /// Run a server that answers as Marqo does and fails on request.
    MarqoStandIn(marqo_stand_in::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Build => build::run(),
        Task::Test(options) => test::run(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Bench(bench) => bench::run(&bench),
        Task::Sample(options) => make_sample::run(&options),
        Task::PackageLambda(options) => package_lambda::run(&options),
        Task::MarqoStandIn(options) => marqo_stand_in::run(&options),
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  cause: {cause}");
    }
    if let Some(help) = error.downcast_ref::<Failure>().and_then(|failure| failure.help.as_ref()) {
        eprintln!("  help: {help}");
    }
    ExitCode::FAILURE
}
