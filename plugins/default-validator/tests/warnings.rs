//! What causes a warning: the document is processed.

use default_validator::{Config, Severity, Validator};

/// The codes and paths of the warnings; there must be nothing else.
fn warnings_with(config: &str, fields: &str) -> Vec<String> {
    let issues =
        Validator::new(Config::parse(config).expect("a right configuration")).validate("p-1", fields);
    assert!(issues.iter().all(|issue| issue.severity == Severity::Warning), "{issues:?}");
    issues.into_iter().map(|issue| format!("{} {}", issue.code, issue.path.unwrap_or_default())).collect()
}

fn warnings(fields: &str) -> Vec<String> {
    warnings_with("{}", fields)
}

const NONE: [&str; 0] = [];

#[test]
fn a_price_is_a_number() {
    assert_eq!(warnings(r#"{"price":"19.99"}"#), ["price-not-a-number /price"]);
    assert_eq!(warnings(r#"{"compare_at_price":true}"#), ["price-not-a-number /compare_at_price"]);
    assert_eq!(warnings(r#"{"price":0,"title":"19.99"}"#), NONE);
}

#[test]
fn a_price_is_not_negative() {
    assert_eq!(warnings(r#"{"price":-0.01}"#), ["negative-price /price"]);
    assert_eq!(warnings(r#"{"price":-0.0}"#), NONE);
}

#[test]
fn a_former_price_is_above_the_price() {
    assert_eq!(warnings(r#"{"price":20,"compare_at_price":20.0}"#), ["compare-at-price /compare_at_price"]);
    assert_eq!(warnings(r#"{"compare_at_price":19.99,"price":20}"#), ["compare-at-price /compare_at_price"]);
    assert_eq!(warnings(r#"{"price":20,"compare_at_price":20.01}"#), NONE);
    assert_eq!(warnings(r#"{"compare_at_price":1}"#), NONE);
}

#[test]
fn a_lowest_price_is_not_above_the_highest() {
    assert_eq!(warnings(r#"{"price_min":3,"price_max":2}"#), ["price-range /price_min"]);
    assert_eq!(warnings(r#"{"min_price":3,"max_price":2}"#), ["price-range /min_price"]);
    assert_eq!(warnings(r#"{"price_min":2,"price_max":2}"#), NONE);
}

#[test]
fn the_price_fields_are_configurable() {
    let config = r#"{"price-fields":["cost"],"compare-at-prices":[["now","was"]],"price-ranges":[]}"#;
    assert_eq!(
        warnings_with(config, r#"{"cost":-1,"price":-1,"price_min":3,"price_max":2}"#),
        ["negative-price /cost"]
    );
    assert_eq!(warnings_with(config, r#"{"now":2,"was":1}"#), ["compare-at-price /was"]);
}

#[test]
fn url_fields_hold_absolute_urls() {
    assert_eq!(warnings(r#"{"url":"/products/a"}"#), ["invalid-url /url"]);
    assert_eq!(warnings(r#"{"image":"//cdn.example.com/a.jpg"}"#), ["invalid-url /image"]);
    assert_eq!(warnings(r#"{"store_url":"https://example.com/a b"}"#), ["invalid-url /store_url"]);
    assert_eq!(warnings(r#"{"images":["https://example.com/a.jpg","b.jpg"]}"#), ["invalid-url /images/1"]);
    assert_eq!(warnings(r#"{"url":"https:\/\/example.com\/a","title":"no url","curl":"x"}"#), NONE);
}

#[test]
fn the_url_fields_are_configurable() {
    let config = r#"{"url-fields":["link*"]}"#;
    assert_eq!(
        warnings_with(config, r#"{"url":"x","link":"x","link_2":"x"}"#),
        ["invalid-url /link", "invalid-url /link_2"]
    );
}
