//! Lines whose product is known are sorted by product and handed on.

use super::links::{Link, LinkTable};
use crate::{
    ExportError, Options,
    group::{Item, Tally},
    inspect::{inspect, orphan},
    pass::Pass,
    pointer::Pointers,
    sort::{Frame, SortOptions, Sorted, Sorter},
};
use host_core::model::Product;

/// Reads the export and sorts its lines by product; hands refused lines on in the order of the export.
pub(in crate::group) struct Regroup {
    pass: Pass,
    links: LinkTable,
    lines: Sorter,
}

impl Regroup {
    pub(in crate::group) fn new(pass: Pass, links: LinkTable, options: &Options) -> Self {
        Self { pass, links, lines: Sorter::new(&SortOptions::of(options)) }
    }

    /// The next refused line; none when all lines are sorted.
    pub(in crate::group) fn next(
        &mut self,
        pointers: &Pointers,
        tally: &mut Tally,
    ) -> Result<Option<Item>, ExportError> {
        while self.pass.advance()?
            && let Some(line) = self.pass.line()
        {
            tally.lines += 1;
            let source = self.pass.source_name(&line);
            let changed = || ExportError::Changed { name: source.to_owned() };
            // Roots first, then the others, each in the order of the export.
            let key = match self.links.next()?.ok_or_else(changed)? {
                Link::Root(ordinal) => ordinal << 1,
                Link::Product(ordinal) => ordinal << 1 | 1,
                link @ (Link::Rejected | Link::Nowhere | Link::Line(_)) => {
                    // Seldom enough to be inspected once more.
                    let entry = match inspect(&line.raw, pointers) {
                        Err(rejection) => {
                            tally.rejected += 1;
                            rejection.entry(&line, source)
                        }
                        Ok(_) if link == Link::Rejected => return Err(changed()),
                        Ok(record) => {
                            tally.orphans += 1;
                            orphan(&record.ids, &line, source)
                        }
                    };
                    return Ok(Some(Item::Refused(entry)));
                }
            };
            let body = line.raw.bytes;
            self.lines.push(Frame { key, a: line.raw.number, b: line.source as u64, body })?;
        }
        tally.bytes = self.pass.bytes();
        Ok(None)
    }

    /// Begins to hand on products.
    pub(in crate::group) fn regrouped(self) -> Result<Regrouped, ExportError> {
        let mut lines = self.lines.sorted()?;
        let more = lines.advance()?;
        Ok(Regrouped { lines, more })
    }
}

/// Hands on the products in the order of their first lines.
pub(in crate::group) struct Regrouped {
    lines: Sorted,
    more: bool,
}

impl Regrouped {
    /// The next product; none after the last.
    pub(in crate::group) fn next(
        &mut self,
        pointers: &Pointers,
        tally: &mut Tally,
    ) -> Result<Option<Item>, ExportError> {
        if !self.more {
            return Ok(None);
        }
        let first = self.lines.frame();
        let (ordinal, line) = (first.key >> 1, first.a);
        let source = usize::try_from(first.b).expect("it was a position in memory");
        let mut text = Vec::with_capacity(first.body.len() * 2);
        text.extend_from_slice(first.body);
        tally.grouped += 1;
        loop {
            self.more = self.lines.advance()?;
            if !self.more || self.lines.frame().key >> 1 != ordinal {
                break;
            }
            text.push(b'\n');
            text.extend_from_slice(self.lines.frame().body);
            tally.grouped += 1;
        }
        let text =
            String::from_utf8(text).expect("each line was found to be UTF-8 when its product was found");
        let first_line = text.split('\n').next().unwrap_or_default();
        let id = pointers.read(first_line).ok().and_then(|ids| ids.own.map(|id| id.into_owned()));
        Ok(Some(Item::Product { source, product: Product { text, line, id } }))
    }
}
