//! Judges the lines that are no records, before anything is published: whether the source is an export at all, and which
//! products lost a line.

use super::id_hash;
use crate::{
    ExportError, form,
    inspect::{Rejection, excerpt},
    pass::{Input, Line},
    pointer::{IdPointers, Ids},
};
use std::collections::HashSet;

/// Fewer rejected lines of a source are never too many: a small export may have a bad line.
const TOLERATED: u64 = 10;
/// Longest id that is looked for in a damaged line, in bytes.
const MAX_ID_LENGTH: usize = 256;
/// Most ids that are kept of damaged lines, 16 MB; a source that needs more is refused.
const MAX_MENTIONED: usize = 1_000_000;

/// Counts the lines of each source that are no records.
#[derive(Debug)]
pub(super) struct Rejections {
    sources: Vec<Count>,
    mentioned: MentionedIds,
    /// Hashes of the ids of the last record before.
    before: [Option<u64>; 2],
    /// The own id of the last root before.
    root: Option<String>,
    /// Source and number of the first line in whose middle a source ends.
    truncated: Option<(usize, u64)>,
}

/// Counts of one source.
#[derive(Debug, Default)]
struct Count {
    lines: u64,
    rejected: u64,
    /// What the first rejected line looks like, and its beginning.
    first: Option<(&'static str, String)>,
}

impl Rejections {
    pub(super) fn new(input: &Input) -> Self {
        let sources = input.sources.iter().map(|_| Count::default()).collect();
        Self { sources, mentioned: MentionedIds::default(), before: [None; 2], root: None, truncated: None }
    }

    /// Counts a line; `rejection` says why it is no record.
    pub(super) fn count(&mut self, line: &Line<'_>, rejection: Option<&Rejection>, pointers: &IdPointers) {
        let source = &mut self.sources[line.source];
        source.lines += 1;
        let Some(rejection) = rejection else { return };
        source.rejected += 1;
        source.first.get_or_insert_with(|| (form::looks_like(line.raw.bytes), excerpt(line.raw.bytes)));
        if is_damaged_record(line) {
            self.mentioned.add(line.raw.bytes);
            // Where the ids themselves are damaged, the line probably belongs to the product of the record before.
            if !self.root.as_deref().is_some_and(|root| begins_other_product(line, root, pointers)) {
                self.mentioned.0.extend(self.before.into_iter().flatten());
            }
        }
        if matches!(rejection, Rejection::Truncated) {
            self.truncated.get_or_insert((line.source, line.raw.number));
        }
    }

    /// Keeps the ids of a record for the damaged line that may follow.
    pub(super) fn passed(&mut self, ids: &Ids<'_>) {
        self.before = [&ids.id, &ids.parent_id].map(|id| id.as_deref().map(id_hash));
        if ids.parent_id.is_none() {
            self.root = ids.id.as_deref().map(str::to_owned);
        }
    }

    /// Fails if a source has lines and none is a record, or if too many are none; otherwise returns the ids that
    /// damaged lines mention.
    pub(super) fn check(self, input: &Input) -> Result<MentionedIds, ExportError> {
        let share = input.options.max_skipped_share;
        for (source, count) in input.sources.iter().zip(&self.sources) {
            let Some((looks_like, excerpt)) = &count.first else { continue };
            let (name, excerpt) = (source.name().to_owned(), excerpt.clone());
            let Count { lines, rejected, .. } = *count;
            if rejected == lines {
                return Err(ExportError::NoRecords { name, lines, looks_like, excerpt });
            }
            let too_many = rejected >= TOLERATED && rejected as f64 > share * lines as f64;
            if too_many || self.mentioned.is_full() {
                return Err(ExportError::TooManyRejected { name, lines, rejected, share, excerpt });
            }
        }
        Ok(self.mentioned)
    }

    /// As `check`, for an export whose products have their lines anywhere: if a source is cut off, any product may have
    /// lost lines.
    pub(super) fn check_ungrouped(self, input: &Input) -> Result<MentionedIds, ExportError> {
        let truncated = self.truncated;
        let mentioned = self.check(input)?;
        match truncated {
            Some((source, line)) => {
                Err(ExportError::CutOff { name: input.sources[source].name().to_owned(), line })
            }
            None => Ok(mentioned),
        }
    }
}

/// Whether a line that is no record was one before it was damaged: other text, such as a warning between two records,
/// is part of no product.
pub(super) fn is_damaged_record(line: &Line<'_>) -> bool {
    let bytes = line.raw.bytes.trim_ascii();
    bytes.starts_with(b"{") || (bytes.ends_with(b"}") && !line.raw.is_too_long())
}

/// Whether a damaged line begins with the id of another product than this root's: an id of the same kind, which is what
/// stands before the last slash, as in `gid://shopify/Product/1`.
pub(super) fn begins_other_product(line: &Line<'_>, root: &str, pointers: &IdPointers) -> bool {
    let kind = |id: &str| id.rfind('/').map(|slash| id[..slash].to_owned());
    pointers
        .leading_id(line.raw.bytes)
        .is_some_and(|id| id != root && kind(&id).is_some() && kind(&id) == kind(root))
}

/// Hashes of everything in damaged lines that may be the id of a product or of one of its lines.
#[derive(Debug, Default)]
pub(super) struct MentionedIds(HashSet<u64>);

impl MentionedIds {
    /// Adds the texts between quotes, which may be in the wrong places, and the numbers of a damaged line.
    fn add(&mut self, line: &[u8]) {
        let mut text_start = 0;
        let mut is_escaped = false;
        for (at, byte) in line.iter().enumerate() {
            if *byte == b'"' && !is_escaped {
                self.add_text(&line[text_start..at]);
                text_start = at + 1;
            }
            is_escaped = *byte == b'\\' && !is_escaped;
        }
        for number in line.split(|byte| !byte.is_ascii_digit() && *byte != b'-') {
            self.add_text(number);
        }
    }

    fn add_text(&mut self, text: &[u8]) {
        let Ok(text) = std::str::from_utf8(text) else { return };
        if text.is_empty() || text.len() > MAX_ID_LENGTH || self.is_full() {
            return;
        }
        if !text.contains('\\') {
            self.0.insert(id_hash(text));
        } else if let Ok(text) = serde_json::from_str::<String>(&format!("\"{text}\"")) {
            self.0.insert(id_hash(&text));
        }
    }

    fn is_full(&self) -> bool {
        self.0.len() >= MAX_MENTIONED
    }

    /// Whether a damaged line mentions the id of this line: it was probably a line of the same product.
    pub(super) fn has(&self, ids: &Ids<'_>) -> bool {
        !self.0.is_empty() && ids.id.as_deref().is_some_and(|id| self.0.contains(&id_hash(id)))
    }

    /// Whether a damaged line mentions the id of one of a product's lines.
    pub(super) fn mention(&self, product: &str, pointers: &IdPointers) -> bool {
        !self.0.is_empty()
            && product.split('\n').any(|line| pointers.read(line).is_ok_and(|ids| self.has(&ids)))
    }
}
