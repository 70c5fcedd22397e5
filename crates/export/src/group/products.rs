//! The items of an export, handed on one by one.

use super::{
    Plan, Strategy,
    adjacent::{Adjacency, Misplaced, Place},
    spill::{Regroup, Regrouped},
};
use crate::{
    ExportError, Options, Phase,
    inspect::{Record, inspect},
    pass::{Input, Line, Pass},
    pointer::Pointers,
};
use host_core::model::{Entry, Product, job::SourceStats};
use std::sync::Arc;

/// One item of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A complete product.
    Product {
        /// Position of the source of its first line among the sources.
        source: usize,
        /// The product.
        product: Product,
    },
    /// A line that belongs to no product, as the report names it.
    Refused(Entry),
}

/// Hands on the items of an export, in an order that depends on the export alone: products in the order of their
/// first lines; refused lines in their own order, where they stand if products are read in place, before all products
/// if lines are sorted. Ends after the first error.
pub struct Products {
    input: Arc<Input>,
    pointers: Pointers,
    strategy: &'static str,
    scanned_lines: Option<u64>,
    stage: Stage,
    tally: Tally,
}

/// What has been handed on.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) products: u64,
    pub(super) grouped: u64,
    pub(super) rejected: u64,
    pub(super) orphans: u64,
}

enum Stage {
    WholeLines(Pass),
    Adjacent { pass: Pass, adjacency: Adjacency, open: Option<(usize, Product)> },
    Regroup(Regroup),
    Regrouped(Regrouped),
    Done,
    Failed,
}

impl Products {
    pub(super) fn new(plan: Plan) -> Self {
        let strategy = plan.strategy();
        let Plan { input, pointers, strategy: planned, lines: scanned_lines, .. } = plan;
        let Options { progress, .. } = &input.options;
        let pass = Pass::new(&input);
        let stage = match planned {
            Strategy::WholeLines => Stage::WholeLines(pass),
            Strategy::Adjacent { scanned } => {
                Stage::Adjacent { pass, adjacency: Adjacency::new(!scanned), open: None }
            }
            Strategy::Spill(links) => Stage::Regroup(Regroup::new(pass, links, &input.options)),
        };
        progress.begin(if matches!(stage, Stage::Regroup(_)) { Phase::Sorting } else { Phase::Grouping });
        Self { input, pointers, strategy, scanned_lines, stage, tally: Tally::default() }
    }

    /// The name of a source.
    pub fn source_name(&self, source: usize) -> &str {
        self.input.sources.get(source).map_or("", |source| source.name())
    }

    /// What was read, once everything has been handed on. Fails unless every line is accounted for.
    pub fn finish(self) -> Result<SourceStats, ExportError> {
        let Tally { lines, bytes, products, grouped, rejected, orphans } = self.tally;
        if !matches!(self.stage, Stage::Done) {
            return Err(ExportError::Unfinished);
        }
        if lines != grouped + rejected + orphans || self.scanned_lines.is_some_and(|scanned| scanned != lines)
        {
            return Err(ExportError::Conservation { lines, grouped, rejected, orphans });
        }
        let grouping = self.strategy.to_owned();
        Ok(SourceStats { lines, products, bytes, rejected_lines: rejected, orphans, grouping })
    }

    fn next_item(&mut self) -> Result<Option<Item>, ExportError> {
        let Self { input, pointers, tally, stage, .. } = self;
        loop {
            let progress = &input.options.progress;
            if matches!(stage, Stage::Done | Stage::Failed) {
                return Ok(None);
            }
            if input.options.cancel.is_cancelled() {
                return Err(ExportError::Cancelled);
            }
            let item = match stage {
                Stage::WholeLines(pass) => next_whole_line(pass, pointers, tally)?,
                Stage::Adjacent { pass, adjacency, open } => {
                    next_adjacent(pass, adjacency, open, pointers, tally)?
                }
                Stage::Regroup(regroup) => regroup.next(pointers, tally)?,
                Stage::Regrouped(regrouped) => regrouped.next(pointers, tally)?,
                Stage::Done | Stage::Failed => return Ok(None),
            };
            if let Some(item) = item {
                if matches!(item, Item::Product { .. }) {
                    tally.products += 1;
                    progress.set_products(tally.products);
                }
                return Ok(Some(item));
            }
            *stage = match std::mem::replace(stage, Stage::Failed) {
                Stage::Regroup(regroup) => {
                    progress.begin(Phase::Grouping);
                    Stage::Regrouped(regroup.regrouped()?)
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
    type Item = Result<Item, ExportError>;

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
    pointers: &Pointers,
    tally: &mut Tally,
) -> Result<Option<Item>, ExportError> {
    if pass.advance()?
        && let Some(line) = pass.line()
    {
        tally.lines += 1;
        return Ok(Some(match inspect(&line.raw, pointers) {
            Ok(record) => {
                tally.grouped += 1;
                Item::Product { source: line.source, product: product_of(&record, &line) }
            }
            Err(rejection) => {
                tally.rejected += 1;
                Item::Refused(rejection.entry(&line, pass.source_name(&line)))
            }
        }));
    }
    tally.bytes = pass.bytes();
    Ok(None)
}

fn next_adjacent(
    pass: &mut Pass,
    adjacency: &mut Adjacency,
    open: &mut Option<(usize, Product)>,
    pointers: &Pointers,
    tally: &mut Tally,
) -> Result<Option<Item>, ExportError> {
    while pass.advance()?
        && let Some(line) = pass.line()
    {
        tally.lines += 1;
        let record = match inspect(&line.raw, pointers) {
            Ok(record) => record,
            Err(rejection) => {
                tally.rejected += 1;
                return Ok(Some(Item::Refused(rejection.entry(&line, pass.source_name(&line)))));
            }
        };
        match adjacency.admit(&record.ids) {
            Ok(Place::Root) => {
                tally.grouped += 1;
                let complete = open.replace((line.source, product_of(&record, &line)));
                if let Some((source, product)) = complete {
                    return Ok(Some(Item::Product { source, product }));
                }
            }
            Ok(Place::Part) => {
                tally.grouped += 1;
                let (_, product) = open.as_mut().expect("a part is only admitted to an open product");
                product.text.push('\n');
                product.text.push_str(record.text);
            }
            Err(misplaced) => {
                let name = pass.source_name(&line).to_owned();
                return Err(misplaced.error(name, &line, &record, adjacency.open_id()));
            }
        }
    }
    tally.bytes = pass.bytes();
    Ok(open.take().map(|(source, product)| Item::Product { source, product }))
}

fn product_of(record: &Record<'_>, line: &Line<'_>) -> Product {
    let id = record.ids.own.as_deref().map(str::to_owned);
    Product { text: record.text.to_owned(), line: line.raw.number, id }
}

impl Misplaced {
    fn error(self, name: String, line: &Line<'_>, record: &Record<'_>, open: Option<&str>) -> ExportError {
        let line = line.raw.number;
        let text = |id: &Option<std::borrow::Cow<'_, str>>| id.as_deref().unwrap_or_default().to_owned();
        match self {
            Self::Stray => ExportError::Stray {
                name,
                line,
                parent: text(&record.ids.parent),
                open: open.map(str::to_owned),
            },
            Self::RepeatedRoot => ExportError::RepeatedRoot { name, line, id: text(&record.ids.own) },
        }
    }
}
