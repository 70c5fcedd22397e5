//! Prices of markets and texts in other languages.

use serde_json::{Value, json};

use crate::support::*;

fn money(amount: &str, currency: &str) -> Value {
    json!({"amount": amount, "currencyCode": currency})
}

/// The line of a presentment price, which has no id.
fn pair(number: u64, price: Value, before: Value) -> String {
    let parent = format!("gid://shopify/ProductVariant/{number}");
    json!({"price": price, "compareAtPrice": before, "__parentId": parent}).to_string()
}

#[test]
fn prices_of_a_market_are_those_under_its_alias() {
    let mug = |number: u64, price: &str, before: Value| {
        variant(
            number,
            json!({"price": "20.00", "pricing_de": {"price": money(price, "EUR"), "compareAtPrice": before}, "pricing_us": null}),
        )
    };
    let lines = [
        product(json!({})),
        mug(11, "18.0", json!(null)),
        mug(12, "17.5", json!(null)),
        mug(13, "17.5", money("25.0", "EUR")),
    ];
    let markets = json!({"markets": {"de": "pricing_de", "us": "pricing_us"}});
    let document = document_with(&lines, markets.clone());
    assert_eq!(
        (&document["price_de"], &document["compare_at_price_de"], &document["currency_de"]),
        (&json!(17.5), &json!(25.0), &json!("EUR"))
    );
    assert_eq!((&document["price"], document.get("price_us")), (&json!(20.0), None));
    let of_variant = run_with(&lines, json!({"level": "variant", "markets": markets["markets"]}));
    let first = &documents(&of_variant)[0].1;
    assert_eq!((&first["price_de"], first.get("compare_at_price_de")), (&json!(18.0), None));
}

#[test]
fn a_product_without_variants_has_the_lowest_price_of_its_market() {
    let pricing = json!({"minVariantPricing": {"price": money("9.0", "EUR")}, "maxVariantPricing": {"price": money("12.0", "EUR")}});
    let document = document_with(
        &[product(json!({ "contextualPricing": pricing }))],
        json!({"markets": {"de": "contextualPricing"}}),
    );
    assert_eq!((&document["price_de"], &document["currency_de"]), (&json!(9.0), &json!("EUR")));
}

#[test]
fn presentment_prices_are_found_by_their_currency() {
    let markets = json!({"markets": {"kw": "KWD", "jp": "JPY", "uk": "GBP"}});
    let expect = |lines: &[String]| {
        let document = document_with(lines, markets.clone());
        assert_eq!(
            (
                &document["price_kw"],
                &document["compare_at_price_kw"],
                &document["price_jp"],
                document.get("price_uk")
            ),
            (&json!(9.0), &json!(12.0), &json!(3200.0), None)
        );
        assert_eq!(
            (&document["variant_count"], &document["price"], &document["max_price"]),
            (&json!(1), &json!(20.0), &json!(20.0))
        );
    };
    let (kuwait, japan) = (money("9.0", "KWD"), money("3200", "JPY"));
    let lines = [
        product(json!({})),
        variant(11, json!({"price": "20.00", "sku": "MUG"})),
        pair(11, japan.clone(), json!(null)),
        pair(11, kuwait.clone(), money("12.0", "KWD")),
    ];
    expect(&lines);
    expect(&lines.iter().rev().cloned().collect::<Vec<_>>());
    let typed = lines.map(|line| {
        line.replace(
            "{\"__parentId\":\"gid://shopify/ProductVariant/11\"",
            "{\"__typename\":\"ProductVariantPricePair\",\"__parentId\":\"gid://shopify/ProductVariant/11\"",
        )
    });
    assert!(typed[2].contains("PricePair"), "{}", typed[2]);
    expect(&typed);
    let nested = json!({"edges": [
        {"node": {"price": japan, "compareAtPrice": null}}, {"node": {"price": kuwait, "compareAtPrice": money("12.0", "KWD")}},
    ]});
    expect(&[product(json!({})), variant(11, json!({"price": "20.00", "presentmentPrices": nested}))]);
    let rest = json!([
        {"price": {"amount": "3200", "currency_code": "JPY"}, "compare_at_price": null},
        {"price": {"amount": "9.0", "currency_code": "KWD"}, "compare_at_price": {"amount": "12.0", "currency_code": "KWD"}},
    ]);
    expect(&[product(json!({})), variant(11, json!({"price": "20.00", "presentment_prices": rest}))]);
}

#[test]
fn prices_in_other_currencies_are_no_variants() {
    let lines = [
        product(json!({})),
        variant(11, json!({"price": "20.00"})),
        pair(11, money("9.0", "KWD"), json!(null)),
    ];
    assert_eq!(document(&lines), document(&lines[..2]));
}

#[test]
fn texts_are_translated_by_alias_or_by_locale() {
    let text = |key: &str, value: &str| json!({"key": key, "value": value});
    let french = json!([
        text("title", "Chemise &amp; co"), text("body_html", "<p>Douce</p><p>et belle</p>"), text("meta_title", "Acheter"),
        text("meta_description", "Bien"), text("product_type", "Chemises"), text("handle", "chemise"), {"key": "title"}, 5,
    ]);
    let german = json!([{"key": "title", "value": "Hemd", "locale": "de"}, {"key": "title", "value": "Paita", "locale": "fi"}]);
    let lines = [product(
        json!({"translations_fr": french, "translations": german, "other": [{"key": "title"}, "x"]}),
    )];
    let document = document_with(
        &lines,
        json!({"locales": {"fr": "translations_fr", "de": "de", "fi": "FI", "it": "it"}}),
    );
    assert_eq!((&document["title"], &document["title_fr"]), (&json!("Tee"), &json!("Chemise & co")));
    assert_eq!(
        (&document["title_de"], &document["title_fi"], document.get("title_it")),
        (&json!("Hemd"), &json!("Paita"), None)
    );
    assert_eq!(document["description_fr"], "Douce et belle");
    assert_eq!(
        (&document["seo_title_fr"], &document["seo_description_fr"], &document["product_type_fr"]),
        (&json!("Acheter"), &json!("Bien"), &json!("Chemises"))
    );
}

#[test]
fn fields_of_markets_and_languages_can_be_renamed() {
    let lines = [product(json!({"translations_fr": [{"key": "title", "value": "Chemise"}]}))];
    let configuration = json!({"locales": {"fr": "translations_fr"}, "rename": {"title_fr": "titre"}});
    assert_eq!(document_with(&lines, configuration)["titre"], "Chemise");
}
