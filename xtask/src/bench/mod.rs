//! `cargo xtask bench`: figures, each the median of several rounds, as ratios to a baseline of the same run.

mod ingest;
mod marqo;

use crate::command::Step;
use crate::make_sample::to_file;
use anyhow::Result;
use clap::Subcommand;
use std::path::Path;
use xtask::sample::{Recipe, Shape};

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// From an export to chunks: plug-in against native, whole ingest, memory, start-up.
    Ingest(ingest::Options),
    /// From documents into Marqo, without embedding: against the Python client, and how busy a slow server is kept.
    Marqo(marqo::Options),
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Ingest(options) => ingest::run(options),
        Bench::Marqo(options) => marqo::run(options),
    }
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
