//! The table on DynamoDB.

use super::{
    Condition, Item, Key, Table, TableError, Update, Updated,
    expression::{Expressions, value},
};
use crate::failure::{AwsError, failure};
use async_trait::async_trait;
use aws_sdk_dynamodb::{
    Client,
    operation::{delete_item::DeleteItemError, update_item::UpdateItemError},
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use std::collections::HashMap;

/// A table of DynamoDB.
#[derive(Clone, Debug)]
pub struct Dynamo {
    pub(super) client: Client,
    pub(super) table: String,
}

impl Dynamo {
    /// A table by its name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }
}

pub(super) fn item(attributes: HashMap<String, AttributeValue>) -> Item {
    // Attributes of other types come from other programs and are ignored.
    let known = attributes.into_iter().filter_map(|(name, attribute)| Some((name, value(&attribute)?)));
    Item(known.collect())
}

pub(super) fn table_error(table: &str, error: AwsError) -> TableError {
    let kind = error.kind();
    let source = if error.code() == Some("ResourceNotFoundException") {
        format!("there is no table {table}; `host aws bootstrap` creates it").into()
    } else {
        Box::new(error) as Box<dyn std::error::Error + Send + Sync>
    };
    TableError { kind, source }
}

#[async_trait]
impl Table for Dynamo {
    async fn get(&self, key: &Key) -> Result<Option<Item>, TableError> {
        let got = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(key.pk.clone()))
            .key("sk", AttributeValue::S(key.sk.clone()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| table_error(&self.table, failure(error)))?;
        Ok(got.item.map(item))
    }

    async fn update(&self, update: &Update) -> Result<Updated, TableError> {
        update.check_size()?;
        let Expressions { update: expression, condition, names, values } = Expressions::of(update);
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(update.key.pk.clone()))
            .key("sk", AttributeValue::S(update.key.sk.clone()))
            .set_update_expression(expression)
            .set_condition_expression(condition)
            .set_expression_attribute_names((!names.is_empty()).then_some(names))
            .set_expression_attribute_values((!values.is_empty()).then_some(values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match sent {
            Ok(done) => Ok(Updated::Applied(item(done.attributes.unwrap_or_default()))),
            Err(error) => {
                if let Some(UpdateItemError::ConditionalCheckFailedException(refused)) =
                    error.as_service_error()
                {
                    return Ok(Updated::ConditionFailed(refused.item.clone().map(item)));
                }
                Err(table_error(&self.table, failure(error)))
            }
        }
    }

    async fn delete(&self, key: &Key) -> Result<bool, TableError> {
        let deleted = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(key.pk.clone()))
            .key("sk", AttributeValue::S(key.sk.clone()))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| table_error(&self.table, failure(error)))?;
        Ok(deleted.attributes.is_some_and(|attributes| !attributes.is_empty()))
    }

    async fn delete_when(&self, key: &Key, when: &Condition) -> Result<bool, TableError> {
        let Expressions { condition, names, values, .. } = Expressions::of_condition(when);
        let sent = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(key.pk.clone()))
            .key("sk", AttributeValue::S(key.sk.clone()))
            .set_condition_expression(condition)
            .set_expression_attribute_names((!names.is_empty()).then_some(names))
            .set_expression_attribute_values((!values.is_empty()).then_some(values))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DeleteItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(table_error(&self.table, failure(error))),
        }
    }

    async fn query(
        &self,
        pk: &str,
        prefix: &str,
        newest_first: bool,
        limit: Option<usize>,
    ) -> Result<Vec<Item>, TableError> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let missing = limit.map(|limit| limit.saturating_sub(items.len()));
            if missing == Some(0) {
                return Ok(items);
            }
            let query = self.client.query().table_name(&self.table).expression_attribute_names("#pk", "pk");
            let query = query.expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()));
            // DynamoDB refuses an empty text as a part of a key.
            let query = if prefix.is_empty() {
                query.key_condition_expression("#pk = :pk")
            } else {
                query
                    .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
                    .expression_attribute_names("#sk", "sk")
                    .expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()))
            };
            let page = query
                .consistent_read(true)
                .scan_index_forward(!newest_first)
                .set_limit(missing.map(|missing| i32::try_from(missing).unwrap_or(1000).min(1000)))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| table_error(&self.table, failure(error)))?;
            items.extend(page.items.unwrap_or_default().into_iter().map(item));
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    async fn query_after(&self, pk: &str, after: &str, limit: usize) -> Result<Vec<Item>, TableError> {
        self.page(pk, after, limit).await
    }

    async fn get_batch(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, TableError> {
        self.get_in_batches(keys).await
    }

    async fn delete_batch(&self, keys: &[Key]) -> Result<(), TableError> {
        self.delete_in_batches(keys).await
    }

    async fn scan(
        &self,
        name: &'static str,
        text: &str,
        after: Option<Key>,
    ) -> Result<(Vec<Key>, Option<Key>), TableError> {
        self.scan_page(name, text, after).await
    }
}
