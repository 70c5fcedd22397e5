//! `cargo xtask bench`: benchmarks. Each number is the median of several rounds, compared with a baseline of the same run.

mod catalog;
mod ingest;
mod marqo;

use crate::command::Step;
use crate::make_sample::to_file;
use crate::workspace::{host_binary, plugins_dir};
use anyhow::{Context, Result};
use clap::Subcommand;
use std::fs;
use std::path::{Path, PathBuf};
use xtask::sample::{SampleOptions, Shape};

/// The benchmarks.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Load documents into PostgreSQL; compare with COPY, row-by-row upserts and an object mapper's loop
    Catalog(catalog::Options),
    /// Ingest an export: plug-in against native code, throughput, memory, start-up
    Ingest(ingest::Options),
    /// Write documents to Marqo without embedding: compare with the Python client, measure the load of a slow server
    Marqo(marqo::Options),
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Catalog(options) => catalog::run(options),
        Bench::Ingest(options) => ingest::run(options),
        Bench::Marqo(options) => marqo::run(options),
    }
}

/// A file with the documents that the Shopify plug-in makes of a sample; `size` in MB.
fn documents(size: u64, folder: &Path) -> Result<PathBuf> {
    let export = folder.join("export.jsonl");
    sample(size * 1_000_000, true, &export)?;
    let data = folder.join("documents");
    if data.exists() {
        fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
    }
    let shop = "run --quiet --shop bench.myshopify.com --plugin";
    Step::new("making documents", host_binary()?)
        .words(shop)
        .path(&plugins_dir()?.join("shopify.wasm"))
        .words("--data-dir")
        .path(&data)
        .path(&export)
        .output()?;
    let mut chunks = Vec::new();
    find_chunks(&data.join("chunks"), &mut chunks)?;
    chunks.sort();
    let documents = folder.join("documents.jsonl");
    let mut text = Vec::new();
    for chunk in chunks {
        let lines = fs::read(&chunk).with_context(|| format!("cannot read {}", chunk.display()))?;
        // Chunks of removals are left out. Their lines are short: they have only an id and a version.
        if lines.split(|byte| *byte == b'\n').next().is_some_and(|line| line.len() > 300) {
            text.extend_from_slice(&lines);
        }
    }
    fs::write(&documents, text).with_context(|| format!("cannot write {}", documents.display()))?;
    Ok(documents)
}

/// Adds the chunks in a folder and all folders below it.
fn find_chunks(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        if path.is_dir() {
            find_chunks(&path, found)?;
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("chunk_")) {
            found.push(path);
        }
    }
    Ok(())
}

/// Writes a sample of realistic products with about `bytes` bytes; returns its size.
fn sample(bytes: u64, grouped: bool, path: &Path) -> Result<u64> {
    let options =
        SampleOptions { seed: 7, shape: Shape::Real, grouped, products: u64::MAX, bytes, bad_lines: 0.0 };
    Ok(to_file(&options, path)?.bytes)
}

/// The numbers that a measured program prints, separated by blanks.
fn numbers<const N: usize>(step: Step) -> Result<[f64; N]> {
    let output = step.output()?;
    let numbers: Vec<f64> = output.split_whitespace().map_while(|word| word.parse().ok()).collect();
    match numbers.first_chunk() {
        Some(numbers) => Ok(*numbers),
        None => anyhow::bail!("a measurement printed `{}` instead of {N} numbers", output.trim()),
    }
}

/// The median round, by its first number.
fn median<const N: usize>(mut rounds: Vec<[f64; N]>) -> [f64; N] {
    rounds.sort_by(|one, other| one[0].total_cmp(&other[0]));
    rounds[rounds.len() / 2]
}
