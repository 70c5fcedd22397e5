//! The exports of this plug-in's WebAssembly component: each call runs the attack that the configuration names.

use std::sync::OnceLock;

use crate::attacks;
use crate::behaviour::{Behaviour, CONFIG_SCHEMA, Config};

#[allow(missing_docs, unsafe_code, unreachable_pub, unused_qualifications, reason = "generated")]
#[allow(clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });
    export!(Component with_types_in self);
    use super::Component;
}

pub(crate) use bindings::exports::product_indexer::plugin::transform::{Removal, Transformed};
pub(crate) use bindings::exports::product_indexer::plugin::version::{Ordering, Pair};
pub(crate) use bindings::product_indexer::plugin::log;
pub(crate) use bindings::product_indexer::plugin::types::{Document, Failure, Issue, Severity};

use bindings::exports::product_indexer::plugin::{manifest, transform, validate, version};

static CONFIG: OnceLock<Config> = OnceLock::new();

fn behaviour() -> Behaviour {
    CONFIG.get().map_or_else(Behaviour::default, |config| config.behaviour)
}

struct Component;

impl manifest::Guest for Component {
    fn describe() -> manifest::Description {
        manifest::Description {
            name: "evil".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            platform: "evil".to_owned(),
            grouping: manifest::Grouping::WholeLines,
            config_schema: CONFIG_SCHEMA.to_owned(),
            version_fields: vec!["updated_at".to_owned()],
        }
    }

    fn configure(config: String) -> Result<(), Failure> {
        std::panic::set_hook(Box::new(|panic| log::write(log::Level::Error, &panic.to_string())));
        let config: Config = serde_json::from_str(&config)
            .map_err(|error| attacks::failure("invalid-configuration", &error.to_string()))?;
        if config.behaviour == Behaviour::LoopConfigure {
            attacks::run_forever();
        }
        CONFIG.set(config).map_err(|_| attacks::failure("invalid-configuration", "configured already"))
    }
}

impl transform::Guest for Component {
    fn run(products: Vec<String>) -> Result<Transformed, Failure> {
        if behaviour() == Behaviour::Nothing {
            return Ok(attacks::nothing(products.len()));
        }
        let mut answer = attacks::good(&products);
        match behaviour() {
            Behaviour::Loop => attacks::run_forever(),
            Behaviour::Memory => attacks::take_all_memory(),
            Behaviour::BigOutput => answer = attacks::big_output(&products),
            Behaviour::Recursion => {
                std::hint::black_box(attacks::recurse());
            }
            Behaviour::TrapOne => attacks::trap_at_bomb(products.iter().map(String::as_str)),
            Behaviour::LogFlood => attacks::flood_log(),
            Behaviour::WrongCounts => attacks::wrong_counts(&mut answer),
            Behaviour::MissingCounts => answer.counts.clear(),
            Behaviour::IllegalIds => attacks::illegal_ids(&mut answer),
            Behaviour::InvalidJson => attacks::all_fields(&mut answer, r#"{"title": nonsense"#),
            Behaviour::FieldsNotObject => attacks::all_fields(&mut answer, r#"["title"]"#),
            Behaviour::IdInFields => attacks::all_fields(&mut answer, r#"{"_id":"another","title":"x"}"#),
            Behaviour::NulBytes => attacks::nul_bytes(&mut answer),
            Behaviour::NewlineInFields => attacks::newline_in_fields(&mut answer),
            Behaviour::IssueOutOfRange => answer.issues.push(attacks::issue_out_of_range(products.len())),
            Behaviour::IssueFlood => answer.issues = attacks::issue_flood(),
            Behaviour::RemovalOutOfRange => {
                answer.removals.push(attacks::removal_out_of_range(products.len()))
            }
            Behaviour::Failure => {
                return Err(attacks::failure("evil", "The plug-in does not feel like it."));
            }
            Behaviour::FailureLong => return Err(attacks::failure_long()),
            Behaviour::DeepJson => attacks::all_fields(&mut answer, &attacks::deep_json()),
            Behaviour::DuplicateIds => attacks::duplicate_ids(&mut answer),
            Behaviour::ManyDocuments => answer = attacks::many_documents(&products),
            Behaviour::Panic => attacks::panic_with_message(),
            Behaviour::Verbatim => answer = attacks::verbatim(&products),
            Behaviour::Impure => attacks::count_calls(&mut answer),
            Behaviour::Good
            | Behaviour::Nothing
            | Behaviour::LoopConfigure
            | Behaviour::ValidateTrapOne
            | Behaviour::ValidateOutOfRange
            | Behaviour::CompareShort
            | Behaviour::CompareTrap => {}
        }
        Ok(answer)
    }
}

impl validate::Guest for Component {
    fn run(documents: Vec<Document>) -> Result<Vec<Issue>, Failure> {
        match behaviour() {
            Behaviour::ValidateTrapOne => {
                attacks::trap_at_bomb(documents.iter().map(|document| document.fields.as_str()));
                Ok(Vec::new())
            }
            Behaviour::ValidateOutOfRange => Ok(vec![attacks::issue_out_of_range(documents.len())]),
            _ => Ok(Vec::new()),
        }
    }
}

impl version::Guest for Component {
    fn compare(pairs: Vec<Pair>) -> Result<Vec<Ordering>, Failure> {
        match behaviour() {
            Behaviour::CompareShort => Ok(vec![Ordering::Newer; pairs.len().saturating_sub(1)]),
            Behaviour::CompareTrap => attacks::trap(),
            _ => Ok(vec![Ordering::Newer; pairs.len()]),
        }
    }
}
