//! Random histories (sequences of calls) on virtual time. After every call the backend is compared with a model.

use super::{Backend, IndexBackend, index::as_stored};
use crate::build::{MINUTE, chunk, id, processed, removals, seal, write};
use host_core::{
    index::{Index, Outcome, StoredVersion, Write},
    model::{Counts, JobId, JobStatus},
    storage::{ChunkLease, ChunkOutcome, Claim, QuarantineReason, Receipt, Release},
};
use jiff::Timestamp;
use proptest::{
    prelude::*,
    sample::Index as Pick,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Debug,
    time::Duration,
};

/// Runs random histories against one backend, each with names of its own.
fn histories<B, S: Strategy<Value: Debug>>(with: fn() -> B, steps: S, check: impl AsyncFn(&B, S::Value)) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let backend = with();
    let run = |steps| {
        runtime.block_on(check(&backend, steps));
        Ok(())
    };
    let config = Config { failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&steps, run).unwrap();
}

/// Chunks of each job.
const CHUNKS: u32 = 3;

/// A call about a job. A chunk is named by its sequence number, and the lease of a call by its fencing token.
#[derive(Clone, Debug)]
enum JobStep {
    Claim(u32),
    Renew(u32, u64),
    /// The third value says whether attempts are reset.
    Release(u32, u64, bool),
    Complete(u32, u64, Box<ChunkOutcome>),
    /// With so many items that ingest skipped.
    Seal(u64),
    /// So many seconds pass.
    Pass(u64),
}

fn job_step() -> impl Strategy<Value = JobStep> {
    // Mostly the token of the first lease, so that many histories get to the end of the job.
    let (seq, token) = (0..CHUNKS, prop_oneof![5 => Just(1u64), 1 => 2u64..4]);
    let outcome = (0u64..5, 0u64..2, 0u64..2, 0u64..2).prop_map(|(written, failed, skipped, conflict)| {
        let mut outcome = processed(written);
        outcome.counts = Counts { failed, skipped, conflict, ..outcome.counts };
        outcome
    });
    prop_oneof![
        4 => seq.clone().prop_map(JobStep::Claim),
        1 => (seq.clone(), token.clone()).prop_map(|(seq, token)| JobStep::Renew(seq, token)),
        1 => (seq.clone(), token.clone(), any::<bool>()).prop_map(|(seq, token, reset)| JobStep::Release(seq, token, reset)),
        4 => (seq, token, outcome).prop_map(|(seq, token, outcome)| JobStep::Complete(seq, token, Box::new(outcome))),
        1 => (0u64..2).prop_map(JobStep::Seal),
        1 => (1u64..90).prop_map(JobStep::Pass),
    ]
}

fn lease(job_id: &JobId, seq: u32, fencing_token: u64) -> ChunkLease {
    let job_id = job_id.clone();
    ChunkLease { job_id, seq, fencing_token, attempts: 1, redrive_count: 0, first_error: None }
}

#[derive(Clone, Debug, Default)]
struct ChunkModel {
    /// That of the last lease.
    fencing_token: u64,
    attempts: u32,
    /// The end of the lease; `None` if it is released.
    held_until: Option<Timestamp>,
    /// The token and outcome of the completion.
    completed: Option<(u64, ChunkOutcome)>,
}

#[derive(Default)]
struct JobModel {
    chunks: Vec<ChunkModel>,
    /// What ingest refused; `None` until the job is sealed.
    refused: Option<Counts>,
    ended_at: Option<Timestamp>,
    /// Whether a chunk was claimed.
    started: bool,
}

impl JobModel {
    /// The counts of ingest and of all completed chunks, and the number of these.
    fn recount(&self) -> (Counts, u32) {
        let mut counts = self.refused.unwrap_or_default();
        let mut completed = 0;
        for (_, outcome) in self.chunks.iter().filter_map(|chunk| chunk.completed.as_ref()) {
            counts += outcome.counts;
            completed += 1;
        }
        (counts, completed)
    }

    /// Makes the call, checks its result, and does the same to the model.
    async fn step(&mut self, backend: &Backend, job: &JobId, step: JobStep) {
        let (jobs, now) = (&backend.stores.jobs, backend.clock.now());
        match step {
            JobStep::Claim(seq) => {
                let model = &mut self.chunks[seq as usize];
                let expected = match model {
                    ChunkModel { completed: Some(_), .. } => Claim::Done { quarantined: None },
                    ChunkModel { held_until: Some(until), .. } if *until > now => {
                        Claim::Held { until: *until }
                    }
                    _ => {
                        self.started = true;
                        (model.fencing_token, model.attempts) = (model.fencing_token + 1, model.attempts + 1);
                        model.held_until = Some(now + MINUTE);
                        Claim::Acquired(ChunkLease {
                            attempts: model.attempts,
                            ..lease(job, seq, model.fencing_token)
                        })
                    }
                };
                assert_eq!(jobs.claim(job, seq, MINUTE).await.unwrap(), expected);
            }
            JobStep::Renew(seq, token) => {
                let model = &mut self.chunks[seq as usize];
                let is_held =
                    model.completed.is_none() && model.held_until.is_some() && model.fencing_token == token;
                assert_eq!(jobs.renew(&lease(job, seq, token), MINUTE).await.unwrap(), is_held);
                if is_held {
                    model.held_until = Some(now + MINUTE);
                }
            }
            JobStep::Release(seq, token, resets) => {
                let model = &mut self.chunks[seq as usize];
                let is_own = model.completed.is_none() && model.fencing_token == token;
                let release = if resets { Release::ResetAttempts } else { Release::CountAttempt(None) };
                assert_eq!(jobs.release(&lease(job, seq, token), release).await.unwrap(), is_own);
                if is_own && model.held_until.take().is_some() && resets {
                    model.attempts = 0;
                }
            }
            JobStep::Complete(seq, token, outcome) => {
                let model = &mut self.chunks[seq as usize];
                let expected = match &model.completed {
                    Some((completed_by, _)) => *completed_by == token,
                    None => model.held_until.is_some() && model.fencing_token == token,
                };
                assert_eq!(
                    jobs.complete(&lease(job, seq, token), &outcome).await.unwrap().is_counted(),
                    expected
                );
                if expected {
                    model.completed.get_or_insert((token, *outcome));
                }
            }
            JobStep::Seal(skipped) => {
                let mut sealed = seal(CHUNKS);
                sealed.ingest_counts.skipped = skipped;
                jobs.seal(job, &sealed).await.unwrap();
                self.refused.get_or_insert(sealed.ingest_counts);
            }
            JobStep::Pass(seconds) => backend.clock.sleep(Duration::from_secs(seconds)).await,
        }
        if self.refused.is_some() && self.chunks.iter().all(|chunk| chunk.completed.is_some()) {
            self.ended_at.get_or_insert(now);
        }
    }
}

pub fn counters_equal_a_recount_and_a_job_ends_once(with: fn() -> Backend) {
    histories(with, prop::collection::vec(job_step(), 0..60), async |backend, steps| {
        let job = backend.job_with_chunks(CHUNKS).await.id;
        let mut model =
            JobModel { chunks: vec![ChunkModel::default(); CHUNKS as usize], ..JobModel::default() };
        for step in steps {
            model.step(backend, &job, step).await;
            let snapshot = backend.stores.jobs.get(&job).await.unwrap().unwrap();
            assert_eq!((snapshot.counts, snapshot.completed_chunks), model.recount());
            assert_eq!(snapshot.ended_at, model.ended_at);
            let status = match (model.ended_at, model.started) {
                (Some(_), _) => JobStatus::from_final_counts(&snapshot.counts),
                (None, true) => JobStatus::InProgress,
                (None, false) => JobStatus::Pending,
            };
            assert_eq!(snapshot.status, status);
        }
    });
}

/// A call of a queue. `Pick` chooses one of all receipts that were ever given; times are in seconds.
#[derive(Clone, Debug)]
enum QueueStep {
    /// A chunk of this lane.
    Send(u16),
    /// At most so many messages, with this visibility timeout.
    Receive(usize, u64),
    ChangeVisibility(Pick, u64),
    Release(Pick, u64),
    Ack(Pick),
    DeadLetter(Pick),
    /// So much time passes.
    Pass(u64),
}

fn queue_step() -> impl Strategy<Value = QueueStep> {
    let pick = any::<Pick>;
    prop_oneof![
        6 => (0u16..4).prop_map(QueueStep::Send),
        6 => (1usize..6, 1u64..60).prop_map(|(max, seconds)| QueueStep::Receive(max, seconds)),
        1 => (pick(), 0u64..60).prop_map(|(at, seconds)| QueueStep::ChangeVisibility(at, seconds)),
        2 => (pick(), 0u64..60).prop_map(|(at, seconds)| QueueStep::Release(at, seconds)),
        4 => pick().prop_map(QueueStep::Ack),
        1 => pick().prop_map(QueueStep::DeadLetter),
        3 => (1u64..40).prop_map(QueueStep::Pass),
    ]
}

struct MessageModel {
    /// Number of its chunk.
    seq: u32,
    hidden_until: Timestamp,
    deliveries: usize,
    /// Whether its last delivery was released.
    is_released: bool,
}

/// How long a receipt is valid, which the port leaves to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptLife {
    /// Until the message is delivered again.
    UntilRedelivery,
    /// Until the message is visible again or released.
    UntilVisible,
}

/// Runs a history against the queue of a new shop; returns the number of deliveries.
async fn queue_history(backend: &Backend, life: ReceiptLife, steps: Vec<QueueStep>) -> usize {
    let (queue, shop) = (&backend.stores.queue, backend.name("shop"));
    let job = backend.job(&shop);
    let mut lanes: BTreeMap<u16, VecDeque<MessageModel>> = BTreeMap::new();
    let (mut sent, mut dead) = (0, Vec::new());
    // All receipts ever given, with the lane and chunk number of the message, and the number of the delivery.
    let mut given: Vec<(Receipt, u16, u32, usize)> = Vec::new();
    for step in steps {
        let now = backend.clock.now();
        let pick = |at: Pick| (!given.is_empty()).then(|| at.get(&given).clone());
        let valid = |lanes: &BTreeMap<u16, VecDeque<MessageModel>>, picked: &(Receipt, u16, u32, usize)| {
            let first = lanes.get(&picked.1).and_then(|messages| messages.front());
            first.is_some_and(|first| {
                let is_in_flight = first.hidden_until > now && !first.is_released;
                (first.seq, first.deliveries) == (picked.2, picked.3)
                    && (is_in_flight || life == ReceiptLife::UntilRedelivery)
            })
        };
        match step {
            QueueStep::Send(lane) => {
                // Sent twice: the queue must keep one.
                for _ in 0..2 {
                    queue.send(&job, &chunk(&job.id, sent, lane), 0).await.unwrap();
                }
                let message =
                    MessageModel { seq: sent, hidden_until: now, deliveries: 0, is_released: false };
                lanes.entry(lane).or_default().push_back(message);
                sent += 1;
            }
            QueueStep::Receive(max, seconds) => {
                let visibility = Duration::from_secs(seconds);
                let mut first: Vec<_> = lanes
                    .iter_mut()
                    .filter_map(|(lane, messages)| Some((*lane, messages.front_mut()?)))
                    .collect();
                first.retain(|(_, message)| message.hidden_until <= now);
                first.sort_by_key(|(_, message)| message.seq);
                let deliveries = queue.receive(&shop, max, visibility).await.unwrap();
                assert_eq!(deliveries.len(), first.len().min(max));
                for (delivery, (lane, message)) in deliveries.into_iter().zip(first) {
                    assert_eq!((delivery.chunk.lane, delivery.chunk.seq), (lane, message.seq));
                    message.deliveries += 1;
                    message.hidden_until = now + visibility;
                    message.is_released = false;
                    assert_eq!(delivery.visible_until, message.hidden_until);
                    assert_eq!(delivery.receive_count as usize, message.deliveries);
                    given.push((delivery.receipt, lane, message.seq, message.deliveries));
                }
            }
            QueueStep::ChangeVisibility(at, seconds) | QueueStep::Release(at, seconds) => {
                let Some(picked) = pick(at) else { continue };
                let duration = Duration::from_secs(seconds);
                let expected = valid(&lanes, &picked);
                let is_release = matches!(step, QueueStep::Release(..));
                let done = match is_release {
                    false => queue.change_visibility(&picked.0, duration).await,
                    true => queue.release(&picked.0, duration).await,
                };
                assert_eq!(done.unwrap(), expected);
                if expected {
                    let first = &mut lanes.get_mut(&picked.1).unwrap()[0];
                    first.hidden_until = now + duration;
                    first.is_released |= is_release;
                }
            }
            QueueStep::Ack(at) => {
                let Some(picked) = pick(at) else { continue };
                let expected = valid(&lanes, &picked);
                assert_eq!(queue.ack(&picked.0).await.unwrap(), expected);
                if expected {
                    lanes.get_mut(&picked.1).unwrap().pop_front();
                }
            }
            QueueStep::DeadLetter(at) => {
                let Some(picked) = pick(at) else { continue };
                let expected = valid(&lanes, &picked);
                assert_eq!(
                    queue.dead_letter(&picked.0, &QuarantineReason::new("code", "message")).await.unwrap(),
                    expected
                );
                if expected {
                    dead.push(lanes.get_mut(&picked.1).unwrap().pop_front().unwrap().seq);
                }
            }
            QueueStep::Pass(seconds) => backend.clock.sleep(Duration::from_secs(seconds)).await,
        }
        let waiting: usize = lanes.values().map(VecDeque::len).sum();
        assert_eq!(queue.depth(&shop).await.unwrap(), waiting as u64);
    }
    let dead_letters = queue.dead_letters(&shop).await.unwrap();
    assert_eq!(dead_letters.iter().map(|dead_letter| dead_letter.chunk.seq).collect::<Vec<_>>(), dead);
    given.len()
}

pub fn the_queue_keeps_order_and_loses_nothing(with: fn() -> Backend, life: ReceiptLife) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let steps =
        vec![QueueStep::Send(0), QueueStep::Receive(1, 5), QueueStep::Pass(5), QueueStep::Receive(1, 5)];
    assert_eq!(runtime.block_on(queue_history(&with(), life, steps)), 2, "the model is not trivial");
    histories(with, prop::collection::vec(queue_step(), 0..80), async |backend, steps| {
        queue_history(backend, life, steps).await;
    });
}

/// A call of an index.
#[derive(Clone, Debug)]
enum IndexStep {
    /// Job, and fields of documents by id.
    Write(String, BTreeMap<String, Value>),
    Delete(Vec<String>),
}

/// Variants of a document, with values of all kinds and distinct ids.
fn variants() -> impl Strategy<Value = Vec<Value>> {
    let text = prop::sample::select(vec!["", "red", "1.50", "\u{0}", "ü\"'"]).prop_map(Value::from);
    let value = prop_oneof![text, (0..3).prop_map(Value::from), Just(Value::Null), Just(json!({"a": [1.5]}))];
    let attributes = prop_oneof![
        4 => prop::collection::btree_map("[a-c]", value.clone(), 0..4).prop_map(|map| json!(map)),
        1 => prop::collection::vec(("[a-c]", value.clone()), 0..4).prop_map(|pairs| {
            pairs.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
        }),
        1 => value.clone(),
    ];
    let fields = prop::collection::btree_map(
        prop::sample::select(vec!["sku", "price", "title"]).prop_map(str::to_owned),
        value,
        0..3,
    );
    let variant = (fields, prop::option::of(attributes), any::<bool>());
    prop::collection::btree_map(0u32..6, variant, 0..5).prop_shuffle_values()
}

/// Turns a map of variants by id into a list in any order.
trait ShuffleValues {
    fn prop_shuffle_values(self) -> impl Strategy<Value = Vec<Value>>;
}

/// Fields, attributes, and whether the id is a text.
type Variant = (BTreeMap<String, Value>, Option<Value>, bool);

impl<S: Strategy<Value = BTreeMap<u32, Variant>>> ShuffleValues for S {
    fn prop_shuffle_values(self) -> impl Strategy<Value = Vec<Value>> {
        let build = |(id, (mut fields, attributes, is_text)): (u32, Variant)| {
            fields.insert("id".to_owned(), if is_text { id.to_string().into() } else { id.into() });
            fields.extend(attributes.map(|attributes| ("attributes".to_owned(), attributes)));
            json!(fields)
        };
        self.prop_map(move |map| map.into_iter().map(build).collect::<Vec<_>>()).prop_shuffle()
    }
}

fn index_step() -> impl Strategy<Value = IndexStep> {
    let name = || prop::sample::select(vec!["1", "2", "3", "10", "a", "b"]).prop_map(str::to_owned);
    let fields = (0u64..3, prop::option::of(variants())).prop_map(|(title, variants)| {
        let mut fields = json!({"title": title.to_string(), "updated_at": title});
        fields
            .as_object_mut()
            .unwrap()
            .extend(variants.map(|variants| ("variants".to_owned(), variants.into())));
        fields
    });
    prop_oneof![
        4 => ("job-[12]", prop::collection::btree_map(name(), fields, 1..6))
            .prop_map(|(job, documents)| IndexStep::Write(job, documents)),
        1 => prop::collection::vec(name(), 0..3).prop_map(IndexStep::Delete),
    ]
}

pub fn an_index_equals_a_map(with: fn() -> IndexBackend) {
    histories(with, prop::collection::vec(index_step(), 1..12), async |backend, steps| {
        let index: &dyn Index = &*backend.index;
        let mut target = backend.target();
        // The last write of each document, and its job.
        let mut model: BTreeMap<String, (Write, String)> = BTreeMap::new();
        for step in steps {
            match step {
                IndexStep::Write(job, documents) => {
                    target.job_id = job.clone();
                    let writes: Vec<_> =
                        documents.into_iter().map(|(name, fields)| write(&name, fields)).collect();
                    let outcomes = index.write(&target, &writes).await.unwrap();
                    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done));
                    let entry = |write: Write| (write.document.id.to_string(), (write, job.clone()));
                    model.extend(writes.into_iter().map(entry));
                }
                IndexStep::Delete(names) => {
                    let ids: Vec<_> = names.iter().map(|name| id(name)).collect();
                    index.delete(&target, &removals(&ids)).await.unwrap();
                    model.retain(|name, _| !names.contains(name));
                }
            }
            let ids: Vec<_> = model.keys().map(|name| id(name)).collect();
            assert_eq!(index.list(&target, None, 100).await.unwrap(), ids);
            assert_eq!(index.count(&target).await.unwrap(), ids.len() as u64);
            let stored = index.stored(&target, &ids).await.unwrap();
            for ((document, stored), (write, job)) in ids.iter().zip(stored).zip(model.values()) {
                assert_eq!(index.get(&target, document).await.unwrap(), Some(as_stored(write, job)));
                let expected = StoredVersion {
                    version: write.version.clone(),
                    content_hash: Some(write.content_hash.clone()),
                    job_id: Some(job.clone()),
                    is_archived: false,
                };
                assert_eq!(stored, Some(expected));
            }
        }
    });
}
