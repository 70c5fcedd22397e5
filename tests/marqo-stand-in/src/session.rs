//! Everything that the code for one request works with: the stored data, the options, the request's body and its
//! faults.

use crate::fault::FaultDecision;
use crate::http::Request;
use crate::index::{Index, Known};
use crate::options::Version;
use crate::random::Random;
use crate::reply::Refusal;
use crate::rules::*;
use crate::store::{Origin, Store};
use serde_json::Value;
use std::time::Instant;

/// The context of one request.
pub(crate) struct Session<'a> {
    pub(crate) version: Version,
    pub(crate) store: &'a mut Store,
    pub(crate) random: &'a mut Random,
    /// The faults (failures that a test asked for) that the request gets.
    pub(crate) decision: &'a FaultDecision,
    pub(crate) origin: Origin,
    /// The stand-in's own address.
    pub(crate) url: &'a str,
    /// The body, or why it is not JSON.
    pub(crate) parsed: Result<Value, String>,
    /// Whether an index is created when it is first written to.
    pub(crate) auto_create: bool,
    /// The fields that the index had seen when the request arrived; `None` if there was no such index.
    pub(crate) known_at_arrival: Option<Known>,
    pub(crate) started: Instant,
}

impl Session<'_> {
    /// The body as JSON, by the rules of FastAPI, Marqo's web framework. It can be taken once.
    pub(crate) fn body(&mut self, request: &Request) -> Result<Value, Refusal> {
        let content_type = request.header("content-type").unwrap_or("application/json");
        let is_json = content_type.split(';').next().is_some_and(|kind| kind.trim().ends_with("json"));
        if !is_json {
            let message = "value is not a valid dict";
            return Err(Refusal::shape(&CONTENT_TYPE_TEXT, &[], message, "type_error.dict"));
        }
        if request.body.is_empty() {
            return Err(Refusal::shape(&GET_WITHOUT_BODY, &[], "field required", "value_error.missing"));
        }
        let parsed = self.parsed.as_mut().map(std::mem::take);
        parsed.map_err(|error| Refusal::shape(&BODY_NOT_JSON, &[], error, "value_error.jsondecode"))
    }

    /// Checks the query parameter `device`.
    pub(crate) fn check_device(&self, request: &Request) -> Result<(), Refusal> {
        let Some(device) = request.parameter("device") else { return Ok(()) };
        let number = device.strip_prefix("cuda").map(|rest| rest.trim_start_matches(':'));
        let is_cuda = number.is_some_and(|digits| digits.chars().all(|digit| digit.is_ascii_digit()));
        match device.as_str() {
            "cpu" => Ok(()),
            _ if is_cuda => {
                let message = format!("Requested device: `{device}` is not available to Marqo.");
                Err(Refusal::new(&DEVICE_ABSENT, message))
            }
            _ => Err(Refusal::new(
                &DEVICE_BAD,
                format!("Given device `{device}` doesn't start with a known device type."),
            )),
        }
    }

    /// Creates an index that does not exist, if the option `auto_create` says so.
    pub(crate) fn auto_create_index(&mut self, name: &str) {
        if self.auto_create && !self.store.indexes.contains_key(name) {
            self.store.indexes.insert(name.to_owned(), Index::unstructured(name, self.version));
        }
    }

    /// Milliseconds since the request was begun.
    pub(crate) fn milliseconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1_000.0
    }
}
