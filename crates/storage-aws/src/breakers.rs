//! Circuit breakers in the table of jobs, one item each. An open breaker stops the work on one index of one shop after
//! repeated failures. Of each index, the breaker that was cleared (closed) last is kept too, under a key of its own, so
//! that workers of all versions read open ones only.

use super::table::{Condition, Item, Key, Table, TableError, Update, Updated};
use async_trait::async_trait;
use host_core::error::chain;
use host_core::storage::{
    Breaker, BreakerScope, Breakers, CLEARED_RETENTION, Cleared, StoreError, UnsupportedFormat,
    from_envelope, to_envelope,
};
use std::sync::Arc;

/// All breakers are in one partition, so that one query lists them. They are few, and a worker reads one item for each
/// chunk.
const PARTITION: &str = "BREAKERS";
/// Prefix of the sort keys of open breakers.
const SHOPS: &str = "SHOP#";
/// Prefix of the sort keys of cleared breakers, before `SHOPS`.
const CLEARED: &str = "CLEARED#";

/// The breakers of all shops.
pub(super) struct DynamoBreakers {
    table: Arc<dyn Table>,
}

impl DynamoBreakers {
    pub(super) fn new(table: Arc<dyn Table>) -> Self {
        Self { table }
    }

    async fn stored(&self, scope: &BreakerScope) -> Result<Option<Breaker>, TableError> {
        let item = self.table.get(&key(scope)).await?;
        item.as_ref().map(parse).transpose().map_err(TableError::unsupported)
    }

    /// The breakers whose sort keys begin with `prefix`, ordered by shop and index.
    async fn list_by_prefix(&self, prefix: &str) -> Result<Vec<Breaker>, TableError> {
        let items = self.table.query(PARTITION, prefix, false, None).await?;
        let mut breakers: Vec<Breaker> = items.iter().filter_map(parse_listed).collect();
        breakers.sort_by(|one, other| one.scope.cmp(&other.scope));
        Ok(breakers)
    }
}

/// Prefix of the sort keys of a shop's open breakers.
fn of_shop(shop_id: &str) -> String {
    format!("{SHOPS}{shop_id}#INDEX#")
}

fn key(scope: &BreakerScope) -> Key {
    Key::new(PARTITION, format!("{}{}", of_shop(&scope.shop_id), scope.index_name))
}

fn cleared_key(scope: &BreakerScope) -> Key {
    let Key { pk, sk } = key(scope);
    Key { pk, sk: format!("{CLEARED}{sk}") }
}

fn parse(item: &Item) -> Result<Breaker, UnsupportedFormat> {
    from_envelope(item.text("breaker").unwrap_or_default())
}

/// The breaker of an item; none, with a warning, if a newer version of host or another program wrote it.
fn parse_listed(item: &Item) -> Option<Breaker> {
    let parsed = parse(item);
    parsed
        .inspect_err(|error| {
            let (name, cause) = (item.text("sk"), chain(error));
            tracing::warn!(name, cause, "left out a circuit breaker that this version cannot read");
        })
        .ok()
}

/// The conditions that the stored breaker has not changed since `breaker` was read: each change alters one of the two.
fn is_version(breaker: &Breaker) -> [Condition; 2] {
    [
        Condition::Equals("since", breaker.since.as_microsecond().into()),
        Condition::Equals("probes", breaker.probes.into()),
    ]
}

#[async_trait]
impl Breakers for DynamoBreakers {
    async fn get(&self, scope: &BreakerScope) -> Result<Option<Breaker>, StoreError> {
        let stored = self.stored(scope).await;
        stored.map_err(|error| error.during(format!("reading the circuit breaker of {scope}")))
    }

    async fn replace(&self, expected: Option<&Breaker>, breaker: &Breaker) -> Result<bool, StoreError> {
        let text = to_envelope(breaker).expect("a breaker is plain data");
        let update = Update::new(key(&breaker.scope))
            .set("since", breaker.since.as_microsecond())
            .set("probes", breaker.probes)
            .set("breaker", text);
        let update = match expected.map(is_version) {
            None => update.when(Condition::Absent("pk")),
            Some(version) => version.into_iter().fold(update, Update::when),
        };
        match self.table.update(&update).await {
            Ok(updated) => Ok(matches!(updated, Updated::Applied(_))),
            Err(error) => Err(error.during(format!("storing the circuit breaker of {}", breaker.scope))),
        }
    }

    async fn close(&self, scope: &BreakerScope, cleared: Cleared) -> Result<Option<Breaker>, StoreError> {
        let close = async {
            let Some(stored) = self.stored(scope).await? else { return Ok(None) };
            if !self.table.delete(&key(scope)).await? {
                return Ok(None);
            }
            let expires_at = cleared.at.saturating_add(CLEARED_RETENTION).unwrap_or(cleared.at);
            let text = to_envelope(&stored.cleared(cleared)).expect("a breaker is plain data");
            let update = Update::new(cleared_key(scope))
                .set("breaker", text)
                .set("expires_at", expires_at.as_second());
            // The breaker is closed even if its history cannot be stored.
            if let Err(error) = self.table.update(&update).await {
                let cause = error.source.to_string();
                tracing::warn!(%scope, cause, "could not remember what cleared a circuit breaker");
            }
            Ok(Some(stored))
        };
        close
            .await
            .map_err(|error: TableError| error.during(format!("closing the circuit breaker of {scope}")))
    }

    async fn list(&self, shop_id: Option<&str>) -> Result<Vec<Breaker>, StoreError> {
        let listed = self.list_by_prefix(&shop_id.map_or_else(|| SHOPS.to_owned(), of_shop)).await;
        listed.map_err(|error| error.during("listing the circuit breakers"))
    }

    async fn last_cleared(&self, shop_id: &str) -> Result<Vec<Breaker>, StoreError> {
        let listed = self.list_by_prefix(&format!("{CLEARED}{}", of_shop(shop_id))).await;
        listed.map_err(|error| error.during(format!("listing what was cleared of {shop_id}")))
    }

    async fn remove_shop(&self, shop_id: &str) -> Result<(), StoreError> {
        let remove = async {
            for prefix in [of_shop(shop_id), format!("{CLEARED}{}", of_shop(shop_id))] {
                for item in self.table.query(PARTITION, &prefix, false, None).await? {
                    let sk = item.text("sk").unwrap_or_default();
                    self.table.delete(&Key::new(PARTITION, sk)).await?;
                }
            }
            Ok(())
        };
        remove
            .await
            .map_err(|error: TableError| error.during(format!("removing the circuit breakers of {shop_id}")))
    }
}
