//! The commands, one file each, and `main`, which parses the command line and runs one of them.

mod at_least_one;
mod aws;
mod backend;
mod catalog;
mod completions;
mod config;
mod context;
mod dlq;
mod documents;
mod failure;
mod hints;
mod jobs;
mod lambda;
mod output;
mod plugin;
mod plugin_source;
mod prune;
mod reconcile;
mod report;
mod resume;
mod run;
mod settings;
mod shop;
mod shop_id;
mod shutdown;
mod status;
mod why;
mod work;
mod work_progress;

pub use failure::Exit;

use crate::{
    config::{Overrides, StoreKind, TargetIndex},
    telemetry::{
        log::{self, LogFormat},
        progress::Screen,
    },
};
use clap::{Args, CommandFactory, Parser, Subcommand};
use failure::Failure;
use host_plugin_host::Wasi;
use output::OutputFormat;
use std::path::PathBuf;

/// Gets an online shop's products into its search index.
#[derive(Debug, Parser)]
#[command(name = "host", version, about, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// Settings file [default: host.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of queue, jobs, catalog and chunks [default: .host]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where queue, jobs and chunks are [default: embedded]
    #[arg(long, global = true, value_enum, value_name = "STORE")]
    store: Option<StoreKind>,
    /// The shop: example.myshopify.com [default: where a command only looks, that of the newest job]
    #[arg(long, global = true, value_name = "SHOP")]
    shop: Option<String>,
    /// Name of the index [default: made of platform and shop]
    #[arg(long, global = true, value_name = "NAME")]
    index: Option<String>,
    /// Kind of the index that documents are written to [default: catalog; where a command only looks, that of the newest job]
    #[arg(long, global = true, value_enum, value_name = "KIND")]
    target: Option<TargetIndex>,
    /// What a plug-in gets that imports WASI [default: inert]
    #[arg(long, global = true, value_enum, value_name = "WHICH")]
    wasi: Option<Wasi>,
    /// How results are printed on stdout
    #[arg(long, global = true, value_enum, default_value_t)]
    output: OutputFormat,
    /// No progress on stderr
    #[arg(long, global = true)]
    quiet: bool,
    /// How logs are printed on stderr; HOST_LOG filters them
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
}

impl Global {
    /// The flags that are settings.
    fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::default();
        overrides
            .set("--data-dir", "data_dir", self.data_dir.as_ref())
            .set("--store", "store", self.store)
            .set("--shop", "shop", self.shop.as_ref())
            .set("--index", "index", self.index.as_ref())
            .set("--target", "target", self.target)
            .set("--wasi", "plugin.limits.wasi", self.wasi);
        overrides
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read an export and write its products to the index; without a source, work the queue
    Run(Box<run::RunArgs>),
    /// Read an export and publish its products as chunks, for `host work` to write
    Ingest(Box<run::IngestArgs>),
    /// Write what is published for all shops, or for the one that --shop or the settings name, until Ctrl-C
    Work(work::WorkArgs),
    /// Write what is published, as an AWS Lambda function with an SQS event source
    Lambda(lambda::LambdaArgs),
    /// Print what is stopped and why, open jobs, what waits and dead letters, each with what to type next: of all
    /// shops, or of the one that --shop or the settings name, with its last syncs. Ends with exit code 3 if a stop holds
    /// jobs up or there are dead letters
    Status,
    /// Look at jobs
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// Look at the chunks that no worker could handle, send them again or let them be
    #[command(subcommand)]
    Dlq(dlq::DlqCommand),
    /// How an index of a search server is reached and written
    #[command(subcommand)]
    Settings(settings::SettingsCommand),
    /// Tell where a product is, from which job, and why it was left out if it was
    Why(why::WhyArgs),
    /// Resume work on a shop's indexes that a failure has stopped, once its cause is fixed
    Resume(resume::ResumeArgs),
    /// Compare what the index has with what the ledger says of it. Changes nothing without --repair, and ends with exit
    /// code 3 if they differ
    Reconcile(reconcile::ReconcileArgs),
    /// Look after the ledger, which remembers each product's state
    #[command(subcommand)]
    Ledger(reconcile::LedgerCommand),
    /// Look at what is in the index
    #[command(subcommand)]
    Documents(documents::DocumentsCommand),
    /// The end of a shop
    #[command(subcommand)]
    Shop(shop::ShopCommand),
    /// Remove old jobs with their chunks and reports from the data directory, as runs and `host work` do by themselves
    Prune(prune::PruneArgs),
    /// What the stores in AWS need
    #[command(subcommand)]
    Aws(aws::AwsCommand),
    /// Look after the relational catalog
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// For authors of plug-ins
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Look at the settings
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

/// Commands for plug-in authors. A plug-in is named by its component file or by a project folder with a `plugin.toml`.
#[derive(Debug, Subcommand)]
enum PluginCommand {
    #[command(flatten)]
    Author(plugin::PluginCommand),
    /// Re-run the products that an earlier job's plug-in failed on or rejected
    Replay(run::ReplayArgs),
}

/// The tree of commands, from which `docs/reference/cli.md` is made.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program.
pub fn main() -> Exit {
    let Cli { global, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // If the output is closed, the message is lost and the exit code remains.
            let _printed = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Completed };
        }
    };
    let screen = Screen::new(global.quiet);
    log::start(
        global.log_format,
        &screen,
        matches!(&command, Command::Plugin(PluginCommand::Author(plugin)) if plugin.shows_log()),
    );
    let result = match command {
        Command::Run(args) => run::run(&global, *args, run::Stages::IngestAndWork, &screen),
        Command::Ingest(args) => run::run(&global, (*args).into(), run::Stages::Ingest, &screen),
        Command::Work(args) => work::run(&global, args, &screen),
        Command::Status => status::run(&global),
        Command::Jobs(command) => jobs::run(&global, command, &screen),
        Command::Dlq(command) => dlq::run(&global, command),
        Command::Settings(command) => settings::run(&global, command),
        Command::Why(args) => why::run(&global, &args),
        Command::Resume(args) => resume::run(&global, &args),
        Command::Reconcile(args) => reconcile::run(&global, args),
        Command::Ledger(command) => reconcile::ledger(&global, command),
        Command::Documents(command) => documents::run(&global, command),
        Command::Lambda(args) => lambda::run(&global, &args),
        Command::Shop(command) => shop::run(&global, command),
        Command::Prune(args) => prune::run(&global, &args),
        Command::Aws(command) => aws::run(&global, &command),
        Command::Catalog(command) => catalog::run(&global, command),
        Command::Plugin(PluginCommand::Author(command)) => plugin::run(&global, command),
        Command::Plugin(PluginCommand::Replay(args)) => run::replay(&global, args, &screen),
        Command::Config(command) => config::run(&global, command),
        Command::Completions(args) => completions::run(&args),
    };
    result.unwrap_or_else(|failure| failure.report(&hints::options(&global)))
}

/// How a command ends: its exit code, or a failure to print.
type CliResult = Result<Exit, Failure>;
