//! Products of which the export says that it does not have all.

use serde_json::{Value, json};
use shopify_plugin::{Severity, transform};

use crate::support::*;

fn variants(count: u64) -> Vec<Value> {
    (1..=count).map(|number| json!({"id": number, "product_id": 1, "price": "5.00"})).collect()
}

/// The message with which a product is refused as incomplete; `None` if it makes a document.
fn refusal(fields: Value) -> Option<String> {
    let transformed = run(&[product(fields)]);
    let refused = transformed.issues.into_iter().find(|issue| issue.severity == Severity::Error)?;
    assert_eq!(refused.code, "incomplete-product");
    assert!(transformed.documents.is_empty() && transformed.removals.is_empty());
    Some(refused.message)
}

#[test]
fn a_product_with_fewer_variants_than_it_counts_is_refused() {
    for counter in [
        json!({"variantsCount": {"count": 150, "precision": "EXACT"}}),
        json!({"totalVariants": 150}),
        json!({"variant_gids": (1..=150).map(|number| json!({"admin_graphql_api_id": number})).collect::<Vec<_>>()}),
    ] {
        let body = |count: u64| with(counter.clone(), json!({"variants": variants(count)}));
        let body = |count| serde_json::from_str::<Value>(&body(count)).unwrap();
        let message = refusal(body(100)).unwrap();
        assert_eq!(
            message,
            "product 1: the export has 100 of its 150 variants; export all of it, for example with a bulk operation"
        );
        assert_eq!(refusal(body(150)), None, "{counter}");
        // An export without variants is the choice of the engineer who wrote its query.
        assert_eq!(refusal(body(0)), None, "{counter}");
    }
}

#[test]
fn a_product_whose_connection_has_another_page_is_refused() {
    for name in ["variants", "media", "images", "metafields", "collections"] {
        let page = |more: bool| json!({name: {"nodes": [], "pageInfo": {"hasNextPage": more}}});
        assert!(refusal(page(true)).unwrap().contains(name));
        assert_eq!(refusal(page(false)), None);
    }
    let nested = json!({"variants": {"edges": [
        {"node": {"id": 2, "metafields": {"edges": [], "pageInfo": {"hasNextPage": true}}}}]}});
    assert!(refusal(nested).unwrap().contains("of a variant"));
}

#[test]
fn a_removed_product_needs_not_be_whole() {
    let draft = product(json!({"status": "DRAFT", "totalVariants": 9, "variants": variants(1)}));
    let transformed = transform(&[draft], &config(json!({})));
    assert_eq!((transformed.issues.len(), transformed.removals.len()), (0, 1));
}
