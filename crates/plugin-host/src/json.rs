//! Checks JSON text that a plug-in wrote, in one pass: is it an object, can every later reader read it, and is it on
//! one line? Parsing it into values would take longer than the plug-in took to write it.

use std::{fmt, ops::Range};
use wide::u8x16;

/// The most levels of nesting: half of what `serde_json` reads, because documents are nested into other objects later.
const MAX_DEPTH: u32 = 64;

/// With more keys than this, duplicates are found by sorting them.
const FEW_KEYS: usize = 32;

/// Bytes of a string that are examined at once.
const VECTOR_LEN: usize = 16;

/// A number without exponent and of at most this many bytes is finite (the largest `f64` has 309 digits); others are
/// parsed to find out.
const SAFE_DIGITS: usize = 300;

/// What is wrong with a text; `at` is the position in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JsonError {
    NotAnObject,
    Syntax { at: usize, what: &'static str },
    TooDeep { at: usize },
    DuplicateKey(String),
    ReservedKey,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => f.write_str("it is not a JSON object"),
            Self::Syntax { at, what } => write!(f, "{what} at byte {at}"),
            Self::TooDeep { at } => {
                write!(f, "it is nested deeper than {MAX_DEPTH} levels at byte {at}")
            }
            Self::DuplicateKey(key) => write!(f, "the key {key:?} occurs twice"),
            Self::ReservedKey => f.write_str("it has the key `_id`, which is the host's"),
        }
    }
}

/// Checks that a text is a JSON object without `_id` and without the same key twice, and puts it on one line that
/// begins with `{` and ends with `}`. An empty object becomes `{}`. Usually nothing has to be changed or copied.
pub(super) fn object_on_one_line(mut text: String) -> Result<String, JsonError> {
    let shape = scan(&text)?;
    if shape.is_empty {
        text.clear();
        text.push_str("{}");
        return Ok(text);
    }
    text.truncate(shape.object.end);
    text.drain(..shape.object.start);
    if shape.has_line_breaks {
        // Inside of strings they are escaped, so each is white space between tokens.
        text.retain(|character| !matches!(character, '\n' | '\r'));
    }
    Ok(text)
}

/// What the scan found out about a text.
struct Shape {
    /// The bytes of the object, without white space around it.
    object: Range<usize>,
    is_empty: bool,
    has_line_breaks: bool,
}

fn scan(text: &str) -> Result<Shape, JsonError> {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0, has_line_breaks: false };
    scanner.white_space();
    let start = scanner.at;
    if scanner.peek() != Some(b'{') {
        return Err(JsonError::NotAnObject);
    }
    let mut keys = Keys::default();
    scanner.value(&mut keys)?;
    let end = scanner.at;
    scanner.white_space();
    if scanner.peek().is_some() {
        return Err(scanner.error("more text after the object"));
    }
    let is_empty = keys.ranges.is_empty();
    keys.check(text)?;
    Ok(Shape { object: start..end, is_empty, has_line_breaks: scanner.has_line_breaks })
}

/// Where the keys of the outermost object are, quotes not included.
#[derive(Default)]
struct Keys {
    ranges: Vec<Range<usize>>,
    /// Whether a key contains an escape, so that keys must be decoded before they are compared.
    any_escaped: bool,
}

impl Keys {
    fn check(self, text: &str) -> Result<(), JsonError> {
        if self.any_escaped {
            let decode = |range: &Range<usize>| {
                serde_json::from_str::<String>(&text[range.start - 1..range.end + 1]).unwrap_or_default()
            };
            let decoded: Vec<String> = self.ranges.iter().map(decode).collect();
            return check_keys(decoded.iter().map(String::as_str).collect());
        }
        check_keys(self.ranges.into_iter().map(|range| &text[range]).collect())
    }
}

/// Refuses the key `_id` and duplicates.
fn check_keys(mut keys: Vec<&str>) -> Result<(), JsonError> {
    if keys.contains(&"_id") {
        return Err(JsonError::ReservedKey);
    }
    let duplicate = if keys.len() <= FEW_KEYS {
        // A Bloom filter with one hash: only a key whose bit is set already is compared with the keys before it.
        let mut bits = 0_u64;
        let is_repeated = |(index, key): &(usize, &&str)| {
            let bit = 1 << (hash(key) % 64);
            let is_set = bits & bit != 0;
            bits |= bit;
            is_set && keys[..*index].contains(key)
        };
        keys.iter().enumerate().find(is_repeated).map(|(_, key)| *key)
    } else {
        keys.sort_unstable();
        keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
    };
    duplicate.map_or(Ok(()), |key| Err(JsonError::DuplicateKey(key.chars().take(80).collect())))
}

/// A cheap hash of a key: of its length, its first and its last byte.
fn hash(key: &str) -> u8 {
    let (first, last) = (key.as_bytes().first(), key.as_bytes().last());
    let bytes = [key.len() as u8, first.copied().unwrap_or(0), last.copied().unwrap_or(0)];
    bytes.into_iter().fold(0, |hash: u8, byte| hash.wrapping_mul(11).wrapping_add(byte))
}

struct Scanner<'a> {
    bytes: &'a [u8],
    /// The position of the next byte.
    at: usize,
    has_line_breaks: bool,
}

impl Scanner<'_> {
    /// Reads a value, and collects the keys of the outermost object. The open objects and arrays are kept in the bits
    /// of one integer instead of by recursion, so that a hostile text cannot exhaust the stack.
    fn value(&mut self, keys: &mut Keys) -> Result<(), JsonError> {
        // Bit n says whether level n, counted from the innermost, is an object (1) or an array (0).
        let (mut levels, mut depth) = (0_u64, 0_u32);
        loop {
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if depth == MAX_DEPTH {
                        return Err(JsonError::TooDeep { at: self.at });
                    }
                    let is_object = open == b'{';
                    depth += 1;
                    levels = levels << 1 | u64::from(is_object);
                    self.at += 1;
                    self.white_space();
                    if self.peek() != Some(if is_object { b'}' } else { b']' }) {
                        if is_object {
                            self.key((depth == 1).then_some(&mut *keys))?;
                        }
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                _ => return Err(self.error("a value is missing")),
            }
            // A value has ended: continue in its container, or leave it.
            loop {
                if depth == 0 {
                    return Ok(());
                }
                self.white_space();
                let is_object = levels & 1 == 1;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.white_space();
                        if is_object {
                            self.key((depth == 1).then_some(&mut *keys))?;
                        }
                        break;
                    }
                    Some(b'}') if is_object => {}
                    Some(b']') if !is_object => {}
                    _ => return Err(self.error("`,` or the end of an object or array is missing")),
                }
                self.at += 1;
                levels >>= 1;
                depth -= 1;
            }
        }
    }

    /// Reads a key, the colon after it and the white space up to the value.
    fn key(&mut self, keys: Option<&mut Keys>) -> Result<(), JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.error("a key is missing"));
        }
        let start = self.at + 1;
        let escaped = self.string()?;
        if let Some(keys) = keys {
            keys.ranges.push(start..self.at - 1);
            keys.any_escaped |= escaped;
        }
        self.white_space();
        if self.peek() != Some(b':') {
            return Err(self.error("`:` is missing"));
        }
        self.at += 1;
        self.white_space();
        Ok(())
    }

    /// Reads a string with its quotes and returns whether anything in it is escaped.
    fn string(&mut self) -> Result<bool, JsonError> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.plain_characters();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.error("a control character inside of a string")),
                None => return Err(self.error("a string without end")),
            }
        }
    }

    /// Moves to the next quote, backslash or control character, sixteen bytes at a time.
    fn plain_characters(&mut self) {
        const QUOTE: u8x16 = u8x16::new([b'"'; VECTOR_LEN]);
        const BACKSLASH: u8x16 = u8x16::new([b'\\'; VECTOR_LEN]);
        const SPACE: u8x16 = u8x16::new([b' '; VECTOR_LEN]);
        while let Some(vector) = self.bytes[self.at..].first_chunk::<VECTOR_LEN>() {
            let vector = u8x16::new(*vector);
            let special = vector.simd_eq(QUOTE) | vector.simd_eq(BACKSLASH) | vector.simd_lt(SPACE);
            let special = special.to_bitmask();
            if special != 0 {
                self.at += special.trailing_zeros() as usize;
                return;
            }
            self.at += VECTOR_LEN;
        }
        while self.peek().is_some_and(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => match self.code_unit()? {
                0xdc00..=0xdfff => Err(self.error("half a surrogate pair")),
                0xd800..=0xdbff => {
                    let follows = self.bytes[self.at..].starts_with(b"\\u");
                    self.at += usize::from(follows);
                    match follows.then(|| self.code_unit()).transpose()? {
                        Some(0xdc00..=0xdfff) => Ok(()),
                        _ => Err(self.error("half a surrogate pair")),
                    }
                }
                _ => Ok(()),
            },
            _ => Err(self.error("an unknown escape in a string")),
        }
    }

    /// Reads `u` and four hexadecimal digits: a UTF-16 code unit.
    fn code_unit(&mut self) -> Result<u16, JsonError> {
        let digits = self.bytes.get(self.at + 1..self.at + 5).unwrap_or_default();
        let mut bytes = [0; 2];
        if hex::decode_to_slice(digits, &mut bytes).is_err() {
            return Err(self.error("an incomplete escape in a string"));
        }
        self.at += 5;
        Ok(u16::from_be_bytes(bytes))
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let has_exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if has_exponent {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let number = &self.bytes[start..self.at];
        let is_finite = || {
            let text = std::str::from_utf8(number).ok();
            text.and_then(|text| text.parse::<f64>().ok()).is_some_and(f64::is_finite)
        };
        if (has_exponent || number.len() > SAFE_DIGITS) && !is_finite() {
            return Err(JsonError::Syntax { at: start, what: "a number out of range" });
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.error("a digit is missing")) } else { Ok(()) }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.error("a value is missing"));
        }
        self.at += word.len();
        Ok(())
    }

    fn white_space(&mut self) {
        while let Some(byte @ (b' ' | b'\t' | b'\n' | b'\r')) = self.peek() {
            self.has_line_breaks |= matches!(byte, b'\n' | b'\r');
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn error(&self, what: &'static str) -> JsonError {
        JsonError::Syntax { at: self.at, what }
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
