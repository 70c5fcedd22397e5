//! Who we are to a registry: what `docker login` wrote, or the environment.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use std::{collections::BTreeMap, env, fs, path::PathBuf};

/// Name and password for a registry.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DockerConfig {
    auths: BTreeMap<String, Auth>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: String,
}

impl Credentials {
    /// Those for a registry: of `config.json` in `DOCKER_CONFIG` or `~/.docker`, else `HOST_OCI_USERNAME` and
    /// `HOST_OCI_PASSWORD`; none if neither has any. Credential helpers are not asked.
    pub(super) fn of(registry: &str) -> Option<Self> {
        let folder = env::var_os("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".docker")));
        let config = folder.and_then(|folder| fs::read(folder.join("config.json")).ok());
        config.and_then(|config| Self::in_config(&config, registry)).or_else(|| {
            let (user, password) = (env::var("HOST_OCI_USERNAME").ok()?, env::var("HOST_OCI_PASSWORD").ok()?);
            Some(Self { user, password })
        })
    }

    fn in_config(config: &[u8], registry: &str) -> Option<Self> {
        let DockerConfig { auths } = serde_json::from_slice(config).ok()?;
        // Older entries are addresses.
        let host = |name: &str| {
            let name = name.strip_prefix("https://").or(name.strip_prefix("http://")).unwrap_or(name);
            name.split('/').next().unwrap_or_default().to_owned()
        };
        let (_, Auth { auth }) = auths.into_iter().find(|(name, _)| host(name) == registry)?;
        let decoded = String::from_utf8(BASE64_STANDARD.decode(auth).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some(Self { user: user.to_owned(), password: password.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_of_the_registry_alone() {
        let auth = BASE64_STANDARD.encode("me:pass:word");
        let config = format!(
            r#"{{"auths":{{"r.example:5000":{{"auth":"{auth}"}},"https://old.example/v1/":{{"auth":"{auth}"}},"h.example":{{}}}},"credsStore":"x"}}"#
        );
        let found = |registry: &str| {
            Credentials::in_config(config.as_bytes(), registry).map(|found| (found.user, found.password))
        };
        let mine = Some(("me".to_owned(), "pass:word".to_owned()));
        assert_eq!((found("r.example:5000"), found("old.example")), (mine.clone(), mine));
        assert_eq!((found("r.example"), found("h.example"), found("example")), (None, None, None));
    }
}
