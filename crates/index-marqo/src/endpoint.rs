//! Servers, and which of two an index is reached at.

use super::{gate::Gate, metrics};
use host_core::clock::SharedEnv;
use jiff::Timestamp;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How long a primary endpoint is spared after it could not be reached.
const SPARED: Duration = Duration::from_secs(30);

/// A server and what this process learnt about it.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) url: String,
    pub(super) gate: Gate,
    /// Most documents of a request, as far as the server has said.
    pub(super) most_documents: AtomicUsize,
    /// Most bytes of a request, as far as the server has said.
    pub(super) most_bytes: AtomicUsize,
    /// It said that it has no call to get documents by POST.
    pub(super) lacks_get_batch: AtomicBool,
    /// Documents that it took from this process: proof that it works while it refuses another one.
    pub(super) taken: AtomicU64,
}

impl Endpoint {
    fn new(url: &str, env: &SharedEnv) -> Self {
        Self {
            url: url.to_owned(),
            gate: Gate::new(env.clone()),
            most_documents: AtomicUsize::new(usize::MAX),
            most_bytes: AtomicUsize::new(usize::MAX),
            lacks_get_batch: AtomicBool::new(false),
            taken: AtomicU64::new(0),
        }
    }
}

type Addresses = (String, Option<String>);

/// All servers that this process talks to: one gate each, whoever writes.
#[derive(Debug)]
pub(super) struct Endpoints {
    env: SharedEnv,
    known: Mutex<HashMap<String, Arc<Endpoint>>>,
    /// By primary and fallback.
    routes: Mutex<HashMap<Addresses, Arc<Route>>>,
}

impl Endpoints {
    pub(super) fn new(env: SharedEnv) -> Self {
        Self { env, known: Mutex::default(), routes: Mutex::default() }
    }

    fn endpoint(&self, url: &str) -> Arc<Endpoint> {
        let url = url.trim_end_matches('/');
        let mut known = self.known.lock().expect("no holder of this lock panics");
        Arc::clone(known.entry(url.to_owned()).or_insert_with(|| Arc::new(Endpoint::new(url, &self.env))))
    }

    pub(super) fn route(&self, primary: &str, fallback: Option<&str>) -> Arc<Route> {
        let key = (primary.to_owned(), fallback.map(str::to_owned));
        let route = || Route {
            primary: self.endpoint(primary),
            fallback: fallback.map(|url| self.endpoint(url)),
            spared_until: Mutex::new(None),
        };
        let mut routes = self.routes.lock().expect("no holder of this lock panics");
        Arc::clone(routes.entry(key).or_insert_with(|| Arc::new(route())))
    }
}

/// A primary endpoint and the one to use while it cannot be reached.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) primary: Arc<Endpoint>,
    pub(super) fallback: Option<Arc<Endpoint>>,
    spared_until: Mutex<Option<Timestamp>>,
}

impl Route {
    /// The endpoint to try now.
    pub(super) fn choose(&self, now: Timestamp) -> &Arc<Endpoint> {
        match &self.fallback {
            Some(fallback) if self.is_spared(now) => fallback,
            _ => &self.primary,
        }
    }

    fn is_spared(&self, now: Timestamp) -> bool {
        let mut spared_until = self.spared_until.lock().expect("no holder of this lock panics");
        if spared_until.is_some_and(|until| until <= now) {
            // One may look whether it is back.
            *spared_until = None;
        }
        spared_until.is_some()
    }

    /// The endpoint could not be reached; gives the one to try instead, if there is another.
    pub(super) fn unreachable(&self, endpoint: &Arc<Endpoint>, now: Timestamp) -> Option<&Arc<Endpoint>> {
        let fallback = self.fallback.as_ref()?;
        let mut spared_until = self.spared_until.lock().expect("no holder of this lock panics");
        let (spared, instead) = match Arc::ptr_eq(endpoint, &self.primary) {
            true => (now.saturating_add(SPARED).ok(), fallback),
            false => (None, &self.primary),
        };
        if spared.is_some() != spared_until.is_some() {
            metrics::endpoint_switched();
            tracing::warn!(from = endpoint.url, to = instead.url, "an endpoint cannot be reached");
        }
        *spared_until = spared;
        Some(instead)
    }

    /// Remembers a lesson about the size of requests.
    pub(super) fn learn(endpoint: &Endpoint, documents: Option<usize>, bytes: Option<usize>) {
        if let Some(documents) = documents {
            endpoint.most_documents.fetch_min(documents.max(1), Ordering::Relaxed);
        }
        if let Some(bytes) = bytes {
            endpoint.most_bytes.fetch_min(bytes.max(1), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::clock::{Env, RealEnv};

    #[test]
    fn the_primary_is_tried_again_after_a_while() {
        let endpoints = Endpoints::new(Arc::new(RealEnv));
        let route = endpoints.route("http://a", Some("http://b/"));
        let now = RealEnv.now();
        assert_eq!(route.choose(now).url, "http://a");
        assert_eq!(route.unreachable(&route.primary, now).unwrap().url, "http://b");
        assert_eq!(route.choose(now).url, "http://b");
        assert_eq!(route.choose(now + SPARED).url, "http://a");
        // Without another one there is no choice.
        let alone = endpoints.route("http://a", None);
        assert!(alone.unreachable(&alone.primary, now).is_none());
        assert_eq!(alone.choose(now).url, "http://a");
        // One gate a server.
        assert!(Arc::ptr_eq(&route.primary, &alone.primary));
        assert!(Arc::ptr_eq(&endpoints.route("http://b", None).primary, route.fallback.as_ref().unwrap()));
    }
}
