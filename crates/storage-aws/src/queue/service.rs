//! What the queue needs of SQS. A handle that SQS refuses, because the message was delivered again, removed or has become
//! visible, is an answer here, not a failure.

use async_trait::async_trait;
use host_core::storage::StoreError;
use std::time::Duration;

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its text.
    pub body: String,
    /// Messages of one group are delivered in order, one after the other.
    pub group: String,
    /// A second message with the same id is dropped for five minutes.
    pub deduplication_id: String,
}

/// How messages are received.
#[derive(Clone, Debug)]
pub struct ReceiveRequest {
    /// At most so many, and at most 10.
    pub max: usize,
    /// How long they are invisible to other receivers.
    pub visibility: Duration,
    /// How long the call waits for a first one.
    pub wait_time: Duration,
    /// A repetition of the call, after a lost answer, gets the same messages.
    pub attempt_id: String,
}

/// A message received.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Its text.
    pub body: String,
    /// Names this delivery.
    pub handle: String,
    /// How often it has been delivered, this time included.
    pub receive_count: u32,
    /// Its group.
    pub group: String,
}

/// About how many messages a queue has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Those that can be received, now or once their groups are free.
    pub visible: u64,
    /// Those in flight.
    pub in_flight: u64,
}

impl Depth {
    /// All of them.
    pub fn total(self) -> u64 {
        self.visible.saturating_add(self.in_flight)
    }
}

/// How a queue is created.
#[derive(Clone, Debug)]
pub struct QueueSpec {
    /// Name, ending in `.fifo`.
    pub name: String,
    /// The shop, kept as a tag.
    pub shop_id: String,
    /// Name of the queue to which SQS itself moves what was received too often.
    pub dead_letters: Option<String>,
}

/// FIFO queues.
#[async_trait]
pub trait QueueService: Send + Sync {
    /// The URL of a queue; none if there is no such queue.
    async fn find(&self, name: &str) -> Result<Option<String>, StoreError>;

    /// Creates a queue unless it exists; returns its URL.
    async fn create(&self, spec: &QueueSpec) -> Result<String, StoreError>;

    /// Names and URLs of all queues whose name begins with `prefix`.
    async fn list(&self, prefix: &str) -> Result<Vec<(String, String)>, StoreError>;

    /// The shop that a queue's tag names; none if it has no such tag or is gone.
    async fn shop(&self, url: &str) -> Result<Option<String>, StoreError>;

    /// Sends a message; false if the queue is gone.
    async fn send(&self, url: &str, message: &Outgoing) -> Result<bool, StoreError>;

    /// Receives messages; none if the queue is gone.
    async fn receive(&self, url: &str, request: &ReceiveRequest)
    -> Result<Option<Vec<Incoming>>, StoreError>;

    /// Keeps a message invisible for so long from now; false if the handle is rejected.
    async fn change_visibility(
        &self,
        url: &str,
        handle: &str,
        visibility: Duration,
    ) -> Result<bool, StoreError>;

    /// Removes a message; false if the handle is rejected.
    async fn delete(&self, url: &str, handle: &str) -> Result<bool, StoreError>;

    /// Number of messages, about: those that can be received, and those in flight. None if the queue is gone.
    async fn depth(&self, url: &str) -> Result<Depth, StoreError>;

    /// Removes a queue with all its messages; nothing happens if it is gone. SQS lets no queue of its name be created for a minute.
    async fn remove(&self, url: &str) -> Result<(), StoreError>;
}
