//! What `host aws bootstrap` creates, what it adopts, and what it leaves alone.

use super::stand_in::{Environment, account, bootstrap, options};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TimeToLiveSpecification,
};
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
    Tag, Tagging,
};
use host_storage_aws::{BootstrapPlan, Change};

const BUCKET: &str = "test-ecom-product-data-bucket";
const JOBS: &str = "test-EcomIndexerJobsTable";
const SETTINGS: &str = "test-EcomIndexSettingsTable";
const PRODUCTS: &str = "test-EcomIndexerProductsTable";

fn expire_objects() -> Change {
    Change::ExpireObjects { prefix: "shopify/".to_owned(), days: 30 }
}

/// The changes of each resource, where there are any, and the refusals.
fn summary(plan: &BootstrapPlan) -> (Vec<(&str, &[Change])>, Vec<&str>) {
    let changes = plan.resources.iter().filter(|resource| !resource.changes.is_empty());
    let refused = plan.resources.iter().filter_map(|resource| resource.refusal.as_deref());
    (changes.map(|resource| (resource.name.as_str(), &*resource.changes)).collect(), refused.collect())
}

fn rule(id: &str, prefix: &str) -> LifecycleRule {
    LifecycleRule::builder()
        .id(id)
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
        .expiration(LifecycleExpiration::builder().days(30).build())
        .build()
        .unwrap()
}

/// A bucket with an object and a rule.
async fn bucket(environment: &Environment, rule: LifecycleRule) {
    let s3 = &environment.clients.s3;
    s3.create_bucket().bucket(BUCKET).send().await.unwrap();
    s3.put_object().bucket(BUCKET).key("invoices/1.pdf").body(b"pdf".to_vec().into()).send().await.unwrap();
    let rules = BucketLifecycleConfiguration::builder().rules(rule).build().unwrap();
    s3.put_bucket_lifecycle_configuration()
        .bucket(BUCKET)
        .lifecycle_configuration(rules)
        .send()
        .await
        .unwrap();
}

/// Ids and prefixes of a bucket's rules.
async fn rules(environment: &Environment) -> Vec<(String, String)> {
    let sent = environment.clients.s3.get_bucket_lifecycle_configuration().bucket(BUCKET).send().await;
    let text = |rule: &LifecycleRule| {
        let prefix = rule.filter().and_then(|filter| filter.prefix()).unwrap_or_default();
        (rule.id().unwrap().to_owned(), prefix.to_owned())
    };
    sent.unwrap().rules().iter().map(text).collect()
}

/// A table with string keys of these names, and an item in it.
async fn table(environment: &Environment, name: &str, [hash, range]: [&str; 2]) {
    let attribute = |name: &str| {
        let attribute =
            AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        attribute.build().unwrap()
    };
    let key =
        |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let dynamodb = &environment.clients.dynamodb;
    let request = dynamodb.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    let request = request.attribute_definitions(attribute(hash)).attribute_definitions(attribute(range));
    let request = request.key_schema(key(hash, KeyType::Hash)).key_schema(key(range, KeyType::Range));
    request.send().await.unwrap();
    let text = || AttributeValue::S("a".to_owned());
    dynamodb.put_item().table_name(name).item(hash, text()).item(range, text()).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_account_gets_bucket_and_tables_and_the_second_time_nothing() {
    let (_, environment) = account();
    let plan = environment.aws.plan_bootstrap(&options(false)).await.unwrap();
    let table = [Change::Create, Change::ExpireItems];
    assert_eq!(
        summary(&plan),
        (
            vec![
                (BUCKET, &[Change::Create, expire_objects(), Change::BlockPublicAccess, Change::Tag][..]),
                (JOBS, &table),
                (SETTINGS, &table[..1]),
                (PRODUCTS, &table),
            ],
            vec![]
        )
    );
    // A plan changes nothing.
    let again = environment.aws.plan_bootstrap(&options(false)).await.unwrap();
    assert_eq!(summary(&again), summary(&plan));
    environment.aws.bootstrap(&plan).await.unwrap();
    let plan = environment.aws.plan_bootstrap(&options(false)).await.unwrap();
    assert_eq!(summary(&plan), (vec![], vec![]));
    assert_eq!(rules(&environment).await, [("expire-chunks-and-reports".to_owned(), "shopify/".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_of_others_is_left_alone_unless_it_is_adopted() {
    let (_, environment) = account();
    let theirs = ("theirs".to_owned(), "logs/".to_owned());
    bucket(&environment, rule("theirs", "logs/")).await;
    let tag = Tag::builder().key("team").value("billing").build().unwrap();
    let tags = Tagging::builder().tag_set(tag).build().unwrap();
    environment.clients.s3.put_bucket_tagging().bucket(BUCKET).tagging(tags).send().await.unwrap();

    let plan = environment.aws.plan_bootstrap(&options(false)).await.unwrap();
    let (_, refusals) = summary(&plan);
    assert!(refusals.len() == 1 && refusals[0].contains("--adopt"), "{refusals:?}");
    environment.aws.bootstrap(&plan).await.unwrap_err();
    assert_eq!(rules(&environment).await, std::slice::from_ref(&theirs));
    let tables = environment.clients.dynamodb.list_tables().send().await.unwrap();
    assert_eq!(tables.table_names(), <[String; 0]>::default());

    let plan = environment.aws.plan_bootstrap(&options(true)).await.unwrap();
    environment.aws.bootstrap(&plan).await.unwrap();
    let ours = ("expire-chunks-and-reports".to_owned(), "shopify/".to_owned());
    assert_eq!(rules(&environment).await, [theirs, ours]);
    let tags = environment.clients.s3.get_bucket_tagging().bucket(BUCKET).send().await.unwrap().tag_set;
    let tags: Vec<_> = tags.iter().map(|tag| (tag.key(), tag.value())).collect();
    assert_eq!(tags, [("team", "billing"), ("application", "ecom-indexer")]);
    // From now on host knows the bucket as its own.
    let plan = environment.aws.plan_bootstrap(&options(false)).await.unwrap();
    assert_eq!(summary(&plan), (vec![], vec![]));
}

/// Earlier versions set no tag, and one lifecycle rule for all objects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bucket_and_tables_of_earlier_versions_are_recognised_and_brought_up_to_date() {
    let (_, environment) = account();
    bootstrap(&environment.aws).await;
    let Environment { clients, .. } = &environment;
    bucket(&environment, rule("expire-chunks-and-reports", "")).await;
    clients.s3.delete_bucket_tagging().bucket(BUCKET).send().await.unwrap();
    for name in [JOBS, SETTINGS, PRODUCTS] {
        let arn = clients.dynamodb.describe_table().table_name(name).send().await.unwrap().table.unwrap();
        let arn = arn.table_arn.unwrap();
        clients.dynamodb.untag_resource().resource_arn(arn).tag_keys("application").send().await.unwrap();
        let text = || AttributeValue::S("a".to_owned());
        clients
            .dynamodb
            .put_item()
            .table_name(name)
            .item("pk", text())
            .item("sk", text())
            .send()
            .await
            .unwrap();
    }
    let plan = environment.aws.plan_bootstrap(&options(false)).await.unwrap();
    let tag = [Change::Tag];
    let expected =
        [(BUCKET, &[expire_objects(), Change::Tag][..]), (JOBS, &tag), (SETTINGS, &tag), (PRODUCTS, &tag)];
    assert_eq!(summary(&plan), (expected.to_vec(), vec![]));
    environment.aws.bootstrap(&plan).await.unwrap();
    assert_eq!(rules(&environment).await, [("expire-chunks-and-reports".to_owned(), "shopify/".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_others_are_left_alone_and_unusable_ones_are_refused() {
    let (_, environment) = account();
    // The jobs table has the right keys, but no index; the settings table is as host's; the products table has wrong
    // keys.
    table(&environment, JOBS, ["pk", "sk"]).await;
    table(&environment, SETTINGS, ["pk", "sk"]).await;
    table(&environment, PRODUCTS, ["id", "kind"]).await;
    for (adopt, expected) in
        [(false, &["no index", "--adopt", "other keys"][..]), (true, &["no index", "other keys"])]
    {
        let plan = environment.aws.plan_bootstrap(&options(adopt)).await.unwrap();
        let (_, refusals) = summary(&plan);
        assert_eq!(refusals.len(), expected.len(), "{refusals:?}");
        for (refusal, part) in refusals.iter().zip(expected) {
            assert!(refusal.contains(part), "{refusal}");
        }
        environment.aws.bootstrap(&plan).await.unwrap_err();
    }
    assert!(environment.clients.s3.head_bucket().bucket(BUCKET).send().await.is_err(), "nothing was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_expires_by_another_attribute_is_refused() {
    let (_, environment) = account();
    table(&environment, PRODUCTS, ["pk", "sk"]).await;
    let expiry = TimeToLiveSpecification::builder().attribute_name("ttl").enabled(true).build().unwrap();
    let request = environment.clients.dynamodb.update_time_to_live().table_name(PRODUCTS);
    request.time_to_live_specification(expiry).send().await.unwrap();
    let plan = environment.aws.plan_bootstrap(&options(true)).await.unwrap();
    let (_, refusals) = summary(&plan);
    assert!(refusals.len() == 1 && refusals[0].contains("attribute ttl"), "{refusals:?}");
}
