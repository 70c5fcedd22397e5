//! Partitions documents and removals into lanes and cuts each lane into chunks.

use host_core::model::{DocumentId, Operation, digest::Digest};
use std::collections::{BTreeMap, HashSet};

/// Limits of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkBounds {
    /// Maximum number of documents in a chunk.
    pub documents: usize,
    /// Maximum size of a chunk in bytes; a larger document gets a chunk of its own.
    pub bytes: usize,
}

/// A complete chunk: documents with distinct ids, all of one lane and one operation.
#[derive(Debug, PartialEq, Eq)]
pub struct SealedChunk {
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
    open: BTreeMap<(u16, Operation), OpenChunk>,
}

#[derive(Debug, Default)]
struct OpenChunk {
    bytes: Vec<u8>,
    ids: HashSet<DocumentId>,
}

impl Chunker {
    /// A chunker with `lanes` lanes, at least 1.
    pub fn new(bounds: ChunkBounds, lanes: u16) -> Self {
        Self { bounds, lanes: lanes.max(1), open: BTreeMap::new() }
    }

    /// Adds one document (its fields) or removal (its version), each as JSON object text on one line, and returns the
    /// chunks that this completes. A chunk never contains an id twice: a later operation on the same id goes into a
    /// later chunk of the same lane, and the queue keeps the order within a lane.
    pub fn push(&mut self, operation: Operation, id: DocumentId, object: &str) -> Vec<SealedChunk> {
        let lane = lane_of(&id, self.lanes);
        let mut sealed = Vec::new();
        for other in Operation::ALL {
            if self.open.get(&(lane, other)).is_some_and(|chunk| chunk.ids.contains(&id)) {
                sealed.extend(self.seal(lane, other));
            }
        }
        let size = object.len() + id.as_str().len() + 11;
        if self.open.get(&(lane, operation)).is_some_and(|c| c.bytes.len() + size > self.bounds.bytes) {
            sealed.extend(self.seal(lane, operation));
        }
        let chunk = self.open.entry((lane, operation)).or_default();
        push_line(&mut chunk.bytes, &id, object);
        chunk.ids.insert(id);
        if chunk.ids.len() >= self.bounds.documents || chunk.bytes.len() >= self.bounds.bytes {
            sealed.extend(self.seal(lane, operation));
        }
        sealed
    }

    /// Seals all open chunks, lane by lane.
    pub fn finish(mut self) -> Vec<SealedChunk> {
        let open: Vec<_> = self.open.keys().copied().collect();
        open.into_iter().filter_map(|(lane, operation)| self.seal(lane, operation)).collect()
    }

    fn seal(&mut self, lane: u16, operation: Operation) -> Option<SealedChunk> {
        let OpenChunk { bytes, ids } = self.open.remove(&(lane, operation))?;
        Some(SealedChunk { lane, operation, bytes, documents: ids.len() as u32 })
    }
}

/// The lane of a document: a stable hash of its id, so that all its versions go to the same lane.
pub fn lane_of(id: &DocumentId, lanes: u16) -> u16 {
    if lanes <= 1 {
        return 0;
    }
    (Digest::of(id.as_str().as_bytes()).prefix() % u64::from(lanes)) as u16
}

/// Appends `{"_id":"…",<fields>}` and a newline. A [`DocumentId`] needs no escaping.
fn push_line(bytes: &mut Vec<u8>, id: &DocumentId, object: &str) {
    bytes.extend_from_slice(b"{\"_id\":\"");
    bytes.extend_from_slice(id.as_str().as_bytes());
    let rest =
        object.trim_start().strip_prefix('{').expect("a transformed document is an object").trim_start();
    bytes.extend_from_slice(if rest.starts_with('}') { b"\"" } else { b"\"," });
    bytes.extend_from_slice(rest.trim_end().as_bytes());
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(text: &str) -> DocumentId {
        DocumentId::new(text).unwrap()
    }

    #[test]
    fn a_line_is_an_object_with_the_id_first() {
        let mut chunker = Chunker::new(ChunkBounds { documents: 9, bytes: 999 }, 1);
        assert!(chunker.push(Operation::AddDocuments, id("1"), r#"{"title":"Mug"}"#).is_empty());
        assert!(chunker.push(Operation::AddDocuments, id("2"), " { } ").is_empty());
        let chunks = chunker.finish();
        assert_eq!(
            String::from_utf8_lossy(&chunks[0].bytes),
            "{\"_id\":\"1\",\"title\":\"Mug\"}\n{\"_id\":\"2\"}\n"
        );
        assert_eq!(chunks[0].documents, 2);
    }

    #[test]
    fn a_removal_after_its_document_goes_into_a_later_chunk() {
        let mut chunker = Chunker::new(ChunkBounds { documents: 9, bytes: 999 }, 1);
        chunker.push(Operation::DeleteDocuments, id("1"), "{}");
        let sealed = chunker.push(Operation::AddDocuments, id("1"), "{}");
        assert_eq!(sealed.iter().map(|c| c.operation).collect::<Vec<_>>(), [Operation::DeleteDocuments]);
        let sealed = chunker.push(Operation::DeleteDocuments, id("1"), "{}");
        assert_eq!(sealed.iter().map(|c| c.operation).collect::<Vec<_>>(), [Operation::AddDocuments]);
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
                chunks.extend(chunker.push(operation, id(&name.to_string()), &object));
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
                    prop_assert_eq!(lane_of(&id(&name), lanes), chunk.lane);
                    prop_assert!(ids.insert(name.clone()), "duplicate id in a chunk");
                    seen.push((name, value["n"].as_u64().unwrap() as usize, chunk.operation));
                }
            }
            prop_assert_eq!(seen.len(), items.len());
            for name in 0u8..40 {
                let order: Vec<_> = seen.iter().filter(|s| s.0 == name.to_string()).map(|s| s.1).collect();
                prop_assert!(order.is_sorted(), "{} out of order: {:?}", name, order);
            }
        }
    }
}
