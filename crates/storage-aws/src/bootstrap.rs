//! Creates the bucket and the tables of an environment. Queues are created with the first message of a shop.

use super::{
    Clients, Names,
    failure::{AwsError, failure},
};
use aws_sdk_dynamodb::{
    client::Waiters,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType, TimeToLiveSpecification,
    },
};
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketLocationConstraint, CreateBucketConfiguration, ExpirationStatus,
    LifecycleExpiration, LifecycleRule, LifecycleRuleFilter, PublicAccessBlockConfiguration,
};
use host_core::storage::{StoreError, StoreErrorKind};
use std::time::Duration;

/// The index by which a job is found.
const JOB_LOOKUP: &str = "GSI_JobLookup";

/// How long creating a table may take.
const TABLE_TIMEOUT: Duration = Duration::from_secs(300);

/// A request that could not be built or whose resource did not become ready.
fn create_failed(action: &str, source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError { action: action.to_owned(), kind: StoreErrorKind::Permanent, source: Box::new(source) }
}

/// Creates what is missing; gives the names of all there is.
pub(super) async fn run(
    clients: &Clients,
    names: &Names,
    retention: Duration,
) -> Result<Vec<String>, StoreError> {
    bucket(&clients.s3, &names.bucket(), retention).await?;
    let (jobs, settings, products) = (names.jobs_table(), names.settings_table(), names.products_table());
    make_table(&clients.dynamodb, &jobs, true).await?;
    make_table(&clients.dynamodb, &settings, false).await?;
    make_table(&clients.dynamodb, &products, false).await?;
    for table in [&jobs, &products] {
        expire_items(&clients.dynamodb, table).await?;
    }
    Ok(vec![names.bucket(), jobs, settings, products])
}

async fn bucket(client: &aws_sdk_s3::Client, name: &str, retention: Duration) -> Result<(), StoreError> {
    let action = format!("creating bucket {name}");
    let during = |error: AwsError| error.during(action.clone());
    // The region without a name of its own takes none.
    let region = client.config().region().map(|region| region.to_string()).filter(|r| r != "us-east-1");
    let place = region.map(|region| {
        let region = BucketLocationConstraint::from(region.as_str());
        CreateBucketConfiguration::builder().location_constraint(region).build()
    });
    let made = client.create_bucket().bucket(name).set_create_bucket_configuration(place).send().await;
    match made.map_err(failure) {
        Ok(_) => {}
        Err(error) if error.code() == Some("BucketAlreadyOwnedByYou") => {}
        Err(error) => return Err(during(error)),
    }
    let closed = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .block_public_policy(true)
        .ignore_public_acls(true)
        .restrict_public_buckets(true)
        .build();
    let sent = client.put_public_access_block().bucket(name).public_access_block_configuration(closed).send();
    sent.await.map_err(failure).map_err(during)?;
    let days = i32::try_from(retention.as_secs().div_ceil(86_400)).unwrap_or(i32::MAX);
    let rule = LifecycleRule::builder()
        .id("expire-chunks-and-reports")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .expiration(LifecycleExpiration::builder().days(days).build())
        .build()
        .map_err(|error| create_failed(&action, error))?;
    let rules = BucketLifecycleConfiguration::builder().rules(rule).build();
    let rules = rules.map_err(|error| create_failed(&action, error))?;
    let sent = client.put_bucket_lifecycle_configuration().bucket(name).lifecycle_configuration(rules).send();
    sent.await.map_err(failure).map_err(during)?;
    Ok(())
}

async fn make_table(client: &aws_sdk_dynamodb::Client, name: &str, has_jobs: bool) -> Result<(), StoreError> {
    let action = format!("creating table {name}");
    let attribute = |name: &str| {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        attribute
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(|error| create_failed(&action, error))
    };
    let part = |name: &str, kind: KeyType| {
        let part = KeySchemaElement::builder().attribute_name(name).key_type(kind);
        part.build().map_err(|error| create_failed(&action, error))
    };
    let mut make = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("pk")?)
        .attribute_definitions(attribute("sk")?)
        .key_schema(part("pk", KeyType::Hash)?)
        .key_schema(part("sk", KeyType::Range)?);
    if has_jobs {
        let lookup = GlobalSecondaryIndex::builder()
            .index_name(JOB_LOOKUP)
            .key_schema(part("job_id", KeyType::Hash)?)
            .projection(Projection::builder().projection_type(ProjectionType::All).build())
            .build()
            .map_err(|error| create_failed(&action, error))?;
        make = make.attribute_definitions(attribute("job_id")?).global_secondary_indexes(lookup);
    }
    match make.send().await.map_err(failure) {
        Ok(_) => {}
        Err(error) if error.code() == Some("ResourceInUseException") => {}
        Err(error) => return Err(error.during(action)),
    }
    let active = client.wait_until_table_exists().table_name(name).wait(TABLE_TIMEOUT).await;
    active.map(drop).map_err(|error| create_failed(&action, error))
}

/// Has the table remove items that are too old by themselves.
async fn expire_items(client: &aws_sdk_dynamodb::Client, name: &str) -> Result<(), StoreError> {
    let during = |error: AwsError| error.during(format!("setting the expiry of table {name}"));
    let is = client.describe_time_to_live().table_name(name).send().await.map_err(failure).map_err(during)?;
    let attribute = is.time_to_live_description.and_then(|is| is.attribute_name);
    if attribute.is_some() {
        return Ok(());
    }
    let expiry = TimeToLiveSpecification::builder().attribute_name("expires_at").enabled(true).build();
    let expiry = expiry.map_err(|error| create_failed("setting the expiry of a table", error))?;
    let sent = client.update_time_to_live().table_name(name).time_to_live_specification(expiry).send();
    sent.await.map(drop).map_err(failure).map_err(during)
}
