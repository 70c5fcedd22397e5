//! The queue in SQLite: one table of messages with the semantics of SQS FIFO. A message refers to a chunk (a stored
//! part of a job's documents). Messages of one shop and lane are delivered in their order, one at a time; the first of
//! a lane is invisible while a worker has it, and those behind it wait.

use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    model::{ChunkRef, Job},
    storage::{
        Backlog, DeadLetter, Delivery, LeasedDeadLetter, MessagePlace, QuarantineReason, Queue, Receipt,
        ShopBacklog, StoreError, UNREADABLE_VISIBILITY, UnreadableMessage, from_envelope, latest_lease_end,
    },
};
use host_sqlite::{Cause, Database, DatabaseError, time, to_envelope};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The first messages of a shop's lanes that are visible: their time has come, or is so far in the future that a wrong
/// clock wrote it. The query hops from lane to lane by the index `message_by_lane`, so that its cost is the number of
/// lanes, not of messages.
const DELIVERABLE: &str = "
    WITH RECURSIVE lanes (lane) AS (
        SELECT min(lane) FROM message WHERE shop_id = ?1
        UNION ALL
        SELECT (SELECT min(m.lane) FROM message m WHERE m.shop_id = ?1 AND m.lane > lanes.lane)
        FROM lanes WHERE lanes.lane IS NOT NULL
    )
    SELECT first.id, first.chunk, first.receive_count
    FROM lanes JOIN message first
        ON first.id = (SELECT min(m.id) FROM message m WHERE m.shop_id = ?1 AND m.lane = lanes.lane)
    WHERE first.hidden_until NOT BETWEEN ?2 + 1 AND ?4
    ORDER BY first.id LIMIT ?3";

/// The shops that have messages. The query hops from shop to shop by the index `message_by_lane`, so that its cost is
/// the number of these shops, not of messages.
const SHOPS_WITH_MESSAGES: &str = "
    WITH RECURSIVE shops (shop_id) AS (
        SELECT min(shop_id) FROM message
        UNION ALL
        SELECT (SELECT min(m.shop_id) FROM message m WHERE m.shop_id > shops.shop_id)
        FROM shops WHERE shops.shop_id IS NOT NULL
    )
    SELECT shop_id FROM shops WHERE shop_id IS NOT NULL";

/// The queues of all shops.
pub(super) struct Messages {
    database: Arc<Database>,
    clock: SharedClock,
    /// Row ids of the dead letters that this process has received. Another process may receive them, too; a second
    /// redrive of one changes nothing.
    leased: Mutex<HashSet<i64>>,
}

impl Messages {
    pub(super) fn new(database: Arc<Database>, clock: SharedClock) -> Self {
        Self { database, clock, leased: Mutex::default() }
    }

    /// Makes a message invisible until `duration` from now. A dead letter is invisible to this process until that is 0.
    async fn set_visibility(&self, receipt: &Receipt, duration: Duration) -> Result<bool, DatabaseError> {
        if let Some(id) = letter_id(receipt) {
            let mut leased = self.leased.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(if duration.is_zero() { leased.remove(&id) } else { leased.contains(&id) });
        }
        let Some((id, nonce)) = parse(receipt) else { return Ok(false) };
        let clock = self.clock.clone();
        self.database
            .write(move |tx| {
                let until = time::after(clock.now(), duration);
                let sql = "UPDATE message SET hidden_until = ?3
                    WHERE id = ?1 AND nonce = ?2 AND receive_count > 0";
                Ok(tx.prepare_cached(sql)?.execute(params![id, nonce, until])? == 1)
            })
            .await
    }
}

impl Messages {
    /// The dead letters of a shop and their row ids, oldest first; those that cannot be read are left out.
    async fn stored_dead_letters(&self, shop_id: &str) -> Result<Vec<(i64, DeadLetter)>, StoreError> {
        let shop = shop_id.to_owned();
        let list = move |tx: &Transaction<'_>| {
            let mut dead_letters = Vec::new();
            for row in tx
                .prepare_cached("SELECT id, letter FROM dead_letter WHERE shop_id = ?1 ORDER BY id")?
                .query_map([shop], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?
            {
                let (id, json) = row?;
                dead_letters.extend(from_envelope(&json).ok().map(|dead_letter| (id, dead_letter)));
            }
            Ok(dead_letters)
        };
        let done = self.database.read(list).await;
        done.map_err(|error| error.during(format!("reading the dead letters of {shop_id}")))
    }
}

/// A message that can be delivered now.
struct MessageRow {
    id: i64,
    chunk: String,
    receive_count: u32,
}

/// The messages of a shop that can be delivered now, at most `max`: the visible ones among the first of each lane.
fn deliverable(
    tx: &Transaction<'_>,
    shop_id: &str,
    now: Timestamp,
    visibility: Duration,
    max: usize,
) -> Result<Vec<MessageRow>, Cause> {
    let latest = time::to_column(latest_lease_end(now, visibility));
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let mut statement = tx.prepare_cached(DELIVERABLE)?;
    let rows = statement.query_map(params![shop_id, time::to_column(now), max, latest], |row| {
        Ok(MessageRow { id: row.get(0)?, chunk: row.get(1)?, receive_count: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A receipt names the message and its latest delivery; it is void once either is gone.
fn receipt(id: i64, nonce: i64) -> Receipt {
    Receipt(format!("{id}.{nonce}"))
}

/// The prefix of the receipts of dead letters.
const DEAD_LETTER_PREFIX: &str = "letter.";

/// The row id of a dead letter; `None` if the receipt is a message's.
fn letter_id(receipt: &Receipt) -> Option<i64> {
    receipt.0.strip_prefix(DEAD_LETTER_PREFIX)?.parse().ok()
}

/// Row id and nonce of a message; `None` if the receipt is not one of these.
fn parse(receipt: &Receipt) -> Option<(i64, i64)> {
    let (id, nonce) = receipt.0.split_once('.')?;
    Some((id.parse().ok()?, nonce.parse().ok()?))
}

/// A message that was deleted from the queue.
struct Removed {
    shop_id: String,
    chunk: String,
    receive_count: u32,
}

/// Deletes a message; `None` if its receipt is void.
fn remove(tx: &Transaction<'_>, id: i64, nonce: i64) -> Result<Option<Removed>, Cause> {
    let sql = "DELETE FROM message WHERE id = ?1 AND nonce = ?2 AND receive_count > 0
        RETURNING shop_id, chunk, receive_count";
    let removed = tx.prepare_cached(sql)?.query_row(params![id, nonce], |row| {
        Ok(Removed { shop_id: row.get(0)?, chunk: row.get(1)?, receive_count: row.get(2)? })
    });
    Ok(removed.optional()?)
}

/// Makes every invisible message visible; called when no other worker is alive. Receipts stay valid until the message
/// is delivered again.
pub(super) fn release_orphaned(tx: &Transaction<'_>) -> Result<(), Cause> {
    tx.execute("UPDATE message SET hidden_until = 0 WHERE hidden_until > 0", [])?;
    Ok(())
}

#[async_trait]
impl Queue for Messages {
    async fn send(&self, job: &Job, chunk: &ChunkRef, redrive_count: u32) -> Result<(), StoreError> {
        let action = || format!("sending the message of chunk {} of job {}", chunk.seq, chunk.job_id);
        let (shop_id, chunk) = (job.shop_id.clone(), chunk.clone());
        let send = move |tx: &Transaction<'_>| {
            let job_id = chunk.job_id.as_str();
            // The table `sent` remembers messages by one number: the redrive count in the upper 32 bits, the chunk's
            // number below.
            let number = i64::from(redrive_count) << 32 | i64::from(chunk.seq);
            let sent = tx
                .prepare_cached("INSERT INTO sent VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
                .execute(params![job_id, number])?;
            if sent == 1 {
                tx.prepare_cached(
                    "INSERT INTO message (shop_id, lane, job_id, chunk) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![shop_id, chunk.lane, job_id, to_envelope(&chunk)?])?;
            }
            Ok(())
        };
        let done = self.database.write(send).await;
        done.map_err(|error| error.during(action()))
    }

    async fn receive(
        &self,
        shop_id: &str,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, StoreError> {
        let during = |error: DatabaseError| error.during(format!("receiving messages of {shop_id}"));
        // First a look that needs no write lock, so that polling an empty queue waits for no writer.
        let (clock, shop) = (self.clock.clone(), shop_id.to_owned());
        let look =
            move |tx: &Transaction<'_>| Ok(!deliverable(tx, &shop, clock.now(), visibility, 1)?.is_empty());
        if !self.database.read(look).await.map_err(during)? {
            return Ok(Vec::new());
        }
        let (clock, shop) = (self.clock.clone(), shop_id.to_owned());
        let receive = move |tx: &Transaction<'_>| {
            let now = clock.now();
            let until = time::after(now, visibility);
            let mut take = tx.prepare_cached(
                "UPDATE message SET hidden_until = ?2, nonce = ?3, receive_count = receive_count + 1 WHERE id = ?1",
            )?;
            let mut deliveries = Vec::new();
            while deliveries.len() < max {
                let found = deliverable(tx, &shop, now, visibility, max - deliveries.len())?;
                if found.is_empty() {
                    break;
                }
                for MessageRow { id, chunk, receive_count } in found {
                    let nonce = clock.random().cast_signed();
                    let chunk = match from_envelope(&chunk) {
                        Ok(chunk) => chunk,
                        Err(reason) => {
                            tracing::warn!(shop_id = shop, message = id, %reason, "left a message that cannot be read");
                            take.execute(params![id, time::after(now, UNREADABLE_VISIBILITY), nonce])?;
                            continue;
                        }
                    };
                    take.execute(params![id, until, nonce])?;
                    deliveries.push(Delivery {
                        chunk,
                        shop_id: shop.clone(),
                        receive_count: receive_count.saturating_add(1),
                        visible_until: time::from_column(until)?,
                        receipt: receipt(id, nonce),
                    });
                }
            }
            Ok(deliveries)
        };
        self.database.write(receive).await.map_err(during)
    }

    async fn shops(&self) -> Result<Vec<String>, StoreError> {
        let list = |tx: &Transaction<'_>| {
            let mut statement = tx.prepare_cached(
                "SELECT shop_id FROM message UNION SELECT shop_id FROM dead_letter ORDER BY shop_id",
            )?;
            let shops = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(shops)
        };
        let done = self.database.read(list).await;
        done.map_err(|error| error.during("listing the shops with a queue"))
    }

    /// In a reading transaction, so that it waits for no writer.
    async fn ready_shops(&self, visibility: Duration) -> Result<Vec<String>, StoreError> {
        let clock = self.clock.clone();
        let ready = move |tx: &Transaction<'_>| {
            let now = clock.now();
            let mut statement = tx.prepare_cached(SHOPS_WITH_MESSAGES)?;
            let shops: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let mut ready = Vec::new();
            for shop_id in shops {
                if !deliverable(tx, &shop_id, now, visibility, 1)?.is_empty() {
                    ready.push(shop_id);
                }
            }
            Ok(ready)
        };
        let done = self.database.read(ready).await;
        done.map_err(|error| error.during("looking for shops with messages"))
    }

    async fn change_visibility(&self, receipt: &Receipt, visibility: Duration) -> Result<bool, StoreError> {
        let done = self.set_visibility(receipt, visibility).await;
        done.map_err(|error| error.during("changing the visibility of a message"))
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<bool, StoreError> {
        self.set_visibility(receipt, delay).await.map_err(|error| error.during("releasing a message"))
    }

    async fn ack(&self, receipt: &Receipt) -> Result<bool, StoreError> {
        if let Some(id) = letter_id(receipt) {
            let remove = move |tx: &Transaction<'_>| {
                Ok(tx.prepare_cached("DELETE FROM dead_letter WHERE id = ?1")?.execute([id])? == 1)
            };
            let removed = self.database.write(remove).await;
            let removed = removed.map_err(|error| error.during("removing a dead letter"))?;
            self.leased.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            return Ok(removed);
        }
        let Some((id, nonce)) = parse(receipt) else { return Ok(false) };
        let done = self.database.write(move |tx| Ok(remove(tx, id, nonce)?.is_some())).await;
        done.map_err(|error| error.during("acknowledging a message"))
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &QuarantineReason) -> Result<bool, StoreError> {
        let Some((id, nonce)) = parse(receipt) else { return Ok(false) };
        let QuarantineReason { code, message, redrive_count, context } = reason.clone();
        let clock = self.clock.clone();
        let dead_letter = move |tx: &Transaction<'_>| {
            let Some(Removed { shop_id, chunk, receive_count }) = remove(tx, id, nonce)? else {
                return Ok(false);
            };
            let (chunk, died_at) = (from_envelope(&chunk).map_err(Cause::Unsupported)?, clock.now());
            let dead_letter = DeadLetter {
                chunk,
                shop_id,
                code,
                message,
                died_at,
                receive_count,
                redrive_count,
                context,
                external: None,
            };
            tx.prepare_cached("INSERT INTO dead_letter (shop_id, letter) VALUES (?1, ?2)")?
                .execute(params![dead_letter.shop_id, to_envelope(&dead_letter)?])?;
            Ok(true)
        };
        let done = self.database.write(dead_letter).await;
        done.map_err(|error| error.during("moving a message to the dead letters"))
    }

    async fn expedite(&self, shop_id: &str) -> Result<bool, StoreError> {
        let (shop, clock) = (shop_id.to_owned(), self.clock.clone());
        // A message is in flight if its chunk is claimed. A message that was received and whose chunk is not claimed
        // yet may be delivered twice; then only one claim succeeds.
        let expedite = move |tx: &Transaction<'_>| {
            tx.execute(
                "UPDATE message SET hidden_until = 0
                 WHERE shop_id = ?1 AND hidden_until > ?2 AND NOT EXISTS (
                     SELECT 1 FROM chunk
                     WHERE chunk.job_id = message.job_id AND chunk.seq = message.chunk ->> '$.seq'
                         AND chunk.state <> 'DONE' AND chunk.lease_until > ?2)",
                params![shop, time::to_column(clock.now())],
            )?;
            Ok(true)
        };
        let done = self.database.write(expedite).await;
        done.map_err(|error| error.during(format!("making messages of {shop_id} visible")))
    }

    async fn depth(&self, shop_id: &str) -> Result<u64, StoreError> {
        let shop = shop_id.to_owned();
        let count = move |tx: &Transaction<'_>| {
            let mut statement = tx.prepare_cached("SELECT count(*) FROM message WHERE shop_id = ?1")?;
            Ok(statement.query_row([shop], |row| row.get(0))?)
        };
        let done = self.database.read(count).await;
        done.map_err(|error| error.during(format!("counting the messages of {shop_id}")))
    }

    async fn backlog(&self, shop_ids: &[String], others: bool) -> Result<Backlog, StoreError> {
        let count = |tx: &Transaction<'_>| {
            let mut statement = tx.prepare_cached(
                "SELECT shop_id, sum(messages), sum(dead_letters) FROM (
                    SELECT shop_id, count(*) AS messages, 0 AS dead_letters FROM message GROUP BY shop_id
                    UNION ALL SELECT shop_id, 0, count(*) FROM dead_letter GROUP BY shop_id
                ) GROUP BY shop_id ORDER BY shop_id",
            )?;
            let shops = statement.query_map([], |row| {
                Ok(ShopBacklog { shop_id: row.get(0)?, messages: row.get(1)?, dead_letters: row.get(2)? })
            })?;
            Ok(shops.collect::<Result<Vec<_>, _>>()?)
        };
        let counted = self.database.read(count).await;
        let mut shops = counted.map_err(|error| error.during("counting messages and dead letters"))?;
        shops.retain(|shop| others || shop_ids.contains(&shop.shop_id));
        Ok(Backlog { shops, shops_left_out: 0 })
    }

    async fn dead_letters(&self, shop_id: &str) -> Result<Vec<DeadLetter>, StoreError> {
        Ok(self.stored_dead_letters(shop_id).await?.into_iter().map(|(_, dead_letter)| dead_letter).collect())
    }

    async fn unreadable(&self, shop_id: &str) -> Result<Vec<UnreadableMessage>, StoreError> {
        let shop = shop_id.to_owned();
        let list = move |tx: &Transaction<'_>| {
            let mut found = Vec::new();
            let mut messages =
                tx.prepare_cached("SELECT chunk, receive_count FROM message WHERE shop_id = ?1 ORDER BY id")?;
            for row in messages.query_map([&shop], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))? {
                let (text, count) = row?;
                let reason = from_envelope::<ChunkRef>(&text).err();
                found.extend(
                    reason.map(|reason| {
                        UnreadableMessage::new(&shop, MessagePlace::Queue, reason, count, &text)
                    }),
                );
            }
            let mut dead_letters =
                tx.prepare_cached("SELECT letter FROM dead_letter WHERE shop_id = ?1 ORDER BY id")?;
            for text in dead_letters.query_map([&shop], |row| row.get::<_, String>(0))? {
                let text = text?;
                let reason = from_envelope::<DeadLetter>(&text).err();
                found.extend(reason.map(|reason| {
                    UnreadableMessage::new(&shop, MessagePlace::DeadLetters, reason, 0, &text)
                }));
            }
            Ok(found)
        };
        let done = self.database.read(list).await;
        done.map_err(|error| error.during(format!("looking for unreadable messages of {shop_id}")))
    }

    async fn receive_dead_letters(
        &self,
        shop_id: &str,
        _: Duration,
    ) -> Result<Vec<LeasedDeadLetter>, StoreError> {
        let mut dead_letters = self.stored_dead_letters(shop_id).await?;
        let mut leased = self.leased.lock().unwrap_or_else(PoisonError::into_inner);
        dead_letters.retain(|(id, _)| leased.insert(*id));
        let lease = |(id, dead_letter)| LeasedDeadLetter {
            dead_letter,
            receipt: Receipt(format!("{DEAD_LETTER_PREFIX}{id}")),
        };
        Ok(dead_letters.into_iter().map(lease).collect())
    }

    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        let shop = shop_id.to_owned();
        let remove = move |tx: &Transaction<'_>| {
            let number = "SELECT (SELECT count(*) FROM message WHERE shop_id = ?1)
                + (SELECT count(*) FROM dead_letter WHERE shop_id = ?1)";
            let number: i64 = tx.query_row(number, [&shop], |row| row.get(0))?;
            if !dry_run {
                tx.execute("DELETE FROM message WHERE shop_id = ?1", [&shop])?;
                tx.execute("DELETE FROM dead_letter WHERE shop_id = ?1", [&shop])?;
            }
            Ok(number.unsigned_abs())
        };
        let done = self.database.write(remove).await;
        done.map_err(|error| error.during(format!("removing the queue of {shop_id}")))
    }
}
