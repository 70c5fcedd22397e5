//! The oracle: the rules of grouping in their simplest form, compared with the reader on random exports.

use super::{Reading, by_parent, read};
use host_export::{ExportError, Mode};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A line as the rules see it: rejected, or a record with its ids.
enum ParsedLine {
    Rejected(&'static str),
    Record { own: Option<String>, parent: Option<String>, is_bare: bool },
}

fn parse(line: &str) -> ParsedLine {
    match serde_json::from_str::<Value>(line) {
        Err(_) => ParsedLine::Rejected("invalid-json"),
        Ok(Value::Object(fields)) => {
            let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
            let is_bare = fields.len() == 1 && fields.contains_key("id");
            ParsedLine::Record { own: text("id"), parent: text("__parentId"), is_bare }
        }
        Ok(_) => ParsedLine::Rejected("not-an-object"),
    }
}

/// Groups an export without blank lines. `at` is the position of a line, from 0. A root is a line without a parent;
/// roots with the same id start the same product. A bare root holds nothing but its id and stands for any other line that
/// has the id.
pub(super) fn group(lines: &[String]) -> Reading {
    let parsed: Vec<ParsedLine> = lines.iter().map(|line| parse(line)).collect();
    let own = |at: usize| match &parsed[at] {
        ParsedLine::Record { own, .. } => own.as_deref(),
        ParsedLine::Rejected(_) => None,
    };
    let parent = |at: usize| match &parsed[at] {
        ParsedLine::Record { parent, .. } => parent.as_deref(),
        ParsedLine::Rejected(_) => None,
    };
    let is_bare = |at: usize| matches!(&parsed[at], ParsedLine::Record { is_bare: true, .. });
    let is_root = |at: usize| matches!(&parsed[at], ParsedLine::Record { parent: None, .. });
    // The line that an id in the line `at` refers to: the nearest earlier line with that id, else the first later one;
    // bare roots only if there are no others.
    let definition = |at: usize, id: &str| {
        let find = |bare: bool| {
            let has_id = |other: &usize| own(*other) == Some(id) && is_bare(*other) == bare;
            (0..at).rev().find(has_id).or_else(|| (at + 1..lines.len()).find(has_id))
        };
        find(false).or_else(|| find(true))
    };
    // What a bare root stands for, if another line with its id is a child and none is a root.
    let child_of_bare = |at: usize| {
        let others = || (0..lines.len()).filter(|other| own(*other) == own(at) && !is_bare(*other));
        if is_bare(at) && !others().any(is_root) { others().next_back() } else { None }
    };
    let first_root = |at: usize| match own(at) {
        None => at,
        Some(id) => (0..=at)
            .find(|other| {
                own(*other) == Some(id) && matches!(&parsed[*other], ParsedLine::Record { parent: None, .. })
            })
            .unwrap(),
    };
    // The first root of the line's product; `None` if the line is an orphan: its chain of parents is broken or a cycle.
    let product_of = |line: usize| {
        let mut at = line;
        for _ in 0..=lines.len() {
            match parent(at) {
                None => match child_of_bare(at) {
                    None => return Some(first_root(at)),
                    Some(child) => at = child,
                },
                Some(id) => at = definition(at, id)?,
            }
        }
        None
    };
    // By the first root of each product: its roots and its other lines.
    let mut products: BTreeMap<usize, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    let mut rejected = Vec::new();
    for (at, parsed) in parsed.iter().enumerate() {
        match (parsed, product_of(at)) {
            (ParsedLine::Rejected(code), _) => rejected.push((at as u64 + 1, (*code).to_owned())),
            (_, None) => rejected.push((at as u64 + 1, "orphan".to_owned())),
            (ParsedLine::Record { parent: None, .. }, Some(first)) if child_of_bare(at).is_none() => {
                products.entry(first).or_default().0.push(at);
            }
            (_, Some(first)) => products.entry(first).or_default().1.push(at),
        }
    }
    let product = |(first, (roots, parts)): (usize, (Vec<usize>, Vec<usize>))| {
        let text: Vec<&str> = roots.iter().chain(&parts).map(|at| lines[*at].as_str()).collect();
        (text.join("\n"), first as u64 + 1, own(first).map(str::to_owned))
    };
    Reading { products: products.into_iter().map(product).collect(), rejected }
}

/// Whether a reader that keeps only the current product would group the lines correctly.
fn is_adjacent(lines: &[String]) -> bool {
    let mut open: Vec<String> = Vec::new();
    let mut roots: Vec<String> = Vec::new();
    for line in lines {
        let ParsedLine::Record { own, parent, is_bare } = parse(line) else { continue };
        if is_bare {
            return false;
        }
        match parent {
            Some(parent) if !open.contains(&parent) => return false,
            Some(_) => open.extend(own),
            None => {
                open = own.iter().cloned().collect();
                if let Some(own) = own {
                    if roots.contains(&own) {
                        return false;
                    }
                    roots.push(own);
                }
            }
        }
    }
    true
}

/// Compares all modes of the reader with the oracle.
fn check(lines: &[String]) -> Result<(), TestCaseError> {
    let export = lines.join("\n").into_bytes();
    let expected = group(lines);
    let is_rejected = |line: &String| matches!(parse(line), ParsedLine::Rejected(_));
    if !lines.is_empty() && lines.iter().all(is_rejected) {
        let refused = read(&export, &by_parent(), Mode::Auto);
        let has_no_records = matches!(refused, Err(ExportError::NoRecords { .. }));
        prop_assert!(has_no_records);
        return Ok(());
    }
    for mode in [Mode::Auto, Mode::Spill] {
        let (reading, stats) = read(&export, &by_parent(), mode).unwrap();
        prop_assert_eq!(&reading, &expected, "{:?}", mode);
        prop_assert_eq!(stats.lines, lines.len() as u64);
        prop_assert_eq!(stats.products, expected.products.len() as u64);
        prop_assert_eq!(stats.rejected_lines + stats.orphans, expected.rejected.len() as u64);
        prop_assert_eq!(stats.bytes, export.len() as u64);
        let in_place = mode == Mode::Auto && is_adjacent(lines);
        prop_assert_eq!(&stats.grouping, if in_place { "adjacent" } else { "spill" });
    }
    match read(&export, &by_parent(), Mode::Adjacent) {
        // This mode cannot look for other lines with the id of a bare root.
        Ok(_) if lines.iter().any(|line| matches!(parse(line), ParsedLine::Record { is_bare: true, .. })) => {
        }
        Ok((reading, _)) => {
            prop_assert!(is_adjacent(lines));
            prop_assert_eq!(&reading, &expected);
        }
        Err(ExportError::ParentNotOpen { .. } | ExportError::DuplicateRoot { .. }) => {
            prop_assert!(!is_adjacent(lines));
        }
        Err(error) => return Err(TestCaseError::fail(error.to_string())),
    }
    Ok(())
}

/// Any lines over a few ids: orphans, cycles, lines that are their own parents, ids that are both a root's and a
/// child's, duplicates, and lines that are not records.
fn anything() -> impl Strategy<Value = Vec<String>> {
    let id = || prop_oneof![1 => Just(None), 6 => (0..7_u8).prop_map(Some)];
    let line = prop_oneof![
        1 => Just("not json".to_owned()),
        1 => Just("[1]".to_owned()),
        20 => (id(), prop_oneof![2 => Just(None), 3 => (0..8_u8).prop_map(Some)], any::<u16>()).prop_map(
            |(own, parent, body)| {
                let mut line = if body % 3 == 0 { json!({}) } else { json!({ "body": body.to_string() }) };
                if let Some(own) = own {
                    line["id"] = json!(format!("a/{own}"));
                }
                if let Some(parent) = parent {
                    line["__parentId"] = json!(format!("a/{parent}"));
                }
                line.to_string()
            }
        ),
    ];
    prop::collection::vec(line, 0..40)
}

/// A grouped export with unique ids, up to three levels deep.
fn grouped() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop::collection::vec(0..4_usize, 0..5), 0..8).prop_map(|products| {
        let mut lines = Vec::new();
        for (product, parts) in products.iter().enumerate() {
            lines.push(json!({ "id": format!("p/{product}"), "title": "" }).to_string());
            for (part, below) in parts.iter().enumerate() {
                let id = format!("v/{product}-{part}");
                lines.push(json!({ "id": id, "__parentId": format!("p/{product}") }).to_string());
                for level in 0..*below {
                    lines.push(json!({ "level": level, "__parentId": id }).to_string());
                }
            }
        }
        lines
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_lines_are_grouped_as_the_rules_say(lines in anything()) {
        check(&lines)?;
    }

    #[test]
    fn a_grouped_export_is_read_in_place(lines in grouped()) {
        prop_assert!(is_adjacent(&lines));
        check(&lines)?;
    }

    #[test]
    fn with_unique_ids_the_order_of_lines_does_not_change_the_products(lines in grouped(), keys in prop::collection::vec(any::<u32>(), 200)) {
        let mut shuffled: Vec<_> = lines.iter().cloned().zip(keys).collect();
        shuffled.sort_by_key(|(_, key)| *key);
        let shuffled: Vec<String> = shuffled.into_iter().map(|(line, _)| line).collect();
        check(&shuffled)?;
        // The same lines in the same products, in any order.
        let parts = |reading: Reading| {
            let mut products: Vec<Vec<String>> = Vec::new();
            for (text, _, _) in reading.products {
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort();
                products.push(lines);
            }
            products.sort();
            products
        };
        let (reading, _) = read(shuffled.join("\n").as_bytes(), &by_parent(), Mode::Auto).unwrap();
        prop_assert!(reading.rejected.is_empty());
        prop_assert_eq!(parts(reading), parts(group(&lines)));
    }
}

#[test]
fn a_long_chain_and_a_long_cycle_end() {
    let chain =
        |at: usize| json!({ "id": format!("c/{at}"), "__parentId": format!("c/{}", at + 1) }).to_string();
    let cycle = |at: usize| {
        json!({ "id": format!("o/{at}"), "__parentId": format!("o/{}", (at + 1) % 500) }).to_string()
    };
    let mut lines: Vec<String> = (0..500).map(chain).chain((0..500).map(cycle)).collect();
    lines.push(json!({ "id": "c/500" }).to_string());
    check(&lines).unwrap();
}
