//! What becomes of a message that was received: a delivery, or it is left for later. One that is left stays in the queue, and
//! the rest of its group behind it.

use super::{
    Incoming, Outgoing, Queues, Unusable,
    message::{Body, UnreadableNote},
};
use host_core::{
    error::chain,
    model::Digest,
    storage::{Delivery, StoreError, UNREADABLE_VISIBILITY, UnreadableMessage},
};
use jiff::Timestamp;
use std::time::Duration;

/// How long a message is left that could not be looked at, because a call failed.
const RETRY_VISIBILITY: Duration = Duration::from_secs(15);

/// A message, and where it was received.
pub(super) struct Received<'a> {
    pub(super) queue: &'a str,
    pub(super) url: &'a str,
    pub(super) incoming: Incoming,
    pub(super) at: Timestamp,
}

impl Queues {
    /// The delivery of a message; otherwise why it cannot be handled, and for how long it is to be left.
    pub(super) async fn deliver(
        &self,
        received: Received<'_>,
        visibility: Duration,
    ) -> Result<Delivery, DeferredMessage> {
        let Received { queue, url, incoming, at } = received;
        let message = match Body::read(&incoming.body) {
            Ok(Body::Chunk(message)) => Ok(message),
            Ok(Body::External(message)) => match &self.external {
                Some(external) => external.message_of(&message).await,
                None => Err(Unusable::Refused("chunks of other programs are not accepted here".to_owned())),
            },
            Err(unsupported) => Err(Unusable::Refused(unsupported.to_string())),
        };
        match message {
            Ok(message) => Ok(self.track(url.to_owned(), message, incoming, at, visibility)),
            Err(Unusable::Refused(reason)) => {
                let receive_count = incoming.receive_count;
                tracing::warn!(queue, receive_count, reason, "left a message that cannot be read");
                // Its group waits for days at most: some notes are enough.
                if receive_count.is_power_of_two()
                    && let Err(error) = self.leave_note(queue, &incoming, &reason).await
                {
                    tracing::warn!(
                        queue,
                        cause = chain(&error),
                        "could not name the message among the dead letters"
                    );
                }
                Err(DeferredMessage { incoming, delay: UNREADABLE_VISIBILITY })
            }
            Err(Unusable::Store(error)) => {
                tracing::warn!(
                    queue,
                    cause = chain(&error),
                    "could not prepare the chunk of a message; retrying"
                );
                Err(DeferredMessage { incoming, delay: RETRY_VISIBILITY })
            }
        }
    }

    /// Has a message redelivered after a while, its group waiting for it. If that fails, the queue's own timeout is that while.
    pub(super) async fn leave(&self, url: &str, handle: &str, delay: Duration) {
        if let Err(error) = self.service.change_visibility(url, handle, delay).await {
            tracing::warn!(cause = chain(&error), "could not change the visibility of a message");
        }
    }

    /// Names an unreadable message among the dead letters, where operators look; itself it stays in the queue.
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
        // Its shop may not be known; the queue's name leads to the dead letters beside it.
        let dead = self.names.dead_letters_of(queue);
        if let Some(url) = self.url(&dead).await? {
            self.service.send(&url, &note).await?;
        }
        Ok(())
    }
}

/// A message that is left in the queue.
pub(super) struct DeferredMessage {
    pub(super) incoming: Incoming,
    /// For how long.
    pub(super) delay: Duration,
}
