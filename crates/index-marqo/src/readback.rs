//! The integrity check after writing: a document whose vectors are incomplete would never be found.

use super::{error::Failure, facts::Facts, metrics, response::Fields, session::Session, wire::Wire};
use serde::de::IgnoredAny;
use serde_json::Value;
use std::{borrow::Cow, collections::HashMap, time::Duration};

/// Between two looks (seed).
const PAUSE: Duration = Duration::from_secs(15);
/// Looks after the first one (seed).
const LOOKS: usize = 2;
/// Documents of one look: vectors are large.
const DOCUMENTS: usize = 128;

/// Of documents that were written just now, those whose vectors are incomplete and stay so.
pub(super) async fn partial<'a>(
    session: &Session<'_>,
    facts: &Facts,
    written: Vec<&'a Wire<'a>>,
) -> Result<Vec<&'a Wire<'a>>, Failure> {
    let mut partial = look(session, facts, written).await?;
    metrics::partial_detected(partial.len());
    for _ in 0..LOOKS {
        if partial.is_empty() {
            break;
        }
        tracing::warn!(index = session.index_name, documents = partial.len(), "documents lack vectors");
        session.shared.env.sleep(PAUSE).await;
        let before = partial.len();
        partial = look(session, facts, partial).await?;
        metrics::partial_recovered(before - partial.len());
    }
    Ok(partial)
}

async fn look<'a>(
    session: &Session<'_>,
    facts: &Facts,
    wires: Vec<&'a Wire<'a>>,
) -> Result<Vec<&'a Wire<'a>>, Failure> {
    let mut partial = Vec::new();
    for some in wires.chunks(DOCUMENTS) {
        let ids: Vec<&str> = some.iter().map(|wire| wire.id.as_str()).collect();
        let facets = session.read(&ids, true, fields_with_facets).await?;
        let lacks = |wire: &Wire<'_>, present: &[String]| {
            let mut expected = expected(session, facts, wire);
            expected.any(|field| !present.iter().any(|present| present == field))
        };
        partial.extend(
            some.iter().zip(facets).filter(|(wire, present)| lacks(wire, present)).map(|(wire, _)| *wire),
        );
    }
    Ok(partial)
}

/// The tensor fields of a document that must have vectors.
fn expected<'a>(
    session: &'a Session<'_>,
    facts: &'a Facts,
    wire: &'a Wire<'_>,
) -> impl Iterator<Item = &'a String> {
    let fields = if facts.is_structured { &facts.tensor_fields } else { &session.settings.tensor_fields };
    let is_embedded = |field: &&String| match wire.write.and_then(|write| write.document.fields.get(*field)) {
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Object(custom)) => custom.contains_key("vector"),
        _ => false,
    };
    fields.iter().filter(is_embedded)
}

fn fields_with_facets(fields: &Fields<'_>) -> serde_json::Result<Vec<String>> {
    let Some(facets) = fields.get("_tensor_facets") else { return Ok(Vec::new()) };
    // The vectors themselves are skipped.
    let facets: Vec<HashMap<Cow<'_, str>, IgnoredAny>> = serde_json::from_str(facets.get())?;
    Ok(facets.into_iter().flat_map(HashMap::into_keys).map(Cow::into_owned).collect())
}
