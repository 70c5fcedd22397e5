//! A server, the index on it, and a clock.

use host_core::{
    clock::Env,
    index::{Index, IndexError, Outcome, Precondition, Removal, Write, WriteTarget},
    model::{Digest, Document, DocumentId, IndexSettings},
    storage::{Settings, StoreError},
};
use host_index_marqo::{Marqo, MarqoOptions};
use jiff::Timestamp;
use marqo_stand_in::{Exchange, FaultRule, Operation, Options, StandIn};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

/// A clock that sleeping moves, also when several sleep at once.
#[derive(Debug)]
pub(crate) struct Clock {
    micros: AtomicI64,
    random: AtomicU64,
    pub(crate) sleeps: Mutex<Vec<Duration>>,
}

impl Clock {
    fn new(seed: u64) -> Self {
        // 2026-01-01T00:00:00Z
        let micros = AtomicI64::new(1_767_225_600_000_000);
        Self { micros, random: AtomicU64::new(seed), sleeps: Mutex::default() }
    }

    /// All that was waited for since the last time.
    pub(crate) fn slept(&self) -> Vec<Duration> {
        std::mem::take(&mut self.sleeps.lock().unwrap())
    }
}

#[async_trait::async_trait]
impl Env for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.micros.load(Ordering::SeqCst)).unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.micros.load(Ordering::SeqCst) + i64::try_from(duration.as_micros()).unwrap();
        self.sleeps.lock().unwrap().push(duration);
        tokio::task::yield_now().await;
        self.micros.fetch_max(until, Ordering::SeqCst);
    }

    fn random(&self) -> u64 {
        random(&mut self.random.fetch_add(STEP, Ordering::SeqCst))
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64.
pub(crate) fn random(state: &mut u64) -> u64 {
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    *state = state.wrapping_add(STEP);
    mixed ^ (mixed >> 31)
}

/// Settings of some indexes.
#[derive(Default)]
struct Known(Mutex<BTreeMap<String, IndexSettings>>);

#[async_trait::async_trait]
impl Settings for Known {
    async fn get(&self, index_name: &str) -> Result<Option<IndexSettings>, StoreError> {
        Ok(self.0.lock().unwrap().get(index_name).cloned())
    }

    async fn put(&self, index_name: &str, settings: &IndexSettings) -> Result<(), StoreError> {
        self.0.lock().unwrap().insert(index_name.to_owned(), settings.clone());
        Ok(())
    }

    async fn delete(&self, _: &str) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn list(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }
}

/// A server and the index on it.
pub(crate) struct Lab {
    pub(crate) server: StandIn,
    pub(crate) clock: Arc<Clock>,
    pub(crate) index: Marqo,
    pub(crate) target: WriteTarget,
    settings: Arc<Known>,
}

impl Lab {
    /// A server of the current version with an index, and settings that reach it.
    pub(crate) async fn new() -> Self {
        Self::with(Options::default(), |_| ()).await
    }

    pub(crate) async fn with(options: Options, change: impl FnOnce(&mut IndexSettings)) -> Self {
        let indexes = vec!["shop".to_owned()];
        let seed = options.seed;
        let server = StandIn::start(Options { indexes, ..options }).unwrap();
        let clock = Arc::new(Clock::new(seed));
        let settings = Arc::new(Known::default());
        let options = MarqoOptions { attempt_timeout: Duration::from_millis(700), ..MarqoOptions::default() };
        let index = Marqo::new(settings.clone(), clock.clone(), options).unwrap();
        let target = WriteTarget {
            shop_id: "x.example".to_owned(),
            index_name: "shop".to_owned(),
            job_id: "job-1".to_owned(),
            job_created_at: Timestamp::UNIX_EPOCH,
        };
        let lab = Self { server, clock, index, target, settings };
        lab.set("shop", change).await;
        lab
    }

    /// Other settings, which the index does not know before the old ones expire.
    pub(crate) async fn set(&self, index_name: &str, change: impl FnOnce(&mut IndexSettings)) {
        let mut settings = IndexSettings {
            endpoint: self.server.url().to_owned(),
            tensor_fields: vec!["title".to_owned()],
            batch_complexity: 1000,
            ..IndexSettings::default()
        };
        change(&mut settings);
        self.settings.put(index_name, &settings).await.unwrap();
    }

    /// Makes an index by the server's own call.
    pub(crate) async fn create(&self, index_name: &str, settings: Value) {
        let url = format!("{}/indexes/{index_name}", self.server.url());
        let answer = reqwest::Client::new().post(url).json(&settings).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    pub(crate) fn faults(&self, faults: &[FaultRule]) {
        self.server.set_faults(faults);
    }

    pub(crate) async fn write(&self, writes: &[Write]) -> Vec<Outcome> {
        let outcomes =
            self.index.write(&self.target, writes).await.unwrap_or_else(|e| panic!("{}", told(&e)));
        assert_eq!(outcomes.len(), writes.len());
        outcomes
    }

    pub(crate) async fn write_error(&self, writes: &[Write]) -> IndexError {
        self.index.write(&self.target, writes).await.unwrap_err()
    }

    /// Requests of one kind, so far.
    pub(crate) fn requests(&self, operation: Operation) -> Vec<Exchange> {
        self.server.requests().into_iter().filter(|exchange| exchange.operation == operation).collect()
    }

    /// How often each document was written.
    pub(crate) fn times_written(&self) -> BTreeMap<String, usize> {
        self.server.history("shop").into_iter().map(|(id, writes)| (id, writes.len())).collect()
    }
}

/// An error with its causes, as people get it.
pub(crate) fn told(error: &IndexError) -> String {
    host_core::error::chain(error)
}

/// A server that nobody runs.
pub(crate) fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A document's write, of its fields.
pub(crate) fn write(id: &str, fields: Value) -> Write {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    let content_hash = Digest::of(json!(fields).to_string().as_bytes()).to_string();
    let mut version = serde_json::Map::new();
    version.extend(fields.get("updated_at").map(|at| ("updated_at".to_owned(), at.clone())));
    Write {
        document: Document { id: DocumentId::new(id).unwrap(), fields },
        version,
        content_hash,
        precondition: Precondition::None,
    }
}

/// Documents `d0`, `d1` …
pub(crate) fn some(count: usize) -> Vec<Write> {
    (0..count).map(|n| write(&format!("d{n}"), json!({"title": format!("Mug {n}"), "stock": n}))).collect()
}

pub(crate) fn removals(writes: &[Write]) -> Vec<Removal> {
    ids(writes).into_iter().map(Removal::of).collect()
}

pub(crate) fn ids(writes: &[Write]) -> Vec<DocumentId> {
    writes.iter().map(|write| write.document.id.clone()).collect()
}

/// Places, codes and messages of those that were refused.
pub(crate) fn refused(outcomes: &[Outcome]) -> Vec<(usize, &str, &str)> {
    let refused = |(at, outcome)| match outcome {
        &Outcome::Done | &Outcome::Conflict => None,
        Outcome::Refused { code, message } => Some((at, code.as_str(), message.as_str())),
    };
    outcomes.iter().enumerate().filter_map(refused).collect()
}
