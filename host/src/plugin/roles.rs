//! The roles of a plug-in, as the pipeline sees them: batches go to the pool, faults are isolated, answers are checked.

use crate::{
    model::{Manifest, Product},
    plugin::{
        BatchFailure, MadeDocument, Plugin, Pool, ProductOutcome, Refusal, Transform, Validate, Verdict,
        Version, VersionOrdering,
        answer::Called,
        bisect::{Stop, bisect},
        checks::Checker,
        contract_v0_1::Guest,
        fault::Fault,
        instance::CallError,
        load::Loaded,
        pool::Warm,
        sandbox::Sandbox,
    },
};
use async_trait::async_trait;
use serde_json::{Map, Value};
use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};
use wasmtime::Store;

/// A plug-in on the threads that it runs on.
#[derive(Clone, Debug)]
pub struct Runner {
    plugin: Plugin,
    pool: Arc<Pool>,
}

impl Runner {
    /// Puts a plug-in on a pool.
    pub fn new(plugin: Plugin, pool: Arc<Pool>) -> Self {
        Self { plugin, pool }
    }

    /// The plug-in.
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Warm, &Loaded) -> Result<T, BatchFailure> + Send + 'static,
    ) -> Result<T, BatchFailure> {
        let plugin = self.plugin.clone();
        let done = self.pool.run(move |warm| work(warm, plugin.loaded())).await;
        done.unwrap_or_else(|_lost| {
            let message = "the host itself failed while it ran the plug-in; see the log";
            Err(self.plugin.loaded().failure("host-panic".to_owned(), message))
        })
    }
}

#[async_trait]
impl Transform for Runner {
    fn manifest(&self) -> &Manifest {
        self.plugin.manifest()
    }

    async fn transform(
        &self,
        products: Vec<Product>,
    ) -> Result<Vec<(Product, ProductOutcome)>, BatchFailure> {
        self.run(move |warm, plugin| {
            let outcomes = {
                let texts: Vec<&str> = products.iter().map(|product| product.text.as_str()).collect();
                isolate(
                    warm,
                    plugin,
                    "product",
                    texts.len(),
                    |guest, store, range| guest.transform(store, &texts[range]),
                    |checker, len, said| checker.transformed(len, said),
                    |refusal| ProductOutcome { refused: Some(refusal), ..ProductOutcome::default() },
                )?
            };
            Ok(products.into_iter().zip(outcomes).collect())
        })
        .await
    }
}

#[async_trait]
impl Validate for Runner {
    fn manifest(&self) -> &Manifest {
        self.plugin.manifest()
    }

    async fn validate(&self, documents: Vec<MadeDocument>) -> Result<Vec<Verdict>, BatchFailure> {
        self.run(move |warm, plugin| {
            isolate(
                warm,
                plugin,
                "document",
                documents.len(),
                |guest, store, range| guest.validate(store, &documents[range]),
                |checker, len, said| checker.verdicts(len, said),
                |refusal| Verdict { refused: Some(refusal), ..Verdict::default() },
            )
        })
        .await
    }
}

#[async_trait]
impl Version for Runner {
    fn manifest(&self) -> &Manifest {
        self.plugin.manifest()
    }

    async fn compare(
        &self,
        pairs: Vec<(Map<String, Value>, Map<String, Value>)>,
    ) -> Result<Vec<Result<VersionOrdering, Refusal>>, BatchFailure> {
        self.run(move |warm, plugin| {
            let text = |fields: Map<String, Value>| Value::Object(fields).to_string();
            let pairs: Vec<(String, String)> =
                pairs.into_iter().map(|(incoming, stored)| (text(incoming), text(stored))).collect();
            isolate(
                warm,
                plugin,
                "pair of versions",
                pairs.len(),
                |guest, store, range| guest.compare(store, &pairs[range]),
                |checker, len, said| Ok(checker.orderings(len, said)?.into_iter().map(Ok).collect()),
                Err,
            )
        })
        .await
    }
}

/// Runs a batch and, when the guest misbehaves, parts of it until the guilty items stand alone.
fn isolate<Raw, T>(
    warm: &mut Warm,
    plugin: &Loaded,
    item: &str,
    len: usize,
    call: impl Fn(&Guest, &mut Store<Sandbox>, Range<usize>) -> Called<Raw>,
    check: impl Fn(&Checker<'_>, usize, Raw) -> Result<Vec<T>, String>,
    refused: impl Fn(Refusal) -> T,
) -> Result<Vec<T>, BatchFailure> {
    let checker = Checker { plugin: &plugin.reference, limits: &plugin.limits };
    let mut patience = Patience::new(plugin);
    let run = |range: Range<usize>| {
        patience.check(plugin)?;
        let done = warm.with(plugin, |instance| {
            let said = instance
                .call(&plugin.limits, &plugin.engine, |guest, store| call(guest, store, range.clone()))?;
            check(&checker, range.len(), said).map_err(|breach| {
                CallError::Fault(Fault { log: instance.take_log(), ..Fault::contract(breach) })
            })
        });
        match done {
            Ok(Ok(outcomes)) => Ok(outcomes),
            Ok(Err(CallError::Fault(fault))) => {
                patience.fault(&fault);
                Err(Stop::Fault(fault))
            }
            Ok(Err(CallError::Failure(said))) => Err(Stop::Abort(plugin.failure(said.code, &said.message))),
            Err(failure) => Err(Stop::Abort(failure)),
        }
    };
    let guilty = |_, fault: Fault| refused(fault.into_refusal(&plugin.reference, item, &plugin.limits));
    bisect(len, run, guilty)
}

/// Ends the search for guilty items when it takes too long.
struct Patience {
    limit: Duration,
    since: Option<Instant>,
    last: Option<(&'static str, String)>,
}

impl Patience {
    fn new(plugin: &Loaded) -> Self {
        Self { limit: Duration::from_millis(plugin.limits.isolation_ms), since: None, last: None }
    }

    fn fault(&mut self, fault: &Fault) {
        self.since.get_or_insert_with(Instant::now);
        self.last = Some((fault.code(), fault.what.clone()));
    }

    fn check(&self, plugin: &Loaded) -> Result<(), Stop<Fault, BatchFailure>> {
        match (&self.since, &self.last) {
            (Some(since), Some((code, what))) if since.elapsed() > self.limit => {
                let message = format!(
                    "it kept failing ({what}), and the search for the guilty items took longer than {} ms",
                    self.limit.as_millis()
                );
                Err(Stop::Abort(plugin.failure((*code).to_owned(), &message)))
            }
            _ => Ok(()),
        }
    }
}
