//! Fields of products, and which products leave the index.

use serde_json::{Value, json};

use shopify_plugin::Severity::Warning;

use crate::support::*;

fn description(html: &str) -> Option<String> {
    let document = document(&[product(json!({"descriptionHtml": html}))]);
    document.get("description").map(|text| text.as_str().unwrap().to_owned())
}

#[test]
fn empty_descriptions() {
    assert_eq!(description(""), None);
    assert_eq!(description(" \n "), None);
    let rest_product = json!({"id": 1, "title": "Tee", "body_html": null}).to_string();
    assert_eq!(document(&[rest_product]).get("description"), None);
    let plain = product(json!({"descriptionHtml": "", "description": "Plain &amp; simple"}));
    assert_eq!(document(&[plain])["description"], "Plain & simple");
    let rest_product = product(json!({"body_html": "<p>From</p><p>REST</p>", "description": "other"}));
    assert_eq!(document(&[rest_product])["description"], "From REST");
}

#[test]
fn scripts_styles_frames_and_comments() {
    let html = "<p>Kept</p><script>window.location='https://a.example/<p>'</script><style><!-- p { color: red } --></style>\
        <iframe src=\"https://video.example\">fallback</iframe><!-- not <b>this</b> --><p>too</p>";
    assert_eq!(description(html).as_deref(), Some("Kept too"));
}

#[test]
fn broken_and_escaped_markup() {
    assert_eq!(description("<p>Weighs < 5 kg <b>only").as_deref(), Some("Weighs < 5 kg only"));
    assert_eq!(description("<img alt=\"a > b\" src='x'>text").as_deref(), Some("a > b text"));
    assert_eq!(description("5 &amp;amp;lt; 6 &amp;amp;amp; 7").as_deref(), Some("5 < 6 & 7"));
}

#[test]
fn pictures_without_text() {
    assert_eq!(description("<p><img src=\"https://a.example/1.jpg\"></p>"), None);
}

#[test]
fn entities_in_text_and_titles() {
    assert_eq!(description("caf&eacute;&nbsp;&#8217;&#x1F600;&copy").as_deref(), Some("café ’😀©"));
    let lines = [
        product(
            json!({"title": "M&amp;M &#39;s", "vendor": "A &amp; B", "productType": "R&amp;D", "tags": ["q&amp;a"]}),
        ),
        variant(
            11,
            json!({"title": "S &amp; M", "selectedOptions": [{"name": "A &amp; B", "value": "&lt;S&gt;"}]}),
        ),
    ];
    let document = document(&lines);
    assert_eq!((&document["title"], &document["vendor"]), (&json!("M&M 's"), &json!("A & B")));
    assert_eq!((&document["product_type"], &document["tags"]), (&json!("R&D"), &json!(["q&a"])));
    assert_eq!(document["options"], json!(["A & B: <S>"]));
    assert_eq!(document["variants"][0]["title"], "S & M");
}

#[test]
fn an_ampersand_in_plain_text_is_one() {
    let lines = [
        product(
            json!({"title": "cotton&microfiber pen&notebook set", "vendor": "Rock&region", "productType": "R&lt", "tags": ["mac&cheese", "M&amp;amp;M"],
            "seo": {"title": "Q&copy", "description": "pen&notebook <b>&amp;</b> more"}, "category": {"fullName": "Home&Garden"}}),
        ),
        variant(11, json!({"title": "S&times", "selectedOptions": [{"name": "Cut&sew", "value": "in&out"}]})),
        picture(7, "https://a.example/1.jpg").replace("\"status\"", "\"alt\":\"pen&notebook\",\"status\""),
        json!({"id": "gid://shopify/Collection/5", "title": "Buy&parallel", "__parentId": "gid://shopify/Product/1"}).to_string(),
    ];
    let document = document(&lines);
    assert_eq!(
        (&document["title"], &document["vendor"]),
        (&json!("cotton&microfiber pen&notebook set"), &json!("Rock&region"))
    );
    assert_eq!(
        (&document["product_type"], &document["tags"]),
        (&json!("R&lt"), &json!(["mac&cheese", "M&amp;M"]))
    );
    assert_eq!(
        (&document["seo_title"], &document["seo_description"]),
        (&json!("Q&copy"), &json!("pen&notebook & more"))
    );
    assert_eq!(
        (&document["category"], &document["collections"]),
        (&json!("Home&Garden"), &json!(["Buy&parallel"]))
    );
    assert_eq!(
        (&document["options"], &document["image_alts"]),
        (&json!(["Cut&sew: in&out"]), &json!(["pen&notebook"]))
    );
    assert_eq!(document["variants"][0]["title"], "S&times");
}

#[test]
fn words_of_scripts_without_spaces() {
    let line = product(
        json!({"title": "เคส\u{200B}มือถือ", "descriptionHtml": "<p>ស្បែក\u{200B}ជើង</p><img alt=\"ເສື້ອ&#8203;ຍືດ\">"}),
    );
    let document = document(&[line]);
    assert_eq!(document["title"], "เคส มือถือ");
    assert_eq!(document["description"], "ស្បែក ជើង ເສື້ອ ຍືດ");
}

#[test]
fn block_elements_separate_words() {
    assert_eq!(description("<ul><li>a</li><li>b</li></ul>").as_deref(), Some("a b"));
    assert_eq!(description("<span>a</span><br><span>b</span>").as_deref(), Some("a b"));
    assert_eq!(description("<h2>Dry.</h2>The <em>best</em>est").as_deref(), Some("Dry. The bestest"));
}

#[test]
fn plain_text_with_line_ends() {
    assert_eq!(description("one\ntwo\n\n three ").as_deref(), Some("one two three"));
}

#[test]
fn characters_that_belong_together_are_not_cut() {
    let family = "👩\u{200D}👩\u{200D}👧";
    for (text, chars, kept) in [
        (format!("ab{family}c"), 4, "ab".to_owned()),
        (format!("ab{family}c"), 7, format!("ab{family}")),
        ("cafe\u{301}s".to_owned(), 4, "caf".to_owned()),
        ("שלום\u{200F} עולם".to_owned(), 4, "שלום".to_owned()),
    ] {
        let transformed =
            run_with(&[product(json!({"descriptionHtml": text}))], json!({"max-description-chars": chars}));
        assert_eq!(only_document(&transformed)["description"], kept);
        assert_eq!(codes(&transformed), [(Warning, "shortened")]);
    }
    assert_eq!(description("a\u{99}b\u{A0}c\u{200D}\u{FE0F}").as_deref(), Some("ab c\u{200D}\u{FE0F}"));
}

#[test]
fn titles_keep_their_inner_blanks_and_their_length() {
    let document_of = |title: &str| document(&[product(json!({ "title": title }))]);
    assert_eq!(document_of("  Two  blanks \t")["title"], "Two  blanks");
    let long = "😀".repeat(255);
    assert_eq!(document_of(&long)["title"], long);
}

#[test]
fn empty_fields_are_left_out() {
    let document = document(&[product(json!({"vendor": "", "productType": " ", "handle": "", "tags": []}))]);
    for field in ["vendor", "product_type", "handle", "tags"] {
        assert_eq!(document.get(field), None, "{field}");
    }
}

#[test]
fn tags() {
    let tags =
        |tags: Value| document(&[product(json!({ "tags": tags }))]).get("tags").cloned().unwrap_or_default();
    assert_eq!(tags(json!("b, a ,, B,  ,c")), json!(["b", "a", "c"]));
    assert_eq!(
        tags(json!(["b", " a ", "A", "", null, "x,y", "color:red", "größe", "GRÖßE"])),
        json!(["b", "a", "x,y", "color:red", "größe"])
    );
    assert_eq!(tags(json!("")), Value::Null);
    let many: Vec<String> = (0..250).map(|number| format!("tag {number}")).collect();
    assert_eq!(tags(json!(many)), json!(many));
    assert_eq!(tags(json!(many.join(", "))), json!(many));
}

#[test]
fn products_that_are_not_active_leave_the_index() {
    for status in ["DRAFT", "ARCHIVED", "UNLISTED", "draft", "Archived", " unlisted "] {
        let transformed = run(&[
            product(json!({"status": status, "updatedAt": "2025-01-01T00:00:00Z"})),
            variant(11, json!({})),
        ]);
        assert_eq!((transformed.documents.len(), transformed.issues.len()), (0, 0), "{status}");
        let removals: Vec<_> = transformed
            .removals
            .iter()
            .map(|removal| (removal.item, &*removal.id, &*removal.version))
            .collect();
        assert_eq!(removals, [(0, "1", r#"{"updated_at":"2025-01-01T00:00:00Z"}"#)]);
    }
    let unknown = run(&[product(json!({"status": "SUSPENDED"}))]);
    assert_eq!(codes(&unknown), [(Warning, "unknown-status")]);
    assert_eq!((&*unknown.removals[0].id, &*unknown.removals[0].version), ("1", "{}"));
    let variants = run_with(
        &[product(json!({"status": "DRAFT"})), variant(12, json!({})), variant(11, json!({}))],
        json!({"level": "variant"}),
    );
    assert_eq!(variants.removals.iter().map(|removal| &*removal.id).collect::<Vec<_>>(), ["11", "12"]);
    for status in [json!("ACTIVE"), json!("active"), json!(null)] {
        assert_eq!(run(&[product(json!({ "status": status }))]).documents.len(), 1);
    }
}

#[test]
fn a_draft_without_variants_leaves_the_index() {
    let level = json!({"level": "variant"});
    let removed = |lines: &[String]| -> Vec<String> {
        let transformed = run_with(lines, level.clone());
        assert_eq!((transformed.documents.len(), transformed.issues.len()), (0, 0), "{transformed:?}");
        transformed.removals.into_iter().map(|removal| removal.id).collect()
    };
    let draft = product(json!({"status": "DRAFT"}));
    assert_eq!(removed(std::slice::from_ref(&draft)), ["1"]);
    let nameless = json!({"title": "S", "__parentId": "gid://shopify/Product/1"}).to_string();
    assert_eq!(removed(&[draft, nameless]), ["1"]);
    // An active product has a variant: an export without any is no reason to remove it.
    let active = run_with(&[product(json!({}))], level.clone());
    assert_eq!((active.documents.len(), active.removals.len()), (0, 0));
    assert_eq!(codes(&active), [(Warning, "no-variants")]);
}

#[test]
fn unpublished_products_go_by_configuration() {
    let remove = json!({"unpublished": "remove"});
    for fields in [
        json!({"publishedAt": null}),
        json!({"onlineStoreUrl": null}),
        json!({"publishedOnPublication": false}),
    ] {
        assert_eq!(run(&[product(fields.clone())]).documents.len(), 1);
        assert_eq!(run_with(&[product(fields)], remove.clone()).removals.len(), 1);
    }
    // A key that the export did not ask for is not null; and a plug-in has no clock to know what is in the future.
    for fields in [
        json!({}),
        json!({"publishedOnPublication": true}),
        json!({"publishedAt": "2999-01-01T00:00:00Z", "onlineStoreUrl": "https://a.example/products/tee"}),
    ] {
        assert_eq!(run_with(&[product(fields)], remove.clone()).documents.len(), 1);
    }
    let future = document(&[product(json!({"publishedAt": "2999-01-01T00:00:00Z"}))]);
    assert_eq!(future["published_at"], "2999-01-01T00:00:00Z");
}

#[test]
fn gift_cards() {
    let card = |number: u64, value: &str, price: &str| {
        variant(
            number,
            json!({"title": value, "price": price, "position": number, "selectedOptions": [{"name": "Denominations", "value": value}]}),
        )
    };
    let lines = [product(json!({"isGiftCard": true})), card(11, "$10", "10.00"), card(12, "$25", "25.00")];
    let document = document(&lines);
    assert_eq!(document["options"], json!(["Denominations: $10", "Denominations: $25"]));
    assert_eq!((&document["gift_card"], &document["max_price"]), (&json!(true), &json!(25.0)));
    let removed = run_with(&lines, json!({"gift-cards": "remove"}));
    assert_eq!((removed.documents.len(), removed.removals.len()), (0, 1));
}

#[test]
fn a_new_handle_changes_the_address_and_not_the_id() {
    let under = |handle: &str| {
        let lines = [product(json!({"handle": handle})), variant(11, json!({}))];
        documents(&run_with(&lines, json!({"shop-domain": "shop.example"}))).remove(0)
    };
    let ((old_id, old), (new_id, new)) = (under("tee"), under("linen-tee"));
    assert_eq!(old_id, new_id);
    assert_eq!(old["url"], "https://shop.example/products/tee");
    assert_eq!(new["url"], "https://shop.example/products/linen-tee");
    assert!(!new.to_string().contains("products/tee"), "{new}");
}

#[test]
fn categories() {
    let category =
        |category: Value| document(&[product(json!({ "category": category }))]).get("category").cloned();
    assert_eq!(category(json!(null)), None);
    let full = json!({"id": "gid://shopify/TaxonomyCategory/sg-4-17-2-17", "fullName": "Sporting Goods > Winter Sports", "name": "Winter Sports"});
    assert_eq!(category(full), Some(json!("Sporting Goods > Winter Sports")));
    assert_eq!(category(json!({"name": "Winter Sports"})), Some(json!("Winter Sports")));
}

#[test]
fn texts_for_search_engines_are_omitted_if_blank_and_written_without_markup() {
    let none = document(&[product(json!({"seo": {"title": null, "description": ""}}))]);
    assert_eq!((none.get("seo_title"), none.get("seo_description")), (None, None));
    let some =
        document(&[product(json!({"seo": {"title": "Buy &amp; wear", "description": "The <b>best</b>"}}))]);
    assert_eq!((&some["seo_title"], &some["seo_description"]), (&json!("Buy & wear"), &json!("The best")));
}

#[test]
fn the_default_variant_is_no_option() {
    let only = variant(
        11,
        json!({"title": "Default Title", "price": "5", "selectedOptions": [{"name": "Title", "value": "Default Title"}]}),
    );
    let document_of_one = document(&[
        product(json!({"options": [{"name": "Title", "values": ["Default Title"]}]})),
        only.clone(),
    ]);
    assert_eq!(document_of_one.get("options"), None);
    assert_eq!(document_of_one["variants"], json!([{"id": "11", "price": 5.0}]));
    let level = json!({"level": "variant"});
    let (_, alone) = documents(&run_with(&[product(json!({})), only], level)).remove(0);
    assert_eq!((alone.get("variant_title"), alone.get("options")), (None, None));
}

#[test]
fn a_bundle_without_stock_of_its_own_is_as_available_as_the_platform_says() {
    let bundle = |available: bool| {
        let parent =
            product(json!({"requiresComponents": true, "totalInventory": 0, "tracksInventory": false}));
        let only = json!({"price": "30.00", "inventoryQuantity": 0, "requiresComponents": true, "availableForSale": available});
        document(&[parent, variant(11, only)])
    };
    for available in [true, false] {
        assert_eq!(bundle(available)["available"], available);
        assert_eq!(bundle(available)["min_price"], 30.0);
    }
}

#[test]
fn addresses_come_from_the_export_or_from_domain_and_handle() {
    let domain = json!({"shop-domain": "shop.example"});
    let given = document_with(
        &[product(json!({"onlineStoreUrl": "https://a.example/products/tee", "handle": "tee"}))],
        domain.clone(),
    );
    assert_eq!(given["url"], "https://a.example/products/tee");
    let built = document_with(&[product(json!({"onlineStoreUrl": null, "handle": "tee-größe"}))], domain);
    assert_eq!(built["url"], "https://shop.example/products/tee-gr%C3%B6%C3%9Fe");
    assert_eq!(document(&[product(json!({"handle": "tee"}))]).get("url"), None);
    let transformed = run_with(
        &[product(json!({"handle": "tee"})), variant(11, json!({}))],
        json!({"shop-domain": "shop.example", "level": "variant"}),
    );
    assert_eq!(only_document(&transformed)["url"], "https://shop.example/products/tee?variant=11");
}
