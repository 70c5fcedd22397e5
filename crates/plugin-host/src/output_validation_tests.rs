//! That an answer of a plug-in is accepted, refused for one item, or refused as a whole, each where the contract
//! says so.

use super::*;
use crate::raw::RawRemoval;

fn document(id: &str, fields: &str) -> RawDocument {
    RawDocument { id: id.to_owned(), fields: fields.to_owned() }
}

fn removal(item: u32, id: &str, version: &str) -> RawRemoval {
    RawRemoval { item, id: id.to_owned(), version: version.to_owned() }
}

fn issue(item: u32, severity: Severity, code: &str, path: Option<&str>) -> RawIssue {
    let message = "It is\u{1b}[31m so.".to_owned();
    RawIssue { item, severity, code: code.to_owned(), message, path: path.map(str::to_owned) }
}

/// Validates an answer for three products.
fn validated(limits: &Limits, answer: RawTransformed) -> Result<Vec<ProductOutcome>, String> {
    let products = 3;
    OutputValidator { plugin: "p@1.0.0", limits }.transformed(products, answer)
}

/// A valid answer for three products with two, no and one documents.
fn answer() -> RawTransformed {
    RawTransformed {
        documents: vec![document("a", "{}"), document("b", "{\n}"), document("c", r#"{"x":1}"#)],
        counts: vec![2, 0, 1],
        removals: vec![removal(1, "r", "{}")],
        issues: vec![issue(0, Severity::Warning, "odd", Some("/title"))],
    }
}

/// The code of each product's refusal; `None` for one that is not refused.
fn codes(outcomes: &[ProductOutcome]) -> Vec<Option<&str>> {
    outcomes.iter().map(|outcome| outcome.refused.as_ref().map(|refusal| refusal.code.as_str())).collect()
}

#[test]
fn documents_removals_and_issues_find_their_products() {
    let outcomes = validated(&Limits::default(), answer()).unwrap();
    let ids = |product: usize| {
        outcomes[product].documents.iter().map(|document| document.id.as_str()).collect::<Vec<_>>()
    };
    assert_eq!((ids(0), ids(1), ids(2)), (vec!["a", "b"], vec![], vec!["c"]));
    assert_eq!(outcomes[0].documents[1].fields, "{}");
    assert_eq!(outcomes[1].removals[0].id.as_str(), "r");
    assert_eq!(outcomes[0].issues[0].message, "It is so.");
    assert_eq!(codes(&outcomes), [None, None, None]);
}

#[test]
fn a_fault_in_one_product_refuses_this_product_only() {
    let refused = |change: fn(&mut RawTransformed)| {
        let mut answer = answer();
        change(&mut answer);
        let outcomes = validated(&Limits::default(), answer).unwrap();
        assert_eq!(outcomes.iter().filter(|outcome| outcome.refused.is_some()).count(), 1);
        let outcome = outcomes.into_iter().find(|outcome| outcome.refused.is_some()).unwrap();
        assert!(outcome.documents.is_empty() && outcome.removals.is_empty());
        let refusal = outcome.refused.unwrap();
        format!("{}: {}", refusal.code, refusal.message)
    };
    let refusals = [
        refused(|answer| answer.documents[0].id = "a/b".to_owned()),
        refused(|answer| answer.documents[1].fields = "[]".to_owned()),
        refused(|answer| answer.documents[1].fields = r#"{"_id":1}"#.to_owned()),
        refused(|answer| answer.documents[1].id = "a".to_owned()),
        refused(|answer| answer.removals[0].id.clear()),
        refused(|answer| answer.removals[0].version = "no".to_owned()),
        refused(|answer| answer.removals.push(removal(2, "c", "{}"))),
        refused(|answer| answer.issues.push(issue(2, Severity::Error, "Not Kebab", Some("title")))),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    invalid-document-id: plug-in p@1.0.0 made a document without a valid id: the document id "a/b" has the character '/'; only A-Z a-z 0-9 . _ ~ - are allowed
    invalid-document: plug-in p@1.0.0 made the document b with JSON that cannot be used: it is not a JSON object
    invalid-document: plug-in p@1.0.0 made the document b with JSON that cannot be used: it has the key `_id`, which is the host's
    repeated-document-id: plug-in p@1.0.0 named the document a more than once for this product
    invalid-document-id: plug-in p@1.0.0 made a removal without a valid id: the document id is empty; give each document an id of 1 to 255 characters
    invalid-removal: plug-in p@1.0.0 made the removal r with JSON that cannot be used: it is not a JSON object
    repeated-document-id: plug-in p@1.0.0 named the document c more than once for this product
    invalid-code: It is so.
    "#);
}

#[test]
fn a_fault_in_the_whole_answer_is_an_error() {
    let breach = |change: fn(&mut RawTransformed)| {
        let mut answer = answer();
        change(&mut answer);
        validated(&Limits::default(), answer).unwrap_err()
    };
    let breaches = [
        breach(|answer| answer.counts.clear()),
        breach(|answer| answer.counts[1] = u32::MAX),
        breach(|answer| answer.documents.clear()),
        breach(|answer| answer.issues[0].item = 3),
        breach(|answer| answer.removals[0].item = u32::MAX),
    ];
    insta::assert_snapshot!(breaches.join("\n"), @r"
    the number of counts (0) is not the number of products (3)
    it counted 4294967298 documents but returned 3
    it counted 3 documents but returned 0
    an issue names item 3, but the items end at 2
    a removal names item 4294967295, but the items end at 2
    ");
}

#[test]
fn limits_on_documents_bytes_and_issues_hold() {
    let limits =
        Limits { documents_per_product: 1, document_bytes: 6, issues_per_item: 2, ..Limits::default() };
    let mut many_issues = answer();
    many_issues.issues = (0..9).map(|_| issue(1, Severity::Warning, "odd", None)).collect();
    many_issues.issues.push(issue(1, Severity::Error, "late", None));
    let outcomes = validated(&limits, many_issues).unwrap();
    assert_eq!(codes(&outcomes), [Some("too-many-documents"), Some("late"), Some("document-too-large")]);
    assert_eq!(outcomes[1].issues.len(), 2);

    let mut many_removals = answer();
    many_removals.removals = (0..9).map(|number| removal(1, &format!("r{number}"), "{}")).collect();
    assert_eq!(codes(&validated(&limits, many_removals).unwrap())[1], Some("too-many-documents"));
}

#[test]
fn verdicts_and_orderings_belong_to_their_items() {
    let limits = Limits::default();
    let validator = OutputValidator { plugin: "p@1.0.0", limits: &limits };
    let issues =
        vec![issue(1, Severity::Error, "first", Some("/a")), issue(1, Severity::Error, "second", None)];
    let verdicts = validator.verdicts(2, issues).unwrap();
    assert_eq!((verdicts[0].clone(), verdicts[1].issues.len()), (Verdict::default(), 2));
    assert_eq!(verdicts[1].refused.as_ref().map(|refusal| refusal.code.as_str()), Some("first"));
    assert!(validator.verdicts(1, vec![issue(1, Severity::Warning, "x", None)]).is_err());
    assert!(validator.orderings(2, vec![VersionOrdering::Same]).is_err());
}
