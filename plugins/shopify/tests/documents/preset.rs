//! Documents under names that an index wants.

use serde_json::json;

use crate::support::*;

fn lines() -> Vec<String> {
    let shirt = |number: u64, color: &str| {
        variant(
            number,
            json!({"title": color, "sku": color, "price": "100", "selectedOptions": [{"name": "Color", "value": color}], "image": {"url": format!("https://a.example/{color}.jpg")}}),
        )
    };
    vec![
        product(json!({"descriptionHtml": "<p>Cotton</p>", "updatedAt": "2025-01-01T00:00:00Z", "vendor": "V"})),
        shirt(11, "Blue"),
        shirt(12, "Red"),
        json!({"id": "gid://shopify/Collection/3", "title": "Shirts", "handle": "shirts", "__parentId": "gid://shopify/Product/1"}).to_string(),
    ]
}

#[test]
fn marqos_ecommerce_api_gets_the_names_that_it_documents() {
    let transformed = run_with(&lines(), json!({"fields": "marqo-ecommerce", "option-fields": "{name}"}));
    let documents = documents(&transformed);
    assert_eq!(
        documents.iter().map(|(id, _)| &**id).collect::<Vec<_>>(),
        ["11", "12"],
        "the ids of variants"
    );
    assert_eq!(
        documents[0].1,
        json!({
            "parentProductId": "1", "productTitle": "Tee", "variantTitle": "Tee - Blue", "variantImageUrl": "https://a.example/Blue.jpg",
            "price": 100.0, "description": "Cotton", "productCollections": ["shirts"], "color": "Blue",
            "vendor": "V", "updated_at": "2025-01-01T00:00:00Z", "variant_id": "11", "sku": "Blue", "on_sale": false, "collections": ["Shirts"],
            "images": ["https://a.example/Blue.jpg", "https://a.example/Red.jpg"], "options": ["Color: Blue"],
        })
    );
}

#[test]
fn an_only_variant_is_called_as_its_product() {
    let lines = [product(json!({})), variant(11, json!({"title": "Default Title", "price": "5"}))];
    let documents = documents(&run_with(&lines, json!({"fields": "marqo-ecommerce"})));
    assert_eq!(documents[0].1["variantTitle"], "Tee");
}

#[test]
fn a_configuration_counts_more_than_its_preset() {
    let configuration = json!({
        "fields": "marqo-ecommerce", "level": "variant", "rename": {"collections": "productCollections", "title": "name"}, "omit": ["collection_handles", "vendor"],
        "copy": {"variant_title": "label"}, "add": ["discount"], "constants": {"store": "de"},
    });
    let documents = documents(&run_with(&lines(), configuration));
    let document = &documents[0].1;
    assert_eq!((&document["productCollections"], &document["name"]), (&json!(["Shirts"]), &json!("Tee")));
    assert_eq!((&document["variant_title"], &document["label"]), (&json!("Blue"), &json!("Blue")));
    assert_eq!(
        (&document["store"], document.get("vendor"), document.get("productTitle")),
        (&json!("de"), None, None)
    );
}
