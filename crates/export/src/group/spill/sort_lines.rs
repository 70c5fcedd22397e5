//! Sorts lines by their resolved product and yields the products.

use super::links::{Link, LinkTable};
use crate::{
    ExportError, Options,
    group::{Item, Totals},
    inspect::{inspect, orphan},
    pass::Pass,
    pointer::Pointers,
    sort::{Frame, SortOptions, Sorted, Sorter},
};
use host_core::model::Product;

/// Reads the export and sorts its lines by product; yields rejected lines in the order of the export.
pub(in crate::group) struct SortLines {
    pass: Pass,
    links: LinkTable,
    lines: Sorter,
}

impl SortLines {
    pub(in crate::group) fn new(pass: Pass, links: LinkTable, options: &Options) -> Self {
        Self { pass, links, lines: Sorter::new(&SortOptions::of(options)) }
    }

    /// The next rejected line; `None` once all lines are sorted.
    pub(in crate::group) fn next(
        &mut self,
        pointers: &Pointers,
        totals: &mut Totals,
    ) -> Result<Option<Item>, ExportError> {
        while self.pass.advance()?
            && let Some(line) = self.pass.line()
        {
            totals.lines += 1;
            let source = self.pass.source_name(&line);
            let changed = || ExportError::Changed { name: source.to_owned() };
            // Roots first, then children, each in the order of the export.
            let key = match self.links.next()?.ok_or_else(changed)? {
                Link::Root(ordinal) => ordinal << 1,
                Link::Child(ordinal) => ordinal << 1 | 1,
                link @ (Link::Rejected | Link::Orphan | Link::SameAs(_)) => {
                    // Rare enough to inspect the line again.
                    let entry = match inspect(&line.raw, pointers) {
                        Err(rejection) => {
                            totals.rejected += 1;
                            rejection.entry(&line, source)
                        }
                        Ok(_) if link == Link::Rejected => return Err(changed()),
                        Ok(record) => {
                            totals.orphans += 1;
                            orphan(&record.ids, &line, source)
                        }
                    };
                    return Ok(Some(Item::Rejected(entry)));
                }
            };
            let body = line.raw.bytes;
            self.lines.push(Frame { key, a: line.raw.number, b: line.source as u64, body })?;
        }
        totals.bytes = self.pass.bytes();
        Ok(None)
    }

    /// Starts yielding products.
    pub(in crate::group) fn finish(self) -> Result<SortedProducts, ExportError> {
        let mut lines = self.lines.sorted()?;
        let more = lines.advance()?;
        Ok(SortedProducts { lines, more })
    }
}

/// Yields the products in the order of their first lines.
pub(in crate::group) struct SortedProducts {
    lines: Sorted,
    more: bool,
}

impl SortedProducts {
    /// The next product; `None` after the last.
    pub(in crate::group) fn next(
        &mut self,
        pointers: &Pointers,
        totals: &mut Totals,
    ) -> Result<Option<Item>, ExportError> {
        if !self.more {
            return Ok(None);
        }
        let first = self.lines.frame();
        let (ordinal, line) = (first.key >> 1, first.a);
        let source = usize::try_from(first.b).expect("the number was a usize");
        let mut text = Vec::with_capacity(first.body.len() * 2);
        text.extend_from_slice(first.body);
        totals.grouped += 1;
        loop {
            self.more = self.lines.advance()?;
            if !self.more || self.lines.frame().key >> 1 != ordinal {
                break;
            }
            text.push(b'\n');
            text.extend_from_slice(self.lines.frame().body);
            totals.grouped += 1;
        }
        let text = String::from_utf8(text).expect("a resolved line is valid UTF-8");
        let first_line = text.split('\n').next().unwrap_or_default();
        let id = pointers.read(first_line).ok().and_then(|ids| ids.own.map(|id| id.into_owned()));
        Ok(Some(Item::Product { source, product: Product { text, line, id } }))
    }
}
