//! Which products and documents a job published, as one small object beside its chunks: archiving asks for them when the chunks are
//! gone.

use host_core::{
    model::{Digest, DocumentId, Job, Operation, ProductId},
    storage::{Chunks, StoreError},
};
use std::collections::{BTreeSet, HashSet};

/// What the object begins with.
const MAGIC: &[u8] = b"host ids 1\n";

/// Bytes of the digest of an id that are kept: of a million products, one that vanished is taken for another with a probability of
/// one to a million, and stays in the index then.
const BYTES: usize = 5;

/// Stands for an id.
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

/// The ids of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobIds {
    added: Ids,
    removed: Ids,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ids {
    products: Vec<ShortDigest>,
    documents: Vec<ShortDigest>,
}

/// The key of a job's object.
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

    /// Stores them, before the job is sealed. Repeated for the same chunks, it stores the same bytes.
    pub async fn store(mut self, chunks: &dyn Chunks, job: &Job) -> Result<Digest, StoreError> {
        for ids in self.lists_mut() {
            ids.sort_unstable();
            ids.dedup();
        }
        let bytes = self.to_bytes();
        chunks.put(&key(job), &bytes).await?;
        Ok(Digest::of(&bytes))
    }

    /// Those of a job whose seal has this digest of them. The error is the key of an object that is not there or not of this version.
    pub(crate) async fn read(
        chunks: &dyn Chunks,
        job: &Job,
        digest: Digest,
    ) -> Result<Result<Self, String>, StoreError> {
        let key = key(job);
        let bytes = chunks.get(&key, Some(digest)).await?;
        Ok(bytes.and_then(|bytes| Self::parse(&bytes)).ok_or(key))
    }

    /// Adds all of them to sets, those of removals only if `with_removals`.
    pub(crate) fn add_to(self, products: &mut IdSet, documents: &mut IdSet, with_removals: bool) {
        let removed = with_removals.then_some(self.removed);
        for ids in [self.added].into_iter().chain(removed) {
            products.0.extend(ids.products);
            documents.0.extend(ids.documents);
        }
    }

    fn lists_mut(&mut self) -> [&mut Vec<ShortDigest>; 4] {
        let Self { added, removed } = self;
        [&mut added.products, &mut added.documents, &mut removed.products, &mut removed.documents]
    }

    fn to_bytes(&self) -> Vec<u8> {
        let Self { added, removed } = self;
        let mut bytes = MAGIC.to_vec();
        for ids in [&added.products, &added.documents, &removed.products, &removed.documents] {
            bytes.extend((ids.len() as u64).to_be_bytes());
            bytes.extend(ids.as_flattened());
        }
        bytes
    }

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
    async fn ids_come_back_as_they_were_stored() {
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
