//! The servers (endpoints) that this process talks to, and failover: an index may have a fallback, which is used while
//! its primary endpoint cannot be reached.

use super::{limiter::Limiter, metrics, session::drop_unused};
use host_core::clock::SharedClock;
use jiff::Timestamp;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How long the fallback is used before the primary endpoint is tried again.
const FAILOVER_COOLDOWN: Duration = Duration::from_secs(30);

/// A server and what this process has cached about it.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) url: String,
    pub(super) limiter: Limiter,
    /// Most documents of a request; `usize::MAX` until the server refuses a request as too large.
    pub(super) max_documents: AtomicUsize,
    /// Most bytes of a request; `usize::MAX` until the server refuses a request as too large.
    pub(super) max_bytes: AtomicUsize,
    /// It answered 405 to `get-batch`, the call that reads documents by POST; they are read by GET.
    pub(super) lacks_get_batch: AtomicBool,
    /// Number of documents that it accepted from this process. If it grows while one document keeps failing, the server
    /// works and that document is at fault.
    pub(super) accepted_count: AtomicU64,
}

impl Endpoint {
    fn new(url: &str, clock: &SharedClock) -> Self {
        Self {
            url: url.to_owned(),
            limiter: Limiter::new(clock.clone()),
            max_documents: AtomicUsize::new(usize::MAX),
            max_bytes: AtomicUsize::new(usize::MAX),
            lacks_get_batch: AtomicBool::new(false),
            accepted_count: AtomicU64::new(0),
        }
    }
}

/// Addresses of a primary endpoint and its fallback.
type Addresses = (String, Option<String>);

/// All servers that this process talks to. Each has one limiter, shared by all writers.
#[derive(Debug)]
pub(super) struct Endpoints {
    clock: SharedClock,
    known: Mutex<HashMap<String, Arc<Endpoint>>>,
    routes: Mutex<HashMap<Addresses, Arc<Route>>>,
}

impl Endpoints {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self { clock, known: Mutex::default(), routes: Mutex::default() }
    }

    fn endpoint(&self, url: &str) -> Arc<Endpoint> {
        let url = url.trim_end_matches('/');
        let (mut known, url) = (self.known.lock().expect("no holder of this lock panics"), url.to_owned());
        drop_unused(&mut known, &url);
        Arc::clone(known.entry(url.clone()).or_insert_with(|| Arc::new(Endpoint::new(&url, &self.clock))))
    }

    /// The route of these addresses: the same one for all indexes that have both in common.
    pub(super) fn route(&self, primary: &str, fallback: Option<&str>) -> Arc<Route> {
        let key = (primary.to_owned(), fallback.map(str::to_owned));
        let route = || Route {
            primary: self.endpoint(primary),
            fallback: fallback.map(|url| self.endpoint(url)),
            failed_over_until: Mutex::new(None),
        };
        let mut routes = self.routes.lock().expect("no holder of this lock panics");
        drop_unused(&mut routes, &key);
        Arc::clone(routes.entry(key).or_insert_with(|| Arc::new(route())))
    }
}

/// A primary endpoint and the one to use while it cannot be reached.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) primary: Arc<Endpoint>,
    pub(super) fallback: Option<Arc<Endpoint>>,
    /// Until when the fallback is used; `None` while the primary is.
    failed_over_until: Mutex<Option<Timestamp>>,
}

impl Route {
    /// The endpoint to try now.
    pub(super) fn choose(&self, now: Timestamp) -> &Arc<Endpoint> {
        match &self.fallback {
            Some(fallback) if self.is_failed_over(now) => fallback,
            _ => &self.primary,
        }
    }

    fn is_failed_over(&self, now: Timestamp) -> bool {
        let mut failed_over_until = self.failed_over_until.lock().expect("no holder of this lock panics");
        if failed_over_until.is_some_and(|until| until <= now) {
            // The next request goes to the primary, and shows whether it is back.
            *failed_over_until = None;
        }
        failed_over_until.is_some()
    }

    /// Records that the endpoint could not be reached. Returns the other one, to try instead; `None` without a
    /// fallback.
    pub(super) fn unreachable(&self, endpoint: &Arc<Endpoint>, now: Timestamp) -> Option<&Arc<Endpoint>> {
        let fallback = self.fallback.as_ref()?;
        let mut failed_over_until = self.failed_over_until.lock().expect("no holder of this lock panics");
        let (failed_over, instead) = match Arc::ptr_eq(endpoint, &self.primary) {
            true => (now.saturating_add(FAILOVER_COOLDOWN).ok(), fallback),
            false => (None, &self.primary),
        };
        if failed_over.is_some() != failed_over_until.is_some() {
            metrics::endpoint_switched();
            tracing::warn!(from = endpoint.url, to = instead.url, "an endpoint cannot be reached");
        }
        *failed_over_until = failed_over;
        Some(instead)
    }

    /// Tightens the limits of requests after the server refused one as too large; `None` leaves a limit as it is.
    pub(super) fn tighten_limits(endpoint: &Endpoint, documents: Option<usize>, bytes: Option<usize>) {
        if let Some(documents) = documents {
            endpoint.max_documents.fetch_min(documents.max(1), Ordering::Relaxed);
        }
        if let Some(bytes) = bytes {
            endpoint.max_bytes.fetch_min(bytes.max(1), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::clock::{Clock, SystemClock};

    #[test]
    fn the_fallback_is_used_until_the_cooldown_ends() {
        let endpoints = Endpoints::new(Arc::new(SystemClock));
        let route = endpoints.route("http://a", Some("http://b/"));
        let now = SystemClock.now();
        assert_eq!(route.choose(now).url, "http://a");
        assert_eq!(route.unreachable(&route.primary, now).unwrap().url, "http://b");
        assert_eq!(route.choose(now).url, "http://b");
        assert_eq!(route.choose(now + FAILOVER_COOLDOWN).url, "http://a");
        let without_fallback = endpoints.route("http://a", None);
        assert!(without_fallback.unreachable(&without_fallback.primary, now).is_none());
        assert_eq!(without_fallback.choose(now).url, "http://a");
        // Routes share their servers, and thereby the limiters.
        assert!(Arc::ptr_eq(&route.primary, &without_fallback.primary));
        assert!(Arc::ptr_eq(&endpoints.route("http://b", None).primary, route.fallback.as_ref().unwrap()));
    }

    #[test]
    fn servers_that_no_index_uses_any_more_are_forgotten() {
        let endpoints = Endpoints::new(Arc::new(SystemClock));
        let used = endpoints.route("http://used", Some("http://fallback"));
        for number in 0..5_000 {
            endpoints.route(&format!("http://{number}"), None);
        }
        // The bound of `drop_unused`.
        assert!(endpoints.routes.lock().unwrap().len() <= 1_000);
        assert!(endpoints.known.lock().unwrap().len() <= 1_000);
        // A server that is in use keeps its limiter.
        assert!(Arc::ptr_eq(&endpoints.route("http://used", Some("http://fallback")), &used));
        assert!(Arc::ptr_eq(
            &endpoints.route("http://fallback", None).primary,
            used.fallback.as_ref().unwrap()
        ));
    }
}
