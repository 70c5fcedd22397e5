//! Groups lines in any order into products, exactly and with bounded memory, by sorting them on disk.
//!
//! Each line has a number: its position among the lines with content. The first pass records which ids each line
//! defines and refers to; sorting them by id matches references with definitions ([`resolve`]). Each line then has one
//! link, to its product or to its parent line; following the links to lines ends at products ([`links`]). A second pass
//! sorts the lines themselves by product ([`sort_lines`]).
//!
//! An id refers to the nearest earlier line that has it or, if there is none, to the first later one. With unique ids
//! that is the only one; otherwise it is the one that adjacent mode picks, so both modes agree. A root that holds nothing
//! but its id defines it only if no other line does. The rules are in `docs/grouping.md`.

use super::{LineCounts, Rejections};
use crate::{
    ExportError, Options,
    inspect::inspect,
    pass::Pass,
    pointer::IdPointers,
    sort::{SortOptions, Sorter},
};
use links::Link;

mod links;
mod resolve;
mod sort_lines;

pub(super) use links::LinkTable;
pub(super) use sort_lines::{SortLines, SortedProducts};

/// The product of each line, and line counts.
pub(super) struct Resolved {
    pub(super) links: LinkTable,
    pub(super) counts: LineCounts,
}

/// Reads the export and resolves the product of each line.
pub(super) fn resolve_lines(
    pass: &mut Pass,
    pointers: &IdPointers,
    options: &Options,
    rejections: &mut Rejections,
) -> Result<Resolved, ExportError> {
    // At most two of these sorters use their memory at the same time.
    let sort_options = SortOptions::new(options).with_memory(options.sort_memory / 2);
    let mut occurrences = Sorter::new(&sort_options);
    let mut links = Sorter::new(&sort_options);
    let mut counts = LineCounts::default();
    while pass.advance()?
        && let Some(line) = pass.line()
    {
        let number = counts.lines;
        counts.lines += 1;
        let record = inspect(&line.raw, pointers);
        rejections.count(&line, record.as_ref().err(), pointers);
        let Ok(record) = record else { continue };
        let is_bare = record.is_bare();
        let ids = record.ids;
        rejections.passed(&ids);
        match (ids.id.as_deref(), ids.parent_id.as_deref()) {
            (own, Some(parent)) => {
                // Before the line's own id, since a line cannot be its own parent.
                resolve::push_occurrence(&mut occurrences, parent, number, resolve::Role::Reference)?;
                if let Some(own) = own {
                    resolve::push_occurrence(&mut occurrences, own, number, resolve::Role::Child)?;
                }
            }
            (Some(own), None) => {
                let ordinal = counts.roots;
                let role = if is_bare {
                    resolve::Role::BareRoot { ordinal }
                } else {
                    resolve::Role::Root { ordinal }
                };
                resolve::push_occurrence(&mut occurrences, own, number, role)?;
                counts.roots += 1;
            }
            (None, None) => {
                links.push(Link::Root(counts.roots).frame(number))?;
                counts.roots += 1;
            }
        }
    }
    resolve::resolve(occurrences.sorted()?, &mut links)?;
    let links = links::follow(links.sorted()?, counts.lines, &sort_options)?;
    Ok(Resolved { links, counts })
}
