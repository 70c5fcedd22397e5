//! Sources that are not whole exports: what is refused before a product is yielded, and which products lost a line.

use super::{by_parent, tiny};
use host_export::{Export, ExportError, ExportItem, Mode, Options};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

/// The products of an export by their first line, those that are not damaged.
fn whole_products(export: &[u8]) -> Result<BTreeMap<String, Vec<String>>, ExportError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export.jsonl");
    std::fs::write(&path, export).unwrap();
    let mut products = BTreeMap::new();
    let options = tiny(Mode::Auto, dir.path());
    for item in Export::open(&[path.display().to_string()], options)?.scan(&by_parent())?.into_products() {
        if let ExportItem::Product { product, is_damaged: false, .. } = item? {
            let mut lines: Vec<String> = product.text.lines().map(str::to_owned).collect();
            let first = lines[0].clone();
            lines.sort();
            products.insert(first, lines);
        }
    }
    Ok(products)
}

/// Fails if a product that counts as whole is none of the whole export.
fn check(whole: &[u8], damaged: &[u8]) -> Result<(), TestCaseError> {
    let expected = whole_products(whole).unwrap();
    for (first, lines) in whole_products(damaged).unwrap_or_default() {
        prop_assert_eq!(expected.get(&first), Some(&lines));
    }
    Ok(())
}

/// Products with variants and metafields of variants, as lines.
fn lines() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop::collection::vec(0..3_usize, 0..4), 1..6).prop_map(|products| {
        let mut lines = Vec::new();
        for (product, variants) in products.iter().enumerate() {
            let id = format!("gid://shopify/Product/{product}");
            lines.push(json!({ "id": id, "title": "a \"b\"" }).to_string().replace('/', "\\/"));
            for (variant, metafields) in variants.iter().enumerate() {
                let own = format!("gid://shopify/ProductVariant/{product}{variant}");
                let line = json!({ "id": own, "price": "1.00", "__parentId": id });
                lines.push(line.to_string().replace('/', "\\/"));
                for metafield in 0..*metafields {
                    lines.push(json!({ "key": metafield, "__parentId": own }).to_string());
                }
            }
        }
        lines
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_grouped_export_that_is_cut_has_no_product_that_lost_a_line_unnoticed(
        lines in lines(), cut in any::<prop::sample::Index>()
    ) {
        let whole = lines.join("\n").into_bytes();
        let end = cut.index(whole.len());
        // A cut at the end of a line cannot be seen in the file alone.
        prop_assume!(!whole[..end].ends_with(b"}") && !whole[..end].ends_with(b"}\n"));
        check(&whole, &whole[..end])?;
    }

    #[test]
    fn a_grouped_export_with_a_damaged_byte_has_no_product_that_lost_a_line_unnoticed(
        lines in lines(), at in any::<prop::sample::Index>()
    ) {
        let whole = lines.join("\n").into_bytes();
        let mut damaged = whole.clone();
        damaged[at.index(whole.len())] = 0xff;
        check(&whole, &damaged)?;
    }

    #[test]
    fn lines_in_any_order_with_a_damaged_byte_have_no_product_that_lost_a_line_unnoticed(
        lines in lines(), keys in prop::collection::vec(any::<u32>(), 60), at in any::<prop::sample::Index>()
    ) {
        let mut shuffled: Vec<_> = lines.iter().zip(keys).collect();
        shuffled.sort_by_key(|(_, key)| *key);
        let shuffled: Vec<&str> = shuffled.into_iter().map(|(line, _)| line.as_str()).collect();
        let whole = shuffled.join("\n").into_bytes();
        let at = at.index(whole.len());
        // Nothing else tells to which product a line belongs than its parent's id, which is quoted.
        let parent_ids = memchr::memmem::find_iter(&whole, b"\"__parentId\":\"").map(|key| {
            let value = key + "\"__parentId\":".len();
            let length = whole[value + 1..].iter().position(|byte| *byte == b'"').unwrap();
            value..value + length + 2
        });
        prop_assume!(!parent_ids.into_iter().any(|value| value.contains(&at)));
        let mut damaged = whole.clone();
        damaged[at] = 0xff;
        check(&whole, &damaged)?;
    }

    #[test]
    fn lines_in_any_order_that_are_cut_are_refused(lines in lines(), cut in any::<prop::sample::Index>()) {
        let mut reversed = lines;
        reversed.reverse();
        reversed.insert(0, json!({ "id": "late", "__parentId": "gid://shopify/Product/0" }).to_string());
        let whole = reversed.join("\n").into_bytes();
        let end = cut.index(whole.len());
        prop_assume!(!whole[..end].ends_with(b"}") && !whole[..end].ends_with(b"}\n") && end > 0);
        let refused = whole_products(&whole[..end]);
        let is_refused = matches!(refused, Err(ExportError::CutOff { .. } | ExportError::NoRecords { .. }));
        prop_assert!(is_refused);
    }
}

/// Regression: an export that is not grouped begins with its products alone. One that was cut there was taken for grouped,
/// and its products were published without their variants.
#[test]
fn an_export_that_is_cut_before_any_child_is_refused() {
    let products =
        b"{\"id\":\"gid://shopify/Product/1\"}\n{\"id\":\"gid://shopify/Product/2\"}\n{\"id\":\"gid://sh";
    assert!(matches!(whole_products(products), Err(ExportError::CutOff { line: 3, .. })));
    let grouped = b"{\"id\":\"gid://shopify/Product/1\",\"title\":\"a\"}\n\
        {\"id\":\"gid://shopify/ProductVariant/1\",\"__parentId\":\"gid://shopify/Product/1\"}\n{\"id\":\"gid://sh";
    assert!(whole_products(grouped).is_ok());
}

/// Regression: a line whose parent's id was damaged was an orphan, and its product was published without it.
#[test]
fn a_product_with_an_orphan_among_its_lines_is_not_whole() {
    let line = |id: &str, parent: &str| format!("{{\"id\":\"{id}\",\"__parentId\":\"{parent}\"}}\n");
    let [one, two] = ["gid://shopify/Product/1", "gid://shopify/Product/2"];
    let root = |id: &str| format!("{{\"id\":\"{id}\",\"title\":\"a\"}}\n");
    for (lines, whole) in [
        ([root(one), line("v1", "gid://sh"), line("v2", one), root(two)].concat(), vec![two]),
        ([root(one), line("v2", one), line("v1", "gid://sh"), root(two)].concat(), vec![one, two]),
        ([root(one), line("v2", one), root(two), line("v1", "gid://sh")].concat(), vec![one, two]),
    ] {
        let products = whole_products(lines.as_bytes()).unwrap();
        let expected: Vec<String> = whole.into_iter().map(|id| root(id).trim_end().to_owned()).collect();
        assert_eq!(products.into_keys().collect::<Vec<_>>(), expected, "{lines}");
    }
}

/// The message for a source with this content.
fn refusal(content: &[u8], max_skipped_share: f64) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export");
    std::fs::write(&path, content).unwrap();
    let options = Options { max_skipped_share, ..tiny(Mode::Auto, dir.path()) };
    let scanned = Export::open(&[path.display().to_string()], options)
        .and_then(|export| export.scan(&by_parent()).map(drop));
    match scanned {
        Ok(()) => "read".to_owned(),
        Err(error) => error.to_string().replace(&path.display().to_string(), "export"),
    }
}

#[test]
fn a_source_without_records_is_refused_with_what_it_looks_like() {
    let gzip_in_gzip = super::forms::gzip(&super::forms::gzip(b"{\"id\":1}\n"));
    let utf16: Vec<u8> = "{\"id\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let messages: Vec<String> = [
        b"<!DOCTYPE html>\n<html>\n</html>\n".as_slice(),
        b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code></Error>",
        b"upstream connect error\n",
        b"Handle,Title\nmug,Mug\n",
        b"{'id': 'gid://shopify/Product/1'}\n",
        br#""{\"id\":1}""#,
        b"null\n",
        b"{\"id\":1",
        b"{\"errors\":[{\"message\":\"Throttled\"}]}",
        b"[{\"id\":1},{\"id\"",
        b"[{\"id\":1},{\"id\" 2}]",
        b"{\"data\":{\"productUpdate\":{\"userErrors\":[]}}}",
        &gzip_in_gzip,
        &utf16,
    ]
    .into_iter()
    .map(|content| refusal(content, 0.1))
    .collect();
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn more_bad_lines_than_the_share_are_refused_from_ten_on() {
    let export = |good: usize, bad: usize| {
        let good: String = (0..good).map(|id| format!("{{\"id\":\"p{id}\"}}\n")).collect();
        (good + &"not JSON\n".repeat(bad)).into_bytes()
    };
    assert_eq!(refusal(&export(1, 9), 0.1), "read");
    assert_eq!(refusal(&export(90, 10), 0.1), "read");
    insta::assert_snapshot!(refusal(&export(89, 10), 0.1), @"10 of 99 lines of `export` are no records, more than 10 %, the first of them `not JSON`; export it again, or raise `ingest.max_skipped_share` if the rest is right");
    assert_eq!(refusal(&export(1, 10), 1.0), "read");
    assert!(refusal(&export(100, 10), 0.0).contains("10 of 110 lines"));
}

#[test]
fn records_of_an_array_and_of_pages_are_grouped_like_lines() {
    let product = r#"{"id":"a"}"#;
    let variant = r#"{"id":"v","__parentId":"a"}"#;
    for content in [
        format!("[{product},{variant}]"),
        format!("[\n  {product},\n  {variant}\n]\n"),
        format!("{product}{variant}"),
        format!("{{\"products\":[{product}]}}\n{{\"products\":[{variant}]}}\n"),
    ] {
        for content in [content.clone().into_bytes(), super::forms::gzip(content.as_bytes())] {
            let products = whole_products(&content).unwrap();
            assert_eq!(products.into_values().collect::<Vec<_>>(), [[product, variant]]);
        }
    }
}
