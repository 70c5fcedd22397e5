//! What a new version of a plug-in changes: both versions over the same products, differences counted by what differs,
//! with a few examples each. In bounded memory, and the same whatever order the products come in.

use crate::{
    changes::changes,
    outcome::{Outcome, of_product},
};
use host_core::{
    model::{Product, job::PluginRef},
    plugin::ProductOutcome,
};
use host_plugin_host::Cost;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Differences that are told apart; names of fields and codes are the plug-ins', which may make up any number.
const MOST_FINDINGS: usize = 1_000;

/// What differences beyond these are counted under.
const OTHERS: &str = "(others)";

/// Characters of a value in an example.
const VALUE_CHARACTERS: usize = 300;

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A document that only the new version makes.
    DocumentAdded,
    /// A document that only the old version makes.
    DocumentGone,
    /// A field of a document; the name is a JSON Pointer with `*` for positions.
    Field,
    /// A removal that only the new version asks for.
    RemovalAdded,
    /// A removal that only the old version asks for.
    RemovalGone,
    /// A removal with another version.
    RemovalChanged,
    /// An issue that only the new version remarks; the name is its code.
    IssueAdded,
    /// An issue that only the old version remarks.
    IssueGone,
    /// A product that only the new version refuses; the name is the code.
    Refused,
    /// A product that only the old version refuses.
    Accepted,
}

/// One kind of difference.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What differs.
    pub kind: Kind,
    /// Which field or code; empty where the kind says all.
    pub name: String,
    /// In how many documents, removals, issues or products.
    pub count: u64,
    /// The first ones of the export.
    pub examples: Vec<Example>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Example {
    /// First line of the product in the export.
    pub line: u64,
    /// The product.
    pub product: String,
    /// The document, if it is one document's.
    pub document: Option<String>,
    /// Where in the document, as a JSON Pointer.
    pub path: Option<String>,
    /// JSON text of what the old version says, shortened.
    pub before: Option<String>,
    /// JSON text of what the new version says, shortened.
    pub after: Option<String>,
}

/// How many products and documents one of the versions took and made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Documents that it made.
    pub documents: u64,
    /// Products that it refused.
    pub refused: u64,
    /// Instructions an item; none where they are not counted.
    pub instructions: Option<u64>,
}

/// The result of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The old version.
    pub old: PluginRef,
    /// The new version.
    pub new: PluginRef,
    /// Products that both were given.
    pub products: u64,
    /// Products with any difference.
    pub products_that_differ: u64,
    /// Documents that both make and that differ.
    pub documents_that_differ: u64,
    /// Products that could not be compared, because a version failed on their whole batch.
    pub not_compared: u64,
    /// What it said then.
    pub failure: Option<String>,
    /// What the old version did.
    pub old_side: Side,
    /// What the new version did.
    pub new_side: Side,
    /// The differences, by kind and name.
    #[serde(serialize_with = "as_list")]
    findings: BTreeMap<(Kind, String), Finding>,
    #[serde(skip)]
    examples: usize,
}

fn as_list<S: serde::Serializer>(
    findings: &BTreeMap<(Kind, String), Finding>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(findings.values())
}

/// Items of one kind in an answer, by id.
type ById<'a> = BTreeMap<&'a str, &'a Value>;

impl Comparison {
    /// A comparison of two versions that keeps a number of examples of each difference.
    pub fn new(old: PluginRef, new: PluginRef, examples: usize) -> Self {
        Self {
            old,
            new,
            products: 0,
            products_that_differ: 0,
            documents_that_differ: 0,
            not_compared: 0,
            failure: None,
            old_side: Side::default(),
            new_side: Side::default(),
            findings: BTreeMap::new(),
            examples,
        }
    }

    /// The differences, by kind and name.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.values()
    }

    /// Whether the versions gave the same answers to everything.
    pub fn is_same(&self) -> bool {
        self.products_that_differ == 0 && self.not_compared == 0
    }

    /// Notes what a batch cost.
    pub fn add_cost(&mut self, old: Cost, new: Cost) {
        for (side, cost) in [(&mut self.old_side, old), (&mut self.new_side, new)] {
            if let Some(more) = cost.instructions {
                side.instructions = Some(side.instructions.unwrap_or(0).saturating_add(more));
            }
        }
    }

    /// Notes products that could not be compared.
    pub fn add_failure(&mut self, products: usize, said: String) {
        self.products += products as u64;
        self.not_compared += products as u64;
        self.failure.get_or_insert(said);
    }

    /// Compares what the versions made of a product.
    pub fn add(&mut self, product: &Product, old: &ProductOutcome, new: &ProductOutcome) {
        self.products += 1;
        for (side, outcome) in [(&mut self.old_side, old), (&mut self.new_side, new)] {
            side.documents += outcome.documents.len() as u64;
            side.refused += u64::from(outcome.refused.is_some());
        }
        // Texts first: nearly all products are the same, and parsing them would be most of the work.
        if old == new {
            return;
        }
        let (old, new) = (of_product(product, old.clone()), of_product(product, new.clone()));
        if old.face == new.face {
            return;
        }
        self.products_that_differ += 1;
        let place = Place { line: product.line, product: &old.item };
        self.compare_refusals(&place, &old, &new);
        self.compare_documents(&place, &old, &new);
        self.compare_removals(&place, &old, &new);
        self.compare_issues(&place, &old, &new);
    }

    fn compare_refusals(&mut self, place: &Place<'_>, old: &Outcome, new: &Outcome) {
        let code = |outcome: &Outcome| outcome.refusal.as_ref().map(|refusal| refusal.code.clone());
        let said =
            |outcome: &Outcome| outcome.refusal.as_ref().map(|refusal| Value::from(refusal.message.as_str()));
        let (before, after) = (code(old), code(new));
        if before == after {
            return;
        }
        for (kind, code) in [(Kind::Accepted, before), (Kind::Refused, after)] {
            if let Some(code) = code {
                self.note(kind, &code, place.example(None, None, said(old).as_ref(), said(new).as_ref()));
            }
        }
    }

    fn compare_documents(&mut self, place: &Place<'_>, old: &Outcome, new: &Outcome) {
        let (before, after) = (by_id(old, "documents"), by_id(new, "documents"));
        for (id, document) in before.iter().filter(|(id, _)| !after.contains_key(*id)) {
            self.note(Kind::DocumentGone, "", place.example(Some(id), None, Some(document), None));
        }
        for (id, document) in &after {
            let Some(counterpart) = before.get(id) else {
                self.note(Kind::DocumentAdded, "", place.example(Some(id), None, None, Some(document)));
                continue;
            };
            let mut fields = BTreeSet::new();
            for change in changes(counterpart, document) {
                // A field that differs in several variants of a document counts once.
                if fields.insert(change.field.clone()) {
                    let (before, after) = (change.before.as_ref(), change.after.as_ref());
                    let example = place.example(Some(id), Some(&change.path), before, after);
                    self.note(Kind::Field, &change.field, example);
                }
            }
            self.documents_that_differ += u64::from(!fields.is_empty());
        }
    }

    fn compare_removals(&mut self, place: &Place<'_>, old: &Outcome, new: &Outcome) {
        let (before, after) = (by_id(old, "removals"), by_id(new, "removals"));
        let ids: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
        for id in ids {
            let (old, new) = (before.get(id).copied(), after.get(id).copied());
            let kind = match (old, new) {
                (old, new) if old == new => continue,
                (None, _) => Kind::RemovalAdded,
                (_, None) => Kind::RemovalGone,
                _ => Kind::RemovalChanged,
            };
            self.note(kind, "", place.example(Some(id), None, old, new));
        }
    }

    fn compare_issues(&mut self, place: &Place<'_>, old: &Outcome, new: &Outcome) {
        let issues = |outcome: &Outcome| -> Vec<Value> {
            outcome.face.get("issues").and_then(Value::as_array).cloned().unwrap_or_default()
        };
        let (mut gone, mut added) = (issues(old), issues(new));
        gone.retain(|issue| match added.iter().position(|other| other == issue) {
            Some(position) => {
                added.remove(position);
                false
            }
            None => true,
        });
        for (kind, issues) in [(Kind::IssueGone, gone), (Kind::IssueAdded, added)] {
            for issue in issues {
                let (path, code) = (issue["path"].as_str(), issue["code"].as_str().unwrap_or_default());
                let message = &issue["message"];
                let (before, after) =
                    if kind == Kind::IssueGone { (Some(message), None) } else { (None, Some(message)) };
                self.note(kind, code, place.example(None, path, before, after));
            }
        }
    }

    fn note(&mut self, kind: Kind, name: &str, example: Example) {
        let is_full = self.findings.len() >= MOST_FINDINGS;
        let mut key = (kind, name.to_owned());
        if is_full && !self.findings.contains_key(&key) {
            key.1 = OTHERS.to_owned();
        }
        let finding = self.findings.entry(key).or_insert_with_key(|(kind, name)| Finding {
            kind: *kind,
            name: name.clone(),
            count: 0,
            examples: Vec::new(),
        });
        finding.count += 1;
        // The first of the export, in whatever order the batches were done.
        let position = finding.examples.partition_point(|kept| *kept < example);
        if position < self.examples {
            finding.examples.insert(position, example);
            finding.examples.truncate(self.examples);
        }
    }
}

struct Place<'a> {
    line: u64,
    product: &'a str,
}

impl Place<'_> {
    fn example(
        &self,
        document: Option<&str>,
        path: Option<&str>,
        before: Option<&Value>,
        after: Option<&Value>,
    ) -> Example {
        Example {
            line: self.line,
            product: self.product.to_owned(),
            document: document.map(str::to_owned),
            path: path.map(str::to_owned),
            before: before.map(shortened),
            after: after.map(shortened),
        }
    }
}

fn by_id<'a>(outcome: &'a Outcome, key: &str) -> ById<'a> {
    let items = outcome.face.get(key).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(|item| Some((item["_id"].as_str()?, item))).collect()
}

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::{
        model::{Digest, DocumentId, Issue, Severity},
        plugin::{MadeDocument, MadeRemoval, Refusal},
    };
    use serde_json::json;

    fn comparison() -> Comparison {
        let plugin = |version: &str| PluginRef {
            name: "shop".to_owned(),
            version: version.to_owned(),
            digest: Digest::of(version.as_bytes()),
        };
        Comparison::new(plugin("1.0.0"), plugin("1.1.0"), 2)
    }

    fn product(line: u64) -> Product {
        Product { text: String::new(), line, id: Some(format!("p{line}")) }
    }

    fn made(documents: &[(&str, Value)]) -> ProductOutcome {
        let document = |(id, fields): &(&str, Value)| MadeDocument {
            id: DocumentId::new(*id).unwrap(),
            fields: fields.to_string(),
        };
        ProductOutcome { documents: documents.iter().map(document).collect(), ..ProductOutcome::default() }
    }

    fn said(comparison: &Comparison) -> Vec<String> {
        comparison
            .findings()
            .map(|found| format!("{:?} {} {}", found.kind, found.name, found.count))
            .collect()
    }

    #[test]
    fn a_field_is_counted_once_a_document_and_the_first_examples_stay() {
        let mut comparison = comparison();
        for line in [9, 3, 5, 1] {
            let fields =
                |price: i32| json!({"variants": [{"id": 1, "price": price}, {"id": 2, "price": price}]});
            comparison.add(&product(line), &made(&[("a", fields(1))]), &made(&[("a", fields(2))]));
        }
        comparison.add(&product(2), &made(&[("a", json!({"b": 1}))]), &made(&[("a", json!({"b": 1}))]));
        assert_eq!(said(&comparison), ["Field /variants/*/price 4"]);
        let finding = comparison.findings().next().unwrap();
        let lines: Vec<u64> = finding.examples.iter().map(|example| example.line).collect();
        assert_eq!((lines, finding.examples[0].path.as_deref()), (vec![1, 3], Some("/variants/0/price")));
        assert_eq!(
            (comparison.products, comparison.products_that_differ, comparison.documents_that_differ),
            (5, 4, 4)
        );
    }

    #[test]
    fn texts_that_mean_the_same_are_the_same() {
        let mut comparison = comparison();
        let outcome = |fields: &str| ProductOutcome {
            documents: vec![MadeDocument { id: DocumentId::new("a").unwrap(), fields: fields.to_owned() }],
            ..ProductOutcome::default()
        };
        comparison.add(&product(1), &outcome(r#"{"a":1,"b":2}"#), &outcome(r#"{"b": 2, "a": 1}"#));
        assert!(comparison.is_same());
    }

    #[test]
    fn everything_that_an_answer_has_is_compared() {
        let mut comparison = comparison();
        let removal =
            |version: &str| MadeRemoval { id: DocumentId::new("r").unwrap(), version: version.to_owned() };
        let issue = |code: &str, severity| Issue {
            severity,
            code: code.to_owned(),
            message: "Why.".to_owned(),
            path: Some("/a".to_owned()),
        };
        comparison.add(&product(1), &made(&[("a", json!({}))]), &made(&[("b", json!({}))]));
        let removals = |version: Option<&str>| ProductOutcome {
            removals: version.map(removal).into_iter().collect(),
            ..ProductOutcome::default()
        };
        comparison.add(&product(2), &removals(None), &removals(Some("{}")));
        comparison.add(&product(3), &removals(Some("{}")), &removals(None));
        comparison.add(&product(4), &removals(Some("{}")), &removals(Some(r#"{"v":1}"#)));
        let issues = |issues: Vec<Issue>| ProductOutcome {
            refused: issues.iter().find(|issue| issue.severity == Severity::Error).cloned().map(Refusal::of),
            issues,
            ..ProductOutcome::default()
        };
        let (warning, error) = (issue("w", Severity::Warning), issue("e", Severity::Error));
        comparison.add(&product(5), &issues(vec![warning.clone()]), &issues(vec![error.clone()]));
        comparison.add(&product(6), &issues(vec![error]), &issues(vec![warning.clone(), warning]));
        comparison.add_failure(3, "it failed".to_owned());
        assert_eq!(
            said(&comparison),
            [
                "DocumentAdded  1",
                "DocumentGone  1",
                "RemovalAdded  1",
                "RemovalGone  1",
                "RemovalChanged  1",
                "IssueAdded e 1",
                "IssueAdded w 2",
                "IssueGone e 1",
                "IssueGone w 1",
                "Refused e 1",
                "Accepted e 1",
            ]
        );
        assert_eq!(
            (comparison.products, comparison.products_that_differ, comparison.not_compared),
            (9, 6, 3)
        );
    }

    #[test]
    fn names_without_end_do_not_take_memory_without_end() {
        let mut comparison = comparison();
        for line in 0..1_500 {
            let fields = json!({ format!("f{line}"): 1 });
            comparison.add(&product(line), &made(&[("a", json!({}))]), &made(&[("a", fields)]));
        }
        let others = comparison.findings().find(|found| found.name == OTHERS).unwrap();
        assert_eq!((comparison.findings().count(), others.count), (1_001, 500));
    }
}
