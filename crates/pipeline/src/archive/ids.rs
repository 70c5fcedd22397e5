//! Which documents a job had: read from its chunks, or from the list that a full sync keeps beside them.

use super::ArchiveError;
use futures::{StreamExt, TryStreamExt, stream};
use host_core::{
    model::{Job, Operation, ProductId},
    storage::{JobSnapshot, StoreError, Stores},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Chunks read at once.
const READS: usize = 8;

/// A list's object is closed at this size, so that lists of any length are read in bounded memory.
const OBJECT_BYTES: usize = 4 << 20;

/// What a list says of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The sync had a document of it.
    Document,
    /// The sync had a removal of it; one of a newer document leaves it in the index.
    Removal,
    /// The sync did not have it, and the index had it from before.
    Before,
}

impl Mark {
    fn of(line: &str) -> Option<(Self, &str)> {
        let mark = match line.as_bytes().first()? {
            b'+' => Self::Document,
            b'-' => Self::Removal,
            b'?' => Self::Before,
            _ => return None,
        };
        Some((mark, &line[1..]))
    }

    fn byte(self) -> u8 {
        match self {
            Self::Document => b'+',
            Self::Removal => b'-',
            Self::Before => b'?',
        }
    }
}

/// An id as lists and temporary files have it: that of a document, and behind a tab its product's where that is another.
pub(super) fn with_product(document: &str, product: Option<&str>) -> String {
    match product {
        Some(product) if product != document => format!("{document}\t{product}"),
        _ => document.to_owned(),
    }
}

/// The document and the product of an id in a list.
pub(super) fn split(id: &str) -> (&str, Option<&str>) {
    id.split_once('\t').map_or((id, None), |(document, product)| (document, Some(product)))
}

/// Hands on the ids of all documents and removals that a job has published, with their products. Objects that are gone, as old ones may be,
/// are left out unless `all` of them are needed.
pub(super) async fn published(
    stores: &Stores,
    job: &JobSnapshot,
    all: bool,
    mut take: impl FnMut(Operation, &str) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let read = |seq| async move {
        let Some(chunk) = stores.jobs.chunk(&job.job.id, seq).await? else { return Ok(None) };
        let bytes = stores.chunks.get(&chunk.key, Some(chunk.sha256)).await?;
        Ok::<_, StoreError>(Some((chunk, bytes)))
    };
    let mut chunks = stream::iter(0..job.chunks).map(read).buffered(READS);
    while let Some(read) = chunks.try_next().await? {
        let Some((chunk, bytes)) = read else { continue };
        let Some(bytes) = bytes else {
            if all {
                return Err(ArchiveError::Lost { key: chunk.key });
            }
            continue;
        };
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            #[derive(Deserialize)]
            struct Line<'a> {
                #[serde(rename = "_id")]
                id: &'a str,
                #[serde(rename = "_mq_product")]
                product: Option<Cow<'a, str>>,
            }
            let line: Line<'_> = serde_json::from_slice(line)
                .map_err(|source| ArchiveError::Line { key: chunk.key.clone(), source })?;
            let product = line.product.filter(|product| ProductId::new(product.as_ref()).is_ok());
            take(chunk.operation, &with_product(line.id, product.as_deref()))?;
        }
    }
    Ok(())
}

/// Written last: a list without it is none.
#[derive(Serialize, Deserialize)]
struct End {
    objects: u32,
}

fn end_key(job: &Job) -> String {
    format!("{}/ids.json", job.folder())
}

fn object_key(job: &Job, number: u32) -> String {
    format!("{}/ids_{number:04}.txt", job.folder())
}

/// Whether a full sync has kept its list.
pub(super) async fn is_kept(stores: &Stores, job: &Job) -> Result<bool, StoreError> {
    Ok(stores.chunks.get(&end_key(job), None).await?.is_some())
}

/// Hands on the list that a full sync has kept.
pub(super) async fn kept(
    stores: &Stores,
    job: &Job,
    mut take: impl FnMut(Mark, &str) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let key = end_key(job);
    let Some(bytes) = stores.chunks.get(&key, None).await? else { return Err(ArchiveError::Lost { key }) };
    let End { objects } =
        serde_json::from_slice(&bytes).map_err(|source| ArchiveError::Line { key, source })?;
    for number in 0..objects {
        let key = object_key(job, number);
        let Some(bytes) = stores.chunks.get(&key, None).await? else {
            return Err(ArchiveError::Lost { key });
        };
        for line in String::from_utf8_lossy(&bytes).lines() {
            let (mark, id) = Mark::of(line).ok_or_else(|| ArchiveError::Lost { key: key.clone() })?;
            take(mark, id)?;
        }
    }
    Ok(())
}

/// Keeps the list of a full sync.
pub(super) struct Keeper<'a> {
    stores: &'a Stores,
    job: &'a Job,
    open: Vec<u8>,
    objects: u32,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(stores: &'a Stores, job: &'a Job) -> Self {
        Self { stores, job, open: Vec::new(), objects: 0 }
    }

    pub(super) async fn add(&mut self, mark: Mark, id: &str) -> Result<(), StoreError> {
        self.open.push(mark.byte());
        self.open.extend_from_slice(id.as_bytes());
        self.open.push(b'\n');
        if self.open.len() >= OBJECT_BYTES { self.flush().await } else { Ok(()) }
    }

    pub(super) async fn finish(mut self) -> Result<(), StoreError> {
        self.flush().await?;
        let end = serde_json::to_vec(&End { objects: self.objects }).expect("a number is plain data");
        self.stores.chunks.put(&end_key(self.job), &end).await
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        // Not put-if-absent: one that died on the way may have known other documents from before.
        self.stores.chunks.put(&object_key(self.job, self.objects), &self.open).await?;
        self.objects += 1;
        self.open.clear();
        Ok(())
    }
}
