use super::{Duration, FailureContext, QuarantineReason, StoreError, async_trait};
use crate::model::{ChunkRef, Job};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Names one delivery of a message; void once the message is delivered again or removed. After the visibility timeout or
/// a release it may be void already: in SQS it is, in SQLite it is not.
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
    /// Until when no other worker receives it, unless its visibility is changed.
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
    /// How often the chunk had been redriven by then. Stored as `epoch`, its former name.
    #[serde(rename = "epoch", default)]
    pub redrive_count: u32,
    /// What is known of the failure; nothing where the backend itself moved the message.
    #[serde(flatten)]
    pub context: FailureContext,
    /// The message itself, if it is another program's and has become no chunk: then the chunk has no number, digest and size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<String>,
}

/// A dead letter that is invisible to other receivers.
#[derive(Clone, Debug)]
pub struct LeasedDeadLetter {
    /// The dead letter.
    pub dead_letter: DeadLetter,
    /// For [`Queue::change_visibility`], [`Queue::release`] and, to remove it, [`Queue::ack`].
    pub receipt: Receipt,
}

/// How long a message that cannot be read stays invisible before it is looked at again, perhaps by a newer version.
pub const UNREADABLE_VISIBILITY: Duration = Duration::from_secs(15 * 60);

/// A message or a dead letter that this version cannot read: a newer version or another program wrote it. It stays where it
/// is, and the rest of its group behind it.
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

/// Bytes of an unreadable message that are shown.
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

/// About how much is in the queue of a shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShopBacklog {
    /// The shop.
    pub shop_id: String,
    /// Messages that are not acknowledged, in flight or not.
    pub messages: u64,
    /// Dead letters, those included that cannot be read.
    pub dead_letters: u64,
}

/// About how much is in the queues of shops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Those that have messages or dead letters, in their order.
    pub shops: Vec<ShopBacklog>,
    /// Shops whose queues were not looked at, because there are too many.
    pub shops_left_out: u64,
}

/// A queue a shop, with the semantics of SQS FIFO: messages of one group (`shop#lane`) are delivered in the order
/// in which they were sent, and none of a group while another of it is in flight.
///
/// An error does not tell whether the call took effect; the caller retries, or leaves it to the visibility timeout.
/// Dropping a call that receives may leave its messages invisible until that timeout; all other calls may be cancelled,
/// with the same effect as an error.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Sends the message of a chunk to the queue of its job's shop. Idempotent by job, sequence number and redrive count for
    /// as long as the backend remembers them: forever in SQLite, 5 minutes in SQS.
    async fn send(&self, job: &Job, chunk: &ChunkRef, redrive_count: u32) -> Result<(), StoreError>;

    /// Receives up to `max` messages, at most one a group, each invisible to others for `visibility`. An empty list means
    /// that none is visible now; the call does not wait. A message that is not acknowledged by its timeout is redelivered,
    /// before its successors. A message that cannot be read is logged and left invisible for [`UNREADABLE_VISIBILITY`].
    async fn receive(
        &self,
        shop_id: &str,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// Receives one message, waiting for it up to `wait_time` where the backend supports long polling; otherwise it returns
    /// immediately.
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

    /// Shops that may have a message now for a worker that receives with this visibility timeout. A worker of all shops asks at short
    /// intervals, so it costs little however many shops there are. A shop is named for as long as it has such a message, and perhaps
    /// longer: at the first call if a job of it is open, otherwise, where the backend knows no better, after some calls. Reads only.
    async fn ready_shops(&self, visibility: Duration) -> Result<Vec<String>, StoreError>;

    /// Keeps the message invisible for `visibility` from now. False if the receipt is void, and then nothing changes.
    /// Idempotent.
    async fn change_visibility(&self, receipt: &Receipt, visibility: Duration) -> Result<bool, StoreError>;

    /// Has the message redelivered after `delay`, its group waiting for it. False if the receipt is void, as it may be the
    /// second time.
    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<bool, StoreError>;

    /// Removes the message: a worker's last act on it. False if the receipt is void, as it is the second time.
    async fn ack(&self, receipt: &Receipt) -> Result<bool, StoreError>;

    /// Moves the message to the dead letters, so that its group continues. False if the receipt is void, as it is the second
    /// time. Idempotent by chunk and redrive count.
    async fn dead_letter(&self, receipt: &Receipt, reason: &QuarantineReason) -> Result<bool, StoreError>;

    /// Makes messages of a shop visible that were released with a delay, except those in flight, where the backend can: false if it
    /// cannot, and they stay hidden until their delay ends. Idempotent.
    async fn expedite(&self, _shop_id: &str) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Deliveries after which the backend itself moves a message to the dead letters, without its chunk being counted; none if it
    /// never does.
    fn receive_limit(&self) -> Option<u32> {
        None
    }

    /// Number of messages of a shop that are not acknowledged, in flight or not; approximate in SQS. Reads only.
    async fn depth(&self, shop_id: &str) -> Result<u64, StoreError>;

    /// How much is in the queues of these shops, and, if `others`, of all other shops; a backend that bills each look leaves out some of
    /// many others. Approximate in SQS. Reads only, and receives nothing.
    async fn backlog(&self, shop_ids: &[String], others: bool) -> Result<Backlog, StoreError>;

    /// The dead letters of a shop, oldest first. Changes none of them; in SQS they are invisible to others meanwhile.
    async fn dead_letters(&self, shop_id: &str) -> Result<Vec<DeadLetter>, StoreError>;

    /// Messages and dead letters of a shop that this version cannot read, as far as they are known. Reads only, as
    /// [`dead_letters`](Self::dead_letters).
    async fn unreadable(&self, _shop_id: &str) -> Result<Vec<UnreadableMessage>, StoreError> {
        Ok(Vec::new())
    }

    /// Receives some dead letters of a shop, in no order, invisible to others for `visibility`; none if no visible one is
    /// left. The same chunk may come several times.
    async fn receive_dead_letters(
        &self,
        shop_id: &str,
        visibility: Duration,
    ) -> Result<Vec<LeasedDeadLetter>, StoreError>;

    /// Sends the message of another program again that a dead letter is, unless it is a chunk's: then it is false. Idempotent for as
    /// long as the backend remembers what was sent.
    async fn resend(&self, _dead_letter: &DeadLetter) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Number of messages and dead letters, approximate in SQS, of a shop; unless `dry_run`, there is none of them afterwards. Idempotent: after an error or cancelled, some
    /// are gone, and the next call removes the rest.
    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError>;
}
