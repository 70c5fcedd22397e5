//! The rules of a Marqo index for every document: valid ids, field names and characters, and the length of a document.
//!
//! The plug-in that makes a document, the one that validates it and host, which sends it, must apply identical rules;
//! otherwise one of them would reject what another accepts. This crate is the single implementation. It has no
//! dependencies and builds for `wasm32` (plug-ins) as well as natively (host). It knows neither JSON documents nor
//! configurations; callers walk their own representation and check its parts here.
//!
//! | rule | function |
//! | --- | --- |
//! | valid document ids | [`check_document_id`], [`is_document_id_char`] |
//! | valid field names | [`check_field_name`], [`is_field_name`] |
//! | storable characters | [`is_storable`] |
//! | length of a document | [`json_dumps_len`] and its siblings for characters, bytes and floats |
//!
//! # Length
//!
//! Marqo is written in Python and measures a document by `len(json.dumps(document))`, at most [`MAX_DOCUMENT_LEN`]:
//! items are separated by `", "` and keys from values by `": "` ([`JSON_DUMPS_SEPARATOR_LEN`]), a character outside
//! printable ASCII is written as `\uXXXX`, and floats are written by Python's `repr`.
//!
//! # Example
//!
//! ```
//! use host_index_rules::{
//!     InvalidDocumentId, InvalidFieldName, JSON_DUMPS_SEPARATOR_LEN, check_document_id, check_field_name, json_dumps_float_len,
//!     json_dumps_len,
//! };
//!
//! assert_eq!(check_document_id("632910392"), Ok(()));
//! assert_eq!(check_document_id("a/b"), Err(InvalidDocumentId::Character { id: "a/b".to_owned(), character: '/' }));
//! assert_eq!(check_field_name("compare_at_price"), Ok(()));
//! assert_eq!(check_field_name("marqo__vector"), Err(InvalidFieldName::Reserved));
//!
//! // {"title": "Café", "price": 20.0} in Python: the é is six characters.
//! let title = json_dumps_len("title") + JSON_DUMPS_SEPARATOR_LEN + json_dumps_len("Café");
//! let price = json_dumps_len("price") + JSON_DUMPS_SEPARATOR_LEN + json_dumps_float_len(20.0);
//! let braces = "{}".len();
//! assert_eq!(braces + title + JSON_DUMPS_SEPARATOR_LEN + price, r#"{"title": "Caf\u00e9", "price": 20.0}"#.len());
//! ```

mod json_dumps;
mod names;

pub use json_dumps::{
    JSON_DUMPS_SEPARATOR_LEN, MAX_DOCUMENT_LEN, json_dumps_char_len, json_dumps_escaped_len,
    json_dumps_float_len, json_dumps_len, json_dumps_prefix_len,
};
pub use names::{
    InvalidDocumentId, InvalidFieldName, MAX_DOCUMENT_ID_LEN, check_document_id, check_field_name,
    is_document_id_char, is_field_name,
};

/// Whether an index can store the character. Vespa, the engine below Marqo, refuses control characters below U+0020
/// other than tab and line ends, and Unicode's noncharacters (U+FDD0 to U+FDEF, and the last two code points of each
/// plane).
pub fn is_storable(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\0'..='\u{1f}' | '\u{fdd0}'..='\u{fdef}' => false,
        _ => u32::from(character) & 0xfffe != 0xfffe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_noncharacters_cannot_be_stored() {
        let refused =
            (0..=0x0010_ffff_u32).filter_map(char::from_u32).filter(|character| !is_storable(*character));
        let (controls, noncharacters) = (29, 66);
        assert_eq!(refused.count(), controls + noncharacters);
        for character in ['\t', '\n', '\r', '\u{7f}', '\u{85}', '\u{fffd}', '😀'] {
            assert!(is_storable(character), "{character:?}");
        }
    }
}
