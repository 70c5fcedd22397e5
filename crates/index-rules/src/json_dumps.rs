//! Computes how many characters Python's `json.dumps` would write for a value, because a Marqo server measures
//! documents by that.
//!
//! It writes ASCII alone: a character outside printable ASCII takes two characters if it has a short escape (`\n`),
//! otherwise six (`\u00e9`), or twelve outside the Basic Multilingual Plane (`\ud83d\ude00`, a surrogate pair).

use std::fmt::{self, Write};

/// The longest document that a Marqo server takes, in characters of its `json.dumps`, `_id` included.
pub const MAX_DOCUMENT_LEN: usize = 100_000;

/// Length of `", "` between items, and of `": "` between key and value.
pub const JSON_DUMPS_SEPARATOR_LEN: usize = 2;

/// Number of bytes that are examined together: those of a SIMD vector.
const BLOCK: usize = 16;

/// The length of a string, quotes included.
pub fn json_dumps_len(text: &str) -> usize {
    json_dumps_escaped_len(text) + "\"\"".len()
}

/// The length of a string without its quotes.
pub fn json_dumps_escaped_len(text: &str) -> usize {
    let (blocks, rest) = text.as_bytes().as_chunks::<BLOCK>();
    let block_len = |block: &[u8; BLOCK]| if is_plain_block(block) { BLOCK } else { bytes_len(block) };
    let rest_len = match text.as_bytes().last_chunk() {
        // If the last full block of the text is plain, the rest, which it contains, is plain, too. That is faster than
        // examining the rest byte by byte, although some bytes are examined twice.
        Some(last) if is_plain_block(last) => rest.len(),
        _ => bytes_len(rest),
    };
    blocks.iter().map(block_len).sum::<usize>() + rest_len
}

/// The length of one character of a string.
pub fn json_dumps_char_len(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        ' '..='~' => 1,
        '\u{10000}'.. => 12,
        _ => 6,
    }
}

/// How many bytes at the start of a text fit into `max` characters of output. They end between two characters of the
/// text.
pub fn json_dumps_prefix_len(text: &str, max: usize) -> usize {
    let mut len = 0;
    let exceeds = |byte: u8| {
        len += usize::from(BYTE_LEN[usize::from(byte)]);
        len > max
    };
    // Only the first byte of a character can exceed the maximum, because the others add nothing.
    text.bytes().position(exceeds).unwrap_or(text.len())
}

/// The length of a float: Python writes the fewest digits that read back as the same float, with an exponent below 1e-4
/// and from 1e16 on. Infinities are `Infinity` and `-Infinity`.
pub fn json_dumps_float_len(float: f64) -> usize {
    let sign = usize::from(float.is_sign_negative());
    let magnitude = float.abs();
    if magnitude.is_infinite() {
        return sign + "Infinity".len();
    }
    let mut len = Len(sign);
    if magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        let _never_fails = write!(len, "{magnitude:?}");
        return len.0;
    }
    // Rust writes 1e16 and 1e-5, Python 1e+16 and 1e-05: always with a sign and at least two digits of exponent.
    let _never_fails = write!(len, "{magnitude:e}");
    let has_sign = magnitude < 1.0;
    let has_two_digits = !(1e-9..1e10).contains(&magnitude);
    len.0 + usize::from(!has_sign) + usize::from(!has_two_digits)
}

/// Counts the characters of a number instead of keeping them.
struct Len(usize);

impl Write for Len {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// How many characters of output each byte of UTF-8 adds: a character counts at its first byte, its continuation bytes
/// add 0.
const BYTE_LEN: [u8; 256] = {
    let mut len = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        len[byte] = match byte as u8 {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
            b' '..=b'~' => 1,
            0..=0x7f | 0xc0..=0xef => 6,
            0x80..=0xbf => 0,
            0xf0.. => 12,
        };
        byte += 1;
    }
    len
};

#[inline]
fn bytes_len(bytes: &[u8]) -> usize {
    bytes.iter().map(|byte| usize::from(BYTE_LEN[usize::from(*byte)])).sum()
}

/// Whether each byte of a block adds one character. Without branches, so that the compiler uses vector instructions.
#[inline(always)]
fn is_plain_block(block: &[u8; BLOCK]) -> bool {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\');
    block.iter().fold(true, |all, byte| all & is_plain(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Floats, each with `json.dumps(float)` as Python 3.11 wrote it.
    const FLOATS: [(f64, &str); 22] = [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (20.0, "20.0"),
        (-19.99, "-19.99"),
        (0.30000000000000004, "0.30000000000000004"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-0.000012345, "-1.2345e-05"),
        (1e-9, "1e-09"),
        (9.9e-10, "9.9e-10"),
        (1e-10, "1e-10"),
        (5e-324, "5e-324"),
        (1e15, "1000000000000000.0"),
        (9999999999999998.0, "9999999999999998.0"),
        (1e16, "1e+16"),
        (1.5e16, "1.5e+16"),
        (1.2345678901234568e+17, "1.2345678901234568e+17"),
        (1e22, "1e+22"),
        (1e100, "1e+100"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (f64::INFINITY, "Infinity"),
        (f64::NEG_INFINITY, "-Infinity"),
    ];

    /// `json.dumps` of a string, in its simplest form.
    fn dumped(text: &str) -> String {
        let mut dumped = String::from("\"");
        for character in text.chars() {
            match character {
                '"' => dumped += "\\\"",
                '\\' => dumped += "\\\\",
                '\n' => dumped += "\\n",
                '\r' => dumped += "\\r",
                '\t' => dumped += "\\t",
                '\u{8}' => dumped += "\\b",
                '\u{c}' => dumped += "\\f",
                ' '..='~' => dumped.push(character),
                _ => character
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .for_each(|unit| dumped += &format!("\\u{unit:04x}")),
            }
        }
        dumped + "\""
    }

    #[test]
    fn float_lengths_are_those_that_python_writes() {
        for (float, python) in FLOATS {
            assert_eq!(json_dumps_float_len(float), python.len(), "{python}");
        }
    }

    #[test]
    fn string_lengths_are_those_that_python_writes() {
        for (text, len) in
            [("", 2), ("abc", 5), ("a\"\\\n", 9), ("é漢", 14), ("😀", 14), ("\u{7f}", 8), ("\u{8}", 4)]
        {
            assert_eq!(json_dumps_len(text), len, "{text}");
        }
    }

    proptest! {
        #[test]
        fn lengths_of_strings_characters_and_prefixes_agree_with_what_is_written(
            text in "\\PC{0,40}|[ -~]{0,70}|[\u{0}-\u{ff}\u{fdd0}\u{fffe}\u{1F600}]{0,40}", max in 0..200_usize,
        ) {
            let written = dumped(&text).len();
            prop_assert_eq!(json_dumps_len(&text), written);
            prop_assert_eq!(json_dumps_escaped_len(&text), written - 2);
            prop_assert_eq!(text.chars().map(json_dumps_char_len).sum::<usize>(), written - 2);
            let prefix = json_dumps_prefix_len(&text, max);
            let fits = text.char_indices().map(|(at, char)| at + char.len_utf8()).take_while(|end| dumped(&text[..*end]).len() - 2 <= max);
            prop_assert_eq!(prefix, fits.last().unwrap_or(0));
        }

        #[test]
        fn the_form_of_a_float_depends_on_its_exponent(float in any::<f64>()) {
            prop_assume!(float.is_finite());
            let scientific = format!("{float:e}");
            let (mantissa, exponent) = scientific.split_once('e').unwrap();
            let exponent: i32 = exponent.parse().unwrap();
            let written = match exponent {
                -4..16 => format!("{float:?}"),
                _ => format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
            };
            prop_assert_eq!(json_dumps_float_len(float), written.len(), "{}", written);
        }
    }
}
