//! Lines become products.

use super::{
    ExportError, Mode, Options, Phase,
    inspect::inspect,
    pass::{self, Input, Pass},
    pointer::Pointers,
    scratch::Scratch,
    source,
};
use adjacent::Adjacency;
use host_core::model::{Digest, Grouping};
use spill::LinkTable;
use std::{
    hash::{DefaultHasher, Hasher as _},
    sync::Arc,
};

mod adjacent;
mod products;
mod spill;

use products::Tally;
pub use products::{Item, Products};

/// An export whose sources are open.
#[derive(Debug)]
pub struct Export {
    input: Arc<Input>,
}

/// What a first reading has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    lines: u64,
    rejected: u64,
    roots: u64,
}

/// How the export's products are put together, and what was found on the way.
#[derive(Debug)]
pub struct Plan {
    input: Arc<Input>,
    pointers: Pointers,
    digests: Vec<Digest>,
    strategy: Strategy,
    /// Lines with content, unless nobody has looked yet.
    lines: Option<u64>,
}

/// How products are put together.
#[derive(Debug)]
enum Strategy {
    WholeLines,
    Adjacent { scanned: bool },
    Spill(LinkTable),
}

impl Export {
    /// Opens the sources of one export in their order: paths, or `-` for standard input. What can be read only once
    /// is copied to a temporary file here.
    pub fn open(sources: &[String], options: Options) -> Result<Self, ExportError> {
        let scratch = Scratch::new(options.scratch_dir.clone());
        let sources = source::open_all(sources, &scratch, &options)?;
        Ok(Self { input: Arc::new(Input { sources, options }) })
    }

    /// Reads the export once and decides how to put products together. Afterwards it is known to be readable to its
    /// end, and `auto` and `spill` cannot fail for what is in it.
    pub fn scan(self, grouping: &Grouping) -> Result<Plan, ExportError> {
        let input = self.input;
        let progress = &input.options.progress;
        progress.begin(Phase::Scanning);
        let Grouping::ByParent { id, parents } = grouping else {
            let mut pass = Pass::with_digests(&input);
            while pass.advance()? {}
            let (lines, digests) = (Some(pass.lines()), pass.take_digests());
            return Ok(Plan {
                input,
                pointers: Pointers::none(),
                digests,
                strategy: Strategy::WholeLines,
                lines,
            });
        };
        let pointers = Pointers::new(id, parents)?;
        match input.options.mode {
            Mode::Adjacent => {
                let digests = pass::digests(&input)?;
                let strategy = Strategy::Adjacent { scanned: false };
                return Ok(Plan { input, pointers, digests, strategy, lines: None });
            }
            Mode::Auto => {
                let mut pass = Pass::with_digests(&input);
                if let Some(seen) = scan_adjacent(&mut pass, &pointers)? {
                    let (lines, digests) = (Some(seen.lines), pass.take_digests());
                    let strategy = Strategy::Adjacent { scanned: true };
                    return Ok(Plan { input, pointers, digests, strategy, lines });
                }
            }
            Mode::Spill => {}
        }
        input.options.progress.begin(Phase::Resolving);
        let mut pass = Pass::with_digests(&input);
        let spill::Resolved { links, seen } = spill::resolve_lines(&mut pass, &pointers, &input.options)?;
        let (lines, digests) = (Some(seen.lines), pass.take_digests());
        Ok(Plan { input, pointers, digests, strategy: Strategy::Spill(links), lines })
    }
}

impl Plan {
    /// SHA-256 of each source as it is stored, in the order of the sources.
    pub fn digests(&self) -> &[Digest] {
        &self.digests
    }

    /// How products are put together: `whole-lines`, `adjacent` or `spill`.
    pub fn strategy(&self) -> &'static str {
        match self.strategy {
            Strategy::WholeLines => "whole-lines",
            Strategy::Adjacent { .. } => "adjacent",
            Strategy::Spill(_) => "spill",
        }
    }

    /// Lines with content, if the export has been scanned.
    pub fn lines(&self) -> Option<u64> {
        self.lines
    }

    /// Reads the export again and hands on its products.
    pub fn into_products(self) -> Products {
        Products::new(self)
    }
}

/// Whether every line follows its own product and no product comes twice; what was seen if so. Ends at the first line
/// that does not.
fn scan_adjacent(pass: &mut Pass, pointers: &Pointers) -> Result<Option<Seen>, ExportError> {
    let mut adjacency = Adjacency::new(true);
    let mut seen = Seen::default();
    while pass.advance()?
        && let Some(line) = pass.line()
    {
        seen.lines += 1;
        match inspect(&line.raw, pointers) {
            Err(_) => seen.rejected += 1,
            Ok(record) => match adjacency.admit(&record.ids) {
                Ok(place) => seen.roots += u64::from(place == adjacent::Place::Root),
                Err(_) => return Ok(None),
            },
        }
    }
    Ok(Some(seen))
}

/// A hash of an id that is the same in every run.
fn id_hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(id.as_bytes());
    hasher.finish()
}
