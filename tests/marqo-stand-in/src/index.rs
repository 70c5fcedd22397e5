//! One index of the stand-in for Marqo: its settings, the fields that it knows, and its documents.

use crate::options::Version;
use crate::vectors::{Facet, Split, SplitMethod};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An index.
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) kind: Kind,
    /// As `GET …/settings` returns them.
    pub(crate) settings: Value,
    /// Length of its vectors.
    pub(crate) dimension: usize,
    /// Whether vectors are scaled to the length 1.
    pub(crate) normalises: bool,
    /// How texts are split into parts, each of which gets a vector.
    pub(crate) split: Split,
    /// The field by which search results are grouped, if there is one.
    pub(crate) collapse_field: Option<String>,
    /// The fields that an unstructured index has seen in documents.
    pub(crate) known: Known,
    /// By the id under which Vespa (the search engine that Marqo uses) keeps them.
    pub(crate) documents: BTreeMap<String, Document>,
}

/// The two kinds of index in Marqo.
pub(crate) enum Kind {
    /// Takes any field.
    Unstructured,
    /// Takes the fields of its schema only.
    Structured(Schema),
}

/// The fields of a structured index.
#[derive(Default)]
pub(crate) struct Schema {
    pub(crate) fields: BTreeMap<String, Field>,
    pub(crate) tensor_fields: BTreeSet<String>,
}

/// A field of a structured index.
pub(crate) struct Field {
    pub(crate) kind: FieldKind,
    /// The name of the kind in the settings that the index was created with.
    pub(crate) kind_name: String,
    /// The weights of the fields that it combines, if it is a multimodal combination.
    pub(crate) weights: Map<String, Value>,
}

/// What a field of a structured index holds.
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
    /// The kind of this name in an index's settings; `None` if there is none.
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

/// The fields that an unstructured index has seen. Marqo adds each new one to the schema that it gives Vespa.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// The number of changes, after each of which Marqo deploys the schema.
    pub(crate) generation: u64,
    pub(crate) strings: BTreeMap<String, TextField>,
    pub(crate) string_arrays: BTreeSet<String>,
    pub(crate) tensors: BTreeSet<String>,
}

/// How the text of a field is analysed, where the request said so.
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
    /// The document as it was sent; shared with the history of writes.
    pub(crate) sent: Arc<Map<String, Value>>,
    /// Its fields as a client reads them, without `_id`.
    pub(crate) fields: Map<String, Value>,
    /// Its facets: parts of tensor fields with their vectors.
    pub(crate) facets: Vec<Facet>,
    /// Multimodal fields with their weights.
    pub(crate) multimodal: Map<String, Value>,
    /// Facets that a fault keeps out of sight; `None` if there are none.
    pub(crate) missing: Option<Missing>,
}

impl Document {
    /// The facets that clients see.
    pub(crate) fn facets_present(&self) -> impl Iterator<Item = &Facet> {
        let is_missing =
            |facet: &&Facet| self.missing.as_ref().is_some_and(|missing| missing.concerns(&facet.field));
        self.facets.iter().filter(move |facet| !is_missing(facet))
    }
}

/// Facets that a document should have but does not show, because a test asked for this fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The tensor field that they belong to; `None`: all.
    pub(crate) field: Option<String>,
    /// The number of reads after which they are there; `None`: never.
    pub(crate) reads: Option<u32>,
}

impl Missing {
    /// Whether the facets of a field are missing.
    pub(crate) fn concerns(&self, field: &str) -> bool {
        self.field.as_deref().is_none_or(|missing| missing == field)
    }
}

impl Index {
    /// An unstructured index with the default settings.
    pub(crate) fn unstructured(name: &str, version: Version) -> Self {
        Self::from_settings(name, version, &Map::new())
    }

    /// An index with settings that were checked before.
    pub(crate) fn from_settings(name: &str, version: Version, given: &Map<String, Value>) -> Self {
        let is_structured = given.get("type").and_then(Value::as_str) == Some("structured");
        let mut settings = defaults(is_structured);
        for (key, value) in given.iter().filter(|(_, value)| !value.is_null()) {
            settings[key.as_str()] = value.clone();
        }
        let split = &settings["textPreprocessing"];
        let length = |key: &str, default: u64| split[key].as_u64().unwrap_or(default) as usize;
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

    /// The number of vectors that clients see.
    pub(crate) fn vectors(&self) -> usize {
        self.documents.values().map(|document| document.facets_present().count()).sum()
    }
}

/// Marqo's default settings.
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

/// The schema in the settings of a structured index.
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

/// The length of vectors: as the settings state it, or by the name of the model; 768, the default model's, for models
/// that are not known here.
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
    fn kinds_of_fields_have_names() {
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
