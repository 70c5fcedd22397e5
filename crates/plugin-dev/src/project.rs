//! A plug-in's folder: `plugin.toml`, `fixtures/`, and the component that is built in it.

use crate::budget::Budget;
use figment::{
    Figment,
    providers::{Format, Toml},
};
use host_plugin_host::{Config, Role};
use serde::{Deserialize, Serialize};
use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// The project's own file.
pub const PROJECT_FILE: &str = "plugin.toml";

/// The languages that projects are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Small and fast: the choice for large shops.
    Rust,
    /// On QuickJS.
    #[value(alias = "js")]
    Javascript,
    /// On CPython.
    Python,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "rust",
            Self::Javascript => "javascript",
            Self::Python => "python",
        })
    }
}

/// What `plugin.toml` says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of the component file, without `.wasm`.
    pub name: String,
    /// The language, which decides how it is built.
    pub lang: Language,
    /// The component, if it is not `NAME.wasm` in the project's folder.
    pub component: Option<PathBuf>,
    /// What the plug-in is configured with in tests.
    #[serde(default)]
    pub config: Config,
    /// What it may cost.
    #[serde(default)]
    pub budget: Budget,
}

/// A plug-in's folder whose `plugin.toml` was read.
#[derive(Clone, Debug)]
pub struct Project {
    /// The folder.
    pub dir: PathBuf,
    /// What its `plugin.toml` says.
    pub settings: Settings,
    /// The text of `plugin.toml`, which messages point into.
    pub text: String,
}

/// Why a folder is no project.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// Nothing is there.
    #[error("there is no plug-in project at {}: it has no {PROJECT_FILE}", .0.display())]
    Missing(PathBuf),
    /// It is there and cannot be read.
    #[error("{} cannot be read: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It is not what it should be.
    #[error("{} cannot be used: {cause}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
}

impl Project {
    /// Opens the project in a folder.
    pub fn open(dir: &Path) -> Result<Self, ProjectError> {
        let path = dir.join(PROJECT_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Err(ProjectError::Missing(dir.to_owned()));
            }
            Err(cause) => return Err(ProjectError::Unreadable { path, cause }),
        };
        let settings: Settings = Figment::from(Toml::string(&text))
            .extract()
            .map_err(|error| ProjectError::Invalid { path, cause: explained(&error) })?;
        Ok(Self { dir: dir.to_owned(), settings, text })
    }

    /// The component that the build makes.
    pub fn component(&self) -> PathBuf {
        let named = self.settings.component.clone();
        self.dir.join(named.unwrap_or_else(|| PathBuf::from(format!("{}.wasm", self.settings.name))))
    }

    /// The folder of a role's fixtures.
    pub fn fixtures(&self, role: Role) -> PathBuf {
        self.dir.join("fixtures").join(role.as_str())
    }

    /// Number and text of the line that sets a key of a section, for messages that point to it.
    pub fn line_of(&self, section: &str, key: &str) -> Option<(usize, &str)> {
        let mut inside = String::new();
        self.text.lines().enumerate().find_map(|(n, line)| {
            let trimmed = line.trim();
            if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                name.trim().clone_into(&mut inside);
            }
            let (name, _) = trimmed.split_once('=')?;
            (inside == section && name.trim() == key).then_some((n + 1, line))
        })
    }
}

/// What is wrong, with the key that it is wrong at.
fn explained(error: &figment::Error) -> String {
    let key = error.path.join(".");
    if key.is_empty() { error.kind.to_string() } else { format!("{key}: {}", error.kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> Result<Project, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(PROJECT_FILE), text).unwrap();
        Project::open(dir.path()).map_err(|error| {
            let message = error.to_string();
            message.split_once(PROJECT_FILE).unwrap().1.to_owned()
        })
    }

    #[test]
    fn a_project_says_how_it_is_built_and_what_it_may_cost() {
        let text = "name = \"shop\"\nlang = \"rust\"\n[config]\ncurrency = \"EUR\"\n\n[budget]\n memory_bytes = 1_000\n";
        let project = project(text).unwrap();
        assert_eq!(project.settings.config["currency"], "EUR");
        assert_eq!(project.settings.budget.memory_bytes, Some(1000));
        assert_eq!(project.component(), project.dir.join("shop.wasm"));
        assert_eq!(project.line_of("budget", "memory_bytes"), Some((7, " memory_bytes = 1_000")));
        assert_eq!(project.line_of("budget", "currency"), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text| project(text).unwrap_err();
        insta::assert_snapshot!(
            [
                wrong("lang = \"rust\""),
                wrong("name = \"a\"\nlang = \"cobol\""),
                wrong("name = \"a\"\nlang = \"rust\"\n[budget]\nmemory = 1"),
                wrong("name = \"a\"\nlang = \"rust\"\n[budget]\nmemory_bytes = \"1 MB\""),
                wrong("name"),
            ]
            .join("\n")
        );
    }
}
