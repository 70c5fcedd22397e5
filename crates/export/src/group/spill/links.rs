//! Where each line belongs: a table on disk with one number a line, in the order of the lines.

use crate::{
    ExportError,
    scratch::Scratch,
    sort::{Frame, SortOptions, Sorted, Sorter},
};
use std::{
    fs::File,
    io::{BufReader, BufWriter, Read, Seek, Write},
};

const FILE_BUFFER: usize = 64 * 1024;

/// Where a line belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// It is not a record at all.
    Rejected,
    /// To no product.
    Nowhere,
    /// It begins the product with this ordinal.
    Root(u64),
    /// It is part of the product with this ordinal.
    Product(u64),
    /// To where another line belongs.
    Line(u64),
}

impl Link {
    fn encode(self) -> u64 {
        match self {
            Self::Rejected => 0,
            Self::Nowhere => 1,
            Self::Root(ordinal) => ordinal << 3 | 2,
            Self::Product(ordinal) => ordinal << 3 | 3,
            Self::Line(line) => line << 3 | 4,
        }
    }

    fn decode(code: u64) -> Self {
        match code & 7 {
            0 => Self::Rejected,
            1 => Self::Nowhere,
            2 => Self::Root(code >> 3),
            3 => Self::Product(code >> 3),
            _ => Self::Line(code >> 3),
        }
    }

    /// As a frame to sort by line.
    pub(super) fn frame(self, line: u64) -> Frame<'static> {
        Frame { key: line, a: self.encode(), b: 0, body: &[] }
    }
}

/// A link for each line, read from the first to the last.
#[derive(Debug)]
pub(in crate::group) struct LinkTable {
    file: BufReader<File>,
    lines: u64,
    taken: u64,
    scratch: Scratch,
}

impl LinkTable {
    /// The next line's link; none after the last.
    pub(super) fn next(&mut self) -> Result<Option<Link>, ExportError> {
        if self.taken == self.lines {
            return Ok(None);
        }
        self.taken += 1;
        let mut code = [0; 8];
        self.file.read_exact(&mut code).map_err(|error| self.scratch.failed("reading", error))?;
        Ok(Some(Link::decode(u64::from_le_bytes(code))))
    }

    fn rewind(&mut self) -> Result<(), ExportError> {
        self.taken = 0;
        self.file.rewind().map_err(|error| self.scratch.failed("reading", error))
    }
}

/// Writes a table and collects, sorted by line, which lines' links have to be looked up for which.
struct TableWriter {
    file: BufWriter<File>,
    lines: u64,
    lookups: Sorter,
    scratch: Scratch,
}

impl TableWriter {
    fn new(options: &SortOptions) -> Result<Self, ExportError> {
        let scratch = options.scratch().clone();
        let file = BufWriter::with_capacity(FILE_BUFFER, scratch.create()?);
        Ok(Self { file, lines: 0, lookups: Sorter::new(options), scratch })
    }

    fn push(&mut self, link: Link) -> Result<(), ExportError> {
        if let Link::Line(target) = link {
            self.lookups.push(Frame { key: target, a: self.lines, b: 0, body: &[] })?;
        }
        self.lines += 1;
        let written = self.file.write_all(&link.encode().to_le_bytes());
        written.map_err(|error| self.scratch.failed("writing", error))
    }

    fn finish(self) -> Result<(LinkTable, Sorter), ExportError> {
        let Self { file, lines, lookups, scratch } = self;
        let file = file.into_inner().map_err(|error| scratch.failed("writing", error.into_error()))?;
        let file = BufReader::with_capacity(FILE_BUFFER, file);
        let mut table = LinkTable { file, lines, taken: 0, scratch };
        table.rewind()?;
        Ok((table, lookups))
    }
}

/// Makes a table of the links that are known and follows links to lines until each ends at a product or nowhere.
/// Every round doubles the number of steps taken, so a chain of a million lines takes twenty rounds; what is still on
/// the way when the steps exceed the number of lines goes round in a circle.
pub(super) fn follow(links: Sorted, lines: u64, options: &SortOptions) -> Result<LinkTable, ExportError> {
    let (mut table, mut lookups) = first_table(links, lines, options)?;
    let mut steps = 1_u64;
    while !lookups.is_empty() {
        let answers = look_up(&mut table, lookups.sorted()?, options)?;
        steps = steps.saturating_mul(2);
        (table, lookups) = replace(&mut table, answers, steps > lines, options)?;
    }
    Ok(table)
}

fn first_table(
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

/// Reads the links that are asked for; the answers are sorted by the line that asked.
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

fn replace(
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
            if is_last && matches!(link, Link::Line(_)) {
                link = Link::Nowhere;
            }
            more = answers.advance()?;
        }
        writer.push(link)?;
        line += 1;
    }
    writer.finish()
}
