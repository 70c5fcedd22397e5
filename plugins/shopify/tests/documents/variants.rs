//! Variants, prices and options.

use serde_json::{Value, json};

use shopify_plugin::Severity::Warning;

use crate::support::*;

#[test]
fn prices_in_every_notation_are_floats() {
    for (text, written) in [
        ("19.99", "19.99"),
        ("10.0", "10.0"),
        ("20", "20.0"),
        ("1050000", "1050000.0"),
        ("0.00", "0.0"),
        ("1.234", "1.234"),
        ("1000.0", "1000.0"),
    ] {
        let transformed = run(&[product(json!({})), variant(11, json!({ "price": text }))]);
        let fields = &transformed.documents[0].fields;
        assert!(
            fields.contains(&format!(r#""price":{written},"min_price":{written},"max_price":{written},"#)),
            "{fields}"
        );
    }
    for price in [json!("abc"), json!("-5"), json!("1,99")] {
        let transformed = run(&[product(json!({})), variant(11, json!({ "price": price }))]);
        assert_eq!(codes(&transformed), [(Warning, "invalid-price")]);
        assert_eq!(only_document(&transformed).get("price"), None);
    }
}

#[test]
fn only_a_higher_compare_at_price_is_a_sale() {
    for before in [json!(null), json!(""), json!("0.00"), json!("10.000"), json!("9.99")] {
        let document =
            document(&[product(json!({})), variant(11, json!({"price": "10.00", "compareAtPrice": before}))]);
        assert_eq!((document.get("compare_at_price"), &document["on_sale"]), (None, &json!(false)));
        assert_eq!(document["variants"][0].get("compare_at_price"), None);
    }
    let document =
        document(&[product(json!({})), variant(11, json!({"price": "10.00", "compareAtPrice": "10.01"}))]);
    assert_eq!((&document["compare_at_price"], &document["on_sale"]), (&json!(10.01), &json!(true)));
}

#[test]
fn prices_that_differ_in_digits_no_document_holds_are_no_sale() {
    let document = document(&[
        product(json!({})),
        variant(11, json!({"price": "0.3", "compareAtPrice": "0.30000000000000000001"})),
    ]);
    assert_eq!((document.get("compare_at_price"), &document["on_sale"]), (None, &json!(false)));
}

#[test]
fn the_sale_of_a_dearer_variant_is_not_that_of_the_lowest_price() {
    let lines = [
        product(json!({})),
        variant(11, json!({"price": "10.00"})),
        variant(12, json!({"price": "20.00", "compareAtPrice": "30.00"})),
    ];
    let document = document(&lines);
    assert_eq!((document.get("compare_at_price"), &document["on_sale"]), (None, &json!(false)));
}

#[test]
fn a_sale_does_not_depend_on_the_order_of_variants() {
    let prices = [
        ("10.00", None),
        ("10.00", Some("12.00")),
        ("10.00", Some("15.00")),
        ("8.00", None),
        ("8.00", Some("9.00")),
    ];
    let shirt = |(number, (price, before)): (u64, (&str, Option<&str>))| {
        variant(number, json!({"price": price, "compareAtPrice": before}))
    };
    for shown in [3, 5] {
        let mut order: Vec<_> = prices[..shown].to_vec();
        for _ in 0..shown {
            order.rotate_left(1);
            let lines: Vec<String> =
                [product(json!({}))].into_iter().chain((11..).zip(order.clone()).map(shirt)).collect();
            let document = document(&lines);
            let before = if shown == 3 { 15.0 } else { 9.0 };
            assert_eq!((&document["on_sale"], &document["compare_at_price"]), (&json!(true), &json!(before)));
        }
    }
}

#[test]
fn the_currency_is_never_guessed() {
    let lines = [product(json!({})), variant(11, json!({"price": "5"}))];
    assert_eq!(document(&lines).get("currency"), None);
    assert_eq!(document_with(&lines, json!({"currency": "EUR"}))["currency"], "EUR");
    let ranged =
        product(json!({"priceRangeV2": {"minVariantPrice": {"amount": "5.0", "currencyCode": "KWD"}}}));
    assert_eq!(document_with(&[ranged], json!({"currency": "EUR"}))["currency"], "KWD");
    let storefront =
        [product(json!({})), variant(11, json!({"price": {"amount": "5.0", "currencyCode": "JPY"}}))];
    let document = document(&storefront);
    assert_eq!((&document["currency"], &document["price"]), (&json!("JPY"), &json!(5.0)));
}

#[test]
fn prices_of_zero_and_of_sold_out_variants_count() {
    let lines = [
        product(
            json!({"priceRangeV2": {"minVariantPrice": {"amount": "7.0"}, "maxVariantPrice": {"amount": "8.0"}}}),
        ),
        variant(11, json!({"price": "0.00", "availableForSale": false})),
        variant(12, json!({"price": "5.00", "availableForSale": true})),
    ];
    let document = document(&lines);
    assert_eq!((&document["min_price"], &document["max_price"]), (&json!(0.0), &json!(5.0)));
}

#[test]
fn availability_is_not_stock() {
    let available = |variants: &[Value]| {
        let lines = (11..).zip(variants).map(|(number, fields)| variant(number, fields.clone()));
        let lines: Vec<String> = std::iter::once(product(json!({}))).chain(lines).collect();
        document(&lines).get("available").cloned()
    };
    assert_eq!(available(&[json!({"availableForSale": true, "inventoryQuantity": -3})]), Some(json!(true)));
    assert_eq!(available(&[json!({"availableForSale": false, "inventoryQuantity": 5})]), Some(json!(false)));
    assert_eq!(
        available(&[json!({"availableForSale": false}), json!({"availableForSale": true})]),
        Some(json!(true))
    );
    assert_eq!(available(&[json!({"inventoryQuantity": 5})]), None);
    assert_eq!(available(&[json!({"inventoryPolicy": "DENY", "inventoryQuantity": 5})]), Some(json!(true)));
    // It may not be tracked.
    assert_eq!(available(&[json!({"inventoryPolicy": "DENY", "inventoryQuantity": 0})]), None);
    assert_eq!(
        available(&[json!({"inventoryPolicy": "CONTINUE", "inventoryQuantity": 0})]),
        Some(json!(true))
    );
    let item = |tracked: bool| json!({"inventoryItem": {"tracked": tracked}, "inventoryQuantity": 0});
    assert_eq!(available(&[item(true)]), Some(json!(false)));
    assert_eq!(available(&[item(false)]), Some(json!(true)));
    // REST says what it is computed from.
    assert_eq!(
        available(&[json!({"inventory_management": null, "inventory_quantity": 0})]),
        Some(json!(true))
    );
    assert_eq!(
        available(&[
            json!({"inventory_management": "shopify", "inventory_policy": "deny", "inventory_quantity": 0})
        ]),
        Some(json!(false))
    );
    assert_eq!(
        available(&[
            json!({"inventory_management": "shopify", "inventory_policy": "continue", "inventory_quantity": 0})
        ]),
        Some(json!(true))
    );
    assert_eq!(available(&[json!({"available": false})]), Some(json!(false)));
}

#[test]
fn availability_follows_from_the_products_tracking_and_the_stock_at_locations() {
    let shirt = variant(11, json!({"inventoryPolicy": "DENY"}));
    let level = json!({"available": 0, "location": {"id": "gid://shopify/Location/9"}, "__parentId": "gid://shopify/ProductVariant/11"});
    for (tracks, available) in
        [(json!(true), Some(json!(false))), (json!(false), Some(json!(true))), (json!(null), None)]
    {
        let lines = [product(json!({ "tracksInventory": tracks })), shirt.clone(), level.to_string()];
        assert_eq!(document(&lines).get("available").cloned(), available, "{tracks}");
    }
}

#[test]
fn stock_is_kept_as_it_is() {
    let stock = |root: Value, quantity: Value| {
        let document = document(&[product(root), variant(11, json!({ "inventoryQuantity": quantity }))]);
        (
            document.get("inventory_quantity").cloned(),
            document["variants"][0].get("inventory_quantity").cloned(),
        )
    };
    assert_eq!(stock(json!({"totalInventory": -2}), json!(-2)), (Some(json!(-2)), Some(json!(-2))));
    assert_eq!(stock(json!({"totalInventory": 9}), json!(null)), (Some(json!(9)), None));
    assert_eq!(stock(json!({}), json!(4)), (Some(json!(4)), Some(json!(4))));
    assert_eq!(
        stock(json!({"totalInventory": 0, "tracksInventory": false}), json!(0)),
        (None, Some(json!(0)))
    );
}

#[test]
fn skus_are_trimmed_and_listed_once() {
    let sku = "14:350852#A;5:100014064#XXL (Asia) :;#:;#:;#:;#:;#:;#:;#:;#";
    let lines = [
        product(json!({})),
        variant(11, json!({"sku": null})),
        variant(12, json!({"sku": " "})),
        variant(13, json!({ "sku": sku })),
        variant(14, json!({ "sku": format!(" {sku} ") })),
        variant(15, json!({"sku": 4711})),
    ];
    let document = document(&lines);
    assert_eq!(document["skus"], json!([sku, "4711"]));
    assert_eq!(document["variants"][1].get("sku"), None);
    assert_eq!(document["variants"][3]["sku"], sku);
}

#[test]
fn barcodes_stay_texts() {
    let lines = [
        product(json!({})),
        variant(11, json!({"barcode": "'012345"})),
        variant(12, json!({"barcode": "0012-345"})),
        variant(13, json!({"barcode": ""})),
    ];
    assert_eq!(document(&lines)["barcodes"], json!(["'012345", "0012-345"]));
}

#[test]
fn a_variant_without_picture_shows_that_of_its_product() {
    let own = json!({"id": "gid://shopify/ProductImage/9", "url": "https://a.example/own.jpg"});
    let lines = [
        product(json!({"featuredMedia": {"preview": {"image": {"url": "https://a.example/main.jpg"}}}})),
        variant(11, json!({"position": 1, "image": null})),
        variant(12, json!({"position": 2, "image": own})),
        picture(7, "https://a.example/side.jpg"),
        picture(8, "https://a.example/own.jpg"),
    ];
    let document = document(&lines);
    let shown: Vec<_> = (0..2).map(|index| &document["variants"][index]["image"]).collect();
    assert_eq!(shown, ["https://a.example/main.jpg", "https://a.example/own.jpg"]);
    assert_eq!(
        document["images"],
        json!(["https://a.example/main.jpg", "https://a.example/side.jpg", "https://a.example/own.jpg"])
    );

    let by_variant = documents(&run_with(&lines, json!({"level": "variant"})));
    assert_eq!(by_variant[1].1["image"], "https://a.example/own.jpg");
    assert_eq!(by_variant[1].1["images"][0], "https://a.example/own.jpg");
}

#[test]
fn two_thousand_variants() {
    let shirt = |number: u64| {
        let options = json!([{"name": "Size", "value": format!("Größe {}", number % 50)}, {"name": "Colour", "value": format!("Shade number {number} with a long name")}]);
        variant(
            number,
            json!({"title": "x", "sku": format!("SKU-{number}"), "price": format!("{number}.50"), "position": number, "selectedOptions": options, "barcode": format!("{number:013}")}),
        )
    };
    let lines: Vec<String> = std::iter::once(product(json!({"descriptionHtml": "word ".repeat(10_000)})))
        .chain((1..=2048).map(shirt))
        .collect();
    let transformed = run(&lines);
    let document = only_document(&transformed);
    assert_eq!(document["variants"].as_array().unwrap().len(), 2048);
    assert_eq!((&document["variant_count"], &document["max_price"]), (&json!(2048), &json!(2048.5)));
    assert_eq!(check_for_index(&document), Ok(()));
    assert_eq!(codes(&transformed), [(Warning, "shortened")]);
    assert!(transformed.issues[0].message.contains("options"), "{:?}", transformed.issues);
    assert_eq!(run_with(&lines, json!({"level": "variant"})).documents.len(), 2048);
}

#[test]
fn skus_and_barcodes_are_the_last_to_be_shortened() {
    let lines = |count: u64| -> Vec<String> {
        let shirt = |number: u64| {
            let options =
                json!([{"name": "Shade", "value": format!("Shade number {number} with a long name")}]);
            variant(
                number,
                json!({"sku": format!("SKU-{number:016}"), "barcode": format!("{number:013}"), "selectedOptions": options}),
            )
        };
        let tags: Vec<String> = (0..250).map(|number| format!("{number:0>200}")).collect();
        let root = product(json!({"descriptionHtml": "word ".repeat(3_000), "tags": tags}));
        std::iter::once(root).chain((1..=count).map(shirt)).collect()
    };
    let transformed = run(&lines(2_048));
    let document = only_document(&transformed);
    assert_eq!(check_for_index(&document), Ok(()));
    let length = |document: &Value, name: &str| document[name].as_array().map_or(0, Vec::len);
    assert_eq!((length(&document, "skus"), length(&document, "barcodes")), (2_048, 2_048));
    assert_eq!((&document["title"], &document["variant_count"]), (&json!("Tee"), &json!(2_048)));
    let message = &transformed.issues[0].message;
    let options = length(&document, "options");
    for part in [
        &format!("tags ({} of 250 items)", length(&document, "tags")),
        &format!("options ({options} of 2048 items)"),
        " of 14999 characters)",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("skus") && !message.contains("barcodes"), "{message}");

    let transformed = run(&lines(4_000));
    let document = only_document(&transformed);
    assert_eq!(check_for_index(&document), Ok(()));
    let (skus, barcodes) = (length(&document, "skus"), length(&document, "barcodes"));
    assert!(
        (1_800..2_100).contains(&skus) && (2_500..2_900).contains(&barcodes),
        "{skus} {barcodes}: half each"
    );
    assert!(transformed.issues[0].message.contains(&format!("barcodes ({barcodes} of 4000 items)")));
    assert!(
        dumped_length(&{
            let mut fields = document;
            fields.as_object_mut().unwrap().remove("variants");
            fields
        }) > 90_000
    );
}

#[test]
fn options_in_any_language_and_spelling() {
    let shirt = |number: u64, size: Value, colour: &str| {
        variant(
            number,
            json!({"position": number, "selectedOptions": [{"name": "Größe", "value": size}, {"name": "Farbe", "value": colour}, {"name": "サイズ", "value": "大"}]}),
        )
    };
    let lines = [
        product(json!({})),
        shirt(11, json!("200X230cm"), "PURPLE"),
        shirt(12, json!("200x230cm"), "purple"),
        shirt(13, json!(null), " Red "),
        shirt(14, json!("200  x"), "Red"),
    ];
    let document =
        document_with(&lines, json!({"options": {"größe": "size", "Size": "size", "FARBE": "color"}}));
    assert_eq!(
        document["options"],
        json!(["Größe: 200X230cm", "Größe: 200  x", "Farbe: PURPLE", "Farbe: Red", "サイズ: 大"])
    );
    assert_eq!(
        (&document["size"], &document["color"]),
        (&json!(["200X230cm", "200  x"]), &json!(["PURPLE", "Red"]))
    );
    assert_eq!(
        document["variants"][1]["attributes"],
        json!({"Größe": "200x230cm", "Farbe": "purple", "サイズ": "大"})
    );
    assert_eq!(document["variants"][2]["attributes"], json!({"Farbe": "Red", "サイズ": "大"}));
}

#[test]
fn options_go_by_name_not_by_place() {
    let shirt = |number: u64, one: (&str, &str), two: (&str, &str)| {
        variant(
            number,
            json!({"position": number, "selectedOptions": [{"name": one.0, "value": one.1}, {"name": two.0, "value": two.1}]}),
        )
    };
    let lines = [
        product(json!({})),
        shirt(11, ("Size", "S"), ("Color", "Red")),
        shirt(12, ("Color", "Blue"), ("Size", "M")),
    ];
    assert_eq!(document(&lines)["options"], json!(["Size: S", "Size: M", "Color: Red", "Color: Blue"]));
}

#[test]
fn two_variants_with_the_same_options() {
    let shirt = |number: u64| {
        variant(number, json!({"price": "5", "selectedOptions": [{"name": "Size", "value": "S"}]}))
    };
    let document = document(&[product(json!({})), shirt(11), shirt(12)]);
    assert_eq!((&document["variant_count"], &document["options"]), (&json!(2), &json!(["Size: S"])));
}

#[test]
fn positions_with_gaps_and_repetitions() {
    let lines = [
        product(json!({})),
        variant(30, json!({})),
        variant(9, json!({"position": 7})),
        variant(100, json!({"position": 2})),
        variant(20, json!({"position": 2})),
        variant(4, json!({})),
    ];
    let document = document(&lines);
    let ids: Vec<_> = document["variants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variant| variant["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["20", "100", "9", "4", "30"]);
}

#[test]
fn a_variant_without_id_counts_but_is_not_listed() {
    let nameless = json!({"sku": "A", "price": "3.00", "__parentId": "gid://shopify/Product/1"}).to_string();
    let transformed =
        run(&[product(json!({})), nameless.clone(), nameless, variant(11, json!({"price": "5"}))]);
    assert_eq!(codes(&transformed), [(Warning, "missing-variant-id")]);
    let document = only_document(&transformed);
    assert_eq!((&document["variant_count"], &document["price"]), (&json!(3), &json!(3.0)));
    assert_eq!(document["variants"].as_array().unwrap().len(), 1);
}

#[test]
fn a_variant_document_means_its_variant() {
    let shirt = |number: u64, size: &str, price: &str| {
        variant(
            number,
            json!({"title": size, "price": price, "sku": size, "barcode": "1", "position": number, "availableForSale": true, "inventoryQuantity": 2, "selectedOptions": [{"name": "Size", "value": size}]}),
        )
    };
    let own_care = metafield("custom.care", "single_line_text_field", "hot")
        .replace("gid://shopify/Product/1", "gid://shopify/ProductVariant/12");
    let lines = [
        product(json!({"tags": ["a"], "updatedAt": "2025-01-01T00:00:00Z"})),
        shirt(12, "M", "6"),
        shirt(11, "S", "5"),
        metafield("custom.care", "single_line_text_field", "cold"),
        own_care,
    ];
    let configuration = json!({"level": "variant", "options": {"Size": "size"}, "metafields": {"custom.care": {"field": "care"}}});
    let documents = documents(&run_with(&lines, configuration));
    assert_eq!(documents.iter().map(|(id, _)| &**id).collect::<Vec<_>>(), ["11", "12"]);
    let medium = &documents[1].1;
    assert_eq!(
        *medium,
        json!({"product_id": "1", "title": "Tee", "variant_id": "12", "variant_title": "M", "sku": "M", "barcode": "1", "price": 6.0, "on_sale": false,
            "available": true, "inventory_quantity": 2, "position": 12, "tags": ["a"], "options": ["Size: M"], "size": "M", "care": "hot",
            "updated_at": "2025-01-01T00:00:00Z", "variants": [{"id": "12", "title": "M", "sku": "M", "barcode": "1", "price": 6.0,
            "available": true, "inventory_quantity": 2, "position": 12, "attributes": {"Size": "M"}}]})
    );
    assert_eq!(documents[0].1["care"], "cold");
}
