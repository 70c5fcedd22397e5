//! Whole documents of two made-up products, as they should stay. `UPDATE_GOLDEN=1 cargo test` writes them anew.

use std::path::Path;

use serde_json::{Value, json};
use shopify_plugin::transform;

use crate::support::*;

fn check(name: &str, configuration: Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let lines = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).unwrap();
    let transformed = transform(&[lines], &config(configuration));
    assert_eq!(transformed.issues, []);
    let documents: serde_json::Map<String, Value> = documents(&transformed).into_iter().collect();
    for fields in documents.values() {
        assert_eq!(check_for_index(fields), Ok(()));
    }
    let found = serde_json::to_string_pretty(&documents).unwrap() + "\n";
    let file = folder.join(format!("{name}.json"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(file).unwrap());
}

#[test]
fn a_jacket_by_product() {
    check(
        "jacket",
        json!({"options": {"Size": "size"}, "metafields": {"custom.material": {"field": "material"}, "custom.weight": {"field": "weight", "type": "number"}}}),
    );
}

#[test]
fn a_webhook_kettle_by_variant() {
    check("kettle", json!({"level": "variant", "currency": "EUR", "shop-domain": "shop.example"}));
}
