//! The port to the queue, whose messages each refer to one chunk (a stored object with some of a job's documents), and
//! to the dead letters: messages that no worker could handle.

use super::{Duration, FailureContext, QuarantineReason, StoreError, async_trait};
use crate::model::{ChunkRef, Job};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Names one delivery of a message; void once the message is delivered again or removed. Backends differ after the
/// visibility timeout or a release: in SQS the receipt is void, in SQLite it is still valid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt(pub String);

/// A message delivered to a worker.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message's content.
    pub chunk: ChunkRef,
    /// The shop whose queue it came from.
    pub shop_id: String,
    /// How often the message has been delivered, this time included.
    pub receive_count: u32,
    /// When it becomes visible again: until then no other worker receives it, unless its visibility is changed.
    pub visible_until: Timestamp,
    /// For [`Queue::change_visibility`], [`Queue::release`] and [`Queue::ack`].
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
    /// When it became a dead letter.
    pub died_at: Timestamp,
    /// How often it had been delivered.
    pub receive_count: u32,
    /// How often an operator had redriven the chunk (sent its dead letter to the queue again) by then. Stored as
    /// `epoch`, its former name.
    #[serde(rename = "epoch", default)]
    pub redrive_count: u32,
    /// What is known of the failure; empty where the backend itself moved the message.
    #[serde(flatten)]
    pub context: FailureContext,
    /// The text of a message that a program other than host sent and that could not become a chunk: then `chunk` has no
    /// number, digest and size. `None` for all other messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<String>,
}

/// A dead letter that was received and is invisible to other receivers meanwhile.
#[derive(Clone, Debug)]
pub struct LeasedDeadLetter {
    /// The dead letter.
    pub dead_letter: DeadLetter,
    /// For [`Queue::change_visibility`], [`Queue::release`] and, to remove it, [`Queue::ack`].
    pub receipt: Receipt,
}

/// How long a message that cannot be read stays invisible before a worker receives it again, perhaps one of a newer
/// version.
pub const UNREADABLE_VISIBILITY: Duration = Duration::from_secs(15 * 60);

/// A message or a dead letter that this version of host cannot read: a newer version or another program wrote it. It
/// stays where it is, and the other messages of its group wait behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableMessage {
    /// The shop whose queue has it.
    pub shop_id: String,
    /// Always `unreadable-message`, as the code of a dead letter.
    pub code: &'static str,
    /// Where it is.
    pub place: MessagePlace,
    /// Why it cannot be read.
    pub message: String,
    /// How often it had been delivered when it was last seen.
    pub receive_count: u32,
    /// The beginning of its text.
    pub body: String,
}

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MessagePlace {
    /// In the queue of its shop.
    Queue,
    /// Among the dead letters.
    DeadLetters,
}

/// Most bytes of an unreadable message that are kept to be shown.
const MAX_BODY_BYTES: usize = 256;

impl UnreadableMessage {
    /// The code of all unreadable messages.
    pub const CODE: &'static str = "unreadable-message";

    /// A message that cannot be read for this reason.
    pub fn new(
        shop_id: &str,
        place: MessagePlace,
        reason: impl ToString,
        receive_count: u32,
        body: &str,
    ) -> Self {
        Self {
            shop_id: shop_id.to_owned(),
            code: Self::CODE,
            place,
            message: reason.to_string(),
            receive_count,
            body: body[..body.floor_char_boundary(MAX_BODY_BYTES)].to_owned(),
        }
    }
}

/// How many messages and dead letters a shop has; approximate in SQS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShopBacklog {
    /// The shop.
    pub shop_id: String,
    /// Messages that are not acknowledged, in flight (received by a worker) or not.
    pub messages: u64,
    /// Dead letters, including those that cannot be read.
    pub dead_letters: u64,
}

/// How many messages and dead letters shops have; approximate in SQS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The shops that have any, in the order of their ids.
    pub shops: Vec<ShopBacklog>,
    /// Number of shops whose queues were not queried, because there are too many shops.
    pub shops_left_out: u64,
}

/// One queue per shop, with the semantics of SQS FIFO: messages of one group (a shop and a lane: `shop#lane`) are
/// delivered in the order in which they were sent, and none of a group while another of it is in flight (received, not
/// yet acknowledged).
///
/// An error does not tell whether the call took effect; the caller retries, or leaves it to the visibility timeout.
/// Dropping a call that receives may leave its messages invisible until that timeout; all other calls may be cancelled,
/// with the same effect as an error.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Sends the message of a chunk to the queue of its job's shop. Idempotent by job, sequence number and redrive
    /// count for as long as the backend remembers them: forever in SQLite, 5 minutes in SQS.
    async fn send(&self, job: &Job, chunk: &ChunkRef, redrive_count: u32) -> Result<(), StoreError>;

    /// Receives up to `max` messages, at most one per group, each invisible to others for `visibility`. An empty list
    /// means that none is visible now; the call does not wait. A message that is not acknowledged by its timeout is
    /// redelivered, before its successors. A message that cannot be read is logged and left invisible for
    /// [`UNREADABLE_VISIBILITY`].
    async fn receive(
        &self,
        shop_id: &str,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// Receives one message, waiting for it up to `wait_time` where the backend supports long polling; otherwise the
    /// call returns immediately. `None` if none was visible.
    async fn long_poll(
        &self,
        shop_id: &str,
        visibility: Duration,
        _wait_time: Duration,
    ) -> Result<Option<Delivery>, StoreError> {
        Ok(self.receive(shop_id, 1, visibility).await?.pop())
    }

    /// Shops that have a queue, in their order. Reads only.
    async fn shops(&self) -> Result<Vec<String>, StoreError>;

    /// Shops that may have a message now for a worker that receives with this visibility timeout. A worker that serves
    /// all shops asks at short intervals, so the call costs little however many shops there are. A shop that has such a
    /// message is named as long as it has one, and perhaps longer: from the first call on if a job of it is open;
    /// otherwise some backends name it only after several calls. Reads only.
    async fn ready_shops(&self, visibility: Duration) -> Result<Vec<String>, StoreError>;

    /// Keeps the message invisible for `visibility` from now. False if the receipt is void, and then nothing changes.
    /// Idempotent.
    async fn change_visibility(&self, receipt: &Receipt, visibility: Duration) -> Result<bool, StoreError>;

    /// Lets the message be redelivered after `delay`; its group waits for it. False if the receipt is void, as it may
    /// be when the call is repeated.
    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<bool, StoreError>;

    /// Acknowledges the message: removes it once it is handled. False if the receipt is void, as it is when the call is
    /// repeated.
    async fn ack(&self, receipt: &Receipt) -> Result<bool, StoreError>;

    /// Moves the message to the dead letters, so that its group continues. False if the receipt is void, as it is when
    /// the call is repeated. There is one dead letter per chunk and redrive count, however often the call is made.
    async fn dead_letter(&self, receipt: &Receipt, reason: &QuarantineReason) -> Result<bool, StoreError>;

    /// Makes messages of a shop that were released with a delay visible immediately, except those in flight. False if
    /// the backend cannot do that, and they stay invisible until their delay ends. Idempotent.
    async fn expedite(&self, _shop_id: &str) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Deliveries after which the backend itself moves a message to the dead letters, without its chunk being counted;
    /// `None` if it never does.
    fn receive_limit(&self) -> Option<u32> {
        None
    }

    /// Number of messages of a shop that are not acknowledged, in flight or not; approximate in SQS. Reads only.
    async fn depth(&self, shop_id: &str) -> Result<u64, StoreError>;

    /// How many messages and dead letters these shops have, and, if `others`, all other shops. A backend that bills
    /// each request leaves out some of many others. Approximate in SQS. Reads only, and receives nothing.
    async fn backlog(&self, shop_ids: &[String], others: bool) -> Result<Backlog, StoreError>;

    /// The dead letters of a shop, oldest first. Changes none of them; in SQS they are invisible to others meanwhile.
    async fn dead_letters(&self, shop_id: &str) -> Result<Vec<DeadLetter>, StoreError>;

    /// Messages and dead letters of a shop that this version of host cannot read, as far as they are known. Changes
    /// nothing; in SQS dead letters are invisible to others meanwhile.
    async fn unreadable(&self, _shop_id: &str) -> Result<Vec<UnreadableMessage>, StoreError> {
        Ok(Vec::new())
    }

    /// Receives some dead letters of a shop, in no order, invisible to others for `visibility`; an empty list if no
    /// visible one is left. The same chunk may come several times.
    async fn receive_dead_letters(
        &self,
        shop_id: &str,
        visibility: Duration,
    ) -> Result<Vec<LeasedDeadLetter>, StoreError>;

    /// If the dead letter is a message that a program other than host sent and that never became a chunk
    /// ([`DeadLetter::external`]), sends it again and returns true; otherwise returns false. Idempotent for as long as
    /// the backend remembers what was sent.
    async fn resend(&self, _dead_letter: &DeadLetter) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Removes all messages and dead letters of a shop, unless `dry_run`; returns how many there were, approximate in
    /// SQS. Idempotent: after an error or when cancelled, some are removed, and the next call removes the rest.
    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError>;
}
