//! A Marqo server as the index.
//!
//! `mod` is the seam: it finds the way (`session`), cuts a write into requests (`wire`, `batch`)
//! and lets a `write::Writer` bring each of them to an outcome. What any answer means is said in `outcome`, alone; how
//! often and how long it is tried again, in `retry`; how many requests run at once, in `gate`.

use async_trait::async_trait;
use batch::{Bounds, cut};
use error::Failure;
use facts::Facts;
use futures::{StreamExt, stream::FuturesUnordered};
use host_core::index::{Index, IndexError, Outcome, Removal, Stored, Target, Write};
use host_core::{
    clock::SharedEnv,
    model::{DocumentId, IndexSettings},
    storage::Settings,
};
use operation::Operation;
use retry::ATTEMPTS;
use serde_json::{Map, Value};
use session::{Session, Shared};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use wire::{MOST_CHARACTERS, VERSION_FIELDS, Wire, Wires};
use write::Writer;

mod batch;
mod client;
mod cloud;
mod endpoint;
mod error;
mod facts;
mod fields;
mod gate;
mod group;
mod json;
mod metrics;
mod operation;
mod outcome;
mod read;
mod readback;
mod request;
mod response;
mod retry;
mod send;
mod session;
mod vectors;
mod wire;
mod write;

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarqoOptions {
    /// For a connection.
    pub connect_timeout: Duration,
    /// For one request and its answer. Making vectors takes the server long.
    pub attempt_timeout: Duration,
    /// For how long settings of an index, and what the server says of it, are believed.
    pub settings_expiry: Duration,
    /// For how long a throttling server is waited for.
    pub throttle_patience: Duration,
    /// For how long a server that cannot be reached is waited for.
    pub unreachable_patience: Duration,
    /// Most attempts at a question that a failing server does not answer.
    pub attempts: u32,
}

impl MarqoOptions {
    /// The same for somebody who waits for the answer: what does not work at once is told.
    pub fn impatient(self) -> Self {
        Self {
            connect_timeout: self.connect_timeout.min(Duration::from_secs(5)),
            attempt_timeout: self.attempt_timeout.min(Duration::from_secs(20)),
            throttle_patience: Duration::ZERO,
            unreachable_patience: Duration::ZERO,
            attempts: 2,
            ..self
        }
    }
}

impl Default for MarqoOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(120),
            settings_expiry: Duration::from_secs(60),
            throttle_patience: Duration::from_secs(600),
            unreachable_patience: Duration::from_secs(60),
            attempts: ATTEMPTS,
        }
    }
}

/// Indexes on Marqo servers. Clones share connections, gates and all that was learnt.
#[derive(Clone)]
pub struct Marqo {
    shared: Arc<Shared>,
}

impl Marqo {
    /// Indexes as their settings say. Fails if this system has no usable certificates.
    pub fn new(
        settings: Arc<dyn Settings>,
        env: SharedEnv,
        options: MarqoOptions,
    ) -> Result<Self, IndexError> {
        let shared = Shared::new(settings, env, options).map_err(|error| IndexError {
            action: "preparing connections to Marqo".to_owned(),
            transient: false,
            source: Box::new(error),
        })?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What the server says about an index that is reached by these settings, stored or not: whether they are right.
    pub async fn inspect(
        &self,
        index_name: &str,
        settings: &IndexSettings,
    ) -> Result<Inspection, IndexError> {
        let inspected = async {
            let session = self.shared.session_with(index_name, Arc::new(settings.clone())).await?;
            let facts = session.facts().await?;
            Ok(Inspection {
                version: facts.version,
                is_structured: facts.is_structured,
                tensor_fields: facts.tensor_fields.clone(),
                dimensions: facts.dimensions,
                documents: session.count().await?,
                health: session.health().await?,
            })
        };
        inspected.await.map_err(|failure: Failure| failure.during("inspecting", index_name))
    }
}

impl Inspection {
    /// What the server will not accept of these settings, or would not do as they say.
    pub fn contradiction(&self, index_name: &str, settings: &IndexSettings) -> Option<String> {
        if !self.is_structured {
            return None;
        }
        let other = settings.tensor_fields.iter().find(|field| !self.tensor_fields.contains(field))?;
        Some(format!(
            "index {index_name} is structured: its schema, not its settings, names its tensor fields ({}), and {other} is none \
             of them; leave tensor fields out (`--unset tensor_fields`)",
            self.tensor_fields.join(", ")
        ))
    }
}

/// What a server says about itself and an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Major and minor version of the server, if it tells.
    pub version: Option<(u32, u32)>,
    /// Whether the index has a schema of its own, and takes no tensor fields with documents.
    pub is_structured: bool,
    /// The tensor fields of that schema.
    pub tensor_fields: Vec<String>,
    /// The length of its vectors, if its settings tell.
    pub dimensions: Option<usize>,
    /// Number of documents.
    pub documents: u64,
    /// `green`, `yellow` or `red`.
    pub health: String,
}

/// Brings documents to the server, several requests at once, and each document to its outcome.
async fn send_all(
    session: &Session<'_>,
    facts: &Facts,
    operation: Operation,
    job_id: &str,
    wires: &[Wire<'_>],
    outcomes: &mut [Option<Outcome>],
) -> Result<(), Failure> {
    let settings = &session.settings;
    let bounds = Bounds {
        documents: settings.batch_documents.max(1),
        bytes: settings.batch_bytes,
        complexity: settings.batch_complexity,
    };
    let bounds = session.learnt(bounds);
    let writer = |group| Writer::new(session, facts, operation, job_id, group).run();
    // All at once: how many are under way, and that older calls come first, is the gate's affair.
    let mut running: FuturesUnordered<_> = cut(wires, bounds).into_iter().map(writer).collect();
    let mut failure = None;
    while let Some(ended) = running.next().await {
        match ended {
            Ok(some) => {
                for (at, outcome) in some {
                    outcomes[at] = Some(outcome);
                }
            }
            // What is on its way already is answered, and then known to the next attempt; nothing more is sent.
            Err(error) => {
                session.is_given_up.store(true, Ordering::Relaxed);
                failure = failure.or(Some(error));
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

async fn write(
    session: &Session<'_>,
    operation: Operation,
    job_id: &str,
    batch: &[Write],
) -> Result<Vec<Outcome>, Failure> {
    let facts = session.facts().await?;
    let mut outcomes = vec![None; batch.len()];
    let documents = Wires::of(batch, job_id, &session.memory.fields.known());
    let mut wires = Vec::with_capacity(batch.len());
    for wire in documents.iter(batch) {
        match refused_here(session, &facts, operation, &wire) {
            Some(refused) => outcomes[wire.at] = Some(refused),
            None => wires.push(wire),
        }
    }
    send_all(session, &facts, operation, job_id, &wires, &mut outcomes).await?;
    if session.settings.readback && operation == Operation::Add {
        let written = wires.iter().filter(|wire| outcomes[wire.at] == Some(Outcome::Done)).collect();
        let partial = readback::partial(session, &facts, written).await?;
        let removals: Vec<Wire<'_>> = partial.iter().map(|wire| Wire::removal(wire.at, wire.id)).collect();
        send_all(session, &facts, Operation::Delete, job_id, &removals, &mut outcomes).await?;
        for wire in partial {
            outcomes[wire.at] = Some(Outcome::Refused {
                code: "partial-document".to_owned(),
                message: "the server made no vectors for some of its tensor fields; it was removed again"
                    .to_owned(),
            });
        }
    }
    let outcomes = known(outcomes);
    count(operation, &outcomes);
    Ok(outcomes)
}

/// What needs no server to be refused.
fn refused_here(
    session: &Session<'_>,
    facts: &Facts,
    operation: Operation,
    wire: &Wire<'_>,
) -> Option<Outcome> {
    let (settings, write) = (&session.settings, wire.write?);
    if operation == Operation::Update
        && let Some(field) = vectors::not_updatable(write, settings, facts)
    {
        return Some(Outcome::Refused {
            code: "tensor-field-update".to_owned(),
            message: format!(
                "a Marqo server makes no new vectors for an update, and index {} has vectors of {field}; send whole \
                 documents (`--operation add`), or leave the field out",
                session.index_name
            ),
        });
    }
    if wire.characters > MOST_CHARACTERS {
        return Some(Outcome::Refused {
            code: "document-too-large".to_owned(),
            message: format!(
                "the document has {} characters as Python's json.dumps counts them, in which é is 6 and an emoji 12; a \
                 Marqo server takes {MOST_CHARACTERS}",
                wire.characters
            ),
        });
    }
    let message = vectors::complaint(write, settings, facts)?;
    Some(Outcome::Refused { code: "invalid-vector".to_owned(), message })
}

fn known(outcomes: Vec<Option<Outcome>>) -> Vec<Outcome> {
    outcomes.into_iter().map(|outcome| outcome.expect("a writer ends with an outcome for each")).collect()
}

fn count(operation: Operation, outcomes: &[Outcome]) {
    let done = outcomes.iter().filter(|outcome| **outcome == Outcome::Done).count();
    metrics::items(operation, "done", done);
    metrics::items(operation, "refused", outcomes.len() - done);
}

#[async_trait]
impl Index for Marqo {
    fn kind(&self) -> &str {
        "marqo"
    }

    async fn check(&self, target: &Target) -> Result<(), IndexError> {
        let index = &target.index_name;
        let settings = self.shared.settings_of(index).await;
        let settings = settings.map_err(|failure| failure.during("preparing", index))?;
        let contradiction = self.inspect(index, &settings).await?.contradiction(index, &settings);
        contradiction.map_or(Ok(()), |contradiction| {
            Err(Failure::Contradiction { contradiction }.during("preparing", index))
        })
    }

    async fn stored(&self, target: &Target, ids: &[DocumentId]) -> Result<Vec<Option<Stored>>, IndexError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let index = &target.index_name;
        let stored = async {
            let ids: Vec<&str> = ids.iter().map(DocumentId::as_str).collect();
            self.shared.session(index).await?.stored(&ids).await
        };
        stored.await.map_err(|failure| failure.during("reading versions from", index))
    }

    async fn write(&self, target: &Target, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        let index = &target.index_name;
        let written =
            async { write(&self.shared.session(index).await?, Operation::Add, &target.job_id, batch).await };
        written.await.map_err(|failure| failure.during("writing to", index))
    }

    async fn update(&self, target: &Target, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        let index = &target.index_name;
        let updated = async {
            write(&self.shared.session(index).await?, Operation::Update, &target.job_id, batch).await
        };
        updated.await.map_err(|failure| failure.during("updating", index))
    }

    async fn delete(&self, target: &Target, batch: &[Removal]) -> Result<Vec<Outcome>, IndexError> {
        let index = &target.index_name;
        let deleted = async {
            let session = self.shared.session(index).await?;
            let removals = batch.iter().enumerate();
            let wires: Vec<Wire<'_>> = removals.map(|(at, removal)| Wire::removal(at, &removal.id)).collect();
            let mut outcomes = vec![None; batch.len()];
            let facts = Facts::default();
            let (operation, job_id) = (Operation::Delete, &target.job_id);
            send_all(&session, &facts, operation, job_id, &wires, &mut outcomes).await?;
            let outcomes = known(outcomes);
            count(operation, &outcomes);
            Ok(outcomes)
        };
        deleted.await.map_err(|failure: Failure| failure.during("removing from", index))
    }

    async fn get(&self, target: &Target, id: &DocumentId) -> Result<Option<Map<String, Value>>, IndexError> {
        let index = &target.index_name;
        let read = async {
            let found = self.shared.session(index).await?.documents(&[id.as_str()]).await?.pop().flatten();
            Ok(found.map(|mut document| {
                document.remove(VERSION_FIELDS);
                document
            }))
        };
        read.await.map_err(|failure: Failure| failure.during("reading from", index))
    }

    async fn list(
        &self,
        target: &Target,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentId>, IndexError> {
        let index = &target.index_name;
        let listed = async { self.shared.session(index).await?.all_ids().await };
        let ids = listed.await.map_err(|failure| failure.during("listing", index))?;
        let rest = ids.into_iter().filter(|id| after.is_none_or(|after| id > after));
        Ok(rest.take(limit).collect())
    }

    async fn count(&self, target: &Target) -> Result<u64, IndexError> {
        let index = &target.index_name;
        let counted = async { self.shared.session(index).await?.count().await };
        counted.await.map_err(|failure| failure.during("counting", index))
    }
}
