//! Which products and documents a job published, as one small object beside its chunks. Archiving, which removes what
//! a full sync did not have, reads it when the chunks are gone.

use host_core::{
    model::{Digest, DocumentId, Job, Operation, ProductId},
    storage::{Chunks, StoreError},
};
use std::collections::{BTreeSet, HashSet};

/// The object's first bytes, with the version of its format.
const MAGIC: &[u8] = b"host ids 1\n";

/// Bytes of an id's SHA-256 that are kept. With 2^40 values and a million ids, a product that vanished from the shop
/// is mistaken for one that is there with a probability of one in a million; then it stays in the index.
const BYTES: usize = 5;

/// The first bytes of an id's digest, in place of the id.
type ShortDigest = [u8; BYTES];

fn short(id: &str) -> ShortDigest {
    let bytes = Digest::of(id.as_bytes()).prefix().to_be_bytes();
    std::array::from_fn(|at| bytes[at])
}

/// A set of ids. Two that share a digest are taken for one, so that the one which is missing stays in the index.
#[derive(Debug, Default)]
pub(crate) struct IdSet(HashSet<ShortDigest>);

impl IdSet {
    pub(crate) fn insert(&mut self, id: &str) {
        self.0.insert(short(id));
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.0.contains(&short(id))
    }
}

/// The ids of the products and documents that a job published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobIds {
    /// Of chunks that add or update documents, and of unchanged products, which are in no chunk.
    added: Ids,
    /// Of chunks that delete documents.
    removed: Ids,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ids {
    products: Vec<ShortDigest>,
    documents: Vec<ShortDigest>,
}

/// The key of the object with a job's ids.
fn key(job: &Job) -> String {
    format!("{}/ids.bin", job.folder())
}

impl JobIds {
    /// Adds a document or removal that the job publishes.
    pub(crate) fn add(&mut self, operation: Operation, product: &ProductId, document: &DocumentId) {
        let ids = if operation == Operation::DeleteDocuments { &mut self.removed } else { &mut self.added };
        let product = short(product.as_str());
        if ids.products.last() != Some(&product) {
            ids.products.push(product);
        }
        ids.documents.push(short(document.as_str()));
    }

    /// Adds a product that is in no chunk, because it is unchanged.
    pub(crate) fn add_unchanged(&mut self, product: &str, documents: &BTreeSet<DocumentId>) {
        self.added.products.push(short(product));
        self.added.documents.extend(documents.iter().map(|document| short(document.as_str())));
    }

    /// Stores them and returns the object's digest, which the job's seal then holds. The same chunks always make the
    /// same bytes.
    pub async fn store(mut self, chunks: &dyn Chunks, job: &Job) -> Result<Digest, StoreError> {
        for ids in self.lists_mut() {
            ids.sort_unstable();
            ids.dedup();
        }
        let bytes = self.to_bytes();
        chunks.put(&key(job), &bytes).await?;
        Ok(Digest::of(&bytes))
    }

    /// Reads those of a job whose seal holds this digest. The inner error is the key of the object, if it is not
    /// there or is of another format.
    pub(crate) async fn read(
        chunks: &dyn Chunks,
        job: &Job,
        digest: Digest,
    ) -> Result<Result<Self, String>, StoreError> {
        let key = key(job);
        let bytes = chunks.get(&key, Some(digest)).await?;
        Ok(bytes.and_then(|bytes| Self::parse(&bytes)).ok_or(key))
    }

    /// Adds them to `products` and `documents`, those of removals only if `with_removals`: a full sync has listed what it
    /// removed itself, but what a later job removed is not in the shop.
    pub(crate) fn add_to(self, products: &mut IdSet, documents: &mut IdSet, with_removals: bool) {
        let removed = with_removals.then_some(self.removed);
        for ids in [self.added].into_iter().chain(removed) {
            products.0.extend(ids.products);
            documents.0.extend(ids.documents);
        }
    }

    /// The lists in the order in which they are stored.
    fn lists_mut(&mut self) -> [&mut Vec<ShortDigest>; 4] {
        let Self { added, removed } = self;
        [&mut added.products, &mut added.documents, &mut removed.products, &mut removed.documents]
    }

    /// [`MAGIC`], then each list: its length as a big-endian `u64`, and its digests.
    fn to_bytes(&self) -> Vec<u8> {
        let Self { added, removed } = self;
        let mut bytes = MAGIC.to_vec();
        for ids in [&added.products, &added.documents, &removed.products, &removed.documents] {
            bytes.extend((ids.len() as u64).to_be_bytes());
            bytes.extend(ids.as_flattened());
        }
        bytes
    }

    /// `None` for bytes of another format, too few or too many.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut ids = Self::default();
        for list in ids.lists_mut() {
            let (count, after) = rest.split_first_chunk()?;
            let count = usize::try_from(u64::from_be_bytes(*count)).ok()?;
            let (of_list, after) = after.split_at_checked(count.checked_mul(BYTES)?)?;
            *list = of_list.as_chunks().0.to_vec();
            rest = after;
        }
        rest.is_empty().then_some(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::storage::Storage;
    use host_testing::{VirtualClock, build, storage::Memory};
    use std::sync::Arc;

    #[tokio::test]
    async fn ids_are_stored_in_any_order_and_found_again_removed_ones_on_request() {
        let clock = Arc::new(VirtualClock::new(1));
        let chunks = Memory::new(clock.clone()).stores().chunks;
        let job = build::job(&*clock, "shop");
        let (mut ids, mut again) = (JobIds::default(), JobIds::default());
        let add = |ids: &mut JobIds, number: u64| {
            let operation =
                if number.is_multiple_of(3) { Operation::DeleteDocuments } else { Operation::AddDocuments };
            let product = ProductId::new(format!("p{}", number / 2)).unwrap();
            ids.add(operation, &product, &build::id(&format!("d{number}")));
        };
        (0..1_000).for_each(|number| add(&mut ids, number));
        (0..1_000).rev().chain(0..500).for_each(|number| add(&mut again, number));
        let digest = ids.store(&*chunks, &job).await.unwrap();
        assert_eq!(again.store(&*chunks, &job).await.unwrap(), digest, "in any order");
        for (with_removals, expected) in [(true, [true, true]), (false, [true, false])] {
            let ids = JobIds::read(&*chunks, &job, digest).await.unwrap().unwrap();
            let (mut products, mut documents) = (IdSet::default(), IdSet::default());
            ids.add_to(&mut products, &mut documents, with_removals);
            assert_eq!(["d1", "d999"].map(|id| documents.contains(id)), expected);
            assert!(products.contains("p0") && !products.contains("p500") && !documents.contains("d1000"));
        }
        chunks.delete(&key(&job)).await.unwrap();
        assert_eq!(JobIds::read(&*chunks, &job, digest).await.unwrap(), Err(key(&job)));
    }

    #[test]
    fn bytes_of_another_version_or_cut_ones_are_not_read() {
        let mut ids = JobIds::default();
        ids.add(Operation::AddDocuments, &ProductId::new("p").unwrap(), &build::id("d"));
        let bytes = ids.to_bytes();
        assert_eq!(JobIds::parse(&bytes), Some(ids));
        for end in 0..bytes.len() {
            assert_eq!(JobIds::parse(&bytes[..end]), None, "{end}");
        }
        let newer = [b"host ids 2\n", &bytes[MAGIC.len()..]].concat();
        assert_eq!(JobIds::parse(&newer), None);
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(JobIds::parse(&longer), None);
    }
}
