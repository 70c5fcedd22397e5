//! A plan: random items in chunks, and what must have become of each when their job has ended.

use host_core::model::{Counts, Operation};
use host_testing::next_random;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Lanes of the job: chunks of one lane are written in order, and all versions of a product are in one lane.
const LANES: u64 = 6;
/// Items of all chunks together.
pub(super) const ITEMS: usize = 20_000;

/// A chunk to be published.
pub(super) struct Chunk {
    pub(super) lane: u16,
    pub(super) operation: Operation,
    pub(super) lines: Vec<String>,
}

/// Random items in chunks, and their expected outcomes.
pub(super) struct Plan {
    /// State of the random numbers.
    random: u64,
    pub(super) chunks: Vec<Chunk>,
    /// Expected counts of the job.
    pub(super) counts: Counts,
    /// Version and title of each document that the index must hold in the end, by number of the product.
    pub(super) held: BTreeMap<u64, (u64, String)>,
    /// The highest version of each product so far, whatever its outcome.
    newest: BTreeMap<u64, u64>,
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        let mut plan = Self {
            random: seed,
            chunks: Vec::new(),
            counts: Counts::default(),
            held: BTreeMap::new(),
            newest: BTreeMap::new(),
        };
        let mut left = ITEMS;
        while left > 0 {
            let is_removal = !plan.held.is_empty() && plan.below(8) == 0;
            let items = left.min(if is_removal { 30 } else { 150 });
            plan.chunk(is_removal, items);
            left -= items;
        }
        plan
    }

    /// A random number below a limit.
    fn below(&mut self, limit: u64) -> u64 {
        next_random(&mut self.random) % limit
    }

    /// Adds a chunk of distinct products of one lane.
    fn chunk(&mut self, is_removal: bool, items: usize) {
        let lane = self.below(LANES);
        let mut products = BTreeSet::new();
        while products.len() < items {
            // 1,200 products a lane, so that each gets several versions.
            products.insert(lane + LANES * self.below(1200));
        }
        let operation = if is_removal { Operation::DeleteDocuments } else { Operation::AddDocuments };
        let line = |product| if is_removal { self.removal(product) } else { self.document(product) };
        let lines = products.into_iter().map(line).collect();
        self.chunks.push(Chunk { lane: lane as u16, operation, lines });
    }

    /// A line to add the product, with an outcome drawn at random, which is counted.
    fn document(&mut self, product: u64) -> String {
        let stored = self.held.get(&product).cloned();
        let newest = self.newest.entry(product).or_default();
        *newest += 1;
        let next = *newest;
        let (mut version, mut title) = (next, format!("Mug {product} of {next}"));
        let mut extra = json!({});
        match (self.below(100), stored) {
            (0, _) => {
                // Not JSON: the rest of the line is missing.
                self.counts.skipped += 1;
                return format!("{{\"_id\":\"p{product}\",");
            }
            (1..4, _) => {
                // The validator refuses it.
                self.counts.failed += 1;
                extra = json!({ "bad": true });
            }
            (4..7, _) => {
                // No Marqo server accepts an array of numbers.
                self.counts.failed += 1;
                extra = json!({ "sizes": [1, 2] });
            }
            (7..15, Some((stored, _))) if stored > 1 => {
                // Older than what the index holds.
                self.counts.conflict += 1;
                version = stored - 1;
            }
            (15..22, Some((stored, _))) => {
                // The same version with other content.
                self.counts.conflict += 1;
                version = stored;
            }
            (22..28, Some((stored, same))) => {
                // The same version and content again: as this job itself wrote it, it counts as processed.
                self.counts.processed += 1;
                (version, title) = (stored, same);
            }
            _ => {
                self.counts.processed += 1;
                self.held.insert(product, (version, title.clone()));
            }
        }
        let mut fields = json!({ "_id": format!("p{product}"), "v": version, "title": title });
        fields.as_object_mut().unwrap().extend(extra.as_object().cloned().unwrap());
        fields.to_string()
    }

    /// A line to remove the product; its outcome is counted.
    fn removal(&mut self, product: u64) -> String {
        let newest = self.newest.entry(product).or_default();
        *newest += 1;
        let mut version = *newest;
        match self.held.get(&product) {
            // Older than what the index holds.
            Some((stored, _)) if *stored > 1 && *stored % 3 == 0 => {
                self.counts.conflict += 1;
                version = stored - 1;
            }
            _ => {
                self.counts.processed += 1;
                self.counts.deleted += 1;
                self.held.remove(&product);
            }
        }
        json!({ "_id": format!("p{product}"), "v": version }).to_string()
    }
}
