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
        let root = json!({"id": parent, "title": title, "descriptionHtml": html, "tags": [tag], "updatedAt": "2025-01-01T00:00:00Z",
            "featuredMedia": {"image": {"url": "https://a.example/featured.jpg"}}});
        let mut lines = vec![root];
        for (number, (text, cents, position, levels)) in (10..).zip(variants) {
            let id = format!("gid://shopify/ProductVariant/{number}");
            lines.push(json!({"id": id, "title": text, "price": format!("{}.{:02}", cents / 100, cents % 100), "position": position,
                "selectedOptions": [{"name": "Size", "value": text}], "__parentId": parent}));
            for available in levels {
                lines.push(json!({"available": available, "location": {"id": "gid://shopify/Location/1"}, "__parentId": id}));
            }
        }
        for number in 0..pictures {
            lines.push(json!({"id": format!("gid://shopify/MediaImage/{number}"), "alt": "", "image": {"url": format!("https://a.example/{number}.jpg")}, "__parentId": parent}));
        }
        for (number, (namespace, key, value)) in (50..).zip(metafields) {
            lines.push(json!({"id": format!("gid://shopify/Metafield/{number}"), "namespace": namespace, "key": key, "value": value, "__parentId": parent}));
        }
        lines.push(json!({"id": "gid://shopify/Collection/2", "title": "B", "__parentId": parent}));
        lines.push(json!({"id": "gid://shopify/Collection/1", "title": "A", "__parentId": parent}));
        lines.iter().map(Value::to_string).collect()
    })
}

fn configuration() -> Config {
    config(
        json!({"metafields": {"a.a": {"field": "a"}, "b.c": {"field": "b", "type": "list"}}, "other-metafields": "list", "options": {"size": "size"}}),
    )
}

fn transformed(lines: &[String]) -> Transformed {
    transform(&[lines.join("\n")], &configuration())
}

/// Whether a line is a picture, for shuffles that keep the order among pictures.
fn is_picture(line: &str) -> bool {
    line.contains("MediaImage/")
}

proptest! {
    #[test]
    fn the_order_of_children_does_not_matter(lines in export(), seed in any::<u64>()) {
        // A shuffle that keeps pictures in their order, which is the order in which a shop shows them.
        let mut shuffled: Vec<(u64, &String)> = lines.iter().enumerate().map(|(at, line)| {
            let mixed = (at as u64 + 1).wrapping_mul(seed | 1).rotate_left(17).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            (mixed, line)
        }).collect();
        shuffled.sort();
        let mut pictures = lines.iter().filter(|line| is_picture(line));
        let reordered: Vec<String> = shuffled.iter().map(|(_, line)| {
            if is_picture(line) { pictures.next().unwrap().clone() } else { (*line).clone() }
        }).collect();
        prop_assert_eq!(transformed(&lines), transformed(&reordered));
    }

    #[test]
    fn a_full_shuffle_changes_only_the_order_of_pictures(lines in export().prop_flat_map(|lines| (Just(lines.clone()), Just(lines).prop_shuffle()))) {
        let (lines, shuffled) = lines;
        let sorted = |lines: &[String]| {
            let mut transformed = transformed(lines);
            for document in &mut transformed.documents {
                let mut fields: Value = serde_json::from_str(&document.fields).unwrap();
                if let Some(images) = fields["images"].as_array_mut() {
                    images.sort_by_key(Value::to_string);
                }
                document.fields = fields.to_string();
            }
            transformed
        };
        prop_assert_eq!(sorted(&lines), sorted(&shuffled));
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
        let transformed = transform(&[lines.join("\n")], &config(json!({"level": level, "other-metafields": "list"})));
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
