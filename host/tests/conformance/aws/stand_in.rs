//! The checks on ministack, and what AWS's own programs see there.

use super::{MONTH, checks_of_stores, plant, wait};
use crate::{clock::Clock, embedded::embedded, make::Backend};
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use host::{
    env::{Env, SharedEnv},
    store::aws::{Aws, AwsOptions, Clients, Dynamo},
};
use jiff::Timestamp;
use std::{path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use xtask::ministack::Ministack;

/// A clock that moves the server's too.
#[derive(Debug)]
struct SharedClock {
    clock: Clock,
    start: Timestamp,
    server: Arc<Ministack>,
}

#[async_trait::async_trait]
impl Env for SharedClock {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
        self.server.set_clock(self.clock.now().duration_since(self.start).as_secs_f64());
    }

    fn random(&self) -> u64 {
        self.clock.random()
    }
}

pub(super) struct Keep {
    pub(super) aws: Aws,
    pub(super) clients: Clients,
    _server: Arc<Ministack>,
    _folder: TempDir,
    _embedded: Box<dyn std::any::Any + Send + Sync>,
}

fn clients(url: &str) -> Clients {
    let keys = Credentials::new("123456789012", "secret", None, None, "test");
    let (version, region) = (BehaviorVersion::latest(), Region::new("us-east-1"));
    macro_rules! config {
        ($service:ident) => {
            $service::Config::builder()
                .behavior_version(version)
                .region(region.clone())
                .endpoint_url(url)
                .credentials_provider(keys.clone())
                .http_client(host::store::aws::http_client())
        };
    }
    Clients {
        s3: aws_sdk_s3::Client::from_conf(config!(aws_sdk_s3).force_path_style(true).build()),
        sqs: aws_sdk_sqs::Client::from_conf(config!(aws_sdk_sqs).build()),
        dynamodb: aws_sdk_dynamodb::Client::from_conf(config!(aws_sdk_dynamodb).build()),
    }
}

fn stand_in() -> Backend {
    let folder = tempfile::tempdir().unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let server = Arc::new(Ministack::start(target, folder.path()).unwrap());
    let clock = Clock::new(1);
    let start = clock.now();
    let env: SharedEnv = Arc::new(SharedClock { clock, start, server: server.clone() });
    let clients = clients(server.url());
    let options = AwsOptions {
        env: "test".to_owned(),
        region: None,
        endpoint_url: Some(server.url().to_owned()),
        bucket: None,
        retention: MONTH,
    };
    let aws = Aws::new(clients.clone(), &options, env.clone());
    wait(aws.bootstrap()).unwrap();
    let embedded = embedded();
    Backend {
        stores: aws.stores(),
        index: embedded.index,
        env,
        plant_settings: |backend, index_name, json| {
            let keep = backend.keep.downcast_ref::<Keep>().unwrap();
            let table = Dynamo::new(keep.clients.dynamodb.clone(), keep.aws.names().settings_table());
            wait(plant(&table, index_name, json));
        },
        keep: Box::new(Keep { aws, clients, _server: server, _folder: folder, _embedded: embedded.keep }),
    }
}

checks_of_stores!(
    stand_in,
    chunks::an_object_is_stored_once_and_never_changed,
    chunks::of_many_at_once_one_creates_an_object,
    chunks::a_report_is_replaced_as_a_whole,
    chunks::other_bytes_than_expected_are_corrupt,
    chunks::removal_succeeds_also_the_second_time,
    chunks::an_object_may_be_empty_or_large,
);
