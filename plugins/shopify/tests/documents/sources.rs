//! Exports in several files: one product or variant has several records, each with other fields.

use serde_json::{Value, json};
use shopify_plugin::Severity::{Error, Warning};

use crate::support::*;

/// A line of the product with nothing but its id and these fields.
fn copy(fields: Value) -> String {
    with(json!({"id": "gid://shopify/Product/1"}), fields)
}

/// A variant as a query for variants returns it.
fn root_variant(number: u64, fields: Value) -> String {
    with(json!({"id": format!("gid://shopify/ProductVariant/{number}")}), fields)
}

fn metafield_of(parent: &str, value: &str) -> String {
    json!({"id": "gid://shopify/Metafield/5", "namespace": "custom", "key": "color", "type": "single_line_text_field", "value": value, "__parentId": parent}).to_string()
}

/// The only document in both orders of the lines, which must be the same.
fn in_any_order(lines: &[String]) -> Value {
    let forward = document(lines);
    let backward: Vec<String> = lines.iter().rev().cloned().collect();
    assert_eq!(document(&backward), forward);
    forward
}

#[test]
fn metafields_of_variants_do_not_take_their_prices() {
    let prices = [
        product(json!({"updatedAt": "2026-01-01T00:00:00Z"})),
        variant(11, json!({"price": "10.00", "sku": "A", "updatedAt": "2026-01-01T00:00:00Z"})),
        variant(12, json!({"price": "12.00", "sku": "B", "updatedAt": "2026-01-01T00:00:00Z"})),
    ];
    let sky = metafield_of("gid://shopify/ProductVariant/11", "Sky");
    let configuration =
        json!({"level": "variant", "metafields": {"custom.color": {"field": "color", "type": "text"}}});
    for product in [json!({}), json!({"product": {"id": "gid://shopify/Product/1"}})] {
        let one = with(product.clone(), json!({"updatedAt": "2026-01-01T00:00:00Z"}));
        let one = root_variant(11, serde_json::from_str(&one).unwrap());
        let metafields = [one, sky.clone(), root_variant(12, product)];
        for lines in [[&prices[..], &metafields].concat(), [&metafields[..], &prices].concat()] {
            let transformed = run_with(&lines, configuration.clone());
            assert_eq!(transformed.issues, []);
            let documents = documents(&transformed);
            let fields = |at: usize| {
                let (id, document) = &documents[at];
                (
                    id.as_str(),
                    document["price"].clone(),
                    document["sku"].clone(),
                    document.get("color").cloned(),
                )
            };
            assert_eq!(documents.len(), 2);
            assert_eq!(fields(0), ("11", json!(10.0), json!("A"), Some(json!("Sky"))));
            assert_eq!(fields(1), ("12", json!(12.0), json!("B"), None));
        }
    }
}

#[test]
fn a_draft_stays_a_draft_beside_a_poorer_copy() {
    let draft = copy(json!({"title": "Tee", "status": "DRAFT", "updatedAt": "2026-01-01T00:00:00Z"}));
    let later = "2026-01-02T00:00:00Z";
    for poorer in [json!({}), json!({"updatedAt": "2026-01-01T00:00:00Z"}), json!({"updatedAt": later})] {
        for lines in [[draft.clone(), copy(poorer.clone())], [copy(poorer.clone()), draft.clone()]] {
            let transformed = run(&lines);
            assert_eq!((transformed.documents.len(), transformed.removals.len()), (0, 1), "{lines:?}");
        }
    }
}

#[test]
fn the_newest_status_decides_and_of_equally_new_ones_the_one_that_hides() {
    let status = |status: &str, day: u8| {
        copy(json!({"title": status, "status": status, "updatedAt": format!("2026-01-0{day}T00:00:00Z")}))
    };
    let undated = copy(json!({"status": "DRAFT"}));
    let poorer = copy(json!({"status": "DRAFT", "updatedAt": "2026-01-01T00:00:00Z"}));
    for (lines, is_shown) in [
        ([status("DRAFT", 1), status("ACTIVE", 2)], true),
        ([status("ACTIVE", 1), status("ARCHIVED", 2)], false),
        ([status("ACTIVE", 1), poorer.clone()], false),
        ([status("ACTIVE", 2), poorer], true),
        ([status("active", 1), undated.clone()], true),
        ([copy(json!({})), undated], false),
    ] {
        for lines in [lines.clone(), [lines[1].clone(), lines[0].clone()]] {
            assert_eq!(run(&lines).documents.len(), usize::from(is_shown), "{lines:?}");
        }
    }
}

#[test]
fn of_two_copies_the_newer_counts_as_instant_and_the_older_fills_in() {
    let old = copy(json!({"title": "Old", "vendor": "V", "updatedAt": "2024-09-23T14:21:59+08:00"}));
    let new = copy(json!({"title": "New", "updatedAt": "2024-09-23T06:30:00Z"}));
    let document = in_any_order(&[old, new]);
    assert_eq!((&document["title"], &document["vendor"]), (&json!("New"), &json!("V")));
    assert_eq!(document["updated_at"], "2024-09-23T06:30:00Z");
}

#[test]
fn null_is_a_value_and_absent_is_none() {
    let old = [
        copy(
            json!({"publishedAt": "2026-01-01T00:00:00Z", "vendor": "V", "updatedAt": "2026-01-01T00:00:00Z"}),
        ),
        variant(
            11,
            json!({"price": "8", "compareAtPrice": "9", "sku": "A", "updatedAt": "2026-01-01T00:00:00Z"}),
        ),
    ];
    let new = [
        copy(json!({"publishedAt": null, "title": "T", "updatedAt": "2026-01-02T00:00:00Z"})),
        variant(11, json!({"price": "8", "compareAtPrice": null, "updatedAt": "2026-01-02T00:00:00Z"})),
    ];
    let document = in_any_order(&[&old[..], &new].concat());
    assert_eq!((document.get("published_at"), &document["vendor"]), (None, &json!("V")));
    assert_eq!((document.get("compare_at_price"), &document["on_sale"]), (None, &json!(false)));
    assert_eq!(document["variants"][0]["sku"], "A");
}

#[test]
fn copies_that_contradict_each_other_count_by_content_not_by_order() {
    let richer = copy(json!({"title": "A", "vendor": "V"}));
    let poorer = copy(json!({"title": "B"}));
    assert_eq!(in_any_order(&[richer.clone(), poorer])["title"], "A");
    assert_eq!(in_any_order(&[richer, copy(json!({"title": "B", "vendor": "V"}))])["title"], "B");
    // A time says more than none.
    let dated = copy(json!({"title": "C", "updatedAt": "2026-01-01T00:00:00Z"}));
    let undated = copy(json!({"title": "D", "vendor": "V", "handle": "d"}));
    assert_eq!(in_any_order(&[dated, undated])["title"], "C");
    let metafield = |id: u64, value: &str| {
        metafield_of("gid://shopify/Product/1", value).replace("Metafield/5", &format!("Metafield/{id}"))
    };
    let lines = [product(json!({})), metafield(10, "a"), metafield(9, "b")];
    for lines in [lines.clone(), [lines[2].clone(), lines[0].clone(), lines[1].clone()]] {
        let document = document_with(&lines, json!({"metafields": {"custom.color": {"field": "color"}}}));
        assert_eq!(document["color"], "a", "the highest id");
    }
    let parent = "gid://shopify/Product/1";
    let without_value = json!({"namespace": "custom", "key": "color", "updatedAt": "2026-01-02T00:00:00Z", "__parentId": parent});
    let lines = [product(json!({})), metafield(9, "b"), without_value.to_string()];
    let document = document_with(&lines, json!({"metafields": {"custom.color": {"field": "color"}}}));
    assert_eq!(document["color"], "b");
}

#[test]
fn a_newer_copy_outdates_what_older_ones_call_by_another_name() {
    let bulk = [
        copy(
            json!({"descriptionHtml": "Old", "featuredMedia": {"image": {"url": "https://a.example/old.jpg"}}, "updatedAt": "2026-01-01T00:00:00Z"}),
        ),
        variant(
            11,
            json!({"availableForSale": true, "selectedOptions": [{"name": "Size", "value": "S"}], "updatedAt": "2026-01-01T00:00:00Z"}),
        ),
    ];
    let webhook = json!({"id": 1, "body_html": "New", "image": {"src": "https://a.example/new.jpg"}, "updated_at": "2026-01-02T00:00:00Z",
        "options": [{"name": "Size", "position": 1}],
        "variants": [{"id": 11, "option1": "M", "inventory_management": "shopify", "inventory_policy": "deny", "inventory_quantity": 0}]});
    let document = in_any_order(&[bulk[0].clone(), bulk[1].clone(), webhook.to_string()]);
    assert_eq!(
        (&document["description"], &document["image"]),
        (&json!("New"), &json!("https://a.example/new.jpg"))
    );
    assert_eq!((&document["available"], &document["options"]), (&json!(false), &json!(["Size: M"])));
}

#[test]
fn a_newer_webhook_says_which_variants_there_are() {
    let webhook = |day: u8, variants: Value| {
        json!({"id": 1, "title": "Tee", "updated_at": format!("2026-01-0{day}T00:00:00Z"), "variants": variants}).to_string()
    };
    let old = webhook(1, json!([{"id": 11, "price": "1.00", "sku": "A"}, {"id": 12, "price": "0.50"}]));
    let new = webhook(2, json!([{"id": 11, "price": "2.00"}]));
    let document = in_any_order(&[old, new]);
    assert_eq!((&document["variant_count"], &document["price"]), (&json!(1), &json!(2.0)));
    assert_eq!(document["skus"], json!(["A"]));
    // Equally new ones, as pages of one list are, unite.
    let pages =
        [webhook(1, json!([{"id": 11, "price": "1"}])), webhook(1, json!([{"id": 12, "price": "2"}]))];
    assert_eq!(in_any_order(&pages)["variant_count"], 2);
}

#[test]
fn what_a_query_for_variants_selects_of_the_product_counts() {
    let of_product =
        json!({"id": "gid://shopify/Product/1", "vendor": "V", "handle": "tee", "title": "Outdated"});
    let lines = [
        product(json!({"updatedAt": "2026-01-01T00:00:00Z"})),
        root_variant(11, json!({"sku": "A", "price": "3.00", "product": of_product})),
        root_variant(12, json!({"sku": "B", "price": "4.00", "product": {"id": "gid://shopify/Product/1"}})),
    ];
    let document = in_any_order(&lines);
    assert_eq!(
        (&document["title"], &document["vendor"], &document["handle"]),
        (&json!("Tee"), &json!("V"), &json!("tee"))
    );
    assert_eq!(
        (&document["skus"], &document["min_price"], &document["max_price"]),
        (&json!(["A", "B"]), &json!(3.0), &json!(4.0))
    );
    assert_eq!(document["variant_count"], 2);
}

#[test]
fn pictures_and_collections_merge_as_products_do() {
    let parent = "gid://shopify/Product/1";
    let lines = [
        product(json!({})),
        picture(7, "https://a.example/1.jpg"),
        json!({"id": "gid://shopify/MediaImage/7", "alt": "Front", "__parentId": parent}).to_string(),
        json!({"id": "gid://shopify/Collection/5", "title": "Sale", "__parentId": parent}).to_string(),
        json!({"id": "gid://shopify/Collection/5", "handle": "sale", "__parentId": parent}).to_string(),
    ];
    let document = in_any_order(&lines);
    assert_eq!(
        (&document["images"], &document["image_alts"]),
        (&json!(["https://a.example/1.jpg"]), &json!(["Front"]))
    );
    assert_eq!(
        (&document["collections"], &document["collection_handles"]),
        (&json!(["Sale"]), &json!(["sale"]))
    );
}

#[test]
fn a_collection_more_is_another_document_of_the_same_version() {
    let lines =
        [product(json!({"updatedAt": "2026-01-01T00:00:00Z"})), variant(11, json!({"price": "10.00"}))];
    let collection = json!({"id": "gid://shopify/Collection/5", "title": "Sale", "handle": "sale", "__parentId": "gid://shopify/Product/1"});
    let (without, with) = (document(&lines), document(&[&lines[..], &[collection.to_string()]].concat()));
    assert_eq!((without.get("collections"), &with["collections"]), (None, &json!(["Sale"])));
    assert_eq!(without["updated_at"], with["updated_at"]);
}

#[test]
fn variants_that_are_gone_are_no_documents_and_a_draft_without_variants_leaves_whole() {
    let configuration = json!({"level": "variant"});
    let shirt = product(json!({"updatedAt": "2026-01-02T00:00:00Z"}));
    let transformed = run_with(&[shirt, variant(11, json!({"price": "10.00"}))], configuration.clone());
    let ids: Vec<&str> = transformed.documents.iter().map(|document| &*document.id).collect();
    assert_eq!((ids, transformed.removals.len()), (vec!["11"], 0), "the host removes the others");
    let draft = product(json!({"status": "DRAFT", "updatedAt": "2026-01-05T00:00:00Z"}));
    let transformed = run_with(&[draft], configuration);
    assert_eq!((transformed.documents.len(), &*transformed.removals[0].id), (0, "1"));
}

#[test]
fn variants_without_their_product_are_refused() {
    let lines = [root_variant(11, json!({})), metafield_of("gid://shopify/ProductVariant/11", "Sky")];
    let transformed = run(&lines);
    assert_eq!(codes(&transformed), [(Error, "not-a-product")]);
    assert!(transformed.issues[0].message.contains("select `product { id }`"), "{transformed:?}");
}

#[test]
fn a_child_of_a_variant_is_never_a_variant() {
    let mug = [
        product(
            json!({"priceRangeV2": {"minVariantPrice": {"amount": "20.0", "currencyCode": "USD"}, "maxVariantPrice": {"amount": "20.0", "currencyCode": "USD"}}}),
        ),
        variant(
            11,
            json!({"sku": "MUG", "price": "20.00", "selectedOptions": [{"name": "Size", "value": "M"}], "availableForSale": true}),
        ),
    ];
    let plain = document(&mug);
    assert_eq!(
        (&plain["min_price"], &plain["max_price"], &plain["currency"]),
        (&json!(20.0), &json!(20.0), &json!("USD"))
    );
    let amount = |amount: &str, currency: &str| json!({"amount": amount, "currencyCode": currency});
    for (child, named) in [
        (
            json!({"price": amount("9.0", "KWD"), "compareAtPrice": amount("12.0", "KWD")}),
            // What it costs in another currency is understood.
            "",
        ),
        (json!({"__typename": "ProductVariantPricePair", "price": amount("9.0", "KWD")}), ""),
        (
            json!({"price": "9.0", "selectedOptions": [{"name": "Size", "value": "S"}]}),
            "records with `price`, `selectedOptions` below `ProductVariant`",
        ),
        (
            json!({"minimum": 2, "maximum": 10, "increment": 2}),
            "records with `increment`, `maximum`, `minimum` below `ProductVariant`",
        ),
        (json!({"sku": "COMP-1", "quantity": 2}), "records with `quantity`, `sku` below `ProductVariant`"),
        (
            json!({"id": "gid://shopify/ProductVariant/99", "sku": "PART", "price": "1.00"}),
            "`ProductVariant` below `ProductVariant`",
        ),
        (
            json!({"sellingPlan": {"name": "Monthly"}, "price": "18.00"}),
            "records with `price`, `sellingPlan` below `ProductVariant`",
        ),
    ] {
        let child = with(child, json!({"__parentId": "gid://shopify/ProductVariant/11"}));
        let transformed = run(&[&mug[..], &[child.clone(), child]].concat());
        let expected: &[_] = if named.is_empty() { &[] } else { &[(Warning, "unused-records")] };
        assert_eq!(codes(&transformed), expected, "{named}");
        assert!(transformed.issues.iter().all(|issue| issue.message.starts_with(named)), "{transformed:?}");
        assert_eq!(only_document(&transformed), plain);
    }
}

#[test]
fn children_of_a_product_are_variants_only_by_their_shape() {
    let lines = [product(json!({})), variant(11, json!({"price": "20.00"}))];
    let plain = document(&lines);
    for child in [
        json!({"id": "gid://shopify/ResourceFeedback/5"}),
        json!({"isPublished": true, "publication": {"id": "gid://shopify/Publication/4"}}),
        json!({"price": {"amount": "9.0", "currencyCode": "KWD"}, "compareAtPrice": null}),
        json!({"quantity": 2, "componentProduct": {"id": "gid://shopify/Product/4"}}),
        json!({"id": "gid://shopify/Product/4", "title": "Related", "status": "DRAFT"}),
    ] {
        let child = with(child, json!({"__parentId": "gid://shopify/Product/1"}));
        let transformed = run(&[lines[0].clone(), lines[1].clone(), child.clone()]);
        assert_eq!(codes(&transformed), [(Warning, "unused-records")], "{child}");
        assert_eq!(only_document(&transformed), plain, "{child}");
    }
    // Variants of anything else, such as what a metafield refers to, are not the product's.
    let other = variant(99, json!({"price": "1.00"})).replace("Product/1\"", "Metafield/3\"");
    assert_eq!(only_document(&run(&[lines[0].clone(), lines[1].clone(), other])), plain);
    let without_id =
        json!({"price": "5.00", "sku": "B", "__parentId": "gid://shopify/Product/1"}).to_string();
    assert_eq!(only_document(&run(&[lines[0].clone(), without_id]))["price"], 5.0);
}

#[test]
fn a_kind_is_named_once_for_all_products() {
    let products: Vec<String> = (1..4)
        .map(|number| {
            let publication = json!({"isPublished": true, "__parentId": "gid://shopify/Product/1"});
            let lines = [product(json!({})), publication.to_string()].join("\n");
            lines.replace("Product/1\"", &format!("Product/{number}\""))
        })
        .collect();
    let transformed = shopify_plugin::transform(&products, &config(json!({})));
    assert_eq!((transformed.documents.len(), codes(&transformed)), (3, vec![(Warning, "unused-records")]));
}

#[test]
fn a_metafield_under_a_name_of_its_own_counts_like_any_other() {
    let selected =
        json!({"namespace": "custom", "key": "color", "type": "single_line_text_field", "value": "New"});
    let newer = copy(json!({"color": selected, "updatedAt": "2026-01-02T00:00:00Z"}));
    let line = metafield_of("gid://shopify/Product/1", "Old")
        .replace("\"key\"", "\"updatedAt\":\"2026-01-01T00:00:00Z\",\"key\"");
    let with_id = newer.replace("\"key\"", "\"id\":\"gid://shopify/Metafield/5\",\"key\"");
    for newer in [newer, with_id] {
        for lines in [[newer.clone(), line.clone()], [line.clone(), newer]] {
            let document = document_with(&lines, json!({"metafields": {"custom.color": {"field": "color"}}}));
            assert_eq!(document["color"], "New", "{lines:?}");
        }
    }
}

#[test]
fn what_queries_select_under_names_of_their_own_unites() {
    let metafield = |key: &str, value: &str| json!({"namespace": "custom", "key": key, "type": "single_line_text_field", "value": value});
    let lines = [
        product(json!({"care": metafield("care", "cold"), "updatedAt": "2026-01-01T00:00:00Z"})),
        copy(json!({"color": metafield("color", "Sky"), "updatedAt": "2026-01-01T00:00:00Z"})),
        copy(
            json!({"care": metafield("care", "hot"), "fit": metafield("fit", "slim"), "updatedAt": "2025-01-01T00:00:00Z"}),
        ),
        metafield_of("gid://shopify/Product/1", "Sky"),
        variant(11, json!({"price": "1.00", "size": metafield("size", "S")})),
        root_variant(11, json!({"weave": metafield("weave", "twill")})),
    ];
    let backward: Vec<String> = lines.iter().rev().cloned().collect();
    let configuration = json!({"level": "variant", "other-metafields": "list"});
    let document = document_with(&lines, configuration.clone());
    assert_eq!(document_with(&backward, configuration), document);
    let listed = [
        "custom.size: S",
        "custom.weave: twill",
        "custom.care: cold",
        "custom.color: Sky",
        "custom.fit: slim",
    ];
    assert_eq!(document["metafields"], json!(listed));
}
