//! The flags of `host settings put`, and the change of an index's settings that they make.

use crate::cli::failure::Failure;
use clap::Args;
use host_core::secret::Secret;
use host_index_marqo::{IndexSettings, check_index_name};
use serde_json::{Map, Value};
use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Variable with the API key, read where `--api-key-file` is not given.
const API_KEY_VARIABLE: &str = "HOST_MARQO_API_KEY";

/// Most bytes that are read of a key file, 64 KiB: more than any key has, while a wrong file may be endless.
const MAX_KEY_BYTES: u64 = 64 << 10;

/// Arguments of `host settings put`.
#[derive(Debug, Args)]
pub(in crate::cli) struct PutArgs {
    /// Name of the index
    #[arg(value_name = "INDEX")]
    pub(super) name: String,
    /// Address of the server, or of Marqo Cloud's control plane with --cloud
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Address that is used while the first cannot be reached
    #[arg(long, value_name = "URL")]
    fallback_endpoint: Option<String>,
    /// Look the index's own address up at the endpoint, as Marqo Cloud wants it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    cloud: Option<bool>,
    /// File with the API key, or - for standard input. Without it, the key is read from the variable HOST_MARQO_API_KEY
    /// if that is set
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// Field that the server makes vectors of; may be repeated, all of them together replace the stored ones
    #[arg(long = "tensor-field", value_name = "FIELD")]
    tensor_fields: Vec<String>,
    /// Marqo's mappings (custom vectors, multimodal combinations): a JSON object, or a file with one
    #[arg(long, value_name = "FILE|JSON")]
    mappings: Option<String>,
    /// Keep the vectors of fields that did not change
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    use_existing_tensors: Option<bool>,
    /// Header that the server sends when it downloads pictures; may be repeated, all of them together replace the
    /// stored ones
    #[arg(long = "media-download-header", value_name = "NAME=VALUE")]
    media_download_headers: Vec<String>,
    /// Most documents of a request [default: 128]
    #[arg(long, value_name = "N", value_parser = whole_number)]
    batch_documents: Option<usize>,
    /// Most bytes of a request
    #[arg(long, value_name = "N", value_parser = whole_number)]
    batch_bytes: Option<usize>,
    /// Most complexity of a request: 1 + variants a document
    #[arg(long, value_name = "N", value_parser = whole_number)]
    batch_complexity: Option<usize>,
    /// Most requests that write at once
    #[arg(long, value_name = "N", value_parser = whole_number)]
    concurrency: Option<usize>,
    /// Read documents back after writing, and repair or remove those with missing vectors
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    readback: Option<bool>,
    /// Setting that goes back to its default, by the name that `host settings get` prints; may be repeated
    #[arg(long, value_name = "SETTING")]
    unset: Vec<String>,
}

/// What a `put` changes.
#[derive(Debug)]
pub(super) struct Change {
    /// New values, by the names of their settings.
    set: Map<String, Value>,
    /// Names of settings that return to their defaults.
    unset: Vec<String>,
}

impl PutArgs {
    /// The change that the flags ask for; reads the files that they name.
    pub(super) fn change(&self) -> Result<Change, Failure> {
        check_index_name(&self.name).map_err(Failure::usage)?;
        let known = IndexSettings::default().to_object();
        let unset: Vec<String> = self.unset.iter().map(|name| name.replace('-', "_")).collect();
        if let Some(name) = unset.iter().find(|name| !known.contains_key(*name)) {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            return Err(Failure::usage(format!(
                "--unset {name} names no setting; the settings are {}",
                names.join(", ")
            )));
        }
        let mut set = Map::new();
        let mut take = |name: &str, value: Option<Value>| {
            set.extend(value.map(|value| (name.to_owned(), value)));
        };
        let url = |url: &Option<String>| url.as_ref().map(|url| url.trim_end_matches('/').into());
        take("endpoint", url(&self.endpoint));
        take("fallback_endpoint", url(&self.fallback_endpoint));
        take("cloud", self.cloud.map(Value::from));
        take("api_key", self.api_key(&unset)?.map(|key| key.expose().into()));
        take("tensor_fields", (!self.tensor_fields.is_empty()).then(|| self.tensor_fields.clone().into()));
        take("mappings", self.mappings.as_deref().map(mappings).transpose()?);
        take("use_existing_tensors", self.use_existing_tensors.map(Value::from));
        take("media_download_headers", headers(&self.media_download_headers)?);
        take("batch_documents", self.batch_documents.map(Value::from));
        take("batch_bytes", self.batch_bytes.map(Value::from));
        take("batch_complexity", self.batch_complexity.map(Value::from));
        take("concurrency", self.concurrency.map(Value::from));
        take("readback", self.readback.map(Value::from));
        if let Some(name) = unset.iter().find(|name| set.contains_key(*name)) {
            let message = format!("--unset {name} contradicts the value for it; use only one of them");
            return Err(Failure::usage(message));
        }
        Ok(Change { set, unset })
    }

    /// The key from the file, or else from the variable, which `--unset api_key` overrides; `None` if neither gives
    /// one.
    fn api_key(&self, unset: &[String]) -> Result<Option<Secret>, Failure> {
        let key = match &self.api_key_file {
            Some(file) => read_key(file).map_err(|error| {
                Failure::usage(format!("--api-key-file {} cannot be read: {error}", file.display()))
            })?,
            // `--unset api_key` wins over the variable, which may be set for other commands.
            None if unset.iter().any(|name| name == "api_key") => return Ok(None),
            None => match std::env::var(API_KEY_VARIABLE) {
                Ok(key) => key,
                Err(_) => return Ok(None),
            },
        };
        Ok(Some(Secret::new(key.trim())))
    }
}

impl Change {
    /// Whether the flags change nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.unset.is_empty()
    }

    /// The settings after the change, if they can be used.
    pub(super) fn apply(&self, settings: IndexSettings) -> Result<IndexSettings, Failure> {
        let mut object = settings.to_object();
        self.unset.iter().for_each(|name| drop(object.remove(name)));
        object.extend(self.set.clone());
        let changed: IndexSettings = serde_json::from_value(object.into()).map_err(Failure::runtime)?;
        match changed.problems() {
            problems if problems.is_empty() => Ok(changed),
            problems => Err(Failure::usage(problems.join("; "))),
        }
    }
}

fn whole_number(text: &str) -> Result<usize, &'static str> {
    text.parse().map_err(|_| "this is not a whole number, or too large")
}

fn read_key(file: &Path) -> io::Result<String> {
    let mut key = String::new();
    if file == Path::new("-") {
        io::stdin().take(MAX_KEY_BYTES).read_to_string(&mut key)?;
    } else {
        fs::File::open(file)?.take(MAX_KEY_BYTES).read_to_string(&mut key)?;
    }
    Ok(key)
}

/// Parses mappings, given as JSON text or as the name of a file.
fn mappings(given: &str) -> Result<Value, Failure> {
    // Whatever begins like JSON is not the name of a file.
    let (place, text) = if given.trim_start().starts_with(['{', '[', '"']) {
        ("--mappings".to_owned(), given.to_owned())
    } else {
        let text = fs::read_to_string(given)
            .map_err(|error| Failure::usage(format!("--mappings {given} cannot be read: {error}")))?;
        (format!("--mappings {given}"), text)
    };
    match serde_json::from_str(&text) {
        Ok(Value::Object(mappings)) => Ok(mappings.into()),
        Ok(_) => {
            Err(Failure::usage(format!("{place} is JSON but not an object of fields and their mappings")))
        }
        Err(error) => Err(Failure::usage(format!("{place} is not JSON: {error}"))),
    }
}

/// Headers as an object; `None` without any.
fn headers(given: &[String]) -> Result<Option<Value>, Failure> {
    let mut headers = Map::new();
    for header in given {
        let Some((name, value)) = header.split_once('=') else {
            // Do not quote what was given: it may be a secret.
            return Err(Failure::usage("--media-download-header needs NAME=VALUE"));
        };
        headers.insert(name.to_owned(), value.into());
    }
    Ok((!headers.is_empty()).then(|| headers.into()))
}
