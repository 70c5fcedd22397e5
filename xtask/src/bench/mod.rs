//! `cargo xtask bench`: figures, each the median of several rounds, as ratios to a baseline of the same run.

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
use xtask::sample::{Recipe, Shape};

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// From documents into PostgreSQL: against COPY, upserts row by row, and a loop as of an object mapper.
    Catalog(catalog::Options),
    /// From an export to chunks: plug-in against native, whole ingest, memory, start-up.
    Ingest(ingest::Options),
    /// From documents into Marqo, without embedding: against the Python client, and how busy a slow server is kept.
    Marqo(marqo::Options),
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Catalog(options) => catalog::run(options),
        Bench::Ingest(options) => ingest::run(options),
        Bench::Marqo(options) => marqo::run(options),
    }
}

/// What the Shopify plug-in makes of a sample of so many MB, in one file.
fn documents(size: u64, folder: &Path) -> Result<PathBuf> {
    let export = folder.join("export.jsonl");
    sample(size * 1_000_000, true, &export)?;
    let data = folder.join("documents");
    if data.exists() {
        fs::remove_dir_all(&data).with_context(|| format!("{} cannot be removed", data.display()))?;
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
        let lines = fs::read(&chunk).with_context(|| format!("{} cannot be read", chunk.display()))?;
        // Chunks of removals hold ids alone.
        if lines.split(|byte| *byte == b'\n').next().is_some_and(|line| line.len() > 300) {
            text.extend_from_slice(&lines);
        }
    }
    fs::write(&documents, text).with_context(|| format!("{} cannot be written", documents.display()))?;
    Ok(documents)
}

fn find_chunks(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("{} cannot be read", folder.display()))?.path();
        if path.is_dir() {
            find_chunks(&path, found)?;
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("chunk_")) {
            found.push(path);
        }
    }
    Ok(())
}

/// Realistic products, `bytes` of them.
fn sample(bytes: u64, grouped: bool, path: &Path) -> Result<u64> {
    let recipe = Recipe { seed: 7, shape: Shape::Real, grouped, products: u64::MAX, bytes, bad_lines: 0.0 };
    Ok(to_file(&recipe, path)?.bytes)
}

/// The figures that a measured program printed, separated by blanks.
fn figures<const N: usize>(step: Step) -> Result<[f64; N]> {
    let said = step.output()?;
    let figures: Vec<f64> = said.split_whitespace().map_while(|word| word.parse().ok()).collect();
    match figures.first_chunk() {
        Some(figures) => Ok(*figures),
        None => anyhow::bail!("a measurement said `{}` instead of its figures", said.trim()),
    }
}

/// The round in the middle, by its first figure.
fn median<const N: usize>(mut rounds: Vec<[f64; N]>) -> [f64; N] {
    rounds.sort_by(|one, other| one[0].total_cmp(&other[0]));
    rounds[rounds.len() / 2]
}
