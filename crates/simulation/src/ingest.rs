//! The steps of a schedule that ingest: an export, or the products that a plug-in refused in an earlier job (a replay).

use crate::{
    World,
    coverage::Event,
    oracle::Said,
    plugin::ShopPlugin,
    process::Fate,
    schedule::{BOUNDS, INDEX, SHOP, Simulation},
    shop::{State, number_of, variant_of},
};
use host_core::{
    index::Index,
    model::{ChunkLine, JobId, JobRecency, Operation, SameVersion},
    storage::{JobSnapshot, Storage},
};
use host_export::ExportItem;
use host_pipeline::{
    ingest::{
        quarantine::{self, REPLAY},
        run::{IngestError, IngestProgress, IngestSettings, SourceEvent},
    },
    sync::{JobRequest, Notice, RunJob},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const SETTINGS: IngestSettings = IngestSettings { bounds: BOUNDS, batches: 2, quarantine_bytes: 1 << 20 };

/// What a job reads.
struct Source {
    /// Names the source, and tells it from others.
    inputs: String,
    /// When its export was taken from the shop.
    at: Timestamp,
    /// Whether it is the whole shop.
    full: bool,
    /// By their numbers.
    products: BTreeMap<u64, State>,
    /// The job whose refused products are read; `None` if an export is read.
    replayed: Option<JobSnapshot>,
}

impl<W: World> Simulation<W> {
    /// Ingests an export, mostly the newest, with a plug-in that is sometimes broken. Sometimes the process crashes
    /// before the end, or its clock jumps.
    pub(crate) async fn ingest_some(&mut self) {
        if self.exports.is_empty() {
            return;
        }
        let newest = self.exports.len() as u64 - 1;
        let chosen = if self.random.chance(70) { newest } else { self.random.below(newest + 1) };
        let crash = self.random.chance(15).then(|| 1 + self.random.below(8));
        let jump = self.random.chance(15).then(|| (1 + self.random.below(8), self.random.offset()));
        self.coverage.add_if(Event::IngestJumped, jump.is_some());
        let (offset, is_broken) = (self.random.offset(), self.random.chance(20));
        self.ingest(chosen as usize, offset, Fate { crash, jump }, is_broken).await;
    }

    /// Ingests the export of this number, in a process whose clock is wrong by `offset`.
    pub(crate) async fn ingest(
        &mut self,
        number: usize,
        offset: SignedDuration,
        fate: Fate,
        is_broken: bool,
    ) {
        let export = self.exports[number].clone();
        let inputs = format!("export of {}", export.at);
        let source =
            Source { inputs, at: export.at, full: export.full, products: export.products, replayed: None };
        self.run(source, offset, fate, ShopPlugin::new(is_broken)).await;
    }

    /// Sends what a plug-in refused in an earlier job to a corrected one.
    pub(crate) async fn replay(&mut self) {
        let mut jobs = self.stores.jobs.list(Some(SHOP), usize::MAX).await.unwrap();
        jobs.retain(|job| job.seal.as_ref().is_some_and(|seal| seal.quarantine.products > 0));
        if jobs.is_empty() {
            return;
        }
        let old = jobs.swap_remove(self.random.below(jobs.len() as u64) as usize);
        let source = Source {
            inputs: old.job.id.to_string(),
            at: JobRecency::of(&old.job).exported_at,
            full: false,
            products: self.oracle.refused(&old.job.id),
            replayed: Some(old),
        };
        let offset = self.random.offset();
        self.coverage.add(Event::Replayed, 1);
        self.run(source, offset, Fate::default(), ShopPlugin::new(false)).await;
    }

    /// Runs a job that reads `source`, without a worker, and tells the oracle what it says.
    async fn run(&mut self, source: Source, offset: SignedDuration, fate: Fate, plugin: ShopPlugin) {
        let process = self.process(offset, fate);
        let (clock, lanes) = (process.interceptor.clock(), 1 + self.random.below(4) as u16);
        let Source { inputs, at, full, products, replayed } = source;
        let request = JobRequest {
            platform: "shopify".to_owned(),
            shop_id: SHOP.to_owned(),
            index_name: INDEX.to_owned(),
            operation: Operation::AddDocuments,
            plugin: plugin.reference(),
            plugin_config: Value::Null,
            other_plugins: Vec::new(),
            skip_unchanged: self.random.chance(70),
            sources: vec![inputs.clone()],
            grouping: if replayed.is_some() { REPLAY } else { "by-parent" }.to_owned(),
            inputs: vec![inputs],
            target: self.index.id(),
            same_version: SameVersion::default(),
            full,
            bounds: BOUNDS,
            lanes,
            exported_at: Some(at),
            modified_at: None,
        };
        let job = request.find_or_create(&*self.stores.jobs, &clock).await.unwrap();
        let refused = products.iter().filter(|(_, state)| plugin.refuses(state));
        let refused: BTreeMap<u64, State> = refused.map(|(number, state)| (*number, state.clone())).collect();
        self.coverage.add(Event::Refused, refused.len() as u64);
        // A resumed job, which the oracle knows, has read the same.
        let items = products.iter().map(|(number, state)| state.item(*number)).collect();
        self.oracle.note_job(&job, products, refused);
        let chunks = process.stores().chunks;
        let source = |ahead| match &replayed {
            None => feed(items),
            Some(old) => {
                quarantine::start(chunks, old.job.clone(), old.seal.as_ref().unwrap().quarantine, ahead)
            }
        };
        let (superseded, resumed) = (AtomicU64::new(0), AtomicU64::new(0));
        let notify = |notice| {
            match notice {
                Notice::Superseded(_) => &superseded,
                Notice::Resumed(..) => &resumed,
            }
            .fetch_add(1, Relaxed);
        };
        let (progress, cancel) = (IngestProgress::default(), CancellationToken::new());
        let run = RunJob {
            storage: &process,
            transform: Arc::new(plugin),
            index: self.index.clone(),
            worker: None,
            settings: SETTINGS,
            keep_chunks: self.keep_chunks,
            progress: &progress,
            clock,
            cancel: &cancel,
        };
        let has_crashed = tokio::select! {
            ran = run.run(&job, source, notify) => ran.map(|_| false).unwrap(),
            () = process.interceptor.crashed() => true,
        };
        self.coverage.add_if(Event::IngestCrashed, has_crashed);
        self.coverage.add(Event::JobSuperseded, superseded.into_inner());
        self.coverage.add(Event::IngestResumed, resumed.into_inner());
        let Some(job) = self.stores.jobs.get(&job.id).await.unwrap() else { return };
        self.coverage.add_if(Event::LanesPinned, job.job.lanes != lanes);
        self.coverage.add_if(Event::LanesChanged, ![0, job.job.lanes].contains(&self.last_lanes));
        self.last_lanes = job.job.lanes;
        self.note(&job).await;
    }

    /// Tells the oracle what a job says: by its published chunks and, if its source was read to the end, by the
    /// products that it skipped as unchanged.
    async fn note(&mut self, job: &JobSnapshot) {
        let mut said = BTreeMap::new();
        for line in self.published(&job.job.id, job.chunks).await {
            let number = number_of(line.product.as_str());
            let version = line.document.fields["v"].as_i64().unwrap();
            let of_line = match line.siblings {
                // Only a removal has no title.
                _ if line.document.fields.get("title").is_none() => Said::All(State::Deleted { version }),
                Some(siblings) => {
                    let documents = siblings.iter().chain([&line.document.id]);
                    let variants = documents.map(|id| variant_of(id.as_str())).collect();
                    Said::All(State::Live { version, variants })
                }
                None => Said::Part { version },
            };
            said.insert(number, of_line);
        }
        let skipped = self.oracle.note_said(job, said);
        self.coverage.add(Event::Unchanged, skipped);
    }

    /// The lines of the chunks that a job has published.
    pub(crate) async fn published(&self, job: &JobId, chunks: u32) -> Vec<ChunkLine> {
        let mut lines = Vec::new();
        for seq in 0..chunks {
            let chunk = self.stores.jobs.chunk(job, seq).await.unwrap().unwrap();
            let written = self.written.lock().unwrap();
            let text = str::from_utf8(&written[&chunk.key]).unwrap();
            lines.extend(text.lines().map(|line| ChunkLine::parse(line).unwrap()));
        }
        lines
    }

    /// The variants of a product that the index has, each with its version.
    pub(crate) fn indexed(&self, product: u64) -> BTreeMap<u64, i64> {
        let state = self.index.state();
        let of_product = state.documents.iter().filter(|(id, _)| number_of(id.as_str()) == product);
        of_product
            .map(|(id, indexed)| (variant_of(id.as_str()), indexed.write.version["v"].as_i64().unwrap()))
            .collect()
    }
}

/// A source of these products, in batches of two.
fn feed(items: Vec<ExportItem>) -> mpsc::Receiver<Result<SourceEvent, IngestError>> {
    let (sender, receiver) = mpsc::channel(items.len() + 1);
    let stats = host_core::model::SourceStats { products: items.len() as u64, ..Default::default() };
    let mut items = items.into_iter().peekable();
    while items.peek().is_some() {
        sender.try_send(Ok(SourceEvent::Items(items.by_ref().take(2).collect()))).unwrap();
    }
    sender.try_send(Ok(SourceEvent::End(stats))).unwrap();
    receiver
}
