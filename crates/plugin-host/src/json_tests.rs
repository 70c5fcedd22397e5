//! That the scanner accepts exactly what `serde_json` accepts (apart from its own rules for keys and depth) and puts it
//! on one line.

use super::*;
use proptest::prelude::*;
use serde_json::{Map, Value};

/// The text on one line, or what is wrong with it.
fn read(text: &str) -> Result<String, JsonError> {
    object_on_one_line(text.to_owned())
}

#[test]
fn an_object_on_one_line_stays_as_it_is() {
    for text in [
        r#"{"a":1}"#,
        r#"{ "a" : [ 1 , -0.5e+3, "x" ] , "b":{"_id":1,"c":null,"d":true,"e":false}}"#,
        r#"{"\u00e9\ud83d\ude00\n":"é😀\\\""}"#,
    ] {
        assert_eq!(read(text).as_deref(), Ok(text));
    }
}

#[test]
fn white_space_around_and_line_breaks_inside_are_removed() {
    assert_eq!(read(" \n{\r\n \"a\":\n[1,\n2]\t}\n").unwrap(), "{ \"a\":[1,2]\t}");
    assert_eq!(read("{\n}").unwrap(), "{}");
    assert_eq!(read(" { } ").unwrap(), "{}");
}

#[test]
fn messages_name_the_problem_and_its_position() {
    let message = |text: &str| read(text).unwrap_err().to_string();
    assert_eq!(message("[]"), "it is not a JSON object");
    assert_eq!(message(""), "it is not a JSON object");
    assert_eq!(message(r#"{"a":1,"a":2}"#), r#"the key "a" occurs twice"#);
    assert_eq!(message(r#"{"a":1,"\u0061":2}"#), r#"the key "a" occurs twice"#);
    assert_eq!(message(r#"{"\u005fid":"x"}"#), "it has the key `_id`, which is the host's");
    assert_eq!(message(r#"{"a":1e999}"#), "a number out of range at byte 5");
    assert_eq!(message(r#"{"a":"\ud800"}"#), "half a surrogate pair at byte 12");
    assert_eq!(message("{\"a\":\"line\nbreak\"}"), "a control character inside of a string at byte 10");
    assert_eq!(message(r#"{"a":1}{}"#), "more text after the object at byte 7");
    let deep = format!(r#"{{"a":{}"#, "[".repeat(1 << 20));
    assert_eq!(message(&deep), "it is nested deeper than 64 levels at byte 68");
    let many: String = (0..99).map(|number| format!("\"k{number}\":0,")).collect();
    assert_eq!(message(&format!("{{{many}\"k50\":1}}")), r#"the key "k50" occurs twice"#);
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(".{0,5}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_serde_json_writes_is_read(value in json(), pretty in any::<bool>()) {
        let object = Value::Object(Map::from_iter([("k".to_owned(), value)]));
        let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) };
        let line = read(&text.unwrap()).unwrap();
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), object);
    }

    /// Bytes of valid JSON are removed, replaced, inserted and cut off: both readers must agree on whether it still is
    /// valid.
    #[test]
    fn the_scanner_agrees_with_serde_json(
        value in json(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<prop::sample::Index>()), 0..4),
    ) {
        let alphabet = b"{}[]\",:\\u0123456789eE+-.tfnd \n\t\x01\x7f";
        let mut bytes = serde_json::to_vec(&serde_json::json!({ "k": value })).unwrap();
        for (at, edit, with) in edits {
            let at = at.index(bytes.len());
            match edit {
                0 => { bytes.remove(at); }
                1 => bytes[at] = alphabet[with.index(alphabet.len())],
                2 => bytes.insert(at, alphabet[with.index(alphabet.len())]),
                _ => bytes.truncate(at.max(1)),
            }
            if bytes.is_empty() { break; }
        }
        if let Ok(text) = String::from_utf8(bytes) {
            let theirs = serde_json::from_str::<Map<String, Value>>(&text);
            match read(&text) {
                Ok(_) => prop_assert!(theirs.is_ok(), "{text}"),
                Err(JsonError::DuplicateKey(_) | JsonError::ReservedKey) => {}
                Err(ours) => prop_assert!(theirs.is_err(), "{ours}: {text}"),
            }
        }
    }

    #[test]
    fn strings_of_any_length_end_at_their_quote(text in "[ -~é\u{7f}-\u{9f}]{0,40}") {
        let line = serde_json::to_string(&serde_json::json!({ "k": text })).unwrap();
        prop_assert_eq!(read(&line).unwrap(), line);
    }
}
