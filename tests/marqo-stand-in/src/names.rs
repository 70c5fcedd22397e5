//! Checks the names of fields and of indexes as Marqo does.

use crate::rules::*;

const FIELD_PATTERN: &str = "[a-zA-Z_][a-zA-Z0-9_]*";
const INDEX_PATTERN: &str = "[a-zA-Z_-][a-zA-Z0-9_-]*";
const RESERVED_PREFIX: &str = "marqo__";
/// Field names that Marqo uses itself.
const PROTECTED: [&str; 5] = ["_id", "_tensor_facets", "_highlights", "_score", "_found"];
/// How names of fields of structured indexes must not begin.
const STRUCTURED_STARTS: [&str; 2] = ["__vector_", "__chunks"];
/// Names that fields of structured indexes must not have.
const STRUCTURED_NAMES: [&str; 3] = ["__field_name", "__field_content", "_embedding"];

/// The rule that a name breaks, and Marqo's message.
pub(crate) type Violation = (&'static Rule, String);

/// Checks the name of a field of an unstructured index. Marqo forbids `::` too, but a name with it does not match the
/// pattern.
pub(crate) fn check_unstructured(name: &str) -> Result<(), Violation> {
    if !matches(name, "_") {
        let message = format!(
            "\"{name}\": Field name must match {FIELD_PATTERN} and must not start with \"{RESERVED_PREFIX}\""
        );
        return Err((&FIELD_NAME_FORM, message));
    }
    if name.starts_with(RESERVED_PREFIX) {
        return Err((
            &FIELD_NAME_PREFIX,
            format!("{name}: Field name must not start with \"{RESERVED_PREFIX}\""),
        ));
    }
    if PROTECTED.contains(&name) {
        let names = PROTECTED.join(", ");
        return Err((&FIELD_NAME_PROTECTED, format!("{name}: Field name must not be one of {names}")));
    }
    Ok(())
}

/// Checks the name of a field of a structured index.
pub(crate) fn check_structured(name: &str) -> Result<(), Violation> {
    if let Some(start) = STRUCTURED_STARTS.iter().find(|start| name.starts_with(**start)) {
        let message = format!(
            "can't start field name with protected prefix {start}. Error raised for field name: {name}"
        );
        return Err((&FIELD_NAME_STRUCTURED, message));
    }
    if STRUCTURED_NAMES.contains(&name) {
        let message = format!("field name can't be a protected field. Please rename this field: {name}");
        return Err((&FIELD_NAME_STRUCTURED, message));
    }
    check_unstructured(name)
}

/// Checks the name of an index; the error is Marqo's message.
pub(crate) fn check_index(name: &str) -> Result<(), String> {
    if !matches(name, "_-") {
        return Err(format!(
            "\"{name}\" is not a valid index name. Index name must match {INDEX_PATTERN} and must not start with \
             \"{RESERVED_PREFIX}\""
        ));
    }
    if name.starts_with(RESERVED_PREFIX) {
        return Err(format!("Index name must not start with \"{RESERVED_PREFIX}\""));
    }
    Ok(())
}

/// Whether a name consists of ASCII letters, digits and the characters in `others`, and does not begin with a digit.
fn matches(name: &str, others: &str) -> bool {
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || others.contains(character);
    name.chars().all(is_allowed) && name.starts_with(|first: char| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_must_match_the_patterns_and_not_be_reserved() {
        assert!(check_unstructured("_x").is_ok());
        for bad in ["", "1a", "a-b", "a.b", "a b", "ü", "a::b", "marqo__a", "_score"] {
            assert!(check_unstructured(bad).is_err(), "{bad}");
        }
        assert!(check_unstructured("__chunks").is_ok());
        assert!(check_structured("__chunks").is_err());
        assert!(check_index("-my_index-1").is_ok());
        assert!(check_index("1index").is_err() && check_index("marqo__x").is_err());
    }
}
