//! The commands, one file each.

mod completions;
mod config;
mod context;
mod documents;
mod failure;
mod jobs;
mod output;
mod plugin;
mod report;
mod run;
mod settings;

pub use failure::Exit;

use crate::{
    config::{Overrides, TargetIndex},
    telemetry::{
        log::{self, LogFormat},
        progress::Screen,
    },
};
use clap::{Args, Parser, Subcommand};
use failure::Failure;
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
    /// The shop: example.myshopify.com
    #[arg(long, global = true, value_name = "SHOP")]
    shop: Option<String>,
    /// Name of the index [default: made of platform and shop]
    #[arg(long, global = true, value_name = "NAME")]
    index: Option<String>,
    /// Kind of the index that documents are written to [default: catalog]
    #[arg(long, global = true, value_enum, value_name = "KIND")]
    target: Option<TargetIndex>,
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
            .set("--shop", "shop", self.shop.as_ref())
            .set("--index", "index", self.index.as_ref())
            .set("--target", "target", self.target);
        overrides
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read an export and write its products to the index; without a source, work the queue
    Run(Box<run::RunArgs>),
    /// Look at jobs
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// How an index of a search server is reached and written
    #[command(subcommand)]
    Settings(settings::SettingsCommand),
    /// Look at what is in the index
    #[command(subcommand)]
    Documents(documents::DocumentsCommand),
    /// For authors of plug-ins
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Look at the settings
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

/// Runs the program.
pub fn main() -> Exit {
    let Cli { global, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done about a terminal that is gone.
            let _printed = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Completed };
        }
    };
    let screen = Screen::new(global.quiet);
    log::start(global.log_format, &screen, matches!(&command, Command::Plugin(plugin) if plugin.shows_log()));
    let result = match command {
        Command::Run(args) => run::run(&global, *args, &screen),
        Command::Jobs(command) => jobs::run(&global, command, &screen),
        Command::Settings(command) => settings::run(&global, command),
        Command::Documents(command) => documents::run(&global, command),
        Command::Plugin(command) => plugin::run(&global, command),
        Command::Config(command) => config::run(&global, command),
        Command::Completions(args) => completions::run(&args),
    };
    result.unwrap_or_else(|failure| failure.report())
}

/// What a command ends with.
type Ended = Result<Exit, Failure>;
