//! Checks of [`host_core::storage::Chunks`], the store of objects: chunks of documents, and reports.

use super::Backend;
use crate::build;
use futures::future::join_all;
use host_core::{
    model::Digest,
    storage::{Put, StoreErrorKind},
};

pub async fn an_object_is_stored_once_and_never_changed(backend: &Backend) {
    let (chunks, key) = (&backend.stores.chunks, format!("{}/bulk/chunk_0000.jsonl", backend.name("shop")));
    assert_eq!(chunks.get(&key, None).await.unwrap(), None);
    assert_eq!(chunks.put_if_absent(&key, b"one\n").await.unwrap(), Put::Created);
    assert_eq!(chunks.put_if_absent(&key, b"one\n").await.unwrap(), Put::AlreadyExists);
    assert_eq!(chunks.put_if_absent(&key, b"two\n").await.unwrap(), Put::ContentMismatch);
    assert_eq!(chunks.get(&key, None).await.unwrap().unwrap(), b"one\n");
}

pub async fn of_many_at_once_one_creates_an_object(backend: &Backend) {
    let (chunks, key) = (&backend.stores.chunks, backend.name("shop"));
    let bytes = vec![7; 100_000];
    let puts = join_all((0..16).map(|_| chunks.put_if_absent(&key, &bytes))).await;
    let created = puts.iter().filter(|put| matches!(put, Ok(Put::Created))).count();
    let same = puts.iter().filter(|put| matches!(put, Ok(Put::AlreadyExists))).count();
    assert_eq!((created, same), (1, 15), "{puts:?}");
    let other = vec![8; 100_000];
    let key = backend.name("shop");
    let puts = join_all([&bytes, &other].map(|bytes| chunks.put_if_absent(&key, bytes))).await;
    let winner = puts.iter().position(|put| matches!(put, Ok(Put::Created))).unwrap();
    assert!(matches!(puts[1 - winner], Ok(Put::ContentMismatch)));
    assert_eq!(&chunks.get(&key, None).await.unwrap().unwrap(), [&bytes, &other][winner]);
}

pub async fn a_report_is_replaced_as_a_whole(backend: &Backend) {
    let (chunks, key) = (&backend.stores.chunks, format!("reports/{}", backend.name("shop")));
    let [a, b] = [vec![b'a'; 300_000], vec![b'b'; 100_000]];
    chunks.put(&key, &a).await.unwrap();
    let write = async {
        for _ in 0..20 {
            chunks.put(&key, &b).await.unwrap();
            chunks.put(&key, &a).await.unwrap();
        }
    };
    let read = async {
        for _ in 0..60 {
            let bytes = chunks.get(&key, None).await.unwrap().unwrap();
            assert!(bytes == a || bytes == b, "half an object of {} bytes", bytes.len());
        }
    };
    futures::join!(write, read);
    assert_eq!(chunks.get(&key, None).await.unwrap().unwrap(), a);
}

pub async fn other_bytes_than_expected_are_corrupt(backend: &Backend) {
    let (chunks, key) = (&backend.stores.chunks, backend.name("shop"));
    chunks.put(&key, b"right").await.unwrap();
    assert!(chunks.get(&key, Some(Digest::of(b"right"))).await.unwrap().is_some());
    let error = chunks.get(&key, Some(Digest::of(b"wrong"))).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Corrupt);
    let absent = backend.name("shop");
    assert_eq!(chunks.get(&absent, Some(Digest::of(b"wrong"))).await.unwrap(), None);
}

pub async fn removal_succeeds_also_the_second_time(backend: &Backend) {
    let (chunks, key) = (&backend.stores.chunks, format!("{}/a/b", backend.name("shop")));
    chunks.delete(&key).await.unwrap();
    chunks.put_if_absent(&key, b"bytes").await.unwrap();
    chunks.delete(&key).await.unwrap();
    chunks.delete(&key).await.unwrap();
    assert_eq!(chunks.get(&key, None).await.unwrap(), None);
    assert_eq!(chunks.put_if_absent(&key, b"others").await.unwrap(), Put::Created);
}

pub async fn an_object_may_be_empty_or_large(backend: &Backend) {
    let chunks = &backend.stores.chunks;
    for size in [0, 1, 5 << 20] {
        let (key, bytes) = (backend.name("shop"), vec![b'x'; size]);
        chunks.put_if_absent(&key, &bytes).await.unwrap();
        assert!(chunks.get(&key, Some(Digest::of(&bytes))).await.unwrap().unwrap() == bytes);
    }
}

pub async fn many_objects_are_removed_at_once(Backend { stores, clock, .. }: &Backend) {
    let (chunks, shop) = (&stores.chunks, build::name(&**clock, "shop"));
    let key = |number: u32| format!("shopify/{shop}/bulk/job/{number:04}");
    for number in [0, 1, 2, 1_000, 1_001] {
        chunks.put(&key(number), b"x").await.unwrap();
    }
    chunks.put(&format!("{}0", key(1)), b"x").await.unwrap();
    let keys: Vec<String> = (0..1_001).map(key).collect();
    for _ in 0..2 {
        chunks.delete_all(&keys).await.unwrap();
        assert_eq!(chunks.remove_shop(&shop, true).await.unwrap(), 2, "those that were not named stay");
    }
    chunks.delete_all(&[]).await.unwrap();
}
