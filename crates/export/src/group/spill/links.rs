//! The link table: one link per line of the export, on disk, in the order of the lines. The link of a line names its
//! product, or another line of the same product. Products are numbered by their *ordinal*, from 0 in the order of their
//! first lines; lines by their position among the lines with content, from 0.

use crate::{
    ExportError,
    sort::{Frame, SortOptions, Sorted, Sorter},
    temp::TempFiles,
};
use std::{
    fs::File,
    io::{BufReader, BufWriter, Read, Seek, Write},
};

/// Size of the buffer of an open table.
const FILE_BUFFER: usize = 64 * 1024;

/// The product of a line, or the line that leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// The line is not a JSON object with valid ids.
    Rejected,
    /// The line's chain of parents ends at no product.
    Orphan,
    /// Starts the product with this ordinal.
    Root(u64),
    /// Belongs to the product with this ordinal.
    Child(u64),
    /// Belongs to the same product as the line with this number; that line's link names the product.
    SameProductAs(u64),
}

/// Encoded in 8 bytes: the kind in the lowest 3 bits, the number above them.
impl Link {
    fn encode(self) -> u64 {
        match self {
            Self::Rejected => 0,
            Self::Orphan => 1,
            Self::Root(ordinal) => ordinal << 3 | 2,
            Self::Child(ordinal) => ordinal << 3 | 3,
            Self::SameProductAs(line) => line << 3 | 4,
        }
    }

    fn decode(code: u64) -> Self {
        match code & 7 {
            0 => Self::Rejected,
            1 => Self::Orphan,
            2 => Self::Root(code >> 3),
            3 => Self::Child(code >> 3),
            _ => Self::SameProductAs(code >> 3),
        }
    }

    /// Encodes the link of a line as a frame to sort by line.
    pub(super) fn frame(self, line: u64) -> Frame<'static> {
        Frame { key: line, a: self.encode(), b: 0, body: &[] }
    }
}

/// The link of each line, read from the first line to the last.
#[derive(Debug)]
pub(in crate::group) struct LinkTable {
    file: BufReader<File>,
    lines: u64,
    /// Number of the next line to read.
    position: u64,
    temp: TempFiles,
}

impl LinkTable {
    /// The next line's link; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Link>, ExportError> {
        if self.position == self.lines {
            return Ok(None);
        }
        self.position += 1;
        let mut code = [0; 8];
        self.file.read_exact(&mut code).map_err(|error| self.temp.failed("reading", error))?;
        Ok(Some(Link::decode(u64::from_le_bytes(code))))
    }

    fn rewind(&mut self) -> Result<(), ExportError> {
        self.position = 0;
        self.file.rewind().map_err(|error| self.temp.failed("reading", error))
    }
}

/// Writes a table and collects the lookups that its `SameProductAs` links need, to be sorted by target line. The frame
/// of a lookup has the target line as its key and the line that needs the answer as `a`.
struct TableWriter {
    file: BufWriter<File>,
    lines: u64,
    lookups: Sorter,
    temp: TempFiles,
}

impl TableWriter {
    fn new(options: &SortOptions) -> Result<Self, ExportError> {
        let temp = options.temp_files().clone();
        let file = BufWriter::with_capacity(FILE_BUFFER, temp.create()?);
        Ok(Self { file, lines: 0, lookups: Sorter::new(options), temp })
    }

    fn push(&mut self, link: Link) -> Result<(), ExportError> {
        if let Link::SameProductAs(target) = link {
            self.lookups.push(Frame { key: target, a: self.lines, b: 0, body: &[] })?;
        }
        self.lines += 1;
        let written = self.file.write_all(&link.encode().to_le_bytes());
        written.map_err(|error| self.temp.failed("writing", error))
    }

    fn finish(self) -> Result<(LinkTable, Sorter), ExportError> {
        let Self { file, lines, lookups, temp } = self;
        let file = file.into_inner().map_err(|error| temp.failed("writing", error.into_error()))?;
        let file = BufReader::with_capacity(FILE_BUFFER, file);
        let mut table = LinkTable { file, lines, position: 0, temp };
        table.rewind()?;
        Ok((table, lookups))
    }
}

/// Writes a table of the first `links`, sorted by line, and follows those that name a line until each line has a
/// product or is an orphan. This is pointer doubling: every round doubles the distance covered, so a chain of a million
/// lines takes twenty rounds. A link that is unresolved when the distance exceeds the number of lines is part of a
/// cycle.
pub(super) fn follow(links: Sorted, lines: u64, options: &SortOptions) -> Result<LinkTable, ExportError> {
    let (mut table, mut lookups) = initial_table(links, lines, options)?;
    let mut distance = 1_u64;
    while !lookups.is_empty() {
        let answers = look_up(&mut table, lookups.sorted()?, options)?;
        distance = distance.saturating_mul(2);
        (table, lookups) = apply_answers(&mut table, answers, distance > lines, options)?;
    }
    Ok(table)
}

/// Writes the table of the first links; a line without one was rejected.
fn initial_table(
    mut links: Sorted,
    lines: u64,
    options: &SortOptions,
) -> Result<(LinkTable, Sorter), ExportError> {
    let mut writer = TableWriter::new(options)?;
    let mut more = links.advance()?;
    for line in 0..lines {
        let mut link = Link::Rejected;
        if more && links.frame().key == line {
            link = Link::decode(links.frame().a);
            more = links.advance()?;
        }
        writer.push(link)?;
    }
    writer.finish()
}

/// Reads the links of the target lines; the answers are sorted by the line that needs them.
fn look_up(table: &mut LinkTable, mut lookups: Sorted, options: &SortOptions) -> Result<Sorted, ExportError> {
    let mut answers = Sorter::new(options);
    let mut more = lookups.advance()?;
    let mut line = 0;
    while more && let Some(link) = table.next()? {
        while more && lookups.frame().key == line {
            answers.push(link.frame(lookups.frame().a))?;
            more = lookups.advance()?;
        }
        line += 1;
    }
    table.rewind()?;
    answers.sorted()
}

/// Writes a new table with the answers applied; in the last round, unresolved lines become orphans.
fn apply_answers(
    table: &mut LinkTable,
    mut answers: Sorted,
    is_last: bool,
    options: &SortOptions,
) -> Result<(LinkTable, Sorter), ExportError> {
    let mut writer = TableWriter::new(options)?;
    let mut more = answers.advance()?;
    let mut line = 0;
    while let Some(mut link) = table.next()? {
        if more && answers.frame().key == line {
            link = Link::decode(answers.frame().a);
            if is_last && matches!(link, Link::SameProductAs(_)) {
                link = Link::Orphan;
            }
            more = answers.advance()?;
        }
        writer.push(link)?;
        line += 1;
    }
    writer.finish()
}
