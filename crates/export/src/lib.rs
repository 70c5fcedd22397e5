//! Reads a platform's product export (JSON Lines, such as a bulk operation of Shopify writes) and groups its lines into
//! products: each product's own line together with its children, such as variants, which name their parent by its id.
//!
//! ```text
//! source ─▶ decompress ─▶ lines ─▶ inspect ─▶ group ─▶ items
//!               │          ▲
//!               └─▶ values ┘    arrays and answers of APIs: their records become lines on disk
//! ```
//!
//! [`Export::open`] opens the sources and spools (copies) streams to disk. [`Export::scan`] reads them once and decides
//! how to group the lines. [`Plan::into_products`] reads them again and yields products and rejected lines. With
//! [`Mode::Auto`] and [`Mode::Spill`], no item is yielded before the whole export is known to be readable. All of it is
//! synchronous, and memory does not grow with the size of the export. The rules of grouping are in `docs/grouping.md`.
//!
//! This crate depends on `host-core` alone. It knows files, streams and JSON Lines; it knows nothing of plug-ins,
//! queues or indexes. Other kinds of sources reach it through [`Remote`].
//!
//! # Example
//!
//! ```
//! use host_core::model::Grouping;
//! use host_export::{Export, ExportItem, Options};
//!
//! let dir = tempfile::tempdir()?;
//! let file = dir.path().join("export.jsonl");
//! std::fs::write(
//!     &file,
//!     r#"{"id":"p1","title":"Mug"}
//! {"id":"v1","price":"7.50","__parentId":"p1"}
//! {"id":"p2","title":"Plate"}
//! not JSON
//! "#,
//! )?;
//!
//! let grouping = Grouping::ByParent { id: "/id".to_owned(), parents: vec!["/__parentId".to_owned()] };
//! let export = Export::open(&[file.display().to_string()], Options::new(dir.path()))?;
//! let mut items = export.scan(&grouping)?.into_products();
//!
//! let (mut products, mut rejected) = (Vec::new(), Vec::new());
//! for item in &mut items {
//!     match item? {
//!         ExportItem::Product { product, .. } => products.push(product),
//!         ExportItem::Rejected(entry) => rejected.push(entry.code),
//!     }
//! }
//! assert_eq!(products[0].text.lines().count(), 2);
//! assert_eq!(products[1].id.as_deref(), Some("p2"));
//! assert_eq!(rejected, ["invalid-json"]);
//! // Fails unless every line of the export is in a product or was rejected.
//! assert_eq!(items.finish()?.lines, 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{path::PathBuf, sync::Arc};

mod decompress;
mod error;
mod expected;
mod form;
mod group;
mod inspect;
mod lines;
mod pass;
mod pointer;
mod progress;
mod remote;
pub mod sort;
mod source;
pub mod temp;
mod values;

pub use error::ExportError;
pub use expected::Expected;
pub use group::{Export, ExportItem, Plan, Products, damaged_product};
pub use progress::{Cancel, Phase, Progress, ProgressSnapshot};
pub use remote::{Remote, RemoteSource};

/// How to group lines that name their parents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// `Adjacent` if the scan finds that every line follows its own product, otherwise `Spill`.
    #[default]
    Auto,
    /// Each line must directly follow its own product. The scan does not check this, so the first line that breaks the
    /// rule, or a truncated compressed source, ends the reading after products have been yielded.
    Adjacent,
    /// Sorts the lines by product on disk, whatever their order.
    Spill,
}

/// How to read an export.
#[derive(Clone, Debug)]
pub struct Options {
    /// How to group lines that name their parents.
    pub mode: Mode,
    /// Maximum length of a line in bytes; a longer line is rejected and never held in memory. The default of 64 MiB
    /// accepts every line that a shop platform writes: a metafield (an extra field of a product) of 2 MB takes
    /// 12 MB if every character is escaped.
    pub max_line_bytes: usize,
    /// Maximum share of a source's lines that may be no records, from 0 to 1, by default 0.1; it counts from ten such
    /// lines on. A source with more, or without any record, fails the scan.
    pub max_skipped_share: f64,
    /// What the platform says that the export has; the scan fails if it has anything else.
    pub expected: Expected,
    /// Memory for sorting in bytes, 32 MiB by default. More memory means fewer and longer temporary files.
    pub sort_memory: usize,
    /// Maximum number of temporary files merged at once, 128 by default; each takes a file descriptor and a buffer of
    /// 64 KiB.
    pub sort_files: usize,
    /// Directory for temporary files. Sorting needs about 1.4 times the decompressed size of the export; a stream needs
    /// its own size in addition.
    pub temp_dir: PathBuf,
    /// Opens sources that are not files, such as objects in S3; `None` if there are only files and standard input.
    pub remote: Option<Arc<dyn Remote>>,
    /// Counters that the reader updates.
    pub progress: Arc<Progress>,
    /// Stops the reading.
    pub cancel: Cancel,
}

impl Options {
    /// The defaults, with a directory for temporary files.
    pub fn new(temp_dir: impl Into<PathBuf>) -> Self {
        Self {
            mode: Mode::Auto,
            max_line_bytes: 64 << 20,
            max_skipped_share: 0.1,
            expected: Expected::default(),
            sort_memory: 32 << 20,
            sort_files: 128,
            temp_dir: temp_dir.into(),
            remote: None,
            progress: Arc::default(),
            cancel: Cancel::default(),
        }
    }
}
