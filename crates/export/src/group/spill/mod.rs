//! Lines in any order become products, exactly and with bounded memory.
//!
//! Each line is a number: its position among the lines with content. One pass writes down which ids lines define and
//! which they refer to; sorted by id, references meet definitions ([`resolve`]). That gives each line one link, to its
//! product or to the line that it hangs on; links to lines are followed until all of them end at products ([`links`]).
//! A second pass sorts the lines themselves by product ([`regroup`]).
//!
//! An id means the nearest line before that has it, or, if there is none, the first one after. With unique ids that
//! is the only one; otherwise it is the one that a reader of a grouped export would take, so both ways agree.

use super::Seen;
use crate::{
    ExportError, Options,
    inspect::inspect,
    pass::Pass,
    pointer::Pointers,
    sort::{SortOptions, Sorter},
};
use links::Link;

mod links;
mod regroup;
mod resolve;

pub(super) use links::LinkTable;
pub(super) use regroup::{Regroup, Regrouped};

/// Which product each line belongs to.
pub(super) struct Resolved {
    pub(super) links: LinkTable,
    pub(super) seen: Seen,
}

/// Reads the export and finds out which product each line belongs to.
pub(super) fn resolve_lines(
    pass: &mut Pass,
    pointers: &Pointers,
    options: &Options,
) -> Result<Resolved, ExportError> {
    // Up to two of these sorters are full at a time.
    let sort_options = SortOptions::of(options).with_memory(options.sort_memory / 2);
    let mut mentions = Sorter::new(&sort_options);
    let mut links = Sorter::new(&sort_options);
    let mut seen = Seen::default();
    while pass.advance()?
        && let Some(line) = pass.line()
    {
        let number = seen.lines;
        seen.lines += 1;
        let Ok(record) = inspect(&line.raw, pointers) else {
            seen.rejected += 1;
            continue;
        };
        let ids = record.ids;
        match (ids.own.as_deref(), ids.parent.as_deref()) {
            (own, Some(parent)) => {
                // Before its own id, since a line cannot be its own parent.
                resolve::mention(&mut mentions, parent, number, resolve::Role::Reference)?;
                if let Some(own) = own {
                    resolve::mention(&mut mentions, own, number, resolve::Role::Child)?;
                }
            }
            (Some(own), None) => {
                resolve::mention(&mut mentions, own, number, resolve::Role::Root { ordinal: seen.roots })?;
                seen.roots += 1;
            }
            (None, None) => {
                links.push(Link::Root(seen.roots).frame(number))?;
                seen.roots += 1;
            }
        }
    }
    resolve::resolve(mentions.sorted()?, &mut links)?;
    let links = links::follow(links.sorted()?, seen.lines, &sort_options)?;
    Ok(Resolved { links, seen })
}
