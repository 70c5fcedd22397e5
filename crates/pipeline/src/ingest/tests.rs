//! An ingest that stops before its end.

use super::{
    chunk::ChunkBounds,
    quarantine,
    run::{IngestError, IngestProgress, IngestSettings, SourceEvent, ingest},
};
use async_trait::async_trait;
use host_core::storage::Storage;
use host_core::{
    clock::RealEnv,
    model::{
        Digest, DocumentId, Grouping, Job, JobId, Manifest, Operation, PluginRef, Product, SameVersion, Seal,
        SourceStats,
    },
    plugin::{BatchFailure, MadeDocument, ProductOutcome, Refusal, Transform},
    storage::Stores,
};
use host_export::Item;
use host_storage_sqlite::Embedded;
use jiff::Timestamp;
use serde_json::Map;
use std::sync::{Arc, atomic::Ordering::Relaxed};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Refuses products with the text `bad` and fails the batch at the text `worse`.
struct RefusingTransform(Manifest);

#[async_trait]
impl Transform for RefusingTransform {
    fn manifest(&self) -> &Manifest {
        &self.0
    }

    async fn transform(
        &self,
        products: Vec<Product>,
    ) -> Result<Vec<(Product, ProductOutcome)>, BatchFailure> {
        let mut before = Vec::new();
        for product in products {
            let outcome = match product.text.as_str() {
                "worse" => {
                    let (plugin, code, message) = ("picky".into(), "worse".into(), "no more".into());
                    return Err(BatchFailure { plugin, code, message, stopped: true, before });
                }
                "bad" => {
                    let (code, message) = ("bad".into(), "it is bad".into());
                    let refused = Some(Refusal { code, message, path: None, details: Map::new() });
                    ProductOutcome { refused, ..ProductOutcome::default() }
                }
                id => {
                    let id = DocumentId::new(id).unwrap();
                    let documents = vec![MadeDocument { id, fields: "{}".into() }];
                    ProductOutcome { documents, ..ProductOutcome::default() }
                }
            };
            before.push((product, outcome));
        }
        Ok(before)
    }
}

struct Fixture {
    stores: Stores,
    job: Job,
    transform: Arc<dyn Transform>,
    progress: IngestProgress,
    _dir: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stores = Embedded::open(dir.path(), Arc::new(RealEnv)).unwrap().stores();
        let manifest = Manifest {
            name: "picky".into(),
            version: "1.0.0".into(),
            platform: "shopify".into(),
            grouping: Grouping::WholeLines,
            config_schema: "{}".into(),
            version_fields: Vec::new(),
        };
        let job = Job {
            id: JobId::new("job").unwrap(),
            platform: "shopify".into(),
            shop_id: "shop".into(),
            index_name: "products".into(),
            target: "catalog".into(),
            operation: Operation::AddDocuments,
            created_at: Timestamp::UNIX_EPOCH,
            plugin: PluginRef { name: "picky".into(), version: "1".into(), digest: Digest::of(b"p") },
            fingerprint: Digest::of(b"f"),
            sources: vec!["export".into()],
            same_version: SameVersion::Conflict,
            full: true,
        };
        let (transform, progress) = (Arc::new(RefusingTransform(manifest)), IngestProgress::default());
        Self { stores, job, transform, progress, _dir: dir }
    }

    async fn ingest(
        &self,
        source_rx: mpsc::Receiver<Result<SourceEvent, IngestError>>,
        cancel: &CancellationToken,
    ) -> Result<Option<Seal>, IngestError> {
        let bounds = ChunkBounds { documents: 100, bytes: 1 << 20 };
        let settings = IngestSettings { bounds, lanes: 1, batches: 2, quarantine_bytes: 1 << 20 };
        ingest(&self.stores, &self.job, &self.transform, settings, source_rx, &self.progress, cancel).await
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
        Item::Product { source: 0, product }
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
        [(&["bad", "1", "bad", "worse", "bad"][..], true), (&["bad", "1", "bad"], false)]
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

#[tokio::test]
async fn a_seal_records_whether_ids_come_from_products() {
    let (source_tx, source_rx) = mpsc::channel(2);
    source_tx.send(products(&["1", "bad", "2"])).await.unwrap();
    source_tx.send(Ok(SourceEvent::End(SourceStats::default()))).await.unwrap();
    drop(source_tx);
    let seal = Fixture::new().ingest(source_rx, &CancellationToken::new()).await.unwrap().unwrap();
    assert_eq!((seal.ids_in_products, seal.quarantine.products), (true, 1));
}
