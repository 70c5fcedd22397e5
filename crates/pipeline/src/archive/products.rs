//! Which products a job had: those of its chunks, and those that its report says were refused.

use super::ArchiveError;
use futures::{StreamExt, TryStreamExt, stream};
use host_core::{
    model::{EntryClass, Operation, ProductId, ReportEntry},
    storage::{JobSnapshot, StoreError, Stores},
};
use serde::Deserialize;
use std::borrow::Cow;

/// Chunks read concurrently.
const READS: usize = 8;

/// A document or removal that a job published.
#[derive(Deserialize)]
pub(super) struct PublishedLine<'a> {
    #[serde(rename = "_id")]
    pub(super) document: &'a str,
    #[serde(rename = "_mq_product")]
    product: Option<Cow<'a, str>>,
}

impl PublishedLine<'_> {
    /// The product that it belongs to.
    pub(super) fn product(&self) -> &str {
        self.product.as_deref().unwrap_or(self.document)
    }
}

/// Hands on everything that a job has published with one of these operations. Rows and objects of a sealed job must all be there:
/// what is gone would count as absent from the export.
pub(super) async fn published(
    stores: &Stores,
    job: &JobSnapshot,
    operations: &[Operation],
    mut take: impl FnMut(PublishedLine<'_>),
) -> Result<(), ArchiveError> {
    let read = |seq| async move {
        let Some(chunk) = stores.jobs.chunk(&job.job.id, seq).await? else { return Ok(None) };
        if !operations.contains(&chunk.operation) {
            return Ok(Some((chunk.key, Some(Vec::new()))));
        }
        let bytes = stores.chunks.get(&chunk.key, Some(chunk.sha256)).await?;
        Ok::<_, StoreError>(Some((chunk.key, bytes)))
    };
    let mut chunks = stream::iter(0..job.chunks).map(read).buffered(READS);
    while let Some(read) = chunks.try_next().await? {
        let Some((key, bytes)) = read else {
            // An ingest that died may have counted a chunk without adding it.
            if job.seal.is_none() {
                continue;
            }
            return Err(ArchiveError::ObjectMissing { key: format!("a chunk of job {}", job.job.id) });
        };
        let Some(bytes) = bytes else { return Err(ArchiveError::ObjectMissing { key }) };
        for line in lines(&bytes) {
            let line = serde_json::from_slice(line)
                .map_err(|source| ArchiveError::Line { key: key.clone(), source })?;
            take(line);
        }
    }
    Ok(())
}

/// What a job's ingest refused.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// The products.
    pub(super) products: Vec<ProductId>,
    /// Number of products without an id: which documents are theirs is not known.
    pub(super) unidentified: u64,
}

/// Reads which products the plug-in refused in a job: the shop has them.
pub(super) async fn refused(stores: &Stores, job: &JobSnapshot) -> Result<Refused, ArchiveError> {
    let mut refused = Refused::default();
    for key in job.seal.iter().flat_map(|seal| &seal.reports) {
        let bytes = stores.chunks.get(key, None).await?;
        let Some(bytes) = bytes else { return Err(ArchiveError::ObjectMissing { key: key.clone() }) };
        for line in lines(&bytes) {
            let entry: ReportEntry = serde_json::from_slice(line)
                .map_err(|source| ArchiveError::Line { key: key.clone(), source })?;
            // Other products are known to have no document, and entries without a plug-in are about lines, which have no product.
            if entry.class != EntryClass::Failed || entry.plugin.is_none() {
                continue;
            }
            let product = entry.details.get("product").and_then(|product| product.as_str());
            match product.and_then(|product| ProductId::new(product).ok()) {
                Some(product) => refused.products.push(product),
                None => refused.unidentified += 1,
            }
        }
    }
    Ok(refused)
}

/// Hands on the ids of the products that a job found unchanged.
pub(super) async fn unchanged(
    stores: &Stores,
    job: &JobSnapshot,
    mut take: impl FnMut(&str),
) -> Result<(), ArchiveError> {
    for key in job.seal.iter().flat_map(|seal| &seal.unchanged) {
        let bytes = stores.chunks.get(key, None).await?;
        let Some(bytes) = bytes else { return Err(ArchiveError::ObjectMissing { key: key.clone() }) };
        for line in lines(&bytes) {
            let unreadable = |_| ArchiveError::ObjectMissing { key: key.clone() };
            take(std::str::from_utf8(line).map_err(unreadable)?);
        }
    }
    Ok(())
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}
