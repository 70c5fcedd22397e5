//! Loads the settings with the library figment, which merges sources and knows which source each value comes from.

use super::{Config, explain::explain};
use figment::{
    Figment, Metadata, Profile, Provider, Source,
    providers::{Env, Format, Serialized, Toml},
    value::{Dict, Map, Value},
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Read when `--config` names no other file.
const DEFAULT_FILE: &str = "host.toml";

/// Settings given as flags, which override all other sources: name of the flag, dotted key and value of each.
#[derive(Clone, Debug, Default)]
pub struct Overrides(Vec<(&'static str, &'static str, Value)>);

impl Overrides {
    /// Adds the value of a flag for a dotted key such as `ingest.lanes`, if the flag was given.
    pub fn set(&mut self, flag: &'static str, key: &'static str, value: Option<impl Serialize>) -> &mut Self {
        if let Some(Ok(value)) = value.map(Value::serialize) {
            self.0.push((flag, key, value));
        }
        self
    }
}

/// One of the [`Overrides`] as a source of settings.
struct Flag(&'static str, &'static str, Value);

impl Provider for Flag {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("flag {}", self.0))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let nested = figment::util::nest(self.1, self.2.clone());
        let dict = nested.into_dict().expect("a dotted key nests into a dictionary");
        Ok(Profile::Default.collect(dict))
    }
}

/// Renamed settings: former section and name, then section and name of today.
const RENAMED: [[(&str, &str); 2]; 3] = [
    [("aws", "retention_days"), ("retention", "days")],
    [("marqo", "throttle_patience_seconds"), ("marqo", "throttle_timeout_seconds")],
    [("marqo", "unreachable_patience_seconds"), ("marqo", "unreachable_timeout_seconds")],
];

/// A source of settings in which former names are accepted. They are renamed before sources are merged, so that a value
/// keeps its source's precedence under the new name.
struct WithFormerNames<P>(P);

impl<P: Provider> Provider for WithFormerNames<P> {
    fn metadata(&self) -> Metadata {
        self.0.metadata()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut profiles = self.0.data()?;
        for settings in profiles.values_mut() {
            for [(former_section, former), (section, name)] in RENAMED {
                if let Some(Value::Dict(_, values)) = settings.get_mut(former_section)
                    && let Some(value) = values.remove(former)
                    && let Value::Dict(_, values) =
                        settings.entry(section.to_owned()).or_insert_with(|| Dict::new().into())
                {
                    values.entry(name.to_owned()).or_insert(value);
                }
            }
        }
        Ok(profiles)
    }

    fn profile(&self) -> Option<Profile> {
        self.0.profile()
    }
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that `--config` names does not exist.
    #[error("there is no configuration file {}", .0.display())]
    Missing(PathBuf),
    /// A key is unknown, a value has the wrong kind, or a file is not TOML.
    #[error("{0}")]
    Invalid(String),
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// Dotted key: `ingest.lanes`.
    pub key: String,
    /// The value as JSON.
    pub value: serde_json::Value,
    /// `default`, the path of a file, `environment`, or `flag --NAME`.
    pub origin: String,
}

/// The settings in force, and where each comes from.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The settings.
    pub config: Config,
    /// One entry for each value, sorted by key.
    pub origins: Vec<Origin>,
}

/// Loads the settings: built-in < file < environment < flags. Without `file`, `host.toml` in the current folder is read
/// if it exists.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Effective, ConfigError> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    if file.is_some() && !path.is_file() {
        return Err(ConfigError::Missing(path.to_owned()));
    }
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if path.is_file() {
        figment = figment.merge(WithFormerNames(Toml::file_exact(path)));
    }
    let environment = Env::prefixed("HOST_").filter(|key| is_setting(key.as_str())).split("__");
    figment = figment.merge(WithFormerNames(environment));
    for (flag, key, value) in &overrides.0 {
        figment = figment.merge(Flag(flag, key, value.clone()));
    }
    let mut config: Config = figment.extract().map_err(|errors| ConfigError::Invalid(describe(errors)))?;
    config.aws.check_env().map_err(ConfigError::Invalid)?;
    config.ingest.check().map_err(ConfigError::Invalid)?;
    resolve_paths(&mut config, &figment);
    let mut origins = Vec::new();
    let json = serde_json::to_value(&config).expect("a configuration is plain data");
    collect(&figment, String::new(), &json, &mut origins);
    Ok(Effective { config, origins })
}

/// Resolves relative paths that a settings file names against that file's folder. Those of variables and flags stay
/// relative to the working folder.
fn resolve_paths(config: &mut Config, figment: &Figment) {
    let Config { data_dir, plugin, telemetry, .. } = config;
    let named: [(&str, Vec<&mut PathBuf>); 5] = [
        ("data_dir", vec![data_dir]),
        ("plugin.files", plugin.files.iter_mut().filter(|path| !is_address(path)).collect()),
        ("plugin.lock", plugin.lock.iter_mut().collect()),
        ("plugin.require_signature", plugin.require_signature.iter_mut().collect()),
        ("telemetry.prometheus_file", telemetry.prometheus_file.iter_mut().collect()),
    ];
    for (key, paths) in named {
        let source = figment.find_metadata(key).and_then(|metadata| metadata.source.as_ref());
        if let Some(Source::File(file)) = source
            && let Some(folder) = file.parent()
        {
            paths.into_iter().for_each(|path| *path = folder.join(&path));
        }
    }
}

/// Whether a plug-in is named by an address such as `oci://…` instead of a local file.
fn is_address(source: &Path) -> bool {
    source.to_string_lossy().contains("://")
}

/// Whether a variable, without its prefix `HOST_`, begins with a section or setting that exists. Others are ignored,
/// because orchestrators set `HOST_IP` and the like. A wrong key inside an existing section is still refused.
fn is_setting(variable: &str) -> bool {
    let section = variable.split("__").next().unwrap_or_default().to_ascii_lowercase();
    let known = serde_json::to_value(Config::default()).expect("a configuration is plain data");
    known.get(&section).is_some()
}

/// Appends the origin of each setting in `value`, the part of the settings below the dotted `key` (empty: all
/// settings).
fn collect(figment: &Figment, key: String, value: &serde_json::Value, origins: &mut Vec<Origin>) {
    match value {
        serde_json::Value::Object(fields) if !key.is_empty() || !fields.is_empty() => {
            for (name, value) in fields {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                collect(figment, key, value, origins);
            }
        }
        _ => {
            let origin = figment.find_metadata(&key).map_or("default".to_owned(), describe_origin);
            let value = without_secrets(&key, value);
            origins.push(Origin { key, value, origin });
        }
    }
}

/// A value as it may be printed: without passwords and keys.
fn without_secrets(key: &str, value: &serde_json::Value) -> serde_json::Value {
    match (key, value.as_str()) {
        ("catalog.url", Some(url)) => without_password(url).into(),
        ("catalog.embeddings.key", Some(_)) => "[redacted]".into(),
        _ => value.clone(),
    }
}

/// A database URL without its password; only `[redacted]` if the password may be elsewhere in it, such as in a
/// parameter.
fn without_password(url: &str) -> String {
    let shown = || {
        let (scheme, rest) = url.split_once("://")?;
        let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let hidden = if password.is_empty() { "" } else { ":[redacted]" };
        let at = if rest.contains('@') { "@" } else { "" };
        (!place.contains("password")).then(|| format!("{scheme}://{user}{hidden}{at}{place}"))
    };
    shown().unwrap_or_else(|| "[redacted]".to_owned())
}

/// Where figment has a value from, in the form of [`Origin::origin`].
fn describe_origin(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(Source::File(path)) => path.display().to_string(),
        _ if metadata.name.contains("environment") => "environment".to_owned(),
        _ if metadata.name.starts_with("flag ") => metadata.name.to_string(),
        _ => "default".to_owned(),
    }
}

/// All errors in the settings, each with its key and origin.
fn describe(errors: figment::Error) -> String {
    let described = errors.into_iter().map(|error| {
        let origin = error.metadata.as_ref().map(describe_origin).unwrap_or_default();
        explain(&error, &origin)
    });
    described.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, time::Duration};

    #[test]
    fn former_names_of_settings_are_read_as_their_new_names() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("host.toml");
        fs::write(&file, "[marqo]\nthrottle_patience_seconds = 7\nunreachable_patience_seconds = 8\n")
            .unwrap();
        let Effective { config, origins } = load(Some(&file), &Overrides::default()).unwrap();
        let timeouts = [config.marqo.throttle_timeout, config.marqo.unreachable_timeout];
        assert_eq!(timeouts, [7, 8].map(Duration::from_secs));
        let origin = origins.iter().find(|origin| origin.key == "marqo.throttle_timeout_seconds").unwrap();
        assert_eq!(origin.origin, file.display().to_string());

        // The new name wins within one source.
        fs::write(&file, "[marqo]\nthrottle_patience_seconds = 7\nthrottle_timeout_seconds = 9\n").unwrap();
        let Effective { config, .. } = load(Some(&file), &Overrides::default()).unwrap();
        assert_eq!(config.marqo.throttle_timeout, Duration::from_secs(9));
    }

    #[test]
    fn aws_retention_days_is_read_as_retention_days_unless_both_are_set() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("host.toml");
        for (text, days) in [
            ("[aws]\nretention_days = 7\n", 7),
            ("[aws]\nretention_days = 7\n[retention]\nkeep_chunks = true\n", 7),
            ("[aws]\nretention_days = 7\n[retention]\ndays = 9\n", 9),
        ] {
            fs::write(&file, text).unwrap();
            let Effective { config, origins } = load(Some(&file), &Overrides::default()).unwrap();
            assert_eq!(config.retention.days.get(), days, "{text}");
            let origin = origins.iter().find(|origin| origin.key == "retention.days").unwrap();
            assert_eq!(origin.origin, file.display().to_string());
        }
    }

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("postgres://host:s3cret@db.example/shop", "postgres://host:[redacted]@db.example/shop"),
            ("postgres://host:s3@cret@db.example/shop", "postgres://host:[redacted]@db.example/shop"),
            ("postgres://host@db.example/shop", "postgres://host@db.example/shop"),
            ("postgres:///shop?host=/run/postgresql", "postgres:///shop?host=/run/postgresql"),
            ("postgres://db.example/shop?password=s3cret", "[redacted]"),
            ("host=db.example password=s3cret", "[redacted]"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
