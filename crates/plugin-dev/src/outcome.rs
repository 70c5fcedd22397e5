//! Runs a plug-in and brings its answers into one JSON form for all roles: the form of golden files, the expected
//! answers of tests.

use crate::items::Items;
use host_core::{
    model::{Issue, Product},
    plugin::{BatchFailure, ProductOutcome, Refusal, TransformedDocument, Verdict, VersionOrdering},
};
use host_plugin_host::{Cost, Runner};
use serde_json::{Map, Value, json};

/// A plug-in's answer to one item (a product, a document or a pair of versions).
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The item's name: its id, or its line or position.
    pub item: String,
    /// The answer in the form of golden files: `documents`, `removals`, `issues` and `ordering` where they are not
    /// empty, and `refused` with the code. The host's messages are omitted, because they contain the plug-in's version.
    pub answer: Map<String, Value>,
    /// Why the plug-in or the host refused the item; `None` if it was accepted.
    pub refusal: Option<Refusal>,
    /// Size of the plug-in's output in bytes of text.
    pub output_bytes: usize,
}

impl Outcome {
    /// The refusal, if the plug-in failed on the item; `None` if the item was accepted, or refused by the plug-in's own
    /// issue.
    pub fn fault(&self) -> Option<&Refusal> {
        // A plug-in refuses an item by an issue of severity `error`, whose code the refusal has. The host makes all
        // others.
        self.refusal.as_ref().filter(|refusal| {
            let issues = self.answer.get("issues").and_then(Value::as_array);
            !issues.into_iter().flatten().any(|issue| issue["code"] == refusal.code.as_str())
        })
    }

    /// The answer with all details of a refusal, for `--output json`.
    pub fn to_json(&self) -> Value {
        let mut answer = self.answer.clone();
        if let Some(Refusal { code, message, path, details }) = &self.refusal {
            let mut refused = json!({ "code": code, "message": message, "path": path });
            for (key, value) in details {
                refused[key] = value.clone();
            }
            answer.insert("refused".to_owned(), refused);
        }
        Value::Object(answer)
    }
}

/// Runs a batch on the role that its items are for; returns one outcome per item, and the cost.
///
/// # Errors
/// The plug-in fails on the batch as a whole, for example because it does not start.
pub async fn run(runner: &Runner, items: Items) -> Result<(Vec<Outcome>, Cost), BatchFailure> {
    match items {
        Items::Products(products) => {
            let (outcomes, cost) = runner.transform_at_cost(products).await?;
            Ok((
                outcomes.into_iter().map(|(product, outcome)| from_product(&product, outcome)).collect(),
                cost,
            ))
        }
        Items::Documents(documents) => {
            let ids: Vec<String> = documents.iter().map(|document| document.id.to_string()).collect();
            let (verdicts, cost) = runner.validate_at_cost(documents).await?;
            Ok((
                ids.into_iter().zip(verdicts).map(|(id, verdict)| from_document(id, verdict)).collect(),
                cost,
            ))
        }
        Items::Pairs(pairs) => {
            let (orderings, cost) = runner.compare_at_cost(pairs).await?;
            let outcomes =
                orderings.into_iter().zip(1..).map(|(ordering, number)| from_pair(number, ordering));
            Ok((outcomes.collect(), cost))
        }
    }
}

/// The outcome of a product.
pub fn from_product(product: &Product, outcome: ProductOutcome) -> Outcome {
    let item = product.id.clone().unwrap_or_else(|| format!("line {}", product.line));
    let mut output_bytes = issue_bytes(&outcome.issues);
    let mut answer = Map::new();
    answer.insert("product".to_owned(), Value::from(item.as_str()));
    let documents = outcome.documents.into_iter().map(|TransformedDocument { id, fields }| {
        output_bytes += id.as_str().len() + fields.len();
        let mut document = object(&fields);
        document.insert("_id".to_owned(), Value::from(id.as_str()));
        Value::Object(document)
    });
    insert_list(&mut answer, "documents", documents.collect());
    let removals = outcome.removals.iter().map(|removal| {
        output_bytes += removal.id.as_str().len() + removal.version.len();
        json!({ "_id": removal.id, "version": object(&removal.version) })
    });
    insert_list(&mut answer, "removals", removals.collect());
    finish(item, answer, &outcome.issues, outcome.refused, output_bytes)
}

/// The outcome of a document.
fn from_document(id: String, verdict: Verdict) -> Outcome {
    let answer = Map::from_iter([("document".to_owned(), Value::from(id.as_str()))]);
    let bytes = issue_bytes(&verdict.issues);
    finish(id, answer, &verdict.issues, verdict.refused, bytes)
}

/// The outcome of the pair of versions with this number, from 1.
fn from_pair(number: usize, ordering: Result<VersionOrdering, Refusal>) -> Outcome {
    let mut answer = Map::new();
    let refusal = match ordering {
        Ok(ordering) => {
            let ordering = match ordering {
                VersionOrdering::Newer => "newer",
                VersionOrdering::Same => "same",
                VersionOrdering::Older => "older",
            };
            answer.insert("ordering".to_owned(), Value::from(ordering));
            None
        }
        Err(refusal) => Some(refusal),
    };
    finish(format!("pair {number}"), answer, &[], refusal, 0)
}

/// Adds issues and refusal to an answer.
fn finish(
    item: String,
    mut answer: Map<String, Value>,
    issues: &[Issue],
    refusal: Option<Refusal>,
    output_bytes: usize,
) -> Outcome {
    let issues = issues.iter().map(|issue| {
        let mut value = json!({ "severity": issue.severity, "code": issue.code, "message": issue.message });
        if let Some(path) = &issue.path {
            value["path"] = Value::from(path.as_str());
        }
        value
    });
    insert_list(&mut answer, "issues", issues.collect());
    if let Some(refusal) = &refusal {
        answer.insert("refused".to_owned(), Value::from(refusal.code.as_str()));
    }
    Outcome { item, answer, refusal, output_bytes }
}

/// Adds a list to an answer, unless it is empty.
fn insert_list(answer: &mut Map<String, Value>, key: &str, list: Vec<Value>) {
    if !list.is_empty() {
        answer.insert(key.to_owned(), Value::Array(list));
    }
}

/// Parses the fields of a document; the plug-in host has checked that they are a JSON object.
fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_else(|_| Map::from_iter([("?".to_owned(), Value::from(text))]))
}

/// The size of issues in bytes of text.
fn issue_bytes(issues: &[Issue]) -> usize {
    issues.iter().map(|issue| issue.code.len() + issue.message.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::model::{DocumentId, Severity};

    fn issue(severity: Severity) -> Issue {
        Issue { severity, code: "no-price".to_owned(), message: "It has no price.".to_owned(), path: None }
    }

    fn product() -> Product {
        Product { text: "{}".to_owned(), line: 7, id: None }
    }

    #[test]
    fn an_answer_has_the_form_of_golden_files() {
        let outcome = ProductOutcome {
            documents: vec![TransformedDocument {
                id: DocumentId::new("1").unwrap(),
                fields: r#"{"title":"Mug","price":1.50}"#.to_owned(),
            }],
            issues: vec![issue(Severity::Warning)],
            ..ProductOutcome::default()
        };
        let outcome = from_product(&product(), outcome);
        let expected = json!({
            "product": "line 7",
            "documents": [{"_id": "1", "title": "Mug", "price": 1.5}],
            "issues": [{"severity": "warning", "code": "no-price", "message": "It has no price."}],
        });
        assert_eq!((Value::Object(outcome.answer), outcome.refusal), (expected, None));
        // The bytes of the id, the fields, the issue's code and its message.
        assert_eq!(outcome.output_bytes, 1 + 28 + 8 + 16);
    }

    #[test]
    fn a_refusal_by_an_issue_of_the_plug_in_is_no_fault() {
        let error = issue(Severity::Error);
        let refused = Some(Refusal::of(error.clone()));
        let outcome = from_document("1".to_owned(), Verdict { issues: vec![error], refused });
        assert_eq!((outcome.answer["refused"].as_str(), outcome.fault()), (Some("no-price"), None));
    }

    #[test]
    fn a_refusal_by_the_host_is_a_fault() {
        let details = Map::from_iter([("trap".to_owned(), Value::from("unreachable"))]);
        let refusal = Refusal {
            code: "plugin-trap".to_owned(),
            message: "It trapped.".to_owned(),
            path: None,
            details,
        };
        let outcome = from_pair(2, Err(refusal.clone()));
        assert_eq!(outcome.fault(), Some(&refusal));
        assert_eq!(Value::Object(outcome.answer.clone()), json!({ "refused": "plugin-trap" }));
        assert_eq!(outcome.to_json()["refused"]["trap"], "unreachable");
    }
}
