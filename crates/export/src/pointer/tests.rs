//! Tests of reading ids by JSON Pointers, compared with a complete parser.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn pointers(own: &str, parents: &[&str]) -> IdPointers {
    let parents: Vec<String> = parents.iter().map(|parent| (*parent).to_owned()).collect();
    IdPointers::new(own, &parents).unwrap()
}

/// The own id and the parent's id of a line.
fn ids(pointers: &IdPointers, text: &str) -> (Option<String>, Option<String>) {
    let ids = pointers.read(text).unwrap();
    (ids.id.map(Cow::into_owned), ids.parent_id.map(Cow::into_owned))
}

fn some(own: &str, parent: &str) -> (Option<String>, Option<String>) {
    (Some(own.to_owned()), Some(parent.to_owned()))
}

#[test]
fn ids_are_strings_unescaped_or_integers() {
    let pointers = pointers("/id", &["/p"]);
    assert_eq!(ids(&pointers, r#"{"id":"gid:\/\/shop\/1","p":"a\u00e9\n"}"#), some("gid://shop/1", "aé\n"));
    assert_eq!(
        ids(&pointers, r#" { "p" : "x" , "x":[{"id":3}], "id" : "gid://shop/1" } "#),
        some("gid://shop/1", "x")
    );
    assert_eq!(
        ids(&pointers, r#"{"id":788032119674292922123456789,"p":-0}"#),
        some("788032119674292922123456789", "-0")
    );
    assert_eq!(ids(&pointers, r#"{"id":null}"#), (None, None));
    assert_eq!(ids(&pointers, r#"{"id":"","p":""}"#), some("", ""));
    assert_eq!(ids(&pointers, r#"{"\u0069d":"1","p":"\\"}"#), some("1", "\\"));
}

#[test]
fn the_first_non_null_parent_is_used() {
    let pointers = pointers("/id", &["/variant/id", "/variant", "/list/1", "/a~1b~0c"]);
    let parent = |text| ids(&pointers, text).1;
    assert_eq!(parent(r#"{"variant":{"id":"1"},"list":[8,9]}"#).as_deref(), Some("1"));
    assert_eq!(parent(r#"{"variant":"2","list":[8,9]}"#).as_deref(), Some("2"));
    assert_eq!(parent(r#"{"variant":null,"list":[8,9]}"#).as_deref(), Some("9"));
    assert_eq!(parent(r#"{"variant":{},"list":[8],"a/b~c":"4"}"#).as_deref(), Some("4"));
    assert_eq!(parent(r#"{"list":{"1":"5"}}"#).as_deref(), Some("5"));
    assert_eq!(parent(r#"{"list":"text"}"#), None);
}

#[test]
fn of_duplicate_keys_the_last_one_is_used() {
    let pointers = pointers("/id", &["/p/q", "/p"]);
    assert_eq!(ids(&pointers, r#"{"id":1,"id":2,"p":{"q":3},"p":4}"#), some("2", "4"));
    assert_eq!(ids(&pointers, r#"{"id":1,"id":null,"p":4,"p":{"q":3}}"#), (None, Some("3".to_owned())));
    assert_eq!(ids(&pointers, r#"{"id":1,"p":{"q":3},"p":{}}"#), (Some("1".to_owned()), None));
}

#[test]
fn ids_of_other_types_are_rejected() {
    let pointers = pointers("/id", &["/x~1y"]);
    for text in [
        r#"{"id":true}"#,
        r#"{"id":1.0}"#,
        r#"{"id":1e3}"#,
        r#"{"id":{}}"#,
        r#"{"id":[]}"#,
        r#"{"id":"\ud83d"}"#,
    ] {
        assert!(
            matches!(pointers.read(text), Err(IdError::InvalidType(pointer)) if pointer == "/id"),
            "{text}"
        );
    }
    assert!(
        matches!(pointers.read(r#"{"x/y":false}"#), Err(IdError::InvalidType(pointer)) if pointer == "/x~1y")
    );
}

#[test]
fn pointers_of_the_manifest_are_checked() {
    for pointer in ["", "id", "/a~2", "/a~"] {
        let error = IdPointers::new("/id", &[pointer.to_owned()]).unwrap_err();
        assert!(matches!(error, ExportError::InvalidPointer { pointer: named } if named == pointer));
    }
}

/// Any JSON value whose numbers are integers.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z/~\\\\\"\u{7f}\n é😀]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ab/~]{1,2}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// One walk reads the same ids as parsing the line and following the pointers.
    #[test]
    fn one_walk_finds_what_pointers_lead_to(fields in value(), own in "(/([ab01]|~0|~1){1,2}){1,3}", parent in "(/([ab01]|~0|~1){1,2}){1,2}") {
        let fields = json!({ "a": fields, "b": "x" });
        let expected = |pointer: &str| match fields.pointer(pointer) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(id)) => Ok(Some(id.clone())),
            Some(Value::Number(id)) => Ok(Some(id.to_string())),
            Some(_) => Err(()),
        };
        let text = fields.to_string();
        let pointers = pointers(&own, &[&parent]);
        let found = pointers.read(&text).map(|ids| (ids.id.map(Cow::into_owned), ids.parent_id.map(Cow::into_owned)));
        match (expected(&own), expected(&parent)) {
            (Ok(own), Ok(parent)) => prop_assert_eq!(found.unwrap(), (own, parent)),
            // Where one pointer is a prefix of the other, the two readers may differ.
            _ if own.starts_with(&parent) || parent.starts_with(&own) => {}
            _ => prop_assert!(matches!(found, Err(IdError::InvalidType(_)))),
        }
    }

    #[test]
    fn syntax_is_checked_as_the_json_parser_checks_it(text in "[{}\\[\\]\",:a1 \\\\u\\-.e]{0,12}", key in "[ -~]{0,8}") {
        for text in [text.clone(), format!("{{{text}}}"), format!(r#"{{"{key}":{text}}}"#)] {
            let parsed = serde_json::from_str::<Value>(&text);
            match pointers("/id", &[]).read(&text) {
                Ok(_) | Err(IdError::InvalidType(_)) => {
                    // Skipped values may contain a lone surrogate or a number beyond the range of a double.
                    prop_assert!(parsed.is_ok() || text.contains("\\u") || text.contains('e'), "{}", text);
                }
                Err(IdError::NotAnObject) => prop_assert!(!parsed.is_ok_and(|value| value.is_object())),
                Err(IdError::Syntax(_)) => prop_assert!(parsed.is_err(), "{}", text),
            }
        }
    }
}
