//! An export gives the same documents whatever the order of its lines and the JSON escapes in them, and one that is cut
//! off keeps its complete products.

use crate::support::{TestDir, lines, product, shared_sample};
use proptest::{prelude::*, test_runner::Config};
use serde_json::Value;
use std::collections::HashMap;

const AT: &str = "2026-01-01T00:00:00Z";

fn documents(export: impl AsRef<[u8]>) -> Vec<Value> {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", export);
    let output = test_dir.run("export.jsonl", &[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    test_dir.documents()
}

/// The lines of the chunks (files of documents that a run makes), by document id.
fn chunk_lines(export: impl AsRef<[u8]>) -> HashMap<String, String> {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", export);
    let output = test_dir.run("export.jsonl", &[]);
    assert!(matches!(output.code, Some(0 | 4)), "{output:?}");
    let mut found = HashMap::new();
    for (_, bytes) in test_dir.chunks() {
        for line in std::str::from_utf8(&bytes).unwrap().lines() {
            let document: Value = serde_json::from_str(line).unwrap();
            // `_mq_source` is a digest of what the product is made of, its lines as they are among it, so it differs.
            let source = format!(",\"_mq_source\":{}", document["_mq_source"]);
            assert!(line.contains(&source));
            found.insert(document["_id"].as_str().unwrap().to_owned(), line.replace(&source, ""));
        }
    }
    found
}

fn parent(line: &str) -> String {
    let value: Value = serde_json::from_str(line).unwrap();
    value["__parentId"].as_str().unwrap_or_default().to_owned()
}

/// Mixes the lines of an export as `choices` say, with the children of each parent in their order.
fn interleave(export: &[String], choices: &[usize]) -> Vec<String> {
    let mut queues: Vec<(String, Vec<String>)> = Vec::new();
    for line in export.iter().rev() {
        let its_parent = parent(line);
        match queues.iter_mut().find(|(parent, _)| *parent == its_parent) {
            Some((_, queue)) => queue.push(line.clone()),
            None => queues.push((its_parent, vec![line.clone()])),
        }
    }
    let mut mixed = Vec::new();
    let mut choices = choices.iter().cycle();
    while !queues.is_empty() {
        let choice = choices.next().unwrap() % queues.len();
        mixed.push(queues[choice].1.pop().unwrap());
        if queues[choice].1.is_empty() {
            queues.remove(choice);
        }
    }
    mixed
}

fn three_products() -> Vec<String> {
    (1..=3).flat_map(|number| product(number, &format!("Thing {number}"), AT)).collect()
}

proptest! {
    #![proptest_config(Config { cases: 12, max_shrink_iters: 20, ..Config::default() })]

    #[test]
    fn any_interleaving_gives_the_same_documents(choices in prop::collection::vec(0usize..9, 18)) {
        let export = three_products();
        prop_assert_eq!(chunk_lines(lines(&interleave(&export, &choices))), chunk_lines(lines(&export)));
    }
}

#[test]
fn a_reversed_export_gives_the_same_documents() {
    let mut export = three_products();
    let expected = documents(lines(&export));
    export.reverse();
    assert_eq!(documents(lines(&export)), expected);
}

#[test]
fn json_escapes_do_not_matter() {
    let export = lines(&three_products());
    let escaped = export.replace('/', "\\/").replace('<', "\\u003c").replace('>', "\\u003e");
    assert_eq!(chunk_lines(escaped), chunk_lines(export));
}

#[test]
fn a_file_cut_anywhere_keeps_its_complete_products() {
    let export = lines(&three_products());
    let complete = chunk_lines(&export);
    let last = export.len() - lines(&product(3, "Thing 3", AT)).len();
    // The tests of the reader cut at every byte; this one tests the whole program at a few places.
    // From where the id of the cut product can be read: before, the line may be one of product 2.
    for cut in (last + 60..export.len() - 1).step_by(97) {
        let documents = chunk_lines(&export.as_bytes()[..cut]);
        for id in ["1", "2"] {
            assert_eq!(documents[id], complete[id], "cut at {cut}");
        }
        assert!(!documents.contains_key("3"), "cut at {cut}");
    }
}

mod needs_samples {
    use super::*;

    #[test]
    #[ignore = "needs exports of real shops"]
    fn any_interleaving_of_a_real_export_gives_the_same_documents() {
        let export = std::fs::read_to_string(shared_sample("kaizoku.jsonl"));
        let export: Vec<String> = export.unwrap().lines().map(str::to_owned).collect();
        let expected = chunk_lines(lines(&export));
        assert_eq!(expected.len(), 32);
        for choices in [vec![0], vec![5, 1, 8, 3], vec![usize::MAX / 2, 17, 4, 99, 3, 1]] {
            assert_eq!(chunk_lines(lines(&interleave(&export, &choices))), expected);
        }
    }
}
