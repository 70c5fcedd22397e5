//! The calls of SQS: how queues are created, and what its answers mean.

use super::service::{Depth, Incoming, Outgoing, QueueService, QueueSpec, ReceiveRequest};
use crate::failure::{AwsError, failure};
use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    types::{MessageSystemAttributeName, QueueAttributeName as Name},
};
use host_core::storage::{StoreError, StoreErrorKind};
use std::{collections::HashMap, time::Duration};

/// How long messages are kept: SQS's maximum.
const RETENTION: Duration = Duration::from_secs(14 * 24 * 3600);

/// Deliveries after which SQS itself moves a message to the dead letters. Only a safety net: workers also release
/// messages that are not at fault, and host itself counts the attempts at a chunk.
pub(super) const MAX_RECEIVES: u32 = 1000;

/// How long an answer may take beyond the wait time.
const RESPONSE_MARGIN: Duration = Duration::from_secs(10);

/// The tag that says whose queue it is.
const SHOP_TAG: &str = "shop_id";

/// SQS in one region and account.
#[derive(Clone, Debug)]
pub struct Sqs {
    client: Client,
}

impl Sqs {
    /// The queues that this client reaches.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    async fn attribute(&self, url: &str, name: Name) -> Result<Option<String>, AwsError> {
        let got = self.client.get_queue_attributes().queue_url(url).attribute_names(name.clone()).send();
        let got = got.await.map_err(failure)?;
        Ok(got.attributes.and_then(|attributes| attributes.get(&name).cloned()))
    }

    async fn attributes(&self, spec: &QueueSpec) -> Result<HashMap<Name, String>, StoreError> {
        let mut attributes = HashMap::from([
            (Name::FifoQueue, "true".to_owned()),
            (Name::ContentBasedDeduplication, "false".to_owned()),
            // Both together: the throughput of a group does not limit the others.
            (Name::DeduplicationScope, "messageGroup".to_owned()),
            (Name::FifoThroughputLimit, "perMessageGroupId".to_owned()),
            (Name::MessageRetentionPeriod, RETENTION.as_secs().to_string()),
            // In seconds. For Lambda functions, which may run for 15 minutes; all other receivers set their own
            // timeout.
            (Name::VisibilityTimeout, "960".to_owned()),
            (Name::SqsManagedSseEnabled, "true".to_owned()),
        ]);
        let Some(dead_letters) = &spec.dead_letters else { return Ok(attributes) };
        let during = || format!("looking at queue {dead_letters}");
        let url = self.find(dead_letters).await?.ok_or_else(|| not_there_yet(during()))?;
        let arn = match self.attribute(&url, Name::QueueArn).await {
            Err(error) if is_gone(&error) => Err(not_there_yet(during())),
            found => found.map_err(|error| error.during(during())),
        }?;
        let policy = serde_json::json!({
            "deadLetterTargetArn": arn.unwrap_or_default(),
            "maxReceiveCount": MAX_RECEIVES.to_string(),
        });
        attributes.insert(Name::RedrivePolicy, policy.to_string());
        Ok(attributes)
    }
}

/// A queue that was just created is not known everywhere for some seconds.
fn not_there_yet(action: String) -> StoreError {
    StoreError { action, kind: StoreErrorKind::Transient, source: "it is not there yet".into() }
}

/// Whether SQS says that there is no such queue, in its new or its old protocol.
fn is_gone(error: &AwsError) -> bool {
    error.code().is_some_and(|code| code.contains("NonExistentQueue") || code.contains("QueueDoesNotExist"))
}

/// Whether SQS refuses a receipt handle, because its message was delivered again, removed or has become visible.
fn is_void(error: &AwsError) -> bool {
    let of_handle = |code: &str| {
        code.contains("ReceiptHandleIsInvalid")
            || code.contains("MessageNotInflight")
            || code.contains("InvalidParameterValue")
    };
    is_gone(error) || error.code().is_some_and(of_handle)
}

/// Whole seconds, rounded up: a message that becomes visible too early is delivered to another worker.
fn seconds(duration: Duration) -> i32 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(whole).unwrap_or(i32::MAX)
}

#[async_trait]
impl QueueService for Sqs {
    async fn find(&self, name: &str) -> Result<Option<String>, StoreError> {
        match self.client.get_queue_url().queue_name(name).send().await.map_err(failure) {
            Ok(found) => Ok(found.queue_url),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error.during(format!("looking for queue {name}"))),
        }
    }

    async fn create(&self, spec: &QueueSpec) -> Result<String, StoreError> {
        let QueueSpec { name, shop_id, .. } = spec;
        let attributes = self.attributes(spec).await?;
        let made = self
            .client
            .create_queue()
            .queue_name(name)
            .set_attributes(Some(attributes))
            .tags(SHOP_TAG, shop_id)
            .tags("application", "ecom-indexer")
            .send()
            .await
            .map_err(failure);
        let url = match made {
            Ok(made) => made.queue_url,
            // It exists with other attributes: an operator has set them on purpose, or an older host has.
            Err(error)
                if error.code().is_some_and(|code| {
                    code.contains("QueueNameExists") || code.contains("QueueAlreadyExists")
                }) =>
            {
                self.find(name).await?
            }
            Err(error) => return Err(error.during(format!("creating queue {name}"))),
        };
        url.ok_or_else(|| StoreError {
            action: format!("creating queue {name}"),
            kind: StoreErrorKind::Transient,
            source: "SQS returned no queue URL".into(),
        })
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
        let during = |error: AwsError| error.during(format!("listing the queues {prefix}…"));
        let mut queues = Vec::new();
        let mut pages =
            self.client.list_queues().queue_name_prefix(prefix).max_results(1000).into_paginator().send();
        while let Some(page) = pages.next().await {
            for url in page.map_err(failure).map_err(during)?.queue_urls.unwrap_or_default() {
                let name = url.rsplit('/').next().unwrap_or_default().to_owned();
                queues.push((name, url));
            }
        }
        Ok(queues)
    }

    async fn shop(&self, url: &str) -> Result<Option<String>, StoreError> {
        match self.client.list_queue_tags().queue_url(url).send().await.map_err(failure) {
            Ok(tags) => Ok(tags.tags.and_then(|mut tags| tags.remove(SHOP_TAG))),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error.during(format!("reading the tags of {url}"))),
        }
    }

    async fn send(&self, url: &str, message: &Outgoing) -> Result<bool, StoreError> {
        let sent = self
            .client
            .send_message()
            .queue_url(url)
            .message_body(&message.body)
            .message_group_id(&message.group)
            .message_deduplication_id(&message.deduplication_id)
            .send()
            .await;
        match sent.map_err(failure) {
            Ok(_) => Ok(true),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(error.during(format!("sending to {url}"))),
        }
    }

    async fn receive(
        &self,
        url: &str,
        request: &ReceiveRequest,
    ) -> Result<Option<Vec<Incoming>>, StoreError> {
        let wait_time = request.wait_time;
        // Without a timeout, the call would hang on a lost connection until the system notices.
        let timeouts = aws_sdk_sqs::config::timeout::TimeoutConfig::builder()
            .operation_attempt_timeout(wait_time + RESPONSE_MARGIN)
            .read_timeout(wait_time + RESPONSE_MARGIN)
            .build();
        let received = self
            .client
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(i32::try_from(request.max.min(10)).unwrap_or(10))
            .visibility_timeout(seconds(request.visibility))
            .receive_request_attempt_id(&request.attempt_id)
            .wait_time_seconds(seconds(wait_time).min(20))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
            .customize()
            .config_override(aws_sdk_sqs::config::Config::builder().timeout_config(timeouts))
            .send()
            .await;
        let messages = match received.map_err(failure) {
            Ok(received) => received.messages.unwrap_or_default(),
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error.during(format!("receiving from {url}"))),
        };
        let incoming = messages.into_iter().filter_map(|message| {
            let attributes = message.attributes.unwrap_or_default();
            let attribute = |name| attributes.get(&name);
            let count = attribute(MessageSystemAttributeName::ApproximateReceiveCount);
            Some(Incoming {
                receive_count: count.and_then(|count| count.parse().ok()).unwrap_or(1),
                group: attribute(MessageSystemAttributeName::MessageGroupId).cloned().unwrap_or_default(),
                body: message.body.unwrap_or_default(),
                handle: message.receipt_handle?,
            })
        });
        Ok(Some(incoming.collect()))
    }

    async fn change_visibility(
        &self,
        url: &str,
        handle: &str,
        visibility: Duration,
    ) -> Result<bool, StoreError> {
        let sent = self
            .client
            .change_message_visibility()
            .queue_url(url)
            .receipt_handle(handle)
            .visibility_timeout(seconds(visibility))
            .send()
            .await;
        match sent.map_err(failure) {
            Ok(_) => Ok(true),
            Err(error) if is_void(&error) => Ok(false),
            Err(error) => Err(error.during(format!("changing the visibility of a message of {url}"))),
        }
    }

    async fn delete(&self, url: &str, handle: &str) -> Result<bool, StoreError> {
        let sent = self.client.delete_message().queue_url(url).receipt_handle(handle).send().await;
        match sent.map_err(failure) {
            Ok(_) => Ok(true),
            Err(error) if is_void(&error) => Ok(false),
            Err(error) => Err(error.during(format!("removing a message from {url}"))),
        }
    }

    async fn depth(&self, url: &str) -> Result<Depth, StoreError> {
        let parts = [Name::ApproximateNumberOfMessages, Name::ApproximateNumberOfMessagesNotVisible];
        let got = self.client.get_queue_attributes().queue_url(url).set_attribute_names(Some(parts.to_vec()));
        let attributes = match got.send().await.map_err(failure) {
            Ok(got) => got.attributes.unwrap_or_default(),
            Err(error) if is_gone(&error) => return Ok(Depth::default()),
            Err(error) => return Err(error.during(format!("counting the messages of {url}"))),
        };
        let [visible, in_flight] =
            parts.map(|part| attributes.get(&part).and_then(|number| number.parse().ok()).unwrap_or(0));
        Ok(Depth { visible, in_flight })
    }

    async fn remove(&self, url: &str) -> Result<(), StoreError> {
        match self.client.delete_queue().queue_url(url).send().await.map_err(failure) {
            Err(error) if !is_gone(&error) => Err(error.during(format!("removing queue {url}"))),
            _ => Ok(()),
        }
    }
}
