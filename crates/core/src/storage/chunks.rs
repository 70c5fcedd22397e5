use super::{StoreError, async_trait};
use crate::model::Digest;

/// What became of a [`Chunks::put_if_absent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object was not there and is now.
    Created,
    /// The object was there with the same bytes: an earlier attempt got this far.
    AlreadySame,
    /// The object was there with other bytes and was left alone.
    AlreadyDifferent,
}

/// Immutable objects under keys like `shopify/example.myshopify.com/bulk/{job}/chunk_0000.jsonl`.
#[async_trait]
pub trait Chunks: Send + Sync {
    /// Stores an object unless there is one under the key. `Created` and `AlreadySame` mean that it will be read back
    /// with these bytes even after a crash; a reader never sees half an object.
    async fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError>;

    /// Stores an object, replacing one under the same key as a whole. For reports, which a retried chunk writes again.
    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Reads an object; `None` if there is none. With a digest, other bytes are an error of kind `Corrupt`.
    async fn get(&self, key: &str, sha256: Option<Digest>) -> Result<Option<Vec<u8>>, StoreError>;

    /// Removes an object; succeeds if there is none.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;
}
