//! Sends a request to an endpoint that can be reached, and retries while none can or the server throttles. What a server answers
//! to writes, such as 409, is retried in `write`.

use super::{
    classify::{AnswerClass, Observed, classify, detail},
    client::{Answer, Request, TransportError},
    endpoint::Endpoint,
    error::{Failure, Unreachable},
    metrics,
    operation::Operation,
    response::Refusal,
    session::{Session, lock},
};
use host_net::{Retry, retry_after};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tracing::Instrument;

/// A classified answer and the endpoint that sent it.
pub(super) struct Sent {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) class: AnswerClass,
    /// `None` if the answer did not arrive.
    pub(super) status: Option<u16>,
    pub(super) body: Vec<u8>,
    pub(super) refusal: Refusal,
    /// What the server answered, or the error in its place, for messages.
    pub(super) detail: String,
}

impl Session<'_> {
    /// Sends a read-only request, retrying it and failing over to the other endpoint, until there is an answer that
    /// `read` can parse.
    pub(super) async fn request_with_failover<T>(
        &self,
        operation: Operation,
        make: impl Fn(&Endpoint) -> Request + Sync,
        read: impl Fn(&[u8]) -> serde_json::Result<T>,
    ) -> Result<T, Failure> {
        let mut retry = Retry::new(self.shared.timeouts.policy, self.shared.clock.as_ref());
        loop {
            let sent = self.send(operation, &make).await?;
            let detail = match sent.class {
                AnswerClass::Done => match read(&sent.body) {
                    Ok(read) => return Ok(read),
                    Err(error) => format!("an answer that cannot be read ({error}): {}", sent.detail),
                },
                AnswerClass::Misconfigured { .. }
                    if sent.status == Some(405)
                        && !sent.endpoint.lacks_get_batch.swap(true, Ordering::Relaxed) =>
                {
                    // The server has no `get-batch`; the next request is a GET.
                    continue;
                }
                AnswerClass::Unknown | AnswerClass::Busy => sent.detail.clone(),
                _ => return Err(sent.failure(operation)),
            };
            metrics::retried("read");
            if !retry.wait(None).await {
                return Err(sent.failing(operation, retry.failed(), detail));
            }
        }
    }

    /// Sends a request, and retries for a bounded time while the server cannot be reached or throttles. Writing requests need a
    /// permit of the server's limiter.
    pub(super) async fn send(
        &self,
        operation: Operation,
        make: &(dyn Fn(&Endpoint) -> Request + Sync),
    ) -> Result<Sent, Failure> {
        let clock = &self.shared.clock;
        let mut endpoint = Arc::clone(self.route.choose(clock.now()));
        let (mut throttled_since, mut unreachable_since) = (None, None);
        // Whether the endpoint is the other one, tried because the first could not be reached.
        let mut is_second_choice = false;
        // Bounded by time, not by attempts.
        let policy = self.shared.timeouts.policy.with_max_attempts(u32::MAX);
        let mut unreachable = Retry::new(policy, clock.as_ref());
        loop {
            let permit = match operation.writes() {
                true => Some(endpoint.limiter.acquire(self.settings.concurrency).await),
                false => {
                    endpoint.limiter.wait_out_pause().await;
                    None
                }
            };
            if operation.writes() && self.is_aborted.load(Ordering::Relaxed) {
                return Err(Failure::Aborted);
            }
            // Built only now, so that requests that wait need no memory.
            let request = make(&endpoint);
            let began = clock.now();
            let key = self.settings.api_key.as_ref();
            let span = tracing::debug_span!(
                "request",
                operation = operation.as_str(),
                endpoint = endpoint.url,
                index = self.index_name
            );
            let answer =
                self.shared.client.send(&endpoint.url, key, self.index_name, request).instrument(span).await;
            let took = clock.now().duration_since(began).unsigned_abs();
            metrics::request(operation, &answer, took);
            let detail = detail(&answer);
            let refusal = match &answer {
                Ok(answer) if answer.status >= 300 => Refusal::of_body(&answer.body),
                _ => Refusal::default(),
            };
            let class = classify(match &answer {
                Ok(Answer { status, .. }) => Observed::Answer { status: *status, refusal: &refusal },
                Err(error) => Observed::TransportError(error),
            });
            tracing::debug!(
                operation = operation.as_str(),
                endpoint = endpoint.url,
                status = answer.as_ref().ok().map(|answer| answer.status),
                error = answer.as_ref().err().map(|error| error.message.as_str()),
                milliseconds = took.as_millis() as u64,
                "request"
            );
            if class != AnswerClass::NotSent {
                self.set_unreachable(None);
            }
            match class {
                AnswerClass::NotSent => {
                    drop(permit);
                    let now = clock.now();
                    let since = *unreachable_since.get_or_insert_with(|| {
                        let seconds = self.shared.timeouts.unreachable.as_secs();
                        if seconds > 0 {
                            tracing::warn!(
                                endpoint = endpoint.url,
                                error = detail,
                                "a server cannot be reached; retrying for {seconds} s"
                            );
                        }
                        now
                    });
                    let other = self.route.unreachable(&endpoint, now).cloned();
                    if let (Some(other), false) = (&other, is_second_choice) {
                        (endpoint, is_second_choice) = (Arc::clone(other), true);
                        metrics::retried("endpoint");
                        continue;
                    }
                    self.invalidate_address();
                    let failure = self.unreachable(detail);
                    if now.duration_since(since).unsigned_abs() >= self.shared.timeouts.unreachable {
                        self.set_unreachable(None);
                        return Err(failure.into());
                    }
                    self.set_unreachable(Some(&failure));
                    metrics::retried("unreachable");
                    unreachable.wait(None).await;
                    (endpoint, is_second_choice) = (Arc::clone(self.route.choose(clock.now())), false);
                }
                AnswerClass::Throttled => {
                    let now = clock.now();
                    let since = *throttled_since.get_or_insert(now);
                    let asked = answer.ok().and_then(|answer| retry_after(&answer.retry_after?, now));
                    endpoint.limiter.throttled(permit.as_ref(), asked);
                    drop(permit);
                    let waited = now.duration_since(since).unsigned_abs();
                    if waited >= self.shared.timeouts.throttle {
                        return Err(throttled(&endpoint, operation, waited, detail));
                    }
                    metrics::retried("throttled");
                    endpoint = Arc::clone(self.route.choose(clock.now()));
                }
                class => {
                    if class == AnswerClass::Done && operation.writes() {
                        endpoint.limiter.succeeded(self.settings.concurrency);
                    }
                    let (status, body) = match answer {
                        Ok(Answer { status, body, .. }) => (Some(status), body),
                        Err(TransportError { .. }) => (None, Vec::new()),
                    };
                    drop(permit);
                    return Ok(Sent { endpoint, class, status, body, refusal, detail });
                }
            }
        }
    }

    /// The failure if neither endpoint can be reached.
    fn unreachable(&self, detail: String) -> Unreachable {
        let fallback = self.route.fallback.as_ref();
        Unreachable {
            endpoint: self.route.primary.url.clone(),
            detail,
            fallback: fallback
                .map(|fallback| format!(", and neither can its fallback {}", fallback.url))
                .unwrap_or_default(),
        }
    }

    /// Has a later call ask Marqo Cloud for the address again, since the index may have moved.
    fn invalidate_address(&self) {
        if let (true, Some(index_list)) =
            (self.settings.cloud, lock(&self.shared.index_lists).get_mut(&self.settings.endpoint))
        {
            index_list.invalidate();
        }
    }
}

/// The failure of a request or of documents that the server throttled for too long.
pub(super) fn throttled(
    endpoint: &Endpoint,
    operation: Operation,
    waited: Duration,
    detail: String,
) -> Failure {
    Failure::Throttled {
        endpoint: endpoint.url.clone(),
        operation: operation.as_str(),
        seconds: waited.as_secs(),
        detail,
    }
}

impl Sent {
    /// The failure of a request whose answer is not retried.
    pub(super) fn failure(&self, operation: Operation) -> Failure {
        let (endpoint, operation, detail) =
            (self.endpoint.url.clone(), operation.as_str(), self.detail.clone());
        match self.class {
            AnswerClass::Misconfigured { advice } => {
                Failure::Misconfigured { endpoint, operation, detail, advice: advice.into() }
            }
            _ => Failure::Refused { endpoint, operation, detail },
        }
    }

    /// The failure after the last attempt.
    pub(super) fn failing(&self, operation: Operation, attempts: u32, detail: String) -> Failure {
        let (endpoint, operation) = (self.endpoint.url.clone(), operation.as_str());
        Failure::Failing { endpoint, operation, attempts, detail }
    }
}
