//! The stand-in's own API for tests, below `/_stand-in/`, beside the one that it has from Marqo: sets faults, and
//! returns the log of requests, the applied rules and the stored documents.

use crate::app::App;
use crate::fault::FaultRule;
use crate::http::Request;
use crate::reply::{Body, Reply};
use serde::Deserialize;
use serde_json::{Value, json};

/// The body of `PUT faults`: the rules by which faults happen, and the seed of their randomness.
#[derive(Deserialize)]
#[serde(untagged)]
enum Faults {
    /// A list of rules alone; the seed stays as it is.
    Rules(Vec<FaultRule>),
    Seeded {
        seed: u64,
        faults: Vec<FaultRule>,
    },
}

/// Answers a request; `path` is what follows `/_stand-in/`.
pub(crate) fn answer(app: &App, request: &Request, path: &str) -> Reply {
    let (what, rest) = path.split_once('/').unwrap_or((path, ""));
    let state = || app.state();
    match (request.method.as_str(), what, rest) {
        ("GET", "faults", "") => {
            let state = state();
            Reply::json(json!({ "seed": state.injector.seed(), "faults": state.injector.rules() }))
        }
        ("PUT", "faults", "") => set_faults(app, &request.body),
        ("GET", "log", "") => Reply::json(json!(state().log)),
        ("GET", "rules", "") => Reply::json(json!(state().met)),
        ("GET", "documents", index) => Reply::json(json!(state().store.documents(index))),
        ("GET", "history", index) => Reply::json(json!(state().store.history(index))),
        _ => Reply::of(404, Body::Json(json!({ "detail": "No such part of the stand-in" }))),
    }
}

fn set_faults(app: &App, body: &[u8]) -> Reply {
    let refused =
        |error: serde_json::Error| Reply::of(400, Body::Json(json!({ "detail": error.to_string() })));
    // The type of the JSON decides first, because the error of an untagged enum would not say which field is wrong.
    let parsed: Result<Faults, _> = match serde_json::from_slice(body) {
        Ok(Value::Array(rules)) => serde_json::from_value(Value::Array(rules)).map(Faults::Rules),
        Ok(other) => serde_json::from_value(other),
        Err(error) => Err(error),
    };
    match parsed {
        Ok(Faults::Rules(faults)) => app.set_faults(&faults, None),
        Ok(Faults::Seeded { seed, faults }) => app.set_faults(&faults, Some(seed)),
        Err(error) => return refused(error),
    }
    Reply::json(json!({ "acknowledged": true }))
}
