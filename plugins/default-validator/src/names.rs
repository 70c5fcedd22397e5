//! Rules for the identity of a document and for the names of its fields.

use crate::issue::{Report, Step, quoted};

const LONGEST_ID: usize = 255;

const RESERVED_NAMES: [&str; 5] = ["_id", "_tensor_facets", "_highlights", "_score", "_found"];

const RESERVED_PREFIX: &str = "marqo__";

/// Marqo pastes an id unescaped into URLs: `h#1` and `h#2` would be one document, `h/1` could not be read.
pub(crate) fn check_id(id: &str, report: &mut Report) {
    let wrong =
        id.chars().find(|character| !(character.is_ascii_alphanumeric() || "._~-".contains(*character)));
    if id.is_empty() {
        report.error("invalid-id", &[], || {
            "The document has an empty id; give it 1 to 255 characters of A-Z a-z 0-9 . _ ~ -.".to_owned()
        });
    } else if let Some(wrong) = wrong {
        report.error("invalid-id", &[], || {
            let (id, wrong) = (quoted(id), quoted(wrong.encode_utf8(&mut [0; 4])));
            format!("The id {id} contains {wrong}, which an index mangles; use only A-Z a-z 0-9 . _ ~ -.")
        });
    } else if id.len() > LONGEST_ID {
        report.error("invalid-id", &[], || {
            format!("The id {} has {} characters; use at most {LONGEST_ID}.", quoted(id), id.len())
        });
    }
}

/// Checks the name of a field; `variants` is a name like any other here.
pub(crate) fn check_field_name(name: &str, report: &mut Report) {
    if RESERVED_NAMES.contains(&name) || name.starts_with(RESERVED_PREFIX) {
        report.error("reserved-field-name", &[Step::Key(name)], || {
            format!("The field name {} belongs to the index itself; choose another one.", quoted(name))
        });
    } else if !is_field_name(name) {
        report.error("invalid-field-name", &[Step::Key(name)], || {
            let name = quoted(name);
            format!("The field name {name} is refused; use ASCII letters, digits and _, not starting with a digit.")
        });
    }
}

/// Whether Marqo takes the name, leaving aside those that it keeps for itself.
pub(crate) fn is_field_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|character: char| character.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
