//! Runs one ingest: products in, chunks out, sealed at the end.

use super::{
    chunk::{ChunkBounds, Chunker},
    publish::{PublishError, Publisher},
    refused::Refused,
};
use crate::{
    model::{Class, Counts, Entry, Job, Manifest, Operation, Product, Seal, Severity, SourceStats},
    plugin::{BatchFailure, ProductOutcome, Transform},
    store::{StoreError, Stores},
};
use futures::{StreamExt, TryStreamExt};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use tokio::sync::mpsc;

/// What the reader hands on: one product, or one line that cannot become one.
#[derive(Debug)]
pub enum Item {
    /// A complete product.
    Product(Product),
    /// A line that was skipped.
    Refused(Entry),
}

/// A batch of items in export order; the end of the export carries what was read.
#[derive(Debug)]
pub enum Read {
    /// The next items.
    Items(Vec<Item>),
    /// Nothing more comes.
    End(SourceStats),
}

/// Why an ingest stopped before its seal. The same command goes on.
#[derive(Debug, thiserror::Error)]
pub enum IngestFault {
    /// The export could not be read.
    #[error(transparent)]
    Read(#[from] Box<dyn std::error::Error + Send + Sync>),
    /// The plug-in refused a whole batch.
    #[error(transparent)]
    Plugin(#[from] BatchFailure),
    /// A chunk could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The reader stopped without saying why.
    #[error("the reader of the export stopped before its end")]
    ReaderStopped,
}

/// How documents become chunks, and how many batches are transformed at once.
#[derive(Clone, Copy, Debug)]
pub struct IngestSettings {
    /// When a chunk is full.
    pub bounds: ChunkBounds,
    /// Number of lanes.
    pub lanes: u16,
    /// Batches under way at once.
    pub batches: usize,
}

/// How far an ingest is, for whoever watches.
#[derive(Debug, Default)]
pub struct Published {
    /// Documents and removals made.
    pub documents: AtomicU64,
    /// Chunks published.
    pub chunks: AtomicU64,
    /// Items refused.
    pub refused: AtomicU64,
}

/// Transforms what `reads` brings, in order, publishes the chunks and seals the job.
///
/// Idempotent: after an interruption the whole ingest is run again with the same job, and meets its own chunks.
pub async fn ingest(
    stores: &Stores,
    job: &Job,
    transform: &Arc<dyn Transform>,
    settings: IngestSettings,
    reads: mpsc::Receiver<Result<Read, IngestFault>>,
    progress: &Published,
) -> Result<Seal, IngestFault> {
    stores.jobs.create(job).await?;
    let mut sink = Sink {
        chunker: Chunker::new(settings.bounds, settings.lanes),
        publisher: Publisher::new(stores, job),
        refused: Refused::new(stores, job),
        items: 0,
        progress,
    };
    let mut source = None;
    let reads =
        futures::stream::unfold(reads, async |mut reads| reads.recv().await.map(|read| (read, reads)));
    // Batches are transformed side by side, their answers taken in order: chunks are the same on any number of cores.
    let mut batches = reads
        .map(|read| async {
            match read? {
                Read::Items(items) => transform_items(transform.as_ref(), items).await.map(Step::Items),
                Read::End(stats) => Ok(Step::End(stats)),
            }
        })
        .buffered(settings.batches.max(1))
        .boxed();
    while let Some(step) = batches.try_next().await? {
        match step {
            Step::Items(items) => {
                for item in items {
                    sink.take(item, transform.manifest()).await?;
                }
            }
            Step::End(stats) => source = Some(stats),
        }
    }
    drop(batches);
    let source = source.ok_or(IngestFault::ReaderStopped)?;
    let seal = sink.finish(source).await?;
    stores.jobs.seal(&job.id, &seal).await?;
    Ok(seal)
}

enum Step {
    Items(Vec<Made>),
    End(SourceStats),
}

enum Made {
    Product(Product, ProductOutcome),
    Refused(Entry),
}

async fn transform_items(transform: &dyn Transform, items: Vec<Item>) -> Result<Vec<Made>, IngestFault> {
    // Entries keep their place among the products, so that reports are in export order.
    let mut entries = Vec::new();
    let mut products = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Item::Product(product) => products.push(product),
            Item::Refused(entry) => entries.push((products.len(), entry)),
        }
    }
    let outcomes = if products.is_empty() { Vec::new() } else { transform.transform(products).await? };
    let mut made = Vec::with_capacity(outcomes.len() + entries.len());
    let mut entries = entries.into_iter().peekable();
    for (position, (product, outcome)) in outcomes.into_iter().enumerate() {
        while let Some((_, entry)) = entries.next_if(|(before, _)| *before <= position) {
            made.push(Made::Refused(entry));
        }
        made.push(Made::Product(product, outcome));
    }
    made.extend(entries.map(|(_, entry)| Made::Refused(entry)));
    Ok(made)
}

struct Sink<'a> {
    chunker: Chunker,
    publisher: Publisher<'a>,
    refused: Refused<'a>,
    /// Documents and removals.
    items: u64,
    progress: &'a Published,
}

impl Sink<'_> {
    async fn take(&mut self, made: Made, plugin: &Manifest) -> Result<(), IngestFault> {
        match made {
            Made::Refused(entry) => self.refuse(entry).await,
            Made::Product(product, outcome) => self.take_product(product, outcome, plugin).await,
        }
    }

    async fn take_product(
        &mut self,
        product: Product,
        outcome: ProductOutcome,
        plugin: &Manifest,
    ) -> Result<(), IngestFault> {
        let ProductOutcome { documents, removals, issues, refused } = outcome;
        let place = |mut entry: Entry| {
            entry.line = Some(product.line);
            match &product.id {
                Some(id) => entry.with("product", id.as_str()),
                None => entry,
            }
        };
        for issue in issues.into_iter().filter(|issue| issue.severity == Severity::Warning) {
            let entry = Entry {
                path: issue.path,
                plugin: Some(plugin.reference()),
                ..Entry::new(Class::Warning, issue.code, issue.message)
            };
            self.refuse(place(entry)).await?;
        }
        if let Some(refusal) = refused {
            return self.refuse(place(refusal.into_entry(plugin))).await;
        }
        if documents.is_empty() && removals.is_empty() {
            let message = "the plug-in made neither a document nor a removal of this product";
            let entry = Entry {
                plugin: Some(plugin.reference()),
                ..Entry::new(Class::Skipped, "no-document", message)
            };
            return self.refuse(place(entry)).await;
        }
        // Removals first: a plug-in that replaces a document by others of the same id means the new ones to stay.
        for removal in removals {
            self.push(Operation::DeleteDocuments, removal.id, &removal.version).await?;
        }
        for document in documents {
            self.push(Operation::AddDocuments, document.id, &document.fields).await?;
        }
        Ok(())
    }

    async fn refuse(&mut self, entry: Entry) -> Result<(), IngestFault> {
        if entry.class != Class::Warning {
            self.progress.refused.fetch_add(1, Relaxed);
        }
        Ok(self.refused.add(entry).await?)
    }

    async fn push(
        &mut self,
        operation: Operation,
        id: crate::model::DocumentId,
        object: &str,
    ) -> Result<(), IngestFault> {
        self.items += 1;
        self.progress.documents.fetch_add(1, Relaxed);
        for full in self.chunker.push(operation, id, object) {
            self.publisher.publish(full).await?;
            self.progress.chunks.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    async fn finish(mut self, source: SourceStats) -> Result<Seal, IngestFault> {
        for full in self.chunker.finish() {
            self.publisher.publish(full).await?;
            self.progress.chunks.fetch_add(1, Relaxed);
        }
        let (refused, samples, reports): (Counts, _, _) = self.refused.finish().await?;
        let total_items = self.items + refused.total();
        Ok(Seal { chunks: self.publisher.chunks(), total_items, refused, source, samples, reports })
    }
}
