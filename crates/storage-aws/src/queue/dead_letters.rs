//! Reads the dead letters of a shop: messages that no worker could handle. In SQS, reading makes them invisible to
//! others for a while.
//!
//! A message that SQS itself has moved here has kept its message group. Of a group, SQS delivers no more while the
//! first messages are in flight. So each of these is sent again, unchanged, in a group of its own.

use super::{
    InFlight, Incoming, LIST_VISIBILITY, Outgoing, Queues,
    message::{DeadLetterBody, UnreadableNote},
};
use host_core::{
    model::{ChunkRef, Digest},
    storage::{DeadLetter, LeasedDeadLetter, MessagePlace, Queue, StoreError, UnreadableMessage},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

/// How long a second call waits for dead letters, if a first one without waiting found none although the queue has
/// some.
const LETTER_WAIT: Duration = Duration::from_secs(1);

/// What one call has received.
#[derive(Default)]
pub(super) struct Page {
    pub(super) dead_letters: Vec<LeasedDeadLetter>,
    unreadable: Vec<UnreadableLetter>,
    /// Number of messages that were sent again in a group of their own, and will be received again.
    regrouped: usize,
}

/// A message in the dead-letter queue that cannot be read as a dead letter, and the receipt handle of its delivery.
struct UnreadableLetter {
    message: UnreadableMessage,
    handle: String,
}

impl Page {
    pub(super) fn is_empty(&self) -> bool {
        self.dead_letters.is_empty() && self.unreadable.is_empty() && self.regrouped == 0
    }
}

/// All dead letters of a shop.
#[derive(Default)]
pub(super) struct DeadLetterList {
    pub(super) dead_letters: Vec<DeadLetter>,
    pub(super) unreadable: Vec<UnreadableMessage>,
}

impl Queues {
    /// Receives some messages of the shop's dead-letter queue; an empty page if none is visible.
    pub(super) async fn receive_page(&self, shop_id: &str, visibility: Duration) -> Result<Page, StoreError> {
        let name = self.names.dead_letter_queue(shop_id);
        let mut page = Page::default();
        let Some(url) = self.url(&name).await? else { return Ok(page) };
        let asked_at = self.clock.now();
        for incoming in self.receive_letters(&url, visibility).await? {
            let read = DeadLetterBody::read(&incoming.body, incoming.receive_count, asked_at);
            let group = match &read {
                Ok(dead_letter) => dead_letter.group(),
                Err(_) => Digest::of(incoming.body.as_bytes()).hex(),
            };
            if incoming.group != group {
                self.regroup(&url, incoming, group).await?;
                page.regrouped += 1;
                continue;
            }
            match read {
                Ok(dead_letter) => {
                    let Incoming { handle, receive_count, .. } = incoming;
                    let url = url.clone();
                    let in_flight = InFlight { url, message: None, receive_count, received_at: asked_at };
                    let receipt = self.track(handle, in_flight);
                    page.dead_letters.push(LeasedDeadLetter { dead_letter: dead_letter.into(), receipt });
                }
                Err(reason) => {
                    let (body, count) = (incoming.body, incoming.receive_count);
                    let message = match serde_json::from_str::<UnreadableNote>(&body) {
                        Ok(note) => {
                            let place = if note.is_in_queue {
                                MessagePlace::Queue
                            } else {
                                MessagePlace::DeadLetters
                            };
                            UnreadableMessage::new(
                                shop_id,
                                place,
                                note.error_message,
                                note.receive_count,
                                &note.body,
                            )
                        }
                        Err(_) => {
                            UnreadableMessage::new(shop_id, MessagePlace::DeadLetters, reason, count, &body)
                        }
                    };
                    page.unreadable.push(UnreadableLetter { message, handle: incoming.handle });
                }
            }
        }
        Ok(page)
    }

    /// Some messages of a dead-letter queue; none if none is visible.
    async fn receive_letters(&self, url: &str, visibility: Duration) -> Result<Vec<Incoming>, StoreError> {
        for wait_time in [Duration::ZERO, LETTER_WAIT] {
            // 10 messages are the most that SQS delivers at once.
            let request = self.request(10, visibility, wait_time);
            let received = self.service.receive(url, &request).await?.unwrap_or_default();
            // A call that does not wait asks only some of SQS's servers, and may miss messages.
            if !received.is_empty() || self.service.depth(url).await?.visible == 0 {
                return Ok(received);
            }
        }
        Ok(Vec::new())
    }

    /// Sends a message again in this group and removes it. After a crash in between, the message is sent a second time:
    /// SQS drops the copy within five minutes, and later it is listed once with the first.
    async fn regroup(&self, url: &str, incoming: Incoming, group: String) -> Result<(), StoreError> {
        let Incoming { body, handle, .. } = incoming;
        let again = Outgoing { body, deduplication_id: group.clone(), group };
        if self.service.send(url, &again).await? {
            self.service.delete(url, &handle).await?;
        }
        Ok(())
    }

    /// All dead letters, each once, and what is among them that cannot be read; all of them are visible again at the
    /// end.
    pub(super) async fn list_dead_letters(&self, shop_id: &str) -> Result<DeadLetterList, StoreError> {
        let mut dead_letters: HashMap<_, DeadLetter> = HashMap::new();
        let mut unreadable = BTreeMap::new();
        let (mut receipts, mut handles, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        loop {
            let Page { dead_letters: page, unreadable: others, regrouped } =
                self.receive_page(shop_id, LIST_VISIBILITY).await?;
            let known = dead_letters.len() + seen.len();
            for LeasedDeadLetter { dead_letter, receipt } in page {
                receipts.push(receipt);
                let ChunkRef { job_id, seq, key, .. } = &dead_letter.chunk;
                let chunk = (job_id.clone(), *seq, key.clone(), dead_letter.redrive_count);
                // A chunk that was moved here again after a crash is one dead letter.
                dead_letters.entry(chunk).or_insert(dead_letter);
            }
            for UnreadableLetter { message, handle } in others {
                // An unreadable message that stays in the queue has several notes here; the last one has the latest
                // count.
                seen.insert((message.body.clone(), message.receive_count));
                unreadable.insert(message.body.clone(), message);
                handles.push(handle);
            }
            // The call returned nothing new. SQS delivers all messages before it delivers the first again, so all have
            // been seen.
            if regrouped == 0 && dead_letters.len() + seen.len() == known {
                break;
            }
        }
        for receipt in receipts {
            self.release(&receipt, Duration::ZERO).await?;
        }
        if let Some(url) = self.url(&self.names.dead_letter_queue(shop_id)).await? {
            for handle in handles {
                self.service.change_visibility(&url, &handle, Duration::ZERO).await?;
            }
        }
        let mut dead_letters: Vec<DeadLetter> = dead_letters.into_values().collect();
        dead_letters.sort_by_key(|dead_letter| (dead_letter.died_at, dead_letter.chunk.seq));
        Ok(DeadLetterList { dead_letters, unreadable: unreadable.into_values().collect() })
    }
}
