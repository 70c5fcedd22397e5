//! A plug-in project: a folder with the project file `plugin.toml`, test cases in `fixtures/`, sources and the built
//! component (the WebAssembly of the plug-in).

use crate::budget::Budget;
use figment::{
    Figment,
    providers::{Format, Toml},
};
use host_plugin_host::{Config, Role};
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// Name of the file that makes a folder a project.
pub const PROJECT_FILE: &str = "plugin.toml";

/// The languages with a project template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Smallest and fastest; recommended for large shops
    Rust,
    /// Runs on QuickJS
    #[value(alias = "js")]
    Javascript,
    /// Runs on CPython
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

/// The content of `plugin.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of the component file, without `.wasm`.
    pub name: String,
    /// The language, which selects the build tools.
    pub lang: Language,
    /// Path of the component, relative to the project's folder [default: `NAME.wasm`].
    pub component: Option<PathBuf>,
    /// The plug-in's configuration in tests.
    #[serde(default)]
    pub config: Config,
    /// Limits that `host plugin test` enforces.
    #[serde(default)]
    pub budget: Budget,
}

/// An opened project.
#[derive(Clone, Debug)]
pub struct Project {
    /// The folder.
    pub dir: PathBuf,
    /// The content of its `plugin.toml`.
    pub settings: Settings,
    /// The text of `plugin.toml`, for messages that quote a line.
    pub text: String,
}

/// Why a project cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The folder has no `plugin.toml`.
    #[error("there is no plug-in project at {}: it has no {PROJECT_FILE}", .0.display())]
    Missing(PathBuf),
    /// `plugin.toml` cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// `plugin.toml` is invalid.
    #[error("{} is invalid: {cause}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: String,
    },
}

impl Project {
    /// Opens the project in a folder.
    ///
    /// # Errors
    /// `plugin.toml` is missing, cannot be read or is invalid.
    pub fn open(dir: &Path) -> Result<Self, ProjectError> {
        let path = dir.join(PROJECT_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Err(ProjectError::Missing(dir.to_owned()));
            }
            Err(cause) => return Err(ProjectError::Unreadable { path, cause }),
        };
        let settings: Settings = Figment::from(Toml::string(&text))
            .extract()
            .map_err(|error| ProjectError::Invalid { path, cause: describe(&error) })?;
        Ok(Self { dir: dir.to_owned(), settings, text })
    }

    /// Path of the built component.
    pub fn component(&self) -> PathBuf {
        let configured = self.settings.component.clone();
        self.dir.join(configured.unwrap_or_else(|| PathBuf::from(format!("{}.wasm", self.settings.name))))
    }

    /// A source file under `src/` that was changed after the component was built; `None` if there is none, or no
    /// component.
    pub fn changed_since_build(&self) -> Option<PathBuf> {
        let built = fs::metadata(self.component()).and_then(|metadata| metadata.modified()).ok()?;
        let mut folders = vec![self.dir.join("src")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else if metadata.modified().is_ok_and(|changed| changed > built) {
                    return Some(entry.path());
                }
            }
        }
        None
    }

    /// The folder of a role's fixtures.
    pub fn fixtures(&self, role: Role) -> PathBuf {
        self.dir.join("fixtures").join(role.as_str())
    }

    /// Number, from 1, and text of the line of `plugin.toml` that sets a key of a section; `None` if no line does.
    pub fn line_of(&self, section: &str, key: &str) -> Option<(usize, &str)> {
        let mut current_section = String::new();
        self.text.lines().zip(1..).find_map(|(line, number)| {
            let trimmed = line.trim();
            if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                name.trim().clone_into(&mut current_section);
            }
            let (name, _) = trimmed.split_once('=')?;
            (current_section == section && name.trim() == key).then_some((number, line))
        })
    }
}

/// The text of an error, after the key that it concerns if it concerns one.
fn describe(error: &figment::Error) -> String {
    let key = error.path.join(".");
    if key.is_empty() { error.kind.to_string() } else { format!("{key}: {}", error.kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens a project whose `plugin.toml` has this text; the error is the message after the name of the file.
    fn project(text: &str) -> Result<Project, String> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(PROJECT_FILE), text).unwrap();
        Project::open(dir.path()).map_err(|error| {
            let message = error.to_string();
            message.split_once(PROJECT_FILE).unwrap().1.to_owned()
        })
    }

    #[test]
    fn a_project_has_its_settings_and_their_lines() {
        let text = "name = \"shop\"\nlang = \"rust\"\n[config]\ncurrency = \"EUR\"\n\n[budget]\n memory_bytes = 1_000\n";
        let project = project(text).unwrap();
        assert_eq!(project.settings.config["currency"], "EUR");
        assert_eq!(project.settings.budget.memory_bytes, Some(1000));
        assert_eq!(project.component(), project.dir.join("shop.wasm"));
        assert_eq!(project.line_of("budget", "memory_bytes"), Some((7, " memory_bytes = 1_000")));
        assert_eq!(project.line_of("budget", "currency"), None);
    }

    #[test]
    fn invalid_settings_are_named() {
        let error = |text| project(text).unwrap_err();
        insta::assert_snapshot!(
            [
                error("lang = \"rust\""),
                error("name = \"a\"\nlang = \"cobol\""),
                error("name = \"a\"\nlang = \"rust\"\n[budget]\nmemory = 1"),
                error("name = \"a\"\nlang = \"rust\"\n[budget]\nmemory_bytes = \"1 MB\""),
                error("name"),
            ]
            .join("\n")
        );
    }
}
