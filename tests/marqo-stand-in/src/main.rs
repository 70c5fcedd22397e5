//! The stand-in for a Marqo server as a program, with its options as arguments.

use clap::Parser;
use marqo_stand_in::{FaultRule, Options, StandIn, Version};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// Answers as a Marqo server does, and fails on request.
///
/// Prints `listening on http://…` as its first line; everything else goes to standard error. Tests talk to the stand-in
/// itself below /_stand-in/: GET and PUT faults, GET log, rules, documents/INDEX, history/INDEX.
#[derive(Debug, Parser)]
#[command(name = "marqo-stand-in")]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8882")]
    listen: SocketAddr,
    /// The server to imitate: 2.13.0 or 2.25.2.
    #[arg(long, value_name = "VERSION", default_value_t)]
    marqo_version: Version,
    /// Make this unstructured index at the start; repeatable.
    #[arg(long = "index", value_name = "NAME")]
    indexes: Vec<String>,
    /// Make an index when it is first written to. The real server does NOT do so: it answers 404.
    #[arg(long)]
    auto_create: bool,
    /// What x-api-key must hold; without one, every request is answered. Others get 401 {"message": "Unauthorized"}, as
    /// from a gateway.
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Do not refuse more than 8 adds at once, as 2.13 without Redis.
    #[arg(long)]
    unthrottled: bool,
    /// Faults from the start, as JSON or a file of it: [{"fault": {"item": {"status": 429}}, "operation": "add",
    /// "document": "mug-*", "probability": 0.1, "skip": 1, "next": 3}].
    #[arg(long, value_name = "FILE|JSON")]
    faults: Option<String>,
    /// All that is random follows from it.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// How long each add takes, in place of embedding.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency_ms: u64,
    /// The field that the history of writes keeps as a document's version.
    #[arg(long, value_name = "FIELD", default_value = "updated_at")]
    version_field: String,
    /// Print the table of all cases and end.
    #[arg(long)]
    rules: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.rules {
        print!("{}", marqo_stand_in::listing());
        return ExitCode::SUCCESS;
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), String> {
    let faults = arguments.faults.as_deref().map(read_faults).transpose()?.unwrap_or_default();
    eprintln!("Marqo {}, seed {}, {} fault rules", arguments.marqo_version, arguments.seed, faults.len());
    let options = Options {
        listen: arguments.listen,
        version: arguments.marqo_version,
        indexes: arguments.indexes,
        auto_create: arguments.auto_create,
        api_key: arguments.api_key,
        throttled: !arguments.unthrottled,
        faults,
        seed: arguments.seed,
        latency: Duration::from_millis(arguments.latency_ms),
        version_field: arguments.version_field,
    };
    let listen = options.listen;
    let stand_in = StandIn::start(options).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    println!("listening on {}", stand_in.url());
    stand_in.wait();
    Err("the server ended".to_owned())
}

/// The rules for faults, from JSON text or from a file.
fn read_faults(given: &str) -> Result<Vec<FaultRule>, String> {
    let json = if given.trim_start().starts_with('[') {
        given.to_owned()
    } else {
        std::fs::read_to_string(given).map_err(|error| format!("{given} cannot be read: {error}"))?
    };
    serde_json::from_str(&json).map_err(|error| format!("the faults cannot be understood: {error}"))
}
