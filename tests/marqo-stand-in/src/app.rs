//! Handles a request to the stand-in for Marqo: decides which faults (failures that a test asked for) it gets, logs it,
//! and calls the operation that its method and path name.

use crate::exchange::{Exchange, outcomes};
use crate::fault::{Fault, FaultDecision, FaultInjector, FaultRule, named};
use crate::http::{Request, RequestOutcome, decoded};
use crate::index::{Index, Known};
use crate::operation::{Call, Operation, Route, route};
use crate::options::Options;
use crate::random::Random;
use crate::reply::{Body, Refusal, Reply};
use crate::rules::*;
use crate::session::Session;
use crate::store::{Origin, Store};
use crate::{add, admin, delete, indexes, patch, read, search};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// The stand-in without its socket.
pub(crate) struct App {
    options: Options,
    /// The stand-in's own address.
    pub(crate) url: String,
    started: Instant,
    state: Mutex<State>,
}

/// What requests change.
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) injector: FaultInjector,
    pub(crate) log: Vec<Exchange>,
    /// How often each rule of the table of Marqo's behaviour (`rules`) was applied, by its name.
    pub(crate) met: BTreeMap<String, u64>,
    random: Random,
    /// Requests in progress.
    pub(crate) running: BTreeMap<Operation, usize>,
}

impl App {
    pub(crate) fn new(options: Options, url: String) -> Self {
        let mut store = Store::new(&options.version_field);
        for name in &options.indexes {
            store.indexes.insert(name.clone(), Index::unstructured(name, options.version));
        }
        let state = State {
            store,
            injector: FaultInjector::new(options.seed, &options.faults),
            log: Vec::new(),
            met: BTreeMap::new(),
            random: Random::new(options.seed),
            running: BTreeMap::new(),
        };
        Self { options, url, started: Instant::now(), state: Mutex::new(state) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while holding the state")
    }

    /// Replaces the rules for faults; the seed stays as it is if `None`.
    pub(crate) fn set_faults(&self, faults: &[FaultRule], seed: Option<u64>) {
        let mut state = self.state();
        let seed = seed.unwrap_or_else(|| state.injector.seed());
        state.injector = FaultInjector::new(seed, faults);
    }

    /// Handles a request.
    pub(crate) async fn answer(&self, request: Request) -> RequestOutcome {
        let path = decoded(&request.path);
        if let Some(rest) = path.strip_prefix("/_stand-in/") {
            return RequestOutcome::Answer(admin::answer(self, &request, rest).into_response());
        }
        let call = match route(self.options.version, &request.method, &path) {
            Route::Call(call) => call,
            Route::WrongPath => {
                return self.refuse_unknown(Reply::detail(404, "Not Found", path_rule(&path)));
            }
            Route::WrongMethod { allowed } => {
                let rule = if path.ends_with("/get-batch") { &GET_BATCH_ABSENT } else { &METHOD_WRONG };
                return self
                    .refuse_unknown(Reply::detail(405, "Method Not Allowed", rule).header("allow", allowed));
            }
        };
        let parsed = serde_json::from_slice(&request.body).map_err(|error| error.to_string());
        let ids = ids_of(&call, parsed.as_ref().unwrap_or(&Value::Null));
        let (number, decision, early_reply) = self.arrive(&request, &call, ids);
        let known = self.state().store.indexes.get(&call.index).map(|index| index.known.clone());
        if let Some(reply) = early_reply {
            return self.finish(number, &call, &request, reply);
        }
        let latency =
            if call.operation == Operation::Add { self.options.latency } else { Default::default() };
        let delay = decision.delay + latency;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if let Some(fault) = &decision.before {
            return self.fail(number, &call, &request, fault);
        }
        let reply = self.apply(number, &call, &request, parsed, &decision, known);
        match &decision.after {
            None => self.finish(number, &call, &request, reply),
            Some(fault) => self.fail_after(number, &call, &request, fault, reply),
        }
    }

    /// Logs the request and decides its faults. Returns the request's number in the log, the faults, and the reply if
    /// the request is refused at once (a wrong key, too many requests in progress).
    fn arrive(
        &self,
        request: &Request,
        call: &Call,
        ids: Vec<String>,
    ) -> (u64, FaultDecision, Option<Reply>) {
        let mut state = self.state();
        let number = state.log.len() as u64 + 1;
        let running = state.running.entry(call.operation).or_insert(0);
        *running += 1;
        let running = *running;
        let mut decision = FaultDecision::default();
        let mut early_reply = None;
        if self.options.api_key.is_some() && self.options.api_key.as_deref() != request.header("x-api-key") {
            early_reply =
                Some(Reply::of(401, Body::Json(json!({ "message": "Unauthorized" }))).met(&KEY_WRONG));
        } else if let Some(limit) = self.concurrency_limit(call.operation).filter(|limit| running > *limit) {
            early_reply = Some(throttled(call.operation, limit).into());
        } else {
            decision = state.injector.decide(call.operation, &ids, running);
        }
        state.log.push(Exchange {
            number,
            operation: call.operation,
            index: call.index.clone(),
            ids,
            status: None,
            items: Vec::new(),
            fault: None,
            arrived_ms: self.started.elapsed().as_secs_f64() * 1_000.0,
            took_ms: None,
        });
        (number, decision, early_reply)
    }

    /// How many requests of an operation may run at once: the defaults of old versions of Marqo; `None` without a
    /// limit.
    fn concurrency_limit(&self, operation: Operation) -> Option<usize> {
        if !self.options.version.is_old() || !self.options.throttled {
            return None;
        }
        match operation {
            Operation::Add | Operation::Search => Some(8),
            Operation::Patch => Some(100),
            _ => None,
        }
    }

    /// Executes the request and returns Marqo's reply to it.
    fn apply(
        &self,
        number: u64,
        call: &Call,
        request: &Request,
        parsed: Result<Value, String>,
        decision: &FaultDecision,
        known_at_arrival: Option<Known>,
    ) -> Reply {
        let mut state = self.state();
        let State { store, random, .. } = &mut *state;
        let mut session = Session {
            version: self.options.version,
            store,
            random,
            decision,
            origin: Origin { request: number, operation: call.operation },
            url: &self.url,
            parsed,
            auto_create: self.options.auto_create,
            known_at_arrival,
            started: Instant::now(),
        };
        let reply = execute(&mut session, call, request).unwrap_or_else(Reply::from);
        if self.options.version.is_old() { reply } else { reply.with_root_places() }
    }

    /// Fails without executing the request.
    fn fail(&self, number: u64, call: &Call, request: &Request, fault: &Fault) -> RequestOutcome {
        let reply = match fault {
            Fault::Hang | Fault::ResetBefore => {
                self.end(number, call, None, Some(fault), Vec::new(), &[]);
                return if *fault == Fault::Hang { RequestOutcome::Hang } else { RequestOutcome::Reset };
            }
            Fault::SchemaLocked => {
                Refusal::new(&SCHEMA_LOCKED, "Your indexes are being updated. Please try again shortly.")
                    .into()
            }
            Fault::SchemaRaced => add::raced(&call.index, 2).into(),
            Fault::SchemaNotConverged => {
                Refusal::new(&SCHEMA_NOT_CONVERGED, "Vespa application has not converged").into()
            }
            Fault::TooManyRequests { retry_after } => {
                let reply = Reply::from(Refusal::new(&GATEWAY_THROTTLED, "Too Many Requests"));
                match retry_after {
                    Some(seconds) => reply.header("retry-after", seconds),
                    None => reply,
                }
            }
            Fault::Throttle { above } => throttled(call.operation, *above).into(),
            Fault::Internal => Refusal::new(&INTERNAL, "Vespa returned an error").into(),
            Fault::Uncaught => Reply::of(500, Body::Text("Internal Server Error".to_owned())).met(&UNCAUGHT),
            Fault::Gateway { status } => gateway(*status),
            Fault::Refused { rule, message } => match named(rule) {
                Some(rule) if self.options.version.is_old() => Reply::refused(rule, message),
                Some(rule) => Reply::refused(rule, message).with_root_places(),
                None => Refusal::new(&INTERNAL, format!("The table has no rule {rule}")).into(),
            },
            Fault::Html => Reply::page(200, "Welcome").met(&GATEWAY_HTML),
            _ => Reply::from(Refusal::new(&INTERNAL, "This fault takes no request's place")),
        };
        self.set_fault(number, fault);
        self.finish(number, call, request, reply)
    }

    /// Fails after the request was executed; `reply` is what it would have got.
    fn fail_after(
        &self,
        number: u64,
        call: &Call,
        request: &Request,
        fault: &Fault,
        reply: Reply,
    ) -> RequestOutcome {
        let reply = match (fault, reply) {
            (Fault::ResetAfterApply, reply) => {
                self.end(number, call, None, Some(fault), Vec::new(), &reply.met);
                return RequestOutcome::Reset;
            }
            (Fault::Truncated, Reply { status, body: Body::Json(value), headers, mut met }) => {
                met.push(&ANSWER_CUT);
                Reply { status, body: Body::Cut(value), headers, met }
            }
            (Fault::ErrorAfter { status: 500 }, _) => {
                Refusal::new(&INTERNAL, "Vespa returned an error").into()
            }
            (Fault::ErrorAfter { status }, _) => gateway(*status),
            (_, reply) => reply,
        };
        self.set_fault(number, fault);
        self.finish(number, call, request, reply)
    }

    fn set_fault(&self, number: u64, fault: &Fault) {
        if let Some(entry) = self.state().log.get_mut(number as usize - 1) {
            entry.fault = Some(fault.clone());
        }
    }

    /// Adds what Marqo adds to every reply, logs the reply and sends it.
    fn finish(&self, number: u64, call: &Call, request: &Request, mut reply: Reply) -> RequestOutcome {
        let known_keys = ["device", "telemetry", "expose_facets"];
        let keys = request.query.split('&').filter_map(|pair| pair.split('=').next());
        if keys.into_iter().any(|key| !key.is_empty() && !known_keys.contains(&key)) {
            reply.met.push(&QUERY_IGNORED);
        }
        if !request.body.is_empty() && request.header("content-type").is_none() {
            reply.met.push(&CONTENT_TYPE_ABSENT);
        }
        let items = if let Body::Json(value) = &mut reply.body {
            if request.flag("telemetry") && value.is_object() {
                value["telemetry"] = json!({ "timesMs": {} });
                reply.met.push(&TELEMETRY);
            }
            outcomes(value)
        } else {
            Vec::new()
        };
        self.end(number, call, Some(reply.status), None, items, &reply.met);
        RequestOutcome::Answer(reply.into_response())
    }

    /// Logs the end of a request; `status` is `None` if the client gets no answer.
    fn end(
        &self,
        number: u64,
        call: &Call,
        status: Option<u16>,
        fault: Option<&Fault>,
        items: Vec<crate::ItemOutcome>,
        met: &[&'static Rule],
    ) {
        let now = self.started.elapsed().as_secs_f64() * 1_000.0;
        let mut state = self.state();
        state.count(met);
        if let Some(running) = state.running.get_mut(&call.operation) {
            *running -= 1;
        }
        if let Some(entry) = state.log.get_mut(number as usize - 1) {
            entry.status = status;
            entry.items = items;
            entry.fault = fault.cloned().or(entry.fault.take());
            entry.took_ms = Some(now - entry.arrived_ms);
        }
    }

    /// Refuses a request that is not a call of Marqo's API; it is not logged.
    fn refuse_unknown(&self, reply: Reply) -> RequestOutcome {
        self.state().count(&reply.met);
        RequestOutcome::Answer(reply.into_response())
    }
}

impl State {
    /// Counts the rules that a reply applied.
    fn count(&mut self, met: &[&'static Rule]) {
        for rule in met {
            *self.met.entry(rule.name()).or_insert(0) += 1;
        }
    }
}

/// Executes a request.
fn execute(session: &mut Session, call: &Call, request: &Request) -> Result<Reply, Refusal> {
    let index = &call.index;
    match call.operation {
        Operation::Root | Operation::Other => Ok(indexes::root(session)),
        Operation::Health => indexes::health(session, index),
        Operation::ListIndexes => Ok(indexes::list(session)),
        Operation::CreateIndex => indexes::create(session, request, index),
        Operation::DeleteIndex => indexes::delete(session, index),
        Operation::Settings => indexes::settings(session, index),
        Operation::Stats => indexes::stats(session, index),
        Operation::Add => add::add(session, request, index),
        Operation::Patch => patch::patch(session, request, index),
        Operation::GetOne => read::one(session, request, index, &call.id),
        Operation::GetMany => read::many(session, request, index),
        Operation::Delete => delete::delete(session, request, index),
        Operation::Search => search::search(session, request, index),
        Operation::CloudList => Ok(indexes::list_of_cloud(session)),
        Operation::CloudStatus => indexes::status_of_cloud(session, index),
    }
}

/// The rule by which Marqo does not know a path. One with too many segments below `documents` is an id with a slash in
/// it.
fn path_rule(path: &str) -> &'static Rule {
    match path.split_once("/documents/") {
        Some((_, rest)) if rest.contains('/') => &GET_SLASH,
        _ => &PATH_UNKNOWN,
    }
}

/// The refusal of a request because too many of its kind are in progress.
fn throttled(operation: Operation, limit: usize) -> Refusal {
    let kind = match operation {
        Operation::Patch => "PARTIAL_UPDATE",
        Operation::Search => "SEARCH",
        _ => "INDEX",
    };
    let message = format!(
        "Throttled because maximum thread count ({limit}) for request type '{kind}' has been exceeded. Try your request \
         again later."
    );
    Refusal::new(&THROTTLED, message)
}

/// A page of a gateway in front of Marqo.
fn gateway(status: u16) -> Reply {
    let title = match status {
        413 => "413 Request Entity Too Large".to_owned(),
        502 => "502 Bad Gateway".to_owned(),
        503 => "503 Service Temporarily Unavailable".to_owned(),
        504 => "504 Gateway Time-out".to_owned(),
        other => format!("{other} Error"),
    };
    Reply::page(status, &title).met(&GATEWAY_ERROR)
}

/// The document ids that a request names.
fn ids_of(call: &Call, body: &Value) -> Vec<String> {
    let texts = |values: &Value| {
        let values = values.as_array().into_iter().flatten();
        values.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    match call.operation {
        Operation::Add | Operation::Patch => {
            let documents = body["documents"].as_array().into_iter().flatten();
            documents.filter_map(|document| document["_id"].as_str()).map(str::to_owned).collect()
        }
        Operation::GetOne => vec![call.id.clone()],
        Operation::GetMany if body.is_object() => texts(&body["documentIds"]),
        Operation::GetMany | Operation::Delete => texts(body),
        _ => Vec::new(),
    }
}
