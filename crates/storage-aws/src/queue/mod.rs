//! The queues of all shops: an SQS FIFO queue each, made when the first message is sent.

use super::names::{DEAD_LETTERS, Names};
use async_trait::async_trait;
use host_core::{
    clock::SharedEnv,
    model::{ChunkRef, Job},
    storage::{DeadLetter, Delivery, GivenUp, HeldLetter, Queue, Receipt, StoreError},
};
use jiff::Timestamp;
use message::{Letter, Message};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

mod message;
mod service;
mod sqs;

pub use service::{Ask, Incoming, Outgoing, QueueService, QueueSpec};
pub use sqs::Sqs;

/// For how long in all a message can be kept hidden; SQS refuses more.
const LONGEST: Duration = Duration::from_secs(12 * 3600);

/// For how long dead letters are hidden from others while they are listed.
const LISTING: Duration = Duration::from_secs(30);

/// A message that this process holds.
#[derive(Clone)]
struct Held {
    url: String,
    message: Message,
    receive_count: u32,
    received_at: Timestamp,
}

/// The queues of one environment.
pub(super) struct Queues {
    service: Arc<dyn QueueService>,
    names: Names,
    env: SharedEnv,
    urls: Mutex<HashMap<String, String>>,
    held: Mutex<HashMap<String, Held>>,
}

impl Queues {
    pub(super) fn new(service: Arc<dyn QueueService>, names: Names, env: SharedEnv) -> Self {
        Self { service, names, env, urls: Mutex::default(), held: Mutex::default() }
    }

    /// The address of a queue; none if there is none.
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
        self.urls.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), url.to_owned());
    }

    fn forget(&self, name: &str) {
        self.urls.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The address of a queue, which is made if there is none; dead letters have one of their own from the beginning.
    async fn url_made(&self, name: &str, shop_id: &str) -> Result<String, StoreError> {
        if let Some(url) = self.url(name).await? {
            return Ok(url);
        }
        let shop = || shop_id.to_owned();
        let dead = self.names.dead_letter_queue(shop_id);
        let mut url = self
            .service
            .create(&QueueSpec { name: dead.clone(), shop_id: shop(), dead_letters: None })
            .await?;
        if name != dead {
            self.remember(&dead, &url);
            let spec = QueueSpec { name: name.to_owned(), shop_id: shop(), dead_letters: Some(dead) };
            url = self.service.create(&spec).await?;
        }
        self.remember(name, &url);
        Ok(url)
    }

    async fn send_to(&self, name: &str, shop_id: &str, message: &Outgoing) -> Result<(), StoreError> {
        // The second time if somebody has removed the queue since its address was learned.
        for _ in 0..2 {
            let url = self.url_made(name, shop_id).await?;
            if self.service.send(&url, message).await? {
                return Ok(());
            }
            self.forget(name);
        }
        Err(StoreError {
            action: format!("sending to queue {name}"),
            kind: host_core::storage::StoreErrorKind::Transient,
            source: "the queue was removed as soon as it was made".into(),
        })
    }

    fn ask(&self, max: usize, visibility: Duration, patience: Duration) -> Ask {
        let attempt_id = format!("{:016x}{:016x}", self.env.random(), self.env.random());
        Ask { max, visibility, patience, attempt_id }
    }

    /// One message at most: SQS gives several of one group at once, and only the first may be worked on.
    async fn receive_one(
        &self,
        shop_id: &str,
        visibility: Duration,
        patience: Duration,
    ) -> Result<Option<Delivery>, StoreError> {
        let name = self.names.queue(shop_id);
        loop {
            let Some(url) = self.url(&name).await? else { return Ok(None) };
            let asked_at = self.env.now();
            let Some(received) = self.service.receive(&url, &self.ask(1, visibility, patience)).await? else {
                self.forget(&name);
                return Ok(None);
            };
            let Some(incoming) = received.into_iter().next() else { return Ok(None) };
            match serde_json::from_str::<Message>(&incoming.body) {
                Ok(message) => return Ok(Some(self.hand_over(url, message, incoming, asked_at, visibility))),
                Err(error) => self.bury_unreadable(&name, &url, &incoming, &error).await?,
            }
        }
    }

    /// Takes over a message of a queue that somebody else has received for this process.
    pub(super) async fn adopt(
        &self,
        queue: &str,
        incoming: Incoming,
        visibility: Duration,
    ) -> Result<Option<Delivery>, StoreError> {
        let url = self.url(queue).await?.ok_or_else(|| StoreError {
            action: format!("looking for queue {queue}"),
            kind: host_core::storage::StoreErrorKind::Permanent,
            source: "there is no such queue".into(),
        })?;
        match serde_json::from_str::<Message>(&incoming.body) {
            Ok(message) => Ok(Some(self.hand_over(url, message, incoming, self.env.now(), visibility))),
            Err(error) => {
                self.bury_unreadable(queue, &url, &incoming, &error).await?;
                Ok(None)
            }
        }
    }

    fn hand_over(
        &self,
        url: String,
        message: Message,
        incoming: Incoming,
        asked_at: Timestamp,
        visibility: Duration,
    ) -> Delivery {
        let Incoming { handle, receive_count, .. } = incoming;
        let delivery = Delivery {
            chunk: message.chunk(),
            shop_id: message.shop_id.clone(),
            receive_count,
            visible_at: asked_at
                .saturating_add(jiff::SignedDuration::try_from(visibility).unwrap_or_default())
                .unwrap_or(asked_at),
            receipt: Receipt(handle.clone()),
        };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // What was neither acknowledged nor given back is void by then.
        held.retain(|_, held| asked_at.duration_since(held.received_at).unsigned_abs() <= LONGEST);
        held.insert(handle, Held { url, message, receive_count, received_at: asked_at });
        delivery
    }

    /// A message that this host did not write would hold its group up for ever.
    async fn bury_unreadable(
        &self,
        queue: &str,
        url: &str,
        incoming: &Incoming,
        error: &serde_json::Error,
    ) -> Result<(), StoreError> {
        tracing::warn!(queue, %error, "a message that is none of a chunk is moved to the dead letters");
        let letter = serde_json::json!({
            "code": "unreadable-message",
            "error_message": error.to_string(),
            "died_at": self.env.now(),
            "receive_count": incoming.receive_count,
            "body": incoming.body,
        });
        let id = host_core::model::Digest::of(incoming.body.as_bytes()).hex();
        let message = Outgoing { body: letter.to_string(), group: id.clone(), deduplication_id: id };
        let gone = |name: &str| StoreError {
            action: format!("sending to queue {name}"),
            kind: host_core::storage::StoreErrorKind::Permanent,
            source: "there is no such queue".into(),
        };
        // Its shop is not known; the queue's name leads to the dead letters beside it.
        let dead = self.names.dead_letters_of(queue);
        let dead_url = self.url(&dead).await?.ok_or_else(|| gone(&dead))?;
        if !self.service.send(&dead_url, &message).await? {
            return Err(gone(&dead));
        }
        self.service.delete(url, &incoming.handle).await.map(drop)
    }

    fn held(&self, receipt: &Receipt) -> Option<Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(&receipt.0).cloned()
    }

    fn let_go(&self, receipt: &Receipt) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&receipt.0);
    }
}

#[async_trait]
impl Queue for Queues {
    async fn send(&self, job: &Job, chunk: &ChunkRef, epoch: u32) -> Result<(), StoreError> {
        let message = Message::new(job, chunk, epoch, &self.names.bucket());
        let outgoing = Outgoing {
            body: serde_json::to_string(&message).expect("a message is plain data"),
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
                // Those that were received are not kept waiting for their visibility to end.
                Err(error) if deliveries.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(deliveries)
    }

    async fn wait(
        &self,
        shop_id: &str,
        visibility: Duration,
        patience: Duration,
    ) -> Result<Option<Delivery>, StoreError> {
        self.receive_one(shop_id, visibility, patience).await
    }

    async fn shops(&self) -> Result<Vec<String>, StoreError> {
        let queues = self.service.list(&self.names.queue_prefix()).await?;
        let mut shops: Vec<String> = queues
            .into_iter()
            .filter(|(name, shop)| !name.ends_with(DEAD_LETTERS) && *name == self.names.queue(shop))
            .map(|(_, shop)| shop)
            .collect();
        shops.sort_unstable();
        shops.dedup();
        Ok(shops)
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<bool, StoreError> {
        let Some(held) = self.held(receipt) else { return Ok(false) };
        let in_all = self.env.now().duration_since(held.received_at).unsigned_abs() + visibility;
        if in_all > LONGEST {
            return Ok(false);
        }
        self.service.hide(&held.url, &receipt.0, visibility).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<bool, StoreError> {
        let Some(held) = self.held(receipt) else { return Ok(false) };
        let released = self.service.hide(&held.url, &receipt.0, delay.min(LONGEST)).await?;
        self.let_go(receipt);
        Ok(released)
    }

    async fn ack(&self, receipt: &Receipt) -> Result<bool, StoreError> {
        let Some(held) = self.held(receipt) else { return Ok(false) };
        let removed = self.service.delete(&held.url, &receipt.0).await?;
        self.let_go(receipt);
        Ok(removed)
    }

    async fn bury(&self, receipt: &Receipt, reason: &GivenUp) -> Result<bool, StoreError> {
        let Some(Held { url, message: chunk, receive_count, .. }) = self.held(receipt) else {
            return Ok(false);
        };
        // The chunk's own, for this may be the message of an earlier one.
        let chunk = Message { epoch: reason.epoch, ..chunk };
        // Whose receipt is void must not bury what somebody else may just be finishing.
        if !self.service.hide(&url, &receipt.0, LISTING).await? {
            self.let_go(receipt);
            return Ok(false);
        }
        let shop_id = chunk.shop_id.clone();
        let id = chunk.deduplication_id();
        let letter = Letter {
            message: chunk,
            code: reason.code.clone(),
            error_message: reason.message.clone(),
            died_at: self.env.now(),
            receive_count,
            evidence: reason.evidence.clone(),
        };
        let body = serde_json::to_string(&letter).expect("a letter is plain data");
        // A group for each, so that none hides another from whoever lists them.
        let outgoing = Outgoing { body, group: id.clone(), deduplication_id: id };
        self.send_to(&self.names.dead_letter_queue(&shop_id), &shop_id, &outgoing).await?;
        let removed = self.service.delete(&url, &receipt.0).await?;
        self.let_go(receipt);
        Ok(removed)
    }

    async fn pending(&self, shop_id: &str) -> Result<u64, StoreError> {
        match self.url(&self.names.queue(shop_id)).await? {
            Some(url) => self.service.depth(&url).await,
            None => Ok(0),
        }
    }

    async fn dead_letters(&self, shop_id: &str) -> Result<Vec<DeadLetter>, StoreError> {
        let mut letters: HashMap<_, DeadLetter> = HashMap::new();
        let mut taken = Vec::new();
        loop {
            let page = self.take_dead_letters(shop_id, LISTING).await?;
            let known = letters.len();
            for HeldLetter { letter, receipt } in page {
                taken.push(receipt);
                let chunk = (letter.chunk.job_id.clone(), letter.chunk.seq, letter.epoch);
                // A chunk that was buried again after a crash is one letter.
                letters.entry(chunk).or_insert(letter);
            }
            // The first of them come again before the last ones were taken: all have been seen.
            if letters.len() == known {
                break;
            }
        }
        for receipt in taken {
            self.release(&receipt, Duration::ZERO).await?;
        }
        let mut letters: Vec<DeadLetter> = letters.into_values().collect();
        letters.sort_by_key(|letter| (letter.died_at, letter.chunk.seq));
        Ok(letters)
    }

    async fn take_dead_letters(
        &self,
        shop_id: &str,
        visibility: Duration,
    ) -> Result<Vec<HeldLetter>, StoreError> {
        let name = self.names.dead_letter_queue(shop_id);
        loop {
            let Some(url) = self.url(&name).await? else { return Ok(Vec::new()) };
            let asked_at = self.env.now();
            let ask = self.ask(10, visibility, Duration::ZERO);
            let page = self.service.receive(&url, &ask).await?.unwrap_or_default();
            let is_last = page.is_empty();
            let letters: Vec<HeldLetter> = page
                .into_iter()
                .filter_map(|incoming| {
                    let letter = Letter::read(&incoming.body, incoming.receive_count, asked_at)?;
                    let message = letter.message.clone();
                    let delivery = self.hand_over(url.clone(), message, incoming, asked_at, visibility);
                    Some(HeldLetter { letter: letter.into(), receipt: delivery.receipt })
                })
                .collect();
            if is_last || !letters.is_empty() {
                return Ok(letters);
            }
        }
    }
}
