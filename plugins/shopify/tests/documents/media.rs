//! Pictures, videos and models of products, and metafields.

use serde_json::{Value, json};

use shopify_plugin::Severity::Warning;

use crate::support::*;

fn medium(fields: Value) -> String {
    with(json!({"__parentId": "gid://shopify/Product/1"}), fields)
}

fn images(lines: &[String]) -> Value {
    let lines: Vec<String> = std::iter::once(product(json!({}))).chain(lines.iter().cloned()).collect();
    document(&lines).get("images").cloned().unwrap_or_default()
}

/// The field that a metafield becomes, or the code of the warning.
fn field(kind: &str, value: &str, wanted: Option<&str>) -> Result<Value, &'static str> {
    let rule = wanted.map_or(json!({"field": "care"}), |wanted| json!({"field": "care", "type": wanted}));
    let transformed = run_with(
        &[product(json!({})), metafield("custom.care", kind, value)],
        json!({"metafields": {"custom.care": rule}}),
    );
    match codes(&transformed).first() {
        Some((_, code)) => Err(code),
        None => Ok(only_document(&transformed).get("care").cloned().unwrap_or_default()),
    }
}

#[test]
fn videos_and_models_show_their_preview() {
    let preview = json!({"image": {"url": "https://a.example/preview.jpg"}});
    for (id, kind) in [("Video", "VIDEO"), ("ExternalVideo", "EXTERNAL_VIDEO"), ("Model3d", "MODEL_3D")] {
        let id = format!("gid://shopify/{id}/7");
        let with_preview = medium(
            json!({"id": id, "mediaContentType": kind, "preview": preview, "url": "https://a.example/film.mp4"}),
        );
        assert_eq!(images(&[with_preview]), json!(["https://a.example/preview.jpg"]));
        let without = medium(
            json!({"id": id, "mediaContentType": kind, "preview": {"image": null}, "url": "https://a.example/film.mp4"}),
        );
        assert_eq!(images(&[without]), Value::Null);
        let featured =
            product(json!({"featuredMedia": {"id": id, "mediaContentType": kind, "preview": preview}}));
        assert_eq!(document(&[featured])["image"], "https://a.example/preview.jpg");
    }
}

#[test]
fn pictures_that_are_not_ready() {
    for status in ["UPLOADED", "PROCESSING", "FAILED"] {
        let unfinished = medium(
            json!({"id": "gid://shopify/MediaImage/7", "status": status, "image": null, "preview": {"image": null}}),
        );
        assert_eq!(images(&[unfinished]), Value::Null);
        let stale = medium(
            json!({"id": "gid://shopify/MediaImage/7", "status": status, "image": {"url": "https://a.example/1.jpg"}}),
        );
        assert_eq!(images(&[stale]), Value::Null);
    }
    let ready = medium(
        json!({"id": "gid://shopify/MediaImage/7", "status": "READY", "image": {"url": "https://a.example/1.jpg"}}),
    );
    assert_eq!(images(&[ready]), json!(["https://a.example/1.jpg"]));
}

#[test]
fn addresses_of_pictures() {
    let lines = [
        picture(1, "//cdn.example/a.jpg?v=1743431166"),
        picture(2, "https://cdn.example/ü b.jpg?v=1&width=9"),
        picture(3, "https://cdn.example/a.jpg?v=1799999999"),
        picture(4, "data:image/png;base64,AA"),
    ];
    assert_eq!(
        images(&lines),
        json!(["https://cdn.example/a.jpg", "https://cdn.example/%C3%BC%20b.jpg?width=9"])
    );
    let with_versions = [product(json!({})), picture(1, "https://cdn.example/a.jpg?v=1")];
    let kept = document_with(&with_versions, json!({"image-versions": "keep"}));
    assert_eq!(kept["image"], "https://cdn.example/a.jpg?v=1");
}

#[test]
fn alt_texts_of_pictures() {
    let picture = |number: u64, alt: Value| {
        medium(
            json!({"id": format!("gid://shopify/MediaImage/{number}"), "alt": alt, "image": {"url": format!("https://a.example/{number}.jpg")}}),
        )
    };
    let long = "x".repeat(512);
    let lines = [
        product(json!({})),
        picture(1, json!(null)),
        picture(2, json!("")),
        picture(3, json!("<b>Front</b> &amp; back")),
        picture(4, json!(long)),
        picture(5, json!("front & BACK")),
    ];
    assert_eq!(document(&lines)["image_alts"], json!(["Front & back", long]));
}

#[test]
fn two_hundred_and_fifty_pictures() {
    let lines: Vec<String> = (0..250)
        .map(|number| {
            picture(
                number,
                &format!("https://cdn.shopify.com/s/files/1/0001/files/picture-{number}.jpg?v=17"),
            )
        })
        .collect();
    assert_eq!(images(&lines).as_array().unwrap().len(), 250);
    assert_eq!(images(&[]), Value::Null);
}

#[test]
fn pictures_of_both_kinds_of_line_are_listed_once_and_the_featured_one_first() {
    let lines = [
        product(
            json!({"featuredMedia": {"id": "gid://shopify/MediaImage/2", "image": {"url": "https://a.example/2.jpg?v=2"}}}),
        ),
        picture(1, "https://a.example/1.jpg?v=1"),
        picture(2, "https://a.example/2.jpg?v=1"),
        medium(
            json!({"id": "gid://shopify/ProductImage/91", "src": "https://a.example/1.jpg", "altText": "Side"}),
        ),
        medium(json!({"url": "https://a.example/3.jpg", "altText": "Back"})),
    ];
    let document = document(&lines);
    assert_eq!(
        document["images"],
        json!(["https://a.example/2.jpg", "https://a.example/1.jpg", "https://a.example/3.jpg"])
    );
    assert_eq!(document["image_alts"], json!(["Side", "Back"]));
}

#[test]
fn metafields_become_fields_only_by_configuration() {
    let lines = [
        product(json!({})),
        metafield("custom.care", "single_line_text_field", "cold"),
        metafield("app--123--x.internal.key-1", "single_line_text_field", "secret"),
    ];
    let plain = document(&lines);
    assert!(!plain.to_string().contains("cold") && !plain.to_string().contains("secret"));
    let configuration = json!({"metafields": {"app--123--x.internal.key-1": {"field": "internal"}}, "other-metafields": "list"});
    let chosen = document_with(&lines, configuration);
    assert_eq!(
        (&chosen["internal"], &chosen["metafields"]),
        (&json!("secret"), &json!(["custom.care: cold"]))
    );
}

#[test]
fn metafields_by_their_types() {
    let rich = json!({"type": "root", "children": [
        {"type": "heading", "level": 2, "children": [{"type": "text", "value": "Wash"}]},
        {"type": "paragraph", "children": [{"type": "text", "value": "co"}, {"type": "text", "bold": true, "value": "ld"}, {"type": "link", "url": "x", "children": [{"type": "text", "value": " here"}]}]},
        {"type": "list", "listType": "unordered", "children": [{"type": "list-item", "children": [{"type": "text", "value": "a"}]}, {"type": "list-item", "children": [{"type": "text", "value": "b"}]}]},
    ]}).to_string();
    for (kind, value, field_value) in [
        ("single_line_text_field", " cold ", json!("cold")),
        ("boolean", "true", json!(true)),
        ("number_integer", "-5", json!(-5)),
        ("number_decimal", "10", json!(10.0)),
        ("number_decimal", "1.123456789", json!(1.123456789)),
        ("date", "2022-02-02", json!("2022-02-02")),
        ("date_time", "2026-06-25T10:11:12+05:30", json!("2026-06-25T10:11:12+05:30")),
        ("dimension", r#"{"value":25.0,"unit":"CENTIMETERS"}"#, json!("25 CENTIMETERS")),
        ("new_unit_of_2027", r#"{"value":2.5,"unit":"PARSECS"}"#, json!("2.5 PARSECS")),
        ("money", r#"{"amount":"12.34","currency_code":"CAD"}"#, json!(12.34)),
        ("rating", r#"{"scale_min":"1.0","scale_max":"5.0","value":"4.5"}"#, json!(4.5)),
        ("link", r#"{"text":"Learn more","url":"https://a.example"}"#, json!("Learn more")),
        ("rich_text_field", &rich, json!("Wash cold here a b")),
        ("list.single_line_text_field", r#"["a"," ",null,"b "]"#, json!(["a", "b"])),
        ("list.number_decimal", r#"["10.4",2]"#, json!(["10.4", "2"])),
        ("list.dimension", r#"[{"value":25.0,"unit":"cm"}]"#, json!(["25 cm"])),
        ("list.product_reference", r#"["gid://shopify/Product/5"]"#, json!(["gid://shopify/Product/5"])),
        ("metaobject_reference", "gid://shopify/Metaobject/5", json!("gid://shopify/Metaobject/5")),
        ("json", r#""scalar""#, json!("scalar")),
        ("json", r#"{"a": [1, 2]}"#, json!(r#"{"a": [1, 2]}"#)),
        ("integer", "7", json!(7)),
        ("from_the_future", "{not json", json!("{not json")),
        ("list.single_line_text_field", "[]", json!(null)),
        ("single_line_text_field", "", json!(null)),
    ] {
        assert_eq!(field(kind, value, None), Ok(field_value), "{kind} {value}");
    }
}

#[test]
fn values_that_their_type_does_not_allow() {
    for (kind, value) in [
        ("json", "{broken"),
        ("list.single_line_text_field", "a, b"),
        ("list.single_line_text_field", "{}"),
        ("rich_text_field", "plain"),
        ("money", "{}"),
        ("rating", "4.5"),
        ("dimension", "{\"value\":"),
        ("boolean", "perhaps"),
        ("number_integer", "1.5"),
        ("number_decimal", "NaN"),
    ] {
        assert_eq!(field(kind, value, None), Err("invalid-metafield"), "{kind} {value}");
    }
}

#[test]
fn fields_of_a_configured_type() {
    for (kind, value, wanted, field_value) in [
        ("number_integer", "5", "text", Ok(json!("5"))),
        ("number_integer", "5", "number", Ok(json!(5.0))),
        ("single_line_text_field", "5.0", "integer", Ok(json!(5))),
        ("single_line_text_field", "red", "list", Ok(json!(["red"]))),
        ("list.single_line_text_field", r#"["a","b"]"#, "text", Ok(json!("a, b"))),
        ("json", r#"["a",1]"#, "list", Ok(json!(["a", "1"]))),
        ("single_line_text_field", "TRUE", "boolean", Ok(json!(true))),
        ("weight", r#"{"value":"2.5","unit":"KILOGRAMS"}"#, "number", Ok(json!(2.5))),
        ("single_line_text_field", "heavy", "number", Err("invalid-metafield")),
        ("single_line_text_field", "inf", "number", Err("invalid-metafield")),
        ("number_decimal", "1.5", "integer", Err("invalid-metafield")),
        ("number_integer", "2", "boolean", Err("invalid-metafield")),
        ("money", r#"{"amount":"12.34","currency_code":"CAD"}"#, "text", Ok(json!("12.34 CAD"))),
        ("list.money", r#"[{"amount":"12.34","currency_code":"CAD"}]"#, "list", Ok(json!(["12.34 CAD"]))),
        // An index takes no list of numbers, but one of them.
        ("list.number_decimal", r#"["10.4"]"#, "number", Ok(json!(10.4))),
        ("list.number_integer", "[3]", "integer", Ok(json!(3))),
        ("list.number_integer", "[3,4]", "integer", Err("invalid-metafield")),
    ] {
        assert_eq!(field(kind, value, Some(wanted)), field_value, "{kind} {value} as {wanted}");
    }
}

#[test]
fn a_number_keeps_its_kind_in_every_document() {
    let configuration = json!({"metafields": {"custom.care": {"field": "care", "type": "number"}}});
    let transformed =
        run_with(&[product(json!({})), metafield("custom.care", "number_integer", "20")], configuration);
    assert!(transformed.documents[0].fields.contains(r#""care":20.0"#), "{transformed:?}");
}

#[test]
fn the_same_key_in_two_namespaces_and_twice_in_one() {
    let aged = |value: &str, day: u8| {
        with(
            json!({"namespace": "custom", "key": "care", "value": value, "updatedAt": format!("2025-01-0{day}T00:00:00Z")}),
            json!({"__parentId": "gid://shopify/Product/1"}),
        )
    };
    let lines = [
        product(json!({})),
        metafield("other.care", "single_line_text_field", "hot"),
        aged("new", 3),
        aged("old", 2),
    ];
    let configuration =
        json!({"metafields": {"custom.care": {"field": "care"}, "other.care": {"field": "other_care"}}});
    let document = document_with(&lines, configuration);
    assert_eq!((&document["care"], &document["other_care"]), (&json!("new"), &json!("hot")));
}

#[test]
fn a_broken_metafield_does_not_cost_the_product() {
    let configuration = json!({"metafields": {"custom.care": {"field": "care"}}});
    let transformed =
        run_with(&[product(json!({})), metafield("custom.care", "json", "{broken")], configuration);
    assert_eq!(codes(&transformed), [(Warning, "invalid-metafield")]);
    assert_eq!(
        transformed.issues[0].message,
        "product 1: the metafield custom.care was omitted because its value is not valid JSON: key must be a string at line 1 column 2; correct it in the shop, or configure another type for its field"
    );
    assert_eq!(only_document(&transformed)["title"], "Tee");
}
