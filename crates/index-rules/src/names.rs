//! The rules for document ids and field names.

use std::error::Error;
use std::fmt;

/// The longest document id, in characters.
pub const MAX_DOCUMENT_ID_LEN: usize = 255;

/// Characters of an id that an error shows.
const MAX_SHOWN: usize = 80;

/// Fields that Marqo adds to documents itself.
const RESERVED_FIELDS: [&str; 5] = ["_id", "_tensor_facets", "_highlights", "_score", "_found"];

/// The prefix of the names of Marqo's internal fields.
const RESERVED_PREFIX: &str = "marqo__";

/// Why a text cannot be the id of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidDocumentId {
    /// It is empty.
    Empty,
    /// It has this many characters, more than [`MAX_DOCUMENT_ID_LEN`].
    TooLong(usize),
    /// It has a character that is not allowed, because in a URL it would be escaped or have a meaning.
    Character {
        /// The id, shortened.
        id: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// It is `.` or `..`, which a URL resolves to another path.
    DotSegment(&'static str),
}

impl fmt::Display for InvalidDocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => {
                write!(
                    f,
                    "the document id is empty; give each document an id of 1 to {MAX_DOCUMENT_ID_LEN} characters"
                )
            }
            Self::TooLong(len) => {
                write!(f, "the document id has {len} characters; {MAX_DOCUMENT_ID_LEN} are allowed")
            }
            Self::Character { id, character } => write!(
                f,
                "the document id {id:?} has the character {character:?}; only A-Z a-z 0-9 . _ ~ - are allowed"
            ),
            Self::DotSegment(id) => {
                write!(f, "the document id {id:?} means a folder in a URL; give the document another id")
            }
        }
    }
}

impl Error for InvalidDocumentId {}

/// Checks an id: 1 to 255 characters of `[A-Za-z0-9._~-]`, and not `.` or `..`.
///
/// Marqo inserts ids unescaped into the path of a URL: `h#1` and `h#2` would address the same document, and `a/b` could
/// not be read at all.
pub fn check_document_id(id: &str) -> Result<(), InvalidDocumentId> {
    if id.is_empty() {
        return Err(InvalidDocumentId::Empty);
    }
    if let Some(character) = id.chars().find(|character| !is_document_id_char(*character)) {
        return Err(InvalidDocumentId::Character { id: id.chars().take(MAX_SHOWN).collect(), character });
    }
    if id.len() > MAX_DOCUMENT_ID_LEN {
        return Err(InvalidDocumentId::TooLong(id.len()));
    }
    match [".", ".."].into_iter().find(|segment| id == *segment) {
        Some(segment) => Err(InvalidDocumentId::DotSegment(segment)),
        None => Ok(()),
    }
}

/// Whether an id may contain the character.
pub fn is_document_id_char(character: char) -> bool {
    matches!(character, 'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '~' | '-')
}

/// Why a text cannot be the name of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidFieldName {
    /// Marqo uses the name itself.
    Reserved,
    /// It is not an identifier of ASCII letters, digits and `_` that begins with no digit.
    Syntax,
}

impl fmt::Display for InvalidFieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reserved => "the field name belongs to the index itself; choose another one",
            Self::Syntax => {
                "a field name has ASCII letters, digits and _ only and does not start with a digit"
            }
        })
    }
}

impl Error for InvalidFieldName {}

/// Checks whether a document may have a field of this name, in an index whose schema does not list its fields.
pub fn check_field_name(name: &str) -> Result<(), InvalidFieldName> {
    if RESERVED_FIELDS.contains(&name) || name.starts_with(RESERVED_PREFIX) {
        return Err(InvalidFieldName::Reserved);
    }
    if is_field_name(name) { Ok(()) } else { Err(InvalidFieldName::Syntax) }
}

/// Whether a text has the form of a field name: `[A-Za-z_][A-Za-z0-9_]*`. Reserved names have it too.
pub fn is_field_name(name: &str) -> bool {
    name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_is_valid_or_refused_with_a_short_message() {
        for id in ["a", "632910392", "AZaz09._~-", "...", ".a", &"x".repeat(255)] {
            assert_eq!(check_document_id(id), Ok(()), "{id}");
        }
        for (id, message) in [
            ("", "the document id is empty; give each document an id of 1 to 255 characters"),
            ("a/b", "the document id \"a/b\" has the character '/'; only A-Z a-z 0-9 . _ ~ - are allowed"),
            ("..", "the document id \"..\" means a folder in a URL; give the document another id"),
            (&"x".repeat(256), "the document id has 256 characters; 255 are allowed"),
        ] {
            assert_eq!(check_document_id(id).unwrap_err().to_string(), message);
        }
        let long = "é".repeat(1_000_000);
        assert!(check_document_id(&long).unwrap_err().to_string().len() < 300);
    }

    #[test]
    fn field_names_are_valid_reserved_or_malformed() {
        for name in RESERVED_FIELDS.into_iter().chain([RESERVED_PREFIX, "marqo__chunks"]) {
            assert_eq!(check_field_name(name), Err(InvalidFieldName::Reserved), "{name}");
            assert!(is_field_name(name), "{name}");
        }
        for name in ["a", "_", "_x", "A9_z", "marqo_", "_idx"] {
            assert_eq!(check_field_name(name), Ok(()), "{name}");
        }
        for name in ["", "9a", "a.b", "a b", "a-b", "a::b", "é"] {
            assert_eq!(check_field_name(name), Err(InvalidFieldName::Syntax), "{name}");
        }
    }

    proptest! {
        #[test]
        fn valid_ids_are_those_that_a_url_leaves_as_they_are(id in "[ -~]{0,4}|[A-Za-z0-9._~-]{0,260}|\\PC{0,8}") {
            // Unreserved characters of RFC 3986, and no segment that its algorithm "remove dot segments" drops.
            let is_unreserved = |char: char| char.is_ascii_alphanumeric() || ['-', '.', '_', '~'].contains(&char);
            let is_kept = !id.is_empty() && id.chars().all(is_unreserved) && id.len() <= 255 && id != "." && id != "..";
            prop_assert_eq!(check_document_id(&id).is_ok(), is_kept);
        }

        #[test]
        fn field_names_are_identifiers(name in "[ -~]{0,3}|[A-Za-z_][A-Za-z0-9_]{0,20}|\\PC{0,4}") {
            let is_letter = |char: char| char.is_ascii_alphabetic() || char == '_';
            let is_identifier = name.starts_with(is_letter) && name.chars().all(|char| is_letter(char) || char.is_ascii_digit());
            prop_assert_eq!(is_field_name(&name), is_identifier);
        }
    }
}
