//! `cargo xtask`: the tasks of this repository, one module per task.

mod bench;
mod boundaries;
mod build;
mod command;
mod demo;
mod features;
mod hygiene;
mod make_sample;
mod marqo_stand_in;
mod package_lambda;
mod reference;
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

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the host, and the plug-ins into target/plugins/
    Build,
    /// Build everything and index a sample shop
    Demo(demo::Options),
    /// Install what the tests need and run all checks
    Test(test::Options),
    /// Run a benchmark
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Renew docs/reference/
    Reference,
    /// Generate an export like that of a Shopify shop
    Sample(make_sample::Options),
    /// Package the host for AWS Lambda
    PackageLambda(package_lambda::Options),
    /// Run a stand-in for Marqo, which fails on request
    MarqoStandIn(marqo_stand_in::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Build => build::run(),
        Task::Test(options) => test::run(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Bench(bench) => bench::run(&bench),
        Task::Reference => reference::run(),
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
