//! Creates a new plug-in project: sources, the contract (the WIT package of `wit/`), and for each role a fixture, a
//! test case with its input and its expected answers (golden file). The sample plug-in does the same in every language,
//! so that all languages share the fixtures.

use crate::project::{Language, PROJECT_FILE};
use host_plugin_host::{Role, is_kebab_case};
use std::{
    collections::BTreeSet,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

/// Name and text of each file of the contract.
const CONTRACT: [(&str, &str); 7] = [
    ("log.wit", include_str!("../../../wit/log.wit")),
    ("manifest.wit", include_str!("../../../wit/manifest.wit")),
    ("transform.wit", include_str!("../../../wit/transform.wit")),
    ("types.wit", include_str!("../../../wit/types.wit")),
    ("validate.wit", include_str!("../../../wit/validate.wit")),
    ("version.wit", include_str!("../../../wit/version.wit")),
    ("world.wit", include_str!("../../../wit/world.wit")),
];

/// A new project.
#[derive(Debug)]
pub struct Scaffold {
    /// The files, relative to the project's folder.
    pub files: Vec<PathBuf>,
    /// The commands to run next, in this folder.
    pub steps: Vec<&'static str>,
}

/// Why a project cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// The name is not a valid plug-in name.
    #[error("`{0}` is not a valid plug-in name: use kebab-case, such as my-shop")]
    Name(String),
    /// The folder exists and is not empty.
    #[error("{} already exists and is not empty; nothing was written", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {}: {cause}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
}

/// The part of a project that depends on its language. Files contain placeholders such as `{{name}}`, and markers
/// around the parts for some roles (see [`select_roles`]).
struct Template {
    /// The language's name, for the README.
    name: &'static str,
    /// Path and text of each file, the source first.
    files: &'static [(&'static str, &'static str)],
    /// The commands to run in a new project: those that install tools, then build and test.
    steps: &'static [&'static str],
    /// Lines of `.gitignore`.
    ignored: &'static str,
    /// Lines of the section `[budget]` of `plugin.toml`: what the sample plug-in needs, several times over.
    budget: &'static str,
}

const RUST: Template = Template {
    name: "Rust",
    files: &[
        ("src/lib.rs", include_str!("templates/rust/lib.rs")),
        ("Cargo.toml", include_str!("templates/rust/Cargo.toml")),
        (".cargo/config.toml", include_str!("templates/rust/config.toml")),
        ("config-schema.json", "{{schema}}\n"),
    ],
    steps: &["host plugin build", "host plugin test"],
    ignored: "/target\n",
    budget: "instructions_per_item = 100_000\nmemory_bytes = 4_000_000\ncomponent_bytes = 500_000\n",
};

const JAVASCRIPT: Template = Template {
    name: "JavaScript",
    files: &[
        ("src/plugin.js", include_str!("templates/javascript/plugin.js")),
        ("src/types.d.ts", include_str!("templates/javascript/types.d.ts")),
        ("package.json", include_str!("templates/javascript/package.json")),
    ],
    steps: &["npm install", "host plugin build", "host plugin test"],
    ignored: "/node_modules\n",
    budget: "instructions_per_item = 1_000_000\nmemory_bytes = 16_000_000\ncomponent_bytes = 2_000_000\n",
};

const PYTHON: Template = Template {
    name: "Python",
    files: &[
        ("src/plugin.py", include_str!("templates/python/plugin.py")),
        ("requirements.txt", include_str!("templates/python/requirements.txt")),
    ],
    steps: &[
        "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
        "host plugin build",
        "host plugin test",
    ],
    ignored: "/.venv\n__pycache__\n",
    budget: "instructions_per_item = 2_000_000\nmemory_bytes = 64_000_000\ncomponent_bytes = 25_000_000\n",
};

/// Creates a project in a folder that is empty or does not exist; the folder's name becomes the plug-in's name.
///
/// # Errors
/// The name is not kebab-case, the folder is not empty, or a file cannot be written.
pub fn scaffold(dir: &Path, language: Language, roles: &BTreeSet<Role>) -> Result<Scaffold, ScaffoldError> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !is_kebab_case(&name) {
        return Err(ScaffoldError::Name(name));
    }
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) || dir.is_file() {
        return Err(ScaffoldError::Exists(dir.to_owned()));
    }
    let template = match language {
        Language::Rust => &RUST,
        Language::Javascript => &JAVASCRIPT,
        Language::Python => &PYTHON,
    };
    let mut files = Vec::new();
    for (path, text) in all_files(&name, language, template, roles) {
        let target = dir.join(&path);
        let folder = target.parent().unwrap_or(dir);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&target, text))
            .map_err(|cause| ScaffoldError::Write { path: target, cause })?;
        files.push(PathBuf::from(path));
    }
    Ok(Scaffold { files, steps: template.steps.to_vec() })
}

/// Path, relative to the project's folder, and text of each file.
fn all_files(
    name: &str,
    language: Language,
    template: &Template,
    roles: &BTreeSet<Role>,
) -> Vec<(String, String)> {
    let transforms = roles.contains(&Role::Transform);
    let schema = if transforms {
        r#"{"type": "object", "properties": {"currency": {"type": "string", "description": "The currency of all prices.", "default": "EUR"}}}"#
    } else {
        r#"{"type": "object", "properties": {}}"#
    };
    let first = roles.first().copied().unwrap_or(Role::Transform);
    // Without the last two steps, build and test, which the README has for all languages.
    let install: String =
        template.steps[..template.steps.len() - 2].iter().map(|step| format!("{step}\n")).collect();
    let placeholders = [
        ("{{name}}", name),
        ("{{lang}}", &language.to_string()),
        ("{{language}}", template.name),
        ("{{platform}}", if transforms { name } else { "" }),
        ("{{schema}}", schema),
        ("{{source}}", template.files[0].0),
        ("{{install}}", &install),
        ("{{sample}}", &format!("fixtures/{first}/sample.jsonl")),
        ("{{config}}", if transforms { "currency = \"EUR\"\n" } else { "" }),
        ("{{budget}}", template.budget.trim_end()),
    ];
    let fill = |text: &str| {
        let chosen = select_roles(text, roles);
        placeholders.iter().fold(chosen, |text, (name, value)| text.replace(name, value))
    };
    let mut files = vec![
        ("README.md".to_owned(), fill(include_str!("templates/common/README.md"))),
        (PROJECT_FILE.to_owned(), fill(include_str!("templates/common/plugin.toml"))),
        (".gitignore".to_owned(), format!("{}/{name}.wasm\n", template.ignored)),
        ("wit/world.wit".to_owned(), world(name, roles)),
    ];
    files.extend(template.files.iter().map(|(path, text)| ((*path).to_owned(), fill(text))));
    files.extend(
        CONTRACT.map(|(file, text)| (format!("wit/deps/product-indexer-plugin/{file}"), text.to_owned())),
    );
    for role in roles {
        let (input, golden) = sample(*role);
        files.push((format!("fixtures/{role}/sample.jsonl"), input.to_owned()));
        files.push((format!("fixtures/{role}/sample.golden.json"), golden.to_owned()));
    }
    files
}

/// The project's WIT world, with exactly these roles.
fn world(name: &str, roles: &BTreeSet<Role>) -> String {
    let package = "product-indexer:plugin";
    let mut text = format!(
        "package plugins:{name};\n\n/// The interfaces between {name} and the host.\nworld project {{\n"
    );
    let _ = writeln!(text, "    import {package}/log@0.1.0;\n    export {package}/manifest@0.1.0;");
    for role in roles {
        let _ = writeln!(text, "    export {package}/{role}@0.1.0;");
    }
    text.push_str("}\n");
    text
}

/// Input and expected answers of a role's fixture.
fn sample(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Transform => (
            include_str!("templates/common/transform.jsonl"),
            include_str!("templates/common/transform.golden.json"),
        ),
        Role::Validate => (
            include_str!("templates/common/validate.jsonl"),
            include_str!("templates/common/validate.golden.json"),
        ),
        Role::Version => (
            include_str!("templates/common/version.jsonl"),
            include_str!("templates/common/version.golden.json"),
        ),
    }
}

/// Drops the parts of a template that are for other roles: `@begin transform validate` … `@end` stays if the project
/// has one of these roles, `@begin !transform !validate` … `@end` if it has neither.
fn select_roles(text: &str, roles: &BTreeSet<Role>) -> String {
    let has = |name: &str| roles.iter().any(|role| role.as_str() == name);
    let mut kept = String::with_capacity(text.len());
    let mut keeps = true;
    for line in text.lines() {
        if let Some((_, wanted)) = line.split_once("@begin ") {
            let mut wanted = wanted.split_whitespace();
            keeps = if wanted.clone().all(|name| name.starts_with('!')) {
                wanted.all(|name| !has(&name[1..]))
            } else {
                wanted.any(has)
            };
        } else if line.trim_end().ends_with("@end") {
            keeps = true;
        } else if keeps {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Project;

    /// Path and text of each file of a new project.
    fn texts(language: Language, roles: &[Role]) -> Vec<(String, String)> {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("my-shop");
        let scaffold = scaffold(&dir, language, &roles.iter().copied().collect()).unwrap();
        let read = |path: &PathBuf| (path.display().to_string(), fs::read_to_string(dir.join(path)).unwrap());
        let texts = scaffold.files.iter().map(read).collect();
        let project = Project::open(&dir).unwrap();
        assert_eq!((project.settings.lang, project.settings.name.as_str()), (language, "my-shop"));
        texts
    }

    #[test]
    fn no_placeholder_or_marker_is_left() {
        let all = [Role::Transform, Role::Validate, Role::Version];
        for language in [Language::Rust, Language::Javascript, Language::Python] {
            for roles in [&all[..], &all[..1], &all[1..2], &all[2..]] {
                for (path, text) in texts(language, roles) {
                    assert!(!text.contains("{{") || path.ends_with(".rs"), "{path}");
                    assert!(!text.contains("@begin") && !text.contains("@end"), "{path}");
                }
            }
        }
    }

    #[test]
    fn a_project_has_only_the_requested_roles() {
        let texts = texts(Language::Javascript, &[Role::Validate]);
        let text = |name: &str| &texts.iter().find(|(path, _)| path == name).unwrap().1;
        assert!(text("src/plugin.js").contains("export const validate"));
        assert!(!text("src/plugin.js").contains("transform"));
        assert!(
            text("wit/world.wit").contains("/validate@0.1.0")
                && !text("wit/world.wit").contains("/transform@")
        );
    }

    #[test]
    fn a_project_has_every_file_of_the_contract() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        let mut files: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".wit"))
            .collect();
        files.sort();
        assert_eq!(files, CONTRACT.map(|(name, _)| name.to_owned()));
    }

    /// The TypeScript types are written by hand, because they explain the contract to authors who know JavaScript.
    #[test]
    fn the_typescript_types_have_every_name_of_the_contract() {
        let types = include_str!("templates/javascript/types.d.ts");
        let camel = |name: &str| {
            let mut words = name.split('-');
            let first = words.next().unwrap_or_default().to_owned();
            words.fold(first, |text, word| text + &word[..1].to_uppercase() + &word[1..])
        };
        for (file, text) in CONTRACT.iter().filter(|(file, _)| *file != "world.wit") {
            for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
                let Some((name, _)) = line.split_once(':').filter(|_| line.ends_with([',', ';'])) else {
                    continue;
                };
                assert!(types.contains(&camel(name)), "{file}: {name}");
            }
        }
    }

    #[test]
    fn existing_folders_and_invalid_names_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let roles = BTreeSet::from([Role::Transform]);
        fs::create_dir(dir.path().join("there")).unwrap();
        fs::write(dir.path().join("there/file"), "").unwrap();
        let error =
            |name: &str| scaffold(&dir.path().join(name), Language::Rust, &roles).unwrap_err().to_string();
        assert!(error("there").ends_with("already exists and is not empty; nothing was written"));
        assert_eq!(
            error("My_Shop"),
            "`My_Shop` is not a valid plug-in name: use kebab-case, such as my-shop"
        );
        assert!(scaffold(dir.path(), Language::Rust, &roles).is_err());
    }
}
