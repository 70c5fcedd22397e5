//! What the queues need of SQS. A receipt handle names one delivery of a message. SQS refuses it once the message was
//! delivered again, removed or has become visible; here that is an answer, not a failure.

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
    /// SQS drops a second message with the same id within five minutes.
    pub deduplication_id: String,
}

/// How messages are received.
#[derive(Clone, Debug)]
pub struct ReceiveRequest {
    /// Most messages to receive; SQS allows 10.
    pub max: usize,
    /// How long they are invisible to other receivers.
    pub visibility: Duration,
    /// How long the call waits for a first message; SQS allows 20 seconds.
    pub wait_time: Duration,
    /// Names the call: a repetition with the same id, after a lost answer, gets the same messages.
    pub attempt_id: String,
}

/// A message received.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Its text.
    pub body: String,
    /// The receipt handle, which names this delivery.
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
    /// Name of the queue to which SQS itself moves what was received too often; none for a dead-letter queue.
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

    /// The approximate number of messages; 0 if the queue is gone.
    async fn depth(&self, url: &str) -> Result<Depth, StoreError>;

    /// Removes a queue with all its messages; does nothing if it is gone. For a minute, SQS then refuses to create a
    /// queue of the same name.
    async fn remove(&self, url: &str) -> Result<(), StoreError>;
}
