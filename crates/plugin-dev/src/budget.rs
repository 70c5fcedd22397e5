//! What a plug-in may cost by its author's own word. Instructions and memory are the same on every machine, so a budget
//! fails for what changed in the plug-in and for nothing else.

use crate::{outcome::Outcome, project::Project};
use host_plugin_host::Cost;
use serde::{Deserialize, Serialize};

/// The section `[budget]` of `plugin.toml`; what is not set is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Instructions for one item.
    pub instructions_per_item: Option<u64>,
    /// Instructions for 1,000 bytes of input.
    pub instructions_per_kb: Option<u64>,
    /// Linear memory of an instance.
    pub memory_bytes: Option<u64>,
    /// Bytes that it answers with for one item.
    pub output_bytes_per_item: Option<u64>,
    /// Size of the component.
    pub component_bytes: Option<u64>,
}

/// What the work on some items cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Instructions for one item, rounded up.
    pub instructions_per_item: u64,
    /// Instructions for 1,000 bytes of input, rounded up.
    pub instructions_per_kb: u64,
    /// Linear memory of the instance.
    pub memory_bytes: u64,
    /// Bytes of answer for one item, rounded up.
    pub output_bytes_per_item: u64,
}

/// A cost above its budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overrun {
    /// The key in `[budget]`.
    pub key: &'static str,
    /// What it costs, as the end of a sentence.
    #[serde(skip)]
    pub what: &'static str,
    /// What the budget allows.
    pub allowed: u64,
    /// What it is.
    pub measured: u64,
    /// The line of `plugin.toml` that sets it, from 1.
    pub line: usize,
    /// The text of this line.
    #[serde(skip)]
    pub text: String,
}

impl Figures {
    /// The figures of a batch that was run on an instance which had seen the same items before: what it costs to get
    /// started is paid once and shows in the time that loading takes.
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

    /// What is above the project's budget.
    pub fn overruns(&self, project: &Project) -> Vec<Overrun> {
        let budget = &project.settings.budget;
        [
            (
                "instructions_per_item",
                "instructions an item",
                budget.instructions_per_item,
                self.instructions_per_item,
            ),
            (
                "instructions_per_kb",
                "instructions a kB of input",
                budget.instructions_per_kb,
                self.instructions_per_kb,
            ),
            ("memory_bytes", "bytes of memory", budget.memory_bytes, self.memory_bytes),
            (
                "output_bytes_per_item",
                "bytes of output an item",
                budget.output_bytes_per_item,
                self.output_bytes_per_item,
            ),
        ]
        .into_iter()
        .filter_map(|(key, what, allowed, measured)| overrun(project, key, what, allowed, measured))
        .collect()
    }
}

/// Whether the component is larger than the project's budget.
pub fn component_overrun(project: &Project, bytes: u64) -> Option<Overrun> {
    let allowed = project.settings.budget.component_bytes;
    overrun(project, "component_bytes", "bytes of component", allowed, bytes)
}

fn overrun(
    project: &Project,
    key: &'static str,
    what: &'static str,
    allowed: Option<u64>,
    measured: u64,
) -> Option<Overrun> {
    let allowed = allowed.filter(|allowed| measured > *allowed)?;
    let (line, text) = project.line_of("budget", key).unwrap_or((1, ""));
    Some(Overrun { key, what, allowed, measured, line, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::PROJECT_FILE;
    use std::time::Duration;

    #[test]
    fn what_is_above_the_budget_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let text = "name = \"a\"\nlang = \"rust\"\n[budget]\ninstructions_per_item = 50\nmemory_bytes = 65_536\n\
                    component_bytes = 10\n";
        std::fs::write(dir.path().join(PROJECT_FILE), text).unwrap();
        let project = Project::open(dir.path()).unwrap();
        let cost = Cost { instructions: Some(101), memory_bytes: 65_536, time: Duration::ZERO };
        let figures = Figures::of(2, 1000, &[], cost);
        assert_eq!((figures.instructions_per_item, figures.instructions_per_kb), (51, 101));
        let found: Vec<_> =
            figures.overruns(&project).iter().map(|over| (over.key, over.measured, over.line)).collect();
        assert_eq!(found, [("instructions_per_item", 51, 4)]);
        assert_eq!(component_overrun(&project, 10), None);
        assert_eq!(component_overrun(&project, 11).map(|over| over.line), Some(6));
    }
}
