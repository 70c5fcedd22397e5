//! `deploy/terraform/` declares the same resources as host itself creates.

use super::stand_in::{Environment, stand_in};
use aws_sdk_sqs::types::QueueAttributeName as Name;
use host_storage_aws::{Aws, Names};
use host_testing::build::chunk;
use std::{collections::BTreeMap, path::PathBuf, process::Command, time::Duration};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/terraform")
}

fn text(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).unwrap()
}

/// The assignments `name = value` of a resource and its inner blocks, without quotes.
fn resource(text: &str, kind: &str, name: &str) -> BTreeMap<String, String> {
    let begin = format!("resource \"{kind}\" \"{name}\" {{\n");
    let (_, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("there is no {kind} {name}"));
    let (block, _) = rest.split_once("\n}").unwrap();
    let assignment = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
    };
    let mut assignments = BTreeMap::new();
    for (name, value) in block.lines().filter_map(assignment) {
        // Attributes of the resource precede nested blocks, so the first one wins.
        assignments.entry(name).or_insert(value);
    }
    assignments
}

/// Both make names of the environment; here it is Terraform's variable.
#[test]
fn names_match_the_host() {
    let names = Names::new("${var.env}", None);
    let stores = text("stores.tf");
    assert!(stores.contains(&format!("coalesce(var.bucket, \"{}\")", names.bucket())));
    assert!(stores.contains(&format!("queue_prefix = \"{}\"", names.queue_prefix())));
    assert_eq!(resource(&stores, "aws_dynamodb_table", "jobs")["name"], names.jobs_table());
    assert_eq!(resource(&stores, "aws_dynamodb_table", "settings")["name"], names.settings_table());
    assert_eq!(resource(&stores, "aws_dynamodb_table", "products")["name"], names.products_table());
    let function = text("function.tf");
    assert!(function.contains(r#"${local.queue_prefix}${replace(shop, ".", "_")}"#));
    let stem = names.queue("a.b");
    let stem = stem.strip_suffix(".fifo").unwrap();
    assert_eq!(format!("{}a_b", names.queue_prefix()), stem, "dots are replaced in both");
    let queue = |resource_name: &str| resource(&function, "aws_sqs_queue", resource_name)["name"].clone();
    assert_eq!(queue("chunks").replace("${each.value}", stem), names.queue("a.b"));
    assert_eq!(queue("dead_letters").replace("${each.value}", stem), names.dead_letter_queue("a.b"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_and_tables_are_as_the_host_makes_them() {
    let backend = stand_in();
    let Environment { aws, clients, .. } = backend.resources.downcast_ref::<Environment>().unwrap();
    let job = backend.job("a.b");
    backend.stores.queue.send(&job, &chunk(&job.id, 0, 0), 0).await.unwrap();
    let function = text("function.tf");
    for (name, of) in
        [(aws.names().queue("a.b"), "chunks"), (aws.names().dead_letter_queue("a.b"), "dead_letters")]
    {
        let url = clients.sqs.get_queue_url().queue_name(name).send().await.unwrap().queue_url.unwrap();
        let got = clients.sqs.get_queue_attributes().queue_url(&url).attribute_names(Name::All).send().await;
        let made = got.unwrap().attributes.unwrap();
        let declared = resource(&function, "aws_sqs_queue", of);
        for (attribute, declared_as) in [
            (Name::FifoQueue, "fifo_queue"),
            (Name::ContentBasedDeduplication, "content_based_deduplication"),
            (Name::DeduplicationScope, "deduplication_scope"),
            (Name::FifoThroughputLimit, "fifo_throughput_limit"),
            (Name::MessageRetentionPeriod, "message_retention_seconds"),
            (Name::VisibilityTimeout, "visibility_timeout_seconds"),
            (Name::SqsManagedSseEnabled, "sqs_managed_sse_enabled"),
        ] {
            assert_eq!(declared[declared_as], made[&attribute], "{declared_as} of {of}");
        }
        if let Some(policy) = made.get(&Name::RedrivePolicy) {
            let policy: serde_json::Value = serde_json::from_str(policy).unwrap();
            assert_eq!(declared["maxReceiveCount"], policy["maxReceiveCount"].as_str().unwrap());
        }
        let tags = clients.sqs.list_queue_tags().queue_url(&url).send().await.unwrap().tags.unwrap();
        assert_eq!(tags.len(), 2, "{tags:?}");
        let application = format!("application = \"{}\"", tags["application"]);
        assert!(declared["tags"].contains("shop_id = each.key") && declared["tags"].contains(&application));
    }

    let stores = text("stores.tf");
    for (name, of) in [
        (aws.names().jobs_table(), "jobs"),
        (aws.names().settings_table(), "settings"),
        (aws.names().products_table(), "products"),
    ] {
        let table = clients.dynamodb.describe_table().table_name(&name).send().await.unwrap().table.unwrap();
        let declared = resource(&stores, "aws_dynamodb_table", of);
        let keys: Vec<&str> = table.key_schema().iter().map(|key| key.attribute_name()).collect();
        assert_eq!(keys, [&declared["hash_key"], &declared["range_key"]], "{of}");
        assert_eq!(declared["billing_mode"], "PAY_PER_REQUEST");
        for index in table.global_secondary_indexes() {
            let (name, hash) = (index.index_name().unwrap(), index.key_schema()[0].attribute_name());
            assert!(
                stores.contains(&format!("name            = \"{name}\"\n    hash_key        = \"{hash}\"\n"))
            );
        }
        let expiry = clients.dynamodb.describe_time_to_live().table_name(&name).send().await.unwrap();
        let expiry = expiry.time_to_live_description.and_then(|expiry| expiry.attribute_name);
        assert_eq!(declared.get("attribute_name"), expiry.as_ref(), "{of}");
    }
    let rules =
        clients.s3.get_bucket_lifecycle_configuration().bucket(aws.names().bucket()).send().await.unwrap();
    let declared = resource(&stores, "aws_s3_bucket_lifecycle_configuration", "product_data");
    let id = rules.rules()[0].id().unwrap();
    assert_eq!(declared["id"], format!("rule.value == \"shopify\" ? \"{id}\" : \"{id}-${{rule.value}}"));
}

/// To remove a shop takes rights that no other process gets. The policy exists only where an operator asks for it.
#[test]
fn only_the_policy_to_forget_shops_lets_queues_and_tables_be_removed_and_scanned() {
    let policies = text("policies.tf");
    let document = |name: &str| {
        let begin = format!("data \"aws_iam_policy_document\" \"{name}\" {{\n");
        let (_, rest) = policies.split_once(&begin).unwrap_or_else(|| panic!("there is no {name}"));
        rest.split_once("\n}").unwrap().0
    };
    let forget = document("forget");
    assert!(forget.contains("source_policy_documents = [data.aws_iam_policy_document.shared.json]"));
    let shared = document("shared");
    for action in ["s3:ListBucket", "s3:DeleteObject", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"] {
        assert!(shared.contains(&format!("\"{action}\"")), "{action}");
    }
    for action in ["sqs:DeleteQueue", "sqs:ListQueues", "sqs:ListQueueTags", "dynamodb:Scan"] {
        assert!(forget.contains(&format!("\"{action}\"")), "{action}");
    }
    assert!(forget.contains("[aws_dynamodb_table.products.arn, aws_dynamodb_table.jobs.arn]"));
    for action in ["sqs:DeleteQueue", "dynamodb:Scan"] {
        assert_eq!(policies.matches(&format!("\"{action}\"")).count(), 1, "{action}");
    }
    assert_eq!(resource(&policies, "aws_iam_policy", "forget")["count"], "var.forget_policy ? 1 : 0");
    let variables = text("variables.tf");
    let (_, variable) = variables.split_once("variable \"forget_policy\" {").unwrap();
    assert!(variable.split_once("\n}").unwrap().0.contains("default     = false"));
}

/// Chunks and reports expire no sooner than a message that leads to them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_expire_as_the_host_has_them_expire() {
    let declared = text("stores.tf");
    assert!(declared.contains("expiration { days = max(var.retention_days, 29) }"));
    assert!(text("function.tf").contains("HOST_RETENTION__DAYS = var.retention_days"));
    let backend = stand_in();
    let Environment { aws, clients, .. } = backend.resources.downcast_ref::<Environment>().unwrap();
    for (days, kept) in [(7, 29), (29, 29), (30, 30), (90, 90)] {
        let retention = Duration::from_secs(days * 86_400);
        let aws = Aws::new(clients.clone(), aws.config(), retention, backend.clock.clone());
        super::stand_in::bootstrap(&aws).await;
        let found = clients.s3.get_bucket_lifecycle_configuration().bucket(aws.names().bucket()).send().await;
        let rules = found.unwrap().rules.unwrap();
        let [rule] = &rules[..] else { panic!("{rules:?}") };
        assert_eq!(rule.expiration().and_then(|expiration| expiration.days), Some(kept), "{days}");
    }
}

mod needs_terraform {
    use super::*;

    /// With the providers in the folder that `HOST_TEST_TERRAFORM_PLUGINS` names.
    #[test]
    #[ignore = "needs terraform and its provider for AWS"]
    fn terraform_validates() {
        let dir = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "tf") {
                std::fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
            }
        }
        let providers = format!("-plugin-dir={}", std::env::var("HOST_TEST_TERRAFORM_PLUGINS").unwrap());
        for arguments in [
            &["init", "-backend=false", "-input=false", "-no-color", providers.as_str()][..],
            &["validate", "-no-color"],
            &["fmt", "-check", "-diff"],
        ] {
            let mut command = Command::new("terraform");
            let ran =
                command.current_dir(dir.path()).env_remove("TF_CLI_CONFIG_FILE").args(arguments).output();
            let ran = ran.unwrap();
            assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        }
    }
}
