//! Documents made to break a validator: each must get an answer, never cause a panic.

use default_validator::{Config, Validator};
use proptest::prelude::*;

fn everything() -> Validator {
    let config =
        r#"{"max-size":50,"required":["a"],"vectors":{"v":2},"price-fields":["a","b"],"url-fields":["*"]}"#;
    Validator::new(Config::parse(config).expect("a right configuration"))
}

/// Texts that look much like JSON, so that they get past the first character.
fn almost_json() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\"a\"",
        "\"b\"",
        "\"v\"",
        "\"vector\"",
        "\"content\"",
        "\"variants\"",
        "\"id\"",
        "\"_id\"",
        "\"price\"",
        "\"\"",
        "\"\\ud800\"",
        "\"\\u\"",
        "\"\\ud83d\\ude00\"",
        "\"é\"",
        "null",
        "true",
        "1",
        "-0",
        "1e400",
        "1.5",
        "99999999999999999999",
        "nul",
        " ",
        "\n",
        "\u{feff}",
        "http://x",
    ]);
    prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

/// Right JSON of the shapes that rules look into.
fn right_json() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "a", "b", "v", "vector", "content", "variants", "id", "price", "url", "\\ud800", "é.", "_id",
    ]);
    let leaf = prop::sample::select(vec![
        "null",
        "true",
        "1",
        "-0",
        "1e400",
        "\"\\ud800\"",
        "\"x\"",
        "\"\"",
        "[]",
        "{}",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(5, 64, 8, move |value| {
        let member = (key.clone(), value.clone()).prop_map(|(key, value)| format!("\"{key}\":{value}"));
        prop_oneof![
            prop::collection::vec(value, 0..8).prop_map(|elements| format!("[{}]", elements.join(","))),
            prop::collection::vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(", "))),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_gets_at_most_16_issues(id: String, fields: String) {
        prop_assert!(everything().validate(&id, &fields).len() <= 16);
    }

    #[test]
    fn text_like_json_gets_at_most_16_issues(fields in almost_json()) {
        prop_assert!(everything().validate("p", &fields).len() <= 16);
    }

    #[test]
    fn right_json_gets_at_most_16_issues(fields in right_json()) {
        prop_assert!(everything().validate("p", &fields).len() <= 16);
        prop_assert!(Validator::default().validate("p", &fields).len() <= 16);
    }

    #[test]
    fn any_configuration_is_read_without_a_panic(text in almost_json()) {
        let _ = Config::parse(&text);
    }
}

#[test]
fn deep_nesting_is_answered_with_issues() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let fields = format!("{{\"a\":{}1{}}}", open.repeat(1_000_000), close.repeat(1_000_000));
        assert!(!Validator::default().validate("p", &fields).is_empty());
        let fields = format!("{{\"a\":{}", open.repeat(1_000_000));
        assert_eq!(Validator::default().validate("p", &fields)[0].code, "invalid-json");
    }
}

#[test]
fn huge_parts_give_short_issues() {
    let huge = "9".repeat(1_000_000);
    for fields in [
        format!("{{\"a\":{huge}}}"),
        format!("{{\"{huge}\":1}}"),
        format!("{{\"a\":{{\"{huge}\":null}}}}"),
        huge.clone(),
    ] {
        for issue in Validator::default().validate(&huge, &fields) {
            assert!(issue.message.len() < 400, "{}", issue.message);
            assert!(issue.path.unwrap_or_default().len() < 600);
        }
    }
}
