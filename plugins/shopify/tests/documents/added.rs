//! Optional fields, which the setting `add` switches on.

use serde_json::{Value, json};

use crate::support::*;

#[test]
fn nothing_is_added_that_is_not_named() {
    let lines = [
        product(
            json!({"createdAt": "2025-01-01T00:00:00Z", "category": {"id": "gid://shopify/TaxonomyCategory/aa-1", "fullName": "A > B"}}),
        ),
        variant(11, json!({"price": "5", "selectedOptions": [{"name": "Size", "value": "S"}]})),
    ];
    let plain = document(&lines);
    let added = document_with(&lines, json!({"add": ["category_leaf"]}));
    let new: Vec<&String> =
        added.as_object().unwrap().keys().filter(|key| plain.get(*key).is_none()).collect();
    assert_eq!(new, ["category_leaf"]);
    assert_eq!(added["category_leaf"], "B");
}

#[test]
fn times_are_added_as_seconds() {
    let times = json!({"createdAt": "1970-01-01T01:00:00.9Z", "updatedAt": "2024-09-23T14:21:59+08:00", "publishedAt": "soon"});
    let document = document_with(&[product(times)], json!({"add": ["*_timestamp"]}));
    assert_eq!(
        (&document["created_timestamp"], &document["updated_timestamp"]),
        (&json!(3_600), &json!(1_727_072_519))
    );
    assert_eq!(
        (&document["updated_at"], document.get("published_timestamp")),
        (&json!("2024-09-23T14:21:59+08:00"), None)
    );
}

#[test]
fn a_category_is_split_into_levels() {
    let of = |category: Value, configuration| {
        document_with(&[product(json!({"category": category}))], configuration)
    };
    let jacket = json!({"id": "gid://shopify/TaxonomyCategory/aa-1-10", "fullName": "Apparel &amp; Accessories > Clothing > Outerwear and Coats"});
    let document = of(jacket.clone(), json!({"add": ["category_*"]}));
    assert_eq!(document["category_id"], "aa-1-10");
    assert_eq!(document["category_leaf"], "Outerwear and Coats");
    assert_eq!(document["category_lvl0"], "Apparel & Accessories");
    assert_eq!(document["category_lvl1"], "Apparel & Accessories > Clothing");
    assert_eq!(
        document["category_lvl2"], "Clothing > Outerwear and Coats",
        "56 characters would be too long for a filter"
    );
    assert_eq!(document.get("category_lvl3"), None);
    let long = of(jacket, json!({"add": ["category_lvl*"], "filter-length": 60}));
    assert_eq!(long["category_lvl2"], "Apparel & Accessories > Clothing > Outerwear and Coats");
    // REST has a name only in some versions.
    let named = of(json!({"name": "Shirts"}), json!({"add": ["category_*"]}));
    assert_eq!((&named["category_leaf"], &named["category_lvl0"]), (&json!("Shirts"), &json!("Shirts")));
}

#[test]
fn collections_are_added_by_number() {
    let collection = |number: u64| {
        json!({"id": format!("gid://shopify/Collection/{number}"), "title": "T", "handle": "t", "__parentId": "gid://shopify/Product/1"}).to_string()
    };
    let lines = [product(json!({})), collection(10), collection(9)];
    let document = document_with(&lines, json!({"add": ["collection_ids"]}));
    assert_eq!(document["collection_ids"], json!(["9", "10"]));
}

fn shirts() -> Vec<String> {
    let shirt = |number: u64, size: &str, color: &str| {
        variant(
            number,
            json!({"position": number, "price": "5", "selectedOptions": [{"name": "Size", "value": size}, {"name": "Couleur", "value": color}, {"name": "サイズ", "value": "大"}]}),
        )
    };
    let values =
        |values: &[&str]| json!(values.iter().map(|value| json!({"name": value})).collect::<Vec<_>>());
    vec![
        product(json!({"options": [
            {"name": "Size", "position": 1, "optionValues": values(&["S", "M", "L"])},
            {"name": "Couleur", "position": 2, "values": ["Red", "Blue"]},
            {"name": "サイズ", "position": 3, "optionValues": values(&["大"])},
        ]})),
        shirt(11, "L", "Blue"),
        shirt(12, "S", "Red"),
        shirt(13, "XS", "Red"),
        shirt(14, "M", "Red"),
    ]
}

#[test]
fn every_option_becomes_a_field_by_a_pattern() {
    let document =
        document_with(&shirts(), json!({"option-fields": "option_{name}", "options": {"couleur": "color"}}));
    assert_eq!(document["option_size"], json!(["S", "M", "L", "XS"]), "in the shop's order");
    assert_eq!(document["color"], json!(["Red", "Blue"]));
    assert_eq!(document["option_3"], json!(["大"]), "no Latin letters: its place");
    assert_eq!(document.get("option_couleur"), None);
    let of_variant = documents(&run_with(&shirts(), json!({"level": "variant", "option-fields": "{name}"})));
    assert_eq!((&of_variant[0].1["size"], &of_variant[0].1["couleur"]), (&json!("L"), &json!("Blue")));
    assert_eq!(of_variant[0].1["option_3"], json!("大"), "a field name begins with a letter");
}

#[test]
fn an_option_never_overwrites_a_field() {
    let lines = [
        product(json!({})),
        variant(
            11,
            json!({"price": "5", "selectedOptions": [{"name": "Price", "value": "high"}, {"name": "Title", "value": "T"}, {"name": "Query", "value": "q"}, {"name": "Source", "value": "s"}]}),
        ),
    ];
    let configuration =
        json!({"option-fields": "{name}", "rename": {"title": "name"}, "constants": {"source": "shopify"}});
    let document = document_with(&lines, configuration);
    assert_eq!((&document["price"], &document["price_option"]), (&json!(5.0), &json!(["high"])));
    assert_eq!((&document["name"], &document["title_option"]), (&json!("Tee"), &json!(["T"])));
    assert_eq!(document["option_query"], json!(["q"]));
    assert_eq!((&document["source"], &document["source_option"]), (&json!("shopify"), &json!(["s"])));
}

#[test]
fn combinations_that_exist_are_listed() {
    let document = document_with(&shirts(), json!({"add": ["option_combinations"]}));
    let expected = ["L / Blue / 大", "S / Red / 大", "XS / Red / 大", "M / Red / 大"];
    assert_eq!(document["option_combinations"], json!(expected));
    let lone = [
        product(json!({})),
        variant(11, json!({"selectedOptions": [{"name": "Title", "value": "Default Title"}]})),
    ];
    assert_eq!(document_with(&lone, json!({"add": ["*"]})).get("option_combinations"), None);
}

fn prices() -> Vec<String> {
    vec![
        product(json!({})),
        variant(11, json!({"price": "20.00", "compareAtPrice": "50.00", "availableForSale": true})),
        variant(12, json!({"price": "14.99", "compareAtPrice": "19.99", "availableForSale": false})),
        variant(13, json!({"price": "30.00", "compareAtPrice": "25.00", "availableForSale": true})),
    ]
}

#[test]
fn prices_are_added() {
    let document = document_with(&prices(), json!({"add": ["min_*", "max_*", "discount*"]}));
    assert_eq!((&document["price"], &document["min_available_price"]), (&json!(14.99), &json!(20.0)));
    assert_eq!((&document["discount"], &document["discount_percent"]), (&json!(5.0), &json!(25)));
    let range = (&document["min_compare_at_price"], &document["max_compare_at_price"]);
    assert_eq!(range, (&json!(19.99), &json!(50.0)), "25 is no earlier price of 30");
    let documents = documents(&run_with(&prices(), json!({"level": "variant", "add": ["discount*"]})));
    let discounts: Vec<_> =
        documents.iter().map(|(_, document)| document.get("discount_percent").cloned()).collect();
    assert_eq!(discounts, [Some(json!(60)), Some(json!(25)), None]);
}

#[test]
fn nothing_available_has_no_lowest_price() {
    let lines = [product(json!({})), variant(11, json!({"price": "5", "availableForSale": false}))];
    let document = document_with(&lines, json!({"add": ["min_available_price", "discount"]}));
    assert_eq!((document.get("min_available_price"), document.get("discount")), (None, None));
}

#[test]
fn a_product_without_variants_has_the_range_that_the_export_gives() {
    let amount = |amount: &str| json!({"amount": amount, "currencyCode": "EUR"});
    let range =
        json!({"minVariantCompareAtPrice": amount("12.0"), "maxVariantCompareAtPrice": amount("15.0")});
    let document = document_with(
        &[product(json!({"compareAtPriceRange": range}))],
        json!({"add": ["*_compare_at_price"]}),
    );
    assert_eq!(document["min_compare_at_price"], 12.0);
    assert_eq!(document["max_compare_at_price"], 15.0);
}

#[test]
fn trade_numbers_and_weights_are_added() {
    let tin = |number: u64, barcode: &str, weight: Value| {
        variant(
            number,
            json!({"barcode": barcode, "inventoryItem": {"measurement": {"weight": weight}}, "inventoryPolicy": "CONTINUE"}),
        )
    };
    let kilo = json!({"value": 1.0, "unit": "KILOGRAMS"});
    let lines = [
        product(json!({})),
        tin(11, "4006381333931", kilo.clone()),
        tin(12, "SHELF-7", json!({"value": 1000, "unit": "GRAMS"})),
    ];
    let document = document_with(&lines, json!({"add": ["gtins", "weight_grams"]}));
    assert_eq!((&document["gtins"], &document["weight_grams"]), (&json!(["4006381333931"]), &json!(1000.0)));
    let other = [product(json!({})), tin(11, "", kilo), tin(12, "", json!({"value": 2, "unit": "lb"}))];
    assert_eq!(
        document_with(&other, json!({"add": ["weight_grams"]})).get("weight_grams"),
        None,
        "they differ"
    );
    let of_variants = documents(&run_with(
        &lines,
        json!({"level": "variant", "add": ["gtin", "weight_grams", "inventory_policy"]}),
    ));
    let (first, second) = (&of_variants[0].1, &of_variants[1].1);
    assert_eq!((&first["gtin"], second.get("gtin")), (&json!("4006381333931"), None));
    assert_eq!((&second["weight_grams"], &second["inventory_policy"]), (&json!(1000.0), &json!("continue")));
    let rest = [product(json!({})), variant(11, json!({"grams": 250, "weight": 0.25, "weight_unit": "kg"}))];
    assert_eq!(document_with(&rest, json!({"add": ["weight_grams"]}))["weight_grams"], 250.0);
    let unweighed = [product(json!({})), variant(11, json!({"grams": 0}))];
    assert_eq!(document_with(&unweighed, json!({"add": ["weight_grams"]})).get("weight_grams"), None);
}

#[test]
fn unit_prices_are_computed_unless_the_export_has_them() {
    let measure =
        json!({"quantityValue": 0.75, "quantityUnit": "L", "referenceValue": 100, "referenceUnit": "ML"});
    let of = |fields: Value| {
        let lines = [product(json!({})), variant(11, fields)];
        let documents = documents(&run_with(&lines, json!({"level": "variant", "add": ["unit_price*"]})));
        (documents[0].1.get("unit_price").cloned(), documents[0].1.get("unit_price_measure").cloned())
    };
    assert_eq!(
        of(json!({"price": "9.99", "unitPriceMeasurement": measure})),
        (Some(json!(1.332)), Some(json!("100 ml")))
    );
    let said = json!({"price": "9.99", "unitPriceMeasurement": measure, "unitPrice": {"amount": "1.33", "currencyCode": "EUR"}});
    assert_eq!(of(said), (Some(json!(1.33)), Some(json!("100 ml"))));
    for odd in [
        json!({"quantityValue": 1, "quantityUnit": "L", "referenceValue": 100, "referenceUnit": "KG"}),
        json!({"quantityValue": 0, "quantityUnit": "L", "referenceValue": 100, "referenceUnit": "ML"}),
        json!(null),
    ] {
        assert_eq!(of(json!({"price": "9.99", "unitPriceMeasurement": odd})), (None, None));
    }
}

#[test]
fn swatches_are_those_of_options_that_exist() {
    let swatch = |name: &str, swatch: Value| json!({"name": name, "swatch": swatch});
    let picture = json!({"color": null, "image": {"image": {"url": "//a.example/plaid.jpg"}}});
    let options = json!([{"name": "Color", "optionValues": [
        swatch("Red", json!({"color": "#c00000", "image": null})), swatch("Plaid", picture), swatch("Blue", json!({"color": "#0000c0"})), swatch("None", json!(null)),
    ]}]);
    let shirt = |number: u64, color: &str| {
        variant(number, json!({"position": number, "selectedOptions": [{"name": "Color", "value": color}]}))
    };
    let lines =
        [product(json!({ "options": options })), shirt(11, "Plaid"), shirt(12, "Red"), shirt(13, "None")];
    let document = document_with(&lines, json!({"add": ["swatches"]}));
    assert_eq!(document["swatches"], json!(["Red: #c00000", "Plaid: https://a.example/plaid.jpg"]));
    let of_variants = documents(&run_with(&lines, json!({"level": "variant", "add": ["swatch_*"]})));
    let of = |at: usize| {
        (of_variants[at].1.get("swatch_color").cloned(), of_variants[at].1.get("swatch_image").cloned())
    };
    assert_eq!(of(0), (None, Some(json!("https://a.example/plaid.jpg"))));
    assert_eq!((of(1), of(2)), ((Some(json!("#c00000")), None), (None, None)));
}

#[test]
fn plans_and_bundles_are_added() {
    let plan = |number: u64, name: &str| {
        json!({"id": format!("gid://shopify/SellingPlanGroup/{number}"), "name": name, "__parentId": "gid://shopify/Product/1"}).to_string()
    };
    let nested = json!({
        "requiresSellingPlan": true, "sellingPlanGroups": {"nodes": [{"id": "gid://shopify/SellingPlanGroup/3", "name": "Weekly"}]},
        "bundleComponents": {"nodes": [{"componentProduct": {"id": "gid://shopify/Product/8", "title": "Cup"}, "quantity": 2}]},
    });
    let parts = json!({"requiresComponents": true, "productVariantComponents": {"nodes": [{"productVariant": {"displayName": "Plate - Blue"}}]}});
    let lines = [product(nested), variant(11, parts), plan(2, "Yearly"), plan(1, "Monthly")];
    let configuration =
        json!({"add": ["requires_selling_plan", "selling_plans", "is_bundle", "bundle_components"]});
    let document = document_with(&lines, configuration);
    assert_eq!((&document["requires_selling_plan"], &document["is_bundle"]), (&json!(true), &json!(true)));
    assert_eq!(document["selling_plans"], json!(["Monthly", "Weekly", "Yearly"]));
    assert_eq!(document["bundle_components"], json!(["Cup", "Plate - Blue"]));
    assert_eq!(document["variant_count"], 1);
}
