//! The queues of all shops: an SQS FIFO queue for each shop, and one for its dead letters, created with the first
//! message. A message leads a worker to a chunk, a file of documents. The messages of a lane form an SQS message group
//! and are delivered in order.

use super::{
    external::{ExternalChunks, RejectedMessage, Unusable},
    jobs::DynamoJobs,
    names::{DEAD_LETTERS, Names},
};
use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    model::{ChunkRef, Digest, Job},
    storage::{
        Backlog, DeadLetter, Delivery, LeasedDeadLetter, QuarantineReason, Queue, Receipt, StoreError,
        StoreErrorKind, UnreadableMessage, to_envelope,
    },
};
use incoming::{Received, Undelivered};
use jiff::Timestamp;
use message::DeadLetterMessage;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

mod backlog;
mod dead_letters;
mod event;
mod incoming;
mod message;
mod ready_shops;
mod service;
mod sqs;

pub use event::EventBatch;
pub(super) use message::{ExternalMessage, Message};
pub use service::{Depth, Incoming, Outgoing, QueueService, QueueSpec, ReceiveRequest};
pub use sqs::Sqs;

/// How long a message can be invisible after its delivery, in all; SQS refuses more.
const MAX_VISIBILITY: Duration = Duration::from_secs(12 * 3600);

/// How long dead letters are invisible to others while they are listed.
const LIST_VISIBILITY: Duration = Duration::from_secs(30);

/// Most URLs of queues that a process caches.
const MAX_URLS: usize = 10_000;

/// How long SQS may not know a queue that was just created.
const CREATION: Duration = Duration::from_secs(60);
/// Wait between two attempts to use such a queue.
const CREATION_POLL: Duration = Duration::from_secs(1);

/// A message that was delivered to this process.
#[derive(Clone)]
struct InFlight {
    url: String,
    /// None if it was received from a dead-letter queue.
    message: Option<Message>,
    receive_count: u32,
    received_at: Timestamp,
}

/// The queues of one environment.
pub(super) struct Queues {
    service: Arc<dyn QueueService>,
    names: Names,
    clock: SharedClock,
    /// Makes jobs of the messages of programs other than host; none if such messages are not accepted.
    external: Option<ExternalChunks>,
    /// Knows which shops have open jobs; none in tests without jobs.
    jobs: Option<Arc<DynamoJobs>>,
    /// The current round through all queues, in search of messages without an open job; none before the first.
    round: tokio::sync::Mutex<Option<ready_shops::Round>>,
    /// URLs of queues, by name.
    urls: Mutex<HashMap<String, String>>,
    /// Shops of queues whose shortened names do not tell the shop, by URL.
    tags: Mutex<HashMap<String, String>>,
    /// Messages that this process has received, by receipt handle.
    in_flight: Mutex<HashMap<String, InFlight>>,
}

impl Queues {
    pub(super) fn new(service: Arc<dyn QueueService>, names: Names, clock: SharedClock) -> Self {
        Self {
            service,
            names,
            clock,
            external: None,
            jobs: None,
            round: tokio::sync::Mutex::default(),
            urls: Mutex::default(),
            tags: Mutex::default(),
            in_flight: Mutex::default(),
        }
    }

    /// Finds shops by their open jobs.
    pub(super) fn with_jobs(self, jobs: Arc<DynamoJobs>) -> Self {
        Self { jobs: Some(jobs), ..self }
    }

    fn tags(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts chunks of programs other than host.
    pub(super) fn with_external(self, external: ExternalChunks) -> Self {
        Self { external: Some(external), ..self }
    }

    /// The URL of a queue; none if the queue does not exist.
    async fn url(&self, name: &str) -> Result<Option<String>, StoreError> {
        let known = self.urls.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let found = self.service.find(name).await?;
        if let Some(url) = &found {
            self.remember(name, url);
        }
        Ok(found)
    }

    fn remember(&self, name: &str, url: &str) {
        let mut urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        if urls.len() >= MAX_URLS {
            urls.clear();
        }
        urls.insert(name.to_owned(), url.to_owned());
    }

    fn forget(&self, name: &str) {
        self.urls.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The URL of a queue. If the queue does not exist, it is created, and its dead-letter queue before it.
    async fn ensure_queue(&self, name: &str, shop_id: &str) -> Result<String, StoreError> {
        if let Some(url) = self.url(name).await? {
            return Ok(url);
        }
        let shop = || shop_id.to_owned();
        let dead_letters = self.names.dead_letter_queue(shop_id);
        let mut url = self
            .service
            .create(&QueueSpec { name: dead_letters.clone(), shop_id: shop(), dead_letters: None })
            .await?;
        if name != dead_letters {
            self.remember(&dead_letters, &url);
            let spec = QueueSpec { name: name.to_owned(), shop_id: shop(), dead_letters: Some(dead_letters) };
            url = self.service.create(&spec).await?;
        }
        self.remember(name, &url);
        Ok(url)
    }

    /// Sends a message to a queue, which is created if it does not exist.
    async fn send_to(&self, name: &str, shop_id: &str, message: &Outgoing) -> Result<(), StoreError> {
        let began = self.clock.now();
        loop {
            // The queue may have been removed since its URL was cached; and SQS does not know a new queue at once.
            let error = match self.ensure_queue(name, shop_id).await {
                Ok(url) if self.service.send(&url, message).await? => return Ok(()),
                Ok(_) => {
                    self.forget(name);
                    let (action, source) =
                        (format!("sending to queue {name}"), "SQS does not know the queue".into());
                    StoreError { action, kind: StoreErrorKind::Transient, source }
                }
                Err(error) => error,
            };
            let waited = self.clock.now().duration_since(began).unsigned_abs();
            if error.kind != StoreErrorKind::Transient || waited >= CREATION {
                return Err(error);
            }
            self.clock.sleep(CREATION_POLL).await;
        }
    }

    fn request(&self, max: usize, visibility: Duration, wait_time: Duration) -> ReceiveRequest {
        let attempt_id = format!("{:016x}{:016x}", self.clock.random(), self.clock.random());
        ReceiveRequest { max, visibility, wait_time, attempt_id }
    }

    /// One message at most: SQS delivers several of one group together, and only the first may be worked on.
    async fn receive_one(
        &self,
        shop_id: &str,
        visibility: Duration,
        wait_time: Duration,
    ) -> Result<Option<Delivery>, StoreError> {
        let name = self.names.queue(shop_id);
        loop {
            let Some(url) = self.url(&name).await? else { return Ok(None) };
            let asked_at = self.clock.now();
            let request = self.request(1, visibility, wait_time);
            let Some(received) = self.service.receive(&url, &request).await? else {
                self.forget(&name);
                return Ok(None);
            };
            let Some(incoming) = received.into_iter().next() else { return Ok(None) };
            let received = Received { queue: &name, url: &url, incoming, at: asked_at };
            match self.deliver(received, visibility).await {
                Ok(delivery) => return Ok(Some(delivery)),
                Err(Undelivered::DeadLettered) => {}
                // Its group now waits for it, so the next message is of another group.
                Err(Undelivered::Left { incoming, delay }) => self.leave(&url, &incoming.handle, delay).await,
            }
        }
    }

    /// Remembers a message until it is acknowledged or released.
    fn track(&self, handle: String, in_flight: InFlight) -> Receipt {
        let mut all = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        // The receipt of a message that was neither acknowledged nor released is void by then.
        let now = in_flight.received_at;
        all.retain(|_, one| now.duration_since(one.received_at).unsigned_abs() <= MAX_VISIBILITY);
        all.insert(handle.clone(), in_flight);
        Receipt(handle)
    }

    fn in_flight(&self, receipt: &Receipt) -> Option<InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).get(&receipt.0).cloned()
    }

    fn untrack(&self, receipt: &Receipt) {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&receipt.0);
    }
}

#[async_trait]
impl Queue for Queues {
    async fn send(&self, job: &Job, chunk: &ChunkRef, redrive_count: u32) -> Result<(), StoreError> {
        let message = Message::new(job, chunk, redrive_count, &self.names.bucket());
        let outgoing = Outgoing {
            body: to_envelope(&message).expect("a message is plain data"),
            group: message.group(),
            deduplication_id: message.deduplication_id(),
        };
        self.send_to(&self.names.queue(&job.shop_id), &job.shop_id, &outgoing).await
    }

    async fn receive(
        &self,
        shop_id: &str,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, StoreError> {
        let mut deliveries = Vec::new();
        while deliveries.len() < max {
            match self.receive_one(shop_id, visibility, Duration::ZERO).await {
                Ok(Some(delivery)) => deliveries.push(delivery),
                Ok(None) => break,
                // Those that were received must not wait for their visibility timeout.
                Err(error) if deliveries.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(deliveries)
    }

    async fn long_poll(
        &self,
        shop_id: &str,
        visibility: Duration,
        wait_time: Duration,
    ) -> Result<Option<Delivery>, StoreError> {
        self.receive_one(shop_id, visibility, wait_time).await
    }

    async fn shops(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.shop_queues().await?.into_iter().map(|(shop_id, _)| shop_id).collect())
    }

    async fn ready_shops(&self, _: Duration) -> Result<Vec<String>, StoreError> {
        self.find_ready_shops().await
    }

    async fn change_visibility(&self, receipt: &Receipt, visibility: Duration) -> Result<bool, StoreError> {
        let Some(message) = self.in_flight(receipt) else { return Ok(false) };
        let in_all = self.clock.now().duration_since(message.received_at).unsigned_abs() + visibility;
        if in_all > MAX_VISIBILITY {
            return Ok(false);
        }
        self.service.change_visibility(&message.url, &receipt.0, visibility).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<bool, StoreError> {
        let Some(message) = self.in_flight(receipt) else { return Ok(false) };
        let released =
            self.service.change_visibility(&message.url, &receipt.0, delay.min(MAX_VISIBILITY)).await?;
        self.untrack(receipt);
        Ok(released)
    }

    fn receive_limit(&self) -> Option<u32> {
        Some(sqs::MAX_RECEIVES)
    }

    async fn ack(&self, receipt: &Receipt) -> Result<bool, StoreError> {
        let Some(message) = self.in_flight(receipt) else { return Ok(false) };
        let removed = self.service.delete(&message.url, &receipt.0).await?;
        self.untrack(receipt);
        Ok(removed)
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &QuarantineReason) -> Result<bool, StoreError> {
        let in_flight = self.in_flight(receipt);
        let Some(InFlight { url, message: Some(chunk), receive_count, .. }) = in_flight else {
            return Ok(false);
        };
        // The chunk's own redrive count: this may be the message of an earlier redrive.
        let chunk = Message { redrive_count: reason.redrive_count, ..chunk };
        // With a void receipt, another worker may be about to finish the chunk.
        if !self.service.change_visibility(&url, &receipt.0, LIST_VISIBILITY).await? {
            self.untrack(receipt);
            return Ok(false);
        }
        let shop_id = chunk.shop_id.clone();
        let id = chunk.deduplication_id();
        let dead_letter = DeadLetterMessage {
            message: chunk,
            code: reason.code.clone(),
            error_message: reason.message.clone(),
            died_at: self.clock.now(),
            receive_count,
            context: reason.context.clone(),
        };
        let body = to_envelope(&dead_letter).expect("a dead letter is plain data");
        // A group for each, so that none blocks another while they are listed.
        let outgoing = Outgoing { body, group: id.clone(), deduplication_id: id };
        self.send_to(&self.names.dead_letter_queue(&shop_id), &shop_id, &outgoing).await?;
        let removed = self.service.delete(&url, &receipt.0).await?;
        self.untrack(receipt);
        Ok(removed)
    }

    async fn resend(&self, dead_letter: &DeadLetter) -> Result<bool, StoreError> {
        let DeadLetter { shop_id, external, died_at, .. } = dead_letter;
        let Some(body) = external.clone() else { return Ok(false) };
        let deduplication_id = Digest::of(format!("{died_at} {body}").as_bytes()).hex();
        // The group in which the other program sent it is not known any more.
        let outgoing = Outgoing { body, group: format!("{shop_id}#0"), deduplication_id };
        self.send_to(&self.names.queue(shop_id), shop_id, &outgoing).await?;
        Ok(true)
    }

    async fn depth(&self, shop_id: &str) -> Result<u64, StoreError> {
        match self.url(&self.names.queue(shop_id)).await? {
            Some(url) => Ok(self.service.depth(&url).await?.total()),
            None => Ok(0),
        }
    }

    async fn backlog(&self, shop_ids: &[String], others: bool) -> Result<Backlog, StoreError> {
        self.look_at_backlog(shop_ids, others).await
    }

    async fn dead_letters(&self, shop_id: &str) -> Result<Vec<DeadLetter>, StoreError> {
        Ok(self.list_dead_letters(shop_id).await?.dead_letters)
    }

    async fn unreadable(&self, shop_id: &str) -> Result<Vec<UnreadableMessage>, StoreError> {
        Ok(self.list_dead_letters(shop_id).await?.unreadable)
    }

    async fn receive_dead_letters(
        &self,
        shop_id: &str,
        visibility: Duration,
    ) -> Result<Vec<LeasedDeadLetter>, StoreError> {
        loop {
            let page = self.receive_page(shop_id, visibility).await?;
            if page.is_empty() || !page.dead_letters.is_empty() {
                return Ok(page.dead_letters);
            }
        }
    }

    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        let mut messages = 0;
        for name in [self.names.queue(shop_id), self.names.dead_letter_queue(shop_id)] {
            let Some(url) = self.service.find(&name).await? else { continue };
            messages += self.service.depth(&url).await?.total();
            if !dry_run {
                self.service.remove(&url).await?;
                self.forget(&name);
            }
        }
        Ok(messages)
    }
}
