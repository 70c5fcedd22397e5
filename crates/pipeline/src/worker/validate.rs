//! Has the validator plug-in judge the documents of a chunk, and counts those that it refuses.

use super::{Worker, chunk_counts::ChunkCounts, chunk_error::ChunkError};
use host_core::{
    model::{Document, EntryClass, Operation, ReportEntry, Severity},
    plugin::{Refusal, TransformedDocument, Verdict},
};

/// Validates the documents; returns those that are accepted.
pub(super) async fn validate(
    worker: &Worker,
    operation: Operation,
    documents: Vec<Document>,
    counts: &mut ChunkCounts,
) -> Result<Vec<Document>, ChunkError> {
    let plugin = worker.validate.manifest().reference();
    let judged = documents
        .iter()
        .map(|document| TransformedDocument {
            id: document.id.clone(),
            fields: serde_json::to_string(&document.fields).expect("JSON values always serialize"),
        })
        .collect();
    let verdicts = worker.validate.validate(judged).await?;
    let mut accepted = Vec::with_capacity(documents.len());
    for (document, mut verdict) in documents.into_iter().zip(verdicts) {
        if operation == Operation::UpdateDocuments {
            verdict = on_given_fields(verdict, &document);
        }
        let of_document = |mut entry: ReportEntry| {
            entry.document_id = Some(document.id.to_string());
            entry
        };
        for issue in verdict.issues.into_iter().filter(|issue| issue.severity == Severity::Warning) {
            let entry = ReportEntry::new(EntryClass::Warning, issue.code, issue.message);
            counts.add_entry(of_document(ReportEntry {
                path: issue.path,
                plugin: Some(plugin.clone()),
                ..entry
            }));
        }
        match verdict.refused {
            Some(refusal) => counts.add_entry(of_document(refusal.into_entry(worker.validate.manifest()))),
            None => accepted.push(document),
        }
    }
    Ok(accepted)
}

/// The verdict on a partial update without issues about fields that the update does not have, such as that they are
/// required: the index keeps these fields as they are.
fn on_given_fields(verdict: Verdict, document: &Document) -> Verdict {
    let concerns_update = |path: Option<&str>| {
        let Some(name) = path.and_then(|path| path.split('/').nth(1)) else { return true };
        let name = name.replace("~1", "/").replace("~0", "~");
        name == "_id" || document.fields.contains_key(&name)
    };
    let Verdict { mut issues, refused } = verdict;
    issues.retain(|issue| concerns_update(issue.path.as_deref()));
    let refused = match refused {
        Some(refusal) if !concerns_update(refusal.path.as_deref()) => {
            issues.iter().find(|issue| issue.severity == Severity::Error).cloned().map(Refusal::of)
        }
        refused => refused,
    };
    Verdict { issues, refused }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::model::Issue;

    #[test]
    fn an_update_is_judged_by_the_fields_that_it_gives() {
        let document = Document::from_line(r#"{"_id":"1","title":"","a/b":1}"#).unwrap();
        let judged = |paths: &[Option<&str>]| {
            let issues: Vec<Issue> = paths
                .iter()
                .enumerate()
                .map(|(number, path)| Issue {
                    severity: Severity::Error,
                    code: format!("issue-{number}"),
                    message: "so".to_owned(),
                    path: path.map(str::to_owned),
                })
                .collect();
            let refused = issues.first().cloned().map(Refusal::of);
            let verdict = on_given_fields(Verdict { issues, refused }, &document);
            (verdict.refused.map(|refusal| refusal.code), verdict.issues.len())
        };
        assert_eq!(judged(&[Some("/barcode"), Some("/price/0")]), (None, 0));
        assert_eq!(judged(&[Some("/barcode"), Some("/title")]), (Some("issue-1".to_owned()), 1));
        for path in [Some("/title"), Some("/title/3"), Some("/a~1b"), Some("/_id"), Some(""), None] {
            assert_eq!(judged(&[path]), (Some("issue-0".to_owned()), 1), "{path:?}");
        }
        // A plug-in that trapped returns no issues.
        let trap = Refusal {
            code: "plugin-trap".to_owned(),
            message: "so".to_owned(),
            path: None,
            details: serde_json::Map::new(),
        };
        let verdict = Verdict { issues: Vec::new(), refused: Some(trap.clone()) };
        assert_eq!(on_given_fields(verdict, &document).refused, Some(trap));
    }
}
