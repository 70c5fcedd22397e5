//! The errors that end the reading of an export. A *source* is one file or stream of the export.

use std::{io, path::PathBuf};

/// The export cannot be read to its end. A problem of a single line is no error: the line becomes a rejected item.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The list of sources is empty.
    #[error("no export; name a file, several files of one export in their order, or `-` for standard input")]
    NoSource,
    /// No reader handles the URL scheme of the source.
    #[error("cannot read from `{name}`; download it and name the file, or pipe it in and use `-`")]
    UnsupportedScheme {
        /// The source as named.
        name: String,
    },
    /// Standard input was named more than once.
    #[error("`-` is named several times, but standard input can be read only once; name it once")]
    StdinTwice,
    /// There is no such file.
    #[error("`{name}` does not exist; check the path")]
    NotFound {
        /// The source as named.
        name: String,
    },
    /// The source is a directory.
    #[error("`{name}` is a directory; name the files of the export in it, in their order")]
    Directory {
        /// The source as named.
        name: String,
    },
    /// The source exists but cannot be opened.
    #[error("cannot open `{name}`; check that this user may read it")]
    Unreadable {
        /// The source as named.
        name: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// The first bytes of the source are those of an unsupported format.
    #[error("`{name}` is {what}; convert it to JSON Lines in UTF-8, plain or compressed with gzip or zstd")]
    UnsupportedFormat {
        /// The source as named.
        name: String,
        /// The format found: `a zip archive`.
        what: &'static str,
    },
    /// What the source decompresses to is compressed again.
    #[error("`{name}` is compressed twice; decompress it once, for example with `gunzip`")]
    CompressedTwice {
        /// The source as named.
        name: String,
    },
    /// A JSON array, an answer or an object over several lines ends in the middle.
    #[error("`{name}` is JSON that ends in the middle of a value; download it again, nothing of it was used")]
    TruncatedValues {
        /// The source as named.
        name: String,
    },
    /// A JSON array, an answer or an object over several lines is not valid JSON.
    #[error(
        "`{name}` is not valid JSON after byte {offset}: {reason}; export it again, or write one record per line, \
         of which a damaged one does not stop the others"
    )]
    InvalidValues {
        /// The source as named.
        name: String,
        /// What the parser found.
        reason: String,
        /// Decompressed bytes read before.
        offset: u64,
    },
    /// A record of a JSON array or answer is longer than the maximum length of a line.
    #[error(
        "`{name}` has a record longer than `ingest.max_line_bytes` before byte {offset}; raise that setting if the \
         record is correct"
    )]
    RecordTooLong {
        /// The source as named.
        name: String,
        /// Decompressed bytes read before.
        offset: u64,
    },
    /// The source is an error that the platform answered with instead of products.
    #[error(
        "`{name}` is an error of the platform instead of products: {message}; correct its cause and export again"
    )]
    ErrorAnswer {
        /// The source as named.
        name: String,
        /// The platform's words.
        message: String,
    },
    /// The source is the answer of a mutation.
    #[error(
        "`{name}` is the result of a mutation, not an export; run a bulk operation with a query of products"
    )]
    MutationAnswer {
        /// The source as named.
        name: String,
    },
    /// None of the lines of a source is a record.
    #[error(
        "`{name}` has no record: {} like {looks_like}: `{excerpt}`; export products as JSON Lines or JSON, and check \
         what the download returned",
        if *lines == 1 { "its only line looks".to_owned() } else { format!("its {lines} lines look") }
    )]
    NoRecords {
        /// The source as named.
        name: String,
        /// Its lines with content.
        lines: u64,
        /// What the first of them looks like: `an HTML page`.
        looks_like: &'static str,
        /// The beginning of the first of them.
        excerpt: String,
    },
    /// More lines of a source than the accepted share are no records.
    #[error(
        "{rejected} of {lines} lines of `{name}` are no records, more than {} %, the first of them `{excerpt}`; export \
         it again, or raise `ingest.max_skipped_share` if the rest is right",
        share * 100.0
    )]
    TooManyRejected {
        /// The source as named.
        name: String,
        /// Its lines with content.
        lines: u64,
        /// Those that are no records.
        rejected: u64,
        /// The accepted share.
        share: f64,
        /// The beginning of the first of them.
        excerpt: String,
    },
    /// The export has other numbers than its platform says.
    #[error(
        "the export has {found} {what} and should have {expected}: it is not whole, or not the one that was expected; \
         download all of it again"
    )]
    NotAsExpected {
        /// What was counted: `objects`.
        what: &'static str,
        /// The platform's number.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// Nothing is counted before products are yielded, so that nothing can be compared.
    #[error(
        "an export that is read with `--grouping adjacent` cannot be compared before it is used; use `auto` or `spill`"
    )]
    NotComparable,
    /// A source ends in the middle of a line, and the lines of its products are not together.
    #[error(
        "`{name}` is cut off in the middle of line {line}, and the lines of its products are not together: any product may \
         have lost some; download it again"
    )]
    CutOff {
        /// The source as named.
        name: String,
        /// Number of the line.
        line: u64,
    },
    /// A compressed source ends in the middle of its stream.
    #[error(
        "`{name}` is truncated: its {compression} stream ends early at byte {offset} ({decompressed} bytes \
         decompressed); download the file again"
    )]
    Truncated {
        /// The source as named.
        name: String,
        /// `gzip` or `zstd`.
        compression: &'static str,
        /// Length of the source in compressed bytes.
        offset: u64,
        /// Bytes decompressed before.
        decompressed: u64,
    },
    /// A compressed source is corrupt.
    #[error(
        "`{name}` is corrupt: its {compression} stream cannot be decompressed near byte {offset} ({decompressed} bytes \
         decompressed); download the file again"
    )]
    Corrupt {
        /// The source as named.
        name: String,
        /// `gzip` or `zstd`.
        compression: &'static str,
        /// Compressed bytes read so far; the corruption is at most one read buffer (64 KiB) before.
        offset: u64,
        /// Bytes decompressed before.
        decompressed: u64,
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
    /// Another program wrote to a source, or replaced it, after it was opened.
    #[error("`{name}` changed while it was being read; run the command again once the export is complete")]
    Changed {
        /// The source as named.
        name: String,
    },
    /// The plug-in's manifest contains an invalid JSON Pointer.
    #[error(
        "the plug-in's manifest has the invalid pointer `{pointer}`; it must be a JSON Pointer of at least one level, \
         such as `/id`"
    )]
    InvalidPointer {
        /// The pointer as configured.
        pointer: String,
    },
    /// In `adjacent` mode, in which each line must follow its product, a line's parent is not in the product before it.
    #[error(
        "line {line} of `{name}` names the parent `{parent}`, which is not in the product before it ({}): the export \
         is not grouped; use `--grouping auto` or `spill`",
        open.as_deref().map_or_else(|| "none, or one without an id".to_owned(), |id| format!("`{id}`"))
    )]
    ParentNotOpen {
        /// The source as named.
        name: String,
        /// Number of the line, from 1.
        line: u64,
        /// The id that the line names as its parent.
        parent: String,
        /// Id of the product before the line; `None` if there is no such product, or if it has no id.
        open: Option<String>,
    },
    /// In `adjacent` mode, two lines that start a product have the same id.
    #[error(
        "line {line} of `{name}` starts product `{id}` a second time: the export is not grouped; use `--grouping auto` \
         or `spill`"
    )]
    DuplicateRoot {
        /// The source as named.
        name: String,
        /// Number of the line, from 1.
        line: u64,
        /// Id of the product.
        id: String,
    },
    /// The disk with the temporary files is full.
    #[error("no space left for temporary files in `{}`; free some space, or choose another directory with `--data-dir`", dir.display())]
    DiskFull {
        /// The directory of the temporary files.
        dir: PathBuf,
    },
    /// Another operation on a temporary file failed.
    #[error("{action} a temporary file in `{}` failed", dir.display())]
    TempFile {
        /// The operation: `writing`.
        action: &'static str,
        /// The directory of the temporary files.
        dir: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The reader lost or duplicated lines, which is a bug in host.
    #[error(
        "{lines} lines were read, but {grouped} are in products, {rejected} were rejected and {orphans} are orphans; \
         this is a bug in host: discard this run and report it"
    )]
    LineCountMismatch {
        /// Lines with content.
        lines: u64,
        /// Lines in products that were yielded.
        grouped: u64,
        /// Lines rejected.
        rejected: u64,
        /// Lines whose chain of parents ends at no product of the export.
        orphans: u64,
    },
    /// The caller asked for the totals before taking all items.
    #[error("the export was not read to its end")]
    Unfinished,
    /// The caller cancelled the reading.
    #[error("reading was cancelled")]
    Cancelled,
}

impl ExportError {
    /// Whether the export that the caller named cannot be read at all: then the same call fails again until the caller
    /// names another one or corrects it.
    pub fn is_usage(&self) -> bool {
        use ExportError::{
            CompressedTwice, Corrupt, CutOff, Directory, ErrorAnswer, InvalidPointer, InvalidValues,
            MutationAnswer, NoRecords, NoSource, NotAsExpected, NotComparable, NotFound, RecordTooLong,
            StdinTwice, TooManyRejected, Truncated, TruncatedValues, Unreadable, UnsupportedFormat,
            UnsupportedScheme,
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
                | CompressedTwice { .. }
                | TruncatedValues { .. }
                | InvalidValues { .. }
                | RecordTooLong { .. }
                | ErrorAnswer { .. }
                | MutationAnswer { .. }
                | NoRecords { .. }
                | TooManyRejected { .. }
                | CutOff { .. }
                | NotAsExpected { .. }
                | NotComparable
        )
    }
}
