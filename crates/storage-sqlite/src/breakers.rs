//! Open circuit breakers, one row each.

use async_trait::async_trait;
use host_core::storage::{Breaker, BreakerScope, Breakers, StoreError, StoreErrorKind};
use host_sqlite::{Cause, Database, time, to_json};
use rusqlite::{OptionalExtension, Transaction, params};
use std::sync::Arc;

/// The breakers of all shops.
pub(super) struct Records {
    database: Arc<Database>,
}

impl Records {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

/// Not corrupt: what a newer version wrote must stop this one and not condemn the chunk that it works on.
fn parse(json: &str) -> Result<Breaker, StoreError> {
    serde_json::from_str(json).map_err(|source| StoreError {
        action: "reading a circuit breaker, which is damaged or of a newer version of host,".to_owned(),
        kind: StoreErrorKind::Permanent,
        source: source.into(),
    })
}

fn find(tx: &Transaction<'_>, scope: &BreakerScope) -> Result<Option<String>, Cause> {
    let mut find = tx.prepare_cached("SELECT record FROM breaker WHERE shop_id = ?1 AND index_name = ?2")?;
    Ok(find.query_row([&scope.shop_id, &scope.index_name], |row| row.get(0)).optional()?)
}

/// One statement, so that what is expected is what is replaced.
fn replace(tx: &Transaction<'_>, expected: Option<&Breaker>, breaker: &Breaker) -> Result<bool, Cause> {
    let BreakerScope { shop_id, index_name } = &breaker.scope;
    let (since, record) = (time::to_column(breaker.since), to_json(breaker)?);
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
impl Breakers for Records {
    async fn get(&self, scope: &BreakerScope) -> Result<Option<Breaker>, StoreError> {
        let key = scope.clone();
        let found = self.database.read(move |tx| find(tx, &key)).await;
        let found = found.map_err(|error| error.during(format!("reading the circuit breaker of {scope}")))?;
        found.as_deref().map(parse).transpose()
    }

    async fn replace(&self, expected: Option<&Breaker>, breaker: &Breaker) -> Result<bool, StoreError> {
        let (expected, stored) = (expected.cloned(), breaker.clone());
        let done = self.database.write(move |tx| replace(tx, expected.as_ref(), &stored)).await;
        done.map_err(|error| error.during(format!("storing the circuit breaker of {}", breaker.scope)))
    }

    async fn close(&self, scope: &BreakerScope) -> Result<Option<Breaker>, StoreError> {
        let key = scope.clone();
        let close = move |tx: &Transaction<'_>| {
            let sql = "DELETE FROM breaker WHERE shop_id = ?1 AND index_name = ?2 RETURNING record";
            let mut close = tx.prepare_cached(sql)?;
            let closed: Option<String> =
                close.query_row([&key.shop_id, &key.index_name], |row| row.get(0)).optional()?;
            Ok(closed)
        };
        let closed = self.database.write(close).await;
        let closed =
            closed.map_err(|error| error.during(format!("closing the circuit breaker of {scope}")))?;
        closed.as_deref().map(parse).transpose()
    }

    async fn list(&self, shop_id: Option<&str>) -> Result<Vec<Breaker>, StoreError> {
        let shop = shop_id.map(str::to_owned);
        let list = move |tx: &Transaction<'_>| {
            let mut list = tx.prepare_cached(
                "SELECT record FROM breaker WHERE ?1 IS NULL OR shop_id = ?1 ORDER BY shop_id, index_name",
            )?;
            let records = list.query_map([shop], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
            Ok(records)
        };
        let records = self.database.read(list).await;
        let records = records.map_err(|error| error.during("listing the circuit breakers"))?;
        records.iter().map(|record| parse(record)).collect()
    }
}
