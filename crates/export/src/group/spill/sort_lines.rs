//! Sorts the lines of an export by product, whose number (*ordinal*, by first lines, from 0) the link table has for
//! each line, and yields the products.

use super::links::{Link, LinkTable};
use crate::{
    ExportError, Options,
    group::{ExportItem, MentionedIds, Totals},
    inspect::{inspect, orphan},
    pass::Pass,
    pointer::IdPointers,
    sort::{Frame, SortOptions, Sorted, Sorter},
};
use host_core::model::Product;
use std::collections::HashSet;

/// The sort key of a line: a product's root first, then its children, each in the order of the export.
fn sort_key(ordinal: u64, is_child: bool) -> u64 {
    ordinal << 1 | u64::from(is_child)
}

/// The ordinal of the product in a sort key.
fn ordinal_of(key: u64) -> u64 {
    key >> 1
}

/// Reads the export and sorts its lines by product; yields rejected lines in the order of the export.
pub(in crate::group) struct SortLines {
    pass: Pass,
    links: LinkTable,
    lines: Sorter,
    /// The product of the line before, and whether orphans stand between.
    before: Option<(u64, bool)>,
    /// Products with an orphan between two of their lines: it was probably one of them, and the id of its parent is
    /// damaged.
    damaged: HashSet<u64>,
}

impl SortLines {
    pub(in crate::group) fn new(pass: Pass, links: LinkTable, options: &Options) -> Self {
        let lines = Sorter::new(&SortOptions::new(options));
        Self { pass, links, lines, before: None, damaged: HashSet::new() }
    }

    /// The next rejected line; `None` once all lines are sorted.
    pub(in crate::group) fn next(
        &mut self,
        pointers: &IdPointers,
        totals: &mut Totals,
    ) -> Result<Option<ExportItem>, ExportError> {
        while self.pass.advance()?
            && let Some(line) = self.pass.line()
        {
            totals.lines += 1;
            let source = self.pass.source_name(&line);
            let source_changed = || ExportError::Changed { name: source.to_owned() };
            let key = match self.links.next()?.ok_or_else(source_changed)? {
                Link::Root(ordinal) => sort_key(ordinal, false),
                Link::Child(ordinal) => sort_key(ordinal, true),
                link @ (Link::Rejected | Link::Orphan | Link::SameProductAs(_)) => {
                    // The link does not say why the line was rejected. Such lines are few, so the line is inspected
                    // again.
                    let entry = match inspect(&line.raw, pointers) {
                        Err(rejection) => {
                            totals.rejected += 1;
                            rejection.entry(&line, source)
                        }
                        Ok(_) if link == Link::Rejected => return Err(source_changed()),
                        Ok(record) => {
                            totals.orphans += 1;
                            self.before = self.before.map(|(product, _)| (product, true));
                            orphan(&record.ids, &line, source)
                        }
                    };
                    return Ok(Some(ExportItem::Rejected(entry)));
                }
            };
            if let Some((product, true)) = self.before.replace((ordinal_of(key), false))
                && product == ordinal_of(key)
            {
                self.damaged.insert(product);
            }
            let body = line.raw.bytes;
            self.lines.push(Frame { key, a: line.raw.number, b: line.source as u64, body })?;
        }
        totals.bytes = self.pass.bytes();
        Ok(None)
    }

    /// Starts yielding products.
    pub(in crate::group) fn finish(self) -> Result<SortedProducts, ExportError> {
        let mut lines = self.lines.sorted()?;
        let has_next = lines.advance()?;
        Ok(SortedProducts { lines, has_next, damaged: self.damaged })
    }
}

/// Yields the products in the order of their first lines.
pub(in crate::group) struct SortedProducts {
    lines: Sorted,
    has_next: bool,
    damaged: HashSet<u64>,
}

impl SortedProducts {
    /// The next product; `None` after the last.
    pub(in crate::group) fn next(
        &mut self,
        pointers: &IdPointers,
        mentioned: &MentionedIds,
        totals: &mut Totals,
    ) -> Result<Option<ExportItem>, ExportError> {
        if !self.has_next {
            return Ok(None);
        }
        let first = self.lines.frame();
        let (ordinal, line) = (ordinal_of(first.key), first.a);
        let source = usize::try_from(first.b).expect("the number was a usize");
        let mut text = Vec::with_capacity(first.body.len() * 2);
        text.extend_from_slice(first.body);
        totals.grouped_lines += 1;
        loop {
            self.has_next = self.lines.advance()?;
            if !self.has_next || ordinal_of(self.lines.frame().key) != ordinal {
                break;
            }
            text.push(b'\n');
            text.extend_from_slice(self.lines.frame().body);
            totals.grouped_lines += 1;
        }
        let text = String::from_utf8(text).expect("a resolved line is valid UTF-8");
        let first_line = text.split('\n').next().unwrap_or_default();
        let id = pointers.read(first_line).ok().and_then(|ids| ids.id.map(|id| id.into_owned()));
        let is_damaged = self.damaged.contains(&ordinal) || mentioned.mention(&text, pointers);
        Ok(Some(ExportItem::Product { source, product: Product { text, line, id }, is_damaged }))
    }
}
