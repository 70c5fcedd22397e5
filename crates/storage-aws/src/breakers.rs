//! Open circuit breakers, one item each in the table of jobs.

use super::table::{Condition, Item, Key, Table, TableError, Update, Updated};
use async_trait::async_trait;
use host_core::error::chain;
use host_core::storage::{
    Breaker, BreakerScope, Breakers, StoreError, UnsupportedFormat, from_envelope, to_envelope,
};
use std::sync::Arc;

/// All breakers are in one partition, so that they can be listed. They are few, and each chunk reads one item, which need not be there.
const PARTITION: &str = "BREAKERS";
/// What all sort keys begin with.
const SHOPS: &str = "SHOP#";

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
}

/// What the sort keys of a shop's breakers begin with.
fn of_shop(shop_id: &str) -> String {
    format!("{SHOPS}{shop_id}#INDEX#")
}

fn key(scope: &BreakerScope) -> Key {
    Key::new(PARTITION, format!("{}{}", of_shop(&scope.shop_id), scope.index_name))
}

fn parse(item: &Item) -> Result<Breaker, UnsupportedFormat> {
    from_envelope(item.text("breaker").unwrap_or_default())
}

/// The breaker of an item; none, with a warning, if a newer version or another program wrote it.
fn parse_listed(item: &Item) -> Option<Breaker> {
    let parsed = parse(item);
    parsed
        .inspect_err(|error| {
            let (name, cause) = (item.text("sk"), chain(error));
            tracing::warn!(name, cause, "left out a circuit breaker that this version cannot read");
        })
        .ok()
}

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

    async fn close(&self, scope: &BreakerScope) -> Result<Option<Breaker>, StoreError> {
        let close = async {
            let stored = self.stored(scope).await?;
            let is_closed = stored.is_some() && self.table.delete(&key(scope)).await?;
            Ok(stored.filter(|_| is_closed))
        };
        close
            .await
            .map_err(|error: TableError| error.during(format!("closing the circuit breaker of {scope}")))
    }

    async fn list(&self, shop_id: Option<&str>) -> Result<Vec<Breaker>, StoreError> {
        let prefix = shop_id.map_or_else(|| SHOPS.to_owned(), of_shop);
        let items = self.table.query(PARTITION, &prefix, false, None).await;
        let items = items.map_err(|error| error.during("listing the circuit breakers"))?;
        let mut breakers: Vec<Breaker> = items.iter().filter_map(parse_listed).collect();
        breakers.sort_by(|one, other| one.scope.cmp(&other.scope));
        Ok(breakers)
    }
}
