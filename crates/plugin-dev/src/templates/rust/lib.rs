//! {{name}}, a plug-in for host. The contract is in `wit/deps`; README.md explains how to build and test.

wit_bindgen::generate!({ path: "wit", world: "project", generate_all });

use exports::product_indexer::plugin::manifest::{self, Description, Grouping};
// @begin transform
use exports::product_indexer::plugin::transform::{self, Removal, Transformed};
// @end
// @begin validate
use exports::product_indexer::plugin::validate;
// @end
// @begin version
use exports::product_indexer::plugin::version::{self, Ordering, Pair};
// @end
// @begin transform validate
use product_indexer::plugin::types::{Document, Failure, Issue, Severity};
// @end
// @begin !transform !validate
use product_indexer::plugin::types::Failure;
// @end
use serde::Deserialize;
// @begin transform
use serde_json::json;
use std::sync::OnceLock;
// @end

struct Plugin;
export!(Plugin);

/// The settings under `[plugin.config.{{name}}]` in host.toml.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    // @begin transform
    #[serde(default = "euro")]
    currency: String,
    // @end
}
// @begin transform

fn euro() -> String {
    "EUR".to_owned()
}

static CONFIG: OnceLock<Config> = OnceLock::new();
// @end

impl manifest::Guest for Plugin {
    fn describe() -> Description {
        Description {
            name: "{{name}}".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            platform: "{{platform}}".to_owned(),
            grouping: Grouping::WholeLines,
            config_schema: include_str!("../config-schema.json").to_owned(),
            version_fields: vec!["updated_at".to_owned()],
        }
    }

    fn configure(config: String) -> Result<(), Failure> {
        // @begin transform
        let config: Config = serde_json::from_str(&config)
            .map_err(|error| Failure { code: "invalid-configuration".to_owned(), message: error.to_string() })?;
        let _ = CONFIG.set(config);
        Ok(())
        // @end
        // @begin !transform
        serde_json::from_str(&config)
            .map(|Config {}| ())
            .map_err(|error| Failure { code: "invalid-configuration".to_owned(), message: error.to_string() })
        // @end
    }
}
// @begin transform

/// A product of the export. Fields that are not listed here are ignored.
#[derive(Deserialize)]
struct Product {
    id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    price: String,
    #[serde(default)]
    tags: Vec<String>,
    updated_at: String,
    #[serde(default = "yes")]
    published: bool,
}

fn yes() -> bool {
    true
}

impl transform::Guest for Plugin {
    fn run(products: Vec<String>) -> Result<Transformed, Failure> {
        let mut output = Transformed { documents: vec![], counts: vec![], removals: vec![], issues: vec![] };
        for (item, text) in (0..).zip(&products) {
            let before = output.documents.len();
            if let Err((code, path, message)) = product(item, text, &mut output) {
                let (code, path) = (code.to_owned(), Some(path.to_owned()));
                output.issues.push(Issue { item, severity: Severity::Error, code, message, path });
            }
            output.counts.push((output.documents.len() - before) as u32);
        }
        Ok(output)
    }
}

/// Code, JSON Pointer and message of a problem with a product.
type Problem = (&'static str, &'static str, String);

fn product(item: u32, text: &str, output: &mut Transformed) -> Result<(), Problem> {
    let product: Product = serde_json::from_str(text).map_err(|error| ("not-a-product", "", error.to_string()))?;
    let Product { id, title, price, tags, updated_at, published } = product;
    if !published {
        output.removals.push(Removal { item, id, version: json!({ "updated_at": updated_at }).to_string() });
        return Ok(());
    }
    let price: f64 =
        price.parse().map_err(|_| ("missing-price", "/price", "The product has no price.".to_owned()))?;
    let currency = CONFIG.get().map_or("", |config| &config.currency);
    let fields =
        json!({ "title": title, "price": price, "currency": currency, "tags": tags, "updated_at": updated_at });
    output.documents.push(Document { id, fields: fields.to_string() });
    Ok(())
}
// @end
// @begin validate

/// The fields of a document that the rules check.
#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    title: String,
    price: Option<f64>,
}

impl validate::Guest for Plugin {
    fn run(documents: Vec<Document>) -> Result<Vec<Issue>, Failure> {
        let mut issues = Vec::new();
        for (item, document) in (0..).zip(&documents) {
            let mut report = |severity, code: &str, path: &str, message: &str| {
                let (code, message) = (code.to_owned(), message.to_owned());
                issues.push(Issue { item, severity, code, message, path: Some(path.to_owned()) });
            };
            match serde_json::from_str::<Fields>(&document.fields) {
                Err(error) => report(Severity::Error, "invalid-document", "", &error.to_string()),
                Ok(fields) => {
                    if fields.title.is_empty() {
                        report(Severity::Error, "missing-title", "/title", "The document has no title.");
                    }
                    if fields.price == Some(0.0) {
                        report(Severity::Warning, "price-is-zero", "/price", "The price is zero.");
                    }
                }
            }
        }
        Ok(issues)
    }
}
// @end
// @begin version

/// The version fields of a document. UTC times of the same format can be compared as text.
#[derive(Deserialize)]
struct Version {
    updated_at: Option<String>,
}

impl version::Guest for Plugin {
    fn compare(pairs: Vec<Pair>) -> Result<Vec<Ordering>, Failure> {
        let updated_at = |text: &str| {
            serde_json::from_str::<Version>(text).ok().and_then(|fields| fields.updated_at)
        };
        let compare = |pair: &Pair| match updated_at(&pair.incoming).cmp(&updated_at(&pair.stored)) {
            std::cmp::Ordering::Greater => Ordering::Newer,
            std::cmp::Ordering::Equal => Ordering::Same,
            std::cmp::Ordering::Less => Ordering::Older,
        };
        Ok(pairs.iter().map(compare).collect())
    }
}
// @end
