//! The harness of these tests: a stand-in for a Marqo server, the index on it, and a virtual clock.

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

    /// A server with these options, and changed settings of its index `shop`.
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

    /// Stores settings of an index: the usual ones after a change. The client may have cached earlier ones.
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

    /// Creates an index by Marqo's own API.
    pub(crate) async fn create(&self, index_name: &str, settings: Value) {
        let url = format!("{}/indexes/{index_name}", self.server.url());
        let answer = reqwest::Client::new().post(url).json(&settings).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    pub(crate) fn faults(&self, faults: &[FaultRule]) {
        self.server.set_faults(faults);
    }

    pub(crate) async fn write(&self, writes: &[Write]) -> Vec<Outcome> {
        let outcomes = self
            .index
            .write(&self.target, writes)
            .await
            .unwrap_or_else(|error| panic!("{}", error_chain(&error)));
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
    let document =
        |number| write(&format!("d{number}"), json!({"title": format!("Mug {number}"), "stock": number}));
    (0..count).map(document).collect()
}

pub(crate) fn removals(writes: &[Write]) -> Vec<Removal> {
    ids(writes).into_iter().map(Removal::of).collect()
}

pub(crate) fn ids(writes: &[Write]) -> Vec<DocumentId> {
    writes.iter().map(|write| write.document.id.clone()).collect()
}

/// Positions, codes and messages of the documents that were refused.
pub(crate) fn refused(outcomes: &[Outcome]) -> Vec<(usize, &str, &str)> {
    let refused = |(at, outcome)| match outcome {
        &Outcome::Done | &Outcome::Conflict => None,
        Outcome::Refused { code, message } => Some((at, code.as_str(), message.as_str())),
    };
    outcomes.iter().enumerate().filter_map(refused).collect()
}
