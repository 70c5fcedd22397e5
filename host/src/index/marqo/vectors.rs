//! Custom vectors: a wrong length makes the server refuse the whole batch without saying whose it is.

use super::facts::Facts;
use crate::{index::Write, model::IndexSettings};
use serde_json::Value;

/// What is wrong with the custom vectors of a document, as far as can be told here.
pub(super) fn complaint(write: &Write, settings: &IndexSettings, facts: &Facts) -> Option<String> {
    let dimensions = facts.dimensions?;
    settings.mappings.iter().filter(|(_, mapping)| mapping["type"] == "custom_vector").find_map(
        |(field, _)| {
            let length = write.document.fields.get(field)?.get("vector").and_then(Value::as_array)?.len();
            let wrong =
                || format!("the vector of field {field} has {length} numbers; the index has {dimensions}");
            (length != dimensions).then(wrong)
        },
    )
}
