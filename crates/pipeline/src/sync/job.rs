//! Which job a sync is: a new one, or the one that was interrupted and is recognised by its fingerprint.

use crate::ingest::{chunk::ChunkBounds, retry::retry};
use host_core::{
    clock::{Clock, SharedClock},
    index::TargetId,
    model::{Digest, Job, JobId, Operation, PluginManifest, PluginRef, SameVersion},
    storage::{Jobs, StoreError},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// What a job does, and with what.
#[derive(Clone, Debug)]
pub struct JobRequest {
    /// The platform whose products are read, such as `shopify`.
    pub platform: String,
    /// Id of the shop.
    pub shop_id: String,
    /// Name of the index.
    pub index_name: String,
    /// Whether documents are added, updated or deleted.
    pub operation: Operation,
    /// The plug-in that transforms.
    pub plugin: PluginRef,
    /// Its configuration.
    pub plugin_config: Value,
    /// Digests and configurations of the other plug-ins that transform, validate or compare versions.
    pub other_plugins: Vec<String>,
    /// Whether products that the ledger knows to be unchanged are counted without being made into documents again.
    pub skip_unchanged: bool,
    /// Names of the sources.
    pub sources: Vec<String>,
    /// How lines are grouped into products.
    pub grouping: String,
    /// Digests of the sources' bytes, or anything else that distinguishes this export from others.
    pub inputs: Vec<String>,
    /// The index that is written to.
    pub target: TargetId,
    /// Whether a document is written, or a conflict, if the index has other content of the same version.
    pub same_version: SameVersion,
    /// Whether the export is the whole shop.
    pub full: bool,
    /// Limits of a chunk.
    pub bounds: ChunkBounds,
    /// Number of lanes, which keep the changes of a product in order. While chunks of the index wait in another number
    /// of lanes, that one is used instead.
    pub lanes: u16,
    /// When the export was taken from the shop, as the user or the platform says; `None` if neither does.
    pub exported_at: Option<Timestamp>,
    /// When its oldest source was last modified, which stands for `exported_at` where that is `None`.
    pub modified_at: Option<Timestamp>,
}

/// What decides the bytes of a job's chunks and what is done with them, in a form that only changes on purpose.
#[derive(Serialize)]
struct Fingerprint<'a> {
    index_name: &'a str,
    operation: &'a str,
    plugin: String,
    plugin_config: &'a Value,
    grouping: &'a str,
    inputs: &'a [String],
    target: &'a TargetId,
    same_version: SameVersion,
    full: bool,
    skip_unchanged: bool,
    chunk_documents: usize,
    chunk_bytes: usize,
    /// Only as the user or the platform says it. The time at which a file was modified is no part: it changes without
    /// its content.
    exported_at: Option<Timestamp>,
    /// See [`CHUNK_FORMAT`].
    chunk_format: u32,
}

/// Incremented when a version of the host makes other chunks of the same export: it does not resume an interrupted
/// job of an older version, and does not skip products by what that one recorded. 4: a product's last document has
/// the digest of what it was made of.
const CHUNK_FORMAT: u32 = 4;

/// What decides which documents are made of a product's lines. A product is skipped as unchanged only if these are
/// the same, too.
#[derive(Serialize)]
struct TransformInputs<'a> {
    operation: &'a str,
    plugin: String,
    plugin_config: &'a Value,
    other_plugins: &'a [String],
    chunk_format: u32,
}

impl JobRequest {
    /// The job with the same fingerprint that has not ended, or a new one, which is not stored yet.
    pub async fn find_or_create(self, jobs: &dyn Jobs, clock: &SharedClock) -> Result<Job, StoreError> {
        let fingerprint = self.fingerprint();
        if let Some(job) = retry(clock, || jobs.find_unfinished(&self.shop_id, fingerprint)).await?
            && retry(clock, || can_resume(jobs, &job)).await?
        {
            return Ok(job);
        }
        let created_at = clock.now();
        let transform_digest = Some(self.transform_digest());
        Ok(Job {
            id: new_id(clock.as_ref(), created_at),
            platform: self.platform,
            shop_id: self.shop_id,
            index_name: self.index_name,
            operation: self.operation,
            created_at,
            sequence: 0,
            exported_at: self.exported_at.or(self.modified_at).map(|at| at.min(created_at)),
            lanes: self.lanes,
            plugin: self.plugin,
            fingerprint,
            sources: self.sources,
            target: self.target,
            same_version: self.same_version,
            transform_digest,
            skips_unchanged: self.skip_unchanged && self.operation == Operation::AddDocuments,
            full: self.full,
            removes_missing_of: None,
        })
    }

    fn transform_digest(&self) -> Digest {
        let decisive = TransformInputs {
            operation: self.operation.as_str(),
            plugin: self.plugin.digest.to_string(),
            plugin_config: &self.plugin_config,
            other_plugins: &self.other_plugins,
            chunk_format: CHUNK_FORMAT,
        };
        Digest::of(&serde_json::to_vec(&decisive).expect("plain data serializes"))
    }

    fn fingerprint(&self) -> Digest {
        let decisive = Fingerprint {
            index_name: &self.index_name,
            operation: self.operation.as_str(),
            plugin: self.plugin.digest.to_string(),
            plugin_config: &self.plugin_config,
            grouping: &self.grouping,
            inputs: &self.inputs,
            target: &self.target,
            same_version: self.same_version,
            full: self.full,
            skip_unchanged: self.skip_unchanged,
            chunk_documents: self.bounds.documents,
            chunk_bytes: self.bounds.bytes,
            exported_at: self.exported_at,
            chunk_format: CHUNK_FORMAT,
        };
        Digest::of(&serde_json::to_vec(&decisive).expect("plain data serializes"))
    }
}

/// Whether an interrupted job can be resumed. If it skips unchanged products, only once its export was read to the
/// end: otherwise the ledger (the recorded outcome of each product) may have changed since, and the ingest would make
/// other chunks. A new job then takes its place and skips what is done.
async fn can_resume(jobs: &dyn Jobs, job: &Job) -> Result<bool, StoreError> {
    if !job.skips_unchanged {
        return Ok(true);
    }
    Ok(jobs.get(&job.id).await?.is_some_and(|found| found.seal.is_some()))
}

/// A new job id, a UUID of version 7: ids of jobs that are created later sort later.
pub fn new_id(clock: &dyn Clock, created_at: Timestamp) -> JobId {
    let mut random = [0; 10];
    let bytes = [clock.random().to_le_bytes(), clock.random().to_le_bytes()].concat();
    random.copy_from_slice(&bytes[..10]);
    let id = uuid::Builder::from_unix_timestamp_millis(created_at.as_millisecond().unsigned_abs(), &random);
    JobId::new(id.into_uuid().to_string()).expect("a UUID is a job id")
}

/// The platform whose products a plug-in reads; the plug-in's name where its manifest names no platform.
pub fn platform(manifest: &PluginManifest) -> &str {
    if manifest.platform.is_empty() { &manifest.name } else { &manifest.platform }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::storage::{Storage, StoreErrorKind};
    use host_testing::{
        VirtualClock, build,
        fakes::{intercepted, refuse_first},
        storage::Memory,
    };
    use std::{
        sync::{Arc, atomic::Ordering::Relaxed},
        time::Duration,
    };

    /// While a job was interrupted, what the ledger says of the products that it skipped may have changed.
    #[tokio::test]
    async fn a_job_that_skips_unchanged_products_is_resumed_only_if_it_was_sealed() {
        let clock: SharedClock = Arc::new(VirtualClock::new(1));
        let jobs = Memory::new(clock.clone()).stores().jobs;
        for (skips_unchanged, is_sealed, is_resumed) in
            [(true, false, false), (true, true, true), (false, false, true)]
        {
            let job = Job { skips_unchanged, ..build::job(&*clock, &build::name(&*clock, "shop")) };
            jobs.create(&job).await.unwrap();
            jobs.add_chunk(&build::chunk(&job.id, 0, 0)).await.unwrap();
            if is_sealed {
                jobs.seal(&job.id, &build::seal(1)).await.unwrap();
            }
            assert_eq!(can_resume(&*jobs, &job).await.unwrap(), is_resumed, "{skips_unchanged} {is_sealed}");
        }
    }

    /// A full sync that may skip what is unchanged.
    fn request(clock: &dyn Clock) -> JobRequest {
        let Job { platform, plugin, target, operation, .. } = build::job(clock, "shop");
        JobRequest {
            platform,
            shop_id: "shop".to_owned(),
            index_name: "products".to_owned(),
            operation,
            plugin,
            plugin_config: Value::Null,
            other_plugins: Vec::new(),
            skip_unchanged: true,
            sources: Vec::new(),
            grouping: String::new(),
            inputs: Vec::new(),
            target,
            same_version: SameVersion::default(),
            full: true,
            bounds: ChunkBounds { documents: 1, bytes: 1 },
            lanes: 1,
            exported_at: None,
            modified_at: None,
        }
    }

    /// A product is skipped as unchanged only if the same documents would be made of it.
    #[tokio::test]
    async fn what_makes_other_documents_of_a_product_changes_the_transform_digest() {
        let clock: SharedClock = Arc::new(VirtualClock::new(1));
        let jobs = Memory::new(clock.clone()).stores().jobs;
        let plain = request(&*clock);
        let digest = async |request: JobRequest| {
            request.find_or_create(&*jobs, &clock).await.unwrap().transform_digest.unwrap()
        };
        let expected = digest(plain.clone()).await;
        type Change = fn(&mut JobRequest);
        let other_documents: [(&str, Change); 6] = [
            ("another plug-in", |request| request.plugin.digest = Digest::of(b"another")),
            ("its configuration", |request| request.plugin_config = serde_json::json!({"level": "variant"})),
            ("a value in it", |request| request.plugin_config = serde_json::json!({"level": "product"})),
            ("another plug-in beside it", |request| request.other_plugins = vec!["sha256:1 {}".to_owned()]),
            ("that one's configuration", |request| request.other_plugins = vec!["sha256:1 {1}".to_owned()]),
            ("the operation", |request| request.operation = Operation::UpdateDocuments),
        ];
        let mut digests = vec![expected];
        for (what, change) in other_documents {
            let mut changed = plain.clone();
            change(&mut changed);
            let found = digest(changed).await;
            assert!(!digests.contains(&found), "{what}");
            digests.push(found);
        }
        // These change which products there are, and where and when they are written.
        let same_documents: [(&str, Change); 6] = [
            ("another export", |request| request.inputs = vec!["another".to_owned()]),
            ("its name", |request| request.sources = vec!["another.jsonl".to_owned()]),
            ("its time", |request| request.exported_at = Some(Timestamp::UNIX_EPOCH)),
            ("no full sync", |request| request.full = false),
            ("larger chunks", |request| request.bounds.documents = 9),
            ("more lanes", |request| request.lanes = 9),
        ];
        for (what, change) in same_documents {
            let mut changed = plain.clone();
            change(&mut changed);
            assert_eq!(digest(changed).await, expected, "{what}");
        }
    }

    #[tokio::test]
    async fn an_export_was_taken_when_its_source_was_modified_unless_the_user_says() {
        let clock: SharedClock = Arc::new(VirtualClock::new(1));
        let jobs = Memory::new(clock.clone()).stores().jobs;
        let (now, hour) = (clock.now(), Duration::from_secs(3_600));
        for (exported_at, modified_at, expected) in [
            (None, None, None),
            (None, Some(now - hour), Some(now - hour)),
            (Some(now - 2 * hour), Some(now - hour), Some(now - 2 * hour)),
            // Modified by a clock that is ahead: no export is later than its job.
            (None, Some(now + hour), Some(now)),
        ] {
            let request = JobRequest { exported_at, modified_at, ..request(&*clock) };
            let job = request.find_or_create(&*jobs, &clock).await.unwrap();
            assert_eq!(job.exported_at, expected);
        }
    }

    /// Regression: one temporary failure of a store ended a run. The search now makes up to nine attempts, as a
    /// worker does.
    #[tokio::test]
    async fn the_search_for_an_interrupted_job_outlasts_eight_temporary_failures() {
        for call in ["jobs.find_unfinished", "jobs.get"] {
            for (failures, kind, succeeds, calls_made) in [
                (8, StoreErrorKind::Transient, true, 9),
                (9, StoreErrorKind::Transient, false, 9),
                (1, StoreErrorKind::Permanent, false, 1),
            ] {
                let clock: SharedClock = Arc::new(VirtualClock::new(1));
                let (gate, calls) = refuse_first(call, failures, kind);
                let stores = Memory::new(clock.clone()).stores();
                let interrupted = request(&*clock).find_or_create(&*stores.jobs, &clock).await.unwrap();
                stores.jobs.create(&interrupted).await.unwrap();
                stores.jobs.add_chunk(&build::chunk(&interrupted.id, 0, 0)).await.unwrap();
                stores.jobs.seal(&interrupted.id, &build::seal(1)).await.unwrap();
                let jobs = intercepted(stores, gate).jobs;
                let found = request(&*clock).find_or_create(&*jobs, &clock).await;
                let what = format!("{call}: {failures} {kind:?}");
                assert_eq!((found.is_ok(), calls.load(Relaxed)), (succeeds, calls_made), "{what}");
                assert!(found.is_ok_and(|found| found.id == interrupted.id) == succeeds, "{what}");
            }
        }
    }
}
