//! The port to stored objects: chunks (JSON Lines with some of a job's documents), reports, and products kept for a
//! replay.

use super::{StoreError, async_trait};
use crate::model::Digest;

/// The result of [`Chunks::put_if_absent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object was not there and is now.
    Created,
    /// The object was there with the same bytes: written by an earlier attempt.
    AlreadyExists,
    /// The object was there with other bytes and was not changed.
    ContentMismatch,
}

/// Objects under keys like `shopify/example.myshopify.com/bulk/{job}/chunk_0000.jsonl`.
#[async_trait]
pub trait Chunks: Send + Sync {
    /// Stores an object unless there is one under the key. `Created` and `AlreadyExists` mean that it will be read back
    /// with these bytes even after a crash; a reader never sees half an object. Idempotent; the caller retries; may be
    /// cancelled, after which the object may be there or not.
    async fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError>;

    /// Stores an object, replacing one under the same key as a whole. For reports, which a retried chunk writes again.
    /// Idempotent; the caller retries; may be cancelled, after which either object may be there.
    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Reads an object; `None` if there is none. With a digest, bytes of another digest are an error of kind `Corrupt`.
    /// Reads only.
    async fn get(&self, key: &str, sha256: Option<Digest>) -> Result<Option<Vec<u8>>, StoreError>;

    /// Removes an object. `Ok` means that there is none. Idempotent; the caller retries; may be cancelled.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Removes objects, the first of them last: as long as that one is there, others may be there, too. `Ok` means that
    /// none is left. Idempotent; the caller retries; may be cancelled.
    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError>;

    /// Removes all objects of a shop, unless `dry_run`; returns how many there were. Idempotent: after an error or when
    /// cancelled, some are removed, and the next call removes the rest.
    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError>;
}
