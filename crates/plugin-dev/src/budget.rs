//! The budget of a plug-in: what it may cost, as its author declares it in the project file `plugin.toml`. Instructions
//! and memory do not depend on the machine, so a budget is exceeded only by a change of the plug-in.

use crate::{outcome::Outcome, project::Project};
use host_plugin_host::Cost;
use serde::{Deserialize, Serialize};

/// The section `[budget]` of `plugin.toml`; a missing key sets no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Most instructions per item.
    pub instructions_per_item: Option<u64>,
    /// Most instructions per 1,000 bytes of input.
    pub instructions_per_kb: Option<u64>,
    /// Most linear memory of an instance, in bytes.
    pub memory_bytes: Option<u64>,
    /// Most output per item, in bytes.
    pub output_bytes_per_item: Option<u64>,
    /// Largest size of the component, in bytes.
    pub component_bytes: Option<u64>,
}

/// The measured cost of a batch of items (products, documents or pairs of versions).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Metrics {
    /// Instructions per item, rounded up.
    pub instructions_per_item: u64,
    /// Instructions per 1,000 bytes of input, rounded up.
    pub instructions_per_kb: u64,
    /// Linear memory of the instance, in bytes.
    pub memory_bytes: u64,
    /// Output per item in bytes, rounded up.
    pub output_bytes_per_item: u64,
}

/// A metric above its limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BudgetExceeded {
    /// The key in `[budget]`.
    pub key: &'static str,
    /// The unit, for messages: `bytes of memory`.
    #[serde(skip)]
    pub unit: &'static str,
    /// The limit.
    pub allowed: u64,
    /// The measured value.
    pub measured: u64,
    /// Number of the line in `plugin.toml` that sets the limit, from 1.
    pub line: usize,
    /// The text of that line.
    #[serde(skip)]
    pub text: String,
}

impl Metrics {
    /// Metrics of a batch of `items` items. The instance must have run the same items before, so that the one-time
    /// costs of a new instance are not counted.
    pub fn of(items: usize, input_bytes: usize, outcomes: &[Outcome], cost: Cost) -> Self {
        let (items, input_bytes) = (items.max(1) as u64, input_bytes.max(1) as u64);
        let instructions = cost.instructions.unwrap_or(0);
        let output: usize = outcomes.iter().map(|outcome| outcome.output_bytes).sum();
        Self {
            instructions_per_item: instructions.div_ceil(items),
            instructions_per_kb: instructions.saturating_mul(1000).div_ceil(input_bytes),
            memory_bytes: cost.memory_bytes as u64,
            output_bytes_per_item: (output as u64).div_ceil(items),
        }
    }

    /// The metrics that exceed the project's budget.
    pub fn exceeding(&self, project: &Project) -> Vec<BudgetExceeded> {
        let budget = &project.settings.budget;
        [
            (
                "instructions_per_item",
                "instructions per item",
                budget.instructions_per_item,
                self.instructions_per_item,
            ),
            (
                "instructions_per_kb",
                "instructions per kB of input",
                budget.instructions_per_kb,
                self.instructions_per_kb,
            ),
            ("memory_bytes", "bytes of memory", budget.memory_bytes, self.memory_bytes),
            (
                "output_bytes_per_item",
                "bytes of output per item",
                budget.output_bytes_per_item,
                self.output_bytes_per_item,
            ),
        ]
        .into_iter()
        .filter_map(|(key, unit, allowed, measured)| check(project, key, unit, allowed, measured))
        .collect()
    }
}

/// Checks the size of the component, in bytes, against the project's budget.
pub fn component_exceeded(project: &Project, bytes: u64) -> Option<BudgetExceeded> {
    let allowed = project.settings.budget.component_bytes;
    check(project, "component_bytes", "bytes", allowed, bytes)
}

/// Compares a measured value with the limit under a key; `None` if there is no limit or it is not exceeded.
fn check(
    project: &Project,
    key: &'static str,
    unit: &'static str,
    allowed: Option<u64>,
    measured: u64,
) -> Option<BudgetExceeded> {
    let allowed = allowed.filter(|allowed| measured > *allowed)?;
    let (line, text) = project.line_of("budget", key).unwrap_or((1, ""));
    Some(BudgetExceeded { key, unit, allowed, measured, line, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::PROJECT_FILE;
    use std::time::Duration;

    #[test]
    fn an_exceeded_limit_is_reported_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let text = "name = \"a\"\nlang = \"rust\"\n[budget]\ninstructions_per_item = 50\nmemory_bytes = 65_536\n\
                    component_bytes = 10\n";
        std::fs::write(dir.path().join(PROJECT_FILE), text).unwrap();
        let project = Project::open(dir.path()).unwrap();
        let cost = Cost { instructions: Some(101), memory_bytes: 65_536, time: Duration::ZERO };
        let metrics = Metrics::of(2, 1000, &[], cost);
        assert_eq!((metrics.instructions_per_item, metrics.instructions_per_kb), (51, 101));
        let found: Vec<_> = metrics
            .exceeding(&project)
            .iter()
            .map(|exceeded| (exceeded.key, exceeded.measured, exceeded.line))
            .collect();
        assert_eq!(found, [("instructions_per_item", 51, 4)]);
        assert_eq!(component_exceeded(&project, 10), None);
        assert_eq!(component_exceeded(&project, 11).map(|exceeded| exceeded.line), Some(6));
    }
}
