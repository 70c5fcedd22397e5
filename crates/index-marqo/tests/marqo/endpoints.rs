//! Failover between a primary endpoint and its fallback, connections that fail, and Marqo Cloud.

use crate::support::{Harness, dead, documents, error_chain, ids};
use host_core::index::{Index, Outcome};
use marqo_stand_in::{Fault, FaultRule, Operation, Options, StandIn};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The metrics that are counters, by name; labels are ignored.
#[derive(Default)]
struct Counters(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.0.lock().unwrap().entry(key.name().to_owned()).or_default().clone())
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

impl Counters {
    fn get(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).map_or(0, |counter| counter.load(Ordering::SeqCst))
    }
}

#[tokio::test]
async fn writes_go_to_the_fallback_until_the_primary_is_back() {
    let counters = Counters::default();
    let _guard = metrics::set_default_local_recorder(&counters);
    let primary = dead();
    let harness = Harness::with(Options::default(), |settings| {
        settings.fallback_endpoint = Some(std::mem::replace(&mut settings.endpoint, primary.clone()));
    })
    .await;
    let writes = documents(200);
    assert_eq!(harness.write(&writes).await, vec![Outcome::Done; 200]);
    assert!(harness.times_written().values().all(|times| *times == 1));
    assert_eq!(counters.get("host_marqo_endpoint_switches_total"), 1);
    assert_eq!(counters.get("host_marqo_items_total"), 200);
    assert!(harness.clock.take_sleeps().is_empty(), "the other endpoint is tried at once");

    // The primary comes back, and is tried again after 30 s.
    let listen = primary.trim_start_matches("http://").parse().unwrap();
    let indexes = vec!["shop".to_owned()];
    let revived = StandIn::start(Options { listen, indexes, ..Options::default() }).unwrap();
    host_core::clock::Clock::sleep(&*harness.clock, Duration::from_secs(31)).await;
    harness.write(&writes[..3]).await;
    assert_eq!(revived.documents("shop").len(), 3);
    assert_eq!(harness.server.documents("shop").len(), 200);
}

#[tokio::test]
async fn when_both_are_dead_the_error_names_both_after_a_wait() {
    let (primary, fallback) = (dead(), dead());
    let harness = Harness::with(Options::default(), |settings| {
        settings.endpoint = primary.clone();
        settings.fallback_endpoint = Some(fallback.clone());
    })
    .await;
    let error = harness.write_error(&documents(5)).await;
    let message = error_chain(&error);
    assert!(error.transient && message.contains(&primary) && message.contains(&fallback), "{message}");
    let waited: Duration = harness.clock.take_sleeps().iter().sum();
    // `unreachable_timeout_seconds` is 60 by default; the last of the growing waits may end later.
    assert!((60..200).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test]
async fn a_fault_after_sending_does_not_fail_over() {
    let other = StandIn::start(Options { indexes: vec!["shop".to_owned()], ..Options::default() }).unwrap();
    for fault in [Fault::Hang, Fault::ResetAfterApply, Fault::Gateway { status: 502 }] {
        let harness = Harness::with(Options::default(), |settings| {
            settings.fallback_endpoint = Some(other.url().to_owned());
        })
        .await;
        harness.faults(&[FaultRule::new(fault).on(Operation::Add).next(1)]);
        harness.write(&documents(5)).await;
        assert!(other.requests().is_empty());
        assert_eq!(harness.server.documents("shop").len(), 5);
    }
}

#[tokio::test]
async fn marqo_cloud_tells_where_an_index_is() {
    let options = Options { api_key: Some("very-secret".to_owned()), ..Options::default() };
    let harness = Harness::with(options, |settings| {
        settings.cloud = true;
        settings.api_key = Some(host_core::secret::Secret::new("very-secret"));
    })
    .await;
    let writes = documents(5);
    harness.write(&writes).await;
    harness.index.stored(&harness.target, &ids(&writes)).await.unwrap();
    assert_eq!(harness.requests(Operation::CloudList).len(), 1, "the answer is remembered");
    assert_eq!(harness.server.documents("shop").len(), 5);
}
