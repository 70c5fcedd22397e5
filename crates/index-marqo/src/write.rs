//! Writes the documents of one group (those that go into one request at first). Each gets exactly one outcome, whatever
//! the server answers; what may be accepted later is retried.

use super::{
    classify::{AnswerClass, Observed, classify, is_refused_update},
    client::Request,
    endpoint::{Endpoint, Route},
    error::Failure,
    group::{Group, Pending},
    limits::{MAX_ATTEMPTS, MAX_RETRYABLE_REJECTIONS, SPLIT_AFTER_FAILURES},
    metrics,
    operation::Operation,
    payload::Payload,
    request,
    response::{Item, Items, Refusal, excerpt, plain},
    retry::{Sent, throttled},
    server_info::ServerInfo,
    session::Session,
};
use host_core::index::Outcome;
use host_net::RetryPolicy;
use jiff::Timestamp;
use std::{collections::VecDeque, sync::atomic::Ordering, time::Duration};
use tokio::sync::MutexGuard as SchemaLockGuard;

/// What a server leaves out when it refuses an update of a document that exists.
const OTHER_KIND: &str = "; the document is there, so a field of the update has another kind than in the index (20 and 20.0 are two kinds)";

/// Writes one group. Other groups of the same call run beside it.
pub(super) struct Writer<'a> {
    session: &'a Session<'a>,
    server_info: &'a ServerInfo,
    operation: Operation,
    job_id: &'a str,
    /// Groups still to be sent, in this order.
    work: VecDeque<Group<'a>>,
    /// By position in the caller's batch.
    outcomes: Vec<(usize, Outcome)>,
    /// Failed requests of any kind since the last success: a dead server must not look like bad documents.
    failures_in_a_row: u32,
    /// When an item was first throttled since the last answer without such an item.
    throttled_since: Option<Timestamp>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        session: &'a Session<'a>,
        server_info: &'a ServerInfo,
        operation: Operation,
        job_id: &'a str,
        group: Vec<&'a Payload<'a>>,
    ) -> Self {
        Self {
            session,
            server_info,
            operation,
            job_id,
            work: VecDeque::from([Group::of(group)]),
            outcomes: Vec::new(),
            failures_in_a_row: 0,
            throttled_since: None,
        }
    }

    /// Sends and retries until each document has an outcome. Returns them by position in the caller's batch.
    pub(super) async fn run(mut self) -> Result<Vec<(usize, Outcome)>, Failure> {
        // A failed group goes to the end, so that its other half can show that the server works.
        while let Some(group) = self.work.pop_front().filter(|_| !self.is_aborted()) {
            self.wait_for(&group).await;
            let group = self.drop_already_written(group).await?;
            if let Some((code, detail)) = &group.verdict {
                group.documents.iter().for_each(|document| self.refuse(document, code, detail));
                continue;
            }
            if group.documents.is_empty() {
                continue;
            }
            let schema = self.lock_schema(&group).await;
            if self.is_aborted() {
                break;
            }
            let sent = self.send(&group, schema).await?;
            self.evaluate(group, sent)?;
        }
        Ok(self.outcomes)
    }

    /// Whether another request of the same call has failed for good, so that the call fails whatever becomes of this
    /// group.
    fn is_aborted(&self) -> bool {
        self.session.is_aborted.load(Ordering::Relaxed)
    }

    /// Waits until the fields of the group may be written. Returns the lock if some of them are new to the index.
    async fn lock_schema(&self, group: &Group<'a>) -> Option<SchemaLockGuard<'a, ()>> {
        let names = || group.payloads().flat_map(Payload::names);
        match self.operation {
            Operation::Add if group.payloads().any(|payload| !payload.is_of_known_fields) => {
                self.session.cached_index.schema.lock_for_new_fields(names).await
            }
            _ => None,
        }
    }

    async fn wait_for(&self, group: &Group<'_>) {
        let now = self.session.shared.clock.now();
        if let Some(time) = group.not_before.filter(|time| *time > now) {
            self.session.shared.clock.sleep(time.duration_since(now).unsigned_abs()).await;
        }
    }

    /// Reads the documents back if an earlier attempt may have written them, and drops those that it did write, so that
    /// none is written twice.
    async fn drop_already_written(&mut self, mut group: Group<'a>) -> Result<Group<'a>, Failure> {
        if !std::mem::take(&mut group.maybe_written) || self.operation == Operation::Delete {
            // Deleting again does no harm.
            return Ok(group);
        }
        let stored = self.session.stored(&group.ids()).await?;
        let (documents, outcomes) = (std::mem::take(&mut group.documents), &mut self.outcomes);
        for (mut document, stored) in documents.into_iter().zip(stored) {
            let hash = document.payload.write.map(|write| write.content_hash.as_str());
            let is_ours = stored.as_ref().is_some_and(|stored| {
                stored.content_hash.as_deref() == hash && stored.job_id.as_deref() == Some(self.job_id)
            });
            if is_ours {
                outcomes.push((document.payload.at, Outcome::Done));
                self.failures_in_a_row = 0;
                continue;
            }
            document.is_absent = stored.is_none();
            group.documents.push(document);
        }
        Ok(group)
    }

    async fn send(
        &self,
        group: &Group<'a>,
        schema: Option<SchemaLockGuard<'a, ()>>,
    ) -> Result<Sent, Failure> {
        metrics::batch(group.documents.len());
        let make = |_: &Endpoint| -> Request {
            let (index, settings) = (self.session.index_name, &self.session.settings);
            match self.operation {
                Operation::Update => request::update(index, group.payloads()),
                Operation::Delete => request::delete(index, group.ids().into_iter()),
                _ => request::add(index, settings, self.server_info, group.payloads()),
            }
        };
        let sent = self.session.send(self.operation, &make).await?;
        if schema.is_some() && sent.class == AnswerClass::Done {
            self.session.cached_index.schema.written(group.payloads().flat_map(Payload::names));
        }
        Ok(sent)
    }

    /// Draws the consequence of an answer, by the table in `classify`.
    fn evaluate(&mut self, group: Group<'a>, sent: Sent) -> Result<(), Failure> {
        match sent.class {
            AnswerClass::Done => match serde_json::from_slice::<Items<'_>>(&sent.body) {
                Ok(items) => self.evaluate_items(group, items, &sent),
                Err(error) => {
                    let refusal =
                        Refusal { code: None, message: format!("{} ({error})", excerpt(&sent.body)) };
                    let unreadable = Sent { class: classify(Observed::Unreadable), refusal, ..sent };
                    self.failed(group, &unreadable)
                }
            },
            AnswerClass::Unknown => self.failed(group, &sent),
            AnswerClass::Busy => self.busy(group, &sent),
            AnswerClass::TooLarge { limit } => {
                // 413 is about bytes; otherwise half of what was refused is tried, unless the server names its limit.
                let documents =
                    limit.or(Some(group.documents.len() / 2).filter(|_| sent.status != Some(413)));
                let bytes = (sent.status == Some(413)).then(|| group.bytes() / 2);
                Route::tighten_limits(&sent.endpoint, documents, bytes);
                self.halve_or_refuse(group, &sent, "document-too-large");
                Ok(())
            }
            AnswerClass::Refused | AnswerClass::Retryable => {
                self.halve_or_refuse(group, &sent, &format!("status-{}", sent.status.unwrap_or_default()));
                Ok(())
            }
            AnswerClass::Misconfigured { .. } | AnswerClass::NotSent | AnswerClass::Throttled => {
                Err(sent.failure(self.operation))
            }
        }
    }

    /// Retries a group whose outcome is unknown, in halves after some failures. Ends when a single document is at fault
    /// (its verdict) or the server is (an error).
    fn failed(&mut self, mut group: Group<'a>, sent: &Sent) -> Result<(), Failure> {
        metrics::retried("unknown");
        self.failures_in_a_row += 1;
        group.failures += 1;
        group.maybe_written = true;
        let accepted = sent.endpoint.accepted_count.load(Ordering::Relaxed);
        for document in &mut group.documents {
            document.accepted_before.get_or_insert(accepted);
        }
        // A document alone in its request, while the server has accepted others since it first failed.
        let is_suspect = matches!(group.documents.as_slice(), [document]
            if document.accepted_before.is_some_and(|before| before < accepted));
        if is_suspect && group.failures >= MAX_ATTEMPTS {
            group.verdict = Some((sent.refusal.kebab_code("server-error"), sent.detail.clone()));
            group.not_before = None;
            self.work.push_back(group);
            return Ok(());
        }
        if !is_suspect && self.failures_in_a_row >= MAX_ATTEMPTS {
            return Err(sent.failing(self.operation, self.failures_in_a_row, sent.detail.clone()));
        }
        group.not_before = self.backoff(group.failures);
        if group.failures >= SPLIT_AFTER_FAILURES && group.documents.len() > 1 {
            self.work.extend(group.halves());
        } else {
            self.work.push_back(group);
        }
        Ok(())
    }

    /// Retries a group of which nothing was written, because the schema of the index was being changed.
    fn busy(&mut self, mut group: Group<'a>, sent: &Sent) -> Result<(), Failure> {
        metrics::retried("busy");
        group.conflicts += 1;
        if group.conflicts >= MAX_ATTEMPTS {
            return Err(Failure::Busy {
                endpoint: sent.endpoint.url.clone(),
                operation: self.operation.as_str(),
                attempts: group.conflicts,
                detail: sent.detail.clone(),
            });
        }
        group.not_before = self.backoff(group.conflicts);
        self.work.push_back(group);
        Ok(())
    }

    /// Sends a refused group again in halves, until the bad document is alone; that one is refused. `otherwise` is its
    /// code if the server gives none.
    fn halve_or_refuse(&mut self, group: Group<'a>, sent: &Sent, otherwise: &str) {
        if let [document] = group.documents.as_slice() {
            let detail = if sent.refusal.message.is_empty() { &sent.detail } else { &sent.refusal.message };
            self.refuse(document, &sent.refusal.kebab_code(otherwise), detail);
            return;
        }
        metrics::retried("bisect");
        let [first, second] = group.halves();
        self.work.push_front(second);
        self.work.push_front(first);
    }

    /// Draws the consequence of each item. Documents to be retried form the next group.
    fn evaluate_items(&mut self, group: Group<'a>, items: Items<'_>, sent: &Sent) -> Result<(), Failure> {
        if let Some(milliseconds) = items.processing_time_ms.filter(|_| self.operation == Operation::Add) {
            metrics::embedding(milliseconds);
        }
        let items = items.by_document(&group.ids());
        // Counts as a failure of the server, so that the document is read back.
        let missing = Item {
            status: 500,
            refusal: Refusal { code: None, message: "the answer does not mention this document".to_owned() },
        };
        let accepted = sent.endpoint.accepted_count.load(Ordering::Relaxed);
        let mut pending = Group::from_pending(Vec::new());
        let (mut tries, mut done, mut throttled_detail) = (0, 0, None);
        for (mut document, item) in group.documents.into_iter().zip(items) {
            let Item { status, refusal } = item.unwrap_or_else(|| missing.clone());
            let detail = || format!("{status} {}", refusal.message);
            match classify(Observed::Item { operation: self.operation, status, refusal: &refusal }) {
                AnswerClass::Done => {
                    self.outcomes.push((document.payload.at, Outcome::Done));
                    done += 1;
                }
                AnswerClass::Throttled => {
                    document.throttles += 1;
                    tries = tries.max(document.throttles);
                    throttled_detail = Some(detail());
                    pending.documents.push(document);
                }
                AnswerClass::Retryable if document.refusals + 1 < MAX_RETRYABLE_REJECTIONS => {
                    metrics::retried("refused-for-now");
                    document.refusals += 1;
                    tries = tries.max(document.refusals);
                    // The answer to an update is the same for a missing document and for other errors.
                    pending.maybe_written |= self.operation == Operation::Update;
                    pending.documents.push(document);
                }
                AnswerClass::Unknown => {
                    metrics::retried("item");
                    document.attempts += 1;
                    let before = *document.accepted_before.get_or_insert(accepted);
                    if document.attempts >= MAX_ATTEMPTS {
                        // The server has accepted nothing since the document first failed: the server is at fault.
                        if before == accepted + done {
                            return Err(sent.failing(self.operation, document.attempts, detail()));
                        }
                        let verdict = Some((refusal.kebab_code("server-error"), detail()));
                        let alone = Group::from_pending(vec![document]);
                        self.work.push_back(Group { verdict, maybe_written: true, ..alone });
                        continue;
                    }
                    tries = tries.max(document.attempts);
                    pending.maybe_written = true;
                    pending.documents.push(document);
                }
                AnswerClass::Misconfigured { advice } => {
                    return Err(Failure::Misconfigured {
                        endpoint: sent.endpoint.url.clone(),
                        operation: self.operation.as_str(),
                        detail: detail(),
                        advice: advice.into(),
                    });
                }
                _ => {
                    let is_absent =
                        self.operation == Operation::Update && (status == 404 || document.is_absent);
                    let code = match self.operation {
                        _ if is_absent => "document-not-found".to_owned(),
                        // Such items have no code.
                        Operation::Update => refusal.kebab_code("update-refused"),
                        _ => refusal.kebab_code(&format!("status-{status}")),
                    };
                    let is_vague = !is_absent && is_refused_update(self.operation, &refusal);
                    let hint = if is_vague { OTHER_KIND } else { "" };
                    self.refuse(&document, &code, &format!("{}{hint}", refusal.message));
                }
            }
        }
        if done > 0 {
            sent.endpoint.accepted_count.fetch_add(done, Ordering::Relaxed);
            self.failures_in_a_row = 0;
        }
        match throttled_detail {
            Some(detail) => self.items_throttled(sent, detail)?,
            None => self.throttled_since = None,
        }
        if !pending.documents.is_empty() {
            pending.not_before = self.backoff(tries);
            self.work.push_back(pending);
        }
        Ok(())
    }

    /// Fails if documents have been throttled for too long; otherwise sends fewer requests at once.
    fn items_throttled(&mut self, sent: &Sent, detail: String) -> Result<(), Failure> {
        metrics::retried("throttled");
        let now = self.session.shared.clock.now();
        let waited = now.duration_since(*self.throttled_since.get_or_insert(now)).unsigned_abs();
        if waited >= self.session.throttle_timeout() {
            return Err(throttled(&sent.endpoint, self.operation, waited, detail));
        }
        sent.endpoint.limiter.throttled(None, None);
        Ok(())
    }

    fn refuse(&mut self, document: &Pending<'_>, code: &str, message: &str) {
        let (code, message) = (code.to_owned(), plain(message));
        self.outcomes.push((document.payload.at, Outcome::Refused { code, message }));
    }

    /// When to try again after so many attempts.
    fn backoff(&self, attempts: u32) -> Option<Timestamp> {
        let clock = &self.session.shared.clock;
        let delay = match attempts {
            0 => Duration::ZERO,
            _ => RetryPolicy::SEARCH_SERVER.delay(attempts, None, clock.random()),
        };
        clock.now().checked_add(delay).ok()
    }
}
