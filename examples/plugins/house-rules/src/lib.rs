//! A merchant's own rules, laid over whatever makes the documents: titles that read well, pictures that load, prices that are meant.

wit_bindgen::generate!({ path: "wit", world: "project", generate_all });

use exports::product_indexer::plugin::{manifest::{self, Description, Grouping}, validate};
use product_indexer::plugin::types::{Document, Failure, Issue, Severity::{self, Error, Warning}};
use serde::Deserialize;
use std::sync::OnceLock;

struct Rules;
export!(Rules);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config { longest_title: Option<usize> }

static CONFIG: OnceLock<Config> = OnceLock::new();

#[derive(Deserialize)]
struct Fields { title: Option<String>, image: Option<String>, price: Option<f64> }

impl manifest::Guest for Rules {
    fn describe() -> Description {
        Description {
            name: "house-rules".into(), version: env!("CARGO_PKG_VERSION").into(), platform: String::new(),
            grouping: Grouping::WholeLines, config_schema: include_str!("../config-schema.json").into(), version_fields: vec![],
        }
    }

    fn configure(config: String) -> Result<(), Failure> {
        let failure = |error: serde_json::Error| Failure { code: "invalid-configuration".into(), message: error.to_string() };
        let _ = CONFIG.set(serde_json::from_str(&config).map_err(failure)?);
        Ok(())
    }
}

impl validate::Guest for Rules {
    fn run(documents: Vec<Document>) -> Result<Vec<Issue>, Failure> {
        Ok((0..).zip(&documents).flat_map(|(item, document)| judge(item, &document.fields)).collect())
    }
}

fn judge(item: u32, fields: &str) -> Vec<Issue> {
    let rule = |severity: Severity, code: &str, path: &str, message: &str| {
        Issue { item, severity, code: code.into(), message: message.into(), path: Some(path.into()) }
    };
    let Ok(Fields { title, image, price }) = serde_json::from_str(fields) else {
        return vec![rule(Error, "wrong-kind", "", "Title, image or price is of another kind than it should be.")];
    };
    let (title, longest) = (title.unwrap_or_default(), CONFIG.get().and_then(|config| config.longest_title).unwrap_or(150));
    let shouts = title.chars().filter(|c| c.is_uppercase()).count() > 12 && title == title.to_uppercase();
    [
        shouts.then(|| rule(Warning, "title-shouts", "/title", "The title is written in capitals.")),
        (title.chars().count() > longest).then(|| rule(Warning, "title-too-long", "/title", "The title is too long for a phone.")),
        image.is_some_and(|url| !url.starts_with("https://")).then(|| rule(Error, "insecure-image", "/image", "Browsers block the image.")),
        (price == Some(0.0)).then(|| rule(Error, "price-is-zero", "/price", "Nothing is for free in this shop.")),
    ].into_iter().flatten().collect()
}
