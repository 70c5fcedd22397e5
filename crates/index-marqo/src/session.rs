//! A session: what one call needs to reach its server. That is the settings of the index, the server's address, and
//! what the server says about itself; all of it is cached for the process.

use super::{
    batch::Bounds,
    classify::AnswerClass,
    client::Client,
    cloud::{IndexList, IndexLocation},
    endpoint::{Endpoint, Endpoints, Route},
    error::{Failure, Unreachable},
    limits::Timeouts,
    operation::Operation,
    request,
    schema_lock::SchemaLock,
    server_info::ServerInfo,
    settings::IndexSettings,
};
use host_core::{clock::SharedClock, storage::Settings};
use jiff::Timestamp;
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// The process-wide state behind all sessions.
pub(super) struct SharedState {
    pub(super) clock: SharedClock,
    pub(super) timeouts: Timeouts,
    settings: Arc<dyn Settings>,
    pub(super) client: Client,
    endpoints: Endpoints,
    known_settings: Mutex<HashMap<String, Cached<Arc<IndexSettings>>>>,
    /// The indexes of Marqo Cloud, by the address of its control plane (the API that lists them).
    pub(super) index_lists: Mutex<HashMap<String, IndexList>>,
    /// By the primary server's address and the name of the index.
    indexes: Mutex<HashMap<(String, String), Arc<CachedIndex>>>,
    /// Indexes whose requests wait for a server, by name.
    pub(super) unreachable: watch::Sender<HashMap<String, Unreachable>>,
}

/// A value and when it was read.
#[derive(Clone)]
struct Cached<T> {
    value: T,
    read_at: Timestamp,
}

/// What this process has cached of an index.
#[derive(Default)]
pub(super) struct CachedIndex {
    server_info: Mutex<Option<Cached<Arc<ServerInfo>>>>,
    pub(super) schema: SchemaLock,
}

/// What one call needs to reach the server.
pub(super) struct Session<'a> {
    pub(super) shared: &'a SharedState,
    pub(super) index_name: &'a str,
    pub(super) settings: Arc<IndexSettings>,
    pub(super) route: Arc<Route>,
    pub(super) cached_index: Arc<CachedIndex>,
    /// Whether one of its requests failed for good, so that no others are sent.
    pub(super) is_aborted: AtomicBool,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Poisoning is ignored: holders only replace whole values, so a panic cannot leave one half updated.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Entries of a cache from which on those that are not in use are dropped: a process may work for any number of shops.
const MAX_UNUSED: usize = 1_000;

/// Drops the entries that no session uses, if the map has [`MAX_UNUSED`] and is to get a new one.
pub(super) fn drop_unused<K: Eq + Hash, V>(known: &mut HashMap<K, Arc<V>>, new: &K) {
    if known.len() >= MAX_UNUSED && !known.contains_key(new) {
        known.retain(|_, value| Arc::strong_count(value) > 1);
    }
}

impl SharedState {
    pub(super) fn new(
        settings: Arc<dyn Settings>,
        clock: SharedClock,
        timeouts: Timeouts,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            client: Client::new(timeouts.http)?,
            endpoints: Endpoints::new(clock.clone()),
            clock,
            timeouts,
            settings,
            known_settings: Mutex::default(),
            index_lists: Mutex::default(),
            indexes: Mutex::default(),
            unreachable: watch::Sender::default(),
        })
    }

    /// A session with an index, by its stored settings.
    pub(super) async fn session<'a>(&'a self, index_name: &'a str) -> Result<Session<'a>, Failure> {
        let settings = self.settings_of(index_name).await?;
        self.session_with(index_name, settings).await
    }

    /// A session with an index, by these settings.
    pub(super) async fn session_with<'a>(
        &'a self,
        index_name: &'a str,
        settings: Arc<IndexSettings>,
    ) -> Result<Session<'a>, Failure> {
        let primary = match settings.cloud {
            true => self.resolve_cloud_endpoint(index_name, &settings).await?,
            false => settings.endpoint.clone(),
        };
        let route = self.endpoints.route(&primary, settings.fallback_endpoint.as_deref());
        let cached_index = {
            let (mut indexes, key) = (lock(&self.indexes), (primary, index_name.to_owned()));
            drop_unused(&mut indexes, &key);
            Arc::clone(indexes.entry(key).or_default())
        };
        let is_aborted = AtomicBool::new(false);
        Ok(Session { shared: self, index_name, settings, route, cached_index, is_aborted })
    }

    /// The settings of an index, cached.
    pub(super) async fn settings_of(&self, index_name: &str) -> Result<Arc<IndexSettings>, Failure> {
        let known = lock(&self.known_settings).get(index_name).cloned();
        if let Some(known) = known.filter(|known| self.is_fresh(known.read_at)) {
            return Ok(known.value);
        }
        let read = IndexSettings::load(self.settings.as_ref(), index_name).await;
        let read = read.map_err(|source| Failure::Settings { index: index_name.to_owned(), source })?;
        let settings = Arc::new(read.ok_or_else(|| Failure::NoSettings { index: index_name.to_owned() })?);
        let cached = Cached { value: Arc::clone(&settings), read_at: self.clock.now() };
        let mut known = lock(&self.known_settings);
        if known.len() >= MAX_UNUSED {
            known.retain(|_, known| self.is_fresh(known.read_at));
        }
        known.insert(index_name.to_owned(), cached);
        Ok(settings)
    }

    fn is_fresh(&self, read_at: Timestamp) -> bool {
        self.clock.now().duration_since(read_at).unsigned_abs() < self.timeouts.settings_ttl
    }

    /// The address of an index of Marqo Cloud, from the list of its control plane.
    async fn resolve_cloud_endpoint(
        &self,
        index: &str,
        settings: &Arc<IndexSettings>,
    ) -> Result<String, Failure> {
        let control_plane = &settings.endpoint;
        if lock(&self.index_lists).entry(control_plane.clone()).or_default().is_due(index, self.clock.now()) {
            let route = self.endpoints.route(control_plane, None);
            let (settings, cached_index, is_aborted) =
                (Arc::clone(settings), Arc::default(), AtomicBool::new(false));
            // The request is about no index.
            let session = Session { shared: self, index_name: "", settings, route, cached_index, is_aborted };
            let listing = session
                .request_with_failover(
                    Operation::ListIndexes,
                    |_| request::list_indexes(),
                    |body| Ok(body.to_vec()),
                )
                .await;
            let mut index_lists = lock(&self.index_lists);
            let index_list = index_lists.entry(control_plane.clone()).or_default();
            let refreshed = listing.and_then(|body| {
                index_list.refresh(&body, self.clock.now()).map_err(|error| Failure::Refused {
                    endpoint: control_plane.clone(),
                    operation: Operation::ListIndexes.as_str(),
                    detail: format!("an answer that is not a list of indexes: {error}"),
                })
            });
            if let Err(failure) = refreshed {
                if !matches!(index_list.location(index), Some(IndexLocation::Ready { .. })) {
                    return Err(failure);
                }
                tracing::warn!(error = %failure, "the control plane does not answer; using its last list of indexes");
            }
        }
        match lock(&self.index_lists).entry(control_plane.clone()).or_default().location(index) {
            Some(IndexLocation::Ready { endpoint: address }) => Ok(address.clone()),
            location => Err(Failure::NotInCloud {
                endpoint: control_plane.clone(),
                index: index.to_owned(),
                status: if location.is_some() { " that is ready (it is being created)" } else { "" }
                    .to_owned(),
                transient: location.is_some(),
            }),
        }
    }
}

impl Session<'_> {
    /// Tells those who watch the index whether its requests wait for a server.
    pub(super) fn set_unreachable(&self, unreachable: Option<&Unreachable>) {
        self.shared.unreachable.send_if_modified(|all| match unreachable {
            Some(unreachable) => all.insert(self.index_name.to_owned(), unreachable.clone()).is_none(),
            None => all.remove(self.index_name).is_some(),
        });
    }

    /// What the server says about itself and the index, cached.
    pub(super) async fn server_info(&self) -> Result<Arc<ServerInfo>, Failure> {
        let known = lock(&self.cached_index.server_info).clone();
        if let Some(known) = known.filter(|known| self.shared.is_fresh(known.read_at)) {
            return Ok(known.value);
        }
        // A gateway may withhold the version.
        let version = self.send(Operation::Version, &|_: &Endpoint| request::version()).await?;
        let version = (version.class == AnswerClass::Done).then_some(version.body);
        let read = |body: &[u8]| ServerInfo::read(version.as_deref(), body);
        let server_info = Arc::new(
            self.request_with_failover(Operation::Settings, |_| request::settings(self.index_name), read)
                .await?,
        );
        let cached = Cached { value: Arc::clone(&server_info), read_at: self.shared.clock.now() };
        *lock(&self.cached_index.server_info) = Some(cached);
        Ok(server_info)
    }

    /// The bounds of a request, within those that the server has reported.
    pub(super) fn effective_bounds(&self, bounds: Bounds) -> Bounds {
        let endpoint = self.route.choose(self.shared.clock.now());
        Bounds {
            documents: bounds.documents.min(endpoint.max_documents.load(Ordering::Relaxed)),
            bytes: bounds.bytes.min(endpoint.max_bytes.load(Ordering::Relaxed)),
            ..bounds
        }
    }

    /// How long throttled documents of an answer are retried.
    pub(super) fn throttle_timeout(&self) -> Duration {
        self.shared.timeouts.throttle
    }
}
