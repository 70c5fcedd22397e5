//! Lists of rows travel as one JSON parameter, so that a statement does not depend on their number: no limit on
//! variables, one prepared statement for all batches.

use host_sqlite::{Cause, to_json};
use serde::{Serialize, Serializer, ser::SerializeSeq};
use std::cell::Cell;

/// A list as a parameter.
pub(super) struct Rows {
    pub(super) json: String,
    pub(super) is_empty: bool,
}

/// The rows of an iterator.
pub(super) fn rows(rows: impl Iterator<Item: Serialize>) -> Result<Rows, Cause> {
    let mut rows = rows.peekable();
    let is_empty = rows.peek().is_none();
    Ok(Rows { json: to_json(&List(Cell::new(Some(rows))))?, is_empty })
}

/// An iterator as a JSON array.
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
