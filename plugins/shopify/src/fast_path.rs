//! The plain part of HTML, read without a tokenizer.
//!
//! Nearly all markup of product descriptions is text, tags with quoted attributes and well-known entities. Those are
//! read here at several times the speed of a tokenizer. Whatever is not plain ends the plain part: the tokenizer reads
//! on from there. A test compares the results of both.

use crate::html::TextEmitter;

/// Reads as much of a fragment as is plain and returns the rest, which begins with the first thing that is not.
pub(crate) fn read_plain<'h>(html: &'h str, emitter: &mut TextEmitter<'_>) -> &'h str {
    let mut rest = html;
    loop {
        let Some(at) = memchr::memchr2(b'<', b'&', rest.as_bytes()) else {
            emitter.push(rest);
            return "";
        };
        emitter.push(&rest[..at]);
        rest = &rest[at..];
        let read = if rest.starts_with('<') { read_tag(rest, emitter) } else { read_entity(rest, emitter) };
        match read {
            Some(length) => rest = &rest[length..],
            None => return rest,
        }
    }
}

/// Reads a tag and returns its length, unless there is anything unusual about it.
fn read_tag(html: &str, emitter: &mut TextEmitter<'_>) -> Option<usize> {
    let bytes = html.as_bytes();
    let start = if bytes.get(1) == Some(&b'/') { 2 } else { 1 };
    let name_length = bytes.get(start..)?.iter().position(|byte| !byte.is_ascii_alphanumeric())?;
    let name = &bytes[start..start + name_length];
    if !name.first()?.is_ascii_alphabetic() {
        return None;
    }
    let mut at = start + name_length;
    if !ends_word(bytes[at]) {
        return None;
    }
    let mut alt = None;
    loop {
        match *bytes.get(at)? {
            b'>' => break,
            b'=' => {
                // Only `name="value"`, with nothing before or after it that could change its meaning.
                let quote = *bytes.get(at + 1)?;
                if !is_name_byte(bytes[at - 1]) || (quote != b'"' && quote != b'\'') {
                    return None;
                }
                let value = html.get(at + 2..)?;
                let value = &value[..memchr::memchr(quote, value.as_bytes())?];
                if alt.is_none()
                    && let [.., before, b'a' | b'A', b'l' | b'L', b't' | b'T'] = bytes[..at]
                    && ends_word(before)
                {
                    alt = Some(value);
                }
                at += 2 + value.len() + 1;
                if !ends_word(*bytes.get(at)?) {
                    return None;
                }
            }
            byte if is_name_byte(byte) || ends_word(byte) => at += 1,
            _ => return None,
        }
    }
    if alt.is_some_and(|alt| memchr::memchr2(b'&', b'\0', alt.as_bytes()).is_some()) {
        return None;
    }
    emitter.plain_tag(name, alt).then_some(at + 1)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte)
}

fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'/' | b'>')
}

/// The longest entity that is read here, from `&` to `;`.
const MAX_ENTITY_LEN: usize = 16;

/// Reads one of the entities that make up nearly all, or an ampersand that cannot begin one.
fn read_entity(html: &str, emitter: &mut TextEmitter<'_>) -> Option<usize> {
    let bytes = html.as_bytes();
    if bytes.get(1) == Some(&b' ') {
        emitter.push("& ");
        return Some(2);
    }
    let end = bytes.iter().take(MAX_ENTITY_LEN).position(|byte| *byte == b';')?;
    let name = bytes.get(1..end)?;
    let meant = match name {
        b"amp" => '&',
        b"nbsp" => '\u{A0}',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"lsquo" => '‘',
        b"rsquo" => '’',
        b"ldquo" => '“',
        b"rdquo" => '”',
        b"ndash" => '–',
        b"mdash" => '—',
        b"hellip" => '…',
        b"bull" => '•',
        b"deg" => '°',
        b"reg" => '®',
        b"trade" => '™',
        b"eacute" => 'é',
        b"auml" => 'ä',
        b"ouml" => 'ö',
        b"uuml" => 'ü',
        b"szlig" => 'ß',
        [b'#', b'x', digits @ ..] => numbered(digits, 16)?,
        [b'#', digits @ ..] => numbered(digits, 10)?,
        _ => return None,
    };
    emitter.push(meant.encode_utf8(&mut [0; 4]));
    Some(end + 1)
}

/// The character of a numeric reference, unless it is one with a special meaning, as control characters are.
fn numbered(digits: &[u8], radix: u32) -> Option<char> {
    let digit = |number: Option<u32>, byte: &u8| {
        number?.checked_mul(radix)?.checked_add(char::from(*byte).to_digit(radix)?)
    };
    let number = digits.iter().fold(Some(0), digit)?;
    matches!(number, 0x20..0x7F | 0xA0..0xD800).then(|| char::from_u32(number))?
}
