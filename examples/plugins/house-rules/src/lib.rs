//! A merchant's own rules for documents, whichever plug-in makes them: titles that read well, images that load, real
//! prices.

wit_bindgen::generate!({ path: "wit", world: "project", generate_all });

use exports::product_indexer::plugin::manifest::{self, Description, Grouping};
use exports::product_indexer::plugin::validate;
use product_indexer::plugin::types::Severity::{self, Error, Warning};
use product_indexer::plugin::types::{Document, Failure, Issue};
use serde_json::Value;

struct Rules;
export!(Rules);

impl manifest::Guest for Rules {
    fn describe() -> Description {
        Description {
            name: "house-rules".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            platform: String::new(),
            grouping: Grouping::WholeLines,
            config_schema: "{}".into(),
            version_fields: vec![],
        }
    }

    fn configure(_config: String) -> Result<(), Failure> {
        Ok(())
    }
}

impl validate::Guest for Rules {
    fn run(documents: Vec<Document>) -> Result<Vec<Issue>, Failure> {
        Ok((0..).zip(documents).flat_map(|(item, document)| check(item, &document.fields)).collect())
    }
}

/// The issues of one document. A missing field breaks no rule, because an update has only some of the fields.
fn check(item: u32, fields: &str) -> Vec<Issue> {
    let fields: Value = serde_json::from_str(fields).unwrap_or_default();
    let title = fields["title"].as_str().unwrap_or_default();
    let image = fields["image"].as_str().unwrap_or("https://");
    let capitals = title.chars().filter(|character| character.is_uppercase()).count();
    let shouts = capitals > 12 && !title.chars().any(char::is_lowercase);
    let is_long = title.chars().count() > 60;
    let is_insecure = !image.starts_with("https://");
    let rules = [
        (shouts, Warning, "title-shouts", "/title", "The title is in capitals."),
        (is_long, Warning, "title-too-long", "/title", "The title is cut on a phone."),
        (is_insecure, Error, "insecure-image", "/image", "Browsers block the image."),
        (fields["price"] == 0.0, Error, "price-is-zero", "/price", "Nothing is free in this shop."),
    ];
    let issue = |(_, severity, code, path, message): (bool, Severity, &str, &str, &str)| {
        let (code, message, path) = (code.into(), message.into(), Some(path.into()));
        Issue { item, severity, code, message, path }
    };
    rules.into_iter().filter(|(is_broken, ..)| *is_broken).map(issue).collect()
}
