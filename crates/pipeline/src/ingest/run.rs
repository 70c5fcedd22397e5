//! Runs one ingest: has the plug-in transform products, publishes the documents as chunks and seals the job, which
//! means that no chunk follows: from then on it can end.

use super::{
    chunk::{ChunkBounds, Chunker, PendingLine},
    publish::{PublishError, Publisher},
    quarantine::{QuarantineError, QuarantineWriter, QuarantinedProduct},
    refusals::Refusals,
    reject_log::RejectLog,
    retry::retry,
    transform::{Batch, TransformedItem, Transformer},
    unanswered::Unanswered,
    unchanged::KnownProducts,
};
use crate::{
    ids::IdSet,
    removed_shop::{ShopIsRemoved, create_job},
};
use futures::StreamExt;
use host_core::{
    clock::SharedClock,
    metrics,
    model::{
        Counts, Digest, DocumentId, EntryClass, Grouping, Job, Operation, PluginManifest, Product, ProductId,
        ReportEntry, Seal, Severity, SourceStats,
    },
    plugin::{BatchFailure, ProductOutcome, Transform, TransformedDocument, TransformedRemoval},
    storage::{StoreError, Stores},
};
use host_export::{ExportError, ExportItem, damaged_product};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What the source of an ingest sends, in export order.
#[derive(Debug)]
pub enum SourceEvent {
    /// The next batch of items.
    Items(Vec<ExportItem>),
    /// The end of the source, with its statistics.
    End(SourceStats),
}

/// The ingest stopped before the seal. Running the same command again resumes the job.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The export could not be read.
    #[error(transparent)]
    Read(#[from] ExportError),
    /// The plug-in failed on a whole batch.
    #[error(transparent)]
    Plugin(#[from] BatchFailure),
    /// A chunk could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another process took over the ingest after this one's lease expired.
    #[error(
        "another process took over the ingest because this one did not renew its lease in time; wait for the other process"
    )]
    LeaseLost,
    /// Everything of the shop is being removed.
    #[error(transparent)]
    ShopIsRemoved(#[from] ShopIsRemoved),
    /// The quarantine to replay cannot be read.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    /// The source ended without [`SourceEvent::End`] or an error.
    #[error(
        "the reader stopped before the end of the export; this is a bug in host: report it and run the command again"
    )]
    ReaderStopped,
}

impl IngestError {
    /// The code of this error in the job's record, in kebab case; it never changes.
    pub fn code(&self) -> &str {
        match self {
            Self::Read(_) => "export-unreadable",
            Self::Plugin(failure) => &failure.code,
            Self::Publish(PublishError::ContentMismatch { .. }) => "chunk-differs",
            Self::Publish(PublishError::Store(_)) | Self::Store(_) => "store-failure",
            Self::LeaseLost => "taken-over",
            Self::ShopIsRemoved(_) => "shop-removed",
            Self::Quarantine(_) => "lost-input",
            Self::ReaderStopped => "internal-error",
        }
    }
}

/// Settings of an ingest.
#[derive(Clone, Copy, Debug)]
pub struct IngestSettings {
    /// Limits of a chunk.
    pub bounds: ChunkBounds,
    /// Maximum number of batches being transformed concurrently.
    pub batches: usize,
    /// Maximum size in bytes of the quarantine, where products are kept that the plug-in refused.
    pub quarantine_bytes: u64,
}

/// Progress counters of an ingest; other threads may read them.
#[derive(Debug, Default)]
pub struct IngestProgress {
    /// Documents and removals that the plug-in returned.
    pub documents: AtomicU64,
    /// Chunks published.
    pub chunks: AtomicU64,
    /// Documents of unchanged products.
    pub unchanged: AtomicU64,
    /// Products and lines that became no document: they are in the job's report, but in no chunk.
    pub rejected: AtomicU64,
}

/// What an ingest is run with.
pub struct Ingest<'a> {
    /// Where chunks, messages and the job's record are stored.
    pub stores: &'a Stores,
    /// Time for the waits between retries.
    pub clock: &'a SharedClock,
    /// The job.
    pub job: &'a Job,
    /// Turns products into documents.
    pub transform: &'a dyn Transform,
    /// Limits of chunks, concurrency and quarantine.
    pub settings: IngestSettings,
    /// Counts what is done, for a progress display.
    pub progress: &'a IngestProgress,
}

impl Ingest<'_> {
    /// Transforms the items from `source_rx` in order, publishes the chunks and seals the job. Returns `None` if
    /// `cancel` is cancelled before the seal.
    ///
    /// Idempotent: after an interruption, run it again with the same job and source; chunks that already exist are
    /// unchanged.
    pub async fn run(
        &self,
        source_rx: mpsc::Receiver<Result<SourceEvent, IngestError>>,
        cancel: &CancellationToken,
    ) -> Result<Option<Seal>, IngestError> {
        let Self { stores, clock, job, transform, settings, progress } = *self;
        let job = &retry(clock, || create_job(stores, job)).await??;
        let mut sink = Sink {
            job,
            chunker: Chunker::new(settings.bounds, job.lanes),
            publisher: Publisher::new(stores, clock, job),
            reject_log: RejectLog::new(stores, clock, job),
            quarantine: QuarantineWriter::new(stores, clock, job, settings.quarantine_bytes),
            refusals: Refusals::new(stores, clock, job),
            unanswered: Unanswered::default(),
            published: IdSet::default(),
            unchanged: 0,
            items: 0,
            progress,
        };
        let mut stats = None;
        let known = KnownProducts::of(stores, clock, job);
        let transformer = Transformer { transform, job, known };
        let events = futures::stream::unfold(source_rx, async |mut source_rx| {
            source_rx.recv().await.map(|event| (event, source_rx))
        });
        // Batches are transformed concurrently, but consumed in order: chunks are the same on any number of cores.
        let mut batches = events
            .map(|event| async {
                Ok::<_, IngestError>(match event? {
                    SourceEvent::Items(items) => Transformed::Batch(transformer.transform(items).await?),
                    SourceEvent::End(stats) => Transformed::End(stats),
                })
            })
            .buffered(settings.batches.max(1))
            .boxed();
        // Batches are transformed while chunks are published.
        let (transformed_tx, mut transformed_rx) = mpsc::channel(1);
        let produce = async {
            let transformed_tx = transformed_tx;
            while let Some(event) = batches.next().await {
                if transformed_tx.send(event).await.is_err() {
                    return;
                }
            }
        };
        let consume = async {
            while let Some(event) = transformed_rx.recv().await {
                match event? {
                    Transformed::Batch(batch) => sink.add_batch(batch, &transformer).await?,
                    Transformed::End(end) => stats = Some(end),
                }
            }
            Ok::<_, IngestError>(())
        };
        let consume = async {
            tokio::pin!(produce, consume);
            tokio::select! {
                consumed = &mut consume => consumed,
                () = &mut produce => consume.await,
            }
        };
        let consumed = tokio::select! {
            consumed = consume => consumed.map(Some),
            () = cancel.cancelled() => Ok(None),
        };
        drop(batches);
        let ended = consumed.and_then(|all| match all {
            Some(()) => stats.map(Some).ok_or(IngestError::ReaderStopped),
            None => Ok(None),
        });
        let stats = match ended {
            Ok(Some(stats)) => stats,
            stopped => {
                // The author of the plug-in needs the refused products. A second error must not hide the first one.
                let _stored = sink.quarantine.finish().await;
                return stopped.map(|_| None);
            }
        };
        let sealing = async {
            let seal = sink.finish(clock, stats).await?;
            retry(clock, || stores.jobs.seal(&job.id, &seal)).await?;
            Ok::<_, IngestError>(seal)
        };
        let seal = tokio::select! {
            sealed = sealing => sealed?,
            () = cancel.cancelled() => return Ok(None),
        };
        metrics::count_items(&seal.ingest_counts);
        Ok(Some(seal))
    }
}

/// A [`SourceEvent`] after the plug-in has seen its products.
enum Transformed {
    Batch(Batch),
    End(SourceStats),
}

/// Position of a product in the export.
struct Position<'a> {
    source: Option<&'a str>,
    line: u64,
    product: Option<&'a str>,
}

impl<'a> Position<'a> {
    fn of(job: &'a Job, source: usize, product: &'a Product) -> Self {
        let source = job.sources.get(source).map(String::as_str);
        Self { source, line: product.line, product: product.id.as_deref() }
    }

    /// Adds the position to a report entry.
    fn locate(&self, entry: ReportEntry) -> ReportEntry {
        let mut entry = ReportEntry { line: Some(self.line), ..entry };
        for (key, value) in [("source", self.source), ("product", self.product)] {
            if let Some(value) = value {
                entry = entry.with(key, value);
            }
        }
        entry
    }
}

/// Receives the transformed items in export order: writes chunks, reports and the quarantine.
struct Sink<'a> {
    job: &'a Job,
    chunker: Chunker,
    publisher: Publisher<'a>,
    reject_log: RejectLog<'a>,
    quarantine: QuarantineWriter<'a>,
    refusals: Refusals<'a>,
    unanswered: Unanswered,
    /// Products that are in chunks. Digests stand for the ids, so another product may rarely be taken for one of
    /// these; it is then transformed although it is unchanged.
    published: IdSet,
    /// Number of documents of unchanged products.
    unchanged: u64,
    /// Number of documents and removals in chunks.
    items: u64,
    progress: &'a IngestProgress,
}

impl Sink<'_> {
    async fn add_batch(&mut self, batch: Batch, transformer: &Transformer<'_>) -> Result<(), IngestError> {
        let Batch { items, failure } = batch;
        for item in items {
            self.add(item, transformer).await?;
        }
        failure.map_or(Ok(()), |failure| Err(failure.into()))
    }

    async fn add(&mut self, item: TransformedItem, transformer: &Transformer<'_>) -> Result<(), IngestError> {
        match item {
            TransformedItem::Rejected(entry) => self.report(entry).await,
            TransformedItem::Damaged { source, product } => self.refuse_damaged(source, &product).await,
            TransformedItem::Product { source, product, source_digest, outcome } => {
                let plugin = transformer.transform.manifest();
                self.add_product(source, product, source_digest, outcome, plugin).await
            }
            TransformedItem::Unchanged { source, product, documents } => {
                let id = product.id.as_deref().unwrap_or_default();
                if self.published.contains(id) {
                    // The export has the product twice: what its other lines made of it is newer than what the ledger
                    // says.
                    let again = transformer.transform_one(source, product).await;
                    return Box::pin(self.add_batch(again, transformer)).await;
                }
                self.answered().await?;
                self.unchanged += documents.len() as u64;
                self.progress.unchanged.fetch_add(documents.len() as u64, Relaxed);
                self.chunker.note_unchanged(id, &documents);
                Ok(())
            }
        }
    }

    /// Refuses a product of which a line could not be read.
    async fn refuse_damaged(&mut self, source: usize, product: &Product) -> Result<(), IngestError> {
        let entry = Position::of(self.job, source, product).locate(damaged_product(product));
        self.refusals.add(product.id.as_deref(), &entry).await?;
        self.report(entry).await
    }

    async fn add_product(
        &mut self,
        source: usize,
        product: Product,
        source_digest: Option<Digest>,
        outcome: ProductOutcome,
        plugin: &PluginManifest,
    ) -> Result<(), IngestError> {
        let position = Position::of(self.job, source, &product);
        let ProductOutcome { documents, removals, issues, refused } = outcome;
        let (errors, warnings): (Vec<_>, Vec<_>) =
            issues.into_iter().partition(|issue| issue.severity == Severity::Error);
        // A product with warnings or removals may not be skipped: each job has to report them or carry them out again.
        let source_digest = source_digest.filter(|_| warnings.is_empty() && removals.is_empty());
        for issue in warnings {
            let entry = ReportEntry {
                path: issue.path,
                plugin: Some(plugin.reference()),
                ..ReportEntry::new(EntryClass::Warning, issue.code, issue.message)
            };
            self.report(position.locate(entry)).await?;
        }
        if let Some(refusal) = refused {
            self.answered().await?;
            let mut entry = position.locate(refusal.into_entry(plugin));
            if errors.len() > 1 {
                let messages: Vec<_> =
                    errors.iter().map(|issue| format!("{}: {}", issue.code, issue.message)).collect();
                entry = entry.with("errors", messages);
            }
            self.refusals.add(product.id.as_deref(), &entry).await?;
            let (reason, plugin) = (entry.clone(), self.job.plugin.clone());
            self.quarantine.add(&QuarantinedProduct { reason, plugin, source, product }).await?;
            return self.report(entry).await;
        }
        if documents.is_empty() && removals.is_empty() {
            let message = "the plug-in returned neither a document nor a removal for this product";
            let entry = ReportEntry {
                plugin: Some(plugin.reference()),
                ..ReportEntry::new(EntryClass::Skipped, "no-document", message)
            };
            let entry = position.locate(entry);
            let reported = self.unanswered.add(entry);
            return self.report_unanswered(reported).await;
        }
        self.answered().await?;
        let ids =
            removals.iter().map(|removal| &removal.id).chain(documents.iter().map(|document| &document.id));
        let id = product.id.and_then(|id| ProductId::new(id).ok());
        let first = || documents.first().map(|document| &document.id).or(ids.clone().next());
        let Some(id) = id.or_else(|| first().map(ProductId::from)) else { return Ok(()) };
        self.published.insert(id.as_str());
        // Beside documents, a removal concerns one that the product no longer has. Without any, the product is gone.
        let product_stays = !documents.is_empty();
        // Removals first: if a plug-in both removes and adds an id, the new document stays.
        for TransformedRemoval { id: document, version } in removals {
            let operation = Operation::DeleteDocuments;
            let new = PendingLine {
                operation,
                product: &id,
                product_stays,
                siblings: None,
                source_digest: None,
                object: &version,
            };
            self.push(document, new).await?;
        }
        let operation = self.job.operation;
        // An update does not say what its product consists of; nor does a plug-in that gets each line of a product by
        // itself.
        let is_whole = operation == Operation::AddDocuments && plugin.grouping != Grouping::WholeLines;
        let siblings: Option<Vec<DocumentId>> = is_whole.then(|| {
            let all_but_last = documents.iter().take(documents.len().saturating_sub(1));
            all_but_last.map(|document| document.id.clone()).collect()
        });
        let last = documents.len().saturating_sub(1);
        for (position, TransformedDocument { id: document, fields }) in documents.into_iter().enumerate() {
            let siblings = siblings.as_deref().filter(|_| position == last);
            let source_digest = source_digest.filter(|_| siblings.is_some());
            let (product_stays, object) = (false, fields.as_str());
            let new = PendingLine { operation, product: &id, product_stays, siblings, source_digest, object };
            self.push(document, new).await?;
        }
        Ok(())
    }

    /// Notes that the plug-in has answered for a product.
    async fn answered(&mut self) -> Result<(), IngestError> {
        let reported = self.unanswered.answered();
        self.report_unanswered(reported).await
    }

    async fn report_unanswered(&mut self, entries: Vec<ReportEntry>) -> Result<(), IngestError> {
        for entry in entries {
            let product =
                entry.details.get("product").and_then(|product| product.as_str()).map(str::to_owned);
            self.refusals.add(product.as_deref(), &entry).await?;
            self.report(entry).await?;
        }
        Ok(())
    }

    /// Adds an entry to the report.
    async fn report(&mut self, entry: ReportEntry) -> Result<(), IngestError> {
        if entry.class != EntryClass::Warning {
            self.progress.rejected.fetch_add(1, Relaxed);
        }
        Ok(self.reject_log.add(entry).await?)
    }

    async fn push(&mut self, id: DocumentId, new: PendingLine<'_>) -> Result<(), IngestError> {
        self.items += 1;
        self.progress.documents.fetch_add(1, Relaxed);
        for sealed in self.chunker.push(id, new) {
            self.publisher.publish(sealed).await?;
            self.progress.chunks.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    async fn finish(mut self, clock: &SharedClock, source: SourceStats) -> Result<Seal, IngestError> {
        for sealed in self.chunker.finish() {
            self.publisher.publish(sealed).await?;
            self.progress.chunks.fetch_add(1, Relaxed);
        }
        let reported = self.unanswered.finish();
        self.report_unanswered(reported).await?;
        self.refusals.flush().await?;
        let quarantine = self.quarantine.finish().await?;
        let (mut ingest_counts, samples, reports): (Counts, _, _) = self.reject_log.finish().await?;
        let documents = self.unchanged;
        ingest_counts += Counts { processed: documents, unchanged: documents, ..Counts::default() };
        let total_items = self.items + ingest_counts.total();
        let ids = self.chunker.into_ids();
        let ids = retry(clock, || ids.clone().store(self.publisher.objects(), self.job)).await?;
        Ok(Seal {
            chunks: self.publisher.chunks(),
            total_items,
            ingest_counts,
            source,
            samples,
            reports,
            quarantine,
            ids: Some(ids),
        })
    }
}
