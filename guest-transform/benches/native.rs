//! The transform compiled for this machine instead of the sandbox: the baseline of `cargo xtask bench ingest`.
//!
//! Built with the plug-ins' own profile, so that the sandbox is the only difference. Prints the seconds of one round.

use guest_transform::{Config, transform};
use std::time::Instant;

/// As in the host's reader.
const BATCH: usize = 64;

fn main() {
    let path = std::env::args().nth(1).expect("the first argument is a grouped export");
    let export = std::fs::read_to_string(path).expect("the export is readable");
    let products = products(&export);
    let config = Config::default();
    let started = Instant::now();
    let documents: usize =
        products.chunks(BATCH).map(|batch| transform(batch, &config).documents.len()).sum();
    let seconds = started.elapsed().as_secs_f64();
    println!("{seconds} {} {documents}", products.len());
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
