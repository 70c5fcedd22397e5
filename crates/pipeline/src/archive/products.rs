//! Reads which products a job's export had: those that the job published, and those that the plug-in refused.

use super::ArchiveError;
use crate::ids::{IdSet, JobIds};
use futures::{StreamExt, TryStreamExt, stream};
use host_core::{
    model::{EntryClass, Operation, ProductId, ReportEntry},
    report_codes::INCOMPLETE_PRODUCT,
    storage::{JobSnapshot, StoreError, Stores},
};
use serde::Deserialize;
use std::borrow::Cow;

/// Number of chunks that are read concurrently.
const READS: usize = 8;

/// The part of a chunk's line that says which document and product it is about.
#[derive(Deserialize)]
struct PublishedLine<'a> {
    #[serde(rename = "_id")]
    document: &'a str,
    #[serde(rename = "_mq_product")]
    product: Option<Cow<'a, str>>,
}

impl PublishedLine<'_> {
    /// The product that the document belongs to. A line without one is about a product with the document's id.
    fn product(&self) -> &str {
        self.product.as_deref().unwrap_or(self.document)
    }
}

/// Adds the ids of what a job has published to `products` and `documents`, those of its removals only if
/// `with_removals`.
pub(super) async fn published(
    stores: &Stores,
    job: &JobSnapshot,
    products: &mut IdSet,
    documents: &mut IdSet,
    with_removals: bool,
) -> Result<(), ArchiveError> {
    match job.seal.as_ref().and_then(|seal| seal.ids) {
        Some(digest) => {
            let ids = JobIds::read(stores.chunks.as_ref(), &job.job, digest).await?;
            let ids = ids.map_err(|key| ArchiveError::ObjectMissing { key })?;
            ids.add_to(products, documents, with_removals);
            Ok(())
        }
        None => published_chunks(stores, job, products, documents, with_removals).await,
    }
}

/// Like [`published`], from the chunks of a job that stored no list of its ids. Rows and objects of a sealed job must
/// all be there: what is lost would count as absent from the export.
async fn published_chunks(
    stores: &Stores,
    job: &JobSnapshot,
    products: &mut IdSet,
    documents: &mut IdSet,
    with_removals: bool,
) -> Result<(), ArchiveError> {
    let read = |seq| async move {
        let Some(chunk) = stores.jobs.chunk(&job.job.id, seq).await? else { return Ok(None) };
        if chunk.operation == Operation::DeleteDocuments && !with_removals {
            return Ok(Some((chunk.key, Some(Vec::new()))));
        }
        let bytes = stores.chunks.get(&chunk.key, Some(chunk.sha256)).await?;
        Ok::<_, StoreError>(Some((chunk.key, bytes)))
    };
    let mut chunks = stream::iter(0..job.chunks).map(read).buffered(READS);
    while let Some(read) = chunks.try_next().await? {
        let Some((key, bytes)) = read else {
            // An ingest that crashed may have counted a chunk before it stored the chunk's row.
            if job.seal.is_none() {
                continue;
            }
            return Err(ArchiveError::ObjectMissing { key: format!("a chunk of job {}", job.job.id) });
        };
        let Some(bytes) = bytes else { return Err(ArchiveError::ObjectMissing { key }) };
        for line in lines(&bytes) {
            let line: PublishedLine<'_> = serde_json::from_slice(line)
                .map_err(|source| ArchiveError::Line { key: key.clone(), source })?;
            products.insert(line.product());
            documents.insert(line.document);
        }
    }
    Ok(())
}

/// The products that the plug-in refused in a job's ingest.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Those with an id.
    pub(super) products: Vec<ProductId>,
    /// Number of products without an id: which documents are theirs is not known.
    pub(super) unidentified: u64,
}

/// Reads from a job's reports which products the job refused: they are in no chunk, but the shop has them.
pub(super) async fn refused(stores: &Stores, job: &JobSnapshot) -> Result<Refused, ArchiveError> {
    let mut refused = Refused::default();
    for key in job.seal.iter().flat_map(|seal| &seal.reports) {
        let bytes = stores.chunks.get(key, None).await?;
        let Some(bytes) = bytes else { return Err(ArchiveError::ObjectMissing { key: key.clone() }) };
        for line in lines(&bytes) {
            let entry: ReportEntry = serde_json::from_slice(line)
                .map_err(|source| ArchiveError::Line { key: key.clone(), source })?;
            // Entries of other classes are about products that became no document on purpose; most of those without a
            // plug-in are about lines of the export, which have no product.
            let is_of_product = entry.plugin.is_some() || entry.code == INCOMPLETE_PRODUCT;
            if entry.class != EntryClass::Failed || !is_of_product {
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

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}
