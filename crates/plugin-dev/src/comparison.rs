//! Compares what two versions of a plug-in make of the same products: counts the differences by kind and name and keeps
//! a few examples of each. Memory is bounded, and the result does not depend on the order in which products are
//! compared.

use crate::{
    json_diff,
    outcome::{Outcome, from_product},
};
use host_core::{
    model::{Product, job::PluginRef},
    plugin::ProductOutcome,
};
use host_plugin_host::Cost;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The most differences (pairs of kind and name) that are counted separately. Plug-ins choose the names of fields and
/// codes, so that their number has no bound.
const MAX_DIFFERENCES: usize = 1_000;

/// The name under which all further differences are counted.
const OTHERS: &str = "(others)";

/// The most characters of a value in an example.
const VALUE_CHARACTERS: usize = 300;

/// A kind of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// Only the new version returns the document.
    DocumentAdded,
    /// Only the old version returns the document.
    DocumentGone,
    /// A field of a document differs; the name is a JSON Pointer with `*` for array positions.
    Field,
    /// Only the new version returns the removal.
    RemovalAdded,
    /// Only the old version returns the removal.
    RemovalGone,
    /// The version fields of a removal (by which the host decides whether it is newer than the stored document) differ.
    RemovalChanged,
    /// Only the new version reports the issue; the name is its code.
    IssueAdded,
    /// Only the old version reports the issue; the name is its code.
    IssueGone,
    /// The new version refuses the product with another code, or is the only one to refuse it; the name is the code.
    Refused,
    /// The old version refuses the product with another code, or is the only one to refuse it; the name is the code.
    Accepted,
}

/// All differences of one kind and name.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The kind.
    pub kind: DifferenceKind,
    /// The field or code; empty for kinds without a name.
    pub name: String,
    /// Number of documents, removals, issues or products.
    pub count: u64,
    /// The first ones in the order of the export.
    pub examples: Vec<Example>,
}

/// One occurrence of a difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Example {
    /// First line of the product in the export.
    pub line: u64,
    /// Id of the product.
    pub product: String,
    /// Id of the document, if the difference is in one.
    pub document: Option<String>,
    /// JSON Pointer into the document or the product.
    pub path: Option<String>,
    /// JSON text of the old version's value, shortened.
    pub before: Option<String>,
    /// JSON text of the new version's value, shortened.
    pub after: Option<String>,
}

/// The totals of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SideTotals {
    /// Documents returned.
    pub documents: u64,
    /// Products refused.
    pub refused: u64,
    /// Instructions executed; `None` if the engine does not count them.
    pub instructions: Option<u64>,
}

/// The result of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The old version.
    pub old: PluginRef,
    /// The new version.
    pub new: PluginRef,
    /// Products that both versions got.
    pub products: u64,
    /// Products with at least one difference.
    pub products_that_differ: u64,
    /// Documents that both versions return, with different fields.
    pub documents_that_differ: u64,
    /// Products that could not be compared because a version failed on their whole batch.
    pub not_compared: u64,
    /// The first such failure; `None` if there was none.
    pub failure: Option<String>,
    /// Totals of the old version.
    pub old_side: SideTotals,
    /// Totals of the new version.
    pub new_side: SideTotals,
    /// The differences by kind and name.
    #[serde(rename = "findings", serialize_with = "as_list")]
    differences: BTreeMap<(DifferenceKind, String), Difference>,
    /// The most examples of each difference.
    #[serde(skip)]
    max_examples: usize,
}

/// Serializes the differences as a list, without the keys of the map.
fn as_list<S: serde::Serializer>(
    differences: &BTreeMap<(DifferenceKind, String), Difference>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(differences.values())
}

/// The documents or removals of a plug-in's answer, by document id.
type ById<'a> = BTreeMap<&'a str, &'a Value>;

impl Comparison {
    /// An empty comparison that keeps at most `max_examples` examples of each difference.
    pub fn new(old: PluginRef, new: PluginRef, max_examples: usize) -> Self {
        Self {
            old,
            new,
            products: 0,
            products_that_differ: 0,
            documents_that_differ: 0,
            not_compared: 0,
            failure: None,
            old_side: SideTotals::default(),
            new_side: SideTotals::default(),
            differences: BTreeMap::new(),
            max_examples,
        }
    }

    /// The differences, sorted by kind and name.
    pub fn differences(&self) -> impl Iterator<Item = &Difference> {
        self.differences.values()
    }

    /// Whether all products were compared and all answers are equal.
    pub fn is_same(&self) -> bool {
        self.products_that_differ == 0 && self.not_compared == 0
    }

    /// Adds the cost of a batch.
    pub fn add_cost(&mut self, old: Cost, new: Cost) {
        for (side, cost) in [(&mut self.old_side, old), (&mut self.new_side, new)] {
            if let Some(more) = cost.instructions {
                side.instructions = Some(side.instructions.unwrap_or(0).saturating_add(more));
            }
        }
    }

    /// Adds products that could not be compared, with the failure.
    pub fn add_failure(&mut self, products: usize, failure: String) {
        self.products += products as u64;
        self.not_compared += products as u64;
        self.failure.get_or_insert(failure);
    }

    /// Adds a product and compares the two answers to it.
    pub fn add(&mut self, product: &Product, old: &ProductOutcome, new: &ProductOutcome) {
        self.products += 1;
        for (side, outcome) in [(&mut self.old_side, old), (&mut self.new_side, new)] {
            side.documents += outcome.documents.len() as u64;
            side.refused += u64::from(outcome.refused.is_some());
        }
        // Compares the texts first: nearly all answers are equal, and parsing them would be most of the work.
        if old == new {
            return;
        }
        let (old, new) = (from_product(product, old.clone()), from_product(product, new.clone()));
        if old.answer == new.answer {
            return;
        }
        self.products_that_differ += 1;
        let location = Location { line: product.line, product: &old.item };
        self.compare_refusals(&location, &old, &new);
        self.compare_documents(&location, &old, &new);
        self.compare_removals(&location, &old, &new);
        self.compare_issues(&location, &old, &new);
    }

    fn compare_refusals(&mut self, location: &Location<'_>, old: &Outcome, new: &Outcome) {
        let code = |outcome: &Outcome| outcome.refusal.as_ref().map(|refusal| refusal.code.clone());
        let message =
            |outcome: &Outcome| outcome.refusal.as_ref().map(|refusal| Value::from(refusal.message.as_str()));
        let (before, after) = (code(old), code(new));
        if before == after {
            return;
        }
        for (kind, code) in [(DifferenceKind::Accepted, before), (DifferenceKind::Refused, after)] {
            if let Some(code) = code {
                self.record(
                    kind,
                    &code,
                    location.example(None, None, message(old).as_ref(), message(new).as_ref()),
                );
            }
        }
    }

    fn compare_documents(&mut self, location: &Location<'_>, old: &Outcome, new: &Outcome) {
        let (before, after) = (by_id(old, "documents"), by_id(new, "documents"));
        for (id, document) in before.iter().filter(|(id, _)| !after.contains_key(*id)) {
            self.record(
                DifferenceKind::DocumentGone,
                "",
                location.example(Some(id), None, Some(document), None),
            );
        }
        for (id, document) in &after {
            let Some(counterpart) = before.get(id) else {
                self.record(
                    DifferenceKind::DocumentAdded,
                    "",
                    location.example(Some(id), None, None, Some(document)),
                );
                continue;
            };
            let mut fields = BTreeSet::new();
            for change in json_diff::diff(counterpart, document) {
                // A field that differs in several variants of a document counts once.
                if fields.insert(change.field.clone()) {
                    let (before, after) = (change.before.as_ref(), change.after.as_ref());
                    let example = location.example(Some(id), Some(&change.path), before, after);
                    self.record(DifferenceKind::Field, &change.field, example);
                }
            }
            self.documents_that_differ += u64::from(!fields.is_empty());
        }
    }

    fn compare_removals(&mut self, location: &Location<'_>, old: &Outcome, new: &Outcome) {
        let (before, after) = (by_id(old, "removals"), by_id(new, "removals"));
        let ids: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
        for id in ids {
            let (old, new) = (before.get(id).copied(), after.get(id).copied());
            let kind = match (old, new) {
                (old, new) if old == new => continue,
                (None, _) => DifferenceKind::RemovalAdded,
                (_, None) => DifferenceKind::RemovalGone,
                _ => DifferenceKind::RemovalChanged,
            };
            self.record(kind, "", location.example(Some(id), None, old, new));
        }
    }

    fn compare_issues(&mut self, location: &Location<'_>, old: &Outcome, new: &Outcome) {
        let issues = |outcome: &Outcome| -> Vec<Value> {
            outcome.answer.get("issues").and_then(Value::as_array).cloned().unwrap_or_default()
        };
        let (mut gone, mut added) = (issues(old), issues(new));
        gone.retain(|issue| match added.iter().position(|other| other == issue) {
            Some(position) => {
                added.remove(position);
                false
            }
            None => true,
        });
        for (kind, issues) in [(DifferenceKind::IssueGone, gone), (DifferenceKind::IssueAdded, added)] {
            for issue in issues {
                let (path, code) = (issue["path"].as_str(), issue["code"].as_str().unwrap_or_default());
                let message = &issue["message"];
                let (before, after) = if kind == DifferenceKind::IssueGone {
                    (Some(message), None)
                } else {
                    (None, Some(message))
                };
                self.record(kind, code, location.example(None, path, before, after));
            }
        }
    }

    fn record(&mut self, kind: DifferenceKind, name: &str, example: Example) {
        let is_full = self.differences.len() >= MAX_DIFFERENCES;
        let mut key = (kind, name.to_owned());
        if is_full && !self.differences.contains_key(&key) {
            key.1 = OTHERS.to_owned();
        }
        let difference = self.differences.entry(key).or_insert_with_key(|(kind, name)| Difference {
            kind: *kind,
            name: name.clone(),
            count: 0,
            examples: Vec::new(),
        });
        difference.count += 1;
        // Sorted by line, so that the examples are the first ones in the export, in whichever order batches finish.
        let position = difference.examples.partition_point(|kept| *kept < example);
        if position < self.max_examples {
            difference.examples.insert(position, example);
            difference.examples.truncate(self.max_examples);
        }
    }
}

/// The product that a difference is in.
struct Location<'a> {
    line: u64,
    product: &'a str,
}

impl Location<'_> {
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

/// The entries of the answer's list under `key`, by document id.
fn by_id<'a>(outcome: &'a Outcome, key: &str) -> ById<'a> {
    let items = outcome.answer.get(key).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(|item| Some((item["_id"].as_str()?, item))).collect()
}

/// The JSON text of a value, cut off after `VALUE_CHARACTERS` characters.
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
        plugin::{Refusal, TransformedDocument, TransformedRemoval},
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

    /// A product's outcome with these documents.
    fn returned(documents: &[(&str, Value)]) -> ProductOutcome {
        let document = |(id, fields): &(&str, Value)| TransformedDocument {
            id: DocumentId::new(*id).unwrap(),
            fields: fields.to_string(),
        };
        ProductOutcome { documents: documents.iter().map(document).collect(), ..ProductOutcome::default() }
    }

    /// Kind, name and count of each difference.
    fn listed(comparison: &Comparison) -> Vec<String> {
        comparison
            .differences()
            .map(|difference| format!("{:?} {} {}", difference.kind, difference.name, difference.count))
            .collect()
    }

    #[test]
    fn a_field_is_counted_once_per_document_and_the_first_examples_are_kept() {
        let mut comparison = comparison();
        for line in [9, 3, 5, 1] {
            let fields =
                |price: i32| json!({"variants": [{"id": 1, "price": price}, {"id": 2, "price": price}]});
            comparison.add(&product(line), &returned(&[("a", fields(1))]), &returned(&[("a", fields(2))]));
        }
        comparison.add(
            &product(2),
            &returned(&[("a", json!({"b": 1}))]),
            &returned(&[("a", json!({"b": 1}))]),
        );
        assert_eq!(listed(&comparison), ["Field /variants/*/price 4"]);
        let difference = comparison.differences().next().unwrap();
        let lines: Vec<u64> = difference.examples.iter().map(|example| example.line).collect();
        assert_eq!((lines, difference.examples[0].path.as_deref()), (vec![1, 3], Some("/variants/0/price")));
        assert_eq!(
            (comparison.products, comparison.products_that_differ, comparison.documents_that_differ),
            (5, 4, 4)
        );
    }

    #[test]
    fn equivalent_json_texts_are_equal() {
        let mut comparison = comparison();
        let outcome = |fields: &str| ProductOutcome {
            documents: vec![TransformedDocument {
                id: DocumentId::new("a").unwrap(),
                fields: fields.to_owned(),
            }],
            ..ProductOutcome::default()
        };
        comparison.add(&product(1), &outcome(r#"{"a":1,"b":2}"#), &outcome(r#"{"b": 2, "a": 1}"#));
        assert!(comparison.is_same());
    }

    #[test]
    fn every_part_of_an_answer_is_compared() {
        let mut comparison = comparison();
        let removal = |version: &str| TransformedRemoval {
            id: DocumentId::new("r").unwrap(),
            version: version.to_owned(),
        };
        let issue = |code: &str, severity| Issue {
            severity,
            code: code.to_owned(),
            message: "Why.".to_owned(),
            path: Some("/a".to_owned()),
        };
        comparison.add(&product(1), &returned(&[("a", json!({}))]), &returned(&[("b", json!({}))]));
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
            listed(&comparison),
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
    fn the_number_of_differences_is_bounded() {
        let mut comparison = comparison();
        for line in 0..1_500 {
            let fields = json!({ format!("f{line}"): 1 });
            comparison.add(&product(line), &returned(&[("a", json!({}))]), &returned(&[("a", fields)]));
        }
        let others = comparison.differences().find(|difference| difference.name == OTHERS).unwrap();
        assert_eq!((comparison.differences().count(), others.count), (1_001, 500));
    }
}
