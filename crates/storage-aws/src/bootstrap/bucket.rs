//! The bucket of chunks and reports: what is there, and how it is created, tagged, closed to the public, and made to
//! expire objects.

use super::{BootstrapOptions, Change, Resource, ResourceKind, TAG, failed, foreign};
use crate::failure::{AwsError, failure};
use aws_sdk_s3::{
    Client,
    types::{
        BucketLifecycleConfiguration, BucketLocationConstraint, CreateBucketConfiguration, ExpirationStatus,
        LifecycleExpiration, LifecycleRule, LifecycleRuleFilter, PublicAccessBlockConfiguration, Tag,
        Tagging, TransitionDefaultMinimumObjectSize,
    },
};
use host_core::storage::StoreError;
use std::time::Duration;

/// The id of the lifecycle rule for the objects below `shopify/`. Earlier versions gave it to a rule for all objects.
const RULE: &str = "expire-chunks-and-reports";

pub(super) struct Bucket<'a> {
    pub(super) client: &'a Client,
    pub(super) name: String,
}

/// The lifecycle rules of a bucket.
struct Lifecycle {
    rules: Vec<LifecycleRule>,
    /// A setting of the bucket, which a request with new rules would reset if it did not repeat it.
    minimum_size: Option<TransitionDefaultMinimumObjectSize>,
}

impl Bucket<'_> {
    pub(super) async fn plan(
        &self,
        retention: Duration,
        options: &BootstrapOptions,
    ) -> Result<Resource, StoreError> {
        let days = i32::try_from(retention.as_secs().div_ceil(86_400)).unwrap_or(i32::MAX);
        let expiring = |platform: &String| Change::ExpireObjects { prefix: format!("{platform}/"), days };
        let mut resource = Resource {
            kind: ResourceKind::Bucket,
            name: self.name.clone(),
            changes: Vec::new(),
            refusal: None,
        };
        let changes = &mut resource.changes;
        match self.state().await? {
            State::Absent => {
                changes.push(Change::Create);
                changes.extend(options.platforms.iter().map(expiring));
                changes.extend([Change::BlockPublicAccess, Change::Tag]);
            }
            State::Elsewhere(refusal) => resource.refusal = Some(refusal),
            State::Present => {
                let tags = self.tags().await?;
                let is_tagged = tags.iter().any(|tag| (tag.key(), tag.value()) == TAG);
                let lifecycle = self.lifecycle().await?;
                let is_ours = is_tagged || lifecycle.rules.iter().any(|rule| rule.id() == Some(RULE));
                for change in options.platforms.iter().map(expiring) {
                    if let Change::ExpireObjects { prefix, days } = &change
                        && !lifecycle.rules.iter().any(|rule| is_rule(rule, prefix, *days))
                    {
                        changes.push(change);
                    }
                }
                if !self.is_closed().await? {
                    changes.push(Change::BlockPublicAccess);
                }
                // The tag comes last: host takes a bucket that has it for its own.
                if !is_tagged {
                    changes.push(Change::Tag);
                }
                if !is_ours && !options.adopt && !self.is_empty().await? {
                    resource.refusal = Some(foreign("bucket", &self.name));
                }
            }
        }
        Ok(resource)
    }

    pub(super) async fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.contains(&Change::Create) {
            self.create().await?;
        }
        let expiring = changes.iter().filter_map(|change| match change {
            Change::ExpireObjects { prefix, days } => Some((prefix.as_str(), *days)),
            _ => None,
        });
        let expiring: Vec<(&str, i32)> = expiring.collect();
        if !expiring.is_empty() {
            self.expire_objects(&expiring).await?;
        }
        if changes.contains(&Change::BlockPublicAccess) {
            self.close().await?;
        }
        if changes.contains(&Change::Tag) {
            self.tag().await?;
        }
        Ok(())
    }

    async fn state(&self) -> Result<State, StoreError> {
        let sent = self.client.head_bucket().bucket(&self.name).send().await;
        let Err(error) = sent else { return Ok(State::Present) };
        // The answers to HEAD have no body that would name an error.
        match error.raw_response().map(|response| response.status().as_u16()) {
            Some(404) => Ok(State::Absent),
            Some(403) => Ok(State::Elsewhere(format!(
                "the bucket {} exists and cannot be used: it belongs to another account, or these credentials lack s3:ListBucket; \
                 names of buckets are global, so choose another one with `aws.bucket`",
                self.name
            ))),
            Some(301) => Ok(State::Elsewhere(format!(
                "the bucket {} is in another region; set `aws.region` to that, or choose another name with `aws.bucket`",
                self.name
            ))),
            _ => Err(self.during(failure(error), "looking for")),
        }
    }

    async fn create(&self) -> Result<(), StoreError> {
        // S3 refuses the name of its default region as a location.
        let region = self.client.config().region().map(|region| region.to_string());
        let place = region.filter(|region| region != "us-east-1").map(|region| {
            let region = BucketLocationConstraint::from(region.as_str());
            CreateBucketConfiguration::builder().location_constraint(region).build()
        });
        let sent = self
            .client
            .create_bucket()
            .bucket(&self.name)
            .set_create_bucket_configuration(place)
            .send()
            .await;
        match sent.map_err(failure) {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("BucketAlreadyOwnedByYou") => Ok(()),
            Err(error) => Err(self.during(error, "creating")),
        }
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        let sent = self.client.list_objects_v2().bucket(&self.name).max_keys(1).send().await;
        let listed = sent.map_err(failure).map_err(|error| self.during(error, "listing"))?;
        Ok(listed.contents().is_empty())
    }

    async fn tags(&self) -> Result<Vec<Tag>, StoreError> {
        match self.client.get_bucket_tagging().bucket(&self.name).send().await.map_err(failure) {
            Ok(found) => Ok(found.tag_set),
            Err(error) if error.code() == Some("NoSuchTagSet") => Ok(Vec::new()),
            Err(error) => Err(self.during(error, "reading the tags of")),
        }
    }

    /// Sets the tag beside the others: the request replaces all.
    async fn tag(&self) -> Result<(), StoreError> {
        let action = "tagging";
        let mut tags = self.tags().await?;
        tags.retain(|tag| tag.key() != TAG.0);
        let tag = Tag::builder().key(TAG.0).value(TAG.1).build();
        tags.push(tag.map_err(|error| failed(action, error))?);
        let tags =
            Tagging::builder().set_tag_set(Some(tags)).build().map_err(|error| failed(action, error))?;
        let sent = self.client.put_bucket_tagging().bucket(&self.name).tagging(tags).send().await;
        sent.map(drop).map_err(failure).map_err(|error| self.during(error, action))
    }

    async fn is_closed(&self) -> Result<bool, StoreError> {
        let sent = self.client.get_public_access_block().bucket(&self.name).send().await;
        match sent.map_err(failure) {
            Ok(found) => Ok(found.public_access_block_configuration == Some(closed())),
            Err(error) if error.code() == Some("NoSuchPublicAccessBlockConfiguration") => Ok(false),
            Err(error) => Err(self.during(error, "reading the public access of")),
        }
    }

    async fn close(&self) -> Result<(), StoreError> {
        let sent = self.client.put_public_access_block().bucket(&self.name);
        let sent = sent.public_access_block_configuration(closed()).send().await;
        sent.map(drop).map_err(failure).map_err(|error| self.during(error, "blocking public access of"))
    }

    async fn lifecycle(&self) -> Result<Lifecycle, StoreError> {
        let sent = self.client.get_bucket_lifecycle_configuration().bucket(&self.name).send().await;
        match sent.map_err(failure) {
            Ok(found) => Ok(Lifecycle {
                rules: found.rules.unwrap_or_default(),
                minimum_size: found.transition_default_minimum_object_size,
            }),
            Err(error) if error.code() == Some("NoSuchLifecycleConfiguration") => {
                Ok(Lifecycle { rules: Vec::new(), minimum_size: None })
            }
            Err(error) => Err(self.during(error, "reading the lifecycle rules of")),
        }
    }

    /// Sets host's rules beside the others, with one request that replaces all rules. Removes the rule that earlier
    /// versions set for all objects.
    async fn expire_objects(&self, expiring: &[(&str, i32)]) -> Result<(), StoreError> {
        let action = "setting the lifecycle rules of";
        let Lifecycle { mut rules, minimum_size } = self.lifecycle().await?;
        let is_for_all = |rule: &LifecycleRule| {
            rule.id() == Some(RULE)
                && rule.filter().and_then(LifecycleRuleFilter::prefix).unwrap_or_default().is_empty()
        };
        let ids: Vec<String> = expiring.iter().map(|(prefix, _)| rule_id(prefix)).collect();
        rules.retain(|rule| !is_for_all(rule) && !ids.iter().any(|id| rule.id() == Some(id)));
        for ((prefix, days), id) in expiring.iter().zip(ids) {
            let rule = LifecycleRule::builder()
                .id(id)
                .status(ExpirationStatus::Enabled)
                .filter(LifecycleRuleFilter::builder().prefix(*prefix).build())
                .expiration(LifecycleExpiration::builder().days(*days).build());
            rules.push(rule.build().map_err(|error| failed(action, error))?);
        }
        let rules = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build();
        let sent = self
            .client
            .put_bucket_lifecycle_configuration()
            .bucket(&self.name)
            .lifecycle_configuration(rules.map_err(|error| failed(action, error))?)
            .set_transition_default_minimum_object_size(minimum_size)
            .send()
            .await;
        sent.map(drop).map_err(failure).map_err(|error| self.during(error, action))
    }

    fn during(&self, error: AwsError, action: &str) -> StoreError {
        error.during(format!("{action} bucket {}", self.name))
    }
}

/// Whether there is a bucket of a name, and whether host can use it.
enum State {
    Absent,
    /// In this account and region.
    Present,
    /// Where it cannot be used, with the reason.
    Elsewhere(String),
}

fn rule_id(prefix: &str) -> String {
    match prefix.trim_end_matches('/') {
        "shopify" => RULE.to_owned(),
        platform => format!("{RULE}-{platform}"),
    }
}

/// Whether a rule is the one that host sets for these objects.
fn is_rule(rule: &LifecycleRule, prefix: &str, days: i32) -> bool {
    rule.id() == Some(&rule_id(prefix))
        && rule.status() == &ExpirationStatus::Enabled
        && rule.filter().and_then(LifecycleRuleFilter::prefix) == Some(prefix)
        && rule.expiration().and_then(LifecycleExpiration::days) == Some(days)
}

/// The configuration that blocks all public access.
fn closed() -> PublicAccessBlockConfiguration {
    PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .block_public_policy(true)
        .ignore_public_acls(true)
        .restrict_public_buckets(true)
        .build()
}
