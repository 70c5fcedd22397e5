//! Partial updates: what is stored, with some fields in the place of others.

use super::{Cause, Outcome, Write, prefetch::Before, rows::ProductRow, sql::Session, upsert};
use crate::model::Document;

/// Changes the products that are there; one outcome a change.
pub(super) fn update(session: &Session<'_>, changes: &[Write], now: i64) -> Result<Vec<Outcome>, Cause> {
    let before = Before::read(session, changes.iter().map(|change| change.document.id.as_str()))?;
    let mut rows = Vec::with_capacity(changes.len());
    let mut outcomes = Vec::with_capacity(changes.len());
    for change in changes {
        let outcome = match merged(&before, change)? {
            None => Outcome::Refused {
                code: "document-not-found".to_owned(),
                message: "the index holds no such document to update".to_owned(),
            },
            Some(whole) => match ProductRow::of(&whole) {
                Ok(row) => {
                    rows.push(row);
                    Outcome::Done
                }
                Err(invalid) => invalid.into(),
            },
        };
        outcomes.push(outcome);
    }
    if !rows.is_empty() {
        upsert::write(session, &rows, now)?;
    }
    Ok(outcomes)
}

/// The whole document after the change, if there is one before it.
fn merged(before: &Before, change: &Write) -> Result<Option<Write>, Cause> {
    let id = &change.document.id;
    let Some(product) = before.products.get(id.as_str()) else { return Ok(None) };
    let mut fields = before.document(id, product)?;
    for added in ["_id", "_mq_job_id", "_mq_content_hash"] {
        fields.remove(added);
    }
    fields.extend(change.document.fields.clone());
    let version = match change.version.is_empty() {
        true => serde_json::from_str(&product.version).map_err(Cause::corrupt)?,
        false => change.version.clone(),
    };
    let document = Document { id: id.clone(), fields };
    Ok(Some(Write { document, version, content_hash: change.content_hash.clone() }))
}
