//! Times that decide which copy of a product is newer, the manifest, and batches of several products.

use serde_json::json;

use crate::support::*;

#[test]
fn times_are_compared_as_instants() {
    let copy = |title: &str, time: &str| product(json!({"title": title, "updatedAt": time}));
    for (older, newer) in [
        ("2024-09-23T14:21:59+08:00", "2024-09-23T06:30:00Z"),
        ("2024-09-23T06:19:16Z", "2024-09-23T06:19:16.500Z"),
        ("2024-03-09T23:00:00-05:00", "2024-03-10T04:00:01Z"),
        ("not a time", "0001-01-01T00:00:00Z"),
    ] {
        for lines in [[copy("new", newer), copy("old", older)], [copy("old", older), copy("new", newer)]] {
            let document = document(&lines);
            assert_eq!(
                (&document["title"], &document["updated_at"]),
                (&json!("new"), &json!(newer)),
                "{older} {newer}"
            );
        }
    }
}

#[test]
fn daylight_saving_in_one_shop_and_one_object() {
    // In the hour that the clock is turned back, the later of two times reads earlier.
    let copy = |title: &str, time: &str| {
        product(json!({"title": title, "createdAt": "2024-01-02T09:21:02-05:00", "updatedAt": time}))
    };
    let (summer, winter) = ("2024-11-03T01:40:00-04:00", "2024-11-03T01:10:00-05:00");
    for lines in [[copy("new", winter), copy("old", summer)], [copy("old", summer), copy("new", winter)]] {
        let document = document(&lines);
        assert_eq!((&document["title"], &document["updated_at"]), (&json!("new"), &json!(winter)));
        assert_eq!(document["created_at"], "2024-01-02T09:21:02-05:00");
    }
}

#[test]
fn the_version_is_given_as_the_export_spells_it() {
    let document = document(&[product(
        json!({"updatedAt": " 2024-09-23T14:21:59+08:00 ", "createdAt": "2024-01-01T00:00:00Z"}),
    )]);
    assert_eq!(document["updated_at"], "2024-09-23T14:21:59+08:00");
    assert_eq!(document["created_at"], "2024-01-01T00:00:00Z");
}

#[test]
fn the_manifest_describes_the_plug_in() {
    let description = shopify_plugin::describe();
    assert_eq!((description.name, description.platform, description.id), ("shopify", "shopify", "/id"));
    assert_eq!(description.parents, ["/__parentId", "/product/id", "/owner/id"]);
    assert_eq!(description.version_fields, ["updated_at", "_mq_version"]);
    let schema: serde_json::Value = serde_json::from_str(description.config_schema).unwrap();
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn a_batch_keeps_its_products_apart() {
    let products = [
        product(json!({})),
        "nonsense".to_owned(),
        product(json!({"id": "gid://shopify/Product/2", "status": "DRAFT"})),
        product(json!({"id": "gid://shopify/Product/3"})),
    ];
    let transformed = shopify_plugin::transform(&products, &config(json!({})));
    assert_eq!(transformed.counts, [1, 0, 0, 1]);
    assert_eq!(transformed.documents.iter().map(|document| &*document.id).collect::<Vec<_>>(), ["1", "3"]);
    assert_eq!((transformed.issues[0].item, transformed.removals[0].item), (1, 2));
}
