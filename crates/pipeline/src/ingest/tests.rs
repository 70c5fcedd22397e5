//! Tests of a whole ingest on storage in memory: what it publishes, what it keeps when it stops early, and which
//! failures it outlasts.
//!
//! The fake plug-in makes a document of each word of a product's text, refuses a product `bad` and fails on a batch
//! with `stop`.

use super::{
    chunk::ChunkBounds,
    quarantine,
    run::{Ingest, IngestError, IngestProgress, IngestSettings, SourceEvent},
};
use host_core::{
    clock::SharedClock,
    model::{Digest, Job, JobId, Operation, Product, Seal, SourceStats},
    plugin::Transform,
    storage::{Storage, StoreErrorKind, Stores},
};
use host_export::ExportItem;
use host_testing::{
    VirtualClock, build,
    fakes::{FakePlugin, intercepted, refuse_first},
    storage::Memory,
};
use std::sync::{Arc, atomic::Ordering::Relaxed};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

struct Fixture {
    stores: Stores,
    clock: SharedClock,
    job: Job,
    transform: Arc<dyn Transform>,
    progress: IngestProgress,
}

impl Fixture {
    fn new() -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::new(1));
        let job = Job { full: true, lanes: 1, ..build::job(&*clock, "shop") };
        let (transform, progress) = (Arc::new(FakePlugin::default()), IngestProgress::default());
        Self { stores: Memory::new(clock.clone()).stores(), clock, job, transform, progress }
    }

    async fn ingest(
        &self,
        source_rx: mpsc::Receiver<Result<SourceEvent, IngestError>>,
        cancel: &CancellationToken,
    ) -> Result<Option<Seal>, IngestError> {
        let bounds = ChunkBounds { documents: 100, bytes: 1 << 20 };
        let settings = IngestSettings { bounds, batches: 2, quarantine_bytes: 1 << 20 };
        let Self { stores, clock, job, transform, progress } = self;
        let ingest = Ingest { stores, clock, job, transform: transform.as_ref(), settings, progress };
        ingest.run(source_rx, cancel).await
    }

    /// Line numbers of the products in quarantine.
    async fn quarantined(&self) -> Vec<u64> {
        let products = quarantine::read(self.stores.chunks.as_ref(), &self.job, 0).await.unwrap();
        products.unwrap_or_default().iter().map(|quarantined| quarantined.product.line).collect()
    }
}

/// Products with these texts, numbered by line.
fn products(texts: &[&str]) -> Result<SourceEvent, IngestError> {
    let product = |(line, text): (u64, &&str)| {
        let product = Product { text: (*text).to_owned(), line, id: None };
        ExportItem::Product { source: 0, product, is_damaged: false }
    };
    Ok(SourceEvent::Items((1..).zip(texts).map(product).collect()))
}

#[tokio::test]
async fn refused_products_are_quarantined_when_the_ingest_is_cancelled() {
    let fixture = Fixture::new();
    let (source_tx, source_rx) = mpsc::channel(2);
    let cancel = CancellationToken::new();
    let stop = async {
        source_tx.send(products(&["1", "bad", "2", "bad"])).await.unwrap();
        while fixture.progress.rejected.load(Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(fixture.ingest(source_rx, &cancel), stop);
    assert_eq!(ended.unwrap(), None);
    assert_eq!(fixture.quarantined().await, [2, 4]);
    assert_eq!(fixture.stores.jobs.get(&fixture.job.id).await.unwrap().unwrap().seal, None);
}

#[tokio::test]
async fn refused_products_are_quarantined_when_a_batch_fails_or_the_reader_stops() {
    for (texts, is_failure) in
        [(&["bad", "1", "bad", "stop", "bad"][..], true), (&["bad", "1", "bad"], false)]
    {
        let fixture = Fixture::new();
        let (source_tx, source_rx) = mpsc::channel(2);
        source_tx.send(products(texts)).await.unwrap();
        drop(source_tx);
        let error = fixture.ingest(source_rx, &CancellationToken::new()).await.unwrap_err();
        assert_eq!(matches!(error, IngestError::Plugin(_)), is_failure, "{error}");
        assert_eq!(fixture.quarantined().await, [1, 3], "{error}");
    }
}

/// The number of lanes decides which lane a product is in. While a chunk of another job waits, the store keeps that
/// job's number: with another one, a later change of a product could overtake the chunk in another lane.
#[tokio::test]
async fn documents_go_to_the_lanes_that_the_store_decides() {
    let fixture = Fixture::new();
    let waiting = Job { id: JobId::new("waiting").unwrap(), ..fixture.job.clone() };
    fixture.stores.jobs.create(&waiting).await.unwrap();
    let fixture = Fixture { job: Job { lanes: 8, ..fixture.job.clone() }, ..fixture };
    let (source_tx, source_rx) = mpsc::channel(2);
    source_tx.send(products(&["1", "2", "3", "4", "5", "6"])).await.unwrap();
    source_tx.send(Ok(SourceEvent::End(SourceStats::default()))).await.unwrap();
    drop(source_tx);
    let seal = fixture.ingest(source_rx, &CancellationToken::new()).await.unwrap().unwrap();
    assert_eq!(seal.chunks, 1);
}

/// By these names a worker knows which documents of the product it must remove from the index: all others.
#[tokio::test]
async fn the_last_document_of_a_product_names_the_others() {
    for (operation, last) in [
        (Operation::AddDocuments, r#"{"_id":"1-b","_mq_product":"1-a","_mq_siblings":["1-a"]}"#),
        // An update names none, because it does not say what a product consists of.
        (Operation::UpdateDocuments, r#"{"_id":"1-b","_mq_product":"1-a"}"#),
    ] {
        let fixture = Fixture { job: Job { operation, ..Fixture::new().job }, ..Fixture::new() };
        let (source_tx, source_rx) = mpsc::channel(2);
        source_tx.send(products(&["1-a 1-b"])).await.unwrap();
        source_tx.send(Ok(SourceEvent::End(SourceStats::default()))).await.unwrap();
        drop(source_tx);
        fixture.ingest(source_rx, &CancellationToken::new()).await.unwrap().unwrap();
        let chunk = fixture.stores.jobs.chunk(&fixture.job.id, 0).await.unwrap().unwrap();
        let bytes = fixture.stores.chunks.get(&chunk.key, None).await.unwrap().unwrap();
        let lines: Vec<&str> = std::str::from_utf8(&bytes).unwrap().lines().collect();
        assert!(lines.len() == 2 && !lines[0].contains("_mq_siblings") && lines[1] == last, "{lines:?}");
    }
}

/// Regression: one temporary failure of a store ended an ingest of hours. It now makes up to nine attempts, as a
/// worker does.
#[tokio::test]
async fn an_ingest_outlasts_eight_temporary_failures_of_each_call() {
    for call in [
        "jobs.create",
        "jobs.shop_removal",
        "ledger.get",
        "jobs.chunk",
        "chunks.put_if_absent",
        "jobs.add_chunk",
        "queue.send",
        "ledger.refuse",
        "chunks.put",
        "jobs.seal",
    ] {
        for (failures, kind, is_sealed) in [
            (8, StoreErrorKind::Transient, true),
            (9, StoreErrorKind::Transient, false),
            (1, StoreErrorKind::Permanent, false),
        ] {
            let fixture = Fixture::new();
            let (gate, calls) = refuse_first(call, failures, kind);
            // This job makes every call: it reads the ledger, publishes a chunk, and stores and reports a product
            // that the plug-in refuses.
            let transform_digest = Some(Digest::of(b"plug-in"));
            let job = Job { transform_digest, skips_unchanged: true, ..fixture.job.clone() };
            let fixture = Fixture { stores: intercepted(fixture.stores, gate), job, ..fixture };
            let (source_tx, source_rx) = mpsc::channel(2);
            let product = |line: u64, text: &str| {
                let (text, id) = (text.to_owned(), Some(format!("gid/{line}")));
                ExportItem::Product { source: 0, product: Product { text, line, id }, is_damaged: false }
            };
            source_tx.send(Ok(SourceEvent::Items(vec![product(1, "1"), product(2, "bad")]))).await.unwrap();
            source_tx.send(Ok(SourceEvent::End(SourceStats::default()))).await.unwrap();
            drop(source_tx);
            let ended = fixture.ingest(source_rx, &CancellationToken::new()).await;
            let what = format!("{call}: {failures} {kind:?}");
            assert_eq!(ended.is_ok(), is_sealed, "{what}");
            let calls = calls.load(Relaxed);
            match is_sealed {
                true => assert!(calls > failures, "{what}"),
                false => assert_eq!(calls, failures, "{what}"),
            }
            let job = fixture.stores.jobs.get(&fixture.job.id).await.unwrap();
            let seal = job.and_then(|job| job.seal);
            assert_eq!(
                seal.map(|seal| (seal.chunks, seal.ingest_counts.failed)),
                is_sealed.then_some((1, 1)),
                "{what}"
            );
        }
    }
}

/// Regression: a plug-in that cannot read an export, and so returned nothing for any product, made a job that ended as
/// COMPLETED.
#[tokio::test]
async fn an_export_that_the_plug_in_says_nothing_of_fails() {
    for (texts, failed, skipped) in
        [(&["", "", ""][..], 3, 0), (&["", "", "1", ""], 0, 3), (&["", "bad", ""], 1, 2), (&["1", ""], 0, 1)]
    {
        let fixture = Fixture::new();
        let (source_tx, source_rx) = mpsc::channel(2);
        source_tx.send(products(texts)).await.unwrap();
        source_tx.send(Ok(SourceEvent::End(SourceStats::default()))).await.unwrap();
        drop(source_tx);
        let seal = fixture.ingest(source_rx, &CancellationToken::new()).await.unwrap().unwrap();
        let counts = seal.ingest_counts;
        assert_eq!((counts.failed, counts.skipped), (failed, skipped), "{texts:?}");
        assert_eq!(seal.total_items, texts.len() as u64, "{texts:?}");
    }
}
