//! A server, the index on it, and a clock.

use host_core::{
    index::{Index, IndexError, Outcome, Removal, Write, WriteTarget},
    model::DocumentId,
    storage::{Settings, Storage},
};
use host_index_marqo::{IndexSettings, Marqo, MarqoConfig};
use host_net::RetryProfile;
pub(crate) use host_testing::build::write;
use host_testing::{VirtualClock, storage::Memory};
use marqo_stand_in::{Exchange, FaultRule, Operation, Options, StandIn};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::TcpListener, sync::Arc, time::Duration};

/// A server and the index on it.
pub(crate) struct Harness {
    pub(crate) server: StandIn,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) index: Marqo,
    pub(crate) target: WriteTarget,
    settings: Arc<dyn Settings>,
}

impl Harness {
    /// A server of the current version with an index, and settings that reach it.
    pub(crate) async fn new() -> Self {
        Self::with(Options::default(), |_| ()).await
    }

    pub(crate) async fn with(options: Options, change: impl FnOnce(&mut IndexSettings)) -> Self {
        let indexes = vec!["shop".to_owned()];
        let seed = options.seed;
        let server = StandIn::start(Options { indexes, ..options }).unwrap();
        let clock = Arc::new(VirtualClock::new(seed));
        let settings = Memory::new(clock.clone()).stores().settings;
        let config = MarqoConfig { request_timeout: Duration::from_millis(700), ..MarqoConfig::default() };
        let index = Marqo::new(settings.clone(), clock.clone(), &config, RetryProfile::Background).unwrap();
        let target = WriteTarget {
            shop_id: "x.example".to_owned(),
            index_name: "shop".to_owned(),
            job_id: "job-1".to_owned(),
        };
        let harness = Self { server, clock, index, target, settings };
        harness.set("shop", change).await;
        harness
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
        settings.store(self.settings.as_ref(), index_name).await.unwrap();
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
            self.index.write(&self.target, writes).await.unwrap_or_else(|e| panic!("{}", error_chain(&e)));
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

/// An error with its causes, as users see it.
pub(crate) fn error_chain(error: &IndexError) -> String {
    host_core::error::chain(error)
}

/// The address of a server that is not running.
pub(crate) fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Documents `d0`, `d1` …
pub(crate) fn documents(count: usize) -> Vec<Write> {
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
