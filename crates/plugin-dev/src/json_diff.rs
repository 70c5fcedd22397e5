//! A structural diff of two JSON values: the places in which they differ, as JSON Pointers.

use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write};

/// The most changes that are listed for two values: a longer list does not help a reader.
const MAX_CHANGES: usize = 200;

/// Keys that may identify the objects of an array; the first that all objects have is used.
const ID_KEYS: [&str; 4] = ["_id", "id", "product", "document"];

/// A difference at one place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// JSON Pointer into the old value, or into the new value for what was added.
    pub path: String,
    /// The pointer with `*` for array positions, so that it is the same for every element of an array.
    #[serde(skip)]
    pub field: String,
    /// The old value; `None` if it was added.
    pub before: Option<Value>,
    /// The new value; `None` if it was removed.
    pub after: Option<Value>,
}

/// The places in which `after` differs from `before`, at most 200. Objects in arrays are matched by their id, so that
/// an insertion is one change; a changed order is a change too.
pub fn diff(before: &Value, after: &Value) -> Vec<Change> {
    let mut differ = Differ::default();
    differ.value(before, after);
    differ.changes
}

#[derive(Default)]
/// Walks through two values at once; `path` and `field` are those of the current place, as in [`Change`].
struct Differ {
    path: String,
    field: String,
    changes: Vec<Change>,
}

impl Differ {
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
            _ => self.record(Some(before), Some(after)),
        }
    }

    fn option(&mut self, before: Option<&Value>, after: Option<&Value>) {
        match (before, after) {
            (Some(before), Some(after)) => self.value(before, after),
            (before, after) => self.record(before, after),
        }
    }

    /// Compares the elements of two arrays that have the same id under `key`.
    fn by_identity(&mut self, key: &str, old: &[Value], new: &[Value]) {
        let positions: BTreeMap<String, usize> =
            new.iter().enumerate().map(|(index, item)| (item[key].to_string(), index)).collect();
        let mut matched = vec![false; new.len()];
        // The positions in the new array of the elements that both have, in the order of the old one.
        let mut order = Vec::new();
        for (index, item) in old.iter().enumerate() {
            let found = positions.get(&item[key].to_string()).copied();
            if let Some(position) = found {
                matched[position] = true;
                order.push(position);
            }
            let counterpart = found.map(|position| &new[position]);
            self.step(&index.to_string(), "*", |inside| inside.option(Some(item), counterpart));
        }
        for (index, item) in new.iter().enumerate().filter(|(index, _)| !matched[*index]) {
            self.step(&index.to_string(), "*", |inside| inside.option(None, Some(item)));
        }
        if !order.is_sorted() {
            let ids = |items: &[Value]| items.iter().map(|item| item[key].clone()).collect();
            self.record(Some(&ids(old)), Some(&ids(new)));
        }
    }

    /// Compares arrays whose elements have no ids: skips the elements that both begin and end with, and compares the
    /// rest by position.
    fn by_position(&mut self, old: &[Value], new: &[Value]) {
        let shorter = old.len().min(new.len());
        let head = old.iter().zip(new).take_while(|(old, new)| old == new).count();
        let from_end = old.iter().rev().zip(new.iter().rev()).take(shorter - head);
        let tail = from_end.take_while(|(old, new)| old == new).count();
        let (old_end, new_end) = (old.len() - tail, new.len() - tail);
        for index in head..old_end.max(new_end) {
            let before = old.get(index).filter(|_| index < old_end);
            let after = new.get(index).filter(|_| index < new_end);
            self.step(&index.to_string(), "*", |inside| inside.option(before, after));
        }
    }

    /// Goes one step into the values, to a key or position, and back again after `inside`.
    fn step(&mut self, path: &str, field: &str, inside: impl FnOnce(&mut Self)) {
        let (path_len, field_len) = (self.path.len(), self.field.len());
        let _ = write!(self.path, "/{path}");
        let _ = write!(self.field, "/{field}");
        inside(self);
        self.path.truncate(path_len);
        self.field.truncate(field_len);
    }

    fn record(&mut self, before: Option<&Value>, after: Option<&Value>) {
        if self.changes.len() < MAX_CHANGES {
            let (path, field) = (self.path.clone(), self.field.clone());
            self.changes.push(Change { path, field, before: before.cloned(), after: after.cloned() });
        }
    }
}

/// The key that identifies every element of both arrays: all have it, and no two in an array have the same value.
/// `None` if there is no such key.
fn identity(old: &[Value], new: &[Value]) -> Option<&'static str> {
    let identifies = |items: &[Value], key: &str| {
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
    ID_KEYS.into_iter().find(|key| identifies(old, key) && identifies(new, key))
}

/// Escapes a key for a JSON Pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// The changes, one text each.
    fn listed(before: Value, after: Value) -> Vec<String> {
        let text = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
        diff(&before, &after)
            .iter()
            .map(|change| format!("{}: {} → {}", change.path, text(&change.before), text(&change.after)))
            .collect()
    }

    #[test]
    fn fields_are_compared_by_name() {
        let before = json!({"a": 1, "b": {"x/y": [1, 2]}, "gone": null});
        let after = json!({"b": {"x/y": [1, 3]}, "a": 1, "new": true});
        assert_eq!(listed(before, after), ["/b/x~1y/1: 2 → 3", "/gone: null → -", "/new: - → true"]);
    }

    #[test]
    fn a_number_differs_from_its_text_and_from_its_float() {
        assert_eq!(listed(json!(1), json!("1")), [r#": 1 → "1""#]);
        assert_eq!(listed(json!(1), json!(1.0)), [": 1 → 1.0"]);
    }

    #[test]
    fn objects_in_arrays_are_matched_by_id() {
        let before = json!([{"id": 1, "p": 5}, {"id": 2, "p": 6}]);
        let after = json!([{"id": 3}, {"id": 1, "p": 5}, {"id": 2, "p": 7}]);
        assert_eq!(listed(before.clone(), after), ["/1/p: 6 → 7", r#"/0: - → {"id":3}"#]);
        let swapped = json!([{"id": 2, "p": 6}, {"id": 1, "p": 5}]);
        assert_eq!(listed(before, swapped), [": [1,2] → [2,1]"]);
        let twice = json!([{"id": 1}, {"id": 1}]);
        assert_eq!(listed(twice, json!([{"id": 1}])), [r#"/1: {"id":1} → -"#]);
    }

    #[test]
    fn an_insertion_is_one_change() {
        assert_eq!(listed(json!(["a", "b"]), json!(["a", "x", "b"])), [r#"/1: - → "x""#]);
        assert_eq!(listed(json!(["a", "a"]), json!(["a"])), [r#"/1: "a" → -"#]);
    }

    #[test]
    fn a_field_path_has_no_positions() {
        let change = &diff(&json!({"v": [{"id": 1, "p": 1}]}), &json!({"v": [{"id": 1, "p": 2}]}))[0];
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
        fn only_equal_values_have_no_changes(before in any_json(), after in any_json()) {
            prop_assert_eq!(diff(&before, &after).is_empty(), before == after);
            prop_assert!(diff(&before, &before).is_empty());
        }
    }
}
