//! Reads the items that a plug-in's role works on from files: products (role `transform`), documents (`validate`), or
//! pairs of versions of a document (`version`).

use host_core::{
    model::{Document, Grouping, Product, ReportEntry},
    plugin::{TransformedDocument, VersionPair},
};
use host_export::{Export, ExportError, ExportItem, Options, Remote, damaged_product};
use host_plugin_host::Role;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{io, sync::Arc};

/// A batch of items for one role.
#[derive(Clone, Debug, PartialEq)]
pub enum Items {
    /// For the role `transform`.
    Products(Vec<Product>),
    /// For the role `validate`.
    Documents(Vec<TransformedDocument>),
    /// For the role `version`.
    Pairs(Vec<VersionPair>),
}

/// The items of some sources.
#[derive(Clone, Debug)]
pub struct ReadItems {
    /// The items.
    pub items: Items,
    /// Lines that belong to no item, and products that are not whole, with the reason.
    pub rejected: Vec<ReportEntry>,
    /// Whether the sources have more items than the limit.
    pub has_more: bool,
}

/// Why items cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source cannot be read.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A line is JSON, but not an item of the role.
    #[error("line {line} of {sources} is not a {what}: {cause}")]
    NotAnItem {
        /// Number of the line, from 1.
        line: u64,
        /// The sources.
        sources: String,
        /// What the role expects.
        what: &'static str,
        /// What is wrong with the line.
        cause: String,
    },
    /// A temporary folder cannot be created.
    #[error("cannot create a temporary folder: {0}")]
    TempDir(#[source] io::Error),
}

/// An input line of the role `version`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PairLine {
    incoming: Map<String, Value>,
    stored: Map<String, Value>,
}

/// Reads the first `limit` items for a role. Lines of an export are grouped into products as `grouping` says; a
/// document is a line `{"_id": …, FIELDS}`, a pair of versions a line `{"incoming": {…}, "stored": {…}}`. `remote`
/// opens sources that are not files, such as S3 URLs; with `None` these are errors.
///
/// # Errors
/// A source cannot be read, or a line is not an item of the role.
pub fn read(
    role: Role,
    grouping: &Grouping,
    sources: &[String],
    limit: usize,
    remote: Option<Arc<dyn Remote>>,
) -> Result<ReadItems, ReadError> {
    let temp = tempfile::tempdir().map_err(ReadError::TempDir)?;
    let options = Options { remote, ..Options::new(temp.path()) };
    let grouping = if role == Role::Transform { grouping } else { &Grouping::WholeLines };
    let (mut lines, mut rejected, mut has_more) = (Vec::new(), Vec::new(), false);
    for item in Export::open(sources, options)?.scan(grouping)?.into_products() {
        match item? {
            ExportItem::Rejected(entry) => rejected.push(entry),
            ExportItem::Product { .. } if lines.len() >= limit => {
                has_more = true;
                break;
            }
            ExportItem::Product { product, is_damaged: true, .. } => rejected.push(damaged_product(&product)),
            ExportItem::Product { product, .. } => lines.push(product),
        }
    }
    let not_an_item = |line: &Product, what, cause: &dyn std::fmt::Display| ReadError::NotAnItem {
        line: line.line,
        sources: sources.join(", "),
        what,
        cause: cause.to_string(),
    };
    let items = match role {
        Role::Transform => Items::Products(lines),
        Role::Validate => Items::Documents(
            lines
                .iter()
                .map(|line| {
                    let document = Document::from_line(&line.text)
                        .map_err(|cause| not_an_item(line, "document", &cause))?;
                    Ok(TransformedDocument {
                        id: document.id,
                        fields: Value::Object(document.fields).to_string(),
                    })
                })
                .collect::<Result<_, ReadError>>()?,
        ),
        Role::Version => Items::Pairs(
            lines
                .iter()
                .map(|line| {
                    let pair: PairLine = serde_json::from_str(&line.text)
                        .map_err(|cause| not_an_item(line, "pair of versions", &cause))?;
                    Ok((pair.incoming, pair.stored))
                })
                .collect::<Result<_, ReadError>>()?,
        ),
    };
    Ok(ReadItems { items, rejected, has_more })
}

impl Items {
    /// Number of items.
    pub fn len(&self) -> usize {
        match self {
            Self::Products(products) => products.len(),
            Self::Documents(documents) => documents.len(),
            Self::Pairs(pairs) => pairs.len(),
        }
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of the input as text, in bytes.
    pub fn bytes(&self) -> usize {
        let text = |fields: &Map<String, Value>| serde_json::to_string(fields).map_or(0, |text| text.len());
        match self {
            Self::Products(products) => products.iter().map(|product| product.text.len()).sum(),
            Self::Documents(documents) => {
                documents.iter().map(|document| document.id.as_str().len() + document.fields.len()).sum()
            }
            Self::Pairs(pairs) => pairs.iter().map(|(incoming, stored)| text(incoming) + text(stored)).sum(),
        }
    }

    /// What an item is called: `product`, `document`, `pair`.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Products(_) => "product",
            Self::Documents(_) => "document",
            Self::Pairs(_) => "pair",
        }
    }

    /// Each item as a separate batch.
    pub fn singles(&self) -> Vec<Self> {
        self.batches(1, usize::MAX)
    }

    /// Splits the items into batches; a batch is full once it has `items` items or at least `bytes` bytes.
    pub fn batches(&self, items: usize, bytes: usize) -> Vec<Self> {
        match self {
            Self::Products(all) => {
                split(all, items, bytes, |product| product.text.len()).map(Self::Products).collect()
            }
            Self::Documents(all) => {
                split(all, items, bytes, |document| document.fields.len()).map(Self::Documents).collect()
            }
            Self::Pairs(all) => split(all, items, bytes, |_| 0).map(Self::Pairs).collect(),
        }
    }

    /// Concatenates batches of the same role as the first; batches of other roles are ignored.
    pub fn concat<'a>(all: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        all.into_iter().cloned().reduce(|mut joined, next| {
            match (&mut joined, next) {
                (Self::Products(items), Self::Products(more)) => items.extend(more),
                (Self::Documents(items), Self::Documents(more)) => items.extend(more),
                (Self::Pairs(items), Self::Pairs(more)) => items.extend(more),
                _ => {}
            }
            joined
        })
    }
}

/// Cuts a slice into batches, each of which is full once it has `items` items or, by their `size`, at least `bytes`
/// bytes.
fn split<'a, T: Clone>(
    mut rest: &'a [T],
    items: usize,
    bytes: usize,
    size: impl Fn(&T) -> usize + 'a,
) -> impl Iterator<Item = Vec<T>> + 'a {
    std::iter::from_fn(move || {
        let mut filled = 0;
        let more = rest.iter().take(items.max(1)).take_while(|item| {
            let fits = filled < bytes;
            filled = filled.saturating_add(size(item));
            fits
        });
        let (batch, left) = rest.split_at(more.count().max(1).min(rest.len()));
        rest = left;
        (!batch.is_empty()).then(|| batch.to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(role: Role, text: &str, limit: usize) -> Result<ReadItems, ReadError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.jsonl");
        std::fs::write(&path, text).unwrap();
        let grouping = Grouping::ByParent { id: "/id".to_owned(), parents: vec!["/parent".to_owned()] };
        read(role, &grouping, &[path.display().to_string()], limit, None)
    }

    #[test]
    fn products_are_grouped_and_counted() {
        let text = "{\"id\":1}\n{\"id\":2,\"parent\":1}\n{\"id\":3}\nnonsense\n{\"id\":4}\n";
        let read = read_text(Role::Transform, text, 2).unwrap();
        let Items::Products(products) = &read.items else { panic!() };
        assert_eq!(products[0].text, "{\"id\":1}\n{\"id\":2,\"parent\":1}");
        assert_eq!((read.items.len(), read.rejected.len(), read.has_more), (2, 1, true));
    }

    #[test]
    fn a_line_that_is_not_an_item_is_named() {
        let error = |role, text| {
            let message = read_text(role, text, 9).unwrap_err().to_string();
            message.split_once(" of ").unwrap().0.to_owned() + message.split_once(".jsonl").unwrap().1
        };
        insta::assert_snapshot!(
            [
                error(Role::Validate, "{\"_id\":\"1\"}\n{\"id\":\"2\"}\n"),
                error(Role::Version, "{\"incoming\":{},\"old\":{}}\n"),
            ]
            .join("\n")
        );
    }

    #[test]
    fn batches_end_by_items_or_bytes() {
        let product = |line: u64| Product { text: "x".repeat(10), line, id: None };
        let items = Items::Products((0..5).map(product).collect());
        let sizes = |count, bytes| items.batches(count, bytes).iter().map(Items::len).collect::<Vec<_>>();
        assert_eq!((sizes(2, 1000), sizes(9, 15), sizes(9, 0)), (vec![2, 2, 1], vec![2, 2, 1], vec![1; 5]));
        assert_eq!(Items::concat(&items.singles()), Some(items));
    }
}
