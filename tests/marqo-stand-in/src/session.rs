//! What the code that answers one request works with.

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

pub(crate) struct Session<'a> {
    pub(crate) version: Version,
    pub(crate) store: &'a mut Store,
    pub(crate) random: &'a mut Random,
    pub(crate) decision: &'a FaultDecision,
    pub(crate) origin: Origin,
    pub(crate) url: &'a str,
    /// The body, or why it is no JSON.
    pub(crate) parsed: Result<Value, String>,
    pub(crate) auto_create: bool,
    /// The fields that the index knew before the request waited for anything.
    pub(crate) known_at_arrival: Option<Known>,
    pub(crate) started: Instant,
}

impl Session<'_> {
    /// The body as JSON, as FastAPI reads it; it can be taken once.
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

    /// Makes the index if the stand-in was asked to.
    pub(crate) fn create_if_convenient(&mut self, name: &str) {
        if self.auto_create && !self.store.indexes.contains_key(name) {
            self.store.indexes.insert(name.to_owned(), Index::unstructured(name, self.version));
        }
    }

    pub(crate) fn milliseconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1_000.0
    }
}
