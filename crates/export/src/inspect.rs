//! A line is a record or refused, with a reason that helps to repair it.

use super::{
    lines::RawLine,
    pass::Line,
    pointer::{Ids, NoIds, Pointers},
};
use host_core::model::{Class, Entry};
use std::fmt::Write as _;

/// How many characters of a line a report shows.
const EXCERPT_CHARACTERS: usize = 200;

/// A line that is a JSON object.
#[derive(Debug)]
pub(super) struct Record<'a> {
    /// The line.
    pub(super) text: &'a str,
    /// What it says of itself.
    pub(super) ids: Ids<'a>,
}

/// Why a line is not a record.
#[derive(Debug)]
pub(super) enum Rejection {
    TooLong,
    NotUtf8 { byte: usize },
    NotJson(serde_json::Error),
    Truncated,
    NotAnObject,
    UnfitId { pointer: String },
}

/// Checks a line and reads its ids.
pub(super) fn inspect<'a>(line: &RawLine<'a>, pointers: &Pointers) -> Result<Record<'a>, Rejection> {
    if line.is_too_long() {
        return Err(Rejection::TooLong);
    }
    let text = std::str::from_utf8(line.bytes).map_err(|error| {
        let is_cut_off = !line.ended && error.error_len().is_none();
        if is_cut_off { Rejection::Truncated } else { Rejection::NotUtf8 { byte: error.valid_up_to() + 1 } }
    })?;
    let ids = pointers.read(text).map_err(|no_ids| match no_ids {
        NoIds::Syntax(error) if !line.ended && is_cut_off(text, &error) => Rejection::Truncated,
        NoIds::Syntax(error) => Rejection::NotJson(error),
        NoIds::NotAnObject => Rejection::NotAnObject,
        NoIds::Unfit(pointer) => Rejection::UnfitId { pointer },
    })?;
    Ok(Record { text, ids })
}

/// Whether more text could make a text that is not JSON.
fn is_cut_off(text: &str, error: &serde_json::Error) -> bool {
    // A number that ends too early is an error of its own to the parser.
    error.is_eof() || (error.column() >= text.len() && text.ends_with(['-', '+', '.', 'e', 'E']))
}

impl Rejection {
    /// What the report says.
    pub(super) fn entry(&self, line: &Line<'_>, source: &str) -> Entry {
        let (code, message) = match self {
            Self::TooLong => {
                let length = line.raw.length;
                let message = format!(
                    "The line is {length} bytes long, more than `ingest.max_line_bytes` allows, and was left out; raise that setting if the line is right."
                );
                ("line-too-long", message)
            }
            Self::NotUtf8 { byte } => {
                let message = format!(
                    "Byte {byte} of the line is not UTF-8, so it was left out; export again with UTF-8 as encoding."
                );
                ("invalid-utf8", message)
            }
            Self::NotJson(error) => {
                let text = error.to_string();
                let reason = text.split(" at line ").next().unwrap_or_default();
                let column = error.column();
                let message = format!(
                    "The line is not JSON ({reason} at byte {column}) and was left out; correct it or export again."
                );
                ("invalid-json", message)
            }
            Self::Truncated => {
                let message =
                    "The source ends in the middle of this line, which was left out; fetch the source again.";
                ("truncated-line", message.to_owned())
            }
            Self::NotAnObject => {
                let message = "The line is JSON but not an object and was left out; write one JSON object on each line.";
                ("not-an-object", message.to_owned())
            }
            Self::UnfitId { pointer } => {
                let message = format!(
                    "The id at `{pointer}` is neither a string nor an integer, so the line was left out; correct it or \
                     export again."
                );
                ("invalid-id", message)
            }
        };
        entry(code, message, line, source)
    }
}

/// What the report says of a line whose ancestors do not end at a product.
pub(super) fn orphan(ids: &Ids<'_>, line: &Line<'_>, source: &str) -> Entry {
    let shown = excerpt(ids.parent.as_deref().unwrap_or_default().as_bytes());
    let message = format!(
        "The line belongs to `{shown}`, which leads to no product of the export, and was left out; export the product \
         too."
    );
    entry("orphan", message, line, source)
        .with("id", ids.own.as_deref().map(|own| excerpt(own.as_bytes())))
        .with("parent", shown)
}

fn entry(code: &str, message: String, line: &Line<'_>, source: &str) -> Entry {
    let mut entry = Entry::new(Class::Skipped, code, message)
        .with("source", source)
        .with("byte_offset", line.raw.offset)
        .with("excerpt", excerpt(line.raw.bytes));
    entry.line = Some(line.raw.number);
    entry
}

/// The beginning of a line, with everything made visible that a terminal would act on or hide.
fn excerpt(line: &[u8]) -> String {
    let mut shown = String::new();
    let mut left = EXCERPT_CHARACTERS;
    for chunk in line.utf8_chunks() {
        for character in chunk.valid().chars() {
            if left == 0 {
                return shown + "…";
            }
            left -= 1;
            if is_invisible(character) {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
        }
        for byte in chunk.invalid() {
            if left == 0 {
                return shown + "…";
            }
            left -= 1;
            write!(shown, "\\x{byte:02x}").expect("a string takes everything");
        }
    }
    shown
}

/// Control characters, line separators, marks of direction and zero width.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests;
