//! The `Index` port of `host-core` for Marqo, a search engine that computes the vectors ("tensors") of texts and images
//! itself.
//!
//! A call finds its server (`session`) and splits its documents into requests (`payload`, `batch`). For each request a
//! `write::Writer` brings every document to an outcome: done, or refused with a code and a message. `classify` alone
//! says what an answer means, `retry` sends a request until it is answered, and `limiter` says how many requests run at
//! once.

use async_trait::async_trait;
use batch::{Bounds, cut};
use error::Failure;
use futures::{StreamExt, stream::FuturesUnordered};
use host_core::{
    clock::SharedClock,
    index::{Index, IndexError, Outcome, Removal, StoredVersion, TargetId, Write, WriteTarget},
    model::DocumentId,
    storage::Settings,
};
use host_net::RetryProfile;
use operation::Operation;
use payload::{MAX_CHARACTERS, Payload, Payloads, VERSION_FIELDS};
use serde_json::{Map, Value};
use server_info::ServerInfo;
use session::{Session, SharedState};
use std::sync::{Arc, atomic::Ordering};
use write::Writer;

mod batch;
mod classify;
mod client;
mod cloud;
mod config;
mod endpoint;
mod error;
mod group;
mod json;
mod limiter;
mod limits;
mod metrics;
mod operation;
mod payload;
mod read;
mod readback;
mod request;
mod response;
mod retry;
mod schema_lock;
mod server_info;
mod session;
mod settings;
mod vectors;
mod write;

pub use config::MarqoConfig;
pub use settings::{IndexSettings, SettingsError, check_index_name, fits_index_name};

/// The kind of index, as the setting `target` names it.
pub const KIND: &str = "marqo";

/// Indexes on Marqo servers. Clones share connections, limiters and all that is cached about servers.
#[derive(Clone)]
pub struct Marqo {
    shared: Arc<SharedState>,
}

impl Marqo {
    /// The indexes that have settings in the store. The profile says whether a worker or a user waits for the answers:
    /// a user's calls time out sooner and are hardly retried.
    ///
    /// # Errors
    /// This system has no usable certificates.
    pub fn new(
        settings: Arc<dyn Settings>,
        clock: SharedClock,
        config: &MarqoConfig,
        profile: RetryProfile,
    ) -> Result<Self, IndexError> {
        let shared =
            SharedState::new(settings, clock, config.timeouts(profile)).map_err(|error| IndexError {
                action: "preparing connections to Marqo".to_owned(),
                transient: false,
                source: Box::new(error),
            })?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Asks the server that these settings name about an index. The settings need not be stored.
    pub async fn inspect(
        &self,
        index_name: &str,
        settings: &IndexSettings,
    ) -> Result<Inspection, IndexError> {
        let inspected = async {
            let session = self.shared.session_with(index_name, Arc::new(settings.clone())).await?;
            let server_info = session.server_info().await?;
            Ok(Inspection {
                version: server_info.version,
                is_structured: server_info.is_structured,
                tensor_fields: server_info.tensor_fields.clone(),
                dimensions: server_info.dimensions,
                documents: session.count().await?,
                health: session.health().await?,
            })
        };
        inspected.await.map_err(|failure: Failure| failure.during("inspecting", index_name))
    }
}

impl Inspection {
    /// The setting that the server would refuse, as a sentence with advice; `None` if there is none.
    pub fn contradiction(&self, index_name: &str, settings: &IndexSettings) -> Option<String> {
        if !self.is_structured {
            return None;
        }
        let field = settings.tensor_fields.iter().find(|field| !self.tensor_fields.contains(field))?;
        Some(format!(
            "index {index_name} is structured: its schema, not its settings, names its tensor fields ({}), and {field} is none \
             of them; leave tensor fields out (`--unset tensor_fields`)",
            self.tensor_fields.join(", ")
        ))
    }
}

/// What a server says about itself and an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Major and minor version of the server, if it reports them.
    pub version: Option<(u32, u32)>,
    /// Whether the index is structured: it has its own schema, and accepts no tensor fields with documents.
    pub is_structured: bool,
    /// The tensor fields of that schema.
    pub tensor_fields: Vec<String>,
    /// The length of its vectors, if its settings state it.
    pub dimensions: Option<usize>,
    /// Number of documents.
    pub documents: u64,
    /// `green`, `yellow` or `red`.
    pub health: String,
}

/// Sends documents, several requests at once. Sets the outcome of each, at its position in the caller's batch.
async fn send_all(
    session: &Session<'_>,
    server_info: &ServerInfo,
    operation: Operation,
    job_id: &str,
    payloads: &[Payload<'_>],
    outcomes: &mut [Option<Outcome>],
) -> Result<(), Failure> {
    let settings = &session.settings;
    let bounds = Bounds {
        documents: settings.batch_documents.max(1),
        bytes: settings.batch_bytes,
        complexity: settings.batch_complexity,
    };
    let bounds = session.effective_bounds(bounds);
    let writer = |group| Writer::new(session, server_info, operation, job_id, group).run();
    // All at once: the limiter decides how many are sent, those of older calls first.
    let mut running: FuturesUnordered<_> = cut(payloads, bounds).into_iter().map(writer).collect();
    let mut failure = None;
    while let Some(ended) = running.next().await {
        match ended {
            Ok(group_outcomes) => {
                for (at, outcome) in group_outcomes {
                    outcomes[at] = Some(outcome);
                }
            }
            // Requests under way are awaited, and a later attempt at the call finds their documents written. No more
            // are sent.
            Err(error) => {
                session.is_aborted.store(true, Ordering::Relaxed);
                failure = failure.or(Some(error));
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Adds or updates a batch; the outcomes are in its order.
async fn write(
    session: &Session<'_>,
    operation: Operation,
    job_id: &str,
    batch: &[Write],
) -> Result<Vec<Outcome>, Failure> {
    let server_info = session.server_info().await?;
    let mut outcomes = vec![None; batch.len()];
    let documents = Payloads::of(batch, job_id, &session.cached_index.schema.known());
    let mut payloads = Vec::with_capacity(batch.len());
    for payload in documents.iter(batch) {
        match refuse_locally(session, &server_info, operation, &payload) {
            Some(refused) => outcomes[payload.at] = Some(refused),
            None => payloads.push(payload),
        }
    }
    send_all(session, &server_info, operation, job_id, &payloads, &mut outcomes).await?;
    if session.settings.readback && operation == Operation::Add {
        let written = payloads.iter().filter(|payload| outcomes[payload.at] == Some(Outcome::Done)).collect();
        let partial = readback::partial(session, &server_info, written).await?;
        let removals: Vec<Payload<'_>> =
            partial.iter().map(|payload| Payload::removal(payload.at, payload.id)).collect();
        send_all(session, &server_info, Operation::Delete, job_id, &removals, &mut outcomes).await?;
        for payload in partial {
            outcomes[payload.at] = Some(Outcome::Refused {
                code: "partial-document".to_owned(),
                message: "the server made no vectors for some of its tensor fields; it was removed again"
                    .to_owned(),
            });
        }
    }
    let outcomes = all_known(outcomes);
    count(operation, &outcomes);
    Ok(outcomes)
}

/// The refusal of a document that the server would certainly refuse; `None` for all others.
fn refuse_locally(
    session: &Session<'_>,
    server_info: &ServerInfo,
    operation: Operation,
    payload: &Payload<'_>,
) -> Option<Outcome> {
    let (settings, write) = (&session.settings, payload.write?);
    if operation == Operation::Update
        && let Some(field) = vectors::not_updatable(write, settings, server_info)
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
    if payload.characters > MAX_CHARACTERS {
        return Some(Outcome::Refused {
            code: "document-too-large".to_owned(),
            message: format!(
                "the document has {} characters as Python's json.dumps counts them, in which é is 6 and an emoji 12; a \
                 Marqo server takes {MAX_CHARACTERS}",
                payload.characters
            ),
        });
    }
    let message = vectors::complaint(write, settings, server_info)?;
    Some(Outcome::Refused { code: "invalid-vector".to_owned(), message })
}

fn all_known(outcomes: Vec<Option<Outcome>>) -> Vec<Outcome> {
    outcomes.into_iter().map(|outcome| outcome.expect("a writer ends with an outcome for each")).collect()
}

fn count(operation: Operation, outcomes: &[Outcome]) {
    let done = outcomes.iter().filter(|outcome| **outcome == Outcome::Done).count();
    metrics::items(operation, "done", done);
    metrics::items(operation, "refused", outcomes.len() - done);
}

#[async_trait]
impl Index for Marqo {
    fn id(&self) -> TargetId {
        TargetId::of_kind(KIND)
    }

    async fn server(&self, target: &WriteTarget) -> Option<String> {
        let settings = self.shared.settings_of(&target.index_name).await.ok()?;
        Some(settings.endpoint.clone())
    }

    async fn unreachable(&self, target: &WriteTarget) -> IndexError {
        let index = &target.index_name;
        let mut watched = self.shared.unreachable.subscribe();
        let found = watched.wait_for(|all| all.contains_key(index)).await;
        let found = found.ok().and_then(|all| all.get(index).cloned());
        match found {
            Some(unreachable) => Failure::from(unreachable).during("reaching", index),
            // Cannot happen: the channel is open for as long as this index exists.
            None => std::future::pending().await,
        }
    }

    async fn check(&self, target: &WriteTarget) -> Result<(), IndexError> {
        let index = &target.index_name;
        let settings = self.shared.settings_of(index).await;
        let settings = settings.map_err(|failure| failure.during("preparing", index))?;
        let contradiction = self.inspect(index, &settings).await?.contradiction(index, &settings);
        contradiction.map_or(Ok(()), |contradiction| {
            Err(Failure::SettingsMismatch { contradiction }.during("preparing", index))
        })
    }

    async fn stored(
        &self,
        target: &WriteTarget,
        ids: &[DocumentId],
    ) -> Result<Vec<Option<StoredVersion>>, IndexError> {
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

    async fn write(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        let index = &target.index_name;
        let written =
            async { write(&self.shared.session(index).await?, Operation::Add, &target.job_id, batch).await };
        written.await.map_err(|failure| failure.during("writing to", index))
    }

    async fn update(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        let index = &target.index_name;
        let updated = async {
            write(&self.shared.session(index).await?, Operation::Update, &target.job_id, batch).await
        };
        updated.await.map_err(|failure| failure.during("updating", index))
    }

    async fn delete(&self, target: &WriteTarget, batch: &[Removal]) -> Result<Vec<Outcome>, IndexError> {
        let index = &target.index_name;
        let deleted = async {
            let session = self.shared.session(index).await?;
            let removals = batch.iter().enumerate();
            let payloads: Vec<Payload<'_>> =
                removals.map(|(at, removal)| Payload::removal(at, &removal.id)).collect();
            let mut outcomes = vec![None; batch.len()];
            let server_info = ServerInfo::default();
            let (operation, job_id) = (Operation::Delete, &target.job_id);
            send_all(&session, &server_info, operation, job_id, &payloads, &mut outcomes).await?;
            let outcomes = all_known(outcomes);
            count(operation, &outcomes);
            Ok(outcomes)
        };
        deleted.await.map_err(|failure: Failure| failure.during("removing from", index))
    }

    async fn get(
        &self,
        target: &WriteTarget,
        id: &DocumentId,
    ) -> Result<Option<Map<String, Value>>, IndexError> {
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
        target: &WriteTarget,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentId>, IndexError> {
        let index = &target.index_name;
        let listed = async { self.shared.session(index).await?.all_ids().await };
        let ids = listed.await.map_err(|failure| failure.during("listing", index))?;
        let rest = ids.into_iter().filter(|id| after.is_none_or(|after| id > after));
        Ok(rest.take(limit).collect())
    }

    fn list_limit(&self) -> Option<u64> {
        Some(read::MAX_LISTED as u64)
    }

    async fn count(&self, target: &WriteTarget) -> Result<u64, IndexError> {
        let index = &target.index_name;
        let counted = async { self.shared.session(index).await?.count().await };
        counted.await.map_err(|failure| failure.during("counting", index))
    }
}
