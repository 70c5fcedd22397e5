//! The exports of the WebAssembly component: they convert between the types of the contract in `wit/` and those of the
//! library.

use std::cmp::Ordering;
use std::sync::{Once, OnceLock};

use crate::{Config, InvalidConfiguration, Issue, Severity, Validator, manifest};

#[allow(missing_docs, unsafe_code, unreachable_pub, unused_qualifications, reason = "generated")]
#[allow(clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "validator" });
    export!(Component with_types_in self);
    use super::Component;
}

use bindings::exports::product_indexer::plugin::{manifest as manifest_export, validate, version};
use bindings::product_indexer::plugin::log;
use bindings::product_indexer::plugin::types::{self, Document, Failure};

static VALIDATOR: OnceLock<Validator> = OnceLock::new();

/// With the standard library's allocator for this target, a batch takes a fifth more time.
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

struct Component;

impl manifest_export::Guest for Component {
    fn describe() -> manifest_export::Description {
        log_panics();
        manifest_export::Description {
            name: manifest::NAME.to_owned(),
            version: manifest::VERSION.to_owned(),
            platform: String::new(),
            grouping: manifest_export::Grouping::WholeLines,
            config_schema: manifest::CONFIG_SCHEMA.to_owned(),
            version_fields: manifest::VERSION_FIELDS.map(str::to_owned).into(),
        }
    }

    fn configure(config: String) -> Result<(), Failure> {
        log_panics();
        let failure = |message: String| Failure { code: InvalidConfiguration::CODE.to_owned(), message };
        let config = Config::parse(&config).map_err(|problem| failure(problem.to_string()))?;
        VALIDATOR
            .set(Validator::new(config))
            .map_err(|_| failure("The plug-in is configured already; make a new instance.".to_owned()))
    }
}

impl validate::Guest for Component {
    fn run(documents: Vec<Document>) -> Result<Vec<types::Issue>, Failure> {
        log_panics();
        let validator = VALIDATOR.get_or_init(Validator::default);
        let mut issues = Vec::new();
        for (item, document) in (0_u32..).zip(&documents) {
            let found = validator.validate(&document.id, &document.fields);
            issues.extend(found.into_iter().map(|issue| exported(item, issue)));
        }
        Ok(issues)
    }
}

impl version::Guest for Component {
    fn compare(pairs: Vec<version::Pair>) -> Result<Vec<version::Ordering>, Failure> {
        log_panics();
        let answer = |pair: &version::Pair| match crate::compare(&pair.incoming, &pair.stored) {
            Ordering::Greater => version::Ordering::Newer,
            Ordering::Equal => version::Ordering::Same,
            Ordering::Less => version::Ordering::Older,
        };
        Ok(pairs.iter().map(answer).collect())
    }
}

fn exported(item: u32, issue: Issue) -> types::Issue {
    let severity = match issue.severity {
        Severity::Error => types::Severity::Error,
        Severity::Warning => types::Severity::Warning,
    };
    types::Issue { item, severity, code: issue.code.to_owned(), message: issue.message, path: issue.path }
}

/// A panic becomes a trap, which has no message, so log it first.
fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| log::write(log::Level::Error, &panic.to_string())));
    });
}
