//! Sending with what every request needs: an endpoint that can be reached, and the patience of a throttled client.

use super::{
    client::{Answer, Broken, Request},
    endpoint::Endpoint,
    error::Failure,
    metrics,
    operation::Operation,
    outcome::{Disposition, Seen, disposition, words},
    response::Refusal,
    retry::backoff,
    session::{Session, lock},
};
use jiff::{Timestamp, fmt::rfc2822};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tracing::Instrument;

/// An answer, judged, and who gave it.
pub(super) struct Sent {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) disposition: Disposition,
    pub(super) status: Option<u16>,
    pub(super) body: Vec<u8>,
    pub(super) refusal: Refusal,
    /// For people.
    pub(super) words: String,
}

impl Session<'_> {
    /// Asks until there is an answer; for requests that change nothing.
    pub(super) async fn ask<T>(
        &self,
        operation: Operation,
        make: impl Fn(&Endpoint) -> Request + Sync,
        read: impl Fn(&[u8]) -> serde_json::Result<T>,
    ) -> Result<T, Failure> {
        let mut attempts = 0;
        loop {
            let sent = self.send(operation, &make).await?;
            let words = match sent.disposition {
                Disposition::Done => match read(&sent.body) {
                    Ok(read) => return Ok(read),
                    Err(error) => format!("an answer that cannot be read ({error}): {}", sent.words),
                },
                Disposition::Misconfigured { .. }
                    if sent.status == Some(405)
                        && !sent.endpoint.lacks_get_batch.swap(true, Ordering::Relaxed) =>
                {
                    continue;
                }
                Disposition::Unknown | Disposition::Busy => sent.words.clone(),
                _ => return Err(sent.failure(operation)),
            };
            attempts += 1;
            if attempts >= self.shared.options.attempts {
                return Err(sent.failing(operation, attempts, words));
            }
            metrics::retried("read");
            self.wait(attempts).await;
        }
    }

    /// Sleeps before another attempt.
    pub(super) async fn wait(&self, attempts: u32) {
        self.shared.env.sleep(backoff(attempts, self.shared.env.random())).await;
    }

    /// Sends a request, and again while the server cannot be reached or throttles, for a bounded time. Writing requests
    /// pass the server's gate.
    pub(super) async fn send(
        &self,
        operation: Operation,
        make: &(dyn Fn(&Endpoint) -> Request + Sync),
    ) -> Result<Sent, Failure> {
        let env = &self.shared.env;
        let mut endpoint = Arc::clone(self.route.choose(env.now()));
        let (mut throttled_since, mut unreachable_since) = (None, None);
        let (mut is_second_choice, mut rounds) = (false, 0);
        loop {
            let pass = match operation.writes() {
                true => Some(endpoint.gate.enter(self.settings.concurrency).await),
                false => {
                    endpoint.gate.open().await;
                    None
                }
            };
            if operation.writes() && self.is_given_up.load(Ordering::Relaxed) {
                return Err(Failure::GivenUp);
            }
            // Made only now: those that wait need no memory.
            let request = make(&endpoint);
            let began = env.now();
            let key = self.settings.api_key.as_ref();
            let span = tracing::debug_span!(
                "request",
                operation = operation.as_str(),
                endpoint = endpoint.url,
                index = self.index_name
            );
            let answer =
                self.shared.client.send(&endpoint.url, key, self.index_name, request).instrument(span).await;
            let took = env.now().duration_since(began).unsigned_abs();
            metrics::request(operation, &answer, took);
            let words = words(&answer);
            let refusal = match &answer {
                Ok(answer) if answer.status >= 300 => Refusal::of_body(&answer.body),
                _ => Refusal::default(),
            };
            let judged = disposition(match &answer {
                Ok(Answer { status, .. }) => Seen::Answer { status: *status, refusal: &refusal },
                Err(broken) => Seen::Broken(broken),
            });
            tracing::debug!(
                operation = operation.as_str(),
                endpoint = endpoint.url,
                status = answer.as_ref().ok().map(|answer| answer.status),
                error = answer.as_ref().err().map(|broken| broken.message.as_str()),
                milliseconds = took.as_millis() as u64,
                "request"
            );
            match judged {
                Disposition::NotSent => {
                    drop(pass);
                    let now = env.now();
                    let since = *unreachable_since.get_or_insert_with(|| {
                        let patience = self.shared.options.unreachable_patience.as_secs();
                        if patience > 0 {
                            tracing::warn!(
                                endpoint = endpoint.url,
                                error = words,
                                "a server cannot be reached; it is tried again for {patience} s"
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
                    self.doubt_address();
                    if now.duration_since(since).unsigned_abs() >= self.shared.options.unreachable_patience {
                        return Err(self.unreachable(words));
                    }
                    rounds += 1;
                    metrics::retried("unreachable");
                    self.wait(rounds).await;
                    (endpoint, is_second_choice) = (Arc::clone(self.route.choose(env.now())), false);
                }
                Disposition::Throttled => {
                    let now = env.now();
                    let since = *throttled_since.get_or_insert(now);
                    let wish = answer.ok().and_then(|answer| retry_after(answer.retry_after?.as_str(), now));
                    endpoint.gate.throttled(pass.as_ref(), wish);
                    drop(pass);
                    let waited = now.duration_since(since).unsigned_abs();
                    if waited >= self.shared.options.throttle_patience {
                        return Err(throttled(&endpoint, operation, waited, words));
                    }
                    metrics::retried("throttled");
                    endpoint = Arc::clone(self.route.choose(env.now()));
                }
                judged => {
                    if judged == Disposition::Done && operation.writes() {
                        endpoint.gate.succeeded(self.settings.concurrency);
                    }
                    let (status, body) = match answer {
                        Ok(Answer { status, body, .. }) => (Some(status), body),
                        Err(Broken { .. }) => (None, Vec::new()),
                    };
                    drop(pass);
                    return Ok(Sent { endpoint, disposition: judged, status, body, refusal, words });
                }
            }
        }
    }

    fn unreachable(&self, words: String) -> Failure {
        let fallback = self.route.fallback.as_ref();
        Failure::Unreachable {
            endpoint: self.route.primary.url.clone(),
            words,
            fallback: fallback
                .map(|fallback| format!(", and neither can its fallback {}", fallback.url))
                .unwrap_or_default(),
        }
    }

    /// An index of Marqo Cloud may have moved.
    fn doubt_address(&self) {
        if let (true, Some(directory)) =
            (self.settings.cloud, lock(&self.shared.directories).get_mut(&self.settings.endpoint))
        {
            directory.doubt();
        }
    }
}

/// The server throttled for longer than is patient.
pub(super) fn throttled(
    endpoint: &Endpoint,
    operation: Operation,
    waited: Duration,
    words: String,
) -> Failure {
    Failure::Throttled {
        endpoint: endpoint.url.clone(),
        operation: operation.as_str(),
        seconds: waited.as_secs(),
        words,
    }
}

impl Sent {
    /// Why nothing more is tried.
    pub(super) fn failure(&self, operation: Operation) -> Failure {
        let (endpoint, operation, words) =
            (self.endpoint.url.clone(), operation.as_str(), self.words.clone());
        match self.disposition {
            Disposition::Misconfigured { advice } => {
                Failure::Misconfigured { endpoint, operation, words, advice }
            }
            _ => Failure::Refused { endpoint, operation, words },
        }
    }

    /// Too many attempts.
    pub(super) fn failing(&self, operation: Operation, attempts: u32, words: String) -> Failure {
        let (endpoint, operation) = (self.endpoint.url.clone(), operation.as_str());
        Failure::Failing { endpoint, operation, attempts, words }
    }
}

/// Seconds or a date.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(if date > now { date.duration_since(now).unsigned_abs() } else { Duration::ZERO })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        let date = "Thu, 01 Jan 2026 00:01:00 GMT";
        assert_eq!(retry_after(date, now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after(date, now + Duration::from_secs(90)), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
