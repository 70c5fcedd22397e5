//! `host settings`: the stored settings of an index on a Marqo server, such as its address, key and vector fields.

mod put;

use super::{
    CliResult, Global,
    backend::Backend,
    context::{config, marqo, print, print_json, runtime, store_failure},
    failure::{Exit, Failure},
    output::OutputFormat,
    resume,
};
use crate::config::Config;
use clap::Subcommand;
use host_core::{
    error::chain,
    storage::{ClearedBy, Settings},
};
use host_index_marqo::{IndexSettings, SettingsError};
use host_net::RetryProfile;
use serde_json::{Map, Value};
use std::{fmt::Write, sync::Arc};

/// Commands about the settings of indexes.
#[derive(Debug, Subcommand)]
pub(super) enum SettingsCommand {
    /// Print the settings of an index; secrets are omitted
    Get {
        /// Name of the index
        #[arg(value_name = "INDEX")]
        name: String,
    },
    /// Change settings of an index: what is not named stays as it is. A server that answers is asked whether it agrees
    Put(Box<put::PutArgs>),
    /// Remove the settings of an index; the index itself stays as it is
    Delete {
        /// Name of the index
        #[arg(value_name = "INDEX")]
        name: String,
    },
    /// Print the indexes that have settings
    List,
}

pub(super) fn run(global: &Global, command: SettingsCommand) -> CliResult {
    let config = config(global)?;
    let stores = async |create| Ok::<_, Failure>(Backend::open(&config, create).await?.stores());
    runtime()?.block_on(async {
        match command {
            SettingsCommand::Put(args) => {
                let change = args.change()?;
                if !config.data_dir.exists() {
                    // Settings that cannot be used must not create a data directory.
                    change.apply(IndexSettings::default())?;
                }
                let stores = stores(true).await?;
                let settings = stores.settings.clone();
                let stored = load(settings.as_ref(), &args.name).await?;
                if stored.is_none() && change.is_empty() {
                    return Err(Failure::usage(format!("nothing is said about index {}", args.name))
                        .help("say at least where it is: --endpoint http://localhost:8882"));
                }
                let wanted = change.apply(stored.unwrap_or_default())?;
                ensure_server_agrees(&config, &settings, &args.name, &wanted).await?;
                wanted.store(settings.as_ref(), &args.name).await.map_err(store_failure)?;
                eprintln!("saved the settings of index {}", args.name);
                for closed in resume::close(&stores, None, Some(&args.name), ClearedBy::Settings).await? {
                    eprintln!("resumed {}: it was {}", closed.scope, resume::reason_text(&closed));
                }
                show(global, &args.name, &wanted)?;
            }
            SettingsCommand::Delete { name } => {
                if !stores(false).await?.settings.delete(&name).await.map_err(store_failure)? {
                    return Err(without_settings(&name));
                }
                eprintln!("removed the settings of index {name}");
            }
            SettingsCommand::Get { name } => {
                let found = load(stores(false).await?.settings.as_ref(), &name).await?;
                show(global, &name, &found.ok_or_else(|| without_settings(&name))?)?;
            }
            SettingsCommand::List => {
                let settings = stores(false).await?.settings;
                let names = settings.list().await.map_err(store_failure)?;
                if names.is_empty() {
                    eprintln!("no index has settings; `host settings put INDEX …` makes them");
                }
                match global.output {
                    OutputFormat::Text => {
                        print(&names.iter().map(|name| format!("{name}\n")).collect::<String>())?;
                    }
                    OutputFormat::Json => print_json(&names)?,
                }
            }
        }
        Ok(Exit::Completed)
    })
}

async fn load(store: &dyn Settings, name: &str) -> Result<Option<IndexSettings>, Failure> {
    IndexSettings::load(store, name).await.map_err(|error| match error {
        SettingsError::Store(error) => store_failure(error),
        error => Failure::runtime(error),
    })
}

fn without_settings(name: &str) -> Failure {
    Failure::usage(format!("index {name} has no settings"))
        .help("`host settings list` prints the indexes that have some, `host settings put` stores them")
}

/// Refuses settings that contradict the server. A server that does not answer, or has no such index yet, causes a
/// warning.
async fn ensure_server_agrees(
    config: &Config,
    store: &Arc<dyn Settings>,
    name: &str,
    wanted: &IndexSettings,
) -> Result<(), Failure> {
    let marqo = marqo(config, Arc::clone(store), RetryProfile::Interactive)?;
    match marqo.inspect(name, wanted).await {
        Ok(inspection) => match inspection.contradiction(name, wanted) {
            None => Ok(()),
            Some(contradiction) => Err(Failure::usage(contradiction)),
        },
        Err(error) => {
            eprintln!("warning: the settings could not be compared with the server's: {}", chain(&error));
            Ok(())
        }
    }
}

fn show(global: &Global, name: &str, settings: &IndexSettings) -> Result<(), Failure> {
    let shown = without_secrets(settings);
    match global.output {
        OutputFormat::Json => {
            let mut object = Map::new();
            object.insert("index_name".to_owned(), name.into());
            object.extend(shown);
            print_json(&object)
        }
        OutputFormat::Text => {
            let widest = shown.keys().map(String::len).max().unwrap_or(0);
            let mut text = format!("index {name}\n");
            for (key, value) in &shown {
                let _ = writeln!(text, "  {key:widest$}  {value}");
            }
            print(&text)
        }
    }
}

/// The settings as an object, without the key and without the values of headers, which often are keys, too.
fn without_secrets(settings: &IndexSettings) -> Map<String, Value> {
    let redacted = || Value::from("[redacted]");
    let mut shown = settings.to_object();
    if settings.api_key.is_some() {
        shown.insert("api_key".to_owned(), redacted());
    }
    let headers: Map<_, _> =
        settings.media_download_headers.keys().map(|name| (name.clone(), redacted())).collect();
    shown.insert("media_download_headers".to_owned(), headers.into());
    shown
}
