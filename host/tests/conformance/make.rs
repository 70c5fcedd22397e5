//! The backend under check, and things to put into it.

use host_core::{
    clock::SharedEnv,
    index::{Index, Precondition, Removal, Write, WriteTarget},
    model::{
        ChunkRef, Class, Counts, Digest, Document, DocumentId, Entry, Job, JobId, Operation, Seal,
        job::{PluginRef, Quarantined, SameVersion, SourceStats},
    },
    storage::{ChunkLease, ChunkOutcome, Claim, Jobs, Stores},
};
use host_index_catalog::Catalog;
use serde_json::{Value, json};
use std::{any::Any, sync::Arc, time::Duration};

/// A backend and the clock it goes by.
pub(crate) struct Backend {
    pub(crate) stores: Stores,
    pub(crate) index: Arc<dyn Index>,
    /// The same, if it is a catalog.
    pub(crate) catalog: Option<Catalog>,
    pub(crate) env: SharedEnv,
    /// Stores the settings of an index past the seam, as a host of another version would.
    pub(crate) plant_settings: fn(&Backend, index_name: &str, json: &str),
    /// Whatever must live as long, such as a folder.
    pub(crate) keep: Box<dyn Any + Send + Sync>,
}

impl Backend {
    /// A name that no other check uses.
    pub(crate) fn name(&self, prefix: &str) -> String {
        format!("{prefix}-{:016x}", self.env.random())
    }

    /// A job that nothing has happened to.
    pub(crate) fn job(&self, shop_id: &str) -> Job {
        Job {
            id: JobId::new(self.name("job")).unwrap(),
            platform: "shopify".to_owned(),
            shop_id: shop_id.to_owned(),
            index_name: "products".to_owned(),
            operation: Operation::AddDocuments,
            created_at: self.env.now(),
            plugin: PluginRef {
                name: "shopify".to_owned(),
                version: "1.0.0".to_owned(),
                digest: Digest::of(b"plug-in"),
            },
            fingerprint: Digest::of(self.name("fingerprint").as_bytes()),
            sources: vec!["export.jsonl".to_owned()],
            target: "catalog".into(),
            same_version: SameVersion::default(),
            full: false,
        }
    }

    /// A job with some pending chunks.
    pub(crate) async fn job_with_chunks(&self, chunks: u32) -> Job {
        let job = self.job(&self.name("shop"));
        self.stores.jobs.create(&job).await.unwrap();
        for seq in 0..chunks {
            self.stores.jobs.add_chunk(&chunk(&job.id, seq, 0)).await.unwrap();
        }
        job
    }

    pub(crate) fn target(&self) -> WriteTarget {
        WriteTarget {
            shop_id: self.name("shop"),
            index_name: "products".to_owned(),
            job_id: "job-1".to_owned(),
            job_created_at: self.env.now(),
        }
    }
}

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn chunk(job_id: &JobId, seq: u32, lane: u16) -> ChunkRef {
    ChunkRef {
        job_id: job_id.clone(),
        seq,
        lane,
        operation: Operation::AddDocuments,
        key: ChunkRef::key("shopify", "example.myshopify.com", job_id, seq),
        sha256: Digest::of(&seq.to_le_bytes()),
        documents: 10,
        bytes: 1000,
    }
}

pub(crate) fn seal(chunks: u32) -> Seal {
    Seal {
        chunks,
        total_items: u64::from(chunks) * 10,
        refused: Counts::default(),
        source: SourceStats::default(),
        samples: Vec::new(),
        reports: Vec::new(),
        quarantine: Quarantined { products: 3, left_out: 1, objects: 2 },
        ids_in_products: true,
    }
}

pub(crate) fn processed(processed: u64) -> ChunkOutcome {
    ChunkOutcome {
        counts: Counts { processed, ..Counts::default() },
        report: None,
        samples: Vec::new(),
        quarantined: None,
    }
}

pub(crate) fn entry(class: Class, message: impl Into<String>) -> Entry {
    Entry::new(class, "some-reason", message).with("seen", 1)
}

/// Claims a chunk that must be free.
pub(crate) async fn claim(jobs: &dyn Jobs, id: &JobId, seq: u32) -> ChunkLease {
    match jobs.claim(id, seq, MINUTE).await.unwrap() {
        Claim::Acquired(lease) => lease,
        other => panic!("chunk {seq} is not free: {other:?}"),
    }
}

/// From claim to done.
pub(crate) async fn complete(jobs: &dyn Jobs, id: &JobId, seq: u32, outcome: &ChunkOutcome) {
    let lease = claim(jobs, id, seq).await;
    assert!(jobs.complete(&lease, outcome).await.unwrap());
}

pub(crate) fn id(id: &str) -> DocumentId {
    DocumentId::new(id).unwrap()
}

/// Removals of whatever is there.
pub(crate) fn removals(ids: &[DocumentId]) -> Vec<Removal> {
    ids.iter().cloned().map(Removal::of).collect()
}

/// A document's write, of its fields.
pub(crate) fn write(name: &str, fields: Value) -> Write {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    let content_hash = Digest::of(json!(fields).to_string().as_bytes()).to_string();
    let mut version = serde_json::Map::new();
    version.extend(fields.get("updated_at").map(|at| ("updated_at".to_owned(), at.clone())));
    Write {
        document: Document { id: id(name), fields },
        version,
        content_hash,
        precondition: Precondition::None,
    }
}
