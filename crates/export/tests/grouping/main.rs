//! Tests of reading an export and grouping its lines into products. An oracle, a simple implementation of the rules
//! that keeps everything in memory, checks the grouping.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod damage;
mod forms;
mod modes;
mod needs_samples;
mod oracle;
mod speed;

use host_core::model::{Grouping, job::SourceStats};
use host_export::{Export, ExportError, ExportItem, Mode, Options};
use std::{io::Write as _, path::Path};

/// The result of reading an export.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reading {
    /// Text, first line and id of each product.
    products: Vec<(String, u64, Option<String>)>,
    /// Number and report code of each rejected line, by number.
    rejected: Vec<(u64, String)>,
}

/// Grouping by the pointers that Shopify's exports need.
fn by_parent() -> Grouping {
    Grouping::ByParent { id: "/id".to_owned(), parents: vec!["/__parentId".to_owned()] }
}

/// Options with so little memory that sorting writes many temporary files and merges them in several rounds.
fn tiny(mode: Mode, dir: &Path) -> Options {
    Options { mode, max_skipped_share: 1.0, sort_memory: 200, sort_files: 3, ..Options::new(dir) }
}

fn read_file(
    path: &Path,
    grouping: &Grouping,
    options: Options,
) -> Result<(Reading, SourceStats), ExportError> {
    let mut items = Export::open(&[path.display().to_string()], options)?.scan(grouping)?.into_products();
    let mut reading = Reading { products: Vec::new(), rejected: Vec::new() };
    for item in &mut items {
        match item? {
            ExportItem::Product { product, .. } => {
                reading.products.push((product.text, product.line, product.id));
            }
            ExportItem::Rejected(entry) => reading.rejected.push((entry.line.unwrap_or(0), entry.code)),
        }
    }
    reading.rejected.sort();
    Ok((reading, items.finish()?))
}

fn read(export: &[u8], grouping: &Grouping, mode: Mode) -> Result<(Reading, SourceStats), ExportError> {
    let dir = tempfile::tempdir().unwrap();
    let mut file = tempfile::NamedTempFile::new_in(&dir).unwrap();
    file.write_all(export).unwrap();
    read_file(file.path(), grouping, tiny(mode, dir.path()))
}
