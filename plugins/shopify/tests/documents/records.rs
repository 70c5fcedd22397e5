//! How the records of an export (its JSON objects) become one product: parents and children, copies, ids and types.

use serde_json::json;
use shopify_plugin::Severity::{Error, Warning};

use crate::support::*;

fn level(parent: &str, available: i64) -> String {
    json!({"available": available, "location": {"id": "gid://shopify/Location/9"}, "__parentId": parent})
        .to_string()
}

#[test]
fn children_before_their_product() {
    let lines =
        [product(json!({})), variant(11, json!({"price": "5"})), picture(7, "https://a.example/1.jpg")];
    let reversed: Vec<String> = lines.iter().rev().cloned().collect();
    assert_eq!(run(&lines), run(&reversed));
}

#[test]
fn grandchild_before_its_variant() {
    let lines = [product(json!({})), level("gid://shopify/ProductVariant/11", 4), variant(11, json!({}))];
    assert_eq!(document(&lines)["variants"][0]["inventory_quantity"], 4);
}

#[test]
fn the_same_child_twice() {
    let shirt = variant(11, json!({"price": "5", "updatedAt": "2025-01-02T00:00:00Z"}));
    let stale = variant(11, json!({"price": "9", "updatedAt": "2025-01-01T00:00:00Z"}));
    let lines = [
        product(json!({})),
        shirt,
        stale,
        picture(7, "https://a.example/1.jpg"),
        picture(7, "https://a.example/1.jpg"),
    ];
    let document = document(&lines);
    assert_eq!(document["variant_count"], 1);
    assert_eq!(document["price"], 5.0);
    assert_eq!(document["images"], json!(["https://a.example/1.jpg"]));
}

#[test]
fn identical_children_that_nothing_tells_apart_all_count() {
    let stock = json!({"quantities": [{"name": "available", "quantity": 5}], "__parentId": "gid://shopify/ProductVariant/11"}).to_string();
    let lines = [product(json!({})), variant(11, json!({})), stock.clone(), stock];
    assert_eq!(document(&lines)["variants"][0]["inventory_quantity"], 10);
}

#[test]
fn a_variant_has_one_inventory_level_a_location() {
    let stock = level("gid://shopify/ProductVariant/11", 5);
    let elsewhere = stock.replace("Location/9", "Location/8");
    let lines = [product(json!({})), variant(11, json!({})), stock.clone(), stock, elsewhere];
    assert_eq!(document(&lines)["variants"][0]["inventory_quantity"], 10);
}

#[test]
fn a_line_with_nothing_but_its_parent() {
    let lines = [product(json!({})), json!({"__parentId": "gid://shopify/Product/1"}).to_string()];
    assert_eq!(document(&lines), document(&lines[..1]));
}

#[test]
fn every_spelling_of_an_id() {
    let encoded = "Z2lkOi8vc2hvcGlmeS9Qcm9kdWN0LzE=";
    for parent in ["gid://shopify/Product/1", "gid:\\/\\/shopify\\/Product\\/1", encoded] {
        let child = variant(11, json!({"price": "5"})).replace("gid://shopify/Product/1", parent);
        let picture = picture(7, "https://a.example/1.jpg").replace("gid://shopify/Product/1", parent);
        let document = document(&[product(json!({})), child, picture]);
        assert_eq!(
            (&document["price"], &document["image"]),
            (&json!(5.0), &json!("https://a.example/1.jpg"))
        );
    }
    let transformed = run(&[product(json!({"id": encoded, "__typename": "Product"}))]);
    assert_eq!(transformed.documents[0].id, "1");
    // Without a type name, the encoded id still tells the type.
    assert_eq!(run(&[product(json!({"id": encoded}))]).documents[0].id, "1");
}

#[test]
fn ids_with_a_query() {
    let of_item = |item: u64| {
        let id = format!("gid://shopify/InventoryLevel/108?inventory_item_id={item}");
        json!({"id": id, "quantities": [{"name": "on_hand", "quantity": 9}, {"name": "available", "quantity": 3}],
            "__parentId": "gid://shopify/ProductVariant/11"}).to_string()
    };
    let lines = [product(json!({})), variant(11, json!({})), of_item(1), of_item(2), of_item(2)];
    assert_eq!(document(&lines)["variants"][0]["inventory_quantity"], 6, "two levels, one of them twice");
    assert_eq!(run(&[product(json!({"id": "gid://shopify/Product/1?x=2"}))]).documents[0].id, "1");
}

#[test]
fn inventory_levels_belong_to_the_variant() {
    let lines = [
        product(json!({})),
        variant(11, json!({"position": 1, "inventoryItem": {}})),
        level("gid://shopify/ProductVariant/11", 10),
        variant(12, json!({"position": 2, "inventoryItem": {}, "inventoryQuantity": 7})),
        level("gid://shopify/ProductVariant/12", 3),
        // Inventory items have no lines of their own, so nothing tells which variant this level belongs to.
        level("gid://shopify/InventoryItem/11", 100),
    ];
    let document = only_document(&run(&lines));
    assert_eq!(document["variants"][0]["inventory_quantity"], 10);
    assert_eq!(document["variants"][1]["inventory_quantity"], 7, "its own figure counts more");
    assert_eq!(document["inventory_quantity"], 17);
}

#[test]
fn roots_that_are_no_products() {
    for line in [
        json!({"id": "gid://shopify/Collection/5", "title": "Sale"}),
        json!({"__typename": "ProductVariant", "id": "gid://shopify/ProductVariant/5", "price": "1"}),
        json!({"id": "gid://shopify/Order/5"}),
        json!({"namespace": "custom", "key": "a", "value": "b"}),
    ] {
        assert_eq!(codes(&run(&[line.to_string()])), [(Error, "not-a-product")], "{line}");
    }
}

#[test]
fn a_product_without_variants() {
    let lone = document(&[product(json!({}))]);
    assert_eq!(lone["variant_count"], 0);
    for field in ["price", "min_price", "max_price", "available", "variants", "skus", "on_sale"] {
        assert_eq!(lone.get(field), None, "{field}");
    }
    // The range is the product's own statement about its price.
    let range = json!({"minVariantPrice": {"amount": "10.0", "currencyCode": "EUR"}, "maxVariantPrice": {"amount": "12.5", "currencyCode": "EUR"}});
    let ranged = document(&[product(json!({"priceRangeV2": range}))]);
    assert_eq!(
        (&ranged["price"], &ranged["max_price"], &ranged["currency"]),
        (&json!(10.0), &json!(12.5), &json!("EUR"))
    );

    let transformed = run_with(&[product(json!({}))], json!({"level": "variant"}));
    assert_eq!(codes(&transformed), [(Warning, "no-variants")]);
    assert_eq!(transformed.documents, []);
}

#[test]
fn missing_and_null_fields() {
    let nothing = json!({"id": "gid://shopify/Product/1"}).to_string();
    let document = document(&[nothing]);
    assert_eq!(document, json!({"product_id": "1", "variant_count": 0}));
    let nulls = json!({"id": "gid://shopify/Product/1", "title": null, "descriptionHtml": null, "tags": null, "options": null,
        "variants": null, "media": null, "status": null, "seo": null, "category": null, "featuredMedia": null, "priceRangeV2": null,
        "updatedAt": null, "publishedAt": null, "totalInventory": null, "isGiftCard": null});
    assert_eq!(only_document(&run(&[nulls.to_string()])), document);
}

#[test]
fn values_of_another_type_than_documented() {
    let odd = json!({"id": "gid://shopify/Product/1", "title": {"en": "x"}, "tags": 5, "options": "Size", "vendor": 12, "seo": [],
        "variants": "many", "featuredMedia": 3, "isGiftCard": "yes", "totalInventory": "12", "media": [1, "x", null, []], "category": "Shirts"});
    let document = only_document(&run(&[odd.to_string()]));
    assert_eq!(
        document,
        json!({"product_id": "1", "vendor": "12", "tags": ["5"], "inventory_quantity": 12, "variant_count": 0})
    );
}

#[test]
fn children_from_several_exports_unite() {
    let stale = product(json!({"title": "Stale", "updatedAt": "2025-01-01T00:00:00Z"}));
    let fresh = product(json!({"title": "Fresh", "updatedAt": "2025-01-02T00:00:00Z"}));
    let bare = json!({"id": "gid://shopify/Product/1"}).to_string();
    let lines =
        [fresh, variant(11, json!({"price": "5"})), stale, picture(7, "https://a.example/1.jpg"), bare];
    let document = document(&lines);
    assert_eq!((&document["title"], &document["price"]), (&json!("Fresh"), &json!(5.0)));
    assert_eq!(document["image"], "https://a.example/1.jpg");
}

#[test]
fn parents_may_be_named_by_an_object() {
    let shirt = json!({"__typename": "ProductVariant", "id": "gid://shopify/ProductVariant/11", "price": "5", "product": {"id": "gid://shopify/Product/1"}});
    let care = json!({"__typename": "Metafield", "namespace": "custom", "key": "care", "jsonValue": "cold", "owner": {"__typename": "Product", "id": "gid://shopify/Product/1"}});
    let lines = [product(json!({})), shirt.to_string(), care.to_string()];
    let document = document_with(&lines, json!({"metafields": {"custom.care": {"field": "care"}}}));
    assert_eq!((&document["price"], &document["care"]), (&json!(5.0), &json!("cold")));
}

#[test]
fn children_of_something_else_are_not_the_products() {
    let collection = json!({"id": "gid://shopify/Collection/3", "title": "Sale", "handle": "sale", "__parentId": "gid://shopify/Product/1"}).to_string();
    let foreign = picture(7, "https://a.example/collection.jpg")
        .replace("gid://shopify/Product/1", "gid://shopify/Collection/3");
    let transformed = run(&[product(json!({})), collection, foreign]);
    assert_eq!(codes(&transformed), [(Warning, "unused-records")]);
    let document = only_document(&transformed);
    assert_eq!(
        (&document["collections"], &document["collection_handles"]),
        (&json!(["Sale"]), &json!(["sale"]))
    );
    assert_eq!(document.get("image"), None);
}

#[test]
fn nested_connections_and_lines_give_the_same_document() {
    let shirt = json!({"id": "gid://shopify/ProductVariant/11", "title": "S", "price": "5.00", "position": 1, "selectedOptions": [{"name": "Size", "value": "S"}]});
    let large = json!({"id": "gid://shopify/ProductVariant/12", "title": "L", "price": "6.00", "position": 2, "selectedOptions": [{"name": "Size", "value": "L"}]});
    let image = json!({"id": "gid://shopify/MediaImage/7", "alt": "Front", "image": {"url": "https://a.example/1.jpg"}});
    let care = json!({"id": "gid://shopify/Metafield/8", "namespace": "custom", "key": "care", "type": "single_line_text_field", "value": "cold"});
    let sale = json!({"id": "gid://shopify/Collection/9", "handle": "sale", "title": "Sale"});
    let children = [&shirt, &large, &image, &care, &sale];
    let child = |record: &&serde_json::Value| {
        with((*record).clone(), json!({"__parentId": "gid://shopify/Product/1"}))
    };
    let lines: Vec<String> = std::iter::once(product(json!({}))).chain(children.iter().map(child)).collect();
    let edges = |records: &[&serde_json::Value]| json!({"edges": records.iter().map(|record| json!({"cursor": "x", "node": record})).collect::<Vec<_>>(), "pageInfo": {"hasNextPage": false}});
    let nodes = |records: &[&serde_json::Value]| json!({"nodes": records});
    let configuration =
        json!({"metafields": {"custom.care": {"field": "care"}}, "options": {"size": "size"}});
    let flat = document_with(&lines, configuration.clone());
    assert_eq!(flat["size"], json!(["S", "L"]));
    for connection in
        [&edges as &dyn Fn(&[&serde_json::Value]) -> serde_json::Value, &nodes, &|records| json!(records)]
    {
        let whole = product(
            json!({"variants": connection(&[&large, &shirt]), "media": connection(&[&image]), "metafields": connection(&[&care]), "collections": connection(&[&sale])}),
        );
        assert_eq!(document_with(&[whole], configuration.clone()), flat);
    }
}

#[test]
fn a_webhook_gives_the_same_document_as_the_bulk_line() {
    let webhook = json!({
        "id": 1, "admin_graphql_api_id": "gid://shopify/Product/1", "title": "Tee", "body_html": "<p>Soft</p>", "vendor": "V", "product_type": "Shirts",
        "status": "active", "tags": "b, a", "updated_at": "2025-01-01T00:00:00Z", "published_at": "2025-01-01T00:00:00Z",
        "options": [{"name": "Color", "position": 2, "values": ["Red"]}, {"name": "Size", "position": 1, "values": ["S"]}],
        "variants": [{"id": 11, "product_id": 1, "title": "S / Red", "price": "5.00", "compare_at_price": "6.00", "position": 1, "option1": "S", "option2": "Red",
            "option3": null, "inventory_quantity": 0, "inventory_management": "shopify", "inventory_policy": "continue", "image_id": 72, "sku": "S-R", "barcode": "012"}],
        "images": [{"id": 72, "position": 2, "src": "//a.example/2.jpg?v=5", "variant_ids": [11], "alt": null}, {"id": 71, "position": 1, "src": "https://a.example/1.jpg", "alt": "Front"}],
        "image": {"id": 71, "src": "https://a.example/1.jpg", "alt": "Front"}, "variant_gids": [{"admin_graphql_api_id": "gid://shopify/ProductVariant/11"}],
    });
    let bulk = [
        product(json!({"descriptionHtml": "<p>Soft</p>", "vendor": "V", "productType": "Shirts", "tags": ["b", "a"], "updatedAt": "2025-01-01T00:00:00Z", "publishedAt": "2025-01-01T00:00:00Z"})),
        variant(11, json!({"title": "S / Red", "price": "5.00", "compareAtPrice": "6.00", "position": 1, "selectedOptions": [{"name": "Size", "value": "S"}, {"name": "Color", "value": "Red"}],
            "inventoryQuantity": 0, "availableForSale": true, "sku": "S-R", "barcode": "012", "image": {"url": "https://a.example/2.jpg?v=5"}})),
        json!({"id": "gid://shopify/MediaImage/1", "alt": "Front", "image": {"url": "https://a.example/1.jpg"}, "__parentId": "gid://shopify/Product/1"}).to_string(),
        json!({"id": "gid://shopify/MediaImage/2", "alt": "", "image": {"url": "https://a.example/2.jpg"}, "__parentId": "gid://shopify/Product/1"}).to_string(),
    ];
    assert_eq!(document(&[webhook.to_string()]), document(&bulk));
}

#[test]
fn a_product_without_usable_id_is_refused() {
    for line in [
        json!({"title": "x"}),
        json!({"id": null}),
        json!({"id": "gid://shopify/Product/"}),
        json!({"id": "gid://shopify/Product/a b"}),
        json!({"id": ""}),
    ] {
        assert_eq!(codes(&run(&[line.to_string()])), [(Error, "missing-id")], "{line}");
    }
    let legacy = json!({"__typename": "Product", "legacyResourceId": "42"}).to_string();
    assert_eq!(run(&[legacy]).documents[0].id, "42");
    assert_eq!(codes(&run(&[String::new()])), [(Error, "invalid-product")]);
}
