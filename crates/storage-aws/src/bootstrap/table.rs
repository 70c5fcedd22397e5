//! The DynamoDB tables of an environment: what is there, and how they are created, tagged, and made to expire items.

use super::{BootstrapOptions, Change, Resource, ResourceKind, TAG, failed, foreign};
use crate::{
    Names,
    failure::{AwsError, failure},
};
use aws_sdk_dynamodb::{
    Client,
    client::Waiters,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType, TableDescription, Tag, TimeToLiveSpecification,
        TimeToLiveStatus,
    },
};
use host_core::storage::StoreError;
use std::time::Duration;

/// The secondary index by which people and programs find a job by its id.
const JOB_LOOKUP: &str = "GSI_JobLookup";

/// The attribute that says when DynamoDB removes an item, in seconds since 1970.
const EXPIRY: &str = "expires_at";

/// How long creating a table may take.
const TIMEOUT: Duration = Duration::from_secs(300);

pub(super) struct Table<'a> {
    client: &'a Client,
    pub(super) name: String,
    /// Whether jobs are found in it by their id.
    has_job_lookup: bool,
    /// Whether its items expire.
    expires: bool,
}

/// The tables of an environment, first that of the jobs.
pub(super) fn tables<'a>(client: &'a Client, names: &Names) -> [Table<'a>; 3] {
    let table = |name, has_job_lookup, expires| Table { client, name, has_job_lookup, expires };
    [
        table(names.jobs_table(), true, true),
        table(names.settings_table(), false, false),
        table(names.products_table(), false, true),
    ]
}

impl Table<'_> {
    /// What to change, and whether the table is known to be host's. `is_ours` says whether one of the environment's
    /// tables before it is.
    pub(super) async fn plan(
        &self,
        is_ours: bool,
        options: &BootstrapOptions,
    ) -> Result<(Resource, bool), StoreError> {
        let mut resource = Resource {
            kind: ResourceKind::Table,
            name: self.name.clone(),
            changes: Vec::new(),
            refusal: None,
        };
        let Some(found) = self.describe().await? else {
            resource.changes.push(Change::Create);
            if self.expires {
                resource.changes.push(Change::ExpireItems);
            }
            return Ok((resource, false));
        };
        let expiry = self.expiry().await?;
        if let Some(what) = self.difference(&found, expiry.as_deref()) {
            resource.refusal = Some(format!(
                "the table {} {what}, so host cannot use it; choose another environment with `--env`",
                self.name
            ));
            return Ok((resource, false));
        }
        let is_tagged = self.is_tagged(&found).await?;
        // Earlier versions did not tag their tables, and nothing else has these keys, this name and this expiry.
        let is_known = is_tagged || if self.expires { expiry.is_some() } else { is_ours };
        if !is_tagged {
            resource.changes.push(Change::Tag);
        }
        if self.expires && expiry.is_none() {
            resource.changes.push(Change::ExpireItems);
        }
        if !is_known && !options.adopt && !self.is_empty().await? {
            resource.refusal = Some(foreign("table", &self.name));
        }
        Ok((resource, is_known))
    }

    pub(super) async fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        for change in changes {
            match change {
                Change::Create => self.create().await?,
                Change::Tag => self.tag().await?,
                Change::ExpireItems => self.expire_items().await?,
                Change::BlockPublicAccess | Change::ExpireObjects { .. } => {}
            }
        }
        Ok(())
    }

    async fn describe(&self) -> Result<Option<TableDescription>, StoreError> {
        match self.client.describe_table().table_name(&self.name).send().await.map_err(failure) {
            Ok(found) => Ok(found.table),
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
            Err(error) => Err(self.during(error, "looking for")),
        }
    }

    /// What makes a table unusable, as the end of a sentence; none if it can be used.
    fn difference(&self, found: &TableDescription, expiry: Option<&str>) -> Option<String> {
        let types = found.attribute_definitions();
        let has_type = |name: &str| {
            types.iter().any(|attribute| {
                attribute.attribute_name() == name && attribute.attribute_type() == &ScalarAttributeType::S
            })
        };
        let is_key = |keys: &[KeySchemaElement], expected: &[(&str, KeyType)]| {
            let found: Vec<_> =
                keys.iter().map(|key| (key.attribute_name(), key.key_type().clone())).collect();
            found == expected && expected.iter().all(|(name, _)| has_type(name))
        };
        if !is_key(found.key_schema(), &[("pk", KeyType::Hash), ("sk", KeyType::Range)]) {
            return Some("has other keys than pk and sk, both strings".to_owned());
        }
        let is_lookup = |index: &aws_sdk_dynamodb::types::GlobalSecondaryIndexDescription| {
            index.index_name() == Some(JOB_LOOKUP) && is_key(index.key_schema(), &[("job_id", KeyType::Hash)])
        };
        if self.has_job_lookup && !found.global_secondary_indexes().iter().any(is_lookup) {
            return Some(format!("has no index {JOB_LOOKUP} with the key job_id"));
        }
        let other = expiry.filter(|attribute| self.expires && *attribute != EXPIRY);
        other.map(|attribute| format!("removes items by their attribute {attribute} instead of {EXPIRY}"))
    }

    async fn create(&self) -> Result<(), StoreError> {
        let action = format!("creating table {}", self.name);
        let attribute = |name: &str| {
            let attribute =
                AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
            attribute.build().map_err(|error| failed(&action, error))
        };
        let part = |name: &str, kind: KeyType| {
            let part = KeySchemaElement::builder().attribute_name(name).key_type(kind);
            part.build().map_err(|error| failed(&action, error))
        };
        let mut request = self
            .client
            .create_table()
            .table_name(&self.name)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute("pk")?)
            .attribute_definitions(attribute("sk")?)
            .key_schema(part("pk", KeyType::Hash)?)
            .key_schema(part("sk", KeyType::Range)?)
            .tags(tag(&action)?);
        if self.has_job_lookup {
            let lookup = GlobalSecondaryIndex::builder()
                .index_name(JOB_LOOKUP)
                .key_schema(part("job_id", KeyType::Hash)?)
                .projection(Projection::builder().projection_type(ProjectionType::All).build())
                .build()
                .map_err(|error| failed(&action, error))?;
            request = request.attribute_definitions(attribute("job_id")?).global_secondary_indexes(lookup);
        }
        match request.send().await.map_err(failure) {
            Ok(_) => {}
            // Another bootstrap was faster.
            Err(error) if error.code() == Some("ResourceInUseException") => {}
            Err(error) => return Err(error.during(action)),
        }
        let active = self.client.wait_until_table_exists().table_name(&self.name).wait(TIMEOUT).await;
        active.map(drop).map_err(|error| failed(&action, error))
    }

    async fn is_tagged(&self, found: &TableDescription) -> Result<bool, StoreError> {
        let Some(arn) = found.table_arn() else { return Ok(false) };
        let mut page = None;
        loop {
            let request = self.client.list_tags_of_resource().resource_arn(arn).set_next_token(page);
            let listed = request.send().await.map_err(failure);
            let listed = listed.map_err(|error| self.during(error, "reading the tags of"))?;
            if listed.tags().iter().any(|tag| (tag.key(), tag.value()) == TAG) {
                return Ok(true);
            }
            page = listed.next_token;
            if page.is_none() {
                return Ok(false);
            }
        }
    }

    async fn tag(&self) -> Result<(), StoreError> {
        let action = "tagging";
        let Some(arn) = self.describe().await?.and_then(|found| found.table_arn) else {
            return Err(failed(action, format!("the table {} has gone", self.name)));
        };
        let sent = self.client.tag_resource().resource_arn(arn).tags(tag(action)?).send().await;
        sent.map(drop).map_err(failure).map_err(|error| self.during(error, action))
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        let sent = self.client.scan().table_name(&self.name).limit(1).send().await;
        let found = sent.map_err(failure).map_err(|error| self.during(error, "reading"))?;
        Ok(found.items().is_empty())
    }

    /// The attribute by which items expire.
    async fn expiry(&self) -> Result<Option<String>, StoreError> {
        let sent = self.client.describe_time_to_live().table_name(&self.name).send().await.map_err(failure);
        let found =
            sent.map_err(|error| self.during(error, "reading the expiry of"))?.time_to_live_description;
        let is_on = |status: Option<&TimeToLiveStatus>| {
            matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling))
        };
        Ok(found.filter(|found| is_on(found.time_to_live_status())).and_then(|found| found.attribute_name))
    }

    async fn expire_items(&self) -> Result<(), StoreError> {
        let action = "setting the expiry of";
        if self.expiry().await?.is_some() {
            return Ok(());
        }
        let expiry = TimeToLiveSpecification::builder().attribute_name(EXPIRY).enabled(true).build();
        let request = self.client.update_time_to_live().table_name(&self.name);
        let request = request.time_to_live_specification(expiry.map_err(|error| failed(action, error))?);
        request.send().await.map(drop).map_err(failure).map_err(|error| self.during(error, action))
    }

    fn during(&self, error: AwsError, action: &str) -> StoreError {
        error.during(format!("{action} table {}", self.name))
    }
}

fn tag(action: &str) -> Result<Tag, StoreError> {
    Tag::builder().key(TAG.0).value(TAG.1).build().map_err(|error| failed(action, error))
}
