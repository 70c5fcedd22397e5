//! The queues in memory, with the semantics of SQS FIFO: of each lane of a shop one message at a time is in flight
//! (delivered, and invisible to others), and a receipt names one delivery.

use super::SharedState;
use async_trait::async_trait;
use host_core::{
    model::{ChunkRef, Job, JobId},
    storage::{
        Backlog, DeadLetter, Delivery, LeasedDeadLetter, QuarantineReason, Queue, Receipt, ShopBacklog,
        StoreError,
    },
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

/// How long a message that was sent is remembered, so that it is not sent twice; as in SQS.
const DEDUPLICATION_INTERVAL: Duration = Duration::from_secs(300);

/// Most dead letters (messages that no worker could handle) of one receive.
const MAX_DEAD_LETTERS: usize = 10;

/// The queues of all shops.
#[derive(Default)]
pub(super) struct Queues {
    /// By shop; a queue exists from its first message on.
    shops: BTreeMap<String, ShopQueue>,
    /// When each message was sent, by job, number of the chunk, and redrive count.
    sent: HashMap<(JobId, u32, u32), Timestamp>,
    /// Number of messages and deliveries so far, so that each gets a number of its own.
    count: u64,
}

#[derive(Default)]
struct ShopQueue {
    lanes: BTreeMap<u16, VecDeque<Message<ChunkRef>>>,
    dead_letters: Vec<Message<DeadLetter>>,
}

struct Message<T> {
    body: T,
    /// In the order in which they were sent.
    number: u64,
    receive_count: u32,
    /// The last delivery, unless it was released.
    in_flight: Option<InFlight>,
    visible_from: Timestamp,
}

/// The delivery of a message.
struct InFlight {
    /// Its number.
    delivery: u64,
}

impl<T> Message<T> {
    fn new(body: T, number: u64) -> Self {
        Self { body, number, receive_count: 0, in_flight: None, visible_from: Timestamp::MIN }
    }

    /// Records a delivery, by its number.
    fn deliver(&mut self, delivery: u64, until: Timestamp) {
        self.receive_count += 1;
        self.in_flight = Some(InFlight { delivery });
        self.visible_from = until;
    }

    /// Whether this delivery is the last one, and the message is still invisible.
    fn is_in_flight(&self, delivery: u64, now: Timestamp) -> bool {
        self.visible_from > now && self.in_flight.as_ref().is_some_and(|flight| flight.delivery == delivery)
    }
}

/// What a receipt names.
enum Delivered {
    Message { shop_id: String, lane: u16, delivery: u64 },
    DeadLetter { shop_id: String, delivery: u64 },
}

/// The kind in receipts of dead letters; those of messages have their lane there.
const DEAD_LETTER: &str = "dead-letter";

fn receipt(kind: impl std::fmt::Display, delivery: u64, shop_id: &str) -> Receipt {
    Receipt(format!("{kind}/{delivery}/{shop_id}"))
}

impl Delivered {
    /// Parses `KIND/DELIVERY/SHOP`.
    fn of(receipt: &Receipt) -> Option<Self> {
        let mut parts = receipt.0.splitn(3, '/');
        let (kind, delivery) = (parts.next()?, parts.next()?.parse().ok()?);
        let shop_id = parts.next()?.to_owned();
        Some(match kind {
            DEAD_LETTER => Self::DeadLetter { shop_id, delivery },
            lane => Self::Message { shop_id, lane: lane.parse().ok()?, delivery },
        })
    }
}

impl Queues {
    fn next_number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Calls one of two functions with what a valid receipt names: the lane whose first message it is, or the dead
    /// letters and its position among them. False if the receipt is void.
    fn change(
        &mut self,
        receipt: &Receipt,
        now: Timestamp,
        message: impl FnOnce(&mut VecDeque<Message<ChunkRef>>),
        dead_letter: impl FnOnce(&mut Vec<Message<DeadLetter>>, usize),
    ) -> bool {
        match Delivered::of(receipt) {
            Some(Delivered::Message { shop_id, lane, delivery }) => {
                let lane = self.shops.get_mut(&shop_id).and_then(|queue| queue.lanes.get_mut(&lane));
                let is_valid = |lane: &&mut VecDeque<Message<_>>| {
                    lane.front().is_some_and(|first| first.is_in_flight(delivery, now))
                };
                lane.filter(is_valid).map(message).is_some()
            }
            Some(Delivered::DeadLetter { shop_id, delivery }) => {
                let Some(queue) = self.shops.get_mut(&shop_id) else { return false };
                let dead_letters = &mut queue.dead_letters;
                let position =
                    dead_letters.iter().position(|dead_letter| dead_letter.is_in_flight(delivery, now));
                position.map(|position| dead_letter(dead_letters, position)).is_some()
            }
            None => false,
        }
    }

    /// Whether a message or a dead letter names a job.
    pub(super) fn has_messages_of(&self, job: &JobId) -> bool {
        self.shops.values().any(|queue| {
            queue.lanes.values().flatten().any(|message| message.body.job_id == *job)
                || queue.dead_letters.iter().any(|message| message.body.chunk.job_id == *job)
        })
    }

    /// Makes every message in flight visible again.
    pub(super) fn release_orphaned(&mut self) {
        let messages = self.shops.values_mut().flat_map(|queue| queue.lanes.values_mut().flatten());
        for message in messages {
            (message.in_flight, message.visible_from) = (None, Timestamp::MIN);
        }
    }
}

/// The message that a valid receipt names.
fn first(lane: &mut VecDeque<Message<ChunkRef>>) -> &mut Message<ChunkRef> {
    lane.front_mut().expect("a valid receipt names the first message of its lane")
}

#[async_trait]
impl Queue for SharedState {
    async fn send(&self, job: &Job, chunk: &ChunkRef, redrive_count: u32) -> Result<(), StoreError> {
        let (now, queues) = (self.queue_clock.now(), &mut self.state().queues);
        let sent = (chunk.job_id.clone(), chunk.seq, redrive_count);
        let is_remembered = |sent: &Timestamp| *sent + DEDUPLICATION_INTERVAL > now;
        if queues.sent.get(&sent).is_some_and(is_remembered) {
            return Ok(());
        }
        queues.sent.insert(sent, now);
        let message = Message::new(chunk.clone(), queues.next_number());
        let queue = queues.shops.entry(job.shop_id.clone()).or_default();
        queue.lanes.entry(chunk.lane).or_default().push_back(message);
        Ok(())
    }

    async fn receive(
        &self,
        shop_id: &str,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, StoreError> {
        let (now, queues) = (self.queue_clock.now(), &mut self.state().queues);
        let Some(queue) = queues.shops.get_mut(shop_id) else { return Ok(Vec::new()) };
        let mut visible: Vec<&mut Message<ChunkRef>> =
            queue.lanes.values_mut().filter_map(VecDeque::front_mut).collect();
        visible.retain(|message| message.visible_from <= now);
        visible.sort_by_key(|message| message.number);
        let deliver = |message: &mut Message<ChunkRef>| {
            queues.count += 1;
            message.deliver(queues.count, now + visibility);
            Delivery {
                chunk: message.body.clone(),
                shop_id: shop_id.to_owned(),
                receive_count: message.receive_count,
                visible_until: message.visible_from,
                receipt: receipt(message.body.lane, queues.count, shop_id),
            }
        };
        Ok(visible.into_iter().take(max).map(deliver).collect())
    }

    async fn shops(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.state().queues.shops.keys().cloned().collect())
    }

    async fn ready_shops(&self, _: Duration) -> Result<Vec<String>, StoreError> {
        let (now, queues) = (self.queue_clock.now(), &self.state().queues);
        let is_visible = |lane: &VecDeque<Message<ChunkRef>>| {
            lane.front().is_some_and(|message| message.visible_from <= now)
        };
        let ready = queues.shops.iter().filter(|(_, queue)| queue.lanes.values().any(is_visible));
        Ok(ready.map(|(shop_id, _)| shop_id.clone()).collect())
    }

    async fn change_visibility(&self, receipt: &Receipt, visibility: Duration) -> Result<bool, StoreError> {
        let (now, queues) = (self.queue_clock.now(), &mut self.state().queues);
        Ok(queues.change(
            receipt,
            now,
            |lane| first(lane).visible_from = now + visibility,
            |dead_letters, position| dead_letters[position].visible_from = now + visibility,
        ))
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<bool, StoreError> {
        fn release<T>(message: &mut Message<T>, visible_from: Timestamp) {
            (message.in_flight, message.visible_from) = (None, visible_from);
        }
        let (now, queues) = (self.queue_clock.now(), &mut self.state().queues);
        Ok(queues.change(
            receipt,
            now,
            |lane| release(first(lane), now + delay),
            |dead_letters, position| release(&mut dead_letters[position], now + delay),
        ))
    }

    async fn ack(&self, receipt: &Receipt) -> Result<bool, StoreError> {
        let (now, queues) = (self.queue_clock.now(), &mut self.state().queues);
        let remove_message = |lane: &mut VecDeque<_>| {
            lane.pop_front();
        };
        let remove_dead_letter = |dead_letters: &mut Vec<_>, position| {
            dead_letters.remove(position);
        };
        Ok(queues.change(receipt, now, remove_message, remove_dead_letter))
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &QuarantineReason) -> Result<bool, StoreError> {
        let Some(Delivered::Message { shop_id, .. }) = Delivered::of(receipt) else { return Ok(false) };
        let (now, queues) = (self.queue_clock.now(), &mut self.state().queues);
        let mut removed = None;
        queues.change(receipt, now, |lane| removed = lane.pop_front(), |_, _| {});
        let Some(Message { body, receive_count, .. }) = removed else { return Ok(false) };
        let dead_letter = DeadLetter {
            chunk: body,
            shop_id: shop_id.clone(),
            code: reason.code.clone(),
            message: reason.message.clone(),
            died_at: now,
            receive_count,
            redrive_count: reason.redrive_count,
            context: reason.context.clone(),
            external: None,
        };
        let dead_letter = Message::new(dead_letter, queues.next_number());
        queues.shops.entry(shop_id).or_default().dead_letters.push(dead_letter);
        Ok(true)
    }

    async fn depth(&self, shop_id: &str) -> Result<u64, StoreError> {
        let queues = &self.state().queues;
        let messages = |queue: &ShopQueue| queue.lanes.values().map(VecDeque::len).sum::<usize>() as u64;
        Ok(queues.shops.get(shop_id).map_or(0, messages))
    }

    async fn backlog(&self, shop_ids: &[String], others: bool) -> Result<Backlog, StoreError> {
        let queues = &self.state().queues;
        let wanted = queues.shops.iter().filter(|(shop_id, _)| others || shop_ids.contains(shop_id));
        let shops = wanted.map(|(shop_id, queue)| ShopBacklog {
            shop_id: shop_id.clone(),
            messages: queue.lanes.values().map(VecDeque::len).sum::<usize>() as u64,
            dead_letters: queue.dead_letters.len() as u64,
        });
        let shops = shops.filter(|shop| shop.messages + shop.dead_letters > 0).collect();
        Ok(Backlog { shops, shops_left_out: 0 })
    }

    async fn dead_letters(&self, shop_id: &str) -> Result<Vec<DeadLetter>, StoreError> {
        let queues = &self.state().queues;
        let dead_letters = queues.shops.get(shop_id).map(|queue| &queue.dead_letters);
        Ok(dead_letters.into_iter().flatten().map(|dead_letter| dead_letter.body.clone()).collect())
    }

    async fn receive_dead_letters(
        &self,
        shop_id: &str,
        visibility: Duration,
    ) -> Result<Vec<LeasedDeadLetter>, StoreError> {
        let (now, queues) = (self.queue_clock.now(), &mut self.state().queues);
        let Some(queue) = queues.shops.get_mut(shop_id) else { return Ok(Vec::new()) };
        let visible = queue.dead_letters.iter_mut().filter(|dead_letter| dead_letter.visible_from <= now);
        let lease = |dead_letter: &mut Message<DeadLetter>| {
            queues.count += 1;
            dead_letter.deliver(queues.count, now + visibility);
            let receipt = receipt(DEAD_LETTER, queues.count, shop_id);
            LeasedDeadLetter { dead_letter: dead_letter.body.clone(), receipt }
        };
        Ok(visible.take(MAX_DEAD_LETTERS).map(lease).collect())
    }

    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        let queues = &mut self.state().queues;
        let Some(queue) = queues.shops.get(shop_id) else { return Ok(0) };
        let messages = queue.lanes.values().map(VecDeque::len).sum::<usize>() + queue.dead_letters.len();
        if !dry_run {
            queues.shops.remove(shop_id);
        }
        Ok(messages as u64)
    }
}
