//! `host settings`: how an index of a search server is reached and written.

pub(super) mod check;
mod put;

use super::{
    Ended, Global,
    backend::Backend,
    context::{config, print, print_json, runtime, store_failure},
    failure::{Exit, Failure},
    output::OutputFormat,
};
use crate::model::IndexSettings;
use clap::Subcommand;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Commands about the settings of indexes.
#[derive(Debug, Subcommand)]
pub(super) enum SettingsCommand {
    /// Print the settings of an index; secrets are left out
    Get {
        /// Name of the index
        #[arg(value_name = "INDEX")]
        name: String,
    },
    /// Change settings of an index: what is not named stays as it is
    Put(Box<put::PutArgs>),
    /// Print the indexes that have settings
    List,
}

pub(super) fn run(global: &Global, command: SettingsCommand) -> Ended {
    let config = config(global)?;
    let stores = async |create| Ok::<_, Failure>(Backend::open(&config, create).await?.stores());
    runtime()?.block_on(async {
        match command {
            SettingsCommand::Put(args) => {
                let change = args.change()?;
                if !config.data_dir.exists() {
                    // Nothing is made for settings that cannot be used.
                    change.apply(IndexSettings::default())?;
                }
                let settings = stores(true).await?.settings;
                let stored = settings.get(&args.name).await.map_err(store_failure)?.unwrap_or_default();
                let wanted = change.apply(stored)?;
                settings.put(&args.name, &wanted).await.map_err(store_failure)?;
                show(global, &args.name, &wanted)?;
            }
            SettingsCommand::Get { name } => {
                let found = stores(false).await?.settings.get(&name).await.map_err(store_failure)?;
                let Some(found) = found else {
                    return Err(Failure::usage(format!("index {name} has no settings"))
                        .help("`host settings list` prints the indexes that have some, `host settings put` makes them"));
                };
                show(global, &name, &found)?;
            }
            SettingsCommand::List => {
                let settings = stores(false).await?.settings;
                let names = settings.list().await.map_err(store_failure)?;
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

fn show(global: &Global, name: &str, settings: &IndexSettings) -> Result<(), Failure> {
    let shown = without_secrets(settings)?;
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

/// The settings as an object, the key and the values of headers, which often are keys, left out.
fn without_secrets(settings: &IndexSettings) -> Result<Map<String, Value>, Failure> {
    let redacted = || Value::from("[redacted]");
    let mut shown = put::to_object(settings)?;
    if settings.api_key.is_some() {
        shown.insert("api_key".to_owned(), redacted());
    }
    let headers: Map<_, _> =
        settings.media_download_headers.keys().map(|name| (name.clone(), redacted())).collect();
    shown.insert("media_download_headers".to_owned(), headers.into());
    Ok(shown)
}
