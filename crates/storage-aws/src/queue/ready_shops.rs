//! Which shops may have messages. Open jobs say it at once; what else is in a queue, such as the messages of other programs, is
//! found in rounds through all queues, because SQS answers only for one queue at a time.

use super::Queues;
use futures::{StreamExt, stream};
use host_core::{error::chain, storage::StoreError};
use jiff::{SignedDuration, Timestamp};
use std::{collections::VecDeque, time::Duration};

/// A round through few queues takes so long; then the next one begins.
const MIN_ROUND: Duration = Duration::from_secs(60);
/// In a round through many queues, one is looked at after so long: 10,000 of them in a quarter of an hour.
const PER_QUEUE: Duration = Duration::from_millis(90);
/// Queues looked at in one call, and of these concurrently.
const MAX_LOOKS: usize = 32;
const AT_ONCE: usize = 8;

/// A round through the queues of all shops.
#[derive(Debug)]
pub(super) struct Round {
    /// Shops whose queues are still to be looked at, and their URLs.
    left: VecDeque<(String, String)>,
    /// When the queues are listed again.
    next_at: Timestamp,
    looked_at: Timestamp,
}

impl Queues {
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

    /// Looks at the next queues of the round, as many as are due; shops whose queues have messages that can be received.
    async fn look_around(&self) -> Result<Vec<String>, StoreError> {
        let mut round = self.round.lock().await;
        let now = self.clock.now();
        // The first call leads to the open jobs, without the time that a list of all queues takes.
        let first = || Round { left: VecDeque::new(), next_at: now, looked_at: now };
        let Some(round) = &mut *round else {
            *round = Some(first());
            return Ok(Vec::new());
        };
        if round.left.is_empty() && now >= round.next_at {
            // Should the list fail, it is made again after the usual time.
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

    /// Shops and URLs of all queues of chunks. Their names say whose they are; only where those are shortened do tags.
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
