//! Marqo's adding and replacing of documents: `POST /indexes/{index}/documents`. Documents are checked one by one;
//! those that pass are sent to Vespa, the search engine that keeps them.

mod body;
mod collector;
mod fields;
mod mappings;
mod structured;
mod unstructured;

pub(crate) use body::{BATCH_LIMIT, missing, unknown_key};
pub(crate) use collector::check_id;
pub(crate) use fields::{map_entry, structured_value};

use crate::fault::Fault;
use crate::http::Request;
use crate::index::{Document, Index, Kind, Known, Missing};
use crate::python;
use crate::reply::{Refusal, Reply, counted};
use crate::rules::*;
use crate::session::Session;
use collector::{Collector, NotTaken};
use mappings::Plan;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The most fields of a kind (text, tensor, array of texts) in an unstructured index, Marqo's default.
const FIELD_LIMIT: usize = 100;

/// A document that passed all its own checks.
pub(crate) struct Prepared {
    pub(crate) document: Document,
    pub(crate) has_given_id: bool,
    /// A field that holds an array of numbers, which Marqo refuses after all other checks; `None` if there is none.
    pub(crate) number_array: Option<String>,
}

/// Why a document is not added.
pub(crate) enum AddRefusal {
    /// The document alone is refused.
    Item(&'static Rule, String),
    /// The whole request is refused.
    Batch(Refusal),
}

impl From<(&'static Rule, String)> for AddRefusal {
    fn from((rule, message): (&'static Rule, String)) -> Self {
        Self::Item(rule, message)
    }
}

impl From<Refusal> for AddRefusal {
    fn from(refusal: Refusal) -> Self {
        Self::Batch(refusal)
    }
}

/// Handles a request.
pub(crate) fn add(session: &mut Session, request: &Request, name: &str) -> Result<Reply, Refusal> {
    let mut body = body::parse(session.version, session.body(request)?)?;
    session.check_device(request)?;
    session.auto_create_index(name);
    let index = session.store.index(name)?;
    let plan = mappings::plan(index, &body)?;
    let mut known = session.known_at_arrival.take().unwrap_or_else(|| index.known.clone());
    let known_at_first = known.clone();
    let mut collector = Collector::default();
    for (place, document) in std::mem::take(&mut body.documents).into_iter().rev().enumerate() {
        let checked =
            collector.check(&document).and_then(|()| check_combined_fields(index, &plan, &document));
        match checked {
            Ok(()) => {}
            Err(NotTaken::Superseded) => continue,
            Err(NotTaken::Invalid(rule, message)) => {
                collector.refuse(place, None, rule, &message);
                continue;
            }
        }
        let Value::Object(members) = document else { continue };
        let given_id = members.get("_id").and_then(Value::as_str).map(str::to_owned);
        let id = given_id.clone().unwrap_or_else(|| session.random.uuid());
        match prepare(index, &plan, &mut known, &mut collector, id, members) {
            Ok(prepared) => collector.keep(place, prepared),
            Err(AddRefusal::Item(rule, message)) => {
                collector.refuse(place, given_id.as_deref(), rule, &message);
            }
            Err(AddRefusal::Batch(refusal)) => return Err(refusal),
        }
    }
    let mut good = collector.take_prepared();
    refuse_failed_downloads(session, &mut collector, &mut good);
    if body.reuses_tensors {
        note_reused_tensors(index, &mut collector, &good);
    }
    refuse_number_arrays(index, &mut collector, &mut good)?;
    grow_tensor_fields(index, &mut known, &good)?;
    if known != known_at_first {
        check_race(index, &known)?;
        known.generation += 1;
    }
    persist(session, name, known, &mut collector, good);

    let (has_errors, items, met) = collector.finish();
    let answer = json!({
        "errors": has_errors,
        "processingTimeMs": session.milliseconds(),
        "index_name": name,
        "items": items,
    });
    let mut reply = counted(Reply::json(answer), &items);
    reply.met.extend(met);
    Ok(reply)
}

/// Checks multimodal fields and the collapse field (by which search results are grouped), before Marqo uses the `_id`.
fn check_combined_fields(index: &Index, plan: &Plan, document: &Value) -> Result<(), NotTaken> {
    if matches!(index.kind, Kind::Structured(_)) {
        return Ok(());
    }
    let conflicting: Vec<&String> =
        plan.multimodal.keys().filter(|name| document.get(name).is_some()).collect();
    if let Some(first) = conflicting.first() {
        let message = format!("Document and mappings object have conflicting fields: {{'{first}'}}");
        return Err(NotTaken::Invalid(&MULTIMODAL_GIVEN, message));
    }
    for name in plan.sub_fields() {
        if let Some(value) = document.get(name).filter(|value| !value.is_string()) {
            let (shown, kind) = (python::text(value), python::type_name(value));
            let message = format!(
                "Multimodal subfields must be strings representing text or image pointer, received {name}:{shown}, which \
                 is of type {kind}"
            );
            return Err(NotTaken::Invalid(&MULTIMODAL_SUB_FIELD, message));
        }
    }
    let Some(name) = &index.collapse_field else { return Ok(()) };
    let message = match document.get(name) {
        None => format!(
            "Document missing required field '{name}'. All documents must contain this field for grouping."
        ),
        Some(Value::String(text)) if text.trim().is_empty() => {
            format!("Field '{name}' cannot be empty. Provide a non-empty string value for grouping.")
        }
        Some(Value::String(_)) => return Ok(()),
        Some(other) => {
            let (kind, shown) = (python::type_name(other), python::text(other));
            format!("Field '{name}' must be of type string. Got {kind}: {shown}")
        }
    };
    Err(NotTaken::Invalid(&COLLAPSE_FIELD, message))
}

/// Checks a document and makes of it what is kept.
fn prepare(
    index: &Index,
    plan: &Plan,
    known: &mut Known,
    collector: &mut Collector,
    id: String,
    sent: Map<String, Value>,
) -> Result<Prepared, AddRefusal> {
    let has_given_id = sent.contains_key("_id");
    if !has_given_id {
        collector.note(&ID_MADE);
    }
    let mut prepared =
        Prepared { document: Document { id, ..Document::default() }, has_given_id, number_array: None };
    match &index.kind {
        Kind::Unstructured => {
            unstructured::prepare(index, plan, known, collector, &sent, &mut prepared)?;
        }
        Kind::Structured(schema) => {
            structured::prepare(index, schema, plan, collector, &sent, &mut prepared)?;
        }
    }
    fields::combine(plan, &sent, &mut prepared.document);
    if !prepared.document.multimodal.is_empty() {
        collector.note(&MULTIMODAL_ABSENT);
    }
    prepared.document.sent = Arc::new(sent);
    Ok(prepared)
}

/// Refuses the documents for which a fault has the download of a media file fail.
fn refuse_failed_downloads(session: &Session, collector: &mut Collector, good: &mut Vec<Prepared>) {
    good.retain(|prepared| {
        let Some(Fault::Media { url, reason }) = session.decision.items.get(&prepared.document.id) else {
            return true;
        };
        let url = url.as_deref().unwrap_or("https://example.com/picture.jpg");
        let reason = reason.as_deref().unwrap_or("Operation timed out after 3000 milliseconds");
        let message = format!("Could not process the media file found at `{url}`. Reason: {reason}");
        collector.refuse_kept(prepared, &ITEM_MEDIA, &message);
        false
    });
}

/// Notes the rule about reused vectors. Nothing else has to be done: the vectors of the stand-in depend on the text
/// alone, so that a new one equals the one before.
fn note_reused_tensors(index: &Index, collector: &mut Collector, good: &[Prepared]) {
    let is_reused = |prepared: &&Prepared| {
        let stored = index.documents.get(&crate::ids::kept(&prepared.document.id));
        stored.filter(|_| prepared.has_given_id).is_some_and(|stored| {
            stored.facets_present().any(|facet| prepared.document.facets.contains(facet))
        })
    };
    for _ in good.iter().filter(is_reused) {
        collector.note(&TENSORS_REUSED);
    }
}

/// Refuses documents with arrays of numbers: in 2.13 with the whole request, later one by one.
fn refuse_number_arrays(
    index: &Index,
    collector: &mut Collector,
    good: &mut Vec<Prepared>,
) -> Result<(), Refusal> {
    if index.version.is_old() {
        let Some(field) = good.iter().find_map(|prepared| prepared.number_array.as_ref()) else {
            return Ok(());
        };
        let message = format!("Field content of {field} is of an unsupported type: list");
        return Err(Refusal::new(&NUMBER_ARRAY_BATCH, message));
    }
    good.retain(|prepared| {
        let Some(field) = &prepared.number_array else { return true };
        let id = &prepared.document.id;
        let message =
            format!("Error processing field '{field}' in document {id}: Unsupported type <class 'list'>");
        collector.refuse_kept(prepared, &NUMBER_ARRAY_ITEM, &message);
        false
    });
    Ok(())
}

/// Adds new tensor fields to those that an unstructured index knows.
fn grow_tensor_fields(index: &Index, known: &mut Known, good: &[Prepared]) -> Result<(), Refusal> {
    if matches!(index.kind, Kind::Structured(_)) {
        return Ok(());
    }
    for facet in good.iter().flat_map(|prepared| &prepared.document.facets) {
        let limit = known.tensors.len();
        if !known.tensors.contains(&facet.field) && limit >= FIELD_LIMIT {
            return Err(too_many(&TENSOR_FIELDS_TOO_MANY, &index.name, limit, &facet.field, "tensor"));
        }
        known.tensors.insert(facet.field.clone());
    }
    Ok(())
}

/// Refuses a request with new fields if another request has added fields since this one arrived: Marqo deploys a new
/// schema on the basis of the one that it read at the start.
fn check_race(index: &Index, known: &Known) -> Result<(), Refusal> {
    let has_changed = known.generation != index.known.generation;
    if has_changed { Err(raced(&index.name, index.known.generation)) } else { Ok(()) }
}

/// The refusal of a request because another one changed the schema.
pub(crate) fn raced(index: &str, generation: u64) -> Refusal {
    let message = format!(
        "Conflict in version detected while saving index {index}. Current version {generation}, new version {generation}."
    );
    Refusal::new(&SCHEMA_RACED, message)
}

/// The refusal of a request or document that would add too many fields of a kind.
pub(crate) fn too_many(rule: &'static Rule, index: &str, count: usize, field: &str, kind: &str) -> Refusal {
    let variable = kind.to_uppercase().replace(' ', "_");
    let message = format!(
        "Index {index} has {count} {kind} fields. Your request to add {field} as a {kind} field is rejected since it \
         exceeds the limit of {FIELD_LIMIT}. Please set a larger limit in MARQO_MAX_{variable}_FIELD_COUNT_UNSTRUCTURED \
         environment variable."
    );
    Refusal::new(rule, message)
}

/// Vespa's part: it writes the documents one by one and answers for each.
fn persist(session: &mut Session, name: &str, known: Known, collector: &mut Collector, good: Vec<Prepared>) {
    let index_version = session.version;
    if let Some(index) = session.store.indexes.get_mut(name) {
        // Another request may have added fields meanwhile.
        if known.generation > index.known.generation {
            index.known = known;
        }
    }
    for mut prepared in good {
        if let Some((field, character)) = fields::forbidden_character(&prepared.document.sent) {
            let message = format!(
                "The document contains invalid characters in the fields. Original error: Could not parse field '{field}' \
                 of type string: The string field value contains illegal code point 0x{:X} ",
                u32::from(character)
            );
            collector.answer(&prepared, Some((&CONTROL_CHARACTER, 400, &message)));
            continue;
        }
        let mut refused = None;
        match session.decision.items.get(&prepared.document.id) {
            Some(Fault::Item { status, applied }) => {
                refused = Some(crate::vespa::translated(index_version, *status));
                if !applied {
                    collector.answer(
                        &prepared,
                        refused.as_ref().map(|(rule, status, text)| (*rule, *status, text.as_str())),
                    );
                    continue;
                }
            }
            Some(Fault::Refused { rule, message }) => {
                if let Some(rule) = crate::fault::named(rule) {
                    collector.answer_as(&prepared, rule, message);
                }
                continue;
            }
            Some(Fault::Partial { field, reads }) => {
                collector.note(&FACETS_MISSING);
                prepared.document.missing = Some(Missing { field: field.clone(), reads: *reads });
            }
            _ => {}
        }
        let kept = crate::ids::kept(&prepared.document.id);
        let document = &prepared.document;
        if let Some(old) = session.store.indexes.get(name).and_then(|index| index.documents.get(&kept))
            && old.sent.keys().any(|field| !document.sent.contains_key(field))
        {
            collector.note(&REPLACED_WHOLE);
        }
        collector
            .answer(&prepared, refused.as_ref().map(|(rule, status, text)| (*rule, *status, text.as_str())));
        session.store.put(session.origin, name, &kept, prepared.document);
    }
}
