//! Calls of DynamoDB for many items: batches, and reads page by page. DynamoDB may leave a part of a batch undone,
//! which the SDK does not send again; the functions here do.

use super::{
    Item, Key, TableError,
    dynamo::{Dynamo, item, table_error},
};
use crate::failure::failure;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, KeysAndAttributes, WriteRequest};
use futures::{StreamExt, TryStreamExt, stream};
use host_core::{
    backoff::Backoff,
    clock::{Clock, SystemClock},
    storage::StoreErrorKind,
};
use std::{collections::HashMap, time::Duration};

/// Most items that one call reads, as DynamoDB allows.
const MAX_GETS: usize = 100;
/// Most items that one call removes, as DynamoDB allows.
const MAX_DELETES: usize = 25;
/// Concurrent calls: a chunk's thousand products are read in one or two round trips.
const AT_ONCE: usize = 8;
/// How often a batch is sent, each time with what was left undone, and the waits between: throttled tables get more
/// capacity within seconds.
const ROUNDS: u32 = 8;
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(5) };

fn key_of(key: &Key) -> HashMap<String, AttributeValue> {
    [("pk", &key.pk), ("sk", &key.sk)]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), AttributeValue::S(value.clone())))
        .collect()
}

fn invalid(error: aws_sdk_dynamodb::error::BuildError) -> TableError {
    TableError { kind: StoreErrorKind::Permanent, source: Box::new(error) }
}

async fn wait(round: u32) {
    SystemClock.sleep(BACKOFF.delay(round, SystemClock.random())).await;
}

impl Dynamo {
    fn left_undone(&self, items: usize) -> TableError {
        TableError {
            kind: StoreErrorKind::Transient,
            source: format!("table {} is throttled: {items} items of a batch were left undone", self.table)
                .into(),
        }
    }

    pub(super) async fn get_in_batches(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, TableError> {
        let batches: Vec<_> = keys.chunks(MAX_GETS).map(|batch| self.get_some(batch)).collect();
        let found: Vec<Vec<Item>> = stream::iter(batches).buffer_unordered(AT_ONCE).try_collect().await?;
        let with_key = |item: Item| Some((Key::new(item.text("pk")?, item.text("sk")?), item));
        let mut found: HashMap<Key, Item> = found.into_iter().flatten().filter_map(with_key).collect();
        Ok(keys.iter().map(|key| found.remove(key)).collect())
    }

    async fn get_some(&self, keys: &[Key]) -> Result<Vec<Item>, TableError> {
        let mut found = Vec::with_capacity(keys.len());
        let mut wanted: Vec<_> = keys.iter().map(key_of).collect();
        for round in 1..=ROUNDS {
            let request = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true).build();
            let sent = self.client.batch_get_item().request_items(&self.table, request.map_err(invalid)?);
            let got = sent.send().await.map_err(|error| table_error(&self.table, failure(error)))?;
            found.extend(got.responses.into_iter().flatten().flat_map(|(_, items)| items).map(item));
            wanted = got.unprocessed_keys.into_iter().flatten().flat_map(|(_, keys)| keys.keys).collect();
            if wanted.is_empty() {
                return Ok(found);
            }
            wait(round).await;
        }
        Err(self.left_undone(wanted.len()))
    }

    pub(super) async fn delete_in_batches(&self, keys: &[Key]) -> Result<(), TableError> {
        let delete = |key: &Key| {
            let delete = DeleteRequest::builder().set_key(Some(key_of(key))).build().map_err(invalid)?;
            Ok(WriteRequest::builder().delete_request(delete).build())
        };
        let batch = |batch: &[Key]| batch.iter().map(delete).collect::<Result<Vec<_>, TableError>>();
        let batches = keys.chunks(MAX_DELETES).map(batch).collect::<Result<Vec<_>, _>>()?;
        let batches: Vec<_> = batches.into_iter().map(|batch| self.delete_some(batch)).collect();
        stream::iter(batches).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Sends removals of distinct items, and again those that are left undone.
    async fn delete_some(&self, mut wanted: Vec<WriteRequest>) -> Result<(), TableError> {
        for round in 1..=ROUNDS {
            let sent = self.client.batch_write_item().request_items(&self.table, wanted).send().await;
            let done = sent.map_err(|error| table_error(&self.table, failure(error)))?;
            wanted = done.unprocessed_items.into_iter().flatten().flat_map(|(_, items)| items).collect();
            if wanted.is_empty() {
                return Ok(());
            }
            wait(round).await;
        }
        Err(self.left_undone(wanted.len()))
    }

    pub(super) async fn scan_page(
        &self,
        name: &str,
        text: &str,
        after: Option<Key>,
    ) -> Result<(Vec<Key>, Option<Key>), TableError> {
        let sent = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression("#name = :text")
            .projection_expression("#pk, #sk")
            .expression_attribute_names("#name", name)
            .expression_attribute_names("#pk", "pk")
            .expression_attribute_names("#sk", "sk")
            .expression_attribute_values(":text", AttributeValue::S(text.to_owned()))
            .consistent_read(true)
            .set_exclusive_start_key(after.as_ref().map(key_of))
            .send()
            .await;
        let page = sent.map_err(|error| table_error(&self.table, failure(error)))?;
        let key = |item: Item| Some(Key::new(item.text("pk")?, item.text("sk")?));
        let keys = page.items.unwrap_or_default().into_iter().filter_map(|found| key(item(found))).collect();
        let next = page.last_evaluated_key.filter(|key| !key.is_empty());
        Ok((keys, next.and_then(|next| key(item(next)))))
    }

    pub(super) async fn page(&self, pk: &str, after: &str, limit: usize) -> Result<Vec<Item>, TableError> {
        let mut items = Vec::new();
        let mut start = (!after.is_empty()).then(|| key_of(&Key::new(pk, after)));
        while items.len() < limit {
            let missing = i32::try_from(limit - items.len()).unwrap_or(1_000).min(1_000);
            let sent = self
                .client
                .query()
                .table_name(&self.table)
                .key_condition_expression("#pk = :pk")
                .expression_attribute_names("#pk", "pk")
                .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
                .consistent_read(true)
                .limit(missing)
                .set_exclusive_start_key(start)
                .send()
                .await;
            let page = sent.map_err(|error| table_error(&self.table, failure(error)))?;
            items.extend(page.items.unwrap_or_default().into_iter().map(item));
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                break;
            }
        }
        Ok(items)
    }
}
