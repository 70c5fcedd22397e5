//! Names of fields and constants, as `rename`, `omit`, `copy` and `constants` configure them.

use serde_json::{Value, json};
use shopify_plugin::Severity::Warning;

use crate::support::*;

fn lines() -> Vec<String> {
    vec![
        product(
            json!({"handle": "tee", "vendor": "V", "tags": ["a", "b"], "descriptionHtml": "<p>Soft</p>", "updatedAt": "2025-01-01T00:00:00Z"}),
        ),
        variant(11, json!({"sku": "T", "price": "5", "selectedOptions": [{"name": "Size", "value": "S"}]})),
        metafield("custom.care", "single_line_text_field", "cold"),
    ]
}

fn naming() -> Value {
    json!({
        "metafields": {"custom.care": {"field": "care"}}, "options": {"Size": "size"},
        "rename": {"title": "product_name", "care": "washing", "size": "dimensions", "price": "amount"},
        "omit": ["variants", "handle", "on_sale"],
        "copy": {"vendor": "brand", "tags": ["labels", "words"], "updated_at": "changed", "title": "name_exact", "description": "text"},
        "constants": {"source": "shopify", "boost": 1.0, "rank": 3, "is_new": false, "sites": ["de", "at"]},
    })
}

fn merged(mut one: Value, other: Value) -> Value {
    one.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    one
}

#[test]
fn fields_are_renamed_omitted_and_copied_in_documents_of_products() {
    assert_eq!(
        document_with(&lines(), naming()),
        json!({
            "source": "shopify", "boost": 1.0, "rank": 3, "is_new": false, "sites": ["de", "at"], "product_id": "1",
            "product_name": "Tee", "name_exact": "Tee", "vendor": "V", "brand": "V", "updated_at": "2025-01-01T00:00:00Z",
            "changed": "2025-01-01T00:00:00Z", "amount": 5.0, "min_price": 5.0, "max_price": 5.0, "tags": ["a", "b"], "labels": ["a", "b"],
            "words": ["a", "b"], "options": ["Size: S"], "dimensions": ["S"], "washing": "cold", "skus": ["T"], "variant_count": 1,
            "description": "Soft", "text": "Soft",
        })
    );
}

#[test]
fn fields_are_renamed_omitted_and_copied_in_documents_of_variants() {
    let configuration = merged(naming(), json!({"level": "variant"}));
    assert_eq!(
        document_with(&lines(), configuration),
        json!({
            "source": "shopify", "boost": 1.0, "rank": 3, "is_new": false, "sites": ["de", "at"], "product_id": "1",
            "product_name": "Tee", "name_exact": "Tee", "vendor": "V", "brand": "V", "updated_at": "2025-01-01T00:00:00Z",
            "changed": "2025-01-01T00:00:00Z", "variant_id": "11", "sku": "T", "amount": 5.0, "tags": ["a", "b"], "labels": ["a", "b"],
            "words": ["a", "b"], "options": ["Size: S"], "dimensions": "S", "washing": "cold", "description": "Soft", "text": "Soft",
        })
    );
}

#[test]
fn kinds_of_numbers_stay_in_constants() {
    let transformed = run_with(&lines(), json!({"constants": {"boost": 1.0, "rank": 3}}));
    assert!(transformed.documents[0].fields.starts_with(r#"{"boost":1.0,"rank":3,"product_id":"1""#));
}

#[test]
fn copies_and_constants_count() {
    let html = "<p>".to_owned() + &"word ".repeat(4_000);
    let tags: Vec<String> = (0..200).map(|number| format!("{number:0>250}")).collect();
    let lines = [product(json!({"descriptionHtml": html, "tags": tags}))];
    let configuration = json!({
        "copy": {"description": ["a", "b", "c", "d"], "tags": ["e", "f"]}, "constants": {"g": "é".repeat(1_000), "h": vec!["x"; 500]}
    });
    let transformed = run_with(&lines, configuration);
    let document = only_document(&transformed);
    assert_eq!(check_for_index(&document), Ok(()));
    assert_eq!(codes(&transformed), [(Warning, "shortened")]);
    for copy in ["description", "a", "b", "c", "d"] {
        assert!(document[copy].as_str().unwrap().len() > 1_000, "{copy}");
    }
}

#[test]
fn a_removal_keeps_its_version() {
    let draft = product(json!({"status": "DRAFT", "updatedAt": "2025-01-01T00:00:00Z"}));
    let transformed = run_with(&[draft], json!({"copy": {"updated_at": "changed"}}));
    assert_eq!(transformed.removals[0].version, r#"{"updated_at":"2025-01-01T00:00:00Z"}"#);
}
