//! Products for which the plug-in returned nothing, neither a document nor a removal. Some of an export are skipped. If
//! they are all that it has, the plug-in probably cannot read it, and they failed: a job that did nothing must not end
//! like one that had nothing to do.

use host_core::model::{EntryClass, ReportEntry};
use std::mem;

/// Most entries that are held back. A plug-in that has not answered for so many products has failed on them.
const MAX_HELD: usize = 10_000;

/// Holds the entries of unanswered products back until it is known what they mean.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The plug-in has answered for no product so far.
    All(Vec<ReportEntry>),
    /// The plug-in has answered for a product.
    Some,
}

impl Default for Unanswered {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl Unanswered {
    /// Adds the entry of an unanswered product, with the class `Skipped`; returns the entries to report.
    pub(super) fn add(&mut self, entry: ReportEntry) -> Vec<ReportEntry> {
        match self {
            Self::Some => vec![entry],
            Self::All(held) => {
                held.push(entry);
                if held.len() < MAX_HELD { Vec::new() } else { self.finish() }
            }
        }
    }

    /// Notes that the plug-in has answered for a product; returns the entries to report.
    pub(super) fn answered(&mut self) -> Vec<ReportEntry> {
        match mem::replace(self, Self::Some) {
            Self::All(held) => held,
            Self::Some => Vec::new(),
        }
    }

    /// The entries to report at the end of the export.
    pub(super) fn finish(&mut self) -> Vec<ReportEntry> {
        let Self::All(held) = self else { return Vec::new() };
        let failed = |entry: ReportEntry| {
            ReportEntry {
            class: EntryClass::Failed,
            message: "the plug-in returned neither a document nor a removal for this product, nor for any other that it has \
                      read: it probably does not support this export"
                .to_owned(),
            ..entry
        }
        };
        mem::take(held).into_iter().map(failed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: u64) -> ReportEntry {
        ReportEntry { line: Some(line), ..ReportEntry::new(EntryClass::Skipped, "no-document", "nothing") }
    }

    fn classes(entries: &[ReportEntry]) -> Vec<(EntryClass, u64)> {
        entries.iter().map(|entry| (entry.class, entry.line.unwrap())).collect()
    }

    #[test]
    fn products_beside_an_answer_are_skipped_wherever_it_comes() {
        let mut unanswered = Unanswered::default();
        assert!(unanswered.add(entry(1)).is_empty() && unanswered.add(entry(2)).is_empty());
        let reported = unanswered.answered();
        assert_eq!(classes(&reported), [(EntryClass::Skipped, 1), (EntryClass::Skipped, 2)]);
        assert_eq!(classes(&unanswered.add(entry(4))), [(EntryClass::Skipped, 4)]);
        assert!(unanswered.answered().is_empty() && unanswered.finish().is_empty());
    }

    #[test]
    fn products_without_any_answer_failed() {
        let mut unanswered = Unanswered::default();
        assert!(unanswered.add(entry(1)).is_empty());
        assert_eq!(classes(&unanswered.finish()), [(EntryClass::Failed, 1)]);
        assert!(unanswered.finish().is_empty());
    }

    #[test]
    fn no_more_than_the_limit_is_held() {
        let mut unanswered = Unanswered::default();
        let reported: Vec<_> = (1..=MAX_HELD as u64).flat_map(|line| unanswered.add(entry(line))).collect();
        assert_eq!(reported.len(), MAX_HELD);
        assert!(reported.iter().all(|entry| entry.class == EntryClass::Failed));
        assert!(unanswered.add(entry(10_001)).is_empty());
        assert_eq!(classes(&unanswered.answered()), [(EntryClass::Skipped, 10_001)]);
    }
}
