//! The store of objects (chunks and reports) in memory.

use super::SharedState;
use async_trait::async_trait;
use host_core::{
    model::Digest,
    storage::{Chunks, Put, StoreError, StoreErrorKind},
};
use std::collections::btree_map::Entry;

#[async_trait]
impl Chunks for SharedState {
    async fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        Ok(match self.state().objects.entry(key.to_owned()) {
            Entry::Occupied(object) if object.get() == bytes => Put::AlreadyExists,
            Entry::Occupied(_) => Put::ContentMismatch,
            Entry::Vacant(entry) => {
                entry.insert(bytes.to_vec());
                Put::Created
            }
        })
    }

    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.state().objects.insert(key.to_owned(), bytes.to_vec());
        Ok(())
    }

    async fn get(&self, key: &str, sha256: Option<Digest>) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes = self.state().objects.get(key).cloned();
        match (&bytes, sha256) {
            (Some(bytes), Some(sha256)) if Digest::of(bytes) != sha256 => Err(StoreError {
                action: format!("reading {key}"),
                kind: StoreErrorKind::Corrupt,
                source: "its digest is another one".into(),
            }),
            _ => Ok(bytes),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.state().objects.remove(key);
        Ok(())
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        let objects = &mut self.state().objects;
        keys.iter().for_each(|key| drop(objects.remove(key)));
        Ok(())
    }

    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        let objects = &mut self.state().objects;
        // Keys are PLATFORM/SHOP/….
        let is_of_shop = |key: &String| key.split('/').nth(1) == Some(shop_id);
        let found = objects.keys().filter(|key| is_of_shop(key)).count();
        if !dry_run {
            objects.retain(|key, _| !is_of_shop(key));
        }
        Ok(found as u64)
    }
}
