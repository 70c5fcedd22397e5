//! JSON strings: how many characters Python's `json.dumps` writes for them, and what in them an index refuses. One
//! pass, nothing allocated.

use host_index_rules::{is_storable, json_dumps_char_len};

use crate::json;

/// What a pass over a JSON string found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// How many characters `json.dumps` writes for it, quotes included.
    pub(crate) len: usize,
    /// The first character that an index refuses.
    pub(crate) illegal: Option<char>,
    /// The first half of a surrogate pair that lacks the other half.
    pub(crate) lone_surrogate: Option<u16>,
}

/// Inspects a JSON string, quotes included.
pub(crate) fn scan(raw: &str) -> Text {
    let mut text = Text { len: 2, illegal: None, lone_surrogate: None };
    let mut rest = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
    loop {
        let (run, special) = rest.split_at(plain_length(rest.as_bytes()));
        text.len += run.len();
        let mut characters = special.chars();
        match characters.next() {
            None => return text,
            Some('\\') => rest = text.take_escape(characters.as_str()),
            Some(character) => {
                text.take(character);
                rest = characters.as_str();
            }
        }
    }
}

/// Whether a JSON string, quotes included, has no other characters than white space.
pub(crate) fn is_blank(raw: &str) -> bool {
    json::decode(raw).is_some_and(|text| text.trim().is_empty())
}

impl Text {
    fn take(&mut self, character: char) {
        self.len += json_dumps_char_len(character);
        if self.illegal.is_none() && !is_storable(character) {
            self.illegal = Some(character);
        }
    }

    /// Takes the escape sequence whose backslash is already read; returns what follows it.
    fn take_escape<'a>(&mut self, rest: &'a str) -> &'a str {
        let mut characters = rest.chars();
        let character = match characters.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('u') => return self.take_code_unit(characters.as_str()),
            Some(itself) => itself,
            None => return "",
        };
        self.take(character);
        characters.as_str()
    }

    fn take_code_unit<'a>(&mut self, rest: &'a str) -> &'a str {
        let (unit, after_unit) = code_unit(rest);
        let pair = after_unit.strip_prefix("\\u").map(code_unit);
        if let Some(character) = char::from_u32(unit.into()) {
            self.take(character);
            return after_unit;
        }
        if let Some((low, after_pair)) = pair
            && let Some(Ok(character)) = char::decode_utf16([unit, low]).next()
        {
            self.take(character);
            return after_pair;
        }
        self.len += "\\ud800".len();
        self.lone_surrogate = self.lone_surrogate.or(Some(unit));
        after_unit
    }
}

/// The four hexadecimal digits at the start of the text, and what follows them.
fn code_unit(text: &str) -> (u16, &str) {
    let (digits, rest) = text.split_at_checked(4).unwrap_or((text, ""));
    (u16::from_str_radix(digits, 16).unwrap_or_default(), rest)
}

/// Number of bytes at the start that neither JSON text nor Python's output escapes.
fn plain_length(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let plain_words = words.iter().take_while(|word| is_plain_word(u64::from_le_bytes(**word))).count();
    let start = plain_words * 8;
    start + bytes.iter().skip(start).take_while(|byte| is_plain(**byte)).count()
}

/// The same as [`is_plain`] for eight bytes at once.
fn is_plain_word(word: u64) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = EACH * 0x80;
    // In each of these words, the high bit of a byte is set if the condition holds for it. It may also be set wrongly
    // in bytes above such a byte; that does not matter, because only words without any set bit are plain.
    let zero = |bytes: u64| bytes.wrapping_sub(EACH) & !bytes;
    let control = word.wrapping_sub(EACH * 0x20) & !word;
    let backslash = zero(word ^ (EACH * 0x5c));
    let delete = zero(word ^ (EACH * 0x7f));
    (word | control | backslash | delete) & HIGH == 0
}

/// Whether neither JSON text nor Python's output escapes the byte.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_in_the_source_count_as_python_writes_them() {
        let lengths = [
            (r#""\/""#, 3),
            (r#""\u0041""#, 3),
            (r#""\u000a""#, 4),
            (r#""\ud83d\ude00""#, 14),
            ("\"\u{7f}\"", 8),
        ];
        for (raw, len) in lengths {
            assert_eq!(scan(raw).len, len, "{raw}");
        }
    }

    #[test]
    fn a_lone_surrogate_is_found_wherever_it_stands() {
        for raw in [r#""\ud800""#, r#""\udc00x""#, r#""\ud800\ud800\udc00""#, r#""\ud800A""#, r#""\ud800\n""#]
        {
            assert!(scan(raw).lone_surrogate.is_some(), "{raw}");
        }
        assert_eq!(scan(r#""\ud83d\ude00""#).lone_surrogate, None);
        assert_eq!(scan(r#""\ud800\ud83d\ude00""#).len, 2 + 6 + 12);
    }

    #[test]
    fn blank_is_white_space_however_written() {
        for raw in [r#""""#, r#""  ""#, r#""\n\t ""#, "\"\u{a0}\u{3000}\"", r#""\u0020""#] {
            assert!(is_blank(raw), "{raw}");
        }
        assert!(!is_blank(r#"" x""#));
    }

    #[test]
    fn eight_bytes_at_once_are_judged_like_each() {
        for byte in 0..=u8::MAX {
            for position in 0..8 {
                let mut word = *b"abc ~!}z";
                word[position] = byte;
                let each = word.iter().all(|byte| is_plain(*byte));
                assert_eq!(is_plain_word(u64::from_le_bytes(word)), each, "{word:?}");
            }
        }
    }
}
