//! Decides by the first bytes of a source, decompressed, how its records are found.

use serde::de::IgnoredAny;
use serde_json::error::Category;

/// Bytes of a source that are looked at.
pub(super) const HEAD_LENGTH: usize = 64 * 1024;

/// Keys with which the answer of a shop platform begins, and no product does. The objects below them are the records:
/// `{"products":[…]}` of Shopify's REST API and storefront, `{"data":{…}}` of a GraphQL API.
pub(super) const ANSWER_KEYS: [&str; 8] =
    ["data", "errors", "extensions", "products", "product_listings", "nodes", "edges", "pageInfo"];
/// Keys of an answer with one product. A record may begin with one of them too (a variant with its `product`), so an
/// object is an answer only if all of its keys are in these two lists.
pub(super) const SINGLE_ANSWER_KEYS: [&str; 4] = ["product", "product_listing", "node", "cursor"];

/// How the records of a source are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One record a line. A line that is none is rejected, and the rest goes on.
    Lines,
    /// JSON values of any layout: an array, the answer of an API, objects over several lines or without line ends.
    Values,
}

impl Form {
    /// Decides by the first bytes. Whatever is not certainly another form is taken for lines.
    pub(super) fn of(head: &[u8]) -> Self {
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
        let is_other = match head {
            [RECORD_SEPARATOR, ..] => true,
            [b'[', rest @ ..] => matches!(rest.trim_ascii_start().first(), Some(b'{' | b'[' | b']')),
            [b'{', ..] => begins_answer(head) || !ends_with_its_line(head),
            _ => false,
        };
        if is_other { Self::Values } else { Self::Lines }
    }
}

/// Stands before each value of a JSON text sequence (RFC 7464).
pub(super) const RECORD_SEPARATOR: u8 = 0x1e;

/// Whether an object begins with a key of an answer.
pub(super) fn begins_answer(object: &[u8]) -> bool {
    first_key(object).is_some_and(|key| is_answer_key(key) || is_single_answer_key(key))
}

/// Whether the answer of a platform has this key and a product does not.
pub(super) fn is_answer_key(key: &str) -> bool {
    ANSWER_KEYS.contains(&key)
}

/// Whether this is a key of an answer with one product.
pub(super) fn is_single_answer_key(key: &str) -> bool {
    SINGLE_ANSWER_KEYS.contains(&key)
}

/// The first key of an object, unless it has escapes.
pub(super) fn first_key(object: &[u8]) -> Option<&str> {
    let key = object.strip_prefix(b"{")?.trim_ascii_start().strip_prefix(b"\"")?;
    let end = key.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&key[..end]).ok()
}

/// Whether the first object fills its line, or cannot be read: a damaged first line must not change the form.
fn ends_with_its_line(head: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(head).into_iter::<IgnoredAny>();
    let (end, is_whole) = match values.next() {
        Some(Ok(_)) => (values.byte_offset(), true),
        Some(Err(error)) if error.classify() == Category::Eof => (head.len(), false),
        _ => return true,
    };
    if head[..end].contains(&b'\n') {
        return false;
    }
    let blanks = head[end..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let rest = &head[end + blanks..];
    !is_whole || !matches!(rest, [b'{' | b',' | RECORD_SEPARATOR, ..] | [b'\r', b'{' | b'\r', ..])
}

/// What a line that is no record looks like, for a message.
pub(super) fn looks_like(line: &[u8]) -> &'static str {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii_start();
    let begins = |prefix: &str| {
        line.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    let has = |byte| memchr::memchr(byte, line).is_some();
    match line {
        _ if begins("<!doctype html") || begins("<html") => "an HTML page, as of an error or a login",
        [b'<', ..] => "XML or HTML, as of an error",
        _ if begins("{'") => "objects as Python prints them, which is not JSON",
        [b'{', ..] => "damaged JSON",
        [b'"', ..] => "JSON inside JSON strings: it was encoded twice",
        [b'[', ..] => "JSON arrays without objects",
        _ if has(0) => "binary data",
        _ if has(b',') || has(b'\t') || has(b';') => "a table, as in CSV",
        _ => "text that is not JSON",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_a_line_is_read_line_by_line_whatever_else_it_has() {
        for head in [
            "",
            "{\"id\":1}",
            "{\"id\":1}\n{\"id\":2}\n",
            "\u{feff}{\"id\":1}  \r\n{\"id\":2}\n",
            "\n\n{\"id\":1}\n",
            "not JSON\n{\"id\":1}\n",
            "<br />\n[]\n",
            // A damaged first line.
            "{\"id\":1,\n{\"id\":2}\n",
            "{\"id\":\"a\n{\"id\":2}\n",
            "{\"id\":1} x\n{\"id\":2}\n",
            // A line longer than the head, or cut off.
            "{\"id\":1,\"t\":\"aaaa",
            "[1]\n[2]\n",
            "{\"variants\":[]}\n",
        ] {
            assert_eq!(Form::of(head.as_bytes()), Form::Lines, "{head}");
        }
    }

    #[test]
    fn other_json_is_read_value_by_value() {
        for head in [
            "[{\"id\":1}]",
            "[\n  {",
            "[]",
            "[[{",
            "{\n  \"id\": 1",
            "{\"id\": 1\n}",
            "{\"id\":1}{\"id\":2}",
            "{\"id\":1},\n{\"id\":2}",
            "{\"id\":1}\r{\"id\":2}\r",
            "\u{1e}{\"id\":1}\n",
            "{\"products\":[",
            "{ \"data\" : {",
            "{\"errors\":\"no\"}",
            "{\"product\":{\"id\":1}}\n",
            "{\"node\":{\"id\":1}}\n",
        ] {
            assert_eq!(Form::of(head.as_bytes()), Form::Values, "{head}");
        }
    }
}
