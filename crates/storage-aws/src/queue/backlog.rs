//! How many messages and dead letters wait in the queues of shops. Only attributes of queues are read: nothing is
//! received, so no message becomes invisible to workers.

use super::{DEAD_LETTERS, Queues};
use futures::{StreamExt, TryStreamExt, stream};
use host_core::storage::{Backlog, ShopBacklog, StoreError};
use std::collections::BTreeMap;

/// Most shops that are looked at besides those that the caller names: each costs two requests.
const MAX_OTHERS: usize = 500;
/// Shops looked at concurrently.
const AT_ONCE: usize = 16;

/// The URLs of a shop's two queues; none for a queue that does not exist.
#[derive(Debug, Default)]
struct Urls {
    messages: Option<String>,
    dead_letters: Option<String>,
}

impl Queues {
    pub(super) async fn look_at_backlog(
        &self,
        shop_ids: &[String],
        others: bool,
    ) -> Result<Backlog, StoreError> {
        let looks: Vec<_> = shop_ids.iter().map(|shop_id| self.backlog_of(shop_id)).collect();
        let looks = stream::iter(looks).buffer_unordered(AT_ONCE);
        let mut shops: Vec<ShopBacklog> = looks.try_collect().await?;
        let mut shops_left_out = 0;
        if others {
            let mut queues = self.queues_by_name().await?;
            for shop_id in shop_ids {
                queues.remove(&self.names.queue(shop_id));
            }
            shops_left_out = queues.len().saturating_sub(MAX_OTHERS) as u64;
            let looks = queues.into_iter().take(MAX_OTHERS);
            let looks: Vec<_> = looks.map(|(name, urls)| self.backlog_of_queue(name, urls)).collect();
            let found: Vec<_> = stream::iter(looks).buffer_unordered(AT_ONCE).try_collect().await?;
            shops.extend(found.into_iter().flatten());
        }
        shops.retain(|shop| shop.messages + shop.dead_letters > 0);
        shops.sort_by(|one, other| one.shop_id.cmp(&other.shop_id));
        Ok(Backlog { shops, shops_left_out })
    }

    async fn backlog_of(&self, shop_id: &str) -> Result<ShopBacklog, StoreError> {
        let urls = Urls {
            messages: self.url(&self.names.queue(shop_id)).await?,
            dead_letters: self.url(&self.names.dead_letter_queue(shop_id)).await?,
        };
        let (messages, dead_letters) = self.count(&urls).await?;
        Ok(ShopBacklog { shop_id: shop_id.to_owned(), messages, dead_letters })
    }

    /// The backlog of the shop whose queue has this name; none if its queues are empty, or do not belong to a shop.
    async fn backlog_of_queue(&self, name: String, urls: Urls) -> Result<Option<ShopBacklog>, StoreError> {
        let (messages, dead_letters) = self.count(&urls).await?;
        let Some(url) = urls.messages.or(urls.dead_letters).filter(|_| messages + dead_letters > 0) else {
            return Ok(None);
        };
        let shop_id = match self.names.shop_of(&name) {
            Some(shop_id) => Some(shop_id),
            None => self.service.shop(&url).await?.filter(|shop_id| self.names.queue(shop_id) == name),
        };
        Ok(shop_id.map(|shop_id| ShopBacklog { shop_id, messages, dead_letters }))
    }

    /// The number of messages and of dead letters.
    async fn count(&self, urls: &Urls) -> Result<(u64, u64), StoreError> {
        let count = async |url: &Option<String>| match url {
            Some(url) => Ok::<_, StoreError>(self.service.depth(url).await?.total()),
            None => Ok(0),
        };
        Ok((count(&urls.messages).await?, count(&urls.dead_letters).await?))
    }

    /// The queues of all shops, by the name of the queue for messages.
    async fn queues_by_name(&self) -> Result<BTreeMap<String, Urls>, StoreError> {
        let mut queues: BTreeMap<String, Urls> = BTreeMap::new();
        for (name, url) in self.service.list(&self.names.queue_prefix()).await? {
            match name.strip_suffix(DEAD_LETTERS) {
                Some(stem) => {
                    queues.entry(format!("{stem}.fifo")).or_default().dead_letters = Some(url);
                }
                None => queues.entry(name).or_default().messages = Some(url),
            }
        }
        Ok(queues)
    }
}
