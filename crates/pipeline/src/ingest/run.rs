//! Runs one ingest: products in, chunks out, sealed at the end.

use super::{
    chunk::{ChunkBounds, Chunker},
    naming::Naming,
    publish::{PublishError, Publisher},
    quarantine::{Kept, Lost, Quarantine},
    refused::Refused,
};
use futures::{StreamExt, TryStreamExt};
use host_core::{
    metrics as names,
    model::{
        Class, Counts, DocumentId, Entry, Job, Manifest, Operation, Product, Seal, Severity, SourceStats,
    },
    plugin::{BatchFailure, ProductOutcome, Transform},
    storage::{StoreError, Stores},
};
use host_export::{ExportError, Item};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

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
    Read(#[from] ExportError),
    /// The plug-in refused a whole batch.
    #[error(transparent)]
    Plugin(#[from] BatchFailure),
    /// A chunk could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another process took this one for dead and ingests instead.
    #[error("another process has taken the ingest over, because this one gave no sign of life for too long")]
    TakenOver,
    /// What is to be fed again is not there any more.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The reader stopped without saying why.
    #[error("the reader of the export stopped before its end")]
    ReaderStopped,
}

impl IngestFault {
    /// Stable kebab-case name.
    pub fn code(&self) -> &str {
        match self {
            Self::Read(_) => "export-unreadable",
            Self::Plugin(failure) => &failure.code,
            Self::Publish(PublishError::Different { .. }) => "chunk-differs",
            Self::Publish(PublishError::Store(_)) | Self::Store(_) => "store-failure",
            Self::TakenOver => "taken-over",
            Self::Lost(_) => "lost-input",
            Self::ReaderStopped => "internal-error",
        }
    }
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
    /// Bytes of refused products that are kept.
    pub quarantine_bytes: u64,
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

/// Transforms what `reads` brings, in order, publishes the chunks and seals the job; no seal if `leave` is cancelled before.
///
/// Idempotent: after an interruption the whole ingest is run again with the same job, and meets its own chunks.
pub async fn ingest(
    stores: &Stores,
    job: &Job,
    transform: &Arc<dyn Transform>,
    settings: IngestSettings,
    reads: mpsc::Receiver<Result<Read, IngestFault>>,
    progress: &Published,
    leave: &CancellationToken,
) -> Result<Option<Seal>, IngestFault> {
    stores.jobs.create(job).await?;
    let mut sink = Sink {
        job,
        chunker: Chunker::new(settings.bounds, settings.lanes),
        publisher: Publisher::new(stores, job),
        refused: Refused::new(stores, job),
        quarantine: Quarantine::new(stores, job, settings.quarantine_bytes),
        naming: Naming::default(),
        items: 0,
        progress,
    };
    let mut source = None;
    let reads =
        futures::stream::unfold(reads, async |mut reads| reads.recv().await.map(|read| (read, reads)));
    // Batches are transformed side by side, their answers taken in order: chunks are the same on any number of cores.
    let mut batches = reads
        .map(|read| async {
            Ok::<_, IngestFault>(match read? {
                Read::Items(items) => transform_items(transform.as_ref(), items).await,
                Read::End(stats) => Step::End(stats),
            })
        })
        .buffered(settings.batches.max(1))
        .boxed();
    let taking = async {
        while let Some(step) = batches.try_next().await? {
            match step {
                Step::Items(items) => {
                    for item in items {
                        sink.take(item, transform.manifest()).await?;
                    }
                }
                Step::Failed(refused, failure) => {
                    for product in refused {
                        sink.take(product, transform.manifest()).await?;
                    }
                    return Err(failure.into());
                }
                Step::End(stats) => source = Some(stats),
            }
        }
        Ok::<_, IngestFault>(())
    };
    let taken = tokio::select! {
        taken = taking => taken.map(Some),
        () = leave.cancelled() => Ok(None),
    };
    drop(batches);
    let ended = taken.and_then(|all| match all {
        Some(()) => source.map(Some).ok_or(IngestFault::ReaderStopped),
        None => Ok(None),
    });
    let source = match ended {
        Ok(Some(source)) => source,
        stopped => {
            // For whoever mends the plug-in. What stopped the ingest is worth more than why this failed as well.
            let _stored = sink.quarantine.finish().await;
            return stopped.map(|_| None);
        }
    };
    let seal = sink.finish(source).await?;
    stores.jobs.seal(&job.id, &seal).await?;
    names::count_items(&seal.refused);
    Ok(Some(seal))
}

enum Step {
    Items(Vec<Made>),
    /// A batch failed as a whole; what was refused before that.
    Failed(Vec<Made>, BatchFailure),
    End(SourceStats),
}

enum Made {
    Product { source: usize, product: Product, outcome: ProductOutcome },
    Refused(Entry),
}

async fn transform_items(transform: &dyn Transform, items: Vec<Item>) -> Step {
    // Entries keep their place among the products, so that reports are in export order.
    let mut places = Vec::with_capacity(items.len());
    let mut products = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Item::Product { source, product } => {
                places.push(Ok(source));
                products.push(product);
            }
            Item::Refused(entry) => places.push(Err(entry)),
        }
    }
    let outcomes = if products.is_empty() { Ok(Vec::new()) } else { transform.transform(products).await };
    let mut outcomes = match outcomes {
        Ok(outcomes) => outcomes.into_iter(),
        Err(mut failure) => {
            let before = places.into_iter().flatten().zip(std::mem::take(&mut failure.before));
            let refused = before.filter(|(_, (_, outcome))| outcome.refused.is_some());
            let made = |(source, (product, outcome))| Made::Product { source, product, outcome };
            return Step::Failed(refused.map(made).collect(), failure);
        }
    };
    let made = places.into_iter().map(|place| match place {
        Ok(source) => {
            let (product, outcome) = outcomes.next().expect("a transform answers each product");
            Made::Product { source, product, outcome }
        }
        Err(entry) => Made::Refused(entry),
    });
    Step::Items(made.collect())
}

/// Where a product stands in the export.
struct Place<'a> {
    source: Option<&'a str>,
    line: u64,
    product: Option<&'a str>,
}

impl Place<'_> {
    fn of(&self, entry: Entry) -> Entry {
        let mut entry = Entry { line: Some(self.line), ..entry };
        for (key, value) in [("source", self.source), ("product", self.product)] {
            if let Some(value) = value {
                entry = entry.with(key, value);
            }
        }
        entry
    }
}

struct Sink<'a> {
    job: &'a Job,
    chunker: Chunker,
    publisher: Publisher<'a>,
    refused: Refused<'a>,
    quarantine: Quarantine<'a>,
    naming: Naming,
    /// Documents and removals.
    items: u64,
    progress: &'a Published,
}

impl Sink<'_> {
    async fn take(&mut self, made: Made, plugin: &Manifest) -> Result<(), IngestFault> {
        match made {
            Made::Refused(entry) => self.refuse(entry).await,
            Made::Product { source, product, outcome } => {
                self.take_product(source, product, outcome, plugin).await
            }
        }
    }

    async fn take_product(
        &mut self,
        source: usize,
        product: Product,
        outcome: ProductOutcome,
        plugin: &Manifest,
    ) -> Result<(), IngestFault> {
        let place = Place {
            source: self.job.sources.get(source).map(String::as_str),
            line: product.line,
            product: product.id.as_deref(),
        };
        let ProductOutcome { documents, removals, issues, refused } = outcome;
        let (errors, warnings): (Vec<_>, Vec<_>) =
            issues.into_iter().partition(|issue| issue.severity == Severity::Error);
        for issue in warnings {
            let entry = Entry {
                path: issue.path,
                plugin: Some(plugin.reference()),
                ..Entry::new(Class::Warning, issue.code, issue.message)
            };
            self.refuse(place.of(entry)).await?;
        }
        if let Some(refusal) = refused {
            let mut entry = place.of(refusal.into_entry(plugin));
            if errors.len() > 1 {
                let all: Vec<_> =
                    errors.iter().map(|issue| format!("{}: {}", issue.code, issue.message)).collect();
                entry = entry.with("errors", all);
            }
            let kept = Kept { reason: entry.clone(), plugin: self.job.plugin.clone(), source, product };
            self.quarantine.keep(&kept).await?;
            return self.refuse(entry).await;
        }
        if documents.is_empty() && removals.is_empty() {
            let message = "the plug-in made neither a document nor a removal of this product";
            let entry = Entry {
                plugin: Some(plugin.reference()),
                ..Entry::new(Class::Skipped, "no-document", message)
            };
            return self.refuse(place.of(entry)).await;
        }
        let ids =
            removals.iter().map(|removal| &removal.id).chain(documents.iter().map(|document| &document.id));
        ids.for_each(|id| self.naming.look(id, &product.text));
        // Removals first: a plug-in that replaces a document by others of the same id means the new ones to stay.
        for removal in removals {
            self.push(Operation::DeleteDocuments, removal.id, &removal.version).await?;
        }
        for document in documents {
            self.push(self.job.operation, document.id, &document.fields).await?;
        }
        Ok(())
    }

    async fn refuse(&mut self, entry: Entry) -> Result<(), IngestFault> {
        if entry.class != Class::Warning {
            self.progress.refused.fetch_add(1, Relaxed);
        }
        Ok(self.refused.add(entry).await?)
    }

    async fn push(&mut self, operation: Operation, id: DocumentId, object: &str) -> Result<(), IngestFault> {
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
        let quarantine = self.quarantine.finish().await?;
        let (refused, samples, reports): (Counts, _, _) = self.refused.finish().await?;
        let total_items = self.items + refused.total();
        Ok(Seal {
            chunks: self.publisher.chunks(),
            total_items,
            refused,
            source,
            samples,
            reports,
            quarantine,
            ids_in_products: self.naming.holds(),
        })
    }
}
