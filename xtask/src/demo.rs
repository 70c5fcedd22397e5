//! `cargo xtask demo`: builds everything and indexes a sample shop.

use crate::command::{Step, headline};
use crate::marqo_stand_in::MarqoStandIn;
use crate::workspace::{host_binary, plugins_dir, root, target_dir};
use crate::{build, make_sample};
use anyhow::{Context, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use xtask::aws_demo::{self, AwsDemo};
use xtask::sample::{SampleOptions, Shape};

const SHOP: &str = "demo.myshopify.com";
/// Every product becomes a document or a removal, so the job must end COMPLETED.
const SAMPLE: SampleOptions = SampleOptions {
    seed: 2_025,
    shape: Shape::Real,
    grouped: true,
    products: 2_000,
    bytes: u64::MAX,
    bad_lines: 0.0,
};

/// Selects a demo.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Index several shops through S3, SQS and DynamoDB into Marqo, with stand-ins on this machine
    #[arg(long)]
    aws: bool,
    /// Number of products of all shops together
    #[arg(long, value_name = "N", default_value_t = 20_000, requires = "aws")]
    products: u64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    build::run()?;
    if options.aws { on_aws(options.products) } else { on_this_machine() }
}

/// Five shops and three workers; keeps exports, data directories and logs.
fn on_aws(products: u64) -> Result<()> {
    const SHOPS: u64 = 5;
    let target = target_dir()?;
    let folder = target.join("demo-aws");
    aws_demo::empty_folder(&folder)?;
    headline("Marqo stand-in");
    let marqo = MarqoStandIn::start(&(0..SHOPS).map(aws_demo::index_name).collect::<Vec<_>>())?;
    headline("from exports to indexes, through S3, SQS and DynamoDB");
    let demo = AwsDemo {
        host: &host_binary()?,
        plugin: &plugins_dir()?.join("shopify.wasm"),
        target: &target,
        folder: &folder,
        marqo_url: marqo.url(),
        shops: SHOPS,
        products,
        workers: 3,
    };
    print!("{}", demo.run()?);
    println!(
        "\nAll jobs are completed, all items are counted, and queues, tables, objects and indexes are as expected."
    );
    println!(
        "Exports, data directories and logs: {}. docs/aws.md explains how to do the same in AWS.",
        show(&folder)
    );
    Ok(())
}

fn on_this_machine() -> Result<()> {
    let folder = target_dir()?.join("demo");
    let export = folder.join("products.jsonl");
    let data = folder.join("data");
    headline("sample");
    let summary = make_sample::to_file(&SAMPLE, &export)?;
    eprintln!(
        "{}: {} products, {} lines, {:.1} MB",
        show(&export),
        summary.products,
        summary.lines,
        summary.bytes as f64 / 1e6
    );

    headline("run");
    remove(&data)?;
    let host = host_binary()?;
    let plugin = plugins_dir()?.join("shopify.wasm");
    Step::new("indexing the sample", &host)
        .words("run --plugin")
        .path(&plugin)
        .path(&export)
        .words("--shop")
        .words(SHOP)
        .words("--data-dir")
        .path(&data)
        .help("exit code 1: runtime error · 2: usage or configuration · 3: conflicts · 4: failed documents")
        .run()?;

    print_next(&host, &plugin, &data);
    Ok(())
}

/// Prints commands to look at the result.
fn print_next(host: &Path, plugin: &Path, data: &Path) {
    let document = some_document(host, data).unwrap_or_else(|| "ID".to_owned());
    let (host, plugin, data) = (show(host), show(plugin), show(data));
    println!("\nThe shop is indexed. Explore it with:\n");
    println!("  {host} jobs list --data-dir {data}");
    println!("  {host} documents count --data-dir {data}");
    println!("  {host} documents get {document} --data-dir {data}");
    println!("  {host} plugin inspect {plugin}");
    println!("\nRun the same command again and nothing is written, because every document is unchanged.");
    println!(
        "docs/guide.md is the user guide; `cargo xtask sample --help` explains how to make larger shops."
    );
}

/// The id of some document in the index.
fn some_document(host: &Path, data: &Path) -> Option<String> {
    let listing =
        Step::new("listing documents", host).words("documents list --data-dir").path(data).output().ok()?;
    find_document_id(&listing)
}

/// The first word in the listing that contains the id of a sample product, which begins with 82140.
fn find_document_id(listing: &str) -> Option<String> {
    listing
        .split(|character: char| !character.is_ascii_alphanumeric() && !"._~-".contains(character))
        .find(|word| word.contains("82140"))
        .map(str::to_owned)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// The path, relative to the root of the repository if it is below it.
fn show(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_id_is_found_in_text_and_in_json() {
        assert_eq!(find_document_id("ID  TITLE\n8214000000000  Hoodie\n").as_deref(), Some("8214000000000"));
        let json = r#"[{"_id":"shopify-8214000032768","title":"82"}]"#;
        assert_eq!(find_document_id(json).as_deref(), Some("shopify-8214000032768"));
        assert_eq!(find_document_id("no documents"), None);
    }
}
