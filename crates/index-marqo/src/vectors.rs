//! Checks vectors before they are sent, because the server's errors are less precise: for a custom vector of the wrong length it
//! refuses the whole batch without naming the document, and it refuses an update of a field with vectors in general terms.

use super::{server_info::ServerInfo, settings::IndexSettings};
use host_core::index::Write;
use serde_json::Value;

/// The first error in the custom vectors of a document that can be detected here.
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

/// The field of a partial update that a server would have to make vectors of, which it does not do (Marqo: neither tensor
/// fields nor parts of a multimodal combination).
pub(super) fn not_updatable<'a>(
    write: &'a Write,
    settings: &IndexSettings,
    server_info: &ServerInfo,
) -> Option<&'a str> {
    let fields = if server_info.is_structured { &server_info.tensor_fields } else { &settings.tensor_fields };
    let is_part =
        |field: &str| settings.mappings.values().any(|mapping| mapping["weights"].get(field).is_some());
    let mut given = write.document.fields.keys().chain(write.version.keys());
    given.find(|given| fields.contains(given) || is_part(given)).map(String::as_str)
}
