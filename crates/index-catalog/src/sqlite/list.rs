//! Passes a list of rows to a statement as one JSON parameter, so that the statement does not depend on the number of
//! rows: SQLite's limit on variables does not matter, and one prepared statement serves all batches.

use host_sqlite::{Cause, to_json};
use serde::{Serialize, Serializer, ser::SerializeSeq};
use std::cell::Cell;

/// A list of rows as a parameter.
pub(super) struct Rows {
    pub(super) json: String,
    pub(super) is_empty: bool,
}

/// The items of an iterator as a parameter.
pub(super) fn rows(rows: impl Iterator<Item: Serialize>) -> Result<Rows, Cause> {
    let mut rows = rows.peekable();
    let is_empty = rows.peek().is_none();
    Ok(Rows { json: to_json(&List(Cell::new(Some(rows))))?, is_empty })
}

/// Serializes an iterator as a JSON array, without collecting it first.
struct List<I>(Cell<Option<I>>);

impl<I: Iterator<Item: Serialize>> Serialize for List<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for item in self.0.take().into_iter().flatten() {
            list.serialize_element(&item)?;
        }
        list.end()
    }
}
