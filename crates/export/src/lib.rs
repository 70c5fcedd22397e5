//! Reads an export and puts its lines together to products.
//!
//! ```text
//! source ─▶ unpack ─▶ lines ─▶ inspect ─▶ group ─▶ items
//! ```
//!
//! [`Export::open`] opens the sources (and spools streams to disk), [`Export::scan`] reads them once and decides how
//! products are put together, [`Plan::into_products`] reads them again and hands on products and refused lines.
//! Nothing is handed on before the whole export is known to be readable and its grouping to be right. All of it is
//! synchronous and takes the same memory for an export of any size.

use std::{path::PathBuf, sync::Arc};

mod error;
mod group;
mod inspect;
mod lines;
mod pass;
mod pointer;
mod progress;
mod remote;
pub mod scratch;
pub mod sort;
mod source;
mod unpack;

pub use error::ExportError;
pub use group::{Export, Item, Plan, Products};
pub use progress::{Cancel, Phase, Progress, ProgressSnapshot};
pub use remote::Remote;

/// How lines that name their parents are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// As the export's order allows: `Adjacent` if every line follows its own product, else `Spill`.
    #[default]
    Auto,
    /// Each line must follow its own product. Nobody looks beforehand, so the first line that does not, or a packed
    /// source that is cut off, ends the reading after products have been handed on.
    Adjacent,
    /// Lines are sorted by product on disk, whatever their order is.
    Spill,
}

/// How to read an export.
#[derive(Clone, Debug)]
pub struct Options {
    /// How lines that name their parents are put together.
    pub mode: Mode,
    /// Longest line in bytes; a longer one is refused and never held in memory. A metafield of 2 MB with every
    /// character escaped takes 12 MB, so the default of 64 MiB refuses nothing that a shop platform writes.
    pub max_line_bytes: usize,
    /// Memory for sorting in bytes. More means fewer and longer temporary files.
    pub sort_memory: usize,
    /// How many temporary files are read at once; each takes a file descriptor and a buffer of 64 KiB.
    pub sort_files: usize,
    /// Folder for temporary files; they need about 1.4 times the unpacked export, streams their own size in addition.
    pub scratch_dir: PathBuf,
    /// Opens sources that are no files.
    pub remote: Option<Arc<dyn Remote>>,
    /// Where progress is shown.
    pub progress: Arc<Progress>,
    /// Stops the reading.
    pub cancel: Cancel,
}

impl Options {
    /// The defaults, with a folder for temporary files.
    pub fn new(scratch_dir: impl Into<PathBuf>) -> Self {
        Self {
            mode: Mode::Auto,
            max_line_bytes: 64 << 20,
            sort_memory: 32 << 20,
            sort_files: 128,
            scratch_dir: scratch_dir.into(),
            remote: None,
            progress: Arc::default(),
            cancel: Cancel::default(),
        }
    }
}
