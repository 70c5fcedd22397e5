//! The products of the simulated shop, their exports, and the lines of chunks that such products become.
//!
//! Product 3 has the id `p3`, and the document of its variant 1 the id `p3-v1`.

use host_core::model::{DocumentId, Operation, Product, ProductId};
use host_export::ExportItem;
use host_pipeline::ingest::chunk::{Chunker, FinishedChunk, PendingLine};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A product in the shop. Versions grow with each change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    /// The shop has it. Each variant is a document.
    Live { version: i64, variants: BTreeSet<u64> },
    /// The shop has deleted it, in this version.
    Deleted { version: i64 },
}

impl State {
    pub(crate) fn version(&self) -> i64 {
        match self {
            Self::Live { version, .. } | Self::Deleted { version } => *version,
        }
    }

    /// The variants whose documents the index must have, each with its version.
    pub(crate) fn documents(&self) -> BTreeMap<u64, i64> {
        match self {
            Self::Live { version, variants } => variants.iter().map(|variant| (*variant, *version)).collect(),
            Self::Deleted { .. } => BTreeMap::new(),
        }
    }

    /// The product as an item of an export. `number` is the product's number.
    pub(crate) fn item(&self, number: u64) -> ExportItem {
        let object = match self {
            Self::Live { version, variants } => json!({"v": version, "variants": variants}),
            Self::Deleted { version } => json!({"v": version}),
        };
        let (text, id) = (object.to_string(), Some(product_id(number).to_string()));
        ExportItem::Product { source: 0, product: Product { text, line: number + 1, id }, is_damaged: false }
    }

    /// Parses the text of a product that [`item`](Self::item) made.
    pub(crate) fn parse(text: &str) -> Self {
        let object: Value = serde_json::from_str(text).unwrap();
        let version = object["v"].as_i64().unwrap();
        match object["variants"].as_array() {
            Some(variants) => {
                Self::Live { version, variants: variants.iter().filter_map(Value::as_u64).collect() }
            }
            None => Self::Deleted { version },
        }
    }
}

/// An export of the shop.
#[derive(Clone)]
pub(crate) struct Export {
    /// When it was taken from the shop.
    pub(crate) at: Timestamp,
    /// Whether it has all products of the shop.
    pub(crate) full: bool,
    /// By their numbers.
    pub(crate) products: BTreeMap<u64, State>,
}

pub(crate) fn product_id(number: u64) -> ProductId {
    ProductId::new(format!("p{number}")).unwrap()
}

pub(crate) fn document_id(product: u64, variant: u64) -> DocumentId {
    DocumentId::new(format!("p{product}-v{variant}")).unwrap()
}

/// The product's number in the id of a product or document.
pub(crate) fn number_of(id: &str) -> u64 {
    id[1..].split('-').next().unwrap().parse().unwrap()
}

/// The variant in the id of a document.
pub(crate) fn variant_of(id: &str) -> u64 {
    id.split_once("-v").unwrap().1.parse().unwrap()
}

/// A document or removal of a product, before it is a line of a chunk.
pub(crate) struct ProductLine {
    id: DocumentId,
    operation: Operation,
    product: ProductId,
    siblings: Option<Vec<DocumentId>>,
    object: String,
}

impl ProductLine {
    /// Adds it to the chunker, and returns the chunks that this completes.
    pub(crate) fn push(self, chunker: &mut Chunker) -> Vec<FinishedChunk> {
        let Self { id, operation, product, siblings, object } = self;
        let siblings = siblings.as_deref();
        chunker.push(
            id,
            PendingLine {
                operation,
                product: &product,
                product_stays: false,
                siblings,
                source_digest: None,
                object: &object,
            },
        )
    }
}

/// The documents of a product, or its removal, as an ingest makes them.
pub(crate) fn lines(number: u64, state: &State) -> Vec<ProductLine> {
    let line = |variant, operation, siblings, object| {
        let (id, product) = (document_id(number, variant), product_id(number));
        ProductLine { id, operation, product, siblings, object }
    };
    match state {
        State::Deleted { version } => {
            vec![line(0, Operation::DeleteDocuments, None, format!("{{\"v\":{version}}}"))]
        }
        State::Live { version, variants } => {
            let last = variants.last();
            let of_variant = |variant: &u64| {
                let others = || variants.iter().filter(|other| *other != variant);
                let siblings = (Some(variant) == last)
                    .then(|| others().map(|other| document_id(number, *other)).collect());
                let object = format!("{{\"v\":{version},\"title\":\"{variant}\"}}");
                line(*variant, Operation::AddDocuments, siblings, object)
            };
            variants.iter().map(of_variant).collect()
        }
    }
}
