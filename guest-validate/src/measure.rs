//! How long Python's `json.dumps` writes a value: the measure by which Marqo limits a document.

use crate::{number, text};

/// What a pass over a JSON value found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measure {
    /// How many characters `json.dumps` writes for it.
    pub(crate) size: u64,
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
        measure.size += match first {
            b'"' => {
                let text = text::scan(token);
                measure.illegal = measure.illegal.or(text.illegal);
                measure.lone_surrogate = measure.lone_surrogate.or(text.lone_surrogate);
                text.size
            }
            b'-' | b'0'..=b'9' => {
                measure.infinite =
                    measure.infinite || number::Number::read(token) == number::Number::Infinite;
                number::dumps_size(token)
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
            b',' | b':' => 2,
            b' ' | b'\n' | b'\r' | b'\t' => 0,
            _ => token.len() as u64,
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
