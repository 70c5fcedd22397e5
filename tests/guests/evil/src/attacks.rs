//! The attacks of this plug-in on the host, one function each.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::component::{Document, Failure, Issue, Removal, Severity, Transformed, log};

const MEGABYTE: usize = 1 << 20;

/// A line of the export.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Product {
    id: String,
    title: String,
    updated_at: Option<String>,
}

/// The answer of a good plug-in: a document for each product, an issue for each line that cannot be read.
pub(crate) fn good(products: &[String]) -> Transformed {
    let mut answer =
        Transformed { documents: Vec::new(), counts: Vec::new(), removals: Vec::new(), issues: Vec::new() };
    for (item, line) in (0..).zip(products) {
        match serde_json::from_str::<Product>(line) {
            Ok(Product { id, title, updated_at }) => {
                let updated_at = updated_at.unwrap_or_else(|| "2024-01-01T00:00:00Z".to_owned());
                let fields = json!({ "title": title, "updated_at": updated_at }).to_string();
                answer.documents.push(Document { id, fields });
                answer.counts.push(1);
            }
            Err(error) => {
                answer.counts.push(0);
                answer.issues.push(issue(item, error.to_string()));
            }
        }
    }
    answer
}

/// An answer without documents.
pub(crate) fn nothing(products: usize) -> Transformed {
    Transformed { counts: vec![0; products], ..good(&[]) }
}

/// The fields of each line as a document, unchecked; or as a removal if `removed` is among them.
pub(crate) fn verbatim(products: &[String]) -> Transformed {
    let mut answer = good(&[]);
    for (item, line) in (0..).zip(products) {
        let mut fields: Map<String, Value> = serde_json::from_str(line).unwrap_or_default();
        let id = fields.remove("id").and_then(|id| id.as_str().map(str::to_owned)).unwrap_or_default();
        let is_removed = fields.remove("removed").is_some();
        answer.counts.push(u32::from(!is_removed));
        let fields = Value::Object(fields).to_string();
        if is_removed {
            answer.removals.push(Removal { item, id, version: fields });
        } else {
            answer.documents.push(Document { id, fields });
        }
    }
    answer
}

/// A failure of the whole batch.
pub(crate) fn failure(code: &str, message: &str) -> Failure {
    Failure { code: code.to_owned(), message: message.to_owned() }
}

fn issue(item: u32, message: String) -> Issue {
    Issue { item, severity: Severity::Error, code: "evil".to_owned(), message, path: None }
}

/// Never returns. `black_box` keeps the optimiser from removing the loop.
pub(crate) fn run_forever() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns).wrapping_add(1);
    }
}

/// Traps: aborts the call.
pub(crate) fn trap() -> ! {
    std::process::abort()
}

/// Allocates and fills memory until it is refused, then traps.
pub(crate) fn take_all_memory() -> ! {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut block = Vec::new();
        if block.try_reserve_exact(MEGABYTE).is_err() || taken.try_reserve(1).is_err() {
            trap();
        }
        block.resize(MEGABYTE, 1);
        taken.push(black_box(block));
    }
}

/// 1,024 documents of a megabyte for the first product, or as many as fit into memory.
pub(crate) fn big_output(products: &[String]) -> Transformed {
    let mut answer = good(&[]);
    for number in 0..1024 {
        let mut fields = String::new();
        if fields.try_reserve_exact(MEGABYTE).is_err() {
            break;
        }
        fields.push_str(r#"{"title":""#);
        fields.extend(std::iter::repeat_n('x', MEGABYTE - 12));
        fields.push_str("\"}");
        answer.documents.push(Document { id: format!("big-{number}"), fields });
    }
    answer.counts = vec![0; products.len()];
    if let Some(first) = answer.counts.first_mut() {
        *first = answer.documents.len() as u32;
    }
    answer
}

/// Calls itself until the stack is used up. The frames hold no addresses, so that it is the engine's stack that
/// overflows, not the one in linear memory; the call is indirect, so that it is not turned into a loop.
pub(crate) fn recurse() -> u64 {
    struct Step(fn(&Step, u64) -> u64);
    fn deeper(step: &Step, depth: u64) -> u64 {
        (step.0)(step, depth + 1).rotate_left(1) ^ depth
    }
    deeper(black_box(&Step(deeper)), 1)
}

/// Traps if one of the texts contains `bomb`.
pub(crate) fn trap_at_bomb<'a>(mut texts: impl Iterator<Item = &'a str>) {
    if texts.any(|text| text.contains("bomb")) {
        trap();
    }
}

/// A million short lines, then a thousand huge ones.
pub(crate) fn flood_log() {
    for number in 0..1_000_000 {
        log::write(log::Level::Warn, &format!("flood {number}"));
    }
    let huge = "x".repeat(MEGABYTE);
    for _ in 0..1000 {
        log::write(log::Level::Error, &huge);
    }
}

/// Makes the counts add up to one document more than there are.
pub(crate) fn wrong_counts(answer: &mut Transformed) {
    if let Some(count) = answer.counts.last_mut() {
        *count += 1;
    }
}

/// Four ids that the contract forbids, in turns.
pub(crate) fn illegal_ids(answer: &mut Transformed) {
    let ids = ["a/b".to_owned(), "h#1".to_owned(), String::new(), "x".repeat(300)];
    for (document, id) in answer.documents.iter_mut().zip(ids.iter().cycle()) {
        document.id.clone_from(id);
    }
}

/// The same fields for every document.
pub(crate) fn all_fields(answer: &mut Transformed, fields: &str) {
    for document in &mut answer.documents {
        fields.clone_into(&mut document.fields);
    }
}

/// A NUL character in the id, raw, and one in the title, escaped.
pub(crate) fn nul_bytes(answer: &mut Transformed) {
    for document in &mut answer.documents {
        document.id.push('\0');
    }
    all_fields(answer, r#"{"title":"a\u0000b"}"#);
}

/// The right fields with line breaks, LF and CR LF, between tokens.
pub(crate) fn newline_in_fields(answer: &mut Transformed) {
    for document in &mut answer.documents {
        document.fields = document
            .fields
            .replacen('{', "\n{\r\n", 1)
            .replace("\":\"", "\"\n:\r\n\"")
            .replace("\",\"", "\"\n,\n\"");
    }
}

/// An issue for the first item after the batch.
pub(crate) fn issue_out_of_range(items: usize) -> Issue {
    issue(items as u32, "There is no such item.".to_owned())
}

/// A removal for the first item after the batch.
pub(crate) fn removal_out_of_range(items: usize) -> Removal {
    Removal { item: items as u32, id: "out-of-range".to_owned(), version: "{}".to_owned() }
}

/// A million issues for the first item.
pub(crate) fn issue_flood() -> Vec<Issue> {
    (0..1_000_000).map(|number| issue(0, format!("Issue {number}."))).collect()
}

/// A megabyte of control characters and terminal escapes.
pub(crate) fn failure_long() -> Failure {
    let escapes = "\u{1b}[31m\u{1b}]0;title\u{7}\r\n\0\u{202e}\u{9b}2J";
    failure("evil\n\u{1b}[2J", &escapes.repeat(MEGABYTE / escapes.len()))
}

/// Fields with 10,000 arrays nested inside each other.
pub(crate) fn deep_json() -> String {
    format!("{{\"title\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000))
}

/// Gives all documents the id of the first.
pub(crate) fn duplicate_ids(answer: &mut Transformed) {
    if let Some(id) = answer.documents.first().map(|document| document.id.clone()) {
        for document in &mut answer.documents {
            document.id.clone_from(&id);
        }
    }
}

/// 100,000 small documents for each product.
pub(crate) fn many_documents(products: &[String]) -> Transformed {
    const EACH: u32 = 100_000;
    let mut answer = good(&[]);
    for product in 0..products.len() {
        let document = |number| Document {
            id: format!("many-{product}-{number}"),
            fields: r#"{"title":"x"}"#.to_owned(),
        };
        answer.documents.extend((0..EACH).map(document));
        answer.counts.push(EACH);
    }
    answer
}

/// Panics with a message.
#[expect(clippy::panic, reason = "the attack is a panic")]
pub(crate) fn panic_with_message() -> ! {
    panic!("the plug-in fell over")
}

/// Writes into each document how many calls the instance has had before.
pub(crate) fn count_calls(answer: &mut Transformed) {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let calls = CALLS.fetch_add(1, Ordering::Relaxed);
    all_fields(
        answer,
        &json!({ "title": format!("call {calls}"), "updated_at": "2024-01-01T00:00:00Z" }).to_string(),
    );
}
