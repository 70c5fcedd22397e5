//! Groups lines into products in two passes over the export: the scan decides how to group, then the lines are read
//! again. The rules are in `docs/grouping.md`. A *root* is a line that starts a product; a *child* names another line
//! as its parent.

use super::{
    ExportError, Mode, Options, Phase,
    inspect::inspect,
    pass::{self, Input, Pass},
    pointer::IdPointers,
    source::{self, Source},
    temp::TempFiles,
};
use adjacent::AdjacencyChecker;
use host_core::model::{Digest, Grouping};
use spill::LinkTable;
use std::{
    hash::{DefaultHasher, Hasher as _},
    sync::Arc,
    time::SystemTime,
};

mod adjacent;
mod products;
mod spill;

use products::Totals;
pub use products::{ExportItem, Products};

/// An export with open sources.
#[derive(Debug)]
pub struct Export {
    input: Arc<Input>,
}

/// What the first pass counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LineCounts {
    /// Lines with content.
    lines: u64,
    /// Lines that are not a JSON object with valid ids.
    rejected: u64,
    /// Lines that start a product.
    roots: u64,
}

/// How to group the lines of an export, decided by [`Export::scan`].
#[derive(Debug)]
pub struct Plan {
    input: Arc<Input>,
    pointers: IdPointers,
    digests: Vec<Digest>,
    strategy: Strategy,
    /// Lines with content; `None` if the scan did not count them, as in `adjacent` mode.
    lines: Option<u64>,
}

/// How to group lines.
#[derive(Debug)]
enum Strategy {
    /// Each line is a product.
    WholeLines,
    /// Each line follows its product; `scanned` says whether the first pass has checked that.
    Adjacent { scanned: bool },
    /// Sort the lines by product on disk; the table names the product of each line.
    Spill(LinkTable),
}

impl Export {
    /// Opens the sources of one export, in order: paths, `-` for standard input, or names that [`Options::remote`]
    /// handles. Sources that can be read only once are copied to temporary files.
    pub fn open(sources: &[String], options: Options) -> Result<Self, ExportError> {
        let temp = TempFiles::new(options.temp_dir.clone());
        let sources = source::open_all(sources, &temp, &options)?;
        Ok(Self { input: Arc::new(Input { sources, options }) })
    }

    /// Reads the export once and decides how to group its lines. With [`Mode::Auto`] and [`Mode::Spill`], success means
    /// that the export is readable to its end and that its content cannot make the second pass fail.
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
                pointers: IdPointers::none(),
                digests,
                strategy: Strategy::WholeLines,
                lines,
            });
        };
        let pointers = IdPointers::new(id, parents)?;
        match input.options.mode {
            Mode::Adjacent => {
                let digests = pass::digests(&input)?;
                let strategy = Strategy::Adjacent { scanned: false };
                return Ok(Plan { input, pointers, digests, strategy, lines: None });
            }
            Mode::Auto => {
                let mut pass = Pass::with_digests(&input);
                if let Some(counts) = scan_adjacent(&mut pass, &pointers)? {
                    let (lines, digests) = (Some(counts.lines), pass.take_digests());
                    let strategy = Strategy::Adjacent { scanned: true };
                    return Ok(Plan { input, pointers, digests, strategy, lines });
                }
            }
            Mode::Spill => {}
        }
        input.options.progress.begin(Phase::Resolving);
        let mut pass = Pass::with_digests(&input);
        let spill::Resolved { links, counts } = spill::resolve_lines(&mut pass, &pointers, &input.options)?;
        let (lines, digests) = (Some(counts.lines), pass.take_digests());
        Ok(Plan { input, pointers, digests, strategy: Strategy::Spill(links), lines })
    }
}

impl Plan {
    /// SHA-256 of the stored bytes of each source, in the order of the sources.
    pub fn digests(&self) -> &[Digest] {
        &self.digests
    }

    /// When the oldest of the sources was last modified: the export was taken then or earlier. `None` if that time is
    /// not known of any source.
    pub fn modified_at(&self) -> Option<SystemTime> {
        self.input.sources.iter().filter_map(Source::modified_at).min()
    }

    /// How lines are grouped: `whole-lines`, `adjacent` or `spill`.
    pub fn strategy(&self) -> &'static str {
        match self.strategy {
            Strategy::WholeLines => "whole-lines",
            Strategy::Adjacent { .. } => "adjacent",
            Strategy::Spill(_) => "spill",
        }
    }

    /// Lines with content; `None` if the scan did not count them, as in `adjacent` mode.
    pub fn lines(&self) -> Option<u64> {
        self.lines
    }

    /// Reads the export again and yields its items.
    pub fn into_products(self) -> Products {
        Products::new(self)
    }
}

/// Checks that every line follows its own product and that no root id repeats. Stops with `None` at the first
/// violation.
fn scan_adjacent(pass: &mut Pass, pointers: &IdPointers) -> Result<Option<LineCounts>, ExportError> {
    let mut checker = AdjacencyChecker::new(true);
    let mut counts = LineCounts::default();
    while pass.advance()?
        && let Some(line) = pass.line()
    {
        counts.lines += 1;
        match inspect(&line.raw, pointers) {
            Err(_) => counts.rejected += 1,
            Ok(record) => match checker.check(&record.ids) {
                Ok(kind) => counts.roots += u64::from(kind == adjacent::LineKind::Root),
                Err(_) => return Ok(None),
            },
        }
    }
    Ok(Some(counts))
}

/// Hash of an id, equal for equal ids in every run.
fn id_hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(id.as_bytes());
    hasher.finish()
}
