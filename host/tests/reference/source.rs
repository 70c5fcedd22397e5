//! Finds items in the repository's source files, which it parses with `syn`.

use std::{
    fs,
    path::{Path, PathBuf},
};
use syn::{Attribute, Expr, ExprLit, Item, ItemEnum, ItemStruct, Lit, Meta};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every source file below a folder, parsed, without tests, benchmarks, examples and templates.
pub(crate) fn files(folder: &str) -> Vec<(PathBuf, syn::File)> {
    let mut files = Vec::new();
    collect(&root().join(folder), &mut files);
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    files
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, syn::File)>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["tests", "testing", "benches", "examples", "templates", "target"].contains(&&*name) {
                collect(&path, files);
            }
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            files.push((path, file));
        }
    }
}

/// The doc comment as one paragraph.
pub(crate) fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// The first enum with this name below a folder.
pub(crate) fn enum_named(folder: &str, name: &str) -> ItemEnum {
    let items = files(folder).into_iter().flat_map(|(_, file)| file.items);
    let found = items.filter_map(|item| match item {
        Item::Enum(item) if item.ident == name => Some(item),
        _ => None,
    });
    found.take(1).next().unwrap_or_else(|| panic!("no enum {name} below {folder}"))
}

/// Whether an item derives `Deserialize`, as all settings do.
fn is_deserialized(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else { return false };
        list.path.is_ident("derive") && list.tokens.to_string().contains("Deserialize")
    })
}

/// The structs and enums that settings are made of; those of the program come first.
pub(crate) struct Types {
    items: Vec<Item>,
}

impl Types {
    pub(crate) fn load() -> Self {
        let files = files("host/src").into_iter().chain(files("crates"));
        let items = files.flat_map(|(_, file)| file.items).filter(|item| match item {
            Item::Struct(item) => is_deserialized(&item.attrs),
            Item::Enum(item) => is_deserialized(&item.attrs),
            _ => false,
        });
        Self { items: items.collect() }
    }

    /// The struct of this name, if it is a section of the settings: those refuse unknown keys (`deny_unknown_fields`).
    pub(crate) fn section(&self, name: &str) -> Option<&ItemStruct> {
        self.items.iter().find_map(|item| match item {
            Item::Struct(item) if item.ident == name => {
                let refuses = item.attrs.iter().any(|attribute| {
                    matches!(&attribute.meta, Meta::List(list) if list.tokens.to_string().contains("deny_unknown_fields"))
                });
                refuses.then_some(item)
            }
            _ => None,
        })
    }

    /// The enum of this name, if it is one of the values of a setting.
    pub(crate) fn choice(&self, name: &str) -> Option<&ItemEnum> {
        self.items.iter().find_map(|item| match item {
            Item::Enum(item) if item.ident == name => Some(item),
            _ => None,
        })
    }
}
