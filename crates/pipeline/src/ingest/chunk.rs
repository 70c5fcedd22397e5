//! Partitions documents and removals into lanes, within which the queue keeps order, and cuts each lane into chunks.

use crate::ids::JobIds;
use host_core::model::{
    DocumentId, Operation, ProductId,
    digest::Digest,
    document::{PRODUCT, PRODUCT_STAYS, SIBLINGS, SOURCE_DIGEST},
};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Limits of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkBounds {
    /// Maximum number of documents in a chunk.
    pub documents: usize,
    /// Maximum size of a chunk in bytes; a larger document gets its own chunk.
    pub bytes: usize,
}

/// A document or a removal on its way into a chunk.
#[derive(Clone, Copy, Debug)]
pub struct PendingLine<'a> {
    /// Whether the line adds, updates or removes a document.
    pub operation: Operation,
    /// The product that it belongs to.
    pub product: &'a ProductId,
    /// For a removal: whether it concerns this document alone, because its product keeps other documents.
    pub product_stays: bool,
    /// The ids of the product's other documents, on the last document of a product that an export has as a whole.
    /// `None` on its other documents, on removals and on updates, which do not say what a product consists of.
    pub siblings: Option<&'a [DocumentId]>,
    /// Digest of what the product's documents were made of: its lines, the plug-ins and their configuration. Only
    /// where `siblings` is set, and `None` if a later job may not skip the product by it.
    pub source_digest: Option<Digest>,
    /// A document's fields or a removal's version, as JSON object text on one line.
    pub object: &'a str,
}

/// A complete chunk: documents with distinct ids, all of one lane and one operation.
#[derive(Debug, PartialEq, Eq)]
pub struct FinishedChunk {
    /// Lane of all its documents.
    pub lane: u16,
    /// Operation on all its documents.
    pub operation: Operation,
    /// One JSON object per line, each with a line end.
    pub bytes: Vec<u8>,
    /// Number of lines.
    pub documents: u32,
}

/// Builds chunks from documents and removals. The same input gives the same chunks.
#[derive(Debug)]
pub struct Chunker {
    bounds: ChunkBounds,
    lanes: u16,
    /// Chunks that are not full, by lane and operation.
    open: BTreeMap<(u16, Operation), OpenChunk>,
    ids: JobIds,
}

#[derive(Debug, Default)]
struct OpenChunk {
    bytes: Vec<u8>,
    ids: HashSet<DocumentId>,
}

impl Chunker {
    /// A chunker with `lanes` lanes; 0 counts as 1.
    pub fn new(bounds: ChunkBounds, lanes: u16) -> Self {
        Self { bounds, lanes: lanes.max(1), open: BTreeMap::new(), ids: JobIds::default() }
    }

    /// Adds a document or removal, and returns the chunks that this completes. A chunk never contains an id twice: a
    /// later operation on the same id goes into a later chunk of the same lane, and the queue keeps the order within
    /// a lane.
    pub fn push(&mut self, id: DocumentId, new: PendingLine<'_>) -> Vec<FinishedChunk> {
        let lane = lane_of(new.product, self.lanes);
        self.ids.add(new.operation, new.product, &id);
        let mut sealed = Vec::new();
        for other in Operation::ALL {
            if self.open.get(&(lane, other)).is_some_and(|chunk| chunk.ids.contains(&id)) {
                sealed.extend(self.finish_lane(lane, other));
            }
        }
        let line = line(&id, &new);
        let (operation, bounds) = (new.operation, self.bounds);
        if self
            .open
            .get(&(lane, operation))
            .is_some_and(|chunk| chunk.bytes.len() + line.len() > bounds.bytes)
        {
            sealed.extend(self.finish_lane(lane, operation));
        }
        let chunk = self.open.entry((lane, operation)).or_default();
        chunk.bytes.extend_from_slice(&line);
        chunk.ids.insert(id);
        if chunk.ids.len() >= bounds.documents || chunk.bytes.len() >= bounds.bytes {
            sealed.extend(self.finish_lane(lane, operation));
        }
        sealed
    }

    /// Adds a product to the job's ids that is in no chunk, because the index has its documents unchanged.
    pub fn note_unchanged(&mut self, product: &str, documents: &BTreeSet<DocumentId>) {
        self.ids.add_unchanged(product, documents);
    }

    /// The ids of all documents and products so far, which are stored beside the chunks.
    pub fn into_ids(self) -> JobIds {
        self.ids
    }

    /// Completes all open chunks, lane by lane.
    pub fn finish(&mut self) -> Vec<FinishedChunk> {
        let open: Vec<_> = self.open.keys().copied().collect();
        open.into_iter().filter_map(|(lane, operation)| self.finish_lane(lane, operation)).collect()
    }

    /// Completes the open chunk of a lane and an operation; `None` if there is none.
    fn finish_lane(&mut self, lane: u16, operation: Operation) -> Option<FinishedChunk> {
        let OpenChunk { bytes, ids } = self.open.remove(&(lane, operation))?;
        Some(FinishedChunk { lane, operation, bytes, documents: ids.len() as u32 })
    }
}

/// The lane of a product: a stable hash of its id, so that all versions of all its documents go to the same lane.
pub fn lane_of(product: &ProductId, lanes: u16) -> u16 {
    if lanes <= 1 {
        return 0;
    }
    (Digest::of(product.as_str().as_bytes()).prefix() % u64::from(lanes)) as u16
}

/// A line of a chunk: `{"_id":"…",<the host's own fields about the product>,<fields of the document>}` and a newline.
/// A [`DocumentId`] needs no escaping.
fn line(id: &DocumentId, new: &PendingLine<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(new.object.len() + 128);
    bytes.extend_from_slice(b"{\"_id\":\"");
    bytes.extend_from_slice(id.as_str().as_bytes());
    bytes.push(b'"');
    if new.product.as_str() != id.as_str() {
        bytes.extend_from_slice(format!(",\"{PRODUCT}\":").as_bytes());
        serde_json::to_writer(&mut bytes, new.product)
            .expect("a string serializes, and writing to a Vec cannot fail");
    }
    if new.product_stays {
        bytes.extend_from_slice(format!(",\"{PRODUCT_STAYS}\":true").as_bytes());
    }
    if let Some(siblings) = new.siblings {
        bytes.extend_from_slice(format!(",\"{SIBLINGS}\":").as_bytes());
        serde_json::to_writer(&mut bytes, siblings).expect("ids serialize, and a Vec takes them");
    }
    if let Some(digest) = new.source_digest {
        bytes.extend_from_slice(format!(",\"{SOURCE_DIGEST}\":\"{digest}\"").as_bytes());
    }
    let object = new.object.trim_start();
    let rest = object.strip_prefix('{').expect("a transformed document is an object").trim_start();
    if !rest.starts_with('}') {
        bytes.push(b',');
    }
    bytes.extend_from_slice(rest.trim_end().as_bytes());
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::model::ChunkLine;
    use proptest::prelude::*;

    fn id(text: &str) -> DocumentId {
        DocumentId::new(text).unwrap()
    }

    fn push(chunker: &mut Chunker, operation: Operation, name: &str, object: &str) -> Vec<FinishedChunk> {
        let product = ProductId::from(&id(name));
        chunker.push(
            id(name),
            PendingLine {
                operation,
                product: &product,
                product_stays: false,
                siblings: None,
                source_digest: None,
                object,
            },
        )
    }

    #[test]
    fn a_line_is_an_object_with_the_id_first() {
        let mut chunker = Chunker::new(ChunkBounds { documents: 9, bytes: 999 }, 1);
        assert!(push(&mut chunker, Operation::AddDocuments, "1", r#"{"title":"Mug"}"#).is_empty());
        assert!(push(&mut chunker, Operation::AddDocuments, "2", " { } ").is_empty());
        let chunks = chunker.finish();
        assert_eq!(
            String::from_utf8_lossy(&chunks[0].bytes),
            "{\"_id\":\"1\",\"title\":\"Mug\"}\n{\"_id\":\"2\"}\n"
        );
        assert_eq!(chunks[0].documents, 2);
    }

    #[test]
    fn all_documents_of_a_product_are_in_its_lane_and_name_it() {
        let mut chunker = Chunker::new(ChunkBounds { documents: 99, bytes: 9_999 }, 64);
        let product = ProductId::new("gid://shopify/\"Product\"/1").unwrap();
        for name in ["11", "12", "13", "14", "15"] {
            let (operation, object) = (Operation::DeleteDocuments, r#"{"v":1}"#);
            let new = PendingLine {
                operation,
                product: &product,
                product_stays: name == "15",
                siblings: None,
                source_digest: None,
                object,
            };
            assert!(chunker.push(id(name), new).is_empty());
        }
        let chunks = chunker.finish();
        assert_eq!((chunks.len(), chunks[0].documents, chunks[0].lane), (1, 5, lane_of(&product, 64)));
        let text = std::str::from_utf8(&chunks[0].bytes).unwrap();
        for line in text.lines().map(|line| ChunkLine::parse(line).unwrap()) {
            assert_eq!((&line.product, line.product_stays), (&product, line.document.id.as_str() == "15"));
            assert_eq!(line.document.fields.keys().collect::<Vec<_>>(), ["v"]);
        }
    }

    #[test]
    fn another_operation_on_an_id_completes_the_chunk_that_has_the_id() {
        let mut chunker = Chunker::new(ChunkBounds { documents: 9, bytes: 999 }, 1);
        push(&mut chunker, Operation::DeleteDocuments, "1", "{}");
        let sealed = push(&mut chunker, Operation::AddDocuments, "1", "{}");
        assert_eq!(
            sealed.iter().map(|chunk| chunk.operation).collect::<Vec<_>>(),
            [Operation::DeleteDocuments]
        );
        let sealed = push(&mut chunker, Operation::DeleteDocuments, "1", "{}");
        assert_eq!(sealed.iter().map(|chunk| chunk.operation).collect::<Vec<_>>(), [Operation::AddDocuments]);
    }

    proptest! {
        #[test]
        fn chunks_partition_the_input_in_order(
            items in prop::collection::vec((0u8..40, any::<bool>(), 0usize..60), 0..300),
            documents in 1usize..8, bytes in 20usize..300, lanes in 1u16..5,
        ) {
            let mut chunker = Chunker::new(ChunkBounds { documents, bytes }, lanes);
            let mut chunks = Vec::new();
            for (position, (name, delete, length)) in items.iter().enumerate() {
                let operation = if *delete { Operation::DeleteDocuments } else { Operation::AddDocuments };
                let object = format!(r#"{{"n":{position},"t":"{}"}}"#, "x".repeat(*length));
                chunks.extend(push(&mut chunker, operation, &name.to_string(), &object));
            }
            chunks.extend(chunker.finish());

            let mut seen = Vec::new();
            for chunk in &chunks {
                let text = std::str::from_utf8(&chunk.bytes).unwrap();
                prop_assert_eq!(text.lines().count(), chunk.documents as usize);
                prop_assert!(chunk.documents as usize <= documents);
                prop_assert!(chunk.bytes.len() <= bytes || chunk.documents == 1);
                let mut ids = HashSet::new();
                for line in text.lines() {
                    let value: serde_json::Value = serde_json::from_str(line).unwrap();
                    let name = value["_id"].as_str().unwrap().to_owned();
                    prop_assert_eq!(lane_of(&ProductId::from(&id(&name)), lanes), chunk.lane);
                    prop_assert!(ids.insert(name.clone()), "duplicate id in a chunk");
                    seen.push((name, value["n"].as_u64().unwrap() as usize, chunk.operation));
                }
            }
            prop_assert_eq!(seen.len(), items.len());
            for name in 0u8..40 {
                let of_name = seen.iter().filter(|(seen, ..)| *seen == name.to_string());
                let order: Vec<_> = of_name.map(|(_, position, _)| *position).collect();
                prop_assert!(order.is_sorted(), "{} out of order: {:?}", name, order);
            }
        }
    }
}
