//! Ready-made names of fields for an index that wants its own.

use serde::Deserialize;

use crate::config::{Config, Level};

/// A set of field names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Those that Marqo's ecommerce API documents (<https://marqo.pages.dev/latest/home/add-products>): a document for each
    /// variant, with `productTitle`, `variantTitle`, `variantImageUrl`, `price`, `description`, `parentProductId` and
    /// `productCollections`. All other fields are custom fields there and keep their names.
    MarqoEcommerce,
}

/// What a preset changes.
struct Changes {
    level: Level,
    add: &'static [&'static str],
    rename: &'static [(&'static str, &'static str)],
    omit: &'static [&'static str],
}

impl Preset {
    fn name(self) -> &'static str {
        match self {
            Preset::MarqoEcommerce => "marqo-ecommerce",
        }
    }

    fn changes(self) -> Changes {
        match self {
            Preset::MarqoEcommerce => Changes {
                level: Level::Variant,
                add: &["variant_name"],
                rename: &[
                    ("product_id", "parentProductId"),
                    ("title", "productTitle"),
                    ("variant_name", "variantTitle"),
                    ("image", "variantImageUrl"),
                    ("collection_handles", "productCollections"),
                ],
                omit: &["variant_title", "variants"],
            },
        }
    }

    /// Changes a configuration; what it says itself counts more. `level` is the level that it names.
    pub(crate) fn apply(self, config: &mut Config, level: Option<Level>) -> Result<(), String> {
        let Changes { level: wanted, add, rename, omit } = self.changes();
        if level.is_some_and(|level| level != wanted) {
            return Err(format!(
                "`fields` = \"{}\" is for documents of variants; remove the setting `level`",
                self.name()
            ));
        }
        config.level = wanted;
        config.add.extend(add.iter().map(|field| (*field).to_owned()));
        for (field, name) in rename {
            if !config.omit.iter().any(|omitted| omitted == field) {
                config.rename.entry((*field).to_owned()).or_insert_with(|| (*name).to_owned());
            }
        }
        for field in omit {
            if !config.rename.contains_key(*field) && !config.copy.contains_key(*field) {
                config.omit.push((*field).to_owned());
            }
        }
        Ok(())
    }
}
