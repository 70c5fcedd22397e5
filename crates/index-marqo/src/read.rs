//! Reads documents, their versions (which the worker compares before it writes), ids and counts from a Marqo server.

use super::{
    error::Failure,
    operation::Operation,
    payload::{CONTENT_HASH, JOB_ID, VERSION_FIELDS},
    request,
    response::{Fields, Results, document, is_found, text},
    session::Session,
};
use host_core::{index::StoredVersion, model::DocumentId};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::atomic::Ordering;

/// Most ids of one request: the server allows 10,000, but answers with whole documents.
const IDS_PER_REQUEST: usize = 1_000;
/// Ids that one search lists.
const PAGE: usize = 1_000;
/// Most ids that searches can list, all pages together: Marqo's limit of offset + limit.
pub(super) const MAX_LISTED: usize = 10_000;
/// Version fields of documents that another program wrote, and which therefore do not name theirs.
const DEFAULT_VERSION_FIELDS: &str = "updated_at,_mq_version";

impl Session<'_> {
    /// Versions of documents, in the order of the ids; `None` for those that the index does not have.
    pub(super) async fn stored(&self, ids: &[&str]) -> Result<Vec<Option<StoredVersion>>, Failure> {
        self.read(ids, false, |fields| Ok(is_found(fields).then(|| stored(fields)))).await
    }

    /// Documents as they are stored, in the order of the ids; `None` for those that the index does not have.
    pub(super) async fn documents(&self, ids: &[&str]) -> Result<Vec<Option<Map<String, Value>>>, Failure> {
        let read = |fields: &Fields<'_>| is_found(fields).then(|| document(fields)).transpose();
        self.read(ids, false, read).await
    }

    /// Reads documents, with their vectors if `with_facets`, and maps the answer about each id with `take`.
    pub(super) async fn read<T>(
        &self,
        ids: &[&str],
        with_facets: bool,
        take: impl Fn(&Fields<'_>) -> serde_json::Result<T>,
    ) -> Result<Vec<T>, Failure> {
        let server_info = self.server_info().await?;
        let mut taken = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS_PER_REQUEST) {
            let read = |body: &[u8]| {
                let answer: Results<'_> = serde_json::from_slice(body)?;
                if answer.results.len() != ids.len() {
                    return Err(serde::de::Error::custom("other documents than asked for"));
                }
                answer.results.iter().map(&take).collect::<serde_json::Result<Vec<T>>>()
            };
            let make = |endpoint: &super::endpoint::Endpoint| {
                // Servers before 2.14 have no `get-batch`.
                let by_post =
                    !server_info.is_before(2, 14) && !endpoint.lacks_get_batch.load(Ordering::Relaxed);
                request::get(self.index_name, ids, by_post, with_facets)
            };
            taken.extend(self.request_with_failover(Operation::Get, make, read).await?);
        }
        Ok(taken)
    }

    /// Number of documents.
    pub(super) async fn count(&self) -> Result<u64, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Stats {
            number_of_documents: u64,
        }
        let read = |body: &[u8]| Ok(serde_json::from_slice::<Stats>(body)?.number_of_documents);
        self.request_with_failover(Operation::Stats, |_| request::stats(self.index_name), read).await
    }

    /// Health of the index: `green`, `yellow` or `red`.
    pub(super) async fn health(&self) -> Result<String, Failure> {
        #[derive(Deserialize)]
        struct Health {
            status: String,
        }
        let read = |body: &[u8]| Ok(serde_json::from_slice::<Health>(body)?.status);
        self.request_with_failover(Operation::Health, |_| request::health(self.index_name), read).await
    }

    /// All ids, sorted.
    pub(super) async fn all_ids(&self) -> Result<Vec<DocumentId>, Failure> {
        #[derive(Deserialize)]
        struct Page {
            hits: Vec<Hit>,
        }
        #[derive(Deserialize)]
        struct Hit {
            #[serde(rename = "_id")]
            id: String,
        }
        let mut ids = Vec::new();
        while ids.len() < MAX_LISTED {
            let offset = ids.len();
            let read = |body: &[u8]| Ok(serde_json::from_slice::<Page>(body)?.hits);
            let hits = self
                .request_with_failover(
                    Operation::List,
                    |_| request::list(self.index_name, offset, PAGE),
                    read,
                )
                .await?;
            let is_last = hits.len() < PAGE;
            ids.extend(hits.into_iter().map(|hit| hit.id));
            if is_last {
                break;
            }
        }
        let documents = if ids.len() < MAX_LISTED { ids.len() as u64 } else { self.count().await? };
        if documents > ids.len() as u64 {
            return Err(Failure::TooManyToList {
                index: self.index_name.to_owned(),
                documents,
                limit: MAX_LISTED,
            });
        }
        ids.sort_unstable();
        // Pages overlap when something is written between them.
        ids.dedup();
        let invalid_id = |error| Failure::Refused {
            endpoint: self.settings.endpoint.clone(),
            operation: Operation::List.as_str(),
            detail: format!("an answer with an id that is none: {error}"),
        };
        ids.into_iter().map(|id| DocumentId::new(id).map_err(invalid_id)).collect()
    }
}

/// The version and origin of a document, from the fields that the host added to it.
fn stored(fields: &Fields<'_>) -> StoredVersion {
    let names = text(fields, VERSION_FIELDS).unwrap_or_else(|| DEFAULT_VERSION_FIELDS.to_owned());
    let value = |name: &str| serde_json::from_str(fields.get(name)?.get()).ok();
    let version = names.split(',').filter_map(|name| Some((name.to_owned(), value(name)?))).collect();
    StoredVersion {
        version,
        content_hash: text(fields, CONTENT_HASH),
        job_id: text(fields, JOB_ID),
        is_archived: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn version_fields_are_those_that_the_document_names_or_the_default_ones() {
        let read = |line: Value| {
            let text = json!({ "results": [line] }).to_string();
            let answer: Results<'_> = serde_json::from_str(&text).unwrap();
            stored(&answer.results[0])
        };
        let ours = read(json!({
            "_id": "1", "title": "é\n", "updated_at": "now", "rev": 7, "_mq_version": 1,
            "_mq_version_fields": "rev,gone", "_mq_content_hash": "h", "_mq_job_id": "j",
        }));
        assert_eq!(Value::from(ours.version), json!({"rev": 7}));
        assert_eq!((ours.content_hash.as_deref(), ours.job_id.as_deref()), (Some("h"), Some("j")));
        let none = read(json!({"updated_at": "now", "_mq_version_fields": ""}));
        assert_eq!(Value::from(none.version), json!({}));
        let others = read(json!({"updated_at": "now", "_mq_version": 3, "title": "x"}));
        assert_eq!(Value::from(others.version), json!({"updated_at": "now", "_mq_version": 3}));
        assert_eq!(others.content_hash, None);
    }
}
