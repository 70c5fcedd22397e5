//! Finds the records in the answer of a platform's API.
//!
//! | answer | of | records |
//! |---|---|---|
//! | `{"products":[…]}`, `{"product":{…}}` | Shopify's REST API, webhooks in an envelope, the storefront | elements |
//! | `{"product_listings":[…]}` | Shopify's sales channels | elements |
//! | `{"data":{"products":{"edges":[{"node":{…}}]}}}`, `{"data":{"products":{"nodes":[…]}}}` | GraphQL | nodes |
//! | `{"data":{"product":{…}}}` | GraphQL | the product |

use super::{Each, Element, Records, ValuesError};
use crate::{form, inspect::excerpt};
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use std::{collections::HashMap, fmt, io::Write};

/// The key of the answers of a mutation, which change something and list nothing.
const MUTATION_KEY: &str = "userErrors";
/// Longest `errors` that are searched for their messages, in bytes.
const MAX_ERRORS: usize = 64 << 10;

/// Whether an object is an answer, not a record that begins like one.
pub(super) fn is_answer(object: &str) -> bool {
    let keys = keys_of(object);
    keys.keys().any(|key| form::is_answer_key(key)) || keys.keys().all(|key| form::is_single_answer_key(key))
}

fn keys_of(object: &str) -> HashMap<String, IgnoredAny> {
    serde_json::from_str(object).unwrap_or_default()
}

/// The part of a connection that says whether it is complete.
#[derive(Deserialize)]
struct PageInfo {
    #[serde(default, rename = "hasNextPage")]
    has_next_page: Option<bool>,
}

/// Copies the records of one answer, or of one object inside it.
pub(super) struct Answer<'r, 'a, W> {
    records: &'r mut Records<'a, W>,
    /// Whether this is the whole answer, the only place of `data`.
    is_top: bool,
}

impl<'r, 'a, W: Write> Answer<'r, 'a, W> {
    /// A whole answer.
    pub(super) fn top(records: &'r mut Records<'a, W>) -> Self {
        Self { records, is_top: true }
    }

    /// An object with a list inside an answer.
    pub(super) fn inner(records: &'r mut Records<'a, W>) -> Self {
        Self { records, is_top: false }
    }
}

impl<'de, W: Write> Visitor<'de> for Answer<'_, '_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer of an API")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { records, is_top } = self;
        while let Some(key) = map.next_key::<String>()? {
            records.allowance.renew();
            match key.as_str() {
                "errors" => {
                    let errors = map.next_value::<Box<RawValue>>()?;
                    if let Some(message) = message_of(errors.get()) {
                        return Err(A::Error::custom(records.stop(ValuesError::ErrorAnswer { message })));
                    }
                }
                "pageInfo" => {
                    let info = map.next_value::<Option<PageInfo>>()?;
                    records.more_pages = info.and_then(|info| info.has_next_page).unwrap_or_default();
                }
                "data" if is_top => map.next_value_seed(Data(records))?,
                "products" | "product_listings" | "nodes" => {
                    map.next_value_seed(Each { records, element: Element::Record })?;
                }
                "edges" => map.next_value_seed(Each { records, element: Element::Edge })?,
                "product" | "product_listing" | "node" => {
                    let raw = map.next_value::<Box<RawValue>>()?;
                    records.copy_record(raw.get()).map_err(A::Error::custom)?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Copies the records of the `data` of a GraphQL answer, whose members have the names that the query gave them.
struct Data<'r, 'a, W>(&'r mut Records<'a, W>);

impl<'de, W: Write> Visitor<'de> for Data<'_, '_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the data of a GraphQL answer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            self.0.allowance.renew();
            let raw = map.next_value::<Box<RawValue>>()?;
            copy_member(self.0, raw.get()).map_err(A::Error::custom)?;
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

impl<'de, W: Write> DeserializeSeed<'de> for Data<'_, '_, W> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

/// Copies the records of one member of `data`: a connection, a list of nodes, or one record.
fn copy_member<W: Write>(records: &mut Records<'_, W>, json: &str) -> serde_json::Result<()> {
    let keys = keys_of(json);
    if keys.contains_key(MUTATION_KEY) {
        return Err(records.stop(ValuesError::MutationAnswer));
    }
    let has_list = keys.keys().any(|key| form::is_answer_key(key));
    match json.as_bytes() {
        [b'{', ..] if !has_list => records.copy_record(json),
        [b'{', ..] => serde_json::Deserializer::from_str(json).deserialize_map(Answer::inner(records)),
        [b'[', ..] => serde_json::Deserializer::from_str(json)
            .deserialize_any(Each { records, element: Element::Record }),
        _ => Ok(()),
    }
}

/// The words of an answer's `errors`; `None` if there are none.
fn message_of(errors: &str) -> Option<String> {
    // A parsed value takes many times the memory of its text, and only the beginning of the words is shown.
    if errors.len() > MAX_ERRORS {
        return Some(excerpt(errors.as_bytes()));
    }
    let errors: Value = serde_json::from_str(errors).ok()?;
    let words = |error: &Value| match error {
        Value::String(words) => words.clone(),
        error => error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned),
    };
    let message = match &errors {
        Value::Null => return None,
        Value::Array(errors) if errors.is_empty() => return None,
        Value::Array(errors) => errors.iter().map(words).collect::<Vec<_>>().join("; "),
        other => words(other),
    };
    Some(excerpt(message.as_bytes()))
}
