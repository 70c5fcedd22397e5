//! The page of settings, generated from the doc comments of the structs and the defaults that the program loads.

use crate::{
    cell, check,
    source::{Types, doc},
};
use host::config::Config;
use serde_json::Value;
use std::fmt::Write;
use syn::{Attribute, GenericArgument, ItemEnum, LitStr, PathArguments, Type};

#[test]
fn settings() {
    let mut page = "Settings are read from `host.toml` (or the file that `--config` names), from environment variables and from flags; \
                    the later one of these three wins. An unknown key is an error. `host config show` prints the values in force and where \
                    each comes from. Relative paths in a file start at the file's folder.\n"
        .to_owned();
    let defaults = serde_json::to_value(Config::default()).unwrap();
    section(&Types::load(), "Config", "", &defaults, &mut page);
    check("settings.md", "Settings", &page);
}

/// Adds a section of the settings, with a table of its keys, and then the sections in it.
fn section(types: &Types, name: &str, prefix: &str, defaults: &Value, page: &mut String) {
    let item = types.section(name).unwrap_or_else(|| panic!("no struct {name} of settings"));
    let heading = if prefix.is_empty() { "Top level".to_owned() } else { format!("`[{prefix}]`") };
    write!(page, "\n## {heading}\n\n{}\n\n", doc(&item.attrs)).unwrap();
    let mut rows = String::new();
    let mut sections = Vec::new();
    for field in &item.fields {
        let ident = renamed(&field.attrs).unwrap_or_else(|| field.ident.as_ref().unwrap().to_string());
        let key = if prefix.is_empty() { ident.clone() } else { format!("{prefix}.{ident}") };
        let (ty, _) = unwrapped(&field.ty);
        if types.section(&ty).is_some() {
            sections.push((ty, key, ident));
            continue;
        }
        let default = defaults.get(&ident).unwrap_or_else(|| panic!("{key} has no default"));
        let meaning = doc(&field.attrs);
        assert!(!meaning.is_empty(), "{key} is not documented");
        let variable = format!("HOST_{}", key.replace('.', "__").to_uppercase());
        let kind = kind(types, &field.ty);
        let choices = types.choice(&ty).map(choices).unwrap_or_default();
        let meaning = cell(&format!("{meaning}{choices}"));
        writeln!(
            rows,
            "| `{ident}` | {kind} | {} | `{variable}` | {meaning} |",
            cell(&shown(&ident, default))
        )
        .unwrap();
    }
    if !rows.is_empty() {
        write!(page, "| setting | type | default | environment variable | meaning |\n| --- | --- | --- | --- | --- |\n{rows}").unwrap();
    }
    for (ty, key, ident) in sections {
        section(types, &ty, &key, &defaults[&ident], page);
    }
}

/// The key that `#[serde(rename = "…")]` gives a field.
fn renamed(attributes: &[Attribute]) -> Option<String> {
    let mut name = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute
            .parse_nested_meta(|meta| {
                if let Ok(value) = meta.value() {
                    let value: LitStr = value.parse()?;
                    if meta.path.is_ident("rename") {
                        name = Some(value.value());
                    }
                }
                Ok(())
            })
            .unwrap();
    }
    name
}

/// The name of a type without its path and without `Option`, and whether it was an `Option`.
fn unwrapped(ty: &Type) -> (String, bool) {
    let Type::Path(path) = ty else { return ("?".to_owned(), false) };
    let last = path.path.segments.last().unwrap();
    match inner(&last.arguments) {
        Some(inner) if last.ident == "Option" => (unwrapped(inner).0, true),
        _ => (last.ident.to_string(), false),
    }
}

/// The first type among the arguments of a generic type.
fn inner(arguments: &PathArguments) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// The kind of a setting, such as `integer above 0`, in words for a reader who does not know Rust.
fn kind(types: &Types, ty: &Type) -> String {
    if let Type::Path(path) = ty {
        let last = path.path.segments.last().unwrap();
        if last.ident == "Vec" {
            return format!("list of {}s", kind(types, inner(&last.arguments).unwrap()));
        }
    }
    let (name, _) = unwrapped(ty);
    match &*name {
        "bool" => "boolean",
        "Duration" => "seconds",
        "String" => "string",
        "PathBuf" => "path",
        "Secret" => "string, secret",
        "SocketAddr" => "address",
        "f64" => "number",
        "usize" | "u8" | "u16" | "u32" | "u64" => "integer",
        "NonZeroUsize" | "NonZeroU8" | "NonZeroU16" | "NonZeroU32" | "NonZeroU64" => "integer above 0",
        _ if types.choice(&name).is_some() => "choice",
        _ => "table",
    }
    .to_owned()
}

/// The values of a choice, each on a line with its meaning.
fn choices(item: &ItemEnum) -> String {
    item.variants.iter().fold(String::new(), |mut text, variant| {
        let meaning = doc(&variant.attrs);
        write!(text, "<br>`{}`: {}", kebab(&variant.ident.to_string()), meaning.trim_end_matches('.'))
            .unwrap();
        text
    })
}

/// The name of an enum's variant as serde writes it, in kebab-case.
fn kebab(name: &str) -> String {
    name.char_indices().fold(String::new(), |mut text, (index, character)| {
        if character.is_uppercase() && index > 0 {
            text.push('-');
        }
        text.extend(character.to_lowercase());
        text
    })
}

/// A default as the page shows it; sizes in bytes also in MiB or KiB.
fn shown(name: &str, default: &Value) -> String {
    match default {
        Value::Number(bytes) if name.ends_with("_bytes") => match bytes.as_u64().unwrap_or_default() {
            bytes if bytes >= 1 << 20 && bytes % (1 << 20) == 0 => format!("`{bytes}` ({} MiB)", bytes >> 20),
            bytes if bytes >= 1 << 10 && bytes % (1 << 10) == 0 => format!("`{bytes}` ({} KiB)", bytes >> 10),
            bytes => format!("`{bytes}`"),
        },
        Value::Null => "none".to_owned(),
        Value::String(text) if text.is_empty() => "none".to_owned(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Object(fields) if fields.is_empty() => "none".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}
