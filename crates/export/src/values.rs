//! Copies the records of JSON that is not one record a line: arrays, the answers of a platform's APIs, and objects that
//! fill several lines or share one. Each record becomes a line.
//!
//! Unlike lines, such a source is read whole or not at all: behind a damaged byte no reader can tell where the next record
//! begins. Memory holds one record at a time, or one connection of a GraphQL answer.

use super::form::{self, RECORD_SEPARATOR};
use answer::Answer;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer as _, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};
use std::{
    cell::Cell,
    fmt,
    io::{self, Read, Write},
};

mod answer;

/// Bytes requested from the source at once.
const BLOCK: usize = 64 * 1024;
/// Bytes of a value that are looked at to see whether it is the answer of an API.
const PEEKED: usize = 256;

/// Why the records of a source cannot be copied.
#[derive(Debug)]
pub(super) enum ValuesError {
    /// Reading the source failed.
    Read(io::Error),
    /// Writing a record failed.
    Write(io::Error),
    /// The source ends in the middle of a value.
    Truncated,
    /// The source is not JSON; why, and after how many decompressed bytes.
    Syntax { reason: String, offset: u64 },
    /// The record that ends after this many decompressed bytes exceeds the maximum length.
    TooLong { offset: u64 },
    /// The platform answered with an error; its own words.
    ErrorAnswer { message: String },
    /// The platform answered a mutation, not a query.
    MutationAnswer,
}

/// Copies the records of a source, one a line. `max_record` is the maximum length of a record in bytes. Returns whether
/// the last page of an answer says that another page follows.
pub(super) fn copy_records(
    source: impl Read,
    lines: impl Write,
    max_record: usize,
) -> Result<bool, ValuesError> {
    let allowance = Allowance { left: Cell::new(0), max: max_record as u64 };
    let mut input = Input::new(source, &allowance);
    let mut records = Records { lines, allowance: &allowance, stopped: None, more_pages: false };
    while let Some(first) = input.next_value().map_err(ValuesError::Read)? {
        allowance.renew();
        let key = form::first_key(input.peeked()).unwrap_or_default();
        let is_answer = form::is_answer_key(key);
        let mut json = serde_json::Deserializer::from_reader(&mut input);
        let copied = match first {
            b'[' => json.deserialize_any(Each { records: &mut records, element: Element::Any }),
            b'{' if is_answer => json.deserialize_map(Answer::top(&mut records)),
            b'{' => records.copy_next(&mut json),
            _ => Err(serde_json::Error::custom("expected an object or an array")),
        };
        if let Err(error) = copied {
            return Err(match (records.stopped, error.classify()) {
                (Some(stopped), _) => stopped,
                (None, Category::Io) if allowance.is_used_up() => {
                    ValuesError::TooLong { offset: input.offset }
                }
                (None, Category::Io) => ValuesError::Read(error.into()),
                (None, Category::Eof) => ValuesError::Truncated,
                // The parser reports a number that is cut off as a syntax error.
                (None, _) if input.peeked().is_empty() && reason_of(&error) == "invalid number" => {
                    ValuesError::Truncated
                }
                (None, _) => ValuesError::Syntax { reason: reason_of(&error), offset: input.offset },
            });
        }
    }
    records.lines.flush().map_err(ValuesError::Write)?;
    Ok(records.more_pages)
}

/// The reason of a syntax error without its position.
pub(super) fn reason_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

/// Bytes that may still be read for the current record: it is held in memory.
struct Allowance {
    left: Cell<u64>,
    max: u64,
}

impl Allowance {
    fn renew(&self) {
        self.left.set(self.max);
    }

    fn is_used_up(&self) -> bool {
        self.left.get() == 0
    }
}

/// Where the records go.
struct Records<'a, W> {
    lines: W,
    allowance: &'a Allowance,
    /// Why the copying stopped, if not for the syntax or the source.
    stopped: Option<ValuesError>,
    more_pages: bool,
}

impl<W: Write> Records<'_, W> {
    /// Copies the next value: the record of an answer, or the value itself.
    fn copy_next<'de, D: serde::Deserializer<'de>>(&mut self, json: D) -> Result<(), D::Error> {
        let raw = Box::<RawValue>::deserialize(json)?;
        self.copy_value(raw.get()).map_err(D::Error::custom)
    }

    fn copy_value(&mut self, json: &str) -> serde_json::Result<()> {
        if form::begins_answer(json.as_bytes()) && answer::is_answer(json) {
            return serde_json::Deserializer::from_str(json).deserialize_map(Answer::top(self));
        }
        self.copy_record(json)
    }

    /// Copies one record. Its line ends stand between tokens: inside a string they would not be JSON.
    fn copy_record(&mut self, json: &str) -> serde_json::Result<()> {
        let mut parts = json.split(['\n', '\r']);
        let write = || {
            self.lines.write_all(parts.next().unwrap_or_default().as_bytes())?;
            for part in parts {
                self.lines.write_all(b" ")?;
                self.lines.write_all(part.as_bytes())?;
            }
            self.lines.write_all(b"\n")
        };
        write().map_err(|error| self.stop(ValuesError::Write(error)))
    }

    /// Ends the copying for a reason of its own.
    fn stop(&mut self, reason: ValuesError) -> serde_json::Error {
        self.stopped = Some(reason);
        serde_json::Error::custom("stopped")
    }
}

/// What the elements of a list are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    /// Records, or answers, as when pages were collected in one array.
    Any,
    /// Records.
    Record,
    /// Edges of a GraphQL connection, with a record as `node`.
    Edge,
}

/// The node of an edge.
#[derive(Deserialize)]
struct Edge<'j> {
    #[serde(borrow)]
    node: Option<&'j RawValue>,
}

/// Copies each element of an array; an object in its place is an answer with a list of its own.
struct Each<'r, 'a, W> {
    records: &'r mut Records<'a, W>,
    element: Element,
}

impl<'de, W: Write> Visitor<'de> for Each<'_, '_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self { records, element } = self;
        loop {
            records.allowance.renew();
            let Some(raw) = elements.next_element::<Box<RawValue>>()? else { return Ok(()) };
            let copied = match element {
                Element::Any => records.copy_value(raw.get()),
                Element::Record => records.copy_record(raw.get()),
                // A platform answers null for what it could not read: that is a record which is missing.
                Element::Edge => serde_json::from_str::<Option<Edge<'_>>>(raw.get()).and_then(|edge| {
                    let node = edge.and_then(|edge| edge.node);
                    records.copy_record(node.map_or("null", RawValue::get))
                }),
            };
            copied.map_err(A::Error::custom)?;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        Answer::inner(self.records).visit_map(map)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

impl<'de, W: Write> DeserializeSeed<'de> for Each<'_, '_, W> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

/// Reads a source with a view of the next bytes, and no further than the allowance.
struct Input<'a, R> {
    source: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes taken so far.
    offset: u64,
    allowance: &'a Allowance,
}

impl<'a, R: Read> Input<'a, R> {
    fn new(source: R, allowance: &'a Allowance) -> Self {
        Self { source, buffer: vec![0; BLOCK], start: 0, end: 0, offset: 0, allowance }
    }

    /// Skips what stands between two values; returns the first byte of the next one.
    fn next_value(&mut self) -> io::Result<Option<u8>> {
        loop {
            self.peek()?;
            match self.peeked() {
                [] => return Ok(None),
                [b'\xef', b'\xbb', b'\xbf', ..] => self.take(3),
                [b',' | RECORD_SEPARATOR, ..] => self.take(1),
                [byte, ..] if byte.is_ascii_whitespace() => self.take(1),
                [byte, ..] => return Ok(Some(*byte)),
            }
        }
    }

    /// The bytes that were read and not taken.
    fn peeked(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn take(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Reads until enough bytes can be peeked at, or the source has ended.
    fn peek(&mut self) -> io::Result<()> {
        while self.peeked().len() < PEEKED {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(()),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Input<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.peeked().is_empty() {
            self.peek()?;
        }
        let left = self.allowance.left.get();
        if left == 0 {
            return Err(io::Error::other("the record is too long"));
        }
        let length = self.peeked().len().min(out.len()).min(usize::try_from(left).unwrap_or(usize::MAX));
        out[..length].copy_from_slice(&self.peeked()[..length]);
        self.take(length);
        self.allowance.left.set(left - length as u64);
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
