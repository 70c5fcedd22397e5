//! From JSON Lines text to records: a record is a JSON object of an export, such as a product or one of its variants.

use std::borrow::Cow;

use plain_json::Raw;

use crate::record::Record;
use crate::scalar::Text;

/// A line that is not a record, and why.
pub(crate) struct Unreadable {
    /// From 1, blank lines included.
    pub(crate) line: usize,
    pub(crate) reason: String,
}

/// What the lines of a product hold.
pub(crate) struct Lines<'a> {
    pub(crate) records: Vec<Record<'a>>,
    /// The line of each record.
    pub(crate) texts: Vec<&'a str>,
    pub(crate) unreadable: Vec<Unreadable>,
}

/// Reads every line; blank lines, `\r` at line ends and a byte order mark at the start are not records. `scratch` is
/// memory that calls reuse; its content does not matter.
pub(crate) fn read<'a>(text: &'a str, scratch: &mut Vec<u8>) -> Lines<'a> {
    let mut rest = text.trim_start_matches('\u{FEFF}');
    // Records are large, so that growing the list would cost much; lines are seldom shorter than 256 bytes.
    let capacity = 1 + rest.len() / 256;
    let mut lines = Lines {
        records: Vec::with_capacity(capacity),
        texts: Vec::with_capacity(capacity),
        unreadable: Vec::new(),
    };
    let mut number = 0;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
        let line = rest[..end].trim_ascii();
        rest = rest.get(end + 1..).unwrap_or_default();
        number += 1;
        if line.is_empty() {
            continue;
        }
        let reason = if line.starts_with('{') {
            match Record::read_onto(&mut lines.records, line, scratch) {
                Ok(()) => {
                    lines.texts.push(line);
                    continue;
                }
                Err(error) => error.to_string(),
            }
        } else {
            "it is not a JSON object".to_owned()
        };
        lines.unreadable.push(Unreadable { line: number, reason });
    }
    lines
}

/// Replaces `\u` escapes of lone surrogates by U+FFFD: they are valid JSON, but no text can hold them. Borrows if there
/// are none.
pub(crate) fn replace_lone_surrogates(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let mut repaired = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(offset) = memchr::memchr(b'\\', &bytes[at..]) {
        at += offset;
        let Some(unit) = code_unit(&bytes[at..]) else {
            // Any other escape, an escaped backslash among them, is two bytes long.
            at = (at + 2).min(bytes.len());
            continue;
        };
        let low_follows =
            bytes.get(at + 6..).and_then(code_unit).is_some_and(|next| (0xDC00..0xE000).contains(&next));
        match unit {
            0xD800..0xDC00 if low_follows => at += 12,
            0xD800..0xE000 => {
                repaired.push_str(&json[copied..at]);
                repaired.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            _ => at += 6,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    repaired.push_str(&json[copied..]);
    Cow::Owned(repaired)
}

/// The UTF-16 code unit of the `\uXXXX` at the start, if there is one.
fn code_unit(json: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = json.first_chunk::<6>()? else { return None };
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

/// The text of a value that was skipped at first: a string's content, or else the JSON itself. Null is nothing.
pub(crate) fn text_of(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    let json = raw.get();
    if !json.starts_with('"') {
        return (json != "null").then_some(Cow::Borrowed(json));
    }
    match serde_json::from_str::<Text<'_>>(json) {
        Ok(text) => text.0,
        Err(_) => {
            let repaired = replace_lone_surrogates(json);
            serde_json::from_str::<Text<'_>>(&repaired).ok()?.0.map(|text| Cow::Owned(text.into_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_become_replacement_characters() {
        for (json, repaired) in [
            (r#""a\ud83db""#, r#""a\ufffdb""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\ud8"#, r#""\ud8"#),
            ("\"é\\", "\"é\\"),
        ] {
            assert_eq!(replace_lone_surrogates(json), repaired);
        }
    }
}
