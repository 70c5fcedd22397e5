//! Metafields of variants, references, aliases, units and currencies.

use serde_json::{Value, json};
use shopify_plugin::Severity::Warning;

use crate::support::*;

fn of_variant(number: u64, name: &str, kind: &str, value: &str) -> String {
    let parent = format!("gid://shopify/ProductVariant/{number}");
    metafield(name, kind, value).replace("gid://shopify/Product/1", &parent)
}

/// The fields of the product's document that the plain product does not have.
fn fields(lines: &[String], metafields: Value) -> Value {
    let lines =
        [vec![product(json!({})), variant(11, json!({})), variant(12, json!({}))], lines.to_vec()].concat();
    let mut document = document_with(&lines, json!({ "metafields": metafields }));
    for name in ["product_id", "title", "variant_count", "variants"] {
        document.as_object_mut().unwrap().remove(name);
    }
    document
}

#[test]
fn metafields_of_variants_are_united_in_documents_of_products() {
    let lines = [
        of_variant(11, "custom.color", "single_line_text_field", "Red"),
        of_variant(12, "custom.color", "single_line_text_field", "red"),
        of_variant(11, "custom.made_of", "list.single_line_text_field", r#"["wool","silk"]"#),
        of_variant(12, "custom.made_of", "list.single_line_text_field", r#"["silk","hemp"]"#),
        of_variant(11, "custom.vegan", "boolean", "false"),
        of_variant(12, "custom.vegan", "boolean", "true"),
        of_variant(11, "custom.width", "number_integer", "4"),
        of_variant(12, "custom.width", "number_integer", "4"),
        of_variant(11, "custom.length", "number_decimal", "4.5"),
        of_variant(12, "custom.length", "number_decimal", "5"),
    ];
    let rule = |field: &str| json!({ "field": field });
    let rules = json!({
        "custom.color": rule("color"), "custom.made_of": {"field": "material", "type": "text"}, "custom.vegan": rule("vegan"),
        "custom.width": rule("width"), "custom.length": rule("length"),
    });
    assert_eq!(
        fields(&lines, rules),
        json!({"color": ["Red"], "material": "wool, silk, hemp", "vegan": true, "width": 4})
    );
}

#[test]
fn the_products_own_metafield_counts_more_than_its_variants() {
    let lines = [
        metafield("custom.care", "single_line_text_field", "cold"),
        of_variant(11, "custom.care", "single_line_text_field", "hot"),
    ];
    assert_eq!(fields(&lines, json!({"custom.care": {"field": "care"}})), json!({"care": "cold"}));
}

#[test]
fn listed_metafields_have_those_of_variants_once() {
    let lines = [
        product(json!({})),
        variant(11, json!({})),
        variant(12, json!({})),
        metafield("custom.care", "single_line_text_field", "cold"),
        of_variant(11, "custom.fit", "single_line_text_field", "slim"),
        of_variant(12, "custom.fit", "single_line_text_field", "slim"),
    ];
    let configuration = json!({"other-metafields": "list"});
    assert_eq!(
        document_with(&lines, configuration)["metafields"],
        json!(["custom.care: cold", "custom.fit: slim"])
    );
}

#[test]
fn metafields_are_read_by_whatever_name_a_query_selects_them() {
    let root = product(json!({
        "metafield": {"namespace": "custom", "key": "care", "type": "single_line_text_field", "value": "cold"},
        "material": {"namespace": "custom", "key": "material", "type": "list.single_line_text_field", "value": "[\"wool\"]"},
        "nothing": null, "other": {"key": "custom", "value": "x"}, "numbers": [1],
    }));
    let shirt = variant(
        11,
        json!({"fit": {"namespace": "custom", "key": "fit", "type": "single_line_text_field", "value": "slim"}}),
    );
    let rules = json!({"custom.care": {"field": "care"}, "custom.material": {"field": "material"}, "custom.fit": {"field": "fit"}});
    for level in ["product", "variant"] {
        let transformed =
            run_with(&[root.clone(), shirt.clone()], json!({"level": level, "metafields": rules}));
        let document = only_document(&transformed);
        let fit = if level == "product" { json!(["slim"]) } else { json!("slim") };
        assert_eq!(
            (&document["care"], &document["material"], &document["fit"]),
            (&json!("cold"), &json!(["wool"]), &fit)
        );
    }
}

/// A metafield with an id, so that lines can name it as their parent.
fn reference(kind: &str, value: &str, more: Value) -> String {
    let line = json!({"id": "gid://shopify/Metafield/70", "namespace": "custom", "key": "color", "type": kind, "value": value, "__parentId": "gid://shopify/Product/1"});
    with(line, more)
}

#[test]
fn references_are_resolved_to_what_the_export_has_of_them() {
    let rule = || json!({"custom.color": {"field": "color"}});
    let metaobject = |more: Value| {
        let object: Value =
            serde_json::from_str(&with(json!({"id": "gid://shopify/Metaobject/5"}), more)).unwrap();
        reference("metaobject_reference", "gid://shopify/Metaobject/5", json!({ "reference": object }))
    };
    for (referenced, color) in [
        (json!({"displayName": "Sky &amp; sea", "handle": "sky"}), "Sky & sea"),
        (
            json!({"handle": "sky", "fields": [{"key": "hex", "value": null}, {"key": "label", "value": "Sky"}]}),
            "Sky",
        ),
        (json!({"title": "Blue jeans"}), "Blue jeans"),
        (json!({"image": {"url": "https://a.example/sky.jpg"}}), "https://a.example/sky.jpg"),
        (json!({"handle": "sky"}), "sky"),
        (json!({}), "gid://shopify/Metaobject/5"),
    ] {
        assert_eq!(fields(&[metaobject(referenced)], rule()), json!({ "color": color }));
    }
    let with_fields = metaobject(json!({"displayName": "Sky", "fields": [{"key": "hex", "value": "#00f"}]}));
    let by_field = json!({"custom.color": {"field": "color", "reference-field": "hex"}});
    assert_eq!(fields(&[with_fields], by_field), json!({"color": "#00f"}));
}

#[test]
fn lists_of_references_keep_the_order_of_the_metafield() {
    let value =
        r#"["gid://shopify/Metaobject/2","gid://shopify/Metaobject/12","gid://shopify/Metaobject/1"]"#;
    let object = |number: u64| json!({"id": format!("gid://shopify/Metaobject/{number}"), "displayName": format!("N{number}")});
    let rule = || json!({"custom.color": {"field": "color"}});
    let expected = json!({"color": ["N2", "N12", "N1"]});
    let nodes = json!({"references": {"nodes": [object(12), object(1), object(2)]}});
    let kind = "list.metaobject_reference";
    assert_eq!(fields(&[reference(kind, value, nodes)], rule()), expected);
    let line = |number: u64| with(object(number), json!({"__parentId": "gid://shopify/Metafield/70"}));
    for order in [[1, 2, 12], [12, 2, 1]] {
        let lines: Vec<String> =
            order.map(line).into_iter().chain([reference(kind, value, json!({}))]).collect();
        assert_eq!(fields(&lines, rule()), expected);
    }
}

#[test]
fn products_that_a_metafield_refers_to_are_not_the_product() {
    let other = json!({"id": "gid://shopify/Product/9", "title": "Other", "status": "DRAFT", "__parentId": "gid://shopify/Metafield/70"});
    let lines = [
        product(json!({})),
        reference("product_reference", "gid://shopify/Product/9", json!({})),
        other.to_string(),
    ];
    let document = document_with(&lines, json!({"metafields": {"custom.color": {"field": "goes_with"}}}));
    assert_eq!((&document["title"], &document["goes_with"]), (&json!("Tee"), &json!("Other")));
}

#[test]
fn measurements_have_one_unit() {
    let rule = json!({"custom.weight": {"field": "weight_kg", "unit": "kg"}});
    for (kind, value, weight) in [
        ("weight", r#"{"value":500.0,"unit":"GRAMS"}"#, 0.5),
        ("weight", r#"{"value":"5","unit":"lb"}"#, 2.26796185),
        ("weight", r#"{"value":2,"unit":"KILOGRAMS"}"#, 2.0),
        ("number_decimal", "3", 3.0),
    ] {
        let lines = [metafield("custom.weight", kind, value)];
        assert_eq!(fields(&lines, rule.clone()), json!({ "weight_kg": weight }), "{value}");
    }
    let wrong =
        [product(json!({})), metafield("custom.weight", "dimension", r#"{"value":2,"unit":"CENTIMETERS"}"#)];
    let transformed = run_with(&wrong, json!({ "metafields": rule }));
    assert_eq!(codes(&transformed), [(Warning, "invalid-metafield")]);
    assert!(transformed.issues[0].message.contains("`CENTIMETERS` cannot be converted to `kg`"));
}

#[test]
fn money_has_its_currency_beside_it() {
    let rule = json!({"custom.deposit": {"field": "deposit", "currency-field": "deposit_currency"}});
    let money = metafield("custom.deposit", "money", r#"{"amount":"12.34","currency_code":"CAD"}"#);
    assert_eq!(fields(&[money], rule.clone()), json!({"deposit": 12.34, "deposit_currency": "CAD"}));
    let plain = metafield("custom.deposit", "number_decimal", "5");
    assert_eq!(fields(&[plain], rule), json!({"deposit": 5.0}));
}

#[test]
fn what_copies_have_under_aliases_is_united() {
    let at = |day: u32, fields: Value| {
        product(
            serde_json::from_str(&with(json!({"updatedAt": format!("2025-01-0{day}T00:00:00Z")}), fields))
                .unwrap(),
        )
    };
    let care = |value: &str| json!({"namespace": "custom", "key": "care", "type": "single_line_text_field", "value": value});
    let fit = json!({"namespace": "custom", "key": "fit", "type": "single_line_text_field", "value": "slim"});
    let french = |title: &str| json!([{"key": "title", "value": title}]);
    let old = at(1, json!({"metafields": [care("hot")], "fit": fit, "translations_fr": french("Ancien")}));
    let new = at(
        2,
        json!({"washing": care("cold"), "translations_fr": french("Nouveau"), "translations_it": french("Maglia")}),
    );
    let configuration = json!({
        "metafields": {"custom.care": {"field": "care"}, "custom.fit": {"field": "fit"}},
        "locales": {"fr": "translations_fr", "it": "translations_it"},
    });
    for lines in [[old.clone(), new.clone()], [new, old]] {
        let document = document_with(&lines, configuration.clone());
        assert_eq!((&document["care"], &document["fit"]), (&json!("cold"), &json!("slim")));
        assert_eq!((&document["title_fr"], &document["title_it"]), (&json!("Nouveau"), &json!("Maglia")));
    }
}

#[test]
fn what_a_query_for_variants_selects_of_its_product_under_an_alias_counts() {
    let care =
        json!({"namespace": "custom", "key": "care", "type": "single_line_text_field", "value": "cold"});
    let shirt = json!({"id": "gid://shopify/ProductVariant/11", "price": "5", "product": {"id": "gid://shopify/Product/1", "washing": care}});
    let lines = [product(json!({})), shirt.to_string()];
    let document = document_with(&lines, json!({"metafields": {"custom.care": {"field": "care"}}}));
    assert_eq!((&document["care"], &document["price"]), (&json!("cold"), &json!(5.0)));
}
