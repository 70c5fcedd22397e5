//! What a record is: by the type it names, else by the type of its id, else by its parent and its keys, because children
//! of some connections have neither.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;

use crate::assemble::gid_of;
use crate::gid::Gid;
use crate::record::Record;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Product,
    Variant,
    Media,
    Metafield,
    Collection,
    InventoryLevel,
    SellingPlanGroup,
    /// What a variant costs in another currency.
    Price,
    /// What a metafield refers to.
    Reference,
    /// A type of a newer API version or of a query with more connections than this plug-in reads.
    Other,
}

/// What the parent of a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Product,
    Variant,
    Metafield,
    /// Something that no field is made of, such as a collection.
    Other,
}

impl Kind {
    /// The kind of a record without parent.
    pub(crate) fn of_root(record: &Record<'_>) -> Kind {
        type_of(record)
            .map_or_else(|| if is_metafield(record) { Kind::Metafield } else { Kind::Product }, Kind::of_type)
    }

    /// The kind of a child. A child of a variant is never a variant, whatever its keys: presentment prices have a price,
    /// and bundle components an SKU.
    pub(crate) fn of_child(record: &Record<'_>, owner: Owner) -> Kind {
        if owner == Owner::Metafield {
            return Kind::Reference;
        }
        let kind = type_of(record).map_or_else(|| Kind::by_shape(record), Kind::of_type);
        let is_expected = match owner {
            Owner::Product => {
                matches!(
                    kind,
                    Kind::Variant | Kind::Media | Kind::Metafield | Kind::Collection | Kind::SellingPlanGroup
                )
            }
            Owner::Variant => {
                matches!(kind, Kind::Media | Kind::Metafield | Kind::InventoryLevel | Kind::Price)
            }
            Owner::Metafield | Owner::Other => false,
        };
        if is_expected { kind } else { Kind::Other }
    }

    fn by_shape(record: &Record<'_>) -> Kind {
        if is_metafield(record) {
            Kind::Metafield
        } else if is_variant(record) {
            Kind::Variant
        } else if record.price.is_some() {
            Kind::Price
        } else if is_level(record) {
            Kind::InventoryLevel
        } else if is_medium(record) {
            Kind::Media
        } else {
            Kind::Other
        }
    }

    fn of_type(name: &str) -> Kind {
        match name.as_bytes() {
            b"Product" => Kind::Product,
            b"ProductVariant" => Kind::Variant,
            b"MediaImage" | b"ProductImage" | b"Image" | b"ImageSource" | b"Video" | b"ExternalVideo"
            | b"Model3d" => Kind::Media,
            b"Metafield" => Kind::Metafield,
            b"Collection" => Kind::Collection,
            b"InventoryLevel" => Kind::InventoryLevel,
            b"SellingPlanGroup" => Kind::SellingPlanGroup,
            b"ProductVariantPricePair" => Kind::Price,
            _ => Kind::Other,
        }
    }
}

/// The type of a record, by its name or its id.
fn type_of<'r>(record: &'r Record<'_>) -> Option<&'r str> {
    let of_id = || Some(&*gid_of(record).kind).filter(|kind| !kind.is_empty());
    record.type_name.get().or_else(of_id)
}

fn is_metafield(record: &Record<'_>) -> bool {
    record.namespace.get().is_some() && record.key.get().is_some()
}

/// Whether a record has what only variants have.
pub(crate) fn is_variant(record: &Record<'_>) -> bool {
    record.sku.0.is_some()
        // A variant's own price is a number; one with a currency is a price in some market.
        || record.price.as_ref().is_some_and(|price| price.currency.get().is_none())
        || !record.selected_options.0.is_empty()
        || record.option1.get().is_some()
}

fn is_level(record: &Record<'_>) -> bool {
    !record.quantities.0.is_empty() || (record.location.is_some() && record.available.get().is_some())
}

fn is_medium(record: &Record<'_>) -> bool {
    let texts = [&record.media_type, &record.url, &record.src, &record.original_src, &record.alt_text];
    texts.iter().any(|field| field.get().is_some()) || record.image.is_some() || record.preview.is_some()
}

/// The most keys that the name of a kind without type lists.
const MAX_KEYS: usize = 6;

/// How a person calls the kind of a record that no field is made of: by its type, else by the keys of its line. Nothing
/// for a line with nothing but its parent, as an inline fragment leaves it that does not fit.
pub(crate) fn describe(record: &Record<'_>, line: &str, parent: Option<&Gid<'_>>) -> Option<String> {
    let what = match type_of(record) {
        Some(name) => format!("`{}`", shown(name)),
        None => {
            let keys = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(line).ok()?;
            let keys = keys.keys().filter(|key| *key != "__parentId").take(MAX_KEYS);
            let keys: Vec<String> = keys.map(|key| format!("`{}`", shown(key))).collect();
            if keys.is_empty() {
                return None;
            }
            format!("records with {}", keys.join(", "))
        }
    };
    let parent = parent.map(|parent| &*parent.kind).filter(|kind| !kind.is_empty());
    Some(match parent {
        Some(parent) => format!("{what} below `{}`", shown(parent)),
        None => what,
    })
}

/// A name as a message shows it.
fn shown(name: &str) -> String {
    crate::text::sanitize(crate::text::cut_chars(name, 60)).into_owned()
}
