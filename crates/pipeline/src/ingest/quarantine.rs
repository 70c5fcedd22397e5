//! The quarantine: products that the plug-in refused, or on which it trapped (its WebAssembly code aborted), stored
//! beside the job's reports up to a limit of bytes. A replay reads them as the source of a new job, once the plug-in
//! is fixed.

use super::{
    retry::retry,
    run::{IngestError, SourceEvent},
};
use host_core::{
    clock::SharedClock,
    model::{Job, PluginRef, Product, QuarantinedProducts, ReportEntry, SourceStats},
    storage::{Chunks, StoreError, Stores},
};
use host_export::ExportItem;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes after which an object is written and the next one begun, so that writing and reading a quarantine takes
/// bounded memory.
const OBJECT_BYTES: usize = 4 << 20;

/// Value of [`SourceStats::grouping`] for a job whose source is a quarantine.
pub const REPLAY: &str = "replay";

/// A product in quarantine: one line of its object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedProduct {
    /// The report entry: code, message, path, and for a trap the backtrace and the last log lines.
    pub reason: ReportEntry,
    /// The plug-in that refused the product.
    pub plugin: PluginRef,
    /// Position of the product's source among those of its job, from 0.
    pub source: usize,
    /// The product as the plug-in received it.
    pub product: Product,
}

/// A quarantine cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// An object does not exist.
    #[error("quarantine object {key} is missing; run the whole export again instead")]
    Missing {
        /// The object's key.
        key: String,
    },
    /// An object does not contain quarantined products.
    #[error("quarantine object {key} is corrupt; run the whole export again instead")]
    Corrupt {
        /// The object's key.
        key: String,
        /// The first parse error.
        source: serde_json::Error,
    },
    /// The objects contain fewer or more products than the job's seal states.
    #[error(
        "the quarantine ending with object {key} has {found} products instead of {expected}; run the whole export \
         again instead"
    )]
    Incomplete {
        /// Key of the last object.
        key: String,
        /// Number of products in the objects.
        found: u64,
        /// Number of products in the seal.
        expected: u64,
    },
}

/// The key of one of a job's quarantine objects, which are numbered from 0.
fn key(job: &Job, object: u32) -> String {
    format!("{}/quarantine_{object:04}.ndjson", job.folder())
}

/// Writes the quarantine of one ingest.
pub(super) struct QuarantineWriter<'a> {
    chunks: &'a dyn Chunks,
    clock: &'a SharedClock,
    job: &'a Job,
    /// How many more bytes may be stored.
    remaining_bytes: u64,
    buffer: Vec<u8>,
    written: QuarantinedProducts,
}

impl<'a> QuarantineWriter<'a> {
    /// An empty quarantine that stores at most `max_bytes`.
    pub(super) fn new(stores: &'a Stores, clock: &'a SharedClock, job: &'a Job, max_bytes: u64) -> Self {
        Self {
            chunks: stores.chunks.as_ref(),
            clock,
            job,
            remaining_bytes: max_bytes,
            buffer: Vec::new(),
            written: QuarantinedProducts::default(),
        }
    }

    /// Adds a product, or counts it as left out if it does not fit.
    pub(super) async fn add(&mut self, quarantined: &QuarantinedProduct) -> Result<(), StoreError> {
        let line = serde_json::to_vec(quarantined).expect("a quarantined product is plain data");
        let size = line.len() as u64 + 1;
        if size > self.remaining_bytes {
            self.written.left_out += 1;
            return Ok(());
        }
        self.remaining_bytes -= size;
        self.written.products += 1;
        self.buffer.extend_from_slice(&line);
        self.buffer.push(b'\n');
        if self.buffer.len() >= OBJECT_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Stores the rest and returns the totals.
    pub(super) async fn finish(&mut self) -> Result<QuarantinedProducts, StoreError> {
        self.flush().await?;
        Ok(self.written)
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        // Not put-if-absent: where a limit of memory or time was hit, an interrupted ingest may have stored other
        // products.
        let key = key(self.job, self.written.objects);
        retry(self.clock, || self.chunks.put(&key, &self.buffer)).await?;
        self.buffer.clear();
        self.written.objects += 1;
        Ok(())
    }
}

/// Reads one object of a job's quarantine; `None` if it does not exist.
pub async fn read(
    chunks: &dyn Chunks,
    job: &Job,
    object: u32,
) -> Result<Option<Vec<QuarantinedProduct>>, IngestError> {
    let key = key(job, object);
    let Some(bytes) = chunks.get(&key, None).await? else { return Ok(None) };
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let products = lines.map(serde_json::from_slice).collect::<Result<_, _>>();
    products.map(Some).map_err(|source| QuarantineError::Corrupt { key, source }.into())
}

/// Reads one object of a sealed job's quarantine, which must exist.
pub async fn read_sealed(
    chunks: &dyn Chunks,
    job: &Job,
    object: u32,
) -> Result<Vec<QuarantinedProduct>, IngestError> {
    let missing = || QuarantineError::Missing { key: key(job, object) };
    Ok(read(chunks, job, object).await?.ok_or_else(missing)?)
}

/// Starts a task that sends a job's quarantine as the source of an ingest, object by object; the channel holds `ahead`
/// batches. It sends an error unless all products are there.
pub fn start(
    chunks: Arc<dyn Chunks>,
    job: Job,
    quarantined: QuarantinedProducts,
    ahead: usize,
) -> mpsc::Receiver<Result<SourceEvent, IngestError>> {
    let (sender, receiver) = mpsc::channel(ahead.max(1));
    tokio::spawn(async move {
        let end = send_products(chunks.as_ref(), &job, quarantined, &sender).await;
        let _receiver_gone = sender.send(end.map(SourceEvent::End)).await;
    });
    receiver
}

async fn send_products(
    chunks: &dyn Chunks,
    job: &Job,
    quarantined: QuarantinedProducts,
    sender: &mpsc::Sender<Result<SourceEvent, IngestError>>,
) -> Result<SourceStats, IngestError> {
    let mut stats = SourceStats { grouping: REPLAY.to_owned(), ..SourceStats::default() };
    for object in 0..quarantined.objects {
        let mut products = read_sealed(chunks, job, object).await?.into_iter().peekable();
        while products.peek().is_some() {
            let items: Vec<ExportItem> = products
                .by_ref()
                .take(super::reader::BATCH_ITEMS)
                .map(|QuarantinedProduct { source, product, .. }| {
                    stats.products += 1;
                    stats.lines += product.text.lines().count() as u64;
                    stats.bytes += product.text.len() as u64;
                    ExportItem::Product { source, product, is_damaged: false }
                })
                .collect();
            if sender.send(Ok(SourceEvent::Items(items))).await.is_err() {
                return Ok(stats);
            }
        }
    }
    let (found, expected) = (stats.products, quarantined.products);
    if found != expected {
        let key = key(job, quarantined.objects.saturating_sub(1));
        return Err(QuarantineError::Incomplete { key, found, expected }.into());
    }
    Ok(stats)
}
