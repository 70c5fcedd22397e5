//! One index: what it was made with, and what is in it.

use crate::options::Version;
use crate::vectors::{Facet, Split, SplitMethod};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) kind: Kind,
    /// As `GET …/settings` returns them.
    pub(crate) settings: Value,
    pub(crate) dimension: usize,
    pub(crate) normalises: bool,
    pub(crate) split: Split,
    pub(crate) collapse_field: Option<String>,
    /// Fields that an unstructured index has come to know.
    pub(crate) known: Known,
    /// By the id under which Vespa keeps them.
    pub(crate) documents: BTreeMap<String, Document>,
}

pub(crate) enum Kind {
    Unstructured,
    Structured(Schema),
}

/// The fields of a structured index.
#[derive(Default)]
pub(crate) struct Schema {
    pub(crate) fields: BTreeMap<String, Field>,
    pub(crate) tensor_fields: BTreeSet<String>,
}

pub(crate) struct Field {
    pub(crate) kind: FieldKind,
    /// The name of the kind as the index was made with.
    pub(crate) kind_name: String,
    /// Of the sub-fields, if it is a multimodal combination.
    pub(crate) weights: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldKind {
    Text,
    Bool,
    Number(NumberKind),
    Texts,
    Numbers(NumberKind),
    NumberMap(NumberKind),
    Multimodal,
    CustomVector,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberKind {
    Int,
    Long,
    Float,
    Double,
}

impl FieldKind {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let number = |name: &str| match name {
            "int" => Some(NumberKind::Int),
            "long" => Some(NumberKind::Long),
            "float" => Some(NumberKind::Float),
            "double" => Some(NumberKind::Double),
            _ => None,
        };
        let inner = |start: &str| name.strip_prefix(start).and_then(|rest| rest.strip_suffix('>'));
        match name {
            "text" | "image_pointer" | "video_pointer" | "audio_pointer" => Some(Self::Text),
            "bool" => Some(Self::Bool),
            "array<text>" => Some(Self::Texts),
            "multimodal_combination" => Some(Self::Multimodal),
            "custom_vector" => Some(Self::CustomVector),
            _ => number(name)
                .map(Self::Number)
                .or_else(|| inner("array<").and_then(number).map(Self::Numbers))
                .or_else(|| inner("map<text, ").and_then(number).map(Self::NumberMap)),
        }
    }
}

#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Counts the changes: each of them deploys the schema anew.
    pub(crate) generation: u64,
    pub(crate) strings: BTreeMap<String, TextField>,
    pub(crate) string_arrays: BTreeSet<String>,
    pub(crate) tensors: BTreeSet<String>,
}

#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct TextField {
    pub(crate) language: Option<String>,
    pub(crate) stemming: Option<String>,
}

/// A document as it is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    /// The `_id` it was sent with.
    pub(crate) id: String,
    /// Shared with the history.
    pub(crate) sent: Arc<Map<String, Value>>,
    /// As read back, without `_id`.
    pub(crate) fields: Map<String, Value>,
    pub(crate) facets: Vec<Facet>,
    /// Multimodal fields with their weights.
    pub(crate) multimodal: Map<String, Value>,
    pub(crate) missing: Option<Missing>,
}

impl Document {
    pub(crate) fn facets_present(&self) -> impl Iterator<Item = &Facet> {
        let is_missing =
            |facet: &&Facet| self.missing.as_ref().is_some_and(|missing| missing.concerns(&facet.field));
        self.facets.iter().filter(move |facet| !is_missing(facet))
    }
}

/// Facets that a document should have and does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) field: Option<String>,
    /// Until they are there; none: never.
    pub(crate) reads: Option<u32>,
}

impl Missing {
    pub(crate) fn concerns(&self, field: &str) -> bool {
        self.field.as_deref().is_none_or(|missing| missing == field)
    }
}

impl Index {
    pub(crate) fn unstructured(name: &str, version: Version) -> Self {
        Self::from_settings(name, version, &Map::new())
    }

    /// From settings that were checked.
    pub(crate) fn from_settings(name: &str, version: Version, given: &Map<String, Value>) -> Self {
        let is_structured = given.get("type").and_then(Value::as_str) == Some("structured");
        let mut settings = defaults(is_structured);
        for (key, value) in given.iter().filter(|(_, value)| !value.is_null()) {
            settings[key.as_str()] = value.clone();
        }
        let split = &settings["textPreprocessing"];
        let length = |key: &str, otherwise: u64| split[key].as_u64().unwrap_or(otherwise) as usize;
        Self {
            name: name.to_owned(),
            version,
            kind: if is_structured { Kind::Structured(schema(&settings)) } else { Kind::Unstructured },
            dimension: dimension(&settings),
            normalises: settings["normalizeEmbeddings"].as_bool().unwrap_or(true),
            split: Split {
                method: match split["splitMethod"].as_str() {
                    Some("word") => SplitMethod::Word,
                    Some("character") => SplitMethod::Character,
                    Some("passage") => SplitMethod::Passage,
                    _ => SplitMethod::Sentence,
                },
                length: length("splitLength", 2).max(1),
                overlap: length("splitOverlap", 0),
            },
            collapse_field: settings["collapseFields"][0]["name"].as_str().map(str::to_owned),
            settings,
            known: Known::default(),
            documents: BTreeMap::new(),
        }
    }

    pub(crate) fn vectors(&self) -> usize {
        self.documents.values().map(|document| document.facets_present().count()).sum()
    }
}

fn defaults(is_structured: bool) -> Value {
    let mut settings = json!({
        "type": if is_structured { "structured" } else { "unstructured" },
        "model": "hf/e5-base-v2",
        "normalizeEmbeddings": true,
        "textPreprocessing": { "splitLength": 2, "splitOverlap": 0, "splitMethod": "sentence" },
        "imagePreprocessing": {},
        "vectorNumericType": "float",
        "annParameters": {
            "spaceType": "prenormalized-angular",
            "parameters": { "efConstruction": 512, "m": 16 },
        },
    });
    if !is_structured {
        settings["treatUrlsAndPointersAsImages"] = json!(false);
        settings["treatUrlsAndPointersAsMedia"] = json!(false);
        settings["filterStringMaxLength"] = json!(50);
    }
    settings
}

fn schema(settings: &Value) -> Schema {
    let mut schema = Schema::default();
    for field in settings["allFields"].as_array().into_iter().flatten() {
        let (Some(name), Some(kind_name)) = (field["name"].as_str(), field["type"].as_str()) else {
            continue;
        };
        let Some(kind) = FieldKind::parse(kind_name) else { continue };
        let weights = field["dependentFields"].as_object().cloned().unwrap_or_default();
        schema.fields.insert(name.to_owned(), Field { kind, kind_name: kind_name.to_owned(), weights });
    }
    let tensor_fields = settings["tensorFields"].as_array().into_iter().flatten();
    schema.tensor_fields = tensor_fields.filter_map(Value::as_str).map(str::to_owned).collect();
    schema
}

/// Of the models by their names; 768, the default model's, for those that are not known here.
fn dimension(settings: &Value) -> usize {
    if let Some(stated) = settings["modelProperties"]["dimensions"].as_u64() {
        return stated as usize;
    }
    let model = settings["model"].as_str().unwrap_or_default();
    match model {
        "random/small" => 32,
        "random/medium" => 128,
        _ if model.contains("ViT-B") => 512,
        _ if model.contains("small") => 384,
        _ if model.contains("large") => 1_024,
        _ => 768,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_their_names() {
        assert_eq!(FieldKind::parse("array<float>"), Some(FieldKind::Numbers(NumberKind::Float)));
        assert_eq!(FieldKind::parse("map<text, int>"), Some(FieldKind::NumberMap(NumberKind::Int)));
        assert_eq!(FieldKind::parse("text"), Some(FieldKind::Text));
        assert_eq!(FieldKind::parse("date"), None);
    }

    #[test]
    fn an_index_without_settings_is_the_default_one() {
        let index = Index::unstructured("shop", Version::V2_25);
        assert_eq!((index.dimension, index.normalises), (768, true));
        assert_eq!(index.settings["filterStringMaxLength"], 50);
    }
}
