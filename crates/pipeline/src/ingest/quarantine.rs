//! Products that a plug-in trapped on or refused: kept beside the job's reports with all that is known of them, in bounded size,
//! and fed again to a plug-in that has been mended.

use super::run::{IngestFault, Read};
use host_core::{
    model::{Entry, Job, PluginRef, Product, Quarantined, SourceStats},
    storage::{Chunks, StoreError, Stores},
};
use host_export::Item;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::mpsc;

/// An object is closed at this size, so that writing and reading a quarantine takes bounded memory.
const OBJECT_BYTES: usize = 4 << 20;

/// What [`SourceStats::grouping`] says of a job that was fed from a quarantine.
pub const REPLAY: &str = "replay";

/// A product in quarantine: one line of its object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What the job's report says of it: code, message, path, and of a trap its backtrace and the last log lines.
    pub reason: Entry,
    /// The plug-in that refused it.
    pub plugin: PluginRef,
    /// Position of its source among the job's.
    pub source: usize,
    /// The product as the plug-in got it.
    pub product: Product,
}

/// A quarantined product cannot be had again.
#[derive(Debug, thiserror::Error)]
#[error("the quarantine object {key} is {what}; run the whole export again instead")]
pub struct Lost {
    key: String,
    what: String,
}

fn key(job: &Job, object: u32) -> String {
    format!("{}/quarantine_{object:04}.ndjson", job.folder())
}

/// Collects the products of one ingest.
pub(super) struct Quarantine<'a> {
    chunks: &'a dyn Chunks,
    job: &'a Job,
    /// Bytes that may still be kept.
    room: u64,
    open: Vec<u8>,
    kept: Quarantined,
}

impl<'a> Quarantine<'a> {
    /// Nothing kept yet, and room for so many bytes.
    pub(super) fn new(stores: &'a Stores, job: &'a Job, room: u64) -> Self {
        Self { chunks: stores.chunks.as_ref(), job, room, open: Vec::new(), kept: Quarantined::default() }
    }

    /// Keeps a product, or counts it as left out if there is no room for it.
    pub(super) async fn keep(&mut self, kept: &Kept) -> Result<(), StoreError> {
        let line = serde_json::to_vec(kept).expect("what is kept is plain data");
        let size = line.len() as u64 + 1;
        if size > self.room {
            self.kept.left_out += 1;
            return Ok(());
        }
        self.room -= size;
        self.kept.products += 1;
        self.open.extend_from_slice(&line);
        self.open.push(b'\n');
        if self.open.len() >= OBJECT_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Stores what is not stored yet; gives what was kept.
    pub(super) async fn finish(&mut self) -> Result<Quarantined, StoreError> {
        self.flush().await?;
        Ok(self.kept)
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        if self.open.is_empty() {
            return Ok(());
        }
        // Not put-if-absent: where memory or time ran out, an interrupted ingest may have kept others.
        self.chunks.put(&key(self.job, self.kept.objects), &self.open).await?;
        self.open.clear();
        self.kept.objects += 1;
        Ok(())
    }
}

/// The products of one object of a job's quarantine; none if there is no such object.
pub async fn read(chunks: &dyn Chunks, job: &Job, object: u32) -> Result<Option<Vec<Kept>>, IngestFault> {
    let key = key(job, object);
    let Some(bytes) = chunks.get(&key, None).await? else { return Ok(None) };
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let kept = lines.map(serde_json::from_slice).collect::<Result<_, _>>();
    kept.map(Some).map_err(|error| Lost { key, what: format!("damaged: {error}") }.into())
}

/// The products of one object of a sealed job's quarantine, which must be there.
pub async fn read_sealed(chunks: &dyn Chunks, job: &Job, object: u32) -> Result<Vec<Kept>, IngestFault> {
    let missing = || Lost { key: key(job, object), what: "gone".to_owned() };
    Ok(read(chunks, job, object).await?.ok_or_else(missing)?)
}

/// Feeds a job's quarantine to an ingest, object by object; the channel holds `ahead` batches. Fails unless everything that was kept
/// is there.
pub fn start(
    chunks: Arc<dyn Chunks>,
    job: Job,
    quarantined: Quarantined,
    ahead: usize,
) -> mpsc::Receiver<Result<Read, IngestFault>> {
    let (sender, receiver) = mpsc::channel(ahead.max(1));
    tokio::spawn(async move {
        let end = feed(chunks.as_ref(), &job, quarantined, &sender).await;
        let _receiver_gone = sender.send(end.map(Read::End)).await;
    });
    receiver
}

async fn feed(
    chunks: &dyn Chunks,
    job: &Job,
    quarantined: Quarantined,
    sender: &mpsc::Sender<Result<Read, IngestFault>>,
) -> Result<SourceStats, IngestFault> {
    let mut stats = SourceStats { grouping: REPLAY.to_owned(), ..SourceStats::default() };
    for object in 0..quarantined.objects {
        let mut kept = read_sealed(chunks, job, object).await?.into_iter().peekable();
        while kept.peek().is_some() {
            let items: Vec<Item> = kept
                .by_ref()
                .take(super::reader::BATCH_ITEMS)
                .map(|Kept { source, product, .. }| {
                    stats.products += 1;
                    stats.lines += product.text.lines().count() as u64;
                    stats.bytes += product.text.len() as u64;
                    Item::Product { source, product }
                })
                .collect();
            if sender.send(Ok(Read::Items(items))).await.is_err() {
                return Ok(stats);
            }
        }
    }
    if stats.products != quarantined.products {
        let what = format!("not whole: {} products of {} are there", stats.products, quarantined.products);
        return Err(Lost { key: key(job, quarantined.objects.saturating_sub(1)), what }.into());
    }
    Ok(stats)
}
