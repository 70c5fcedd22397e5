//! How large the server will find a document: the characters of Python's `json.dumps`.

use serde_json::{Number, Value};

/// Characters of a value: separators `", "` and `": "`, and everything beyond ASCII as `\uXXXX`.
pub(super) fn characters(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Number(number) => of_number(number),
        Value::String(text) => of_text(text),
        Value::Array(members) => of_list(members.iter().map(characters)),
        Value::Object(members) => {
            of_list(members.iter().map(|(name, value)| of_member(name, characters(value))))
        }
    }
}

/// Characters of a name and a value of so many.
pub(super) fn of_member(name: &str, value: usize) -> usize {
    of_text(name) + 2 + value
}

/// Characters of an array or object whose members have so many.
pub(super) fn of_list(members: impl Iterator<Item = usize>) -> usize {
    let (count, sum) = members.fold((0, 0), |(count, sum), member| (count + 1, sum + member));
    2 + sum + 2 * usize::saturating_sub(count, 1)
}

/// Whether a text is plain, as most are: all its bytes can be looked at side by side to find out.
pub(super) fn is_printable_ascii(text: &str) -> bool {
    text.bytes().fold(true, |all, byte| all & (b' '..=b'~').contains(&byte))
}

/// Characters of a text with its quotes.
pub(super) fn of_text(text: &str) -> usize {
    if is_printable_ascii(text) {
        return 2 + text.len() + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    }
    let character = |c: char| match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        ' '..='~' => 1,
        '\u{10000}'.. => 12,
        _ => 6,
    };
    2 + text.chars().map(character).sum::<usize>()
}

fn of_number(number: &Number) -> usize {
    match number.as_f64() {
        Some(float) if number.is_f64() => of_float(float),
        _ => number.to_string().len(),
    }
}

/// Python's `repr` of a float: shortest digits, an exponent of two digits at least below 1e-4 and from 1e16.
fn of_float(float: f64) -> usize {
    let scientific = format!("{:e}", float.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.len() - usize::from(mantissa.contains('.'));
    let sign = usize::from(float.is_sign_negative());
    let distance = exponent.unsigned_abs() as usize;
    sign + match exponent {
        0..16 => distance + 2 + digits.saturating_sub(distance + 1).max(1),
        -4..0 => 1 + distance + digits,
        _ => mantissa.len() + 2 + distance.to_string().len().max(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_is_as_long_as_pythons_own() {
        for (value, python) in [
            (json!({"a": [1, 2.5, null], "b": {}}), r#"{"a": [1, 2.5, null], "b": {}}"#),
            (json!([]), "[]"),
            (json!("é\u{7f}\u{1}\n\"\\"), r#""\u00e9\u007f\u0001\n\"\\""#),
            (json!("😀"), r#""\ud83d\ude00""#),
            (json!(20.0), "20.0"),
            (json!(-0.0), "-0.0"),
            (json!(19.99), "19.99"),
            (json!(0.0001), "0.0001"),
            (json!(0.00001), "1e-05"),
            (json!(-0.000012345), "-1.2345e-05"),
            (json!(1e15), "1000000000000000.0"),
            (json!(1e16), "1e+16"),
            (json!(1.5e300), "1.5e+300"),
            (json!(123456.789), "123456.789"),
            (json!(9007199254740993u64), "9007199254740993"),
            (json!([true, false]), "[true, false]"),
        ] {
            assert_eq!(characters(&value), python.chars().count(), "{python}");
        }
    }
}
