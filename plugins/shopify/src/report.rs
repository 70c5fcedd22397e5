//! The result of a batch of products.

/// What an issue does to its product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The product is refused.
    Error,
    /// The product is processed.
    Warning,
}

/// One problem with one product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Position of the product in the batch.
    pub item: usize,
    /// What it does to the product.
    pub severity: Severity,
    /// Stable kebab-case name, for machines.
    pub code: &'static str,
    /// One sentence for a person: what happened, to what, what to do.
    pub message: String,
    /// JSON Pointer into the product's own record, when the problem is there.
    pub path: Option<&'static str>,
}

/// A document for the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its identity in the index.
    pub id: String,
    /// Its fields as JSON object text.
    pub fields: String,
}

/// A document that has to leave the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Position of the product in the batch.
    pub item: usize,
    /// Its identity in the index.
    pub id: String,
    /// JSON object text with the version fields of the product.
    pub version: String,
}

/// The result of a batch of products, all in the order of the products.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Transformed {
    /// The documents.
    pub documents: Vec<Document>,
    /// Number of documents of each product.
    pub counts: Vec<u32>,
    /// What has to leave the index.
    pub removals: Vec<Removal>,
    /// What was wrong.
    pub issues: Vec<Issue>,
}

/// Maximum number of warnings of one product; the rest is only counted.
const MAX_WARNINGS: usize = 20;

/// Collects the issues of one product.
pub(crate) struct Diagnostics<'t> {
    issues: &'t mut Vec<Issue>,
    item: usize,
    /// The id of the product, once it is known.
    subject: Option<&'t str>,
    warnings: usize,
}

impl<'t> Diagnostics<'t> {
    pub(crate) fn new(issues: &'t mut Vec<Issue>, item: usize) -> Self {
        Diagnostics { issues, item, subject: None, warnings: 0 }
    }

    /// From now on issues are about this product.
    pub(crate) fn about(&mut self, product_id: &'t str) {
        self.subject = Some(product_id);
    }

    /// Refuses the product.
    pub(crate) fn error(&mut self, code: &'static str, message: String, path: Option<&'static str>) {
        self.push(Severity::Error, code, self.of_subject(message), path);
    }

    /// Adds a warning about a product, unless it was added already.
    pub(crate) fn warn(&mut self, code: &'static str, message: String) {
        self.warn_at(code, message, None);
    }

    pub(crate) fn warn_at(&mut self, code: &'static str, message: String, path: Option<&'static str>) {
        let message = self.of_subject(message);
        let is_same = |known: &Issue| (known.item, known.code, &known.message) == (self.item, code, &message);
        let repeated = self.issues.iter().rev().take(MAX_WARNINGS).any(is_same);
        if repeated || self.warnings > MAX_WARNINGS {
            return;
        }
        self.warnings += 1;
        if self.warnings > MAX_WARNINGS {
            let message =
                format!("it has more than {MAX_WARNINGS} problems; correct the ones above to see the others");
            self.push(Severity::Warning, "more-issues", self.of_subject(message), None);
            return;
        }
        self.push(Severity::Warning, code, message, path);
    }

    /// Adds a warning about the export as a whole, which the product only happens to show.
    pub(crate) fn warn_of_export(&mut self, code: &'static str, message: String) {
        self.push(Severity::Warning, code, message, None);
    }

    fn of_subject(&self, message: String) -> String {
        self.subject.map_or(message.clone(), |product_id| format!("product {product_id}: {message}"))
    }

    fn push(&mut self, severity: Severity, code: &'static str, message: String, path: Option<&'static str>) {
        self.issues.push(Issue { item: self.item, severity, code, message, path });
    }
}
