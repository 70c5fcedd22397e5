//! An index that cannot be written to, behind an event source like Lambda's: invocations run side by side, what a batch does not
//! acknowledge is visible again when its time is over, receive counts grow, and nothing waits between two invocations.

use super::{
    MONTH,
    intercepted::{InterceptedTable, TableCall, TableInterceptor},
    lambda_event::{QUEUE_VISIBILITY, records},
    sqs,
    table::Model,
};
use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    index::IndexError,
    model::{Counts, JobId, JobStatus, Operation, PluginManifest},
    plugin::{BatchFailure, TransformedDocument, Validate, Verdict},
    storage::{ClearedBy, JobSnapshot, Storage, StoreErrorKind, Stores},
};
use host_pipeline::worker::{DeadLetterFilter, Deadlines, Worker, WorkerSettings, redrive, resume};
use host_storage_aws::{
    EventQueues, Incoming, Key, Names, Outgoing, QueueService, ReceiveRequest, Table, TableError, Update,
    breakers_on, event_queues_on, jobs_on, ledger_on, settings_on,
};
use host_testing::{
    VirtualClock, build,
    fakes::{FakeIndex, FakePlugin, IndexCall, Intercepted, Interceptor},
    storage::Memory,
};
use jiff::Timestamp;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet};

const SHOP: &str = "example.myshopify.com";
/// The lane of a message that no version can read.
const FOREIGN: u64 = 9;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const CHUNKS: u32 = 12;
/// The margin before a function's end, at which it answers.
const RESPONSE_MARGIN: Duration = Duration::from_secs(5);

/// What a server does for as long as an operator has not acted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// It refuses the key: 401, 403.
    Refused(u16),
    /// It answers 429, and the client holds the call for so long and tries again meanwhile.
    Throttled(Duration),
    /// It does not answer for so long, or until it is restarted.
    Silent(Duration),
    /// The host has stopped the plug-in that judges documents.
    PluginStopped,
    /// The table of jobs refuses claims of chunks in this way.
    Claims(StoreErrorKind),
}

struct Server {
    fault: watch::Sender<Fault>,
    calls: AtomicU64,
    rules: FakePlugin,
}

fn failed(transient: bool, what: String) -> IndexError {
    IndexError { action: "writing to the index".to_owned(), transient, source: what.into() }
}

#[async_trait]
impl Interceptor for Server {
    async fn before(&self, _: IndexCall<'_>) -> Result<(), IndexError> {
        self.calls.fetch_add(1, Relaxed);
        let mut fault = self.fault.subscribe();
        let found = *fault.borrow_and_update();
        let (patience, error) = match found {
            Fault::None | Fault::PluginStopped | Fault::Claims(_) => return Ok(()),
            Fault::Refused(status) => return Err(failed(false, format!("{status}, as the server says"))),
            Fault::Throttled(patience) => (patience, "429, as the server says"),
            Fault::Silent(patience) => (patience, "the connection was lost"),
        };
        tokio::select! {
            () = tokio::time::sleep(patience) => {}
            _ = fault.changed() => if let Fault::Throttled(_) = found {
                return Ok(());
            },
        }
        Err(failed(true, error.to_owned()))
    }
}

#[async_trait]
impl Validate for Server {
    fn manifest(&self) -> &PluginManifest {
        Validate::manifest(&self.rules)
    }

    async fn validate(&self, documents: Vec<TransformedDocument>) -> Result<Vec<Verdict>, BatchFailure> {
        let is_stopped = *self.fault.borrow() == Fault::PluginStopped;
        self.calls.fetch_add(u64::from(is_stopped), Relaxed);
        self.rules.set_stopped(is_stopped);
        self.rules.validate(documents).await
    }
}

/// Claims may fail.
impl TableInterceptor for Server {
    async fn of_table<T: Send>(
        &self,
        call: TableCall<'_>,
        answer: impl Future<Output = Result<T, TableError>> + Send,
    ) -> Result<T, TableError> {
        let is_claim = |update: &Update| {
            update.set.iter().any(|(name, value)| *name == "state" && *value == "RUNNING".into())
        };
        let fault = match (&*self.fault.borrow(), call) {
            (Fault::Claims(kind), TableCall::Update(update)) if is_claim(update) => Some(*kind),
            _ => None,
        };
        let Some(kind) = fault else { return answer.await };
        self.calls.fetch_add(1, Relaxed);
        Err(TableError { kind, source: "the table refuses it".into() })
    }
}

/// How long a function may run, and before which margin it begins chunks.
#[derive(Clone, Copy, Debug)]
struct Limits {
    timeout: Duration,
    reserve: Duration,
}

fn limits(timeout: u64) -> Limits {
    Limits { timeout: Duration::from_secs(timeout), reserve: Duration::from_secs(120) }
}

/// The function as `host lambda` runs it, and its queues.
#[derive(Clone)]
struct Function {
    clock: SharedClock,
    service: Arc<sqs::Model>,
    queue: String,
    queues: EventQueues,
    stores: Stores,
    worker: Arc<Worker>,
}

impl Function {
    /// One invocation: what is done is removed by the event source, everything else is left as it is.
    async fn invoke(self, received: Vec<Incoming>, limits: Limits) {
        let deadline = self.clock.now() + limits.timeout;
        let records = records(&received, &self.queue, FOREIGN);
        let batch = self.queues.deliveries_of_event(&records, "http://localhost:1").await;
        let deliveries = batch.deliveries.into_iter().map(|(_, delivery)| delivery).collect();
        let before = |margin: Duration| deadline.checked_sub(margin).unwrap_or(Timestamp::MIN);
        let deadlines = Deadlines {
            begin_until: before(limits.reserve.max(RESPONSE_MARGIN)),
            work_until: before(RESPONSE_MARGIN),
        };
        // A function that takes longer is killed.
        let done = tokio::time::timeout(limits.timeout, self.worker.run_batch(deliveries, deadlines)).await;
        for receipt in done.expect("it ends in time") {
            self.service.delete(&self.queue, &receipt.0).await.unwrap();
        }
    }
}

/// An event source that invokes a function.
struct Source {
    function: Function,
    server: Arc<Server>,
    records: Arc<Model>,
    limits: Limits,
    job: JobId,
    invocations: JoinSet<()>,
    /// Invocations so far.
    invoked: u64,
    /// How long it waits after it has received nothing.
    poll_interval: Duration,
    /// The most deliveries of a message that it has seen.
    receive_count: AtomicU32,
}

impl Source {
    /// With a job of three chunks in each of four lanes, and a message that no version can read in a fifth.
    async fn new(stopped_after: Duration, fault: Fault, limits: Limits) -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        let service = Arc::new(sqs::Model::new(clock.clone()));
        let queues = event_queues_on(service.clone(), Names::new("test", None), clock.clone());
        let (fault, calls) = (watch::Sender::new(fault), AtomicU64::new(0));
        let server = Arc::new(Server { fault, calls, rules: FakePlugin::default() });
        let records = Arc::new(Model::default());
        let table = Arc::new(InterceptedTable(records.clone(), server.clone()));
        let stores = Stores {
            chunks: Memory::new(clock.clone()).stores().chunks,
            queue: queues.queue(),
            jobs: jobs_on(table.clone(), clock.clone(), MONTH),
            settings: settings_on(table.clone()),
            ledger: ledger_on(Arc::new(Model::default()), clock.clone(), MONTH),
            breakers: breakers_on(table),
        };
        let index = Arc::new(Intercepted { index: FakeIndex::default(), interceptor: server.clone() });
        let settings = WorkerSettings {
            concurrency: 4,
            lease: Duration::from_secs(60),
            poll_interval: Duration::from_millis(500),
            shutdown_timeout: Duration::from_secs(20),
            stopped_after,
            keep_chunks: false,
        };
        let worker = Worker::new(
            stores.clone(),
            index,
            server.clone(),
            Arc::new(FakePlugin::default()),
            clock.clone(),
            settings,
        );
        let job = build::job(&*clock, SHOP);
        let chunks: Vec<String> = (0..CHUNKS).map(|id| format!("{{\"_id\":\"{id}\",\"v\":1}}\n")).collect();
        let chunks: Vec<_> = (0..)
            .zip(&chunks)
            .map(|(seq, text): (u16, _)| (seq % 4, Operation::AddDocuments, text.as_str()))
            .collect();
        build::publish(&stores, &job, &chunks).await;
        let foreign = Outgoing {
            body: "another program's".to_owned(),
            group: format!("{SHOP}#{FOREIGN}"),
            deduplication_id: "foreign".to_owned(),
        };
        let queue = Names::new("test", None).queue(SHOP);
        assert!(service.send(&queue, &foreign).await.unwrap());
        let function = Function { clock, service, queue, queues, stores, worker: Arc::new(worker) };
        let (invocations, receive_count) = (JoinSet::new(), AtomicU32::new(0));
        Self {
            function,
            server,
            records,
            limits,
            job: job.id,
            invocations,
            invoked: 0,
            poll_interval: SECOND,
            receive_count,
        }
    }

    /// Polls and invokes for a time, or until that is the case; the number of invocations.
    async fn invoke_until(&mut self, time: Duration, is_enough: impl AsyncFn(&Self) -> bool) -> usize {
        let Function { clock, service, queue, .. } = self.function.clone();
        let end = clock.now() + time;
        let mut invocations = 0;
        let request = ReceiveRequest {
            max: 10,
            visibility: QUEUE_VISIBILITY,
            wait_time: Duration::ZERO,
            attempt_id: String::new(),
        };
        while clock.now() < end && !is_enough(self).await {
            while let Some(ended) = self.invocations.try_join_next() {
                ended.unwrap();
            }
            let received = service.receive(&queue, &request).await.unwrap().unwrap();
            if received.is_empty() {
                clock.sleep(self.poll_interval).await;
                continue;
            }
            invocations += 1;
            self.invoked += 1;
            assert!(invocations < 20_000, "it is invoked all the time");
            let seen = received.iter().map(|incoming| incoming.receive_count).max();
            self.receive_count.fetch_max(seen.unwrap_or(0), Relaxed);
            self.invocations.spawn(self.function.clone().invoke(received, self.limits));
            tokio::task::yield_now().await;
        }
        invocations
    }

    async fn invoke_for(&mut self, time: Duration) -> usize {
        self.invoke_until(time, async |_| false).await
    }

    async fn snapshot(&self) -> JobSnapshot {
        self.function.stores.jobs.get(&self.job).await.unwrap().unwrap()
    }

    /// Number of dead letters. Each is counted.
    async fn dead_letters(&self) -> u64 {
        let dead_letters = self.function.stores.queue.dead_letters(SHOP).await.unwrap().len() as u64;
        assert_eq!(dead_letters, self.snapshot().await.counts.failed);
        dead_letters
    }

    /// Invokes for ten hours, in which there are few invocations.
    async fn ten_hours(&mut self, what: &str) {
        for hour in 0..10 {
            let invocations = self.invoke_for(HOUR).await;
            assert!((1..=100).contains(&invocations), "{what}: {invocations} in hour {hour}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ten_hours_of_each_outage() {
    for (fault, timeouts) in [
        // A function of a minute begins nothing, whatever the server does.
        (Fault::Refused(401), [900, 125, 121, 60].as_slice()),
        (Fault::Refused(403), &[900]),
        (Fault::Throttled(Duration::from_secs(600)), &[900, 125, 121]),
        (Fault::Silent(Duration::from_secs(30)), &[900, 125, 121]),
        (Fault::Silent(Duration::from_secs(2_000)), &[900, 125, 121]),
        (Fault::PluginStopped, &[900, 121]),
        // Fault of before: 10,903 deliveries in five seconds.
        (Fault::Claims(StoreErrorKind::Transient), &[900, 121]),
        (Fault::Claims(StoreErrorKind::Permanent), &[900, 121]),
    ] {
        for timeout in timeouts {
            let what = format!("{fault:?}, a function of {timeout} s");
            let mut source = Source::new(HOUR * 24, fault, limits(*timeout)).await;
            source.ten_hours(&what).await;
            assert_eq!(
                (source.dead_letters().await, source.snapshot().await.completed_chunks),
                (0, 0),
                "{what}"
            );
            if fault == Fault::PluginStopped {
                let breaker = source.function.stores.breakers.list(Some(SHOP)).await.unwrap().remove(0);
                assert_eq!(breaker.code, "plugin-failure");
                assert_eq!(breaker.message, "plug-in rules@1.0.0 was stopped: cannot (broken)");
            }

            // The operator acts, just after the function has found out that nothing has changed: on the server, or on a function
            // that has no time to begin.
            let tries = async |source: &Source| match timeout {
                60 => source.invoked,
                _ => source.server.calls.load(Relaxed),
            };
            let before = tries(&source).await;
            source.invoke_until(HOUR, async |source| tries(source).await > before).await;
            source.function.clock.sleep(Duration::from_millis(1)).await;
            source.server.fault.send_replace(Fault::None);
            source.limits = limits(*timeout.max(&121));
            let has_begun = async |source: &Source| source.snapshot().await.completed_chunks > 0;
            let gone = source.function.clock.now();
            source.invoke_until(Duration::from_secs(600), has_begun).await;
            let waited = source.function.clock.now().duration_since(gone).unsigned_abs();
            assert!(waited <= SECOND * 60, "{what}: the first chunk is written after {waited:?}");
            source.invoke_for(Duration::from_secs(180)).await;
            let job = source.snapshot().await;
            let expected = Counts { processed: CHUNKS.into(), ..Counts::default() };
            assert_eq!((job.status, job.counts), (JobStatus::Completed, expected), "{what}");
            assert_eq!(source.dead_letters().await, 0);
            let stores = &source.function.stores;
            assert!(stores.breakers.list(None).await.unwrap().is_empty(), "{what}");
            assert_eq!(stores.queue.unreadable(SHOP).await.unwrap().len(), 1);
            assert_eq!(stores.queue.depth(SHOP).await.unwrap(), 1, "the message that cannot be read stays");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_with_no_time_to_begin_is_not_invoked_at_once_again() {
    let timeout = Duration::from_secs(300);
    let mut source = Source::new(HOUR * 24, Fault::None, Limits { timeout, reserve: timeout }).await;
    source.ten_hours("no time").await;
    assert_eq!((source.dead_letters().await, source.snapshot().await.completed_chunks), (0, 0));
    source.limits = limits(300);
    source.invoke_for(Duration::from_secs(60)).await;
    let job = source.snapshot().await;
    assert_eq!((job.status, job.counts.processed), (JobStatus::Completed, CHUNKS.into()));
}

#[tokio::test(start_paused = true)]
async fn a_chunk_is_counted_before_sqs_takes_its_message_away() {
    for (fault, limits, reason) in [
        (Fault::Refused(401), limits(900), "stopped since"),
        // Its chunks are begun after all, and not done.
        (Fault::Silent(HOUR), limits(60), "within the time"),
    ] {
        let mut source = Source::new(HOUR * 24 * 365, fault, limits).await;
        source.poll_interval = SECOND * 10;
        source.invoke_for(HOUR * 24 * 5).await;
        let seen = source.receive_count.load(Relaxed);
        assert!((900..1_000).contains(&seen), "{fault:?}: {seen} deliveries");
        assert!(source.dead_letters().await > 0, "{fault:?}");
        let letters = source.function.stores.queue.dead_letters(SHOP).await.unwrap();
        assert!(letters.iter().all(|letter| letter.message.contains(reason)), "{letters:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_day_the_chunks_are_dead_letters_and_a_redrive_brings_them_back() {
    let mut source = Source::new(HOUR * 24, Fault::Refused(401), limits(900)).await;
    source.invoke_for(HOUR * 23).await;
    assert_eq!(source.dead_letters().await, 0);
    source.invoke_for(HOUR * 2).await;
    assert_eq!(source.dead_letters().await, u64::from(CHUNKS));
    let Function { stores, clock, .. } = source.function.clone();
    let letters = stores.queue.dead_letters(SHOP).await.unwrap();
    let is_named = |message: &str| message.contains("stopped since 2026-01-01") && message.contains("401");
    assert!(
        letters.iter().all(|letter| letter.code == "index-refused" && is_named(&letter.message)),
        "{letters:?}"
    );
    let job = source.snapshot().await;
    assert_eq!((job.status, job.completed_chunks), (JobStatus::Failed, CHUNKS));
    let lookup = Key::new(format!("JOB#{}", job.job.id), "RECORD");
    let locator = source.records.get(&lookup).await.unwrap().unwrap();
    let of_record = Key::new(locator.text("record_pk").unwrap(), locator.text("record_sk").unwrap());
    let record = source.records.get(&of_record).await.unwrap().unwrap();
    let messages =
        [&job.samples[0].message, job.failure_message().unwrap(), record.text("error_message").unwrap()];
    assert!(messages.into_iter().all(is_named), "{messages:?}");
    assert_eq!(record.text("error_code"), Some("index-refused"));

    source.server.fault.send_replace(Fault::None);
    // Dead letters are invisible for a while after they were listed.
    clock.sleep(Duration::from_secs(30)).await;
    let redriven = redrive(&stores, &clock, SHOP, &DeadLetterFilter::default()).await.unwrap();
    assert_eq!(redriven.sent.len(), CHUNKS as usize);
    for breaker in stores.breakers.list(Some(SHOP)).await.unwrap() {
        assert_eq!(resume(&stores, &clock, &breaker.scope, ClearedBy::Resume).await.unwrap(), Some(breaker));
    }
    source.invoke_for(Duration::from_secs(60)).await;
    let job = source.snapshot().await;
    let expected = Counts { processed: CHUNKS.into(), ..Counts::default() };
    assert_eq!((job.status, job.counts, job.failure_message()), (JobStatus::Completed, expected, None));
    assert_eq!(source.dead_letters().await, 0);
}
