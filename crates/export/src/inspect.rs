//! Checks each line of an export: it is a record (a JSON object with valid ids), or it is rejected with a report entry
//! that says why.

use super::{
    lines::RawLine,
    pass::Line,
    pointer::{IdError, IdPointers, Ids},
};
use host_core::model::{EntryClass, ReportEntry};
use serde::de::IgnoredAny;
use std::{collections::HashMap, fmt::Write as _};

/// Number of characters of a line that a report shows.
const EXCERPT_CHARACTERS: usize = 200;

/// A line that is a JSON object.
#[derive(Debug)]
pub(super) struct Record<'a> {
    /// The text of the line.
    pub(super) text: &'a str,
    /// The ids that it contains.
    pub(super) ids: Ids<'a>,
}

/// Why a line is not a record.
#[derive(Debug)]
pub(super) enum Rejection {
    TooLong,
    /// `byte` is the position of the first invalid byte in the line, from 1.
    NotUtf8 {
        byte: usize,
    },
    NotJson(serde_json::Error),
    /// The source ends in the middle of the line.
    Truncated,
    NotAnObject,
    /// The id at this JSON Pointer is neither a string, an integer nor null.
    InvalidId {
        pointer: String,
    },
}

/// Validates a line and extracts its ids.
pub(super) fn inspect<'a>(line: &RawLine<'a>, pointers: &IdPointers) -> Result<Record<'a>, Rejection> {
    if line.is_too_long() {
        return Err(Rejection::TooLong);
    }
    let text = std::str::from_utf8(line.bytes).map_err(|error| {
        let is_truncated = !line.has_newline && error.error_len().is_none();
        if is_truncated { Rejection::Truncated } else { Rejection::NotUtf8 { byte: error.valid_up_to() + 1 } }
    })?;
    let ids = pointers.read(text).map_err(|error| match error {
        IdError::Syntax(error) if !line.has_newline && is_truncated(text, &error) => Rejection::Truncated,
        IdError::Syntax(error) => Rejection::NotJson(error),
        IdError::NotAnObject => Rejection::NotAnObject,
        IdError::InvalidType(pointer) => Rejection::InvalidId { pointer },
    })?;
    Ok(Record { text, ids })
}

/// A longer line is not examined for whether it holds nothing but its id.
const MAX_BARE_BYTES: usize = 256;

impl Record<'_> {
    /// Whether the line holds its id and nothing else, as a query leaves it that selects only the children of things. It
    /// does not say whether the thing is a product.
    pub(super) fn is_bare(&self) -> bool {
        let fields = || serde_json::from_str::<HashMap<String, IgnoredAny>>(self.text);
        self.ids.id.is_some()
            && self.ids.parent_id.is_none()
            && self.text.len() <= MAX_BARE_BYTES
            && fields().is_ok_and(|fields| fields.len() == 1)
    }
}

/// Whether the text may be the beginning of valid JSON, given the error of parsing it.
fn is_truncated(text: &str, error: &serde_json::Error) -> bool {
    // The parser reports an incomplete number as a syntax error, not as an early end.
    error.is_eof() || (error.column() >= text.len() && text.ends_with(['-', '+', '.', 'e', 'E']))
}

impl Rejection {
    /// The report entry of a rejected line; `source` is the name of its source.
    pub(super) fn entry(&self, line: &Line<'_>, source: &str) -> ReportEntry {
        let (code, message) = match self {
            Self::TooLong => {
                let length = line.raw.length;
                let message = format!(
                    "The line was skipped because its {length} bytes exceed `ingest.max_line_bytes`; raise that setting if the line is correct."
                );
                ("line-too-long", message)
            }
            Self::NotUtf8 { byte } => {
                let message = format!(
                    "The line was skipped because byte {byte} is not valid UTF-8; export again in UTF-8."
                );
                ("invalid-utf8", message)
            }
            Self::NotJson(error) => {
                let text = error.to_string();
                let reason = text.split(" at line ").next().unwrap_or_default();
                let column = error.column();
                let message = format!(
                    "The line was skipped because it is not JSON ({reason} at byte {column}); correct it or export again."
                );
                ("invalid-json", message)
            }
            Self::Truncated => {
                let message = "The line was skipped because the source ends in the middle of it; download the source again.";
                ("truncated-line", message.to_owned())
            }
            Self::NotAnObject => {
                let message = "The line was skipped because it is JSON but not an object; write one JSON object per line.";
                ("not-an-object", message.to_owned())
            }
            Self::InvalidId { pointer } => {
                let message = format!(
                    "The line was skipped because the id at `{pointer}` is neither a string nor an integer; correct it or \
                     export again."
                );
                ("invalid-id", message)
            }
        };
        entry(code, message, line, source)
    }
}

/// The report entry of an orphan: a line whose chain of parents does not end at a product.
pub(super) fn orphan(ids: &Ids<'_>, line: &Line<'_>, source: &str) -> ReportEntry {
    let shown = excerpt(ids.parent_id.as_deref().unwrap_or_default().as_bytes());
    let message = format!(
        "The line was skipped because its parent `{shown}` leads to no product of the export; export the product too."
    );
    entry("orphan", message, line, source)
        .with("id", ids.id.as_deref().map(|own| excerpt(own.as_bytes())))
        .with("parent", shown)
}

fn entry(code: &str, message: String, line: &Line<'_>, source: &str) -> ReportEntry {
    let mut entry = ReportEntry::new(EntryClass::Skipped, code, message)
        .with("source", source)
        .with("byte_offset", line.raw.offset)
        .with("excerpt", excerpt(line.raw.bytes));
    entry.line = Some(line.raw.number);
    entry
}

/// The beginning of a line, with characters escaped that a terminal would interpret or hide.
pub(super) fn excerpt(line: &[u8]) -> String {
    let mut shown = String::new();
    let mut remaining = EXCERPT_CHARACTERS;
    for chunk in line.utf8_chunks() {
        for character in chunk.valid().chars() {
            if remaining == 0 {
                return shown + "…";
            }
            remaining -= 1;
            if is_invisible(character) {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
        }
        for byte in chunk.invalid() {
            if remaining == 0 {
                return shown + "…";
            }
            remaining -= 1;
            write!(shown, "\\x{byte:02x}").expect("writing to a string cannot fail");
        }
    }
    shown
}

/// Control characters, line separators, bidirectional marks and zero-width characters.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests;
