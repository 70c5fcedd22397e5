//! Runs batches of products or documents through a plug-in: on a thread of the pool, with the search for the items that
//! the plug-in fails on, and with validated answers. The pipeline calls it through the traits of the plug-in's roles.

use crate::{
    Cost, Plugin, Pool,
    bisect::{Stop, bisect},
    contract_v0_1::Guest,
    fault::{Fault, FaultKind},
    instance::CallError,
    load::Loaded,
    output_validation::OutputValidator,
    pool::InstanceCache,
    raw::GuestResult,
    sandbox::Sandbox,
    untrusted_text::truncate,
};
use async_trait::async_trait;
use host_core::{
    model::{PluginManifest, Product},
    plugin::{
        BatchFailure, ProductOutcome, Refusal, Transform, TransformedDocument, Validate, Verdict, Version,
        VersionOrdering, VersionPair,
    },
};
use serde_json::{Map, Value};
use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};
use wasmtime::Store;

/// The most characters of a product's id that go into a message.
const ID_CHARACTERS: usize = 100;

/// A plug-in on the threads that it runs on.
#[derive(Clone, Debug)]
pub struct Runner {
    plugin: Plugin,
    pool: Arc<Pool>,
}

impl Runner {
    /// Has a plug-in run on a pool of threads.
    pub fn new(plugin: Plugin, pool: Arc<Pool>) -> Self {
        Self { plugin, pool }
    }

    /// The plug-in.
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// Transforms a batch like [`Transform::transform`] and measures the cost, including the search for failing
    /// products.
    pub async fn transform_at_cost(
        &self,
        products: Vec<Product>,
    ) -> Result<(Vec<(Product, ProductOutcome)>, Cost), BatchFailure> {
        self.run(move |instances, plugin| {
            let isolated = {
                let texts: Vec<&str> = products.iter().map(|product| product.text.as_str()).collect();
                let name = |item: usize| products[item].id.as_deref().map(|id| truncate(id, ID_CHARACTERS));
                Batch::new(instances, plugin, "product", texts.len()).isolate(
                    |guest, store, range| guest.transform(store, &texts[range]),
                    |validator, len, answer| validator.transformed(len, answer),
                    name,
                    |refusal| ProductOutcome { refused: Some(refusal), ..ProductOutcome::default() },
                )
            };
            match isolated {
                Ok((outcomes, cost)) => Ok((products.into_iter().zip(outcomes).collect(), cost)),
                Err(failed) => {
                    let (failure, before) = *failed;
                    Err(BatchFailure { before: products.into_iter().zip(before).collect(), ..failure })
                }
            }
        })
        .await
    }

    /// Judges a batch like [`Validate::validate`] and measures the cost.
    pub async fn validate_at_cost(
        &self,
        documents: Vec<TransformedDocument>,
    ) -> Result<(Vec<Verdict>, Cost), BatchFailure> {
        self.run(move |instances, plugin| {
            let isolated = Batch::new(instances, plugin, "document", documents.len()).isolate(
                |guest, store, range| guest.validate(store, &documents[range]),
                |validator, len, answer| validator.verdicts(len, answer),
                // No name: the report has the document's id beside the message.
                |_| None,
                |refusal| Verdict { refused: Some(refusal), ..Verdict::default() },
            );
            isolated.map_err(|failed| failed.0)
        })
        .await
    }

    /// Compares pairs like [`Version::compare`] and measures the cost.
    pub async fn compare_at_cost(
        &self,
        pairs: Vec<VersionPair>,
    ) -> Result<(Vec<Result<VersionOrdering, Refusal>>, Cost), BatchFailure> {
        self.run(move |instances, plugin| {
            let text = |fields: Map<String, Value>| Value::Object(fields).to_string();
            let pairs: Vec<(String, String)> =
                pairs.into_iter().map(|(incoming, stored)| (text(incoming), text(stored))).collect();
            let isolated = Batch::new(instances, plugin, "pair of versions", pairs.len()).isolate(
                |guest, store, range| guest.compare(store, &pairs[range]),
                |validator, len, answer| Ok(validator.orderings(len, answer)?.into_iter().map(Ok).collect()),
                |_| None,
                Err,
            );
            isolated.map_err(|failed| failed.0)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut InstanceCache, &Loaded) -> Result<T, BatchFailure> + Send + 'static,
    ) -> Result<T, BatchFailure> {
        let plugin = self.plugin.clone();
        let done = self.pool.run(move |instances| work(instances, plugin.loaded())).await;
        done.unwrap_or_else(|_panicked| {
            let message = "the host itself failed while it ran the plug-in; see the log";
            Err(self.plugin.loaded().failure("host-panic".to_owned(), message))
        })
    }
}

#[async_trait]
impl Transform for Runner {
    fn manifest(&self) -> &PluginManifest {
        self.plugin.manifest()
    }

    async fn transform(
        &self,
        products: Vec<Product>,
    ) -> Result<Vec<(Product, ProductOutcome)>, BatchFailure> {
        Ok(self.transform_at_cost(products).await?.0)
    }
}

#[async_trait]
impl Validate for Runner {
    fn manifest(&self) -> &PluginManifest {
        self.plugin.manifest()
    }

    async fn validate(&self, documents: Vec<TransformedDocument>) -> Result<Vec<Verdict>, BatchFailure> {
        Ok(self.validate_at_cost(documents).await?.0)
    }
}

#[async_trait]
impl Version for Runner {
    fn manifest(&self) -> &PluginManifest {
        self.plugin.manifest()
    }

    async fn compare(
        &self,
        pairs: Vec<VersionPair>,
    ) -> Result<Vec<Result<VersionOrdering, Refusal>>, BatchFailure> {
        Ok(self.compare_at_cost(pairs).await?.0)
    }
}

impl Cost {
    /// Adds the cost of a call: its time, its instructions (`None`: not counted), and the instance's memory after it.
    fn add(&mut self, time: Duration, (instructions, memory_bytes): (Option<u64>, usize)) {
        self.time += time;
        self.memory_bytes = self.memory_bytes.max(memory_bytes);
        if let Some(more) = instructions {
            self.instructions = Some(self.instructions.unwrap_or(0).saturating_add(more));
        }
    }
}

/// Why a batch failed, and the outcomes of the items before.
type Failed<T> = Box<(BatchFailure, Vec<T>)>;

/// A batch that a guest (an instance of the plug-in) works on.
struct Batch<'a> {
    instances: &'a mut InstanceCache,
    plugin: &'a Loaded,
    /// What messages call an item, such as `product`.
    item: &'static str,
    len: usize,
    cost: Cost,
}

impl<'a> Batch<'a> {
    fn new(instances: &'a mut InstanceCache, plugin: &'a Loaded, item: &'static str, len: usize) -> Self {
        Self { instances, plugin, item, len, cost: Cost::default() }
    }

    /// Runs the batch and, when the guest fails, parts of it until the failing items are found.
    ///
    /// `call` runs a range of the items, `check` validates the guest's answer, `name` returns what a message calls an
    /// item (`None`: it has no name), and `refused` makes the outcome of an item that the guest fails on.
    fn isolate<Raw, T>(
        mut self,
        call: impl Fn(&Guest, &mut Store<Sandbox>, Range<usize>) -> GuestResult<Raw>,
        check: impl Fn(&OutputValidator<'_>, usize, Raw) -> Result<Vec<T>, String>,
        name: impl Fn(usize) -> Option<String>,
        refused: impl Fn(Refusal) -> T,
    ) -> Result<(Vec<T>, Cost), Failed<T>> {
        let (plugin, item, len) = (self.plugin, self.item, self.len);
        let validator = OutputValidator { plugin: &plugin.reference, limits: &plugin.limits };
        let mut timeout = IsolationTimeout::new(plugin);
        let run = |range: Range<usize>| {
            timeout.check()?;
            let done = self.instances.with(plugin, |instance| {
                let (len, started) = (range.len(), Instant::now());
                let answer =
                    instance.call(&plugin.limits, &plugin.engine, |guest, store| call(guest, store, range));
                self.cost.add(started.elapsed(), instance.cost(&plugin.engine, &plugin.limits));
                check(&validator, len, answer?).map_err(|breach| {
                    CallError::Fault(Fault { log: instance.take_log(), ..Fault::contract(breach) })
                })
            });
            match done {
                Ok(Ok(outcomes)) => {
                    plugin.circuit_breaker.record_successes(outcomes.len(), &plugin.limits);
                    Ok(outcomes)
                }
                Ok(Err(CallError::Fault(fault))) => {
                    timeout.record(&fault);
                    Err(Stop::Fault(fault))
                }
                Ok(Err(CallError::Failure(failure))) => {
                    Err(Stop::Abort(plugin.failure(failure.code, &failure.message)))
                }
                Err(failure) => Err(Stop::Abort(failure)),
            }
        };
        let failed_alone = |position, fault: Fault| {
            plugin.circuit_breaker.record_failure(&fault, &plugin.reference, &plugin.limits);
            let item = name(position).map_or(format!("this {item}"), |name| format!("{item} {name}"));
            refused(fault.into_refusal(&plugin.reference, &item, &plugin.limits))
        };
        let outcomes = bisect(len, run, failed_alone).map_err(Box::new)?;
        Ok((outcomes, self.cost))
    }
}

/// Ends the search for failing items when it takes too long, or when the circuit breaker has stopped the plug-in
/// because too many items fail.
struct IsolationTimeout<'a> {
    plugin: &'a Loaded,
    /// The time of the first fault, and what the batch fails with if the search lasts too long, which describes the
    /// last fault; `None` as long as nothing failed.
    search: Option<(Instant, BatchFailure)>,
}

impl<'a> IsolationTimeout<'a> {
    fn new(plugin: &'a Loaded) -> Self {
        Self { plugin, search: None }
    }

    fn record(&mut self, fault: &Fault) {
        let limits = &self.plugin.limits;
        if self.search.is_none() && fault.kind == FaultKind::Timeout {
            tracing::warn!(
                "plug-in {} {}; looking for the failing items for up to {} ms",
                self.plugin.reference,
                fault.verb_phrase(limits),
                limits.isolation_ms
            );
        }
        let message = format!(
            "it repeatedly {}; the search for the failing items was given up after {} ms (plugin.limits.isolation_ms)",
            fault.verb_phrase(limits),
            limits.isolation_ms
        );
        let since = self.search.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        self.search = Some((since, self.plugin.failure(fault.code().to_owned(), &message)));
    }

    fn check(&self) -> Result<(), Stop<Fault, BatchFailure>> {
        if let Some(stopped) = self.plugin.circuit_breaker.stopped() {
            return Err(Stop::Abort(stopped));
        }
        let limit = Duration::from_millis(self.plugin.limits.isolation_ms);
        match &self.search {
            Some((since, failure)) if since.elapsed() > limit => Err(Stop::Abort(failure.clone())),
            _ => Ok(()),
        }
    }
}
