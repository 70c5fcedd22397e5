//! The exports of the WebAssembly component: they convert between the types of the contract in `wit/` and those of the
//! library.

use std::cell::RefCell;

use bindings::exports::product_indexer::plugin::{manifest, transform};
use bindings::product_indexer::plugin::log;
use bindings::product_indexer::plugin::types;

use crate::{Config, Severity};

#[allow(unsafe_code, missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "transformer" });
    export!(Component with_types_in self);
    use super::Component;
}

/// Faster here than the standard library's allocator for this target.
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

thread_local! {
    /// None until `configure` is called.
    static CONFIG: RefCell<Option<Config>> = const { RefCell::new(None) };
}

struct Component;

impl manifest::Guest for Component {
    fn describe() -> manifest::Description {
        let described = crate::describe();
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        manifest::Description {
            name: described.name.to_owned(),
            version: described.version.to_owned(),
            platform: described.platform.to_owned(),
            grouping: manifest::Grouping::ByParent(manifest::ByParent {
                id: described.id.to_owned(),
                parents: owned(described.parents),
            }),
            config_schema: described.config_schema.to_owned(),
            version_fields: owned(described.version_fields),
        }
    }

    fn configure(config: String) -> Result<(), types::Failure> {
        // A trap has no message, so log it first.
        std::panic::set_hook(Box::new(|panic| log::write(log::Level::Error, &panic.to_string())));
        let config = Config::from_json(&config).map_err(|reason| types::Failure {
            code: "invalid-configuration".to_owned(),
            message: format!("the configuration of the Shopify plug-in cannot be used: {reason}"),
        })?;
        CONFIG.set(Some(config));
        Ok(())
    }
}

impl transform::Guest for Component {
    fn run(products: Vec<String>) -> Result<transform::Transformed, types::Failure> {
        CONFIG.with_borrow(|config| match config {
            Some(config) => Ok(to_wit(crate::transform(&products, config))),
            None => Err(types::Failure {
                code: "not-configured".to_owned(),
                message:
                    "products came before a configuration; call `configure` first, with {} for the defaults"
                        .to_owned(),
            }),
        })
    }
}

fn to_wit(transformed: crate::Transformed) -> transform::Transformed {
    // Positions fit: a batch that does not fit 32 bits does not fit the memory of a component either.
    let position = |item: usize| u32::try_from(item).unwrap_or(u32::MAX);
    transform::Transformed {
        documents: transformed
            .documents
            .into_iter()
            .map(|document| types::Document { id: document.id, fields: document.fields })
            .collect(),
        counts: transformed.counts,
        removals: transformed
            .removals
            .into_iter()
            .map(|removal| transform::Removal {
                item: position(removal.item),
                id: removal.id,
                version: removal.version,
            })
            .collect(),
        issues: transformed
            .issues
            .into_iter()
            .map(|issue| types::Issue {
                item: position(issue.item),
                severity: match issue.severity {
                    Severity::Error => types::Severity::Error,
                    Severity::Warning => types::Severity::Warning,
                },
                code: issue.code.to_owned(),
                message: issue.message,
                path: issue.path.map(str::to_owned),
            })
            .collect(),
    }
}
