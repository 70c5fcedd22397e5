//! What holds for every export, however it is ordered, spelled or broken.

use proptest::prelude::*;
use serde_json::{Value, json};
use shopify_plugin::{Config, Transformed, transform};

use crate::support::*;

/// A product as a bulk export has it: its own line, then its children with those of a variant below it.
fn export() -> impl Strategy<Value = Vec<String>> {
    let text = "[a-zéß日😀 <>&;/\"\\\\\u{0}\u{7}\u{FEFF}]{0,12}";
    let variants = prop::collection::vec(
        (text, 0u32..5_000, prop::option::of(0u32..4), prop::collection::vec(0i64..9, 0..3)),
        0..5,
    );
    let metafields = prop::collection::vec(("[a-c]", "[a-c]", text), 0..5);
    (text, text, variants, 0u64..5, metafields, prop::option::of(text)).prop_map(|(title, html, variants, pictures, metafields, tag)| {
        let parent = "gid://shopify/Product/1";
        let amount = json!({"amount": "1.0", "currencyCode": "EUR"});
        let root = json!({"id": parent, "title": title, "descriptionHtml": html, "tags": [tag], "updatedAt": "2025-01-01T00:00:00Z",
            "vendor": text_of_length(pictures), "handle": "tee", "status": "ACTIVE", "publishedAt": null, "onlineStoreUrl": "https://a.example/tee",
            "seo": {"title": "S", "description": "D"}, "category": {"fullName": "A > B", "name": "B"}, "isGiftCard": false,
            "priceRangeV2": {"minVariantPrice": amount, "maxVariantPrice": amount}, "totalInventory": 5, "tracksInventory": true,
            "featuredMedia": {"image": {"url": "https://a.example/featured.jpg"}}});
        let mut lines = vec![root];
        for (number, (text, cents, position, levels)) in (10..).zip(variants) {
            let id = format!("gid://shopify/ProductVariant/{number}");
            lines.push(json!({"id": id, "title": text, "price": format!("{}.{:02}", cents / 100, cents % 100), "position": position,
                "selectedOptions": [{"name": "Size", "value": text}], "sku": format!("S{number}"), "availableForSale": cents % 2 == 0, "__parentId": parent}));
            for available in levels {
                lines.push(json!({"available": available, "location": {"name": "Here"}, "__parentId": id}));
            }
            lines.push(json!({"id": format!("gid://shopify/Metafield/{number}"), "namespace": "a", "key": "b", "value": text, "type": "x", "__parentId": id}));
        }
        for number in 0..pictures {
            lines.push(json!({"id": format!("gid://shopify/MediaImage/{number}"), "alt": "A", "status": "READY", "image": {"url": format!("https://a.example/{number}.jpg")}, "__parentId": parent}));
        }
        for (number, (namespace, key, value)) in (50..).zip(metafields) {
            lines.push(json!({"id": format!("gid://shopify/Metafield/{number}"), "namespace": namespace, "key": key, "value": value, "__parentId": parent}));
        }
        lines.push(json!({"id": "gid://shopify/Collection/2", "title": "B", "__parentId": parent}));
        lines.push(json!({"id": "gid://shopify/Collection/1", "title": "A", "__parentId": parent}));
        lines.iter().map(Value::to_string).collect()
    })
}

/// Number, value, other value, day and whether it is of the product itself.
type Contradiction = (u64, String, Option<String>, Option<u8>, bool);

fn text_of_length(length: u64) -> String {
    (0..length).map(|_| 'v').collect()
}

/// The lines with the fields of each spread over several copies, some of which say in another way whose they are.
fn spread(lines: &[String], mut choose: impl FnMut(usize) -> usize) -> Vec<String> {
    let mut copies = Vec::new();
    let mut nested = Vec::new();
    for line in lines {
        let whole: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
        // Nothing tells whose copy a record without id is.
        let Some(id) = whole.get("id") else {
            copies.push(line.clone());
            continue;
        };
        let is_variant = id.as_str().unwrap().contains("ProductVariant");
        let count = 1 + choose(3);
        let mut parts: Vec<serde_json::Map<String, Value>> = vec![serde_json::Map::new(); count];
        for (name, value) in whole.iter().filter(|(name, _)| !["id", "__parentId"].contains(&name.as_str())) {
            parts[choose(count)].insert(name.clone(), value.clone());
            if choose(4) == 0 {
                parts[choose(count)].insert(name.clone(), value.clone());
            }
        }
        for mut part in parts {
            part.insert("id".into(), id.clone());
            match (whole.get("__parentId"), if is_variant { choose(4) } else { 0 }) {
                (Some(parent), 0) => drop(part.insert("__parentId".into(), parent.clone())),
                (Some(parent), 1) => drop(part.insert("product".into(), json!({"id": parent}))),
                (Some(_), 2) => {
                    nested.push(Value::Object(part));
                    continue;
                }
                _ => {}
            }
            copies.push(Value::Object(part).to_string());
        }
    }
    for (at, variant) in nested.into_iter().enumerate() {
        let list = if at % 2 == 0 { json!([variant]) } else { json!({"nodes": [variant]}) };
        copies.push(json!({"id": "gid://shopify/Product/1", "variants": list}).to_string());
    }
    copies
}

fn configuration() -> Config {
    config(
        json!({"metafields": {"a.a": {"field": "a"}, "b.c": {"field": "b", "type": "list"}}, "other-metafields": "list", "options": {"size": "size"}}),
    )
}

fn transformed(lines: &[String]) -> Transformed {
    transform(&[lines.join("\n")], &configuration())
}

proptest! {
    #[test]
    fn the_order_of_lines_does_not_matter(lines in export().prop_flat_map(|lines| (Just(lines.clone()), Just(lines).prop_shuffle()))) {
        let (lines, shuffled) = lines;
        prop_assert_eq!(transformed(&lines), transformed(&shuffled));
    }

    #[test]
    fn the_same_fields_in_several_sources_give_the_same_document(
        lines in export(), level in prop::sample::select(vec!["product", "variant"]), choices in prop::collection::vec(any::<prop::sample::Index>(), 64), seed in any::<u64>()
    ) {
        let mut at = 0;
        let spread = spread(&lines, |length| { at += 1; choices[at % choices.len()].index(length) });
        let mut shuffled: Vec<(u64, String)> = (1..).zip(spread).map(|(at, line)| {
            (u64::wrapping_mul(at, seed | 1).rotate_left(17).wrapping_mul(0x9E37_79B9_7F4A_7C15), line)
        }).collect();
        shuffled.sort();
        let spread: Vec<String> = shuffled.into_iter().map(|(_, line)| line).collect();
        let config = config(json!({"level": level, "metafields": {"a.b": {"field": "b"}}, "other-metafields": "list", "options": {"size": "size"}}));
        prop_assert_eq!(transform(&[lines.join("\n")], &config), transform(&[spread.join("\n")], &config), "{}", spread.join("\n"));
    }

    #[test]
    fn copies_that_contradict_each_other_merge_alike_in_any_order(
        copies in prop::collection::vec((1u64..3, "[ab]", prop::option::of("[ab]"), prop::option::of(1u8..4), any::<bool>()), 0..6).prop_flat_map(|copies| (Just(copies.clone()), Just(copies).prop_shuffle()))
    ) {
        let lines = |copies: &[Contradiction]| -> Vec<String> {
            copies.iter().map(|(number, title, other, day, of_product)| {
                let updated = day.map(|day| format!("2025-01-0{day}T00:00:00Z"));
                let mut line = json!({"id": format!("gid://shopify/ProductVariant/{number}"), "title": title, "updatedAt": updated, "__parentId": "gid://shopify/Product/1"});
                if *of_product {
                    line["id"] = json!("gid://shopify/Product/1");
                    line["status"] = json!(if title == "a" { "DRAFT" } else { "ACTIVE" });
                    line["variants"] = json!([{"id": number, "title": other}]);
                    line.as_object_mut().unwrap().remove("__parentId");
                } else if let Some(other) = other {
                    line["sku"] = json!(other);
                }
                line.to_string()
            }).chain([product(json!({}))]).collect()
        };
        let (copies, shuffled) = copies;
        prop_assert_eq!(transformed(&lines(&copies)), transformed(&lines(&shuffled)));
    }

    #[test]
    fn spellings_of_the_same_json_do_not_matter(lines in export()) {
        let escaped: Vec<String> = lines.iter().map(|line| line.replace('/', "\\/").replace('<', "\\u003c").replace('>', "\\u003E").replace('&', "\\u0026").replace('é', "\\u00e9").replace('😀', "\\ud83d\\ude00").replace("title", "t\\u0069tle")).collect();
        prop_assert_eq!(transformed(&lines), transformed(&escaped));
        let spaced: Vec<String> = lines.iter().map(|line| format!("  {line} \t\r")).collect();
        prop_assert_eq!(transformed(&lines), transformed(&spaced));
    }

    #[test]
    fn documents_are_such_as_an_index_takes(lines in export(), level in prop::sample::select(vec!["product", "variant"])) {
        let everything = json!({
            "level": level, "other-metafields": "list", "add": ["*"], "option-fields": "{name}", "rename": {"title": "name", "price": "amount"},
            "copy": {"description": ["text", "words"], "tags": "labels"}, "omit": ["handle"], "constants": {"source": "shopify"},
            "metafields": {"a.a": {"field": "a", "unit": "kg", "currency-field": "a_currency"}}, "image-width": 800,
        });
        let transformed = transform(&[lines.join("\n")], &config(everything));
        for document in &transformed.documents {
            let fields: Value = serde_json::from_str(&document.fields).unwrap();
            prop_assert_eq!(check_for_index(&fields), Ok(()));
        }
    }

    #[test]
    fn one_child_less_never_costs_the_product(lines in export(), drop in any::<prop::sample::Index>()) {
        let mut lines = lines;
        lines.remove(1 + drop.index(lines.len() - 1));
        prop_assert_eq!(transformed(&lines).documents.len(), 1);
    }

    #[test]
    fn cut_input_never_panics(lines in export(), cut in any::<prop::sample::Index>()) {
        let text = lines.join("\n");
        let end = (0..=cut.index(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        transform(&[&text[..end], &text[end..]], &configuration());
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        transform(&[&text], &configuration());
        Config::from_json(&text).ok();
    }

    #[test]
    fn arbitrary_texts_in_every_field_never_panic(text in any::<String>(), markup in "[<>/!&#;a-c\"'= \\-é\u{0}]{0,40}") {
        for text in [text, markup] {
            let lines = [
                product(json!({"title": text, "descriptionHtml": text, "handle": text, "status": text, "updatedAt": text, "publishedAt": text, "onlineStoreUrl": text, "tags": text})),
                product(json!({"title": text, "descriptionHtml": text, "handle": text, "tags": [text], "vendor": text, "updatedAt": text})),
                variant(11, json!({"price": text, "compareAtPrice": text, "position": text, "sku": text, "selectedOptions": [{"name": text, "value": text}], "image": {"url": text}})),
                metafield("a.a", &text, &text), metafield("b.c", "list.x", &json!([text]).to_string()), picture(3, &text),
            ];
            for document in transformed(&lines).documents {
                let fields: Value = serde_json::from_str(&document.fields).unwrap();
                prop_assert_eq!(check_for_index(&fields), Ok(()));
            }
        }
    }

    #[test]
    fn arbitrary_json_never_panics(depth in 0usize..200, text in any::<String>()) {
        let nested = format!("{{\"id\":1,\"title\":{}{}{}}}", "[".repeat(depth), serde_json::to_string(&text).unwrap(), "]".repeat(depth));
        transform(&[nested], &configuration());
    }
}
