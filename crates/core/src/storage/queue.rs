use super::{Duration, Evidence, GivenUp, StoreError, async_trait};
use crate::model::{ChunkRef, Job};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Names one delivery of a message; void once the message is delivered again or removed. Running out of visibility or
/// giving the message back need not make it void: in the embedded queue it does not, in SQS it does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt(pub String);

/// A message handed to a worker.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message's content.
    pub chunk: ChunkRef,
    /// The shop whose queue it came from.
    pub shop_id: String,
    /// How often the message has been delivered, this time included.
    pub receive_count: u32,
    /// Until when nobody else gets it, unless extended.
    pub visible_at: Timestamp,
    /// For [`Queue::extend`], [`Queue::release`] and [`Queue::ack`].
    pub receipt: Receipt,
}

/// A message that no worker could handle, with the reason.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The chunk.
    pub chunk: ChunkRef,
    /// The shop.
    pub shop_id: String,
    /// Stable kebab-case name of the reason.
    pub code: String,
    /// One sentence for a person, with the chain of causes.
    pub message: String,
    /// When it was given up.
    pub died_at: Timestamp,
    /// How often it had been delivered.
    pub receive_count: u32,
    /// How often the chunk had been redriven by then.
    #[serde(default)]
    pub epoch: u32,
    /// What is known of the chunk; of one that the backend itself gave up, nothing.
    #[serde(flatten)]
    pub evidence: Evidence,
}

/// A dead letter that is hidden from others.
#[derive(Clone, Debug)]
pub struct HeldLetter {
    /// The letter.
    pub letter: DeadLetter,
    /// For [`Queue::extend`], [`Queue::release`] and, to remove it, [`Queue::ack`].
    pub receipt: Receipt,
}

/// A queue a shop, with the semantics of SQS FIFO: messages of one group (`shop#lane`) are delivered in the order
/// they were sent, and none of a group while another of the same group is in flight.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Sends the message of a chunk to the queue of its job's shop. Sending the same (job, sequence number, epoch) again does
    /// nothing, for as long as the backend remembers it: for ever in the embedded queue, 5 minutes in SQS.
    async fn send(&self, job: &Job, chunk: &ChunkRef, epoch: u32) -> Result<(), StoreError>;

    /// Takes up to `max` messages, at most one a group, and hides each for `visibility`. Returns an empty list
    /// at once if there is none. A message not acknowledged by then is delivered again, before its successors.
    async fn receive(
        &self,
        shop_id: &str,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// Takes one message as [`receive`](Self::receive) does; where the backend can wait for one by itself, it does so for
    /// up to `patience`, and the caller need not look again and again. May be cancelled: a message that was about to be
    /// handed over is delivered again after `visibility`.
    async fn wait(
        &self,
        shop_id: &str,
        visibility: Duration,
        _patience: Duration,
    ) -> Result<Option<Delivery>, StoreError> {
        Ok(self.receive(shop_id, 1, visibility).await?.pop())
    }

    /// Shops that have a queue, in their order.
    async fn shops(&self) -> Result<Vec<String>, StoreError>;

    /// Hides the message for `visibility` from now; false if the receipt is void, and then nothing changes.
    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<bool, StoreError>;

    /// Gives the message back, to be delivered again after `delay`, its group waiting behind it; false if void.
    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<bool, StoreError>;

    /// Removes the message; false if the receipt is void. The last act of a worker.
    async fn ack(&self, receipt: &Receipt) -> Result<bool, StoreError>;

    /// Moves the message to the dead letters, its group going on; false if the receipt is void.
    /// Burying the same chunk again changes nothing.
    async fn bury(&self, receipt: &Receipt, reason: &GivenUp) -> Result<bool, StoreError>;

    /// Number of messages of a shop that are still to be acknowledged, in flight or not; a moment late in SQS.
    async fn pending(&self, shop_id: &str) -> Result<u64, StoreError>;

    /// The dead letters of a shop, oldest first.
    async fn dead_letters(&self, shop_id: &str) -> Result<Vec<DeadLetter>, StoreError>;

    /// Takes some dead letters of a shop, in no order, and hides them for `visibility`; none if all are hidden or there is none.
    /// The same chunk may come several times.
    async fn take_dead_letters(
        &self,
        shop_id: &str,
        visibility: Duration,
    ) -> Result<Vec<HeldLetter>, StoreError>;
}
