//! Why an export could not be read.

use std::{io, path::PathBuf};

/// An export cannot be read to its end. What concerns a single line is never an error but a refused item.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The list of sources is empty.
    #[error(
        "no export was named: name a file, several files of one export in their order, or `-` for standard input"
    )]
    NoSource,
    /// A scheme that cannot be read from.
    #[error("`{name}` cannot be read from here: download it and name the file, or pipe it in and name `-`")]
    UnsupportedScheme {
        /// The source as named.
        name: String,
    },
    /// Standard input was named more than once.
    #[error("standard input can be read only once, but `-` is named several times")]
    StdinTwice,
    /// There is no such file.
    #[error("`{name}` does not exist: check the path")]
    NotFound {
        /// The source as named.
        name: String,
    },
    /// A folder was named.
    #[error("`{name}` is a directory: name the files of the export in it, in their order")]
    Directory {
        /// The source as named.
        name: String,
    },
    /// The file is there but cannot be opened.
    #[error("`{name}` cannot be opened: check that this user may read it")]
    Unreadable {
        /// The source as named.
        name: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// The first bytes belong to a format that is not read.
    #[error("`{name}` is {what}: it must be JSON Lines in UTF-8, plain or packed with gzip or zstd")]
    UnsupportedFormat {
        /// The source as named.
        name: String,
        /// What it is, `a zip archive`.
        what: &'static str,
    },
    /// A packed source ends in the middle of its stream.
    #[error(
        "`{name}` is cut off: its {packing} stream ends unfinished at byte {offset} ({unpacked} bytes unpacked); \
         fetch the file again"
    )]
    Truncated {
        /// The source as named.
        name: String,
        /// `gzip` or `zstd`.
        packing: &'static str,
        /// Length of what is there, in packed bytes.
        offset: u64,
        /// How many bytes could be unpacked.
        unpacked: u64,
    },
    /// A packed source is damaged.
    #[error(
        "`{name}` is damaged: its {packing} stream cannot be unpacked near byte {offset} ({unpacked} bytes \
         unpacked); fetch the file again"
    )]
    Corrupt {
        /// The source as named.
        name: String,
        /// `gzip` or `zstd`.
        packing: &'static str,
        /// Packed bytes read so far; the damage is at most one read buffer before.
        offset: u64,
        /// How many bytes could be unpacked.
        unpacked: u64,
        /// The decoder's error.
        source: io::Error,
    },
    /// The operating system failed to read a source.
    #[error("reading `{name}` failed at byte {offset}")]
    Read {
        /// The source as named.
        name: String,
        /// Bytes read before.
        offset: u64,
        /// The operating system's error.
        source: io::Error,
    },
    /// A source is not what it was when it was opened.
    #[error("`{name}` changed while it was read: start again once the export is complete")]
    Changed {
        /// The source as named.
        name: String,
    },
    /// A pointer of the manifest is not one.
    #[error(
        "the plug-in's manifest names `{pointer}`, which is not a JSON Pointer of at least one level, such as `/id`"
    )]
    InvalidPointer {
        /// The pointer as given.
        pointer: String,
    },
    /// Grouping is `adjacent` and a line's parent is not in the open product.
    #[error(
        "line {line} of `{name}` belongs to `{parent}`, which is not part of the product before it ({}): the export \
         is not grouped, so use `--grouping auto` or `spill`",
        open.as_deref().map_or_else(|| "none, or one without id".to_owned(), |id| format!("`{id}`"))
    )]
    Stray {
        /// The source as named.
        name: String,
        /// Number of the line, from 1.
        line: u64,
        /// The id that the line names as its parent.
        parent: String,
        /// Id of the product that the lines before belong to, if it has one.
        open: Option<String>,
    },
    /// Grouping is `adjacent` and the same product begins a second time.
    #[error(
        "line {line} of `{name}` begins product `{id}` a second time: the export is not grouped, so use \
         `--grouping auto` or `spill`"
    )]
    RepeatedRoot {
        /// The source as named.
        name: String,
        /// Number of the line, from 1.
        line: u64,
        /// Id of the product.
        id: String,
    },
    /// No room for temporary files.
    #[error("no space left for temporary files in `{}`: free some, or name another folder with `--data-dir`", dir.display())]
    DiskFull {
        /// The folder.
        dir: PathBuf,
    },
    /// A temporary file failed otherwise.
    #[error("{action} a temporary file in `{}` failed", dir.display())]
    Scratch {
        /// What was done: `writing`.
        action: &'static str,
        /// The folder.
        dir: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Lines were lost or doubled inside the host.
    #[error(
        "of {lines} lines, {grouped} are in products, {rejected} were rejected and {orphans} are orphans, which does \
         not add up: this is a defect of the program, nothing of this run may be used"
    )]
    Conservation {
        /// Lines with content.
        lines: u64,
        /// Lines inside products handed on.
        grouped: u64,
        /// Lines rejected.
        rejected: u64,
        /// Lines whose parent is nowhere.
        orphans: u64,
    },
    /// The items were not all taken, so nothing can be said of the whole.
    #[error("the export was not read to its end")]
    Unfinished,
    /// Somebody asked to stop.
    #[error("reading was cancelled")]
    Cancelled,
}

impl ExportError {
    /// Whether the caller named something that cannot be read: no state has changed, and the same call fails again.
    pub fn is_usage(&self) -> bool {
        use ExportError::{
            Corrupt, Directory, InvalidPointer, NoSource, NotFound, StdinTwice, Truncated, Unreadable,
            UnsupportedFormat, UnsupportedScheme,
        };
        matches!(
            self,
            NoSource
                | UnsupportedScheme { .. }
                | StdinTwice
                | NotFound { .. }
                | Directory { .. }
                | Unreadable { .. }
                | UnsupportedFormat { .. }
                | Truncated { .. }
                | Corrupt { .. }
                | InvalidPointer { .. }
        )
    }
}
