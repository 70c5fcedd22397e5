//! Rows of the error tables of Marqo's API that are about requests as a whole.

use super::{Scenario, good, item, refused};
use marqo_stand_in::{Fault, FaultRule, Operation};
use serde_json::json;

/// Faults that pass, after which host processes all documents.
pub(crate) fn passing() -> Vec<Scenario> {
    let add = |fault: Fault, times: u64| FaultRule::new(fault).on(Operation::Add).next(times);
    let told = |rule: &str| refused(rule, "Something went wrong").on(Operation::Add).next(1);
    let on = |operation, fault| FaultRule::new(fault).on(operation).next(1);
    let item_of_get = Fault::Item { status: 503, applied: false };
    let scenario = |name, rule, fault| Scenario::passing(name, rule, fault);
    vec![
        scenario("409, the schema is locked", Some("schema-locked"), add(Fault::SchemaLocked, 2)),
        scenario("409, another request changed the schema", Some("schema-raced"), add(Fault::SchemaRaced, 1)),
        scenario("500 while a schema rolls out", Some("schema-not-converged"), add(Fault::SchemaNotConverged, 1)),
        scenario(
            "429 of a gateway with Retry-After",
            Some("gateway-throttled"),
            add(Fault::TooManyRequests { retry_after: Some(1) }, 1),
        ),
        scenario("429 without", Some("gateway-throttled"), add(Fault::TooManyRequests { retry_after: None }, 2)),
        scenario("429 of the server itself", Some("throttled"), add(Fault::Throttle { above: 0 }, 2)).old(),
        scenario("500 without a code", Some("internal"), add(Fault::Internal, 1)),
        scenario("500 in plain text", Some("uncaught"), add(Fault::Uncaught, 1)),
        scenario("500 with the code internal", Some("internal-coded"), told("internal-coded")),
        scenario("500, the backend is away", Some("backend-unreachable-old"), told("backend-unreachable-old")).old(),
        scenario("400, the backend is away", Some("backend-unreachable-new"), told("backend-unreachable-new")),
        scenario("503 of the server itself", Some("service-unavailable"), told("service-unavailable")),
        scenario("502 in HTML", Some("gateway-error"), add(Fault::Gateway { status: 502 }, 1)),
        scenario("503 in HTML", Some("gateway-error"), add(Fault::Gateway { status: 503 }, 1)),
        scenario("504 in HTML", Some("gateway-error"), add(Fault::Gateway { status: 504 }, 1)),
        scenario("413 in HTML", Some("gateway-error"), add(Fault::Gateway { status: 413 }, 1)),
        scenario("200 in HTML", Some("gateway-html"), add(Fault::Html, 1)),
        scenario("a truncated answer", Some("answer-cut"), add(Fault::Truncated, 1)),
        scenario("no answer", None, add(Fault::Hang, 1)),
        scenario("a reset before writing", None, add(Fault::ResetBefore, 1)),
        scenario("a reset after writing", None, add(Fault::ResetAfterApply, 1)),
        scenario("504 after writing", Some("gateway-error"), add(Fault::ErrorAfter { status: 504 }, 1)),
        scenario(
            "more documents than are allowed",
            Some("add-too-many"),
            refused(
                "add-too-many",
                "Number of docs in add documents request (3) exceeds limit of 2. If using the Python client, …",
            )
            .on(Operation::Add)
            .next(1),
        ),
        scenario("no call to get documents by POST", Some("get-batch-absent"), get_batch_absent()),
        scenario("500 while reading versions", Some("internal"), on(Operation::GetMany, Fault::Internal)),
        scenario("a document that cannot be read", Some("get-vespa-error"), on(Operation::GetMany, item_of_get)),
        scenario("a reset while reading versions", None, on(Operation::GetMany, Fault::ResetBefore)),
    ]
}

fn get_batch_absent() -> FaultRule {
    refused("get-batch-absent", "Method Not Allowed").on(Operation::GetMany).next(1)
}

/// Errors that stay: either no document causes them and the run stops, or exactly one does and fails.
pub(crate) fn refused_as_a_whole() -> Vec<Scenario> {
    let add = |rule, message| refused(rule, message).on(Operation::Add);
    let get = |rule, message| refused(rule, message).on(Operation::GetMany);
    let stops = |rule, message| Scenario::stopping(rule, add(rule, message));
    vec![
        stops("index-not-found", "Index shop not found"),
        stops("path-unknown", "Not Found"),
        stops("method-wrong", "Method Not Allowed"),
        stops("body-unknown-key", "useExistingTensors"),
        stops("body-wrong-type", "tensorFields"),
        stops(
            "tensor-fields-missing",
            "tensor_fields must be explicitly provided as a list for unstructured index.",
        ),
        stops(
            "tensor-fields-forbidden",
            "Cannot specify 'tensorFields' when adding documents to a structured index.",
        ),
        stops("tensor-field-id", "`_id` field cannot be a tensor field."),
        stops("mappings-bad", "Error validating mappings object. Reason: 'type' is a required property"),
        stops(
            "model-failed",
            "Problem vectorising query. Reason: Unable to load model=hf/e5-base-v2: the download failed",
        ),
        Scenario::stopping(
            "get-too-many",
            get(
                "get-too-many",
                "1000 documents were requested, which is more than the allowed limit of [10]",
            ),
        ),
        Scenario::stopping("get-without-body", get("get-without-body", "")).old(),
        Scenario::stopping(
            "item-out-of-space",
            FaultRule::new(Fault::Item { status: 507, applied: false }).on(Operation::Add),
        ),
        Scenario::of(
            "a body that the server cannot parse",
            vec![
                good(),
                item("body-not-json", json!({ "title": "Odd" })).told("").fails("unprocessable-entity"),
                item("document-not-object-batch", json!({ "title": "Odd" }))
                    .told("documents")
                    .fails("unprocessable-entity"),
                good(),
            ],
        ),
    ]
}
