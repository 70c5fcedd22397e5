//! How one JSON value differs from another, in words of its own structure.

use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write};

/// Changes of one value that are listed; a value that is another one altogether is no list of changes.
const MOST_CHANGES: usize = 200;

/// Keys by which the objects of an array are told apart, the first that all of them have.
const IDENTITIES: [&str; 4] = ["_id", "id", "product", "document"];

/// One place in which two values differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// JSON Pointer to the place: in the old value, or in the new one for what is only there.
    pub path: String,
    /// The pointer with `*` for positions in arrays: what changed, whichever element it is in.
    #[serde(skip)]
    pub field: String,
    /// What was there; none if nothing was.
    pub before: Option<Value>,
    /// What is there now; none if nothing is.
    pub after: Option<Value>,
}

/// The places in which `after` differs from `before`, at most 200. Objects in arrays are matched by their id, so that one that
/// was put in between does not make all others look changed; their order counts.
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Finder::default();
    found.value(before, after);
    found.changes
}

#[derive(Default)]
struct Finder {
    path: String,
    field: String,
    changes: Vec<Change>,
}

impl Finder {
    fn value(&mut self, before: &Value, after: &Value) {
        match (before, after) {
            _ if before == after => {}
            (Value::Object(old), Value::Object(new)) => {
                let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
                for key in keys {
                    self.step(&escaped(key), &escaped(key), |inside| {
                        inside.option(old.get(key), new.get(key));
                    });
                }
            }
            (Value::Array(old), Value::Array(new)) => match identity(old, new) {
                Some(key) => self.by_identity(key, old, new),
                None => self.by_position(old, new),
            },
            _ => self.note(Some(before), Some(after)),
        }
    }

    fn option(&mut self, before: Option<&Value>, after: Option<&Value>) {
        match (before, after) {
            (Some(before), Some(after)) => self.value(before, after),
            (before, after) => self.note(before, after),
        }
    }

    fn by_identity(&mut self, key: &str, old: &[Value], new: &[Value]) {
        let positions: BTreeMap<String, usize> =
            new.iter().enumerate().map(|(n, item)| (item[key].to_string(), n)).collect();
        let mut matched = vec![false; new.len()];
        let mut order = Vec::new();
        for (n, item) in old.iter().enumerate() {
            let found = positions.get(&item[key].to_string()).copied();
            if let Some(position) = found {
                matched[position] = true;
                order.push(position);
            }
            let counterpart = found.map(|position| &new[position]);
            self.step(&n.to_string(), "*", |inside| inside.option(Some(item), counterpart));
        }
        for (n, item) in new.iter().enumerate().filter(|(n, _)| !matched[*n]) {
            self.step(&n.to_string(), "*", |inside| inside.option(None, Some(item)));
        }
        if !order.is_sorted() {
            let ids = |items: &[Value]| items.iter().map(|item| item[key].clone()).collect();
            self.note(Some(&ids(old)), Some(&ids(new)));
        }
    }

    /// Without ids: what both begin and end with is the same, and the rest is compared place by place.
    fn by_position(&mut self, old: &[Value], new: &[Value]) {
        let shorter = old.len().min(new.len());
        let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let tail = old.iter().rev().zip(new.iter().rev()).take(shorter - head).take_while(|(a, b)| a == b);
        let tail = tail.count();
        let (old_end, new_end) = (old.len() - tail, new.len() - tail);
        for n in head..old_end.max(new_end) {
            let before = old.get(n).filter(|_| n < old_end);
            let after = new.get(n).filter(|_| n < new_end);
            self.step(&n.to_string(), "*", |inside| inside.option(before, after));
        }
    }

    fn step(&mut self, path: &str, field: &str, inside: impl FnOnce(&mut Self)) {
        let (path_len, field_len) = (self.path.len(), self.field.len());
        let _ = write!(self.path, "/{path}");
        let _ = write!(self.field, "/{field}");
        inside(self);
        self.path.truncate(path_len);
        self.field.truncate(field_len);
    }

    fn note(&mut self, before: Option<&Value>, after: Option<&Value>) {
        if self.changes.len() < MOST_CHANGES {
            let (path, field) = (self.path.clone(), self.field.clone());
            self.changes.push(Change { path, field, before: before.cloned(), after: after.cloned() });
        }
    }
}

/// The key by which all elements of both arrays can be told apart.
fn identity(old: &[Value], new: &[Value]) -> Option<&'static str> {
    let tells_apart = |items: &[Value], key: &str| {
        let mut ids: Vec<String> = Vec::with_capacity(items.len());
        for item in items {
            match item.get(key) {
                Some(id @ (Value::String(_) | Value::Number(_))) => ids.push(id.to_string()),
                _ => return false,
            }
        }
        ids.sort_unstable();
        ids.windows(2).all(|pair| pair[0] != pair[1])
    };
    IDENTITIES.into_iter().find(|key| tells_apart(old, key) && tells_apart(new, key))
}

/// A key as a JSON Pointer spells it.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn said(before: Value, after: Value) -> Vec<String> {
        let text = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
        changes(&before, &after)
            .iter()
            .map(|change| format!("{}: {} → {}", change.path, text(&change.before), text(&change.after)))
            .collect()
    }

    #[test]
    fn fields_are_compared_by_name() {
        let before = json!({"a": 1, "b": {"x/y": [1, 2]}, "gone": null});
        let after = json!({"b": {"x/y": [1, 3]}, "a": 1, "new": true});
        assert_eq!(said(before, after), ["/b/x~1y/1: 2 → 3", "/gone: null → -", "/new: - → true"]);
    }

    #[test]
    fn a_number_is_not_its_text_nor_its_float() {
        assert_eq!(said(json!(1), json!("1")), [r#": 1 → "1""#]);
        assert_eq!(said(json!(1), json!(1.0)), [": 1 → 1.0"]);
    }

    #[test]
    fn objects_in_arrays_are_matched_by_id() {
        let before = json!([{"id": 1, "p": 5}, {"id": 2, "p": 6}]);
        let after = json!([{"id": 3}, {"id": 1, "p": 5}, {"id": 2, "p": 7}]);
        assert_eq!(said(before.clone(), after), ["/1/p: 6 → 7", r#"/0: - → {"id":3}"#]);
        let swapped = json!([{"id": 2, "p": 6}, {"id": 1, "p": 5}]);
        assert_eq!(said(before, swapped), [": [1,2] → [2,1]"]);
        let twice = json!([{"id": 1}, {"id": 1}]);
        assert_eq!(said(twice, json!([{"id": 1}])), [r#"/1: {"id":1} → -"#]);
    }

    #[test]
    fn what_was_put_in_between_is_one_change() {
        assert_eq!(said(json!(["a", "b"]), json!(["a", "x", "b"])), [r#"/1: - → "x""#]);
        assert_eq!(said(json!(["a", "a"]), json!(["a"])), [r#"/1: "a" → -"#]);
    }

    #[test]
    fn fields_have_no_positions() {
        let change = &changes(&json!({"v": [{"id": 1, "p": 1}]}), &json!({"v": [{"id": 1, "p": 2}]}))[0];
        assert_eq!((change.path.as_str(), change.field.as_str()), ("/v/0/p", "/v/*/p"));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3_i64).prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("id|[a-c]", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn only_equal_values_have_no_changes(a in any_json(), b in any_json()) {
            prop_assert_eq!(changes(&a, &b).is_empty(), a == b);
            prop_assert!(changes(&a, &a).is_empty());
        }
    }
}
