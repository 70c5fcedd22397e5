//! Checks vectors before they are sent, because the server's errors are less precise. For a custom vector (one that the
//! document itself has) of the wrong length it refuses the whole batch without naming the document; for an update of a
//! field with vectors it does not name the field.

use super::{server_info::ServerInfo, settings::IndexSettings};
use host_core::index::Write;
use serde_json::Value;

/// The first custom vector of a document whose length is not that of the index, as a sentence. `None` if there is none,
/// or if the server does not report the length.
pub(super) fn complaint(write: &Write, settings: &IndexSettings, server_info: &ServerInfo) -> Option<String> {
    let dimensions = server_info.dimensions?;
    settings.mappings.iter().filter(|(_, mapping)| mapping["type"] == "custom_vector").find_map(
        |(field, _)| {
            let length = write.document.fields.get(field)?.get("vector").and_then(Value::as_array)?.len();
            let wrong =
                || format!("the vector of field {field} has {length} numbers; the index has {dimensions}");
            (length != dimensions).then(wrong)
        },
    )
}

/// The first field of a partial update that Marqo cannot update, because it would have to compute a new vector: a
/// tensor field, or a part of a multimodal combination (a vector made of several fields).
pub(super) fn not_updatable<'a>(
    write: &'a Write,
    settings: &IndexSettings,
    server_info: &ServerInfo,
) -> Option<&'a str> {
    let fields = if server_info.is_structured { &server_info.tensor_fields } else { &settings.tensor_fields };
    let is_part =
        |field: &str| settings.mappings.values().any(|mapping| mapping["weights"].get(field).is_some());
    let mut names = write.document.fields.keys().chain(write.version.keys());
    names.find(|name| fields.contains(name) || is_part(name)).map(String::as_str)
}
