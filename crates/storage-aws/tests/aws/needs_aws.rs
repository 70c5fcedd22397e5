//! The conformance suites on AWS itself, with `HOST_TEST_AWS=1` and credentials. Each check creates its own environment
//! (bucket, tables, queues) and removes it. Time is real here: a check that waits for a lease waits for minutes.

use super::{MONTH, insert_raw, stand_in::bootstrap, wait};
use host_core::clock::{SharedClock, SystemClock};
use host_core::storage::Storage;
use host_storage_aws::{Aws, AwsConfig, Clients, Dynamo};
use host_testing::{chunk_tests, conformance::Backend, storage_tests};
use std::sync::Arc;

/// An environment; it is removed when this is dropped.
struct Environment {
    aws: Aws,
    clients: Clients,
}

impl Environment {
    async fn remove(&self) -> Result<(), Box<dyn std::error::Error>> {
        let (names, Clients { s3, sqs, dynamodb }) = (self.aws.names(), &self.clients);
        for table in [names.jobs_table(), names.settings_table(), names.products_table()] {
            dynamodb.delete_table().table_name(table).send().await?;
        }
        let queues = sqs.list_queues().queue_name_prefix(names.queue_prefix()).send().await?;
        for queue in queues.queue_urls() {
            sqs.delete_queue().queue_url(queue).send().await?;
        }
        let bucket = names.bucket();
        let mut pages = s3.list_objects_v2().bucket(&bucket).into_paginator().send();
        while let Some(page) = pages.next().await {
            for object in page?.contents() {
                s3.delete_object().bucket(&bucket).key(object.key().unwrap_or_default()).send().await?;
            }
        }
        s3.delete_bucket().bucket(&bucket).send().await?;
        Ok(())
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        let env = self.aws.names().env().to_owned();
        if let Err(error) = wait(self.remove()) {
            println!("not all of the environment {env} is removed: {error:?}");
        }
    }
}

fn aws() -> Backend {
    let permission = std::env::var("HOST_TEST_AWS");
    assert_eq!(permission.as_deref(), Ok("1"), "this check runs on AWS, at its price: set HOST_TEST_AWS=1");
    let clock: SharedClock = Arc::new(SystemClock);
    let config = AwsConfig {
        env: format!("host-test-{:016x}", clock.random()),
        endpoint_url: std::env::var("AWS_ENDPOINT_URL").ok(),
        ..AwsConfig::default()
    };
    let clients = wait(Clients::connect(&config));
    let aws = Aws::new(clients.clone(), &config, MONTH, clock.clone());
    let stores = aws.stores();
    // This value comes before the first resource, so that all are removed whatever happens next.
    let environment = Environment { aws, clients };
    wait(bootstrap(&environment.aws));
    Backend {
        stores,
        clock,
        insert_raw_settings: |backend, index_name, json| {
            let environment = backend.resources.downcast_ref::<Environment>().unwrap();
            let settings_table = environment.aws.names().settings_table();
            let table = Dynamo::new(environment.clients.dynamodb.clone(), settings_table);
            wait(insert_raw(&table, index_name, json));
        },
        resources: Box::new(environment),
    }
}

chunk_tests!(aws ignored);
storage_tests!(aws ignored);
