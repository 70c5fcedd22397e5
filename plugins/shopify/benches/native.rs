//! The transform compiled for this machine instead of the sandbox: the baseline of `cargo xtask bench ingest`.
//!
//! Built with the plug-ins' own profile, so that the sandbox is the only difference. Prints the seconds
//! of processor time that one round takes.

use cpu_time::ProcessTime;
use shopify_plugin::{Config, transform};

/// Products of a batch, as many as host's ingest gives to a plug-in.
const BATCH: usize = 128;

/// Batches that are made before the clock runs, as many as the benchmark of the component makes.
const SLICE: usize = 64;

fn main() {
    let path = std::env::args().nth(1).expect("the first argument is a grouped export");
    let export = std::fs::read_to_string(path).expect("the export is readable");
    let products = products(&export);
    let config = Config::default();
    let (mut seconds, mut documents) = (0.0, 0);
    for slice in products.chunks(BATCH * SLICE) {
        let batches = batches(slice);
        let started = ProcessTime::now();
        // As the host does: a batch goes in and is dropped, and so are its documents.
        documents +=
            batches.into_iter().map(|batch| transform(&batch, &config).documents.len()).sum::<usize>();
        seconds += started.elapsed().as_secs_f64();
    }
    println!("{seconds} {} {documents}", products.len());
}

fn batches(products: &[&str]) -> Vec<Vec<String>> {
    products.chunks(BATCH).map(|batch| batch.iter().map(|product| (*product).to_owned()).collect()).collect()
}

/// The products of a grouped export: each begins with a line without parent.
fn products(export: &str) -> Vec<&str> {
    let mut products = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in export.split_inclusive('\n') {
        if at > start && !line.contains("\"__parentId\"") {
            products.push(export[start..at].trim_end());
            start = at;
        }
        at += line.len();
    }
    if at > start {
        products.push(export[start..at].trim_end());
    }
    products
}
