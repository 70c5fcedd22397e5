//! How lines, characters and numbers of an export are read.

use serde_json::json;
use shopify_plugin::Severity::{Error, Warning};
use shopify_plugin::{Config, transform};

use crate::support::*;

#[test]
fn byte_order_mark_at_the_start() {
    let line = format!("\u{FEFF}{}", product(json!({})));
    assert_eq!(document(&[line])["title"], "Tee");
}

#[test]
fn invisible_characters_inside_text() {
    let line = product(
        json!({"title": "\u{FEFF}Zero\u{200B}width\u{2060} and soft\u{AD}hyphen", "descriptionHtml": "a\u{FEFF}b\u{200B}c"}),
    );
    let document = document(&[line]);
    assert_eq!(document["title"], "Zerowidth and softhyphen");
    assert_eq!(document["description"], "abc");
}

#[test]
fn carriage_returns_at_line_ends() {
    let lines = [product(json!({})) + "\r", variant(11, json!({"price": "1.00"})) + "\r"];
    assert_eq!(document(&lines)["price"], 1.0);
    let line = product(json!({"descriptionHtml": "a\r\nb\rc"}));
    assert_eq!(document(&[line])["description"], "a b c");
}

#[test]
fn blank_lines() {
    let lines = [
        String::new(),
        product(json!({})),
        "   ".into(),
        variant(11, json!({"price": "1.00"})),
        String::new(),
    ];
    assert_eq!(document(&lines)["variant_count"], 1);
}

#[test]
fn a_line_cut_anywhere_is_no_record() {
    let root = product(json!({"title": "T\u{e9}e \u{1F600}"}));
    let child = variant(11, json!({"title": "Größe / 日本 \u{1F600}", "price": "1.00"}));
    let escaped = child.replace('/', "\\/").replace("Größe", "Gr\\u00f6\\u00dfe");
    let end = escaped.char_indices().map(|(at, _)| at).skip(1);
    for cut in end.filter(|cut| *cut < escaped.len()) {
        let transformed = run(&[root.clone(), escaped[..cut].to_owned()]);
        assert_eq!(codes(&transformed), [(Warning, "invalid-record")], "{}", &escaped[..cut]);
        assert_eq!(only_document(&transformed)["title"], "Tée 😀");
    }
    for cut in (1..root.len()).filter(|cut| root.is_char_boundary(*cut)) {
        assert_eq!(codes(&run(&[root[..cut].to_owned()])), [(Error, "invalid-product")]);
    }
}

#[test]
fn no_line_end_after_the_last_line() {
    let text = format!("{}\n{}", product(json!({})), variant(11, json!({"price": "1.00"})));
    let config = Config::default();
    assert_eq!(transform(&[&text], &config), transform(&[&format!("{text}\n")], &config));
}

#[test]
fn a_line_that_is_not_json() {
    let transformed =
        run(&[product(json!({})), "<html>502 Bad Gateway</html>".into(), variant(11, json!({"price": "1"}))]);
    assert_eq!(codes(&transformed), [(Warning, "invalid-record")]);
    assert!(transformed.issues[0].message.starts_with("product 1: line 2 was omitted"), "{transformed:?}");
    assert_eq!(only_document(&transformed)["variant_count"], 1);
    assert_eq!(codes(&run(&["not-json-line".into()])), [(Error, "invalid-product")]);
}

#[test]
fn json_that_is_no_object() {
    for line in ["[]", "1", "\"text\"", "null", "true"] {
        assert_eq!(codes(&run(&[line.into()])), [(Error, "invalid-product")], "{line}");
        assert_eq!(codes(&run(&[product(json!({})), line.into()])), [(Warning, "invalid-record")], "{line}");
    }
}

#[test]
fn lone_surrogates_become_replacement_characters() {
    let line = product(json!({"descriptionHtml": "<p>HERE</p>"}))
        .replace("Tee", "T\\ud83dee")
        .replace("HERE", "a\\udc00b\\ud83d\\ude00");
    let lines =
        [line, metafield("custom.care", "single_line_text_field", "VALUE").replace("VALUE", "x\\ud800")];
    let document = document_with(&lines, json!({"metafields": {"custom.care": {"field": "care"}}}));
    assert_eq!(document["title"], "T\u{FFFD}ee");
    assert_eq!(document["description"], "a\u{FFFD}b😀");
    assert_eq!(document["care"], "x\u{FFFD}");
    // The same in a metafield alone, which is read later than the rest.
    let lines = [
        product(json!({})),
        metafield("custom.care", "single_line_text_field", "VALUE").replace("VALUE", "x\\ud800"),
    ];
    assert_eq!(
        document_with(&lines, json!({"metafields": {"custom.care": {"field": "care"}}}))["care"],
        "x\u{FFFD}"
    );
}

#[test]
fn very_long_lines() {
    let huge = json!({"text": "<".repeat(2_000_000)}).to_string();
    let lines = [
        product(json!({"descriptionHtml": "<p>long text </p>".repeat(40_000)})),
        metafield("app.data", "json", &huge),
    ];
    let transformed = run_with(&lines, json!({"metafields": {"app.data": {"field": "data"}}}));
    assert_eq!(codes(&transformed), [(Warning, "shortened")]);
    let document = only_document(&transformed);
    assert_eq!(check_for_index(&document), Ok(()));
    assert_eq!(document["description"].as_str().unwrap().len(), 19_999, "the cut fell after a space");
}

#[test]
fn of_a_key_that_occurs_twice_the_last_counts() {
    let line = r#"{"id":"gid://shopify/Product/2","title":"Old","tags":["x"],"title":"New","id":"gid://shopify/Product/1","tags":["y"]}"#;
    let transformed = run(&[line.into()]);
    assert_eq!(transformed.documents[0].id, "1");
    let document = only_document(&transformed);
    assert_eq!((&document["title"], &document["tags"]), (&json!("New"), &json!(["y"])));
}

#[test]
fn numbers_that_floats_cannot_hold() {
    let line = r#"{"id":788032119674292922,"title":"Tee","variants":[{"id":18446744073709551615,"price":1e3,"position":1.0,"inventory_quantity":-0}]}"#;
    let transformed = run(&[line.into()]);
    assert_eq!(transformed.documents[0].id, "788032119674292922");
    let document = only_document(&transformed);
    assert_eq!(document["variants"][0]["id"], "18446744073709551615");
    assert_eq!(document["price"], 1000.0);
    assert_eq!(document["variants"][0]["position"], 1);
    // A number that JSON readers round is not an id.
    for id in ["1e30", "1.5", "-7", "123456789012345678901234567890.5"] {
        let transformed = run(&[format!(r#"{{"id":{id},"title":"Tee"}}"#)]);
        assert_eq!(codes(&transformed), [(Error, "missing-id")], "{id}");
    }
}

#[test]
fn the_same_lines_twice_give_the_same_document() {
    let lines = [
        product(json!({"updatedAt": "2025-01-01T00:00:00Z"})),
        variant(11, json!({"price": "1"})),
        picture(5, "https://a.example/1.jpg"),
    ];
    let twice: Vec<String> = lines.iter().chain(&lines).cloned().collect();
    assert_eq!(run(&lines), run(&twice));
    let nested = product(
        json!({"variants": [{"price": "1", "sku": "A"}], "images": [{"src": "https://a.example/1.jpg"}],
        "metafields": [{"namespace": "a", "key": "b", "value": "c"}], "collections": [{"title": "Sale"}]}),
    );
    assert_eq!(run(std::slice::from_ref(&nested)), run(&[nested.clone(), nested]));
}

#[test]
fn control_characters_are_dropped_everywhere() {
    let control = "a\u{1}b\u{8}c\u{E}d\u{1F}e\u{FFFE}f\u{FFFF}g\u{1FFFE}h";
    let lines = [
        product(json!({
            "title": control, "handle": control, "vendor": control, "productType": control, "tags": [control],
            "descriptionHtml": control, "updatedAt": control, "category": {"fullName": control},
            "seo": {"title": control, "description": control},
        })),
        variant(
            11,
            json!({"title": control, "sku": control, "barcode": control, "selectedOptions": [{"name": control, "value": control}]}),
        ),
        metafield("custom.care", "single_line_text_field", control),
        metafield("custom.list", "list.single_line_text_field", &json!([control]).to_string()),
    ];
    let configuration = json!({"metafields": {"custom.care": {"field": "care"}}, "other-metafields": "list"});
    let document = document_with(&lines, configuration);
    assert_eq!(check_for_index(&document), Ok(()));
    let json = document.to_string();
    assert!(!json.contains("\\u"), "{json}");
    assert_eq!(document["title"], "abcdefgh");
    assert_eq!(document["variants"][0]["attributes"]["abcdefgh"], "abcdefgh");
}
