//! Circuit breakers in SQLite, one row each: the open ones, which stop the work on an index of a shop, and of each
//! index the one that was closed last.

use async_trait::async_trait;
use host_core::{
    error::chain,
    storage::{self, Breaker, BreakerScope, Breakers, CLEARED_RETENTION, Cleared, StoreError},
};
use host_sqlite::{Cause, Database, from_envelope, time, to_envelope};
use rusqlite::{OptionalExtension, Transaction, params};
use std::sync::Arc;

/// The breakers of all shops.
pub(super) struct SqliteBreakers {
    database: Arc<Database>,
}

impl SqliteBreakers {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

fn find(tx: &Transaction<'_>, scope: &BreakerScope) -> Result<Option<Breaker>, Cause> {
    let mut find = tx.prepare_cached("SELECT record FROM breaker WHERE shop_id = ?1 AND index_name = ?2")?;
    let key = [&scope.shop_id, &scope.index_name];
    let record: Option<String> = find.query_row(key, |row| row.get(0)).optional()?;
    record.as_deref().map(from_envelope).transpose()
}

const OPEN: &str = "SELECT shop_id, index_name, record FROM breaker WHERE ?1 IS NULL OR shop_id = ?1
    ORDER BY shop_id, index_name";
const CLEARED: &str = "SELECT shop_id, index_name, record FROM cleared_breaker WHERE shop_id = ?1
    ORDER BY shop_id, index_name";

/// The breakers that a query finds. One that a newer version of host or another program wrote is left out, with a
/// warning.
fn list(tx: &Transaction<'_>, sql: &str, shop_id: Option<&str>) -> Result<Vec<Breaker>, Cause> {
    let mut list = tx.prepare_cached(sql)?;
    let mut rows = list.query([shop_id])?;
    let mut breakers = Vec::new();
    while let Some(row) = rows.next()? {
        match storage::from_envelope(row.get_ref(2)?.as_str().unwrap_or_default()) {
            Ok(breaker) => breakers.push(breaker),
            Err(error) => {
                let (shop_id, index_name): (String, String) = (row.get(0)?, row.get(1)?);
                let cause = chain(&error);
                tracing::warn!(
                    shop_id,
                    index_name,
                    cause,
                    "left out a circuit breaker that this version cannot read"
                );
            }
        }
    }
    Ok(breakers)
}

/// Stores a breaker if the stored one is `expected`. Comparing and replacing are one statement, so that no other
/// process changes the breaker in between.
fn replace(tx: &Transaction<'_>, expected: Option<&Breaker>, breaker: &Breaker) -> Result<bool, Cause> {
    let BreakerScope { shop_id, index_name } = &breaker.scope;
    let (since, record) = (time::to_column(breaker.since), to_envelope(breaker)?);
    let stored = match expected {
        None => tx
            .prepare_cached("INSERT INTO breaker VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING")?
            .execute(params![shop_id, index_name, since, breaker.probes, record])?,
        Some(expected) => tx
            .prepare_cached(
                "UPDATE breaker SET since = ?3, probes = ?4, record = ?5
                WHERE shop_id = ?1 AND index_name = ?2 AND since = ?6 AND probes = ?7",
            )?
            .execute(params![
                shop_id,
                index_name,
                since,
                breaker.probes,
                record,
                time::to_column(expected.since),
                expected.probes
            ])?,
    };
    Ok(stored == 1)
}

#[async_trait]
impl Breakers for SqliteBreakers {
    async fn get(&self, scope: &BreakerScope) -> Result<Option<Breaker>, StoreError> {
        let key = scope.clone();
        let found = self.database.read(move |tx| find(tx, &key)).await;
        found.map_err(|error| error.during(format!("reading the circuit breaker of {scope}")))
    }

    async fn replace(&self, expected: Option<&Breaker>, breaker: &Breaker) -> Result<bool, StoreError> {
        let (expected, stored) = (expected.cloned(), breaker.clone());
        let done = self.database.write(move |tx| replace(tx, expected.as_ref(), &stored)).await;
        done.map_err(|error| error.during(format!("storing the circuit breaker of {}", breaker.scope)))
    }

    async fn close(&self, scope: &BreakerScope, cleared: Cleared) -> Result<Option<Breaker>, StoreError> {
        let key = scope.clone();
        let close = move |tx: &Transaction<'_>| {
            let Some(found) = find(tx, &key)? else { return Ok(None) };
            let BreakerScope { shop_id, index_name } = &key;
            tx.prepare_cached("DELETE FROM breaker WHERE shop_id = ?1 AND index_name = ?2")?
                .execute([shop_id, index_name])?;
            let (at, record) = (time::to_column(cleared.at), to_envelope(&found.cleared(cleared))?);
            tx.prepare_cached("INSERT OR REPLACE INTO cleared_breaker VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![shop_id, index_name, at, record])?;
            let old = cleared.at.saturating_sub(CLEARED_RETENTION).unwrap_or(cleared.at);
            tx.prepare_cached("DELETE FROM cleared_breaker WHERE cleared_at < ?1")?
                .execute([time::to_column(old)])?;
            Ok(Some(found))
        };
        let closed = self.database.write(close).await;
        closed.map_err(|error| error.during(format!("closing the circuit breaker of {scope}")))
    }

    async fn list(&self, shop_id: Option<&str>) -> Result<Vec<Breaker>, StoreError> {
        let shop = shop_id.map(str::to_owned);
        let listed = self.database.read(move |tx| list(tx, OPEN, shop.as_deref())).await;
        listed.map_err(|error| error.during("listing the circuit breakers"))
    }

    async fn last_cleared(&self, shop_id: &str) -> Result<Vec<Breaker>, StoreError> {
        let shop = shop_id.to_owned();
        let listed = self.database.read(move |tx| list(tx, CLEARED, Some(&shop))).await;
        listed.map_err(|error| error.during(format!("listing what was cleared of {shop_id}")))
    }

    async fn remove_shop(&self, shop_id: &str) -> Result<(), StoreError> {
        let shop = shop_id.to_owned();
        let remove = move |tx: &Transaction<'_>| {
            tx.execute("DELETE FROM breaker WHERE shop_id = ?1", [&shop])?;
            tx.execute("DELETE FROM cleared_breaker WHERE shop_id = ?1", [&shop])?;
            Ok(())
        };
        let done = self.database.write(remove).await;
        done.map_err(|error| error.during(format!("removing the circuit breakers of {shop_id}")))
    }
}
