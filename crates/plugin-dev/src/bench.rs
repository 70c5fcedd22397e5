//! What a plug-in costs: time on this machine under the engine that runs it, instructions under the one that counts them.

use crate::{items::Items, outcome};
use host_core::{model::job::PluginRef, plugin::BatchFailure};
use host_plugin_host::{Cost, Runner};
use serde::Serialize;
use std::time::Duration;

/// A batch as the pipeline makes them.
const BATCH_ITEMS: usize = 64;
const BATCH_BYTES: usize = 512 << 10;

/// Items that are timed alone.
const SINGLE_ITEMS: usize = 1_000;

/// What was measured, on one core.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// The plug-in.
    pub plugin: PluginRef,
    /// What an item is.
    pub noun: &'static str,
    /// Items of the input.
    pub items: usize,
    /// Bytes of the input.
    pub bytes: usize,
    /// How often all of them were run.
    pub passes: u32,
    /// Items that would not be refused.
    pub accepted: usize,
    /// Items a second, in batches.
    pub items_per_second: f64,
    /// Bytes of input a second, in batches.
    pub bytes_per_second: f64,
    /// Instructions an item, in batches: the same on every machine.
    pub instructions_per_item: u64,
    /// Microseconds for an item in a call of its own: half of them take no longer.
    pub p50_us: f64,
    /// The same, for 99 of 100.
    pub p99_us: f64,
    /// The item that took longest, and its microseconds.
    pub slowest: (String, f64),
    /// Linear memory of the instance.
    pub memory_bytes: usize,
}

/// Measures for about `time`. `production` and `deterministic` are the same plug-in on either engine.
pub async fn bench(
    production: &Runner,
    deterministic: &Runner,
    items: &Items,
    time: Duration,
) -> Result<Figures, BatchFailure> {
    let batches = items.batches(BATCH_ITEMS, BATCH_BYTES);
    // The first pass gets instances started and memory taken.
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
    singles.sort_by(|a, b| a.0.total_cmp(&b.0));
    let seconds = total.time.as_secs_f64().max(f64::MIN_POSITIVE);
    let times = f64::from(passes);
    Ok(Figures {
        plugin: production.plugin().plugin_ref(),
        noun: items.noun(),
        items: items.len(),
        bytes: items.bytes(),
        passes,
        accepted,
        items_per_second: items.len() as f64 * times / seconds,
        bytes_per_second: items.bytes() as f64 * times / seconds,
        instructions_per_item: counted.instructions.unwrap_or(0).div_ceil(items.len().max(1) as u64),
        p50_us: percentile(&singles, 50),
        p99_us: percentile(&singles, 99),
        slowest: singles.pop().map(|(time, item)| (item, time)).unwrap_or_default(),
        memory_bytes: total.memory_bytes,
    })
}

/// Runs all batches once: what it cost, and how many items were not refused.
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

/// The value that `percent` of 100 do not exceed, of sorted ones.
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
        let values = |n: u32| (1..=n).map(|n| (f64::from(n), String::new())).collect::<Vec<_>>();
        assert_eq!((percentile(&values(100), 50), percentile(&values(100), 99)), (50.0, 99.0));
        assert_eq!((percentile(&values(3), 50), percentile(&values(3), 99)), (2.0, 3.0));
        assert_eq!(percentile(&[], 99), 0.0);
    }
}
