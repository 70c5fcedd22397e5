//! A strict model of SQS FIFO queues in memory, on virtual time. It has what makes SQS difficult, and what servers that
//! replace AWS leave out: a receipt handle is refused once its message has become visible, was delivered again or
//! removed; a deduplication id is remembered for five minutes only; several messages of one group are delivered
//! together; a call whose client has gone away receives messages all the same.

use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    storage::{StoreError, StoreErrorKind},
};
use host_storage_aws::{Depth, Incoming, Outgoing, QueueService, QueueSpec, ReceiveRequest};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// How long SQS drops a second message with the same deduplication id.
const DEDUPLICATION: SignedDuration = SignedDuration::from_mins(5);

struct Message {
    outgoing: Outgoing,
    visible_until: Timestamp,
    receive_count: u32,
    handle: Option<String>,
    first_received: Option<Timestamp>,
}

/// A call that waits for a message although its client has gone away.
struct Abandoned {
    until: Timestamp,
    request: ReceiveRequest,
}

/// A queue.
#[derive(Default)]
struct Fifo {
    shop_id: String,
    messages: Vec<Message>,
    /// When messages were sent, by group and deduplication id.
    sent: BTreeMap<(String, String), Timestamp>,
    abandoned: Vec<Abandoned>,
}

impl Fifo {
    /// The message whose latest delivery the handle names, as long as it is in flight.
    fn in_flight(&mut self, handle: &str, now: Timestamp) -> Option<usize> {
        self.messages
            .iter()
            .position(|message| message.handle.as_deref() == Some(handle) && message.visible_until > now)
    }

    /// The answer to a call: messages of groups that have none in flight. They are in flight from then on.
    fn hand_out(
        &mut self,
        request: &ReceiveRequest,
        now: Timestamp,
        random: impl Fn() -> u64,
    ) -> Vec<Incoming> {
        let busy: HashSet<String> = self
            .messages
            .iter()
            .filter(|message| message.visible_until > now)
            .map(|message| message.outgoing.group.clone())
            .collect();
        let free = self.messages.iter_mut().filter(|message| !busy.contains(&message.outgoing.group));
        free.take(request.max.min(10))
            .map(|message| {
                let handle = format!("{:016x}", random());
                message.receive_count += 1;
                message.visible_until = after(now, request.visibility);
                message.first_received = Some(now);
                message.handle = Some(handle.clone());
                let (body, group) = (message.outgoing.body.clone(), message.outgoing.group.clone());
                Incoming { body, handle, receive_count: message.receive_count, group }
            })
            .collect()
    }

    /// Delivers messages to calls whose clients have gone away, which no worker receives.
    fn answer_abandoned(&mut self, now: Timestamp, random: impl Fn() -> u64) {
        self.abandoned.retain(|call| call.until > now);
        for call in std::mem::take(&mut self.abandoned) {
            if self.hand_out(&call.request, now, &random).is_empty() {
                self.abandoned.push(call);
            }
        }
    }
}

/// A call to receive, until it is answered.
struct Call<'a> {
    model: &'a Model,
    url: &'a str,
    request: &'a ReceiveRequest,
    until: Timestamp,
    is_answered: bool,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            let (until, request) = (self.until, self.request.clone());
            self.model.of(self.url, |fifo, _| fifo.abandoned.push(Abandoned { until, request }));
        }
    }
}

pub(crate) struct Model {
    queues: Mutex<BTreeMap<String, Fifo>>,
    clock: SharedClock,
    redeliveries: AtomicU64,
    refused_handles: AtomicU64,
    /// Whether looking for a queue is throttled.
    pub(crate) is_throttled: AtomicBool,
    /// Until when no queue is known, as just after its creation.
    unknown_until: Mutex<Option<Timestamp>>,
}

impl Model {
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self {
            queues: Mutex::default(),
            clock,
            redeliveries: AtomicU64::new(0),
            refused_handles: AtomicU64::new(0),
            is_throttled: AtomicBool::new(false),
            unknown_until: Mutex::default(),
        }
    }

    /// From now on, and for this time, `find` and `send` answer as if the queue did not exist.
    pub(crate) fn unknown_for(&self, time: Duration) {
        *self.unknown_until.lock().unwrap() = Some(self.clock.now() + time);
    }

    fn is_unknown(&self) -> bool {
        self.unknown_until.lock().unwrap().is_some_and(|until| until > self.clock.now())
    }

    /// The bodies of all messages of a queue, in flight or not.
    pub(crate) fn bodies(&self, url: &str) -> Vec<String> {
        let bodies =
            |fifo: &mut Fifo, _| fifo.messages.iter().map(|message| message.outgoing.body.clone()).collect();
        self.of(url, bodies).unwrap_or_default()
    }

    /// How often a message was handed out again.
    pub(crate) fn redeliveries(&self) -> u64 {
        self.redeliveries.load(Relaxed)
    }

    /// How often a handle was refused.
    pub(crate) fn refused_handles(&self) -> u64 {
        self.refused_handles.load(Relaxed)
    }

    /// Works on a queue, and then answers abandoned calls; none if there is no such queue.
    fn of<T>(&self, url: &str, work: impl FnOnce(&mut Fifo, Timestamp) -> T) -> Option<T> {
        let now = self.clock.now();
        let mut queues = self.queues.lock().unwrap();
        let fifo = queues.get_mut(url.rsplit('/').next()?)?;
        let done = work(fifo, now);
        fifo.answer_abandoned(now, || self.clock.random());
        Some(done)
    }
}

fn after(now: Timestamp, duration: Duration) -> Timestamp {
    // SQS counts whole seconds.
    now + Duration::from_secs(duration.as_secs() + u64::from(duration.subsec_nanos() > 0))
}

#[async_trait]
impl QueueService for Model {
    async fn find(&self, name: &str) -> Result<Option<String>, StoreError> {
        if self.is_throttled.load(Relaxed) {
            return Err(StoreError {
                action: format!("looking for queue {name}"),
                kind: StoreErrorKind::Transient,
                source: "RequestThrottled".into(),
            });
        }
        let is_known = !self.is_unknown() && self.queues.lock().unwrap().contains_key(name);
        Ok(is_known.then(|| name.to_owned()))
    }

    async fn create(&self, spec: &QueueSpec) -> Result<String, StoreError> {
        assert!(spec.name.ends_with(".fifo") && spec.name.len() <= 80, "{}", spec.name);
        let mut queues = self.queues.lock().unwrap();
        if let Some(dead_letters) = &spec.dead_letters {
            assert!(queues.contains_key(dead_letters), "the dead-letter queue is created first");
        }
        queues
            .entry(spec.name.clone())
            .or_insert_with(|| Fifo { shop_id: spec.shop_id.clone(), ..Fifo::default() });
        Ok(spec.name.clone())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
        let queues = self.queues.lock().unwrap();
        let matching = queues.iter().filter(|(name, _)| name.starts_with(prefix));
        Ok(matching.map(|(name, _)| (name.clone(), name.clone())).collect())
    }

    async fn shop(&self, url: &str) -> Result<Option<String>, StoreError> {
        Ok(self.of(url, |fifo, _| fifo.shop_id.clone()))
    }

    async fn send(&self, url: &str, message: &Outgoing) -> Result<bool, StoreError> {
        if self.is_unknown() {
            return Ok(false);
        }
        let sent = self.of(url, |fifo, now| {
            // In queues with high throughput, which host creates, a deduplication id is one of its group.
            let id = (message.group.clone(), message.deduplication_id.clone());
            fifo.sent.retain(|_, at| now.duration_since(*at) < DEDUPLICATION);
            if fifo.sent.contains_key(&id) {
                return;
            }
            fifo.sent.insert(id, now);
            fifo.messages.push(Message {
                outgoing: message.clone(),
                visible_until: now,
                receive_count: 0,
                handle: None,
                first_received: None,
            });
        });
        Ok(sent.is_some())
    }

    async fn receive(
        &self,
        url: &str,
        request: &ReceiveRequest,
    ) -> Result<Option<Vec<Incoming>>, StoreError> {
        // Counts as abandoned if this future is dropped before it has an answer.
        let until = self.clock.now() + request.wait_time;
        let mut call = Call { model: self, url, request, until, is_answered: false };
        loop {
            let received = self.of(url, |fifo, now| fifo.hand_out(request, now, || self.clock.random()));
            if received.as_ref().is_none_or(|received| !received.is_empty()) || self.clock.now() >= until {
                call.is_answered = true;
                let again = received.iter().flatten().filter(|incoming| incoming.receive_count > 1);
                self.redeliveries.fetch_add(again.count() as u64, Relaxed);
                return Ok(received);
            }
            // A long poll looks for messages every four seconds.
            self.clock.sleep(Duration::from_secs(4).min(request.wait_time)).await;
        }
    }

    async fn change_visibility(
        &self,
        url: &str,
        handle: &str,
        visibility: Duration,
    ) -> Result<bool, StoreError> {
        let hidden = self.of(url, |fifo, now| {
            let Some(position) = fifo.in_flight(handle, now) else { return false };
            let message = &mut fifo.messages[position];
            let in_all = now.duration_since(message.first_received.unwrap()).unsigned_abs() + visibility;
            if in_all > Duration::from_secs(12 * 3600) {
                return false;
            }
            message.visible_until = after(now, visibility);
            true
        });
        self.refused_handles.fetch_add(u64::from(hidden == Some(false)), Relaxed);
        Ok(hidden.unwrap_or(false))
    }

    async fn delete(&self, url: &str, handle: &str) -> Result<bool, StoreError> {
        let deleted = self.of(url, |fifo, now| match fifo.in_flight(handle, now) {
            Some(position) => {
                fifo.messages.remove(position);
                true
            }
            None => false,
        });
        self.refused_handles.fetch_add(u64::from(deleted == Some(false)), Relaxed);
        Ok(deleted.unwrap_or(false))
    }

    async fn depth(&self, url: &str) -> Result<Depth, StoreError> {
        let depth = self.of(url, |fifo, now| {
            let in_flight = fifo.messages.iter().filter(|message| message.visible_until > now).count();
            Depth { visible: (fifo.messages.len() - in_flight) as u64, in_flight: in_flight as u64 }
        });
        Ok(depth.unwrap_or_default())
    }

    async fn remove(&self, url: &str) -> Result<(), StoreError> {
        self.queues.lock().unwrap().remove(url);
        Ok(())
    }
}
