//! Yields the items of an export in the second pass over it: products, and report entries of rejected lines.

use super::{
    Plan, Strategy,
    adjacent::{AdjacencyChecker, LineKind, NotAdjacent},
    rejections::{MentionedIds, begins_other_product, is_damaged_record},
    spill::{SortLines, SortedProducts},
};
use crate::{
    ExportError, Options, Phase,
    inspect::{Record, inspect},
    pass::{Input, Line, Pass},
    pointer::IdPointers,
    source::Source,
};
use host_core::{
    model::{EntryClass, Product, ReportEntry, job::SourceStats},
    report_codes::INCOMPLETE_PRODUCT,
};
use std::sync::Arc;

/// One item of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportItem {
    /// A complete product.
    Product {
        /// Index of the source (file or stream) that has its first line; [`Products::source_name`] names it.
        source: usize,
        /// The product.
        product: Product,
        /// Whether a line that cannot be read was probably part of it: the product is not whole.
        is_damaged: bool,
    },
    /// The report entry of a line that belongs to no product.
    Rejected(ReportEntry),
}

/// Why a product with `is_damaged` is refused: what is left of it must not replace the whole one, and must not have its
/// version, which the next export gives to the whole one.
pub fn damaged_product(product: &Product) -> ReportEntry {
    let message = "a line that cannot be read belongs to this product, so it is not whole; export it again";
    let entry = ReportEntry::new(EntryClass::Failed, INCOMPLETE_PRODUCT, message);
    ReportEntry { line: Some(product.line), ..entry }
}

/// Iterator over the items of an export; it ends after the first error. The order depends on the export alone. Products
/// come in the order of their first lines, and rejected lines in their own order: among the products if lines are read
/// in place, before all products if lines are sorted.
pub struct Products {
    input: Arc<Input>,
    pointers: IdPointers,
    /// Ids in damaged lines.
    mentioned: MentionedIds,
    /// How lines are grouped: `whole-lines`, `adjacent` or `spill`.
    strategy: &'static str,
    /// Lines with content that the first pass counted, if it did.
    scanned_lines: Option<u64>,
    stage: Stage,
    totals: Totals,
}

/// Counts of what was read and yielded.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Lines with content.
    pub(super) lines: u64,
    /// Bytes after decompression.
    pub(super) bytes: u64,
    pub(super) products: u64,
    /// Lines in products that were yielded.
    pub(super) grouped_lines: u64,
    /// Lines that are not a JSON object with valid ids.
    pub(super) rejected: u64,
    /// Lines whose chain of parents ends at no product.
    pub(super) orphans: u64,
}

/// The product whose lines are being read.
struct OpenProduct {
    source: usize,
    product: Product,
    is_damaged: bool,
}

impl From<OpenProduct> for ExportItem {
    fn from(open: OpenProduct) -> Self {
        let OpenProduct { source, product, is_damaged } = open;
        Self::Product { source, product, is_damaged }
    }
}

enum Stage {
    WholeLines(Pass),
    /// `open` is the product that the next lines may belong to.
    Adjacent {
        pass: Pass,
        checker: AdjacencyChecker,
        open: Option<OpenProduct>,
    },
    /// Sorts all lines by product, and yields rejected lines meanwhile.
    SortLines(SortLines),
    /// Yields the products of the sorted lines.
    SortedProducts(SortedProducts),
    Done,
    Failed,
}

impl Products {
    pub(super) fn new(plan: Plan) -> Self {
        let strategy = plan.strategy();
        let Plan { input, pointers, mentioned, strategy: planned, lines: scanned_lines, .. } = plan;
        let Options { progress, .. } = &input.options;
        let pass = Pass::new(&input);
        let stage = match planned {
            Strategy::WholeLines => Stage::WholeLines(pass),
            Strategy::Adjacent { scanned } => {
                Stage::Adjacent { pass, checker: AdjacencyChecker::new(!scanned), open: None }
            }
            Strategy::Spill(links) => Stage::SortLines(SortLines::new(pass, links, &input.options)),
        };
        progress.begin(if matches!(stage, Stage::SortLines(_)) { Phase::Sorting } else { Phase::Grouping });
        Self { input, pointers, mentioned, strategy, scanned_lines, stage, totals: Totals::default() }
    }

    /// Name of the source with this index, as the user gave it.
    pub fn source_name(&self, source: usize) -> &str {
        self.input.sources.get(source).map_or("", |source| source.name())
    }

    /// Statistics of the export, once all items have been taken. An error unless every line is in a product or was
    /// rejected.
    pub fn finish(self) -> Result<SourceStats, ExportError> {
        let Totals { lines, bytes, products, grouped_lines: grouped, rejected, orphans } = self.totals;
        if !matches!(self.stage, Stage::Done) {
            return Err(ExportError::Unfinished);
        }
        if lines != grouped + rejected + orphans || self.scanned_lines.is_some_and(|scanned| scanned != lines)
        {
            return Err(ExportError::LineCountMismatch { lines, grouped, rejected, orphans });
        }
        let grouping = self.strategy.to_owned();
        // The pages of a shop are the sources in their order: what the last one says counts.
        let more_pages = self.input.sources.last().is_some_and(Source::more_pages);
        Ok(SourceStats { lines, products, bytes, rejected_lines: rejected, orphans, more_pages, grouping })
    }

    fn next_item(&mut self) -> Result<Option<ExportItem>, ExportError> {
        let Self { input, pointers, mentioned, totals, stage, .. } = self;
        loop {
            let progress = &input.options.progress;
            if matches!(stage, Stage::Done | Stage::Failed) {
                return Ok(None);
            }
            if input.options.cancel.is_cancelled() {
                return Err(ExportError::Cancelled);
            }
            let item = match stage {
                Stage::WholeLines(pass) => next_whole_line(pass, pointers, totals)?,
                Stage::Adjacent { pass, checker, open } => {
                    next_adjacent(pass, checker, open, pointers, mentioned, totals)?
                }
                Stage::SortLines(sort) => sort.next(pointers, totals)?,
                Stage::SortedProducts(sorted) => sorted.next(pointers, mentioned, totals)?,
                Stage::Done | Stage::Failed => return Ok(None),
            };
            if let Some(item) = item {
                if let ExportItem::Product { .. } = item {
                    totals.products += 1;
                    progress.set_products(totals.products);
                }
                return Ok(Some(item));
            }
            *stage = match std::mem::replace(stage, Stage::Failed) {
                Stage::SortLines(sort) => {
                    progress.begin(Phase::Grouping);
                    Stage::SortedProducts(sort.finish()?)
                }
                _ => {
                    progress.begin(Phase::Done);
                    Stage::Done
                }
            };
        }
    }
}

impl Iterator for Products {
    type Item = Result<ExportItem, ExportError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.next_item();
        if item.is_err() {
            self.stage = Stage::Failed;
        }
        item.transpose()
    }
}

fn next_whole_line(
    pass: &mut Pass,
    pointers: &IdPointers,
    totals: &mut Totals,
) -> Result<Option<ExportItem>, ExportError> {
    if pass.advance()?
        && let Some(line) = pass.line()
    {
        totals.lines += 1;
        return Ok(Some(match inspect(&line.raw, pointers) {
            Ok(record) => {
                totals.grouped_lines += 1;
                let product = product_of(&record, &line);
                ExportItem::Product { source: line.source, product, is_damaged: false }
            }
            Err(rejection) => {
                totals.rejected += 1;
                ExportItem::Rejected(rejection.entry(&line, pass.source_name(&line)))
            }
        }));
    }
    totals.bytes = pass.bytes();
    Ok(None)
}

fn next_adjacent(
    pass: &mut Pass,
    checker: &mut AdjacencyChecker,
    open: &mut Option<OpenProduct>,
    pointers: &IdPointers,
    mentioned: &MentionedIds,
    totals: &mut Totals,
) -> Result<Option<ExportItem>, ExportError> {
    while pass.advance()?
        && let Some(line) = pass.line()
    {
        totals.lines += 1;
        let record = match inspect(&line.raw, pointers) {
            Ok(record) => record,
            Err(rejection) => {
                totals.rejected += 1;
                if let Some(open) = open {
                    let root = open.product.id.as_deref().unwrap_or_default();
                    open.is_damaged |=
                        is_damaged_record(&line) && !begins_other_product(&line, root, pointers);
                }
                return Ok(Some(ExportItem::Rejected(rejection.entry(&line, pass.source_name(&line)))));
            }
        };
        let is_damaged = mentioned.has(&record.ids);
        match checker.check(&record.ids) {
            Ok(LineKind::Root) => {
                totals.grouped_lines += 1;
                let product = product_of(&record, &line);
                let complete = open.replace(OpenProduct { source: line.source, product, is_damaged });
                if let Some(complete) = complete {
                    return Ok(Some(complete.into()));
                }
            }
            Ok(LineKind::Child) => {
                totals.grouped_lines += 1;
                let open = open.as_mut().expect("a child has a current product");
                open.product.text.push('\n');
                open.product.text.push_str(record.text);
                open.is_damaged |= is_damaged;
            }
            Err(reason) => {
                let name = pass.source_name(&line).to_owned();
                return Err(reason.error(name, &line, &record, checker.open_id()));
            }
        }
    }
    totals.bytes = pass.bytes();
    Ok(open.take().map(ExportItem::from))
}

fn product_of(record: &Record<'_>, line: &Line<'_>) -> Product {
    let id = record.ids.id.as_deref().map(str::to_owned);
    Product { text: record.text.to_owned(), line: line.raw.number, id }
}

impl NotAdjacent {
    /// The error about a line of the source `name`, given the id of the product before it.
    fn error(self, name: String, line: &Line<'_>, record: &Record<'_>, open: Option<&str>) -> ExportError {
        let line = line.raw.number;
        let text = |id: &Option<std::borrow::Cow<'_, str>>| id.as_deref().unwrap_or_default().to_owned();
        match self {
            Self::ParentNotOpen => ExportError::ParentNotOpen {
                name,
                line,
                parent: text(&record.ids.parent_id),
                open: open.map(str::to_owned),
            },
            Self::DuplicateRoot => ExportError::DuplicateRoot { name, line, id: text(&record.ids.id) },
        }
    }
}
