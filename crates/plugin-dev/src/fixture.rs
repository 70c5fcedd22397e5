//! Fixtures, the test cases of a plug-in. Each is a few files in the folder of a role (`transform`, `validate`,
//! `version`): the input `NAME.jsonl`, the expected answers in the golden file `NAME.golden.json`, and optionally a
//! configuration `NAME.config.json`, which replaces the one in the project file `plugin.toml`.

use crate::project::Project;
use host_plugin_host::{Config, Role};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

const INPUT: &str = ".jsonl";
const GOLDEN: &str = ".golden.json";
const CONFIG: &str = ".config.json";

/// A fixture of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixture {
    /// The role under test; also the name of its folder.
    pub role: Role,
    /// The file name without its suffix.
    pub name: String,
    folder: PathBuf,
}

/// Why fixtures cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    /// A file cannot be read or written.
    #[error("cannot read or write {}: {cause}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// A file does not hold the expected kind of JSON.
    #[error("{} is not {what}: {cause}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The expected kind.
        what: &'static str,
        /// The parse error.
        cause: serde_json::Error,
    },
    /// A golden file or configuration without its input.
    #[error("{} belongs to no fixture: add {name}{INPUT} beside it, or delete it", path.display())]
    Orphan {
        /// The file.
        path: PathBuf,
        /// Name of the missing fixture.
        name: String,
    },
    /// The project has no fixtures.
    #[error("there are no fixtures in {}: add one, such as transform/NAME{INPUT} with the lines of a product", .0.display())]
    Empty(PathBuf),
}

/// Lists the fixtures of a project, sorted by role and name.
///
/// # Errors
/// There are none, a folder cannot be read, or a golden file or configuration has no input: such a file looks like a
/// test and tests nothing.
pub fn find(project: &Project) -> Result<Vec<Fixture>, FixtureError> {
    let mut fixtures = Vec::new();
    for role in [Role::Transform, Role::Validate, Role::Version] {
        let folder = project.fixtures(role);
        let files = names(&folder)?;
        let with = |suffix: &str| -> BTreeSet<String> {
            files.iter().filter_map(|file| Some(file.strip_suffix(suffix)?.to_owned())).collect()
        };
        let names = with(INPUT);
        for suffix in [GOLDEN, CONFIG] {
            if let Some(name) = with(suffix).difference(&names).next().cloned() {
                return Err(FixtureError::Orphan { path: folder.join(format!("{name}{suffix}")), name });
            }
        }
        fixtures.extend(names.into_iter().map(|name| Fixture { role, name, folder: folder.clone() }));
    }
    if fixtures.is_empty() {
        return Err(FixtureError::Empty(project.dir.join("fixtures")));
    }
    Ok(fixtures)
}

/// The names of the files in a folder; none if the folder does not exist.
fn names(folder: &Path) -> Result<Vec<String>, FixtureError> {
    let failed = |cause| FixtureError::Io { path: folder.to_owned(), cause };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(failed(cause)),
    };
    entries.map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned())).collect()
}

impl Fixture {
    /// `role/name`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.role, self.name)
    }

    /// Path of the input.
    pub fn input(&self) -> PathBuf {
        self.path(INPUT)
    }

    /// Path of the golden file.
    pub fn golden(&self) -> PathBuf {
        self.path(GOLDEN)
    }

    /// The fixture's own configuration, or else the project's.
    ///
    /// # Errors
    /// The configuration cannot be read or is not a JSON object.
    pub fn config(&self, project: &Project) -> Result<Config, FixtureError> {
        let path = self.path(CONFIG);
        match read(&path)? {
            None => Ok(project.settings.config.clone()),
            Some(text) => serde_json::from_str(&text).map_err(|cause| FixtureError::Json {
                path,
                what: "a JSON object",
                cause,
            }),
        }
    }

    /// The answers in the golden file, one per item; `None` if the file does not exist.
    ///
    /// # Errors
    /// The file cannot be read or is not a JSON array.
    pub fn expected(&self) -> Result<Option<Vec<Value>>, FixtureError> {
        let path = self.golden();
        read(&path)?
            .map(|text| {
                serde_json::from_str(&text).map_err(|cause| FixtureError::Json {
                    path,
                    what: "a JSON array",
                    cause,
                })
            })
            .transpose()
    }

    /// Writes the golden file: accepts the answers as the expected ones.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn bless(&self, answers: &[Value]) -> Result<(), FixtureError> {
        let path = self.golden();
        let mut text = serde_json::to_string_pretty(answers).expect("JSON values always serialize");
        text.push('\n');
        fs::write(&path, text).map_err(|cause| FixtureError::Io { path, cause })
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.folder.join(format!("{}{suffix}", self.name))
    }
}

/// The text of a file; `None` if it does not exist.
fn read(path: &Path) -> Result<Option<String>, FixtureError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(FixtureError::Io { path: path.to_owned(), cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::PROJECT_FILE;
    use serde_json::json;

    /// The folder of a project, which is removed when this is dropped.
    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(files: &[(&str, &str)]) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            folder.write(PROJECT_FILE, "name = \"a\"\nlang = \"rust\"\nconfig = { a = 1 }\n");
            files.iter().for_each(|(name, text)| folder.write(name, text));
            folder
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn find(&self) -> Result<(Project, Vec<Fixture>), FixtureError> {
            let project = Project::open(self.0.path()).unwrap();
            let fixtures = find(&project)?;
            Ok((project, fixtures))
        }
    }

    #[test]
    fn fixtures_are_found_by_role_and_name() {
        let folder = Folder::new(&[
            ("fixtures/version/z.jsonl", ""),
            ("fixtures/transform/b.jsonl", ""),
            ("fixtures/transform/a.jsonl", ""),
            ("fixtures/transform/a.config.json", "{\"b\":2}"),
            ("fixtures/README.md", ""),
        ]);
        let (project, fixtures) = folder.find().unwrap();
        let labels: Vec<String> = fixtures.iter().map(Fixture::label).collect();
        assert_eq!(labels, ["transform/a", "transform/b", "version/z"]);
        let config = |index: usize| Value::Object(fixtures[index].config(&project).unwrap());
        assert_eq!((config(0), config(1)), (json!({"b": 2}), json!({"a": 1})));
    }

    #[test]
    fn a_blessed_answer_is_read_back() {
        let folder = Folder::new(&[("fixtures/transform/a.jsonl", "")]);
        let (_, fixtures) = folder.find().unwrap();
        assert_eq!(fixtures[0].expected().unwrap(), None);
        fixtures[0].bless(&[json!({"product": "1"})]).unwrap();
        assert_eq!(fixtures[0].expected().unwrap(), Some(vec![json!({"product": "1"})]));
    }

    #[test]
    fn orphaned_golden_files_and_empty_projects_are_refused() {
        let orphan =
            Folder::new(&[("fixtures/transform/b.golden.json", "[]"), ("fixtures/transform/a.jsonl", "")]);
        assert!(matches!(orphan.find(), Err(FixtureError::Orphan { name, .. }) if name == "b"));
        assert!(matches!(Folder::new(&[]).find(), Err(FixtureError::Empty(_))));
    }
}
