//! What the tests share: short ways to write exports and to look into documents.

use serde_json::{Value, json};
use shopify_plugin::{Config, Severity, Transformed, transform};

/// A product line with an id, to which a test adds what it is about.
pub(crate) fn product(fields: Value) -> String {
    with(json!({"id": "gid://shopify/Product/1", "title": "Tee", "status": "ACTIVE"}), fields)
}

/// A variant line of that product.
pub(crate) fn variant(number: u64, fields: Value) -> String {
    let line = json!({"id": format!("gid://shopify/ProductVariant/{number}"), "__parentId": "gid://shopify/Product/1"});
    with(line, fields)
}

/// A metafield line of that product.
pub(crate) fn metafield(name: &str, kind: &str, value: &str) -> String {
    let (namespace, key) = name.split_once('.').unwrap();
    json!({"namespace": namespace, "key": key, "type": kind, "value": value, "__parentId": "gid://shopify/Product/1"}).to_string()
}

/// A picture line of that product.
pub(crate) fn picture(number: u64, url: &str) -> String {
    let id = format!("gid://shopify/MediaImage/{number}");
    json!({"id": id, "status": "READY", "image": {"url": url}, "__parentId": "gid://shopify/Product/1"})
        .to_string()
}

/// An object with more fields.
pub(crate) fn with(mut object: Value, fields: Value) -> String {
    object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    object.to_string()
}

/// The configuration with these keys.
pub(crate) fn config(json: Value) -> Config {
    Config::from_json(&json.to_string()).unwrap()
}

/// The result of one product under the default configuration.
pub(crate) fn run(lines: &[String]) -> Transformed {
    run_with(lines, json!({}))
}

/// The result of one product.
pub(crate) fn run_with(lines: &[String], configuration: Value) -> Transformed {
    let transformed = transform(&[lines.join("\n")], &config(configuration));
    assert_eq!(transformed.counts, [u32::try_from(transformed.documents.len()).unwrap()]);
    transformed
}

/// The only document of a product that has one and no issue.
pub(crate) fn document(lines: &[String]) -> Value {
    document_with(lines, json!({}))
}

/// The same under a configuration.
pub(crate) fn document_with(lines: &[String], configuration: Value) -> Value {
    let transformed = run_with(lines, configuration);
    assert_eq!(transformed.issues, [], "{lines:?}");
    only_document(&transformed)
}

/// The only document, whatever the issues.
pub(crate) fn only_document(transformed: &Transformed) -> Value {
    assert_eq!(transformed.documents.len(), 1, "{transformed:?}");
    serde_json::from_str(&transformed.documents[0].fields).unwrap()
}

/// All documents with their ids.
pub(crate) fn documents(transformed: &Transformed) -> Vec<(String, Value)> {
    let read = |fields: &str| serde_json::from_str(fields).unwrap();
    transformed.documents.iter().map(|document| (document.id.clone(), read(&document.fields))).collect()
}

/// The severities and codes of the issues.
pub(crate) fn codes(transformed: &Transformed) -> Vec<(Severity, &'static str)> {
    transformed.issues.iter().map(|issue| (issue.severity, issue.code)).collect()
}

/// What Marqo takes of a document without `variants`; the error says what it does not.
pub(crate) fn check_for_index(fields: &Value) -> Result<(), String> {
    let mut fields = fields.as_object().ok_or("not an object")?.clone();
    fields.remove("variants");
    for (name, value) in &fields {
        let starts_well = name.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
        if !starts_well || !name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_') {
            return Err(format!("field name {name}"));
        }
        let good = match value {
            Value::Bool(_) | Value::Number(_) => true,
            Value::String(text) => is_storable(text) && !text.is_empty(),
            Value::Array(items) => {
                !items.is_empty()
                    && items
                        .iter()
                        .all(|item| item.as_str().is_some_and(|text| is_storable(text) && !text.is_empty()))
            }
            Value::Null | Value::Object(_) => false,
        };
        if !good {
            return Err(format!("value of {name}"));
        }
    }
    let size = dumped_length(&Value::Object(fields));
    // The default of `max-document-chars`.
    if size > 95_000 { Err(format!("{size} characters")) } else { Ok(()) }
}

/// Whether Vespa stores a text.
fn is_storable(text: &str) -> bool {
    !text.chars().any(|char| {
        matches!(char, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FDD0}'..='\u{FDEF}')
            || u32::from(char) & 0xFFFE == 0xFFFE
    })
}

/// How long Python's `json.dumps` makes a value.
pub(crate) fn dumped_length(value: &Value) -> usize {
    match value {
        Value::Array(items) => 2 + items.iter().map(|item| dumped_length(item) + 2).sum::<usize>(),
        Value::Object(fields) => {
            2 + fields.iter().map(|(name, value)| name.len() + 4 + dumped_length(value) + 2).sum::<usize>()
        }
        _ => {
            let of_char = |char: char| if char.is_ascii() { 1 } else { 6 * char.len_utf16() };
            value.to_string().chars().map(of_char).sum()
        }
    }
}

/// The folder of exports of real shops.
pub(crate) fn samples() -> std::path::PathBuf {
    let shared = std::env::var_os("HOST_TEST_SHARED").map(std::path::PathBuf::from);
    let beside = || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = shared.unwrap_or_else(beside).join("samples");
    assert!(folder.is_dir(), "the folder {} does not exist; name it in HOST_TEST_SHARED", folder.display());
    folder
}

/// The products of an export: each line without a parent with the lines of its family, as the host groups them.
pub(crate) fn grouped(export: &str) -> Vec<String> {
    let mut products: Vec<String> = Vec::new();
    let mut owner = std::collections::HashMap::new();
    let parsed: Vec<(Value, &str)> =
        export.lines().filter_map(|line| Some((serde_json::from_str(line).ok()?, line))).collect();
    for (record, line) in &parsed {
        let pointers = ["/__parentId", "/product/id", "/owner/id"];
        let parent = pointers.iter().find_map(|pointer| record.pointer(pointer)?.as_str());
        let index = match parent {
            None => {
                products.push(String::new());
                products.len() - 1
            }
            Some(parent) => match owner.get(parent) {
                Some(index) => *index,
                None => continue,
            },
        };
        if let Some(id) = record["id"].as_str() {
            owner.insert(id.to_owned(), index);
        }
        if !products[index].is_empty() {
            products[index].push('\n');
        }
        products[index].push_str(line);
    }
    products
}
