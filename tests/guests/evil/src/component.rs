//! The plug-in as a WebAssembly component: finds the misdeed for each call.

use std::sync::OnceLock;

use crate::behaviour::{Behaviour, CONFIG_SCHEMA, Config};
use crate::misdeeds;

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
            .map_err(|error| misdeeds::failure("invalid-configuration", &error.to_string()))?;
        if config.behaviour == Behaviour::LoopConfigure {
            misdeeds::run_for_ever();
        }
        CONFIG.set(config).map_err(|_| misdeeds::failure("invalid-configuration", "configured already"))
    }
}

impl transform::Guest for Component {
    fn run(products: Vec<String>) -> Result<Transformed, Failure> {
        if behaviour() == Behaviour::Nothing {
            return Ok(misdeeds::nothing(products.len()));
        }
        let mut answer = misdeeds::good(&products);
        match behaviour() {
            Behaviour::Loop => misdeeds::run_for_ever(),
            Behaviour::Memory => misdeeds::take_all_memory(),
            Behaviour::BigOutput => answer = misdeeds::big_output(&products),
            Behaviour::Recursion => {
                std::hint::black_box(misdeeds::recurse());
            }
            Behaviour::TrapOne => misdeeds::trap_at_bomb(products.iter().map(String::as_str)),
            Behaviour::LogFlood => misdeeds::flood_log(),
            Behaviour::WrongCounts => misdeeds::wrong_counts(&mut answer),
            Behaviour::MissingCounts => answer.counts.clear(),
            Behaviour::IllegalIds => misdeeds::illegal_ids(&mut answer),
            Behaviour::InvalidJson => misdeeds::all_fields(&mut answer, r#"{"title": nonsense"#),
            Behaviour::FieldsNotObject => misdeeds::all_fields(&mut answer, r#"["title"]"#),
            Behaviour::IdInFields => misdeeds::all_fields(&mut answer, r#"{"_id":"another","title":"x"}"#),
            Behaviour::NulBytes => misdeeds::nul_bytes(&mut answer),
            Behaviour::NewlineInFields => misdeeds::newline_in_fields(&mut answer),
            Behaviour::IssueOutOfRange => answer.issues.push(misdeeds::issue_behind(products.len())),
            Behaviour::IssueFlood => answer.issues = misdeeds::issue_flood(),
            Behaviour::RemovalOutOfRange => answer.removals.push(misdeeds::removal_behind(products.len())),
            Behaviour::Failure => {
                return Err(misdeeds::failure("evil", "The plug-in does not feel like it."));
            }
            Behaviour::FailureLong => return Err(misdeeds::failure_long()),
            Behaviour::DeepJson => misdeeds::all_fields(&mut answer, &misdeeds::deep_json()),
            Behaviour::DuplicateIds => misdeeds::duplicate_ids(&mut answer),
            Behaviour::ManyDocuments => answer = misdeeds::many_documents(&products),
            Behaviour::Panic => misdeeds::fall_over(),
            Behaviour::Verbatim => answer = misdeeds::verbatim(&products),
            Behaviour::Impure => misdeeds::count_calls(&mut answer),
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
                misdeeds::trap_at_bomb(documents.iter().map(|document| document.fields.as_str()));
                Ok(Vec::new())
            }
            Behaviour::ValidateOutOfRange => Ok(vec![misdeeds::issue_behind(documents.len())]),
            _ => Ok(Vec::new()),
        }
    }
}

impl version::Guest for Component {
    fn compare(pairs: Vec<Pair>) -> Result<Vec<Ordering>, Failure> {
        match behaviour() {
            Behaviour::CompareShort => Ok(vec![Ordering::Newer; pairs.len().saturating_sub(1)]),
            Behaviour::CompareTrap => misdeeds::trap(),
            _ => Ok(vec![Ordering::Newer; pairs.len()]),
        }
    }
}
