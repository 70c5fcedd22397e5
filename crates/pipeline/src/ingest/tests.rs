//! An ingest that is stopped on its way.

use super::{
    chunk::ChunkBounds,
    quarantine,
    run::{IngestFault, IngestSettings, Published, Read, ingest},
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

/// Refuses products named `bad`, and fails at one named `worse`, having handled those before it.
struct Picky(Manifest);

#[async_trait]
impl Transform for Picky {
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

struct Bench {
    stores: Stores,
    job: Job,
    transform: Arc<dyn Transform>,
    published: Published,
    _dir: TempDir,
}

impl Bench {
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
        let (transform, published) = (Arc::new(Picky(manifest)), Published::default());
        Self { stores, job, transform, published, _dir: dir }
    }

    async fn ingest(
        &self,
        reads: mpsc::Receiver<Result<Read, IngestFault>>,
        leave: &CancellationToken,
    ) -> Result<Option<Seal>, IngestFault> {
        let bounds = ChunkBounds { documents: 100, bytes: 1 << 20 };
        let settings = IngestSettings { bounds, lanes: 1, batches: 2, quarantine_bytes: 1 << 20 };
        ingest(&self.stores, &self.job, &self.transform, settings, reads, &self.published, leave).await
    }

    /// Lines of the products in quarantine.
    async fn kept(&self) -> Vec<u64> {
        let kept = quarantine::read(self.stores.chunks.as_ref(), &self.job, 0).await.unwrap();
        kept.unwrap_or_default().iter().map(|kept| kept.product.line).collect()
    }
}

/// Products with these texts, numbered by line.
fn products(texts: &[&str]) -> Result<Read, IngestFault> {
    let product = |(line, text): (u64, &&str)| {
        let product = Product { text: (*text).to_owned(), line, id: None };
        Item::Product { source: 0, product }
    };
    Ok(Read::Items((1..).zip(texts).map(product).collect()))
}

#[tokio::test]
async fn what_was_refused_is_kept_when_somebody_ends_the_ingest() {
    let bench = Bench::new();
    let (sender, reads) = mpsc::channel(2);
    let leave = CancellationToken::new();
    let stop = async {
        sender.send(products(&["1", "bad", "2", "bad"])).await.unwrap();
        while bench.published.refused.load(Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        leave.cancel();
    };
    let (ended, ()) = tokio::join!(bench.ingest(reads, &leave), stop);
    assert_eq!(ended.unwrap(), None);
    assert_eq!(bench.kept().await, [2, 4]);
    assert_eq!(bench.stores.jobs.get(&bench.job.id).await.unwrap().unwrap().seal, None);
}

#[tokio::test]
async fn what_was_refused_is_kept_when_a_batch_fails_and_when_the_reader_dies() {
    for (texts, is_failure) in
        [(&["bad", "1", "bad", "worse", "bad"][..], true), (&["bad", "1", "bad"], false)]
    {
        let bench = Bench::new();
        let (sender, reads) = mpsc::channel(2);
        sender.send(products(texts)).await.unwrap();
        drop(sender);
        let fault = bench.ingest(reads, &CancellationToken::new()).await.unwrap_err();
        assert_eq!(matches!(fault, IngestFault::Plugin(_)), is_failure, "{fault}");
        assert_eq!(bench.kept().await, [1, 3], "{fault}");
    }
}

#[tokio::test]
async fn a_seal_says_whether_ids_stand_in_products() {
    let (sender, reads) = mpsc::channel(2);
    sender.send(products(&["1", "bad", "2"])).await.unwrap();
    sender.send(Ok(Read::End(SourceStats::default()))).await.unwrap();
    drop(sender);
    let seal = Bench::new().ingest(reads, &CancellationToken::new()).await.unwrap().unwrap();
    assert_eq!((seal.ids_in_products, seal.quarantine.products), (true, 1));
}
