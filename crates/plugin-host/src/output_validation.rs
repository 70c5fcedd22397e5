//! Validates what a guest (a plug-in's code) returns, so that the host may rely on it. A guest may be hostile: its
//! positions may be out of range, its ids may be paths, its JSON may not be JSON.
//!
//! A fault in one item (a product, a document) refuses this item. A fault in the answer as a whole, which cannot be
//! blamed on one item, is a breach of the contract (`Err`): the caller treats it like a trap of the guest and runs
//! smaller batches.

use crate::{
    Limits,
    fault::megabytes,
    json,
    raw::{RawDocument, RawIssue, RawTransformed},
    untrusted_text::{self, is_pointer, truncate},
};
use host_core::{
    model::{DocumentId, Issue, Severity},
    plugin::{ProductOutcome, Refusal, TransformedDocument, TransformedRemoval, Verdict, VersionOrdering},
};
use serde_json::Map;

/// The most characters of an issue's message; the rest is cut off.
const MESSAGE_CHARACTERS: usize = 1_000;

/// The most characters of an issue's path (a JSON Pointer).
const PATH_CHARACTERS: usize = 500;

/// Validates the answers of one plug-in.
#[derive(Clone, Copy)]
pub(super) struct OutputValidator<'a> {
    /// `name@version`.
    pub(super) plugin: &'a str,
    pub(super) limits: &'a Limits,
}

impl OutputValidator<'_> {
    /// Validates the answer to a batch of `products` products; returns their outcomes in order.
    pub(super) fn transformed(
        &self,
        products: usize,
        raw: RawTransformed,
    ) -> Result<Vec<ProductOutcome>, String> {
        let RawTransformed { documents, counts, removals, issues } = raw;
        if counts.len() != products {
            return Err(format!(
                "the number of counts ({}) is not the number of products ({products})",
                counts.len()
            ));
        }
        let counted: u64 = counts.iter().copied().map(u64::from).sum();
        if counted != documents.len() as u64 {
            return Err(format!("it counted {counted} documents but returned {}", documents.len()));
        }
        let mut outcomes: Vec<ProductOutcome> = Vec::new();
        outcomes.resize_with(products, ProductOutcome::default);

        for issue in issues {
            let item = position("an issue", issue.item, products)?;
            let outcome = &mut outcomes[item];
            self.take_issue(issue, &mut outcome.issues, &mut outcome.refused);
        }
        let mut documents = documents.into_iter();
        for (outcome, count) in outcomes.iter_mut().zip(counts) {
            let of_product = documents.by_ref().take(count as usize);
            if outcome.refused.is_some() || self.has_too_many(count as usize, outcome) {
                of_product.for_each(drop);
                continue;
            }
            outcome.documents.reserve_exact(count as usize);
            for document in of_product {
                // After a fault the loop goes on, so that the iterator moves to the next product's documents.
                if outcome.refused.is_none() {
                    match self.document(document) {
                        Ok(document) => outcome.documents.push(document),
                        Err(refusal) => outcome.refused = Some(refusal),
                    }
                }
            }
        }
        for removal in removals {
            let outcome = &mut outcomes[position("a removal", removal.item, products)?];
            if outcome.refused.is_none()
                && !self.has_too_many(outcome.documents.len() + outcome.removals.len() + 1, outcome)
            {
                match self.removal(removal.id, removal.version) {
                    Ok(removal) => outcome.removals.push(removal),
                    Err(refusal) => outcome.refused = Some(refusal),
                }
            }
        }
        for outcome in &mut outcomes {
            if outcome.refused.is_none() {
                outcome.refused = self.repeated_id(outcome);
            }
            if outcome.refused.is_some() {
                outcome.documents = Vec::new();
                outcome.removals = Vec::new();
            }
        }
        Ok(outcomes)
    }

    /// Validates the issues of a batch of `documents` documents; returns the verdicts in the order of the documents.
    pub(super) fn verdicts(&self, documents: usize, issues: Vec<RawIssue>) -> Result<Vec<Verdict>, String> {
        let mut verdicts: Vec<Verdict> = Vec::new();
        verdicts.resize_with(documents, Verdict::default);
        for issue in issues {
            let verdict = &mut verdicts[position("an issue", issue.item, documents)?];
            self.take_issue(issue, &mut verdict.issues, &mut verdict.refused);
        }
        Ok(verdicts)
    }

    /// Validates that there is one ordering for each pair of versions.
    pub(super) fn orderings(
        &self,
        pairs: usize,
        raw: Vec<VersionOrdering>,
    ) -> Result<Vec<VersionOrdering>, String> {
        if raw.len() != pairs {
            return Err(format!(
                "the number of orderings ({}) is not the number of pairs ({pairs})",
                raw.len()
            ));
        }
        Ok(raw)
    }

    /// Keeps an issue, unless its item has too many; the first error refuses the item.
    fn take_issue(&self, raw: RawIssue, issues: &mut Vec<Issue>, refused: &mut Option<Refusal>) {
        let is_kept = issues.len() < self.limits.issues_per_item;
        let refuses = raw.severity == Severity::Error && refused.is_none();
        if !is_kept && !refuses {
            return;
        }
        let issue = Issue {
            severity: raw.severity,
            code: untrusted_text::code(raw.code),
            message: truncate(&raw.message, MESSAGE_CHARACTERS),
            path: raw.path.filter(|path| is_pointer(path)).map(|path| truncate(&path, PATH_CHARACTERS)),
        };
        if refuses {
            *refused = Some(Refusal::of(issue.clone()));
        }
        if is_kept {
            issues.push(issue);
        }
    }

    /// Whether a product has more documents and removals than the limit; if so, refuses it.
    fn has_too_many(&self, count: usize, outcome: &mut ProductOutcome) -> bool {
        let limit = self.limits.documents_per_product;
        if count <= limit {
            return false;
        }
        let message = format!(
            "plug-in {} made more documents and removals of this product than the {limit} allowed ones",
            self.plugin
        );
        outcome.refused = Some(refusal("too-many-documents", message));
        true
    }

    fn document(&self, raw: RawDocument) -> Result<TransformedDocument, Refusal> {
        let id = self.id("document", raw.id)?;
        let fields = self.object("document", "invalid-document", &id, raw.fields)?;
        Ok(TransformedDocument { id, fields })
    }

    fn removal(&self, id: String, version: String) -> Result<TransformedRemoval, Refusal> {
        let id = self.id("removal", id)?;
        let version = self.object("removal", "invalid-removal", &id, version)?;
        Ok(TransformedRemoval { id, version })
    }

    fn id(&self, what: &str, id: String) -> Result<DocumentId, Refusal> {
        DocumentId::new(id).map_err(|error| {
            let error = truncate(&error.to_string(), MESSAGE_CHARACTERS);
            refusal(
                "invalid-document-id",
                format!("plug-in {} made a {what} without a valid id: {error}", self.plugin),
            )
        })
    }

    fn object(&self, what: &str, code: &str, id: &DocumentId, text: String) -> Result<String, Refusal> {
        let made = format_args!("plug-in {} made the {what} {id}", self.plugin);
        if text.len() > self.limits.document_bytes {
            let limit = megabytes(self.limits.document_bytes);
            let message = format!("{made} with {} bytes; {limit} are allowed", text.len());
            return Err(refusal("document-too-large", message));
        }
        json::object_on_one_line(text).map_err(|fault| {
            let fault = truncate(&fault.to_string(), MESSAGE_CHARACTERS);
            refusal(code, format!("{made} with JSON that cannot be used: {fault}"))
        })
    }

    /// The refusal of a product that names a document id twice, because either could be meant; `None` if it does not.
    fn repeated_id(&self, outcome: &ProductOutcome) -> Option<Refusal> {
        if outcome.documents.len() + outcome.removals.len() < 2 {
            return None;
        }
        let documents = outcome.documents.iter().map(|document| document.id.as_str());
        let removals = outcome.removals.iter().map(|removal| removal.id.as_str());
        let mut ids: Vec<&str> = documents.chain(removals).collect();
        ids.sort_unstable();
        let twice = ids.windows(2).find(|pair| pair[0] == pair[1])?[0];
        let message =
            format!("plug-in {} named the document {twice} more than once for this product", self.plugin);
        Some(refusal("repeated-document-id", message))
    }
}

fn refusal(code: &str, message: String) -> Refusal {
    Refusal { code: code.to_owned(), message, path: None, details: Map::new() }
}

/// The position of an item in the batch as an index; an error if the batch has no such item.
fn position(what: &str, item: u32, items: usize) -> Result<usize, String> {
    match usize::try_from(item) {
        Ok(position) if position < items => Ok(position),
        _ => Err(format!("{what} names item {item}, but the items end at {}", items.saturating_sub(1))),
    }
}

#[cfg(test)]
#[path = "output_validation_tests.rs"]
mod tests;
