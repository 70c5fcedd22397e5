//! Validates the settings of an index.

use super::IndexSettings;
use host_index_rules::InvalidFieldName;
use serde_json::Value;
use std::{collections::HashSet, ops::RangeInclusive};

/// Whether Marqo accepts the character in the name of an index.
pub fn fits_index_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-".contains(character)
}

/// Checks the name of an index; the error is a sentence for the user.
pub fn check_index_name(name: &str) -> Result<(), String> {
    if name.is_empty() || !name.chars().all(fits_index_name) {
        return Err(format!("`{name}` is not a valid index name; use A-Z a-z 0-9 _ -"));
    }
    Ok(())
}

/// What is wrong with the settings: a sentence each, which begins with the flag or names it.
pub(super) fn problems(settings: &IndexSettings) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |checked: Result<(), String>| problems.extend(checked.err());
    check(url("--endpoint", &settings.endpoint));
    if let Some(fallback) = &settings.fallback_endpoint {
        check(url("--fallback-endpoint", fallback));
    }
    match &settings.api_key {
        Some(key) if key.expose().is_empty() || !key.expose().bytes().all(|byte| byte.is_ascii_graphic()) => {
            check(Err("the API key of --api-key-file or HOST_MARQO_API_KEY is empty, or holds blanks or characters \
                       that no header can carry"
                .to_owned()));
        }
        None if settings.cloud => {
            check(Err(
                "--cloud needs an API key; give it with --api-key-file or HOST_MARQO_API_KEY".to_owned()
            ));
        }
        _ => {}
    }
    let mut seen = HashSet::new();
    for field in &settings.tensor_fields {
        check(field_name("--tensor-field", field));
        if !seen.insert(field) {
            check(Err(format!("--tensor-field {field} is given twice")));
        }
    }
    for (field, mapping) in &settings.mappings {
        check(field_name("--mappings", field));
        check(self::mapping(field, mapping, &settings.tensor_fields));
    }
    for (name, value) in &settings.media_download_headers {
        check(header(name, value));
    }
    check(within("--batch-documents", settings.batch_documents, 1..=128));
    check(within("--batch-bytes", settings.batch_bytes, 1_000..=1_000_000_000));
    check(within("--batch-complexity", settings.batch_complexity, 1..=1_000_000));
    check(within("--concurrency", settings.concurrency, 1..=1_000));
    problems
}

fn within(flag: &str, number: usize, bounds: RangeInclusive<usize>) -> Result<(), String> {
    if bounds.contains(&number) {
        return Ok(());
    }
    Err(format!("{flag} {number} is out of bounds; use {} to {}", bounds.start(), bounds.end()))
}

fn url(flag: &str, text: &str) -> Result<(), String> {
    // Checked first: a user and password stand before the `@`, and every other message would repeat them.
    if text.contains('@') {
        return Err(format!(
            "{flag} holds an `@`, as if it had a user or password in it; give a key with --api-key-file"
        ));
    }
    let invalid =
        |why: &str| Err(format!("{flag} `{text}` {why}; use an address such as http://localhost:8882"));
    let Ok(url) = reqwest::Url::parse(text) else { return invalid("is not a URL") };
    if !["http", "https"].contains(&url.scheme()) {
        return invalid("is neither http nor https");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return invalid("names no host");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return invalid("must not have a query or fragment");
    }
    Ok(())
}

/// Checks a field name by Marqo's rules.
fn field_name(flag: &str, name: &str) -> Result<(), String> {
    match host_index_rules::check_field_name(name) {
        Ok(()) => Ok(()),
        Err(InvalidFieldName::Reserved) => {
            Err(format!("{flag}: the field name `{name}` belongs to Marqo itself; choose another one"))
        }
        Err(InvalidFieldName::Syntax) => Err(format!(
            "{flag}: `{name}` is not a valid field name; use ASCII letters, digits and _, not starting with a digit"
        )),
    }
}

/// Checks Marqo's mapping of one field.
fn mapping(field: &str, mapping: &Value, tensor_fields: &[String]) -> Result<(), String> {
    let invalid = |why: String| Err(format!("--mappings: the mapping of `{field}` {why}"));
    let Some(members) = mapping.as_object() else {
        return invalid(r#"is not an object such as {"type": "custom_vector"}"#.to_owned());
    };
    let kind = members.get("type").and_then(Value::as_str).unwrap_or_default();
    let allowed: &[&str] = match kind {
        "custom_vector" => &["type"],
        "multimodal_combination" => &["type", "weights"],
        "text_field" => &["type", "language", "stemming"],
        _ => {
            return invalid(
                "has no type that Marqo knows; use custom_vector, multimodal_combination or text_field"
                    .to_owned(),
            );
        }
    };
    if let Some(key) = members.keys().find(|key| !allowed.contains(&key.as_str())) {
        return invalid(format!("has the key `{key}`, which a {kind} does not take"));
    }
    match kind {
        "multimodal_combination" => {
            let weights =
                members.get("weights").and_then(Value::as_object).filter(|weights| !weights.is_empty());
            let Some(weights) = weights else {
                return invalid(r#"needs weights such as {"title": 0.3, "image": 0.7}"#.to_owned());
            };
            if let Some((part, _)) = weights.iter().find(|(_, weight)| !weight.is_number()) {
                return invalid(format!("has a weight of `{part}` that is not a number"));
            }
            if weights.contains_key(field) {
                return invalid("combines the field with itself".to_owned());
            }
            for part in weights.keys() {
                field_name("--mappings", part)?;
            }
            // None are set for a structured index, which has its own.
            if !tensor_fields.is_empty() && !tensor_fields.iter().any(|tensor| tensor == field) {
                return invalid(format!("needs `--tensor-field {field}` as well"));
            }
            Ok(())
        }
        "text_field" if members.len() == 1 => invalid("needs a language or a stemming".to_owned()),
        "text_field" if !members.values().all(Value::is_string) => {
            invalid("has a language or a stemming that is not a string".to_owned())
        }
        _ => Ok(()),
    }
}

/// Checks a header for HTTP. The value may be a secret.
fn header(name: &str, value: &Value) -> Result<(), String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("--media-download-header: `{name}` is not a valid header name"));
    }
    let fits = |text: &str| text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if !value.as_str().is_some_and(fits) {
        return Err(format!(
            "--media-download-header: the value of `{name}` holds characters that no header can carry"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::secret::Secret;
    use serde_json::json;

    /// The problems of the default settings after a change, a line each.
    fn problems_after(change: impl FnOnce(&mut IndexSettings)) -> String {
        let mut settings = IndexSettings::default();
        change(&mut settings);
        problems(&settings).join("\n")
    }

    #[test]
    fn sound_settings_pass() {
        assert_eq!(problems_after(|_| {}), "");
        assert_eq!(
            problems_after(|settings| {
                settings.endpoint = "https://marqo.example.com:8443/behind/a/gateway".to_owned();
                settings.fallback_endpoint = Some("http://[::1]:8882".to_owned());
                settings.cloud = true;
                settings.api_key = Some(Secret::new("sk-1"));
                settings.tensor_fields = vec!["title".to_owned(), "_look".to_owned()];
                let weights = json!({"title": 0.3, "image": 1});
                settings.mappings = [
                    ("_look".to_owned(), json!({"type": "multimodal_combination", "weights": weights})),
                    ("taste".to_owned(), json!({"type": "custom_vector"})),
                    ("text".to_owned(), json!({"type": "text_field", "language": "de"})),
                ]
                .into_iter()
                .collect();
                settings.media_download_headers =
                    [("x-token".to_owned(), json!("a b"))].into_iter().collect();
            }),
            ""
        );
    }

    #[test]
    fn each_problem_names_its_flag() {
        let endpoint = |url: &str| problems_after(|settings| settings.endpoint = url.to_owned());
        let mapping =
            |json: Value| problems_after(|settings| settings.mappings = json.as_object().unwrap().clone());
        let problems = [
            endpoint("localhost:8882"),
            endpoint("nowhere"),
            endpoint("http://"),
            endpoint("https://user:secret@marqo.example.com"),
            endpoint("http://localhost/?a=b"),
            problems_after(|settings| settings.fallback_endpoint = Some("ftp://a".to_owned())),
            problems_after(|settings| settings.api_key = Some(Secret::new("two words"))),
            problems_after(|settings| settings.cloud = true),
            problems_after(|settings| settings.tensor_fields = vec!["a".to_owned(), "a".to_owned()]),
            problems_after(|settings| settings.tensor_fields = vec!["_id".to_owned(), "1a".to_owned()]),
            mapping(json!({"f": "custom_vector"})),
            mapping(json!({"f": {"type": "vector"}})),
            mapping(json!({"f": {"type": "custom_vector", "size": 3}})),
            mapping(json!({"f": {"type": "multimodal_combination", "weights": {}}})),
            mapping(json!({"f": {"type": "multimodal_combination", "weights": {"a": "1"}}})),
            mapping(json!({"f": {"type": "multimodal_combination", "weights": {"f": 1}}})),
            mapping(json!({"f": {"type": "text_field"}})),
            problems_after(|settings| {
                settings.tensor_fields = vec!["a".to_owned()];
                let mapping = json!({"type": "multimodal_combination", "weights": {"a": 1}});
                settings.mappings = [("f".to_owned(), mapping)].into_iter().collect();
            }),
            problems_after(|settings| {
                settings.media_download_headers =
                    [("a b".to_owned(), json!("v")), ("x".to_owned(), json!("\n"))].into_iter().collect();
            }),
            problems_after(|settings| {
                (settings.batch_documents, settings.batch_bytes) = (129, 0);
                (settings.batch_complexity, settings.concurrency) = (0, 0);
            }),
        ];
        insta::assert_snapshot!(problems.join("\n"), @r#"
        --endpoint `localhost:8882` is neither http nor https; use an address such as http://localhost:8882
        --endpoint `nowhere` is not a URL; use an address such as http://localhost:8882
        --endpoint `http://` is not a URL; use an address such as http://localhost:8882
        --endpoint holds an `@`, as if it had a user or password in it; give a key with --api-key-file
        --endpoint `http://localhost/?a=b` must not have a query or fragment; use an address such as http://localhost:8882
        --fallback-endpoint `ftp://a` is neither http nor https; use an address such as http://localhost:8882
        the API key of --api-key-file or HOST_MARQO_API_KEY is empty, or holds blanks or characters that no header can carry
        --cloud needs an API key; give it with --api-key-file or HOST_MARQO_API_KEY
        --tensor-field a is given twice
        --tensor-field: the field name `_id` belongs to Marqo itself; choose another one
        --tensor-field: `1a` is not a valid field name; use ASCII letters, digits and _, not starting with a digit
        --mappings: the mapping of `f` is not an object such as {"type": "custom_vector"}
        --mappings: the mapping of `f` has no type that Marqo knows; use custom_vector, multimodal_combination or text_field
        --mappings: the mapping of `f` has the key `size`, which a custom_vector does not take
        --mappings: the mapping of `f` needs weights such as {"title": 0.3, "image": 0.7}
        --mappings: the mapping of `f` has a weight of `a` that is not a number
        --mappings: the mapping of `f` combines the field with itself
        --mappings: the mapping of `f` needs a language or a stemming
        --mappings: the mapping of `f` needs `--tensor-field f` as well
        --media-download-header: `a b` is not a valid header name
        --media-download-header: the value of `x` holds characters that no header can carry
        --batch-documents 129 is out of bounds; use 1 to 128
        --batch-bytes 0 is out of bounds; use 1000 to 1000000000
        --batch-complexity 0 is out of bounds; use 1 to 1000000
        --concurrency 0 is out of bounds; use 1 to 1000
        "#);
        assert!(!problems.join("").contains("secret"));
    }
}
