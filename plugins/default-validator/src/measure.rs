//! How many characters Python's `json.dumps` writes for a value: the measure by which Marqo limits a document.

use host_index_rules::JSON_DUMPS_SEPARATOR_LEN;

use crate::{number, text};

/// What a pass over a JSON value found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measure {
    /// How many characters `json.dumps` writes for it.
    pub(crate) len: usize,
    /// How deep its arrays and objects are nested.
    pub(crate) depth: usize,
    /// The first character in its strings and keys that an index refuses.
    pub(crate) illegal: Option<char>,
    /// The first half of a surrogate pair that lacks the other half.
    pub(crate) lone_surrogate: Option<u16>,
    /// Whether one of its numbers is too large for a float.
    pub(crate) infinite: bool,
}

/// Measures a text that is right JSON, whatever is in it.
pub(crate) fn measure(raw: &str) -> Measure {
    let mut measure = Measure::default();
    let mut depth = 0_usize;
    let mut rest = raw;
    while let Some(first) = rest.bytes().next() {
        let token = match first {
            b'"' => string_length(rest),
            b'-' | b'0'..=b'9' => {
                run_length(rest, |byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
            }
            b'a'..=b'z' => run_length(rest, |byte| byte.is_ascii_lowercase()),
            _ => 1,
        };
        let Some((token, after)) = rest.split_at_checked(token) else { break };
        rest = after;
        measure.len += match first {
            b'"' => {
                let text = text::scan(token);
                measure.illegal = measure.illegal.or(text.illegal);
                measure.lone_surrogate = measure.lone_surrogate.or(text.lone_surrogate);
                text.len
            }
            b'-' | b'0'..=b'9' => {
                measure.infinite = measure.infinite || number::is_infinite(token);
                number::json_dumps_len(token)
            }
            b'[' | b'{' => {
                depth += 1;
                measure.depth = measure.depth.max(depth);
                1
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                1
            }
            b',' | b':' => JSON_DUMPS_SEPARATOR_LEN,
            b' ' | b'\n' | b'\r' | b'\t' => 0,
            _ => token.len(),
        };
    }
    measure
}

/// Length of the JSON string at the start of the text, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (position, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return position + 1,
            _ => {}
        }
    }
    text.len()
}

fn run_length(text: &str, belongs: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|byte| !belongs(byte)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// JSON texts, each with `len(json.dumps(json.loads(text)))` as Python 3.11 computed it.
    #[rustfmt::skip]
    const PYTHON: &[(&str, usize)] = &[
        ("0", 1),
        ("-0", 1),
        ("7", 1),
        ("-12", 3),
        ("9223372036854775807", 19),
        ("123456789012345678901234567890", 30),
        ("0.0", 3),
        ("-0.0", 4),
        ("1.0", 3),
        ("20.0", 4),
        ("19.99", 5),
        ("-19.99", 6),
        ("1e0", 3),
        ("1E5", 8),
        ("1e15", 18),
        ("1e16", 5),
        ("1.5e16", 7),
        ("123456789012345680.0", 22),
        ("9999999999999998.0", 18),
        ("1e21", 5),
        ("1e22", 5),
        ("1e100", 6),
        ("-2.5e-300", 9),
        ("5e-324", 6),
        ("1.7976931348623157e308", 23),
        ("2.2250738585072014e-308", 23),
        ("1e-4", 6),
        ("0.0001", 6),
        ("0.00012345", 10),
        ("1e-5", 5),
        ("0.00001", 5),
        ("1.5e-5", 7),
        ("0.000012345", 10),
        ("0.1", 3),
        ("0.30000000000000004", 19),
        ("100.0", 5),
        ("123.456", 7),
        ("0.5e1", 3),
        ("1e400", 8),
        ("-1e400", 9),
        ("1e-400", 3),
        ("3.141592653589793", 17),
        ("4.35", 4),
        ("0.1e-6", 5),
        ("1000000000000000.5", 18),
        ("12345678901234567.0", 22),
        ("true", 4),
        ("false", 5),
        ("null", 4),
        (r#""""#, 2),
        (r#""abc""#, 5),
        (r#""é""#, 8),
        (r#""\u00e9""#, 8),
        (r#""漢字""#, 14),
        (r#""😀""#, 14),
        (r#""\ud83d\ude00""#, 14),
        (r#""\ud83d""#, 8),
        (r#""a\/b""#, 5),
        (r#""a/b""#, 5),
        (r#""\\\"""#, 6),
        (r#""\b\f\n\r\t""#, 12),
        (r#""\u0000\u001f""#, 14),
        ("\"\u{7f}\"", 8),
        (r#""\u007f""#, 8),
        ("\"\u{80}\"", 8),
        ("\"\u{2028}\"", 8),
        ("\"\u{ffff}\"", 8),
        ("\"\u{10000}\"", 14),
        (r#""\u0041""#, 3),
        (r#""\u0022""#, 4),
        (r#""\u000a""#, 4),
        ("[]", 2),
        ("{}", 2),
        ("[ ]", 2),
        ("[1,2]", 6),
        ("[ 1 , 2 ]", 6),
        (r#"["a","b"]"#, 10),
        (r#"{"a":1}"#, 8),
        (r#"{ "a" : [ 1.0 , {"b":null} ] , "é" : "x" }"#, 40),
        ("[[[]]]", 6),
        ("[{},{},[]]", 12),
        (r#"{"w":10,"h":2.50}"#, 19),
        (r#"[1e3,true,"\u00fc"]"#, 24),
    ];

    #[test]
    fn lengths_are_those_that_python_computed() {
        for (raw, len) in PYTHON {
            assert_eq!(measure(raw).len, *len, "{raw}");
        }
    }

    #[test]
    fn depth_is_the_deepest_level() {
        assert_eq!(measure("1").depth, 0);
        assert_eq!(measure(r#"[{"a":[]},[]]"#).depth, 3);
        assert_eq!(measure(&"[".repeat(1_000_000)).depth, 1_000_000);
    }

    #[test]
    fn flaws_are_found_in_keys_as_well() {
        assert_eq!(measure("{\"\u{ffff}\":1}").illegal, Some('\u{ffff}'));
        assert_eq!(measure(r#"[{"\ud800":1}]"#).lone_surrogate, Some(0xd800));
        assert!(measure(r#"{"a":[1e999]}"#).infinite);
    }

    /// A value, and how it is spelled in JSON: Python sees the value only.
    #[derive(Clone, Debug)]
    enum Value {
        Literal(&'static str),
        Integer(i128),
        Float(f64),
        Text(Vec<(char, bool)>),
        Array(Vec<Value>),
        Object(Vec<(Vec<(char, bool)>, Value)>),
    }

    fn spell_text(text: &[(char, bool)]) -> String {
        let mut spelled = String::from("\"");
        for (character, escaped) in text {
            let must_escape = matches!(character, '"' | '\\' | '\0'..='\u{1f}');
            if *escaped || must_escape {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    spelled += &format!("\\u{unit:04X}");
                }
            } else {
                spelled.push(*character);
            }
        }
        spelled + "\""
    }

    fn spell(value: &Value) -> String {
        let joined = |parts: Vec<String>| parts.join(" ,\n");
        match value {
            Value::Literal(literal) => (*literal).to_owned(),
            Value::Integer(integer) => integer.to_string(),
            Value::Float(float) => format!("{float:e}"),
            Value::Text(text) => spell_text(text),
            Value::Array(elements) => format!("[ {} ]", joined(elements.iter().map(spell).collect())),
            Value::Object(members) => {
                let member =
                    |(key, value): &(Vec<_>, Value)| format!("{}:\t{}", spell_text(key), spell(value));
                format!("{{{} }}", joined(members.iter().map(member).collect()))
            }
        }
    }

    /// What `json.dumps` writes, written slowly and plainly.
    fn dumps(value: &Value) -> String {
        match value {
            Value::Literal(literal) => (*literal).to_owned(),
            Value::Integer(integer) => integer.to_string(),
            Value::Float(float) => repr(*float),
            Value::Text(text) => dumps_text(text),
            Value::Array(elements) => {
                format!("[{}]", elements.iter().map(dumps).collect::<Vec<_>>().join(", "))
            }
            Value::Object(members) => {
                let member =
                    |(key, value): &(Vec<_>, Value)| format!("{}: {}", dumps_text(key), dumps(value));
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn dumps_text(text: &[(char, bool)]) -> String {
        let mut written = String::from("\"");
        for (character, _) in text {
            match character {
                '"' => written += "\\\"",
                '\\' => written += "\\\\",
                '\n' => written += "\\n",
                '\r' => written += "\\r",
                '\t' => written += "\\t",
                '\u{c}' => written += "\\f",
                '\u{8}' => written += "\\b",
                ' '..='~' => written.push(*character),
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        written += &format!("\\u{unit:04x}");
                    }
                }
            }
        }
        written + "\""
    }

    /// Python's `repr` of a float: the fewest digits that read back, found by trying one precision after the other.
    fn repr(float: f64) -> String {
        let scientific = (0..17)
            .map(|precision| format!("{float:.precision$e}"))
            .find(|text| text.parse::<f64>() == Ok(float))
            .expect("17 digits always suffice");
        let (mantissa, exponent) = scientific.split_once('e').expect("written with an exponent");
        let exponent: i32 = exponent.parse().expect("written by Rust");
        let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
        let digits = mantissa.replace('.', "");
        if !(-4..16).contains(&exponent) {
            let exponent_sign = if exponent < 0 { '-' } else { '+' };
            return format!("{sign}{mantissa}e{exponent_sign}{:02}", exponent.abs());
        }
        if exponent < 0 {
            let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
            return format!("{sign}0.{zeros}{digits}");
        }
        let whole = exponent as usize + 1;
        let padded = format!("{digits:0<whole$}");
        let (before, after) = padded.split_at(whole);
        format!("{sign}{before}.{}", if after.is_empty() { "0" } else { after })
    }

    fn any_text() -> impl Strategy<Value = Vec<(char, bool)>> {
        let character =
            prop_oneof![any::<char>(), prop::char::range('\0', '\u{ff}'), prop::char::range(' ', '~')];
        prop::collection::vec((character, any::<bool>()), 0..12)
    }

    fn any_float() -> impl Strategy<Value = f64> {
        let cents = (-10_000_000_i32..10_000_000).prop_map(|cents| f64::from(cents) / 100.0);
        let power = (-320..309_i32, 1..1000_u32).prop_map(|(exponent, mantissa)| {
            let float: f64 = format!("{mantissa}e{exponent}").parse().expect("a number");
            if float.is_finite() { float } else { 0.0 }
        });
        prop_oneof![prop::num::f64::NORMAL, prop::num::f64::SUBNORMAL, cents, power, Just(0.0), Just(-0.0)]
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            prop_oneof![Just("true"), Just("false"), Just("null")].prop_map(Value::Literal),
            any::<i64>().prop_map(|integer| Value::Integer(integer.into())),
            any::<i128>().prop_map(Value::Integer),
            any_float().prop_map(Value::Float),
            any_text().prop_map(Value::Text),
        ];
        leaf.prop_recursive(4, 48, 6, |value| {
            prop_oneof![
                prop::collection::vec(value.clone(), 0..6).prop_map(Value::Array),
                prop::collection::vec((any_text(), value), 0..6).prop_map(Value::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn length_is_that_of_json_dumps(value in any_value()) {
            let raw = spell(&value);
            prop_assert_eq!(measure(&raw).len, dumps(&value).len(), "{}", raw);
        }

        #[test]
        fn any_text_at_all_is_measured_without_a_panic(text: String) {
            measure(&text);
        }
    }
}
