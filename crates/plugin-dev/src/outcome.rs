//! What a plug-in made of each item, in one form for all roles: the form of golden files.

use crate::items::Items;
use host_core::{
    model::{Issue, Product},
    plugin::{BatchFailure, MadeDocument, ProductOutcome, Refusal, Verdict, VersionOrdering},
};
use host_plugin_host::{Cost, Runner};
use serde_json::{Map, Value, json};

/// What became of one item.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What the item is called: its id, or its line.
    pub item: String,
    /// The answer as golden files have it: `documents`, `removals`, `issues`, `ordering` as far as there are any, and
    /// `refused` with the code. Without the host's own messages, which name the plug-in's version.
    pub face: Map<String, Value>,
    /// Why the item was refused, if it was.
    pub refusal: Option<Refusal>,
    /// Bytes of text that the plug-in answered with.
    pub output_bytes: usize,
}

impl Outcome {
    /// Whether the plug-in failed on the item, instead of refusing it by an issue.
    pub fn fault(&self) -> Option<&Refusal> {
        // The host refuses what it cannot take; the plug-in does so by an issue of severity error.
        self.refusal.as_ref().filter(|refusal| {
            let issues = self.face.get("issues").and_then(Value::as_array);
            !issues.into_iter().flatten().any(|issue| issue["code"] == refusal.code.as_str())
        })
    }

    /// The answer with all that is known of a refusal, for programs.
    pub fn full(&self) -> Value {
        let mut face = self.face.clone();
        if let Some(Refusal { code, message, path, details }) = &self.refusal {
            let mut refused = json!({ "code": code, "message": message, "path": path });
            for (key, value) in details {
                refused[key] = value.clone();
            }
            face.insert("refused".to_owned(), refused);
        }
        Value::Object(face)
    }
}

/// Runs a batch, whatever role it is for.
pub async fn run(runner: &Runner, items: Items) -> Result<(Vec<Outcome>, Cost), BatchFailure> {
    match items {
        Items::Products(products) => {
            let (outcomes, cost) = runner.transform_at_cost(products).await?;
            Ok((outcomes.into_iter().map(|(product, outcome)| of_product(&product, outcome)).collect(), cost))
        }
        Items::Documents(documents) => {
            let ids: Vec<String> = documents.iter().map(|document| document.id.to_string()).collect();
            let (verdicts, cost) = runner.validate_at_cost(documents).await?;
            Ok((ids.into_iter().zip(verdicts).map(|(id, verdict)| of_document(id, verdict)).collect(), cost))
        }
        Items::Pairs(pairs) => {
            let (orderings, cost) = runner.compare_at_cost(pairs).await?;
            let outcomes = orderings.into_iter().enumerate().map(|(n, ordering)| of_pair(n + 1, ordering));
            Ok((outcomes.collect(), cost))
        }
    }
}

/// What became of a product.
pub fn of_product(product: &Product, outcome: ProductOutcome) -> Outcome {
    let item = product.id.clone().unwrap_or_else(|| format!("line {}", product.line));
    let mut output_bytes = issue_bytes(&outcome.issues);
    let mut face = Map::new();
    face.insert("product".to_owned(), Value::from(item.as_str()));
    let documents = outcome.documents.into_iter().map(|MadeDocument { id, fields }| {
        output_bytes += id.as_str().len() + fields.len();
        let mut document = object(&fields);
        document.insert("_id".to_owned(), Value::from(id.as_str()));
        Value::Object(document)
    });
    insert_list(&mut face, "documents", documents.collect());
    let removals = outcome.removals.iter().map(|removal| {
        output_bytes += removal.id.as_str().len() + removal.version.len();
        json!({ "_id": removal.id, "version": object(&removal.version) })
    });
    insert_list(&mut face, "removals", removals.collect());
    finish(item, face, &outcome.issues, outcome.refused, output_bytes)
}

fn of_document(id: String, verdict: Verdict) -> Outcome {
    let face = Map::from_iter([("document".to_owned(), Value::from(id.as_str()))]);
    let bytes = issue_bytes(&verdict.issues);
    finish(id, face, &verdict.issues, verdict.refused, bytes)
}

fn of_pair(number: usize, ordering: Result<VersionOrdering, Refusal>) -> Outcome {
    let mut face = Map::new();
    let refusal = match ordering {
        Ok(ordering) => {
            let ordering = match ordering {
                VersionOrdering::Newer => "newer",
                VersionOrdering::Same => "same",
                VersionOrdering::Older => "older",
            };
            face.insert("ordering".to_owned(), Value::from(ordering));
            None
        }
        Err(refusal) => Some(refusal),
    };
    finish(format!("pair {number}"), face, &[], refusal, 0)
}

fn finish(
    item: String,
    mut face: Map<String, Value>,
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
    insert_list(&mut face, "issues", issues.collect());
    if let Some(refusal) = &refusal {
        face.insert("refused".to_owned(), Value::from(refusal.code.as_str()));
    }
    Outcome { item, face, refusal, output_bytes }
}

fn insert_list(face: &mut Map<String, Value>, key: &str, list: Vec<Value>) {
    if !list.is_empty() {
        face.insert(key.to_owned(), Value::Array(list));
    }
}

/// The fields of a document. That the text is a JSON object was checked when the plug-in gave it.
fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_else(|_| Map::from_iter([("?".to_owned(), Value::from(text))]))
}

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
    fn the_form_of_golden_files() {
        let outcome = ProductOutcome {
            documents: vec![MadeDocument {
                id: DocumentId::new("1").unwrap(),
                fields: r#"{"title":"Mug","price":1.50}"#.to_owned(),
            }],
            issues: vec![issue(Severity::Warning)],
            ..ProductOutcome::default()
        };
        let outcome = of_product(&product(), outcome);
        let expected = json!({
            "product": "line 7",
            "documents": [{"_id": "1", "title": "Mug", "price": 1.5}],
            "issues": [{"severity": "warning", "code": "no-price", "message": "It has no price."}],
        });
        assert_eq!((Value::Object(outcome.face), outcome.refusal), (expected, None));
        assert_eq!(outcome.output_bytes, 1 + 28 + 8 + 16);
    }

    #[test]
    fn a_refusal_by_issue_is_no_fault() {
        let error = issue(Severity::Error);
        let refused = Some(Refusal::of(error.clone()));
        let outcome = of_document("1".to_owned(), Verdict { issues: vec![error], refused });
        assert_eq!((outcome.face["refused"].as_str(), outcome.fault()), (Some("no-price"), None));
    }

    #[test]
    fn what_the_host_refuses_is_a_fault() {
        let details = Map::from_iter([("trap".to_owned(), Value::from("unreachable"))]);
        let refusal = Refusal {
            code: "plugin-trap".to_owned(),
            message: "It trapped.".to_owned(),
            path: None,
            details,
        };
        let outcome = of_pair(2, Err(refusal.clone()));
        assert_eq!(outcome.fault(), Some(&refusal));
        assert_eq!(Value::Object(outcome.face.clone()), json!({ "refused": "plugin-trap" }));
        assert_eq!(outcome.full()["refused"]["trap"], "unreachable");
    }
}
