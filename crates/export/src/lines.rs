//! Splits the decompressed bytes of a source into lines, with bounded memory however long a line is.

use std::{
    io::{self, Read},
    ops::Range,
};

/// Bytes requested from the input at once.
const BLOCK: usize = 256 * 1024;
/// Bytes kept of a line that is too long, for the excerpt in the report.
const LONG_LINE_PREFIX: usize = 1024;
/// Byte order mark in UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A line with content, that is, with more than spaces, tabs and line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawLine<'a> {
    /// Number in the source, from 1, counting blank lines as an editor does.
    pub(super) number: u64,
    /// Offset of its first byte in the decompressed source.
    pub(super) offset: u64,
    /// Its bytes without line end; only a prefix if the line is too long.
    pub(super) bytes: &'a [u8],
    /// Its length without line end.
    pub(super) length: u64,
    /// Whether a line end follows; only the last line of a source may have none.
    pub(super) has_newline: bool,
}

impl RawLine<'_> {
    /// Whether the line exceeds the limit, so that `bytes` is only a prefix.
    pub(super) fn is_too_long(&self) -> bool {
        self.length > self.bytes.len() as u64
    }
}

/// Splits a source at `\n` or `\r\n`, and skips blank lines and a byte order mark at the start. The buffer grows to
/// the longest line, and exceeds the maximum line length by a few blocks at most.
pub(super) struct LineReader<R> {
    input: R,
    buffer: Vec<u8>,
    /// Where in the buffer the bytes after the current line are.
    unread: Range<usize>,
    /// Offset of these bytes in the source.
    unread_offset: u64,
    input_ended: bool,
    /// Maximum length of a line in bytes.
    max_line: usize,
    /// Number of the current line.
    number: u64,
    /// Where in the buffer the kept bytes of the current line are.
    line: Range<usize>,
    /// Offset of the current line in the source.
    line_offset: u64,
    /// Length of the current line, also if not all of it is kept.
    line_length: u64,
    /// Whether a line end follows the current line.
    line_ended: bool,
}

impl<R: Read> LineReader<R> {
    pub(super) fn new(input: R, max_line: usize) -> Self {
        Self {
            input,
            buffer: vec![0; BLOCK],
            unread: 0..0,
            unread_offset: 0,
            input_ended: false,
            max_line,
            number: 0,
            line: 0..0,
            line_offset: 0,
            line_length: 0,
            line_ended: true,
        }
    }

    pub(super) fn input(&self) -> &R {
        &self.input
    }

    pub(super) fn input_mut(&mut self) -> &mut R {
        &mut self.input
    }

    /// Moves to the next line with content; returns false at the end of the source.
    pub(super) fn advance(&mut self) -> io::Result<bool> {
        if self.unread_offset == 0 {
            self.skip_byte_order_mark()?;
        }
        while self.take_line()? {
            if self.is_too_long() || !is_blank(&self.buffer[self.line.clone()]) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The line that the last `advance` moved to.
    pub(super) fn line(&self) -> RawLine<'_> {
        RawLine {
            number: self.number,
            offset: self.line_offset,
            bytes: &self.buffer[self.line.clone()],
            length: self.line_length,
            has_newline: self.line_ended,
        }
    }

    fn is_too_long(&self) -> bool {
        self.line_length > self.line.len() as u64
    }

    fn skip_byte_order_mark(&mut self) -> io::Result<()> {
        while self.unread.len() < BOM.len() && !self.input_ended {
            self.fill()?;
        }
        if self.buffer[self.unread.clone()].starts_with(BOM) {
            self.consume(BOM.len());
        }
        Ok(())
    }

    /// Moves to the next line, blank or not; returns false at the end of the source.
    fn take_line(&mut self) -> io::Result<bool> {
        let mut searched = 0;
        let length = loop {
            if let Some(at) =
                memchr::memchr(b'\n', &self.buffer[self.unread.start + searched..self.unread.end])
            {
                self.line_ended = true;
                break searched + at;
            }
            searched = self.unread.len();
            if self.input_ended {
                self.line_ended = false;
                break searched;
            }
            // One byte more than the limit, since the last byte may be the `\r` of a line end.
            if searched > self.max_line + 1 {
                return self.take_long_line().map(|()| true);
            }
            self.fill()?;
        };
        if length == 0 && !self.line_ended {
            return Ok(false);
        }
        let start = self.unread.start;
        let content = strip_carriage_return(&self.buffer[start..start + length]).len();
        self.number += 1;
        self.line_offset = self.unread_offset;
        self.line_length = content as u64;
        let kept = if content > self.max_line { self.prefix_length() } else { content };
        self.line = start..start + kept;
        self.consume(length + usize::from(self.line_ended));
        Ok(true)
    }

    /// Skips a line that is too long, keeping a prefix of it at the front of the buffer.
    fn take_long_line(&mut self) -> io::Result<()> {
        self.number += 1;
        self.line_offset = self.unread_offset;
        let kept = self.prefix_length();
        self.buffer.copy_within(self.unread.start..self.unread.start + kept, 0);
        let mut length = self.unread.len() as u64;
        let mut last = self.buffer[self.unread.end - 1];
        self.consume(self.unread.len());
        self.line = 0..kept;
        loop {
            self.unread = kept..kept;
            self.fill_behind(kept)?;
            let found = memchr::memchr(b'\n', &self.buffer[self.unread.clone()]);
            self.line_ended = found.is_some();
            let part = found.unwrap_or(self.unread.len());
            if part > 0 {
                last = self.buffer[self.unread.start + part - 1];
            }
            length += part as u64;
            self.consume(part + usize::from(self.line_ended));
            if self.line_ended || self.input_ended {
                break;
            }
        }
        self.line_length = length - u64::from(last == b'\r');
        Ok(())
    }

    /// Length of the prefix that is kept of a line that is too long. At most the maximum length of a line, so that the
    /// prefix is shorter than the line, by which `is_too_long` recognizes it.
    fn prefix_length(&self) -> usize {
        LONG_LINE_PREFIX.min(self.max_line)
    }

    /// Marks this many unread bytes as read.
    fn consume(&mut self, bytes: usize) {
        self.unread.start += bytes;
        self.unread_offset += bytes as u64;
    }

    /// Reads more bytes after the unread ones, making space first.
    fn fill(&mut self) -> io::Result<()> {
        if self.unread.end == self.buffer.len() {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
            let used = self.unread.end;
            if used > self.buffer.len() / 2 {
                self.buffer.resize((self.buffer.len() * 2).min(self.max_line.max(used) + 2 * BLOCK), 0);
            } else if self.buffer.len() > 16 * BLOCK && used < BLOCK {
                // Release the memory that a very long line needed.
                self.buffer.truncate(2 * BLOCK);
                self.buffer.shrink_to_fit();
            }
        }
        self.fill_behind(self.unread.end)
    }

    /// Reads bytes into the buffer from this position on, which becomes the end of the earlier unread bytes.
    fn fill_behind(&mut self, position: usize) -> io::Result<()> {
        loop {
            match self.input.read(&mut self.buffer[position..]) {
                Ok(read) => {
                    self.input_ended = read == 0;
                    self.unread.end = position + read;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn strip_carriage_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

#[cfg(test)]
mod tests;
