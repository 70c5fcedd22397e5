//! What becomes of a message that was received: it is delivered to a worker, becomes a dead letter, or is left for
//! later. A message that is left stays in the queue, and the rest of its SQS message group waits behind it.

use super::{
    InFlight, Incoming, Outgoing, Queues, RejectedMessage, Unusable,
    message::{Body, ExternalDeadLetter, ExternalMessage, Message, UnreadableNote},
};
use host_core::{
    error::chain,
    model::Digest,
    storage::{Delivery, StoreError, UNREADABLE_VISIBILITY, UnreadableMessage, to_envelope},
};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// How long a message is left whose chunk could not be prepared, because a call failed or its object is not there.
const RETRY_VISIBILITY: Duration = Duration::from_secs(15);

/// Deliveries after which a message becomes a dead letter if its object is missing or refused. The object may come a
/// little later than the message.
const MAX_REJECTIONS: u32 = 3;

/// A message, and where it was received.
pub(super) struct Received<'a> {
    pub(super) queue: &'a str,
    pub(super) url: &'a str,
    pub(super) incoming: Incoming,
    pub(super) at: Timestamp,
}

impl Queues {
    /// The delivery of a message to a worker; otherwise what became of the message.
    pub(super) async fn deliver(
        &self,
        received: Received<'_>,
        visibility: Duration,
    ) -> Result<Delivery, Undelivered> {
        let Received { queue, url, incoming, at } = received;
        let message = match Body::read(&incoming.body) {
            Ok(Body::Chunk(message)) => Ok(message),
            Ok(Body::External(message)) => self.chunk_of(queue, message).await,
            Err(unsupported) => Err(Unusable::Unreadable(unsupported.to_string())),
        };
        match message {
            Ok(message) => Ok(self.delivery(url, message, incoming, at, visibility)),
            Err(Unusable::Unreadable(reason)) => {
                let receive_count = incoming.receive_count;
                tracing::warn!(queue, receive_count, reason, "left a message that cannot be read");
                // A note after 1, 2, 4, 8, … deliveries is enough.
                if receive_count.is_power_of_two()
                    && let Err(error) = self.leave_note(queue, &incoming, &reason).await
                {
                    tracing::warn!(
                        queue,
                        cause = chain(&error),
                        "could not name the message among the dead letters"
                    );
                }
                Err(Undelivered::Left { incoming, delay: UNREADABLE_VISIBILITY })
            }
            Err(Unusable::Rejected(rejected)) => Err(self.reject(queue, url, incoming, *rejected).await),
            Err(Unusable::Store(error)) => {
                tracing::warn!(
                    queue,
                    cause = chain(&error),
                    "could not prepare the chunk of a message; retrying"
                );
                Err(Undelivered::Left { incoming, delay: RETRY_VISIBILITY })
            }
        }
    }

    /// Makes a chunk of the message of a program other than host, and returns host's own message of that chunk.
    async fn chunk_of(&self, queue: &str, message: ExternalMessage) -> Result<Message, Unusable> {
        let Some(external) = &self.external else {
            return Err(Unusable::Unreadable("chunks of other programs are not accepted here".to_owned()));
        };
        let shop_id = &message.shop_id;
        if shop_id.contains('/') || self.names.queue(shop_id) != queue {
            let reason = format!("it is in {queue}, which is not the queue of its shop {shop_id}");
            return Err(Unusable::rejected(message, "queue-of-other-shop", reason));
        }
        external.message_of(message).await
    }

    /// Has a message whose object cannot be used redelivered some times, then moves it to the dead letters.
    async fn reject(
        &self,
        queue: &str,
        url: &str,
        incoming: Incoming,
        RejectedMessage { message, code, reason }: RejectedMessage,
    ) -> Undelivered {
        let receive_count = incoming.receive_count;
        tracing::warn!(queue, receive_count, code, reason, "a message names what cannot be worked");
        if receive_count < MAX_REJECTIONS {
            return Undelivered::Left { incoming, delay: RETRY_VISIBILITY };
        }
        let (code, died_at) = (code.to_owned(), self.clock.now());
        let letter = ExternalDeadLetter { message, code, error_message: reason, died_at, receive_count };
        match self.move_to_dead_letters(queue, url, &incoming, &letter).await {
            Ok(true) => Undelivered::DeadLettered,
            Ok(false) => Undelivered::Left { incoming, delay: UNREADABLE_VISIBILITY },
            Err(error) => {
                tracing::warn!(queue, cause = chain(&error), "could not move a message to the dead letters");
                Undelivered::Left { incoming, delay: RETRY_VISIBILITY }
            }
        }
    }

    /// Moves a message to the dead letters; false if the queue has no dead-letter queue.
    async fn move_to_dead_letters(
        &self,
        queue: &str,
        url: &str,
        incoming: &Incoming,
        letter: &ExternalDeadLetter,
    ) -> Result<bool, StoreError> {
        let Some(dead_letters) = self.url(&self.names.dead_letters_of(queue)).await? else {
            return Ok(false);
        };
        let body = to_envelope(letter).expect("a dead letter is plain data");
        // A message that is rejected again after a redrive becomes a new dead letter, because its time differs.
        let deduplication_id = Digest::of(body.as_bytes()).hex();
        let outgoing = Outgoing { body, group: letter.group(), deduplication_id };
        if !self.service.send(&dead_letters, &outgoing).await? {
            return Ok(false);
        }
        // If this fails, the message is moved a second time, and listed once.
        self.service.delete(url, &incoming.handle).await?;
        Ok(true)
    }

    fn delivery(
        &self,
        url: &str,
        message: Message,
        incoming: Incoming,
        at: Timestamp,
        visibility: Duration,
    ) -> Delivery {
        let Incoming { handle, receive_count, .. } = incoming;
        let (chunk, shop_id) = (message.chunk(), message.shop_id.clone());
        let visibility = SignedDuration::try_from(visibility).unwrap_or_default();
        let visible_until = at.saturating_add(visibility).unwrap_or(at);
        let in_flight =
            InFlight { url: url.to_owned(), message: Some(message), receive_count, received_at: at };
        let receipt = self.track(handle, in_flight);
        Delivery { chunk, shop_id, receive_count, visible_until, receipt }
    }

    /// Has a message redelivered after `delay`; its group waits for it. If the call fails, the message is redelivered
    /// after the queue's own visibility timeout.
    pub(super) async fn leave(&self, url: &str, handle: &str, delay: Duration) {
        if let Err(error) = self.service.change_visibility(url, handle, delay).await {
            tracing::warn!(cause = chain(&error), "could not change the visibility of a message");
        }
    }

    /// Adds a note about an unreadable message to the dead letters, where operators look. The message itself stays in
    /// the queue.
    async fn leave_note(&self, queue: &str, incoming: &Incoming, reason: &str) -> Result<(), StoreError> {
        let note = UnreadableNote {
            code: UnreadableMessage::CODE.to_owned(),
            error_message: reason.to_owned(),
            died_at: self.clock.now(),
            receive_count: incoming.receive_count,
            body: incoming.body.clone(),
            is_in_queue: true,
        };
        let id = Digest::of(incoming.body.as_bytes()).hex();
        let body = serde_json::to_string(&note).expect("a note is plain data");
        let note = Outgoing { body, group: id.clone(), deduplication_id: id };
        // The message's shop may be unknown; the name of its queue leads to the dead-letter queue.
        let dead_letters = self.names.dead_letters_of(queue);
        if let Some(url) = self.url(&dead_letters).await? {
            self.service.send(&url, &note).await?;
        }
        Ok(())
    }
}

/// What becomes of a message that cannot be handled now.
pub(super) enum Undelivered {
    /// It is left in the queue, for this long.
    Left { incoming: Incoming, delay: Duration },
    /// It is among the dead letters.
    DeadLettered,
}
