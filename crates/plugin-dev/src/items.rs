//! What a role is given, read from files: products, documents, or pairs of versions, a line each or several lines a product.

use host_core::{
    model::{Document, Entry, Grouping, Product},
    plugin::{MadeDocument, VersionPair},
};
use host_export::{Export, ExportError, Item, Options, Remote};
use host_plugin_host::Role;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{io, sync::Arc};

/// The items of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Items {
    /// For the role `transform`.
    Products(Vec<Product>),
    /// For the role `validate`.
    Documents(Vec<MadeDocument>),
    /// For the role `version`.
    Pairs(Vec<VersionPair>),
}

/// What was read.
#[derive(Clone, Debug)]
pub struct Read {
    /// The items.
    pub items: Items,
    /// Lines that belong to no item.
    pub refused: Vec<Entry>,
    /// Whether there are more items than were wanted.
    pub more: bool,
}

/// Why items cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source cannot be read.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A line is JSON, but not what the role is given.
    #[error("line {line} of {sources} is no {what}: {cause}")]
    NotAnItem {
        /// Number of the line.
        line: u64,
        /// The sources.
        sources: String,
        /// What it should be.
        what: &'static str,
        /// Why it is not.
        cause: String,
    },
    /// No room for temporary files.
    #[error("no folder for temporary files can be made: {0}")]
    Scratch(#[source] io::Error),
}

/// A line for the role `version`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PairLine {
    incoming: Map<String, Value>,
    stored: Map<String, Value>,
}

/// Reads the first `limit` items for a role. Products are put together as the plug-in's manifest says; documents are
/// lines as in a chunk (`{"_id": …}`), pairs are lines `{"incoming": {…}, "stored": {…}}`.
/// `remote` opens sources that are no files.
pub fn read(
    role: Role,
    grouping: &Grouping,
    sources: &[String],
    limit: usize,
    remote: Option<Arc<dyn Remote>>,
) -> Result<Read, ReadError> {
    let scratch = tempfile::tempdir().map_err(ReadError::Scratch)?;
    let options = Options { remote, ..Options::new(scratch.path()) };
    let grouping = if role == Role::Transform { grouping } else { &Grouping::WholeLines };
    let (mut lines, mut refused, mut more) = (Vec::new(), Vec::new(), false);
    for item in Export::open(sources, options)?.scan(grouping)?.into_products() {
        match item? {
            Item::Rejected(entry) => refused.push(entry),
            Item::Product { .. } if lines.len() >= limit => {
                more = true;
                break;
            }
            Item::Product { product, .. } => lines.push(product),
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
                    Ok(MadeDocument { id: document.id, fields: Value::Object(document.fields).to_string() })
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
    Ok(Read { items, refused, more })
}

impl Items {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Products(products) => products.len(),
            Self::Documents(documents) => documents.len(),
            Self::Pairs(pairs) => pairs.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of text that the plug-in gets.
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

    /// What one of them is called.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Products(_) => "product",
            Self::Documents(_) => "document",
            Self::Pairs(_) => "pair",
        }
    }

    /// Each item as a batch of its own.
    pub fn singles(&self) -> Vec<Self> {
        self.batches(1, usize::MAX)
    }

    /// Batches that end after a number of items, or once they have a number of bytes.
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

    /// Items of the same role behind each other; others are left out.
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

    fn read_text(role: Role, text: &str, limit: usize) -> Result<Read, ReadError> {
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
        assert_eq!((read.items.len(), read.refused.len(), read.more), (2, 1, true));
    }

    #[test]
    fn a_line_that_is_no_item_is_named() {
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
        let product = |n: u64| Product { text: "x".repeat(10), line: n, id: None };
        let items = Items::Products((0..5).map(product).collect());
        let sizes = |count, bytes| items.batches(count, bytes).iter().map(Items::len).collect::<Vec<_>>();
        assert_eq!((sizes(2, 1000), sizes(9, 15), sizes(9, 0)), (vec![2, 2, 1], vec![2, 2, 1], vec![1; 5]));
        assert_eq!(Items::concat(&items.singles()), Some(items));
    }
}
