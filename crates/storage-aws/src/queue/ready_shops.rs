//! Which shops may have messages. Open jobs tell it at once. Other messages, such as those of programs other than host,
//! are found in rounds through all queues, because SQS tells the number of messages only for one queue at a time.

use super::Queues;
use futures::{StreamExt, stream};
use host_core::{error::chain, storage::StoreError};
use jiff::{SignedDuration, Timestamp};
use std::{collections::VecDeque, time::Duration};

/// Shortest time between the beginnings of two rounds.
const MIN_ROUND: Duration = Duration::from_secs(60);
/// Time between two looks in a round: 10,000 queues take a quarter of an hour.
const PER_QUEUE: Duration = Duration::from_millis(90);
/// Most queues looked at in one call.
const MAX_LOOKS: usize = 32;
/// Queues looked at concurrently.
const AT_ONCE: usize = 8;

/// A round through the queues of all shops.
#[derive(Debug)]
pub(super) struct Round {
    /// Shops whose queues are still to be looked at, and their URLs.
    left: VecDeque<(String, String)>,
    /// When the next round may begin, with a new list of the queues.
    next_at: Timestamp,
    /// When queues were last looked at.
    looked_at: Timestamp,
}

impl Queues {
    /// Shops with open jobs, and those whose queues were found to have messages.
    pub(super) async fn find_ready_shops(&self) -> Result<Vec<String>, StoreError> {
        let mut shops = match &self.jobs {
            Some(jobs) => jobs.open_shops().await?,
            None => Vec::new(),
        };
        match self.look_around().await {
            Ok(found) => shops.extend(found),
            Err(error) => {
                tracing::warn!(cause = chain(&error), "could not look for messages without an open job");
            }
        }
        shops.sort_unstable();
        shops.dedup();
        Ok(shops)
    }

    /// Looks at the next queues of the round, as many as are due. Returns the shops whose queues have visible messages.
    async fn look_around(&self) -> Result<Vec<String>, StoreError> {
        let mut round = self.round.lock().await;
        let now = self.clock.now();
        // The first call only begins a round: its caller gets the open jobs without waiting for a list of all queues.
        let first = || Round { left: VecDeque::new(), next_at: now, looked_at: now };
        let Some(round) = &mut *round else {
            *round = Some(first());
            return Ok(Vec::new());
        };
        if round.left.is_empty() && now >= round.next_at {
            // If listing fails, it is tried again after the usual time.
            round.next_at = after(now, MIN_ROUND);
            round.left = self.shop_queues().await?.into();
            let takes = PER_QUEUE.saturating_mul(u32::try_from(round.left.len()).unwrap_or(u32::MAX));
            round.next_at = after(now, takes.max(MIN_ROUND));
        }
        let elapsed = now.duration_since(round.looked_at).unsigned_abs();
        let due = usize::try_from(elapsed.as_millis() / PER_QUEUE.as_millis()).unwrap_or(MAX_LOOKS);
        if due == 0 {
            return Ok(Vec::new());
        }
        round.looked_at = now;
        let due = due.min(MAX_LOOKS).min(round.left.len());
        let looks = round.left.drain(..due).map(|(shop_id, url)| async move {
            let depth = self.service.depth(&url).await?;
            Ok::<_, StoreError>((depth.visible > 0).then_some(shop_id))
        });
        let mut found = Vec::new();
        let looks: Vec<_> = looks.collect();
        let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
        while let Some(look) = looks.next().await {
            match look {
                Ok(shop_id) => found.extend(shop_id),
                Err(error) => tracing::warn!(cause = chain(&error), "could not look at a queue"),
            }
        }
        Ok(found)
    }

    /// Shops and URLs of all queues, without those of dead letters. The name of a queue tells its shop; if the name is
    /// shortened, the queue's tag does.
    pub(super) async fn shop_queues(&self) -> Result<Vec<(String, String)>, StoreError> {
        let listed = self.service.list(&self.names.queue_prefix()).await?;
        let mut queues = Vec::with_capacity(listed.len() / 2);
        let mut tagged = Vec::new();
        for (name, url) in listed {
            if name.ends_with(super::DEAD_LETTERS) {
                continue;
            }
            match self.names.shop_of(&name) {
                Some(shop_id) => queues.push((shop_id, url)),
                None => tagged.push((name, url)),
            }
        }
        for (name, url) in &tagged {
            // A queue's shop never changes, and each call is billed.
            let known = self.tags().get(url).cloned();
            let shop_id = match known {
                Some(shop_id) => Some(shop_id),
                None => self.service.shop(url).await?,
            };
            let Some(shop_id) = shop_id.filter(|shop_id| self.names.queue(shop_id) == *name) else {
                continue;
            };
            self.tags().insert(url.clone(), shop_id.clone());
            queues.push((shop_id, url.clone()));
        }
        self.tags().retain(|known, _| tagged.iter().any(|(_, url)| url == known));
        queues.sort_unstable();
        queues.dedup();
        Ok(queues)
    }
}

fn after(now: Timestamp, duration: Duration) -> Timestamp {
    now.saturating_add(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)).unwrap_or(now)
}
