//! Groups lines into products in two passes over the export: the scan decides how to group, then the lines are read
//! again. The rules are in `docs/grouping.md`. A *root* is a line that starts a product; a *child* names another line
//! as its parent.

use super::{
    ExportError, Mode, Options, Phase,
    expected::Found,
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
mod rejections;
mod spill;

use products::Totals;
pub use products::{ExportItem, Products, damaged_product};
use rejections::{MentionedIds, Rejections};

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
    /// Lines that are records.
    records: u64,
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
    /// Ids in damaged lines: products that have them lost a line.
    mentioned: MentionedIds,
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
        input.options.progress.begin(Phase::Scanning);
        match grouping {
            Grouping::WholeLines => scan_whole_lines(input),
            Grouping::ByParent { id, parents } => scan_by_parent(input, IdPointers::new(id, parents)?),
        }
    }
}

fn scan_whole_lines(input: Arc<Input>) -> Result<Plan, ExportError> {
    let pointers = IdPointers::none();
    let (mut pass, mut rejections) = (Pass::with_digests(&input), Rejections::new(&input));
    let mut counts = LineCounts::default();
    while pass.advance()?
        && let Some(line) = pass.line()
    {
        let record = inspect(&line.raw, &pointers);
        rejections.count(&line, record.as_ref().err(), &pointers);
        counts.lines += 1;
        counts.records += u64::from(record.is_ok());
        counts.roots += u64::from(record.is_ok());
    }
    let mentioned = rejections.check(&input)?;
    Plan::of_scan(input, pointers, pass, counts, mentioned, Strategy::WholeLines)
}

fn scan_by_parent(input: Arc<Input>, pointers: IdPointers) -> Result<Plan, ExportError> {
    match input.options.mode {
        Mode::Adjacent if input.options.expected.is_some() => return Err(ExportError::NotComparable),
        Mode::Adjacent => {
            let digests = pass::digests(&input)?;
            let strategy = Strategy::Adjacent { scanned: false };
            let mentioned = MentionedIds::default();
            return Ok(Plan { input, pointers, digests, strategy, mentioned, lines: None });
        }
        Mode::Auto => {
            let (mut pass, mut rejections) = (Pass::with_digests(&input), Rejections::new(&input));
            if let Some(counts) = scan_adjacent(&mut pass, &pointers, &mut rejections)? {
                // Without any child, nothing tells whether children would have followed their products.
                let mentioned = match counts.roots < counts.records {
                    true => rejections.check(&input)?,
                    false => rejections.check_ungrouped(&input)?,
                };
                let strategy = Strategy::Adjacent { scanned: true };
                return Plan::of_scan(input, pointers, pass, counts, mentioned, strategy);
            }
        }
        Mode::Spill => {}
    }
    input.options.progress.begin(Phase::Resolving);
    let (mut pass, mut rejections) = (Pass::with_digests(&input), Rejections::new(&input));
    let spill::Resolved { links, counts } =
        spill::resolve_lines(&mut pass, &pointers, &input.options, &mut rejections)?;
    let mentioned = rejections.check_ungrouped(&input)?;
    Plan::of_scan(input, pointers, pass, counts, mentioned, Strategy::Spill(links))
}

impl Plan {
    /// The plan after a scan of all lines; fails if the export is not as its platform says.
    fn of_scan(
        input: Arc<Input>,
        pointers: IdPointers,
        mut pass: Pass,
        counts: LineCounts,
        mentioned: MentionedIds,
        strategy: Strategy,
    ) -> Result<Self, ExportError> {
        let LineCounts { lines, roots, .. } = counts;
        input.options.expected.check(Found { objects: lines, root_objects: roots, bytes: pass.bytes() })?;
        let digests = pass.take_digests();
        Ok(Self { input, pointers, digests, strategy, mentioned, lines: Some(lines) })
    }

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

/// Checks that every line follows its own product, that no root id repeats and no root is bare. Stops with `None` at the first violation.
fn scan_adjacent(
    pass: &mut Pass,
    pointers: &IdPointers,
    rejections: &mut Rejections,
) -> Result<Option<LineCounts>, ExportError> {
    let mut checker = AdjacencyChecker::new(true);
    let mut counts = LineCounts::default();
    while pass.advance()?
        && let Some(line) = pass.line()
    {
        counts.lines += 1;
        let record = inspect(&line.raw, pointers);
        rejections.count(&line, record.as_ref().err(), pointers);
        let Ok(record) = record else { continue };
        counts.records += 1;
        // Whether a bare root is a product, other lines tell.
        if record.is_bare() {
            return Ok(None);
        }
        match checker.check(&record.ids) {
            Ok(kind) => counts.roots += u64::from(kind == adjacent::LineKind::Root),
            Err(_) => return Ok(None),
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
