//! Marqo's rules for documents, one test for each rule.

use default_validator::{Config, Issue, Severity, Validator};
use insta::assert_snapshot;

fn validator(config: &str) -> Validator {
    Validator::new(Config::parse(config).expect("a right configuration"))
}

/// The issues as `code path`, or `code` for those of the whole document.
fn codes(issues: &[Issue]) -> Vec<String> {
    let line = |issue: &Issue| {
        format!("{} {}", issue.code, issue.path.as_deref().unwrap_or("")).trim_end().to_owned()
    };
    issues.iter().map(line).collect()
}

fn issues_of(fields: &str) -> Vec<String> {
    codes(&Validator::default().validate("p-1", fields))
}

fn issues_with(config: &str, fields: &str) -> Vec<String> {
    codes(&validator(config).validate("p-1", fields))
}

fn issues_of_value(value: &str) -> Vec<String> {
    issues_of(&format!("{{\"field\":{value}}}"))
}

/// The message of the only issue.
fn message(config: &str, id: &str, fields: &str) -> String {
    let mut issues = validator(config).validate(id, fields);
    assert_eq!(issues.len(), 1, "{issues:?}");
    issues.remove(0).message
}

const NONE: [&str; 0] = [];

#[test]
fn a_good_document_has_no_issues() {
    let fields = r#" {"title":"Müsli 😀", "price": 19.99, "compare_at_price": 25, "stock": -3, "sale": true,
        "tags": ["a", "b"], "none": [], "size": {"w": 1, "h": 2.5}, "nothing": {}, "_x": "", "url": "https://example.com/p",
        "images": ["https://example.com/1.jpg"], "updated_at": "2024-09-23T06:19:16Z", "_mq_version": 7,
        "variants": [{"id": "v1", "price": null, "options": {"size": ["XL"]}}, {"id": "v2"}]} "#;
    assert_eq!(issues_of(fields), NONE);
}

#[test]
fn ids_have_only_characters_that_urls_leave_alone() {
    for id in ["p", "AZaz09._~-", &"x".repeat(255)] {
        assert_eq!(codes(&Validator::default().validate(id, "{}")), NONE, "{id}");
    }
    for id in ["", "a/b", "h#1", "a b", "a::b", "a%20b", "é", "a\n", "a?b", ".", "..", &"x".repeat(256)] {
        assert_eq!(codes(&Validator::default().validate(id, "{}")), ["invalid-id"], "{id:?}");
    }
}

#[test]
fn fields_are_an_object() {
    for fields in ["[]", "\"x\"", "1", "null", "true", "[{}]"] {
        assert_eq!(issues_of(fields), ["fields-not-an-object"], "{fields}");
    }
}

#[test]
fn fields_are_json() {
    for fields in [
        "",
        " ",
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{} {}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{'a':1}",
        "{\"a\":01}",
        "{a:1}",
    ] {
        assert_eq!(issues_of(fields), ["invalid-json"], "{fields}");
    }
    assert_eq!(issues_of("{\"a\":\"raw\nnewline in a string\"}"), ["invalid-json"]);
    assert_eq!(issues_of("{\n\"a\"\n:\n1\n}"), NONE);
}

#[test]
fn field_names_are_identifiers() {
    for name in ["a", "_", "_x", "A9_z", "marqo_", "_idx", "__vector_a"] {
        assert_eq!(issues_of(&format!("{{\"{name}\":1}}")), NONE, "{name}");
    }
    for name in ["9a", "a.b", "a b", "a-b", "a::b", "é", "a$"] {
        assert_eq!(
            issues_of(&format!("{{\"{name}\":1}}")),
            [format!("invalid-field-name /{name}")],
            "{name}"
        );
    }
    assert_eq!(issues_of(r#"{"":1}"#), ["invalid-field-name /"]);
    assert_eq!(issues_of(r#"{"a/b~c":1}"#), ["invalid-field-name /a~1b~0c"]);
}

#[test]
fn names_of_the_index_itself_are_refused() {
    for name in ["_id", "_tensor_facets", "_highlights", "_score", "_found", "marqo__", "marqo__chunks"] {
        assert_eq!(issues_of(&format!("{{\"{name}\":\"x\"}}")), [format!("reserved-field-name /{name}")]);
    }
    assert_eq!(issues_of(r#"{"\u005fid":"x"}"#), ["reserved-field-name /_id"]);
}

#[test]
fn a_field_is_there_once() {
    assert_eq!(issues_of(r#"{"a":1,"b":2,"a":1}"#), ["duplicate-field /a"]);
    assert_eq!(issues_of(r#"{"a":1,"\u0061":1}"#), ["duplicate-field /a"]);
    assert_eq!(issues_of(r#"{"a":{"w":1,"w":2}}"#), ["duplicate-field /a/w"]);
    assert_eq!(issues_of(r#"{"variants":[],"variants":[]}"#), ["duplicate-field /variants"]);
}

#[test]
fn null_is_refused() {
    assert_eq!(issues_of_value("null"), ["null-value /field"]);
    assert_eq!(issues_of_value("[null]"), ["array-of-nulls /field"]);
    assert_eq!(issues_of_value(r#"{"a":null}"#), ["null-value /field/a"]);
}

#[test]
fn integers_have_sixty_four_bits() {
    assert_eq!(issues_of_value("9223372036854775807"), NONE);
    assert_eq!(issues_of_value("-9223372036854775808"), NONE);
    assert_eq!(issues_of_value("9223372036854775808"), ["integer-out-of-range /field"]);
    assert_eq!(issues_of_value(r#"{"a":18446744073709551616}"#), ["integer-out-of-range /field/a"]);
}

#[test]
fn floats_are_finite() {
    assert_eq!(issues_of_value("1.7976931348623157e308"), NONE);
    assert_eq!(issues_of_value("1e309"), ["number-out-of-range /field"]);
    assert_eq!(issues_of_value(r#"{"a":-1e309}"#), ["number-out-of-range /field/a"]);
}

#[test]
fn arrays_hold_strings_only() {
    assert_eq!(issues_of_value(r#"["a",""]"#), NONE);
    assert_eq!(issues_of_value("[1,2]"), ["array-of-numbers /field"]);
    assert_eq!(issues_of_value("[1,2.5]"), ["array-of-numbers /field"]);
    assert_eq!(issues_of_value("[true]"), ["array-of-booleans /field"]);
    assert_eq!(issues_of_value("[{}]"), ["array-of-objects /field"]);
    assert_eq!(issues_of_value(r#"[["a"]]"#), ["nested-array /field"]);
}

#[test]
fn arrays_hold_one_kind_only() {
    assert_eq!(issues_of_value(r#"["a","b",1,null]"#), ["mixed-array /field/2"]);
    assert_eq!(issues_of_value(r#"[1,"a"]"#), ["mixed-array /field/1"]);
    assert_eq!(issues_of_value(r#"["a",null]"#), ["mixed-array /field/1"]);
}

#[test]
fn maps_are_flat_and_hold_numbers_only() {
    assert_eq!(issues_of_value(r#"{"w":1,"h":2.5}"#), NONE);
    assert_eq!(issues_of_value(r#"{"w":{"h":1}}"#), ["nested-map /field/w"]);
    assert_eq!(issues_of_value(r#"{"w":[1]}"#), ["nested-map /field/w"]);
    assert_eq!(issues_of_value(r#"{"w":"1"}"#), ["map-of-other-values /field/w"]);
    assert_eq!(issues_of_value(r#"{"w":true}"#), ["map-of-other-values /field/w"]);
}

#[test]
fn control_characters_are_refused() {
    for character in ["\\u0000", "\\u0008", "\\b", "\\u000b", "\\f", "\\u001b", "\\u001f"] {
        assert_eq!(
            issues_of_value(&format!("\"a{character}b\"")),
            ["illegal-character /field"],
            "{character}"
        );
    }
    assert_eq!(issues_of_value("\"\\t\\n\\r\u{7f}\u{85}\""), NONE);
    assert_eq!(issues_of_value(r#"["a","\u0001"]"#), ["illegal-character /field/1"]);
    assert_eq!(issues_of_value(r#"{"\u0001":1}"#), ["illegal-character /field"]);
}

#[test]
fn noncharacters_are_refused() {
    for character in ['\u{fffe}', '\u{ffff}', '\u{fdd0}', '\u{1fffe}', '\u{10ffff}'] {
        assert_eq!(
            issues_of_value(&format!("\"{character}\"")),
            ["illegal-character /field"],
            "{character:?}"
        );
    }
}

#[test]
fn lone_surrogates_are_refused() {
    assert_eq!(issues_of_value(r#""\ud800""#), ["lone-surrogate /field"]);
    assert_eq!(issues_of_value(r#""\udc00""#), ["lone-surrogate /field"]);
    assert_eq!(issues_of_value(r#"["a","\udbff"]"#), ["lone-surrogate /field/1"]);
    assert_eq!(issues_of_value(r#"{"\ud800":1}"#), ["lone-surrogate /field"]);
    assert_eq!(issues_of(r#"{"variants":[{"id":"v","x":{"\ud800":1}}]}"#), ["lone-surrogate /variants"]);
    // The parser itself rejects such a name at the top level, before a rule sees it.
    assert_eq!(issues_of(r#"{"\ud800":1}"#), ["invalid-json"]);
    assert_eq!(issues_of_value(r#""\ud83d\ude00""#), NONE);
}

#[test]
fn size_is_limited_as_json_dumps_counts() {
    // {"_id": "p-1", "t": "…"} has 23 characters around the text.
    let fields = |text: String| format!("{{\"t\":\"{text}\"}}");
    assert_eq!(issues_of(&fields("x".repeat(100_000 - 23))), NONE);
    assert_eq!(issues_of(&fields("x".repeat(100_000 - 22))), ["document-too-large"]);
    assert_eq!(issues_of(&fields("é".repeat(16_000))), NONE);
    assert_eq!(issues_of(&fields("é".repeat(17_000))), ["document-too-large"]);
    assert_eq!(issues_of(&fields("😀".repeat(8_000))), NONE);
    assert_eq!(issues_of(&fields("😀".repeat(8_500))), ["document-too-large"]);
}

#[test]
fn the_limit_of_size_is_configurable() {
    // json.dumps({"_id": "p-1", "a": 1.5, "b": ["x", "y"], "c": {"w": 1e16}, "d": true}) has 71 characters.
    let fields = r#"{"a":1.5,"b":["x","y"],"c":{"w":1e16},"d":true}"#;
    assert_eq!(issues_with(r#"{"max-size":71}"#, fields), NONE);
    assert_eq!(issues_with(r#"{"max-size":70}"#, fields), ["document-too-large"]);
}

#[test]
fn variants_do_not_count_toward_the_size_limit() {
    let text = "x".repeat(200_000);
    assert_eq!(issues_of(&format!("{{\"variants\":[{{\"id\":\"v\",\"text\":\"{text}\"}}]}}")), NONE);
}

#[test]
fn variants_are_objects_with_ids_of_their_own() {
    assert_eq!(issues_of(r#"{"variants":{}}"#), ["invalid-variants /variants"]);
    assert_eq!(
        issues_of(r#"{"variants":[{"id":"a"},"b",null]}"#),
        ["invalid-variants /variants/1", "invalid-variants /variants/2"]
    );
    assert_eq!(issues_of(r#"{"variants":[{"sku":"a"}]}"#), ["variant-without-id /variants/0"]);
    assert_eq!(issues_of(r#"{"variants":[{"id":1}]}"#), ["variant-without-id /variants/0"]);
    assert_eq!(issues_of(r#"{"variants":[{"id":""}]}"#), ["variant-without-id /variants/0/id"]);
    assert_eq!(
        issues_of(r#"{"variants":[{"id":"a"},{"id":"\u0061"}]}"#),
        ["duplicate-variant /variants/1/id"]
    );
    assert_eq!(issues_of(r#"{"variants":[{"id":"a","x":1,"x":2}]}"#), ["duplicate-field /variants/0/x"]);
    assert_eq!(issues_of(r#"{"variants":[]}"#), NONE);
}

#[test]
fn variants_have_bounded_depth_and_numbers() {
    let nested = |levels: usize| {
        format!("{{\"variants\":[{{\"id\":\"v\",\"x\":{}{}}}]}}", "[".repeat(levels), "]".repeat(levels))
    };
    assert_eq!(issues_of(&nested(50)), NONE);
    assert_eq!(issues_of(&nested(100_000)), ["too-deep /variants"]);
    assert_eq!(issues_of(r#"{"variants":[{"id":"v","x":1e400}]}"#), ["number-out-of-range /variants"]);
}

#[test]
fn required_fields_are_there_and_not_empty() {
    let config = r#"{"required":["title","tags","variants"]}"#;
    assert_eq!(issues_with(config, r#"{"title":"x","tags":["a"],"variants":[{"id":"v"}]}"#), NONE);
    assert_eq!(
        issues_with(config, "{}"),
        ["missing-field /title", "missing-field /tags", "missing-field /variants"]
    );
    assert_eq!(
        issues_with(config, r#"{"title":" \n","tags":[],"variants":[ ]}"#),
        ["empty-field /title", "empty-field /tags", "empty-field /variants"]
    );
    assert_eq!(issues_with(r#"{"required":["a"]}"#, r#"{"a":{}}"#), ["empty-field /a"]);
    assert_eq!(issues_with(r#"{"required":["a"]}"#, r#"{"a":0}"#), NONE);
    assert_eq!(issues_with(r#"{"required":["a"]}"#, r#"{"a":false}"#), NONE);
}

#[test]
fn vectors_have_the_length_of_the_index() {
    let config = r#"{"vectors":{"taste":3}}"#;
    assert_eq!(issues_with(config, r#"{"taste":{"vector":[1,2.5,-3e-2],"content":"red"}}"#), NONE);
    assert_eq!(issues_with(config, r#"{"taste":{"vector":[1,2,3]}}"#), NONE);
    assert_eq!(issues_with(config, "{}"), NONE);
    assert_eq!(issues_with(config, r#"{"taste":{"vector":[1,2]}}"#), ["vector-length /taste/vector"]);
    assert_eq!(issues_with(config, r#"{"taste":{"vector":[]}}"#), ["vector-length /taste/vector"]);
}

#[test]
fn vectors_have_their_shape() {
    let config = r#"{"vectors":{"taste":2}}"#;
    assert_eq!(issues_with(config, r#"{"taste":{"vector":[1,"2"]}}"#), ["invalid-vector /taste/vector/1"]);
    assert_eq!(issues_with(config, r#"{"taste":{"vector":[1,1e400]}}"#), ["invalid-vector /taste/vector/1"]);
    assert_eq!(issues_with(config, r#"{"taste":{"vector":"x"}}"#), ["invalid-vector /taste/vector"]);
    assert_eq!(issues_with(config, r#"{"taste":{"content":"red"}}"#), ["invalid-vector /taste"]);
    assert_eq!(
        issues_with(config, r#"{"taste":{"vector":[1,2],"content":1}}"#),
        ["invalid-vector /taste/content"]
    );
    assert_eq!(issues_with(config, r#"{"taste":{"vector":[1,2],"more":1}}"#), ["invalid-vector /taste/more"]);
    assert_eq!(
        issues_with(config, r#"{"taste":{"vector":[1,2],"vector":[1,2]}}"#),
        ["duplicate-field /taste/vector"]
    );
    assert_eq!(issues_with(config, r#"{"taste":[1,2]}"#), ["invalid-vector /taste"]);
    assert_eq!(issues_with(config, r#"{"taste":"red"}"#), ["invalid-vector /taste"]);
    assert_eq!(
        issues_with(config, r#"{"taste":{"vector":[1,2],"content":"\u0001"}}"#),
        ["illegal-character /taste"]
    );
}

#[test]
fn a_vector_that_is_not_configured_is_a_nested_map() {
    assert_eq!(issues_of_value(r#"{"vector":[1,2]}"#), ["nested-map /field/vector"]);
}

#[test]
fn one_document_may_have_several_issues() {
    assert_eq!(
        issues_of(r#"{"a":null,"b c":[1],"price":"1"}"#),
        ["null-value /a", "invalid-field-name /b c", "array-of-numbers /b c", "price-not-a-number /price"]
    );
}

#[test]
fn issues_are_bounded() {
    let fields: Vec<String> = (0..100_000).map(|number| format!("\"f{number}\":null")).collect();
    let issues = Validator::default().validate("p-1", &format!("{{{}}}", fields.join(",")));
    assert_eq!(issues.len(), 16);
    assert_eq!(issues[15].code, "more-issues");
    assert_eq!(issues[0].severity, Severity::Error);
}

#[test]
fn messages_say_what_is_wrong_where_and_how_to_correct_it() {
    assert_snapshot!(message("{}", "h#1", "{}"), @r##"The id "h#1" contains "#", which an index mangles; use only A-Z a-z 0-9 . _ ~ -."##);
    assert_snapshot!(message("{}", "", "{}"), @"The document has an empty id; give it 1 to 255 characters of A-Z a-z 0-9 . _ ~ -.");
    assert_snapshot!(message("{}", &"x".repeat(300), "{}"), @r#"The id "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…" has 300 characters; use at most 255."#);
    assert_snapshot!(message("{}", "..", "{}"), @r#"The id ".." means a folder in a URL, so no index can address it; choose another one."#);
    assert_snapshot!(message("{}", "p", "[1]"), @r#"The fields are not a JSON object: "[1]"."#);
    assert_snapshot!(message("{}", "p", "{\"a\":}"), @"The fields are not JSON: expected value at line 1 column 6.");
    assert_snapshot!(message("{}", "p", r#"{"max price":1}"#), @r#"The field name "max price" is refused; use ASCII letters, digits and _, not starting with a digit."#);
    assert_snapshot!(message("{}", "p", r#"{"_id":"x"}"#), @r#"The field name "_id" belongs to the index itself; choose another one."#);
    assert_snapshot!(message("{}", "p", r#"{"a":1,"a":1}"#), @r#"The key "a" is there more than once; send it once."#);
    assert_snapshot!(message("{}", "p", r#"{"a":null}"#), @r#"The field "a" is null; leave it out instead."#);
    assert_snapshot!(message("{}", "p", r#"{"a":99999999999999999999}"#), @r#"The integer "99999999999999999999" in the field "a" does not fit 64 bits; send it as a string."#);
    assert_snapshot!(message("{}", "p", r#"{"a":[1,2]}"#), @r#"The field "a" is an array of numbers, which an index refuses; send an array of strings."#);
    assert_snapshot!(message("{}", "p", r#"{"a":["x",2]}"#), @r#"The array "a" starts with a string and has a number as well; send an array of strings."#);
    assert_snapshot!(message("{}", "p", r#"{"a":{"b":{}}}"#), @r#"The map "a" has another level at "b"; flatten it to a map from string to number."#);
    assert_snapshot!(message("{}", "p", r#"{"a":{"b":"x"}}"#), @r#"The map "a" has a string at "b"; a map holds numbers only, so use a separate field."#);
    assert_snapshot!(message("{}", "p", r#"{"a":"\u0007"}"#), @"The text contains U+0007, which an index refuses; remove it.");
    assert_snapshot!(message("{}", "p", r#"{"a":"\ud800"}"#), @"The text contains \\ud800, half of a surrogate pair; write both halves or remove it.");
    assert_snapshot!(message(r#"{"max-size":20}"#, "p", r#"{"a":"é"}"#), @"The document measures 27 characters as Marqo counts them, over the limit of 20; shorten its texts.");
    assert_snapshot!(message(r#"{"required":["title"]}"#, "p", "{}"), @r#"The required field "title" is missing; every document must have it."#);
    assert_snapshot!(message(r#"{"required":["title"]}"#, "p", r#"{"title":" "}"#), @r#"The required field "title" is empty; give it a value."#);
    assert_snapshot!(message(r#"{"vectors":{"v":512}}"#, "p", r#"{"v":{"vector":[1]}}"#), @r#"The vector of "v" has 1 numbers; this index takes 512."#);
    assert_snapshot!(message(r#"{"vectors":{"v":512}}"#, "p", r#"{"v":{}}"#), @r#"The vector field "v" has no vector; send {"vector": [512 numbers], "content": "text"}."#);
    assert_snapshot!(message("{}", "p", r#"{"variants":[{"id":"v"},{"id":"v"}]}"#), @r#"The variant id "v" is there more than once; send each variant once."#);
}
