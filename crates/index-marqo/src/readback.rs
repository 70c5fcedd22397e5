//! The integrity check after writing: finds partial documents, which lack vectors, so that no search would find them.

use super::{
    error::Failure, metrics, payload::Payload, response::Fields, server_info::ServerInfo, session::Session,
};
use serde::de::IgnoredAny;
use serde_json::Value;
use std::{borrow::Cow, collections::HashMap, time::Duration};

/// Wait between two checks: vectors may become visible late.
const CHECK_INTERVAL: Duration = Duration::from_secs(15);
/// Checks after the first one.
const RECHECKS: usize = 2;
/// Most documents of one read: vectors are large.
const CHECK_DOCUMENTS: usize = 128;

/// Those of the documents just written that still lack vectors at the last check.
pub(super) async fn partial<'a>(
    session: &Session<'_>,
    server_info: &ServerInfo,
    written: Vec<&'a Payload<'a>>,
) -> Result<Vec<&'a Payload<'a>>, Failure> {
    let mut partial = check(session, server_info, written).await?;
    metrics::partial_detected(partial.len());
    for _ in 0..RECHECKS {
        if partial.is_empty() {
            break;
        }
        tracing::warn!(index = session.index_name, documents = partial.len(), "documents lack vectors");
        session.shared.clock.sleep(CHECK_INTERVAL).await;
        let before = partial.len();
        partial = check(session, server_info, partial).await?;
        metrics::partial_recovered(before - partial.len());
    }
    Ok(partial)
}

/// Those of the documents that lack vectors now.
async fn check<'a>(
    session: &Session<'_>,
    server_info: &ServerInfo,
    payloads: Vec<&'a Payload<'a>>,
) -> Result<Vec<&'a Payload<'a>>, Failure> {
    let mut partial = Vec::new();
    for payloads in payloads.chunks(CHECK_DOCUMENTS) {
        let ids: Vec<&str> = payloads.iter().map(|payload| payload.id.as_str()).collect();
        let facets = session.read(&ids, true, fields_with_facets).await?;
        let lacks = |payload: &Payload<'_>, present: &[String]| {
            let mut expected = expected(session, server_info, payload);
            expected.any(|field| !present.iter().any(|present| present == field))
        };
        partial.extend(
            payloads
                .iter()
                .zip(facets)
                .filter(|(payload, present)| lacks(payload, present))
                .map(|(payload, _)| *payload),
        );
    }
    Ok(partial)
}

/// The tensor fields of a document that must have vectors.
fn expected<'a>(
    session: &'a Session<'_>,
    server_info: &'a ServerInfo,
    payload: &'a Payload<'_>,
) -> impl Iterator<Item = &'a String> {
    let fields =
        if server_info.is_structured { &server_info.tensor_fields } else { &session.settings.tensor_fields };
    let is_embedded =
        |field: &&String| match payload.write.and_then(|write| write.document.fields.get(*field)) {
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Object(custom)) => custom.contains_key("vector"),
            _ => false,
        };
    fields.iter().filter(is_embedded)
}

/// The fields that have vectors: the server lists a document's vectors as facets, `[{FIELD: …, "_embedding": […]}, …]`.
fn fields_with_facets(fields: &Fields<'_>) -> serde_json::Result<Vec<String>> {
    let Some(facets) = fields.get("_tensor_facets") else { return Ok(Vec::new()) };
    // Only the names are kept: the vectors are large.
    let facets: Vec<HashMap<Cow<'_, str>, IgnoredAny>> = serde_json::from_str(facets.get())?;
    Ok(facets.into_iter().flat_map(HashMap::into_keys).map(Cow::into_owned).collect())
}
