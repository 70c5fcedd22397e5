//! The keys `mappings` and `tensorFields` of a request to add documents: which fields get which kind of vector.

use super::body::AddBody;
use crate::index::{Index, Kind, TextField};
use crate::options::Version;
use crate::reply::Refusal;
use crate::rules::*;
use crate::{names, python};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What the request, or the schema of a structured index, says about the vectors of documents.
#[derive(Default)]
pub(crate) struct Plan {
    /// Fields that get vectors.
    pub(crate) tensor_fields: BTreeSet<String>,
    /// Fields whose vectors the client sends.
    pub(crate) custom_vectors: BTreeSet<String>,
    /// Multimodal fields, each of which combines other fields (its sub-fields) into one vector, and the weights of
    /// these.
    pub(crate) multimodal: BTreeMap<String, Map<String, Value>>,
    /// How the texts of some fields are analysed.
    pub(crate) text_fields: BTreeMap<String, TextField>,
}

impl Plan {
    /// Whether a field is a sub-field of a multimodal field.
    pub(crate) fn has_sub_field(&self, name: &str) -> bool {
        self.multimodal.values().any(|weights| weights.contains_key(name))
    }

    /// The sub-fields of all multimodal fields.
    pub(crate) fn sub_fields(&self) -> impl Iterator<Item = &String> {
        self.multimodal.values().flat_map(|weights| weights.keys())
    }
}

/// Checks what a request says and returns the plan.
pub(crate) fn plan(index: &Index, body: &AddBody) -> Result<Plan, Refusal> {
    let mut plan = Plan::default();
    match &index.kind {
        Kind::Unstructured => {
            let Some(tensor_fields) = &body.tensor_fields else {
                let message = "tensor_fields must be explicitly provided as a list for unstructured index. If you don't \
                               want to vectorise any field, please provide an empty list [].";
                return Err(Refusal::new(&TENSOR_FIELDS_MISSING, message));
            };
            if tensor_fields.iter().any(|name| name == "_id") {
                return Err(Refusal::new(&TENSOR_FIELD_ID, "`_id` field cannot be a tensor field."));
            }
            plan.tensor_fields = tensor_fields.iter().cloned().collect();
        }
        Kind::Structured(schema) => {
            if body.tensor_fields.is_some() {
                let message = "Cannot specify 'tensorFields' when adding documents to a structured index. \
                               'tensorFields' must be defined in structured index schema at index creation time";
                return Err(Refusal::new(&TENSOR_FIELDS_FORBIDDEN, message));
            }
            plan.tensor_fields = schema.tensor_fields.clone();
            for (name, field) in &schema.fields {
                match field.kind {
                    crate::index::FieldKind::CustomVector => {
                        plan.custom_vectors.insert(name.clone());
                    }
                    crate::index::FieldKind::Multimodal => {
                        plan.multimodal.insert(name.clone(), field.weights.clone());
                    }
                    _ => {}
                }
            }
        }
    }
    let is_structured = matches!(index.kind, Kind::Structured(_));
    for (name, mapping) in &body.mappings {
        check_mapping(index.version, name, mapping).map_err(|reason| bad_mappings(&reason))?;
        match mapping["type"].as_str() {
            Some("custom_vector") if !is_structured => {
                plan.custom_vectors.insert(name.clone());
            }
            // In a structured index a request may change weights but not add fields.
            Some("multimodal_combination") if !is_structured || plan.multimodal.contains_key(name) => {
                let weights = mapping["weights"].as_object().cloned().unwrap_or_default();
                plan.multimodal.insert(name.clone(), weights);
            }
            Some("text_field") => {
                let text = |key: &str| mapping[key].as_str().map(str::to_owned);
                let field = TextField { language: text("language"), stemming: text("stemming") };
                plan.text_fields.insert(name.clone(), field);
            }
            _ => {}
        }
    }
    Ok(plan)
}

fn bad_mappings(reason: &str) -> Refusal {
    Refusal::new(&MAPPINGS_BAD, format!("Error validating mappings object. Reason: {reason}"))
}

/// Says what is wrong with the mapping of a field.
fn check_mapping(version: Version, name: &str, mapping: &Value) -> Result<(), String> {
    let Some(members) = mapping.as_object() else {
        return Err(format!("{} is not of type 'object'", python::repr(mapping)));
    };
    let allowed: &[&str] = match mapping["type"].as_str() {
        Some("custom_vector") => &["type"],
        Some("multimodal_combination") => &["type", "weights"],
        Some("text_field") if !version.is_old() => &["type", "language", "stemming"],
        _ => return Err(format!("{} is not a valid type", python::repr(&mapping["type"]))),
    };
    if let Some(key) = members.keys().find(|key| !allowed.contains(&key.as_str())) {
        return Err(format!("Additional properties are not allowed ('{key}' was unexpected)"));
    }
    match mapping["type"].as_str() {
        Some("multimodal_combination") => {
            names::check_unstructured(name).map_err(|(_, reason)| reason)?;
            let Some(weights) = mapping["weights"].as_object() else {
                return Err("'weights' is a required property".to_owned());
            };
            match weights.values().find(|weight| !weight.is_number()) {
                Some(weight) => Err(format!("{} is not of type 'number'", python::repr(weight))),
                None if weights.is_empty() => Err("{} does not have enough properties".to_owned()),
                None => Ok(()),
            }
        }
        Some("text_field") => {
            let is_text = |key: &str| mapping[key].is_string();
            let stemmings = ["none", "best", "shortest", "multiple"];
            match mapping["stemming"].as_str() {
                Some(stemming) if !stemmings.contains(&stemming) => {
                    Err(format!("'{stemming}' is not one of {stemmings:?}"))
                }
                _ if is_text("language") || is_text("stemming") => Ok(()),
                _ => Err("one of 'language' and 'stemming' is required".to_owned()),
            }
        }
        _ => Ok(()),
    }
}
