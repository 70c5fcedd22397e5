//! Measures a plug-in: time with the production engine, and WebAssembly instructions, whose number is the same on every
//! machine, with the deterministic engine.

use crate::{items::Items, outcome};
use host_core::{model::job::PluginRef, plugin::BatchFailure};
use host_plugin_host::{Cost, Runner};
use serde::Serialize;
use std::time::Duration;

/// The most items of a batch whose time is measured.
const BATCH_ITEMS: usize = 64;

/// The bytes after which a batch is full.
const BATCH_BYTES: usize = 512 << 10;

/// Maximum number of items that are timed in separate calls.
const SINGLE_ITEMS: usize = 1_000;

/// The measurements, on one core.
#[derive(Clone, Debug, Serialize)]
pub struct BenchReport {
    /// The plug-in.
    pub plugin: PluginRef,
    /// What an item is called: `product`, `document`, `pair`.
    pub noun: &'static str,
    /// Items in the input.
    pub items: usize,
    /// Size of the input in bytes.
    pub bytes: usize,
    /// How often the whole input was run.
    pub passes: u32,
    /// Items that were not refused.
    pub accepted: usize,
    /// Items per second, in batches.
    pub items_per_second: f64,
    /// Input bytes per second, in batches.
    pub bytes_per_second: f64,
    /// Instructions per item, in batches; independent of the machine.
    pub instructions_per_item: u64,
    /// Median time of a call with one item, in microseconds.
    pub p50_us: f64,
    /// 99th percentile of the same, in microseconds.
    pub p99_us: f64,
    /// The slowest item and its time in microseconds.
    pub slowest: (String, f64),
    /// Linear memory of the instance in bytes.
    pub memory_bytes: usize,
}

/// Measures for about `time`. `production` and `deterministic` run the same plug-in, each on the engine of that
/// profile.
///
/// # Errors
/// The plug-in fails on a whole batch.
pub async fn bench(
    production: &Runner,
    deterministic: &Runner,
    items: &Items,
    time: Duration,
) -> Result<BenchReport, BatchFailure> {
    let batches = items.batches(BATCH_ITEMS, BATCH_BYTES);
    // Warm-up: the first pass starts the instance and grows its memory.
    pass(deterministic, &batches).await?;
    let (counted, _) = pass(deterministic, &batches).await?;
    let (_, accepted) = pass(production, &batches).await?;
    let (mut total, mut passes) = (Cost::default(), 0);
    while total.time < time || passes == 0 {
        let (cost, _) = pass(production, &batches).await?;
        total.time += cost.time;
        total.memory_bytes = total.memory_bytes.max(cost.memory_bytes);
        passes += 1;
    }
    let mut singles = Vec::new();
    for single in items.singles().into_iter().take(SINGLE_ITEMS) {
        let (outcomes, cost) = outcome::run(production, single).await?;
        let item = outcomes.into_iter().next().map(|outcome| outcome.item).unwrap_or_default();
        singles.push((microseconds(cost.time), item));
    }
    singles.sort_by(|(first, _), (second, _)| first.total_cmp(second));
    let seconds = total.time.as_secs_f64().max(f64::MIN_POSITIVE);
    let repeats = f64::from(passes);
    Ok(BenchReport {
        plugin: production.plugin().plugin_ref(),
        noun: items.noun(),
        items: items.len(),
        bytes: items.bytes(),
        passes,
        accepted,
        items_per_second: items.len() as f64 * repeats / seconds,
        bytes_per_second: items.bytes() as f64 * repeats / seconds,
        instructions_per_item: counted.instructions.unwrap_or(0).div_ceil(items.len().max(1) as u64),
        p50_us: percentile(&singles, 50),
        p99_us: percentile(&singles, 99),
        slowest: singles.pop().map(|(time, item)| (item, time)).unwrap_or_default(),
        memory_bytes: total.memory_bytes,
    })
}

/// Runs all batches once; returns the cost and the number of items that were not refused.
async fn pass(runner: &Runner, batches: &[Items]) -> Result<(Cost, usize), BatchFailure> {
    let (mut total, mut accepted) = (Cost::default(), 0);
    for batch in batches {
        let (outcomes, cost) = outcome::run(runner, batch.clone()).await?;
        accepted += outcomes.iter().filter(|outcome| outcome.refusal.is_none()).count();
        total.time += cost.time;
        total.memory_bytes = total.memory_bytes.max(cost.memory_bytes);
        total.instructions = match (total.instructions, cost.instructions) {
            (Some(sum), Some(more)) => Some(sum.saturating_add(more)),
            (sum, more) => sum.or(more),
        };
    }
    Ok((total, accepted))
}

/// The nearest-rank percentile: the smallest of the sorted values that at least `percent` percent of them do not
/// exceed; 0 if there are none.
fn percentile(sorted: &[(f64, String)], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).map_or(0.0, |(time, _)| *time)
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values =
            |count: u32| (1..=count).map(|value| (f64::from(value), String::new())).collect::<Vec<_>>();
        assert_eq!((percentile(&values(100), 50), percentile(&values(100), 99)), (50.0, 99.0));
        assert_eq!((percentile(&values(3), 50), percentile(&values(3), 99)), (2.0, 3.0));
        assert_eq!(percentile(&[], 99), 0.0);
    }
}
