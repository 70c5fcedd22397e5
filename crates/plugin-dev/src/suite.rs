//! The test suite of a plug-in project. It runs each fixture (test case), compares the answers with its golden file
//! (the expected answers) and the cost with the budget, and checks purity: that the answer to an item (a product, a
//! document or a pair of versions) depends on the item alone.

use crate::{
    budget::{BudgetExceeded, Metrics, component_exceeded},
    engine::{ComponentFile, DevEngine, fresh_runner},
    fixture::{self, Fixture, FixtureError},
    items::{self, Items},
    json_diff::{self, Change},
    outcome::{self, Outcome},
    project::Project,
};
use host_core::{model::job::PluginRef, plugin::BatchFailure};
use host_plugin_host::{Config, Cost, LoadError, Plugin, Role};
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, io, path::PathBuf};

/// The result of a test run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The plug-in.
    pub plugin: PluginRef,
    /// Size of its component in bytes.
    pub component_bytes: u64,
    /// One result per fixture, sorted by role and name.
    pub fixtures: Vec<FixtureReport>,
    /// Problems of the component as a whole.
    pub problems: Vec<Problem>,
}

/// The result of one fixture.
#[derive(Debug, Serialize)]
pub struct FixtureReport {
    /// `role/name`.
    pub fixture: String,
    /// Number of items.
    pub items: usize,
    /// What an item is called: `product`, `document`, `pair`.
    pub noun: &'static str,
    /// What the items cost.
    #[serde(rename = "figures")]
    pub metrics: Metrics,
    /// Why it fails; empty if it passes.
    pub problems: Vec<Problem>,
    /// The golden file, if this run wrote it.
    pub blessed: Option<PathBuf>,
}

/// Why a test run fails.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Problem {
    /// The golden file does not exist.
    #[serde(rename = "no-golden")]
    GoldenMissing {
        /// The missing file.
        golden: PathBuf,
    },
    /// The answers differ from the golden file.
    #[serde(rename = "golden")]
    GoldenMismatch {
        /// The golden file.
        golden: PathBuf,
        /// The items that differ.
        items: Vec<ItemChanges>,
    },
    /// An item got another answer when it was run differently.
    Impure {
        /// The run whose answers differ.
        #[serde(rename = "circumstances")]
        variant: PurityVariant,
        /// The items that differ.
        items: Vec<ItemChanges>,
    },
    /// The plug-in trapped on an item or broke the contract.
    Fault {
        /// The item.
        item: String,
        /// Code of the failure: `plugin-trap`.
        code: String,
        /// What happened.
        message: String,
        /// The plug-in's stack, innermost function first.
        backtrace: Vec<String>,
        /// The last lines that the plug-in logged.
        log: Vec<String>,
    },
    /// The fixture cannot be run.
    Unusable {
        /// The reason.
        message: String,
    },
    /// A metric exceeds the budget.
    OverBudget(BudgetExceeded),
}

/// How the purity check runs items a second time; the answers must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum PurityVariant {
    /// On an instance that has run the same items before.
    #[serde(rename = "twice")]
    Repeated,
    /// In one batch with the items of all other fixtures.
    #[serde(rename = "in-a-batch")]
    Batched,
    /// In reverse order with the items of all other fixtures, one call per item.
    #[serde(rename = "in-another-order")]
    Reordered,
}

/// The changes in the answer to one item.
#[derive(Debug, Serialize)]
pub struct ItemChanges {
    /// The item's name.
    pub item: String,
    /// The places that differ.
    pub changes: Vec<Change>,
}

/// Why the suite cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The plug-in cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The fixtures cannot be read.
    #[error(transparent)]
    Fixture(#[from] FixtureError),
    /// A fixture tests a role that the plug-in does not have.
    #[error(
        "the fixture {fixture} tests the role `{role}`, which the plug-in does not have: export the role, or delete the fixture"
    )]
    NoSuchRole {
        /// The fixture.
        fixture: String,
        /// The role.
        role: Role,
    },
    /// The plug-in's thread cannot be started.
    #[error("cannot start a thread for the plug-in: {0}")]
    Threads(#[source] io::Error),
}

impl Report {
    /// Whether no problem was found.
    pub fn passed(&self) -> bool {
        self.problems.is_empty() && self.fixtures.iter().all(|fixture| fixture.problems.is_empty())
    }
}

/// Runs all fixtures of a project. `bless` writes the golden files that are missing or differ, instead of failing.
///
/// # Errors
/// The component or the fixtures cannot be used; problems of single fixtures are part of the report.
pub async fn test(project: &Project, engine: &DevEngine, bless: bool) -> Result<Report, SuiteError> {
    let component = engine.read(&project.component())?;
    let plugin = component.load(&project.settings.config)?;
    let fixtures = fixture::find(project)?;
    if let Some(fixture) = fixtures.iter().find(|fixture| !plugin.roles().contains(&fixture.role)) {
        return Err(SuiteError::NoSuchRole { fixture: fixture.label(), role: fixture.role });
    }
    let mut suite = Suite { project, component: &component, bless, groups: BTreeMap::new() };
    let mut tested = Vec::new();
    for fixture in &fixtures {
        tested.push(suite.fixture(fixture, tested.len(), &plugin).await?);
    }
    for group in suite.groups.values() {
        group.check_purity(&mut tested).await?;
    }
    let problems = component_exceeded(project, component.bytes()).map(Problem::OverBudget);
    Ok(Report {
        plugin: plugin.plugin_ref(),
        component_bytes: component.bytes(),
        fixtures: tested,
        problems: problems.into_iter().collect(),
    })
}

/// A test run in progress.
struct Suite<'a> {
    project: &'a Project,
    component: &'a ComponentFile,
    /// Whether to write golden files that are missing or differ.
    bless: bool,
    /// Fixtures that can share a batch, by role and configuration.
    groups: BTreeMap<(Role, String), Group>,
}

/// The fixtures of one role and configuration.
struct Group {
    plugin: Plugin,
    members: Vec<Member>,
}

/// A fixture that ran on its own without a failure of the whole batch.
struct Member {
    /// Index of the fixture's report.
    position: usize,
    items: Items,
    /// The outcomes of its own run.
    baseline: Vec<Outcome>,
}

impl Suite<'_> {
    /// Runs a fixture on its own; `position` is the index of its report. Adds it to its group unless it failed as a
    /// whole.
    async fn fixture(
        &mut self,
        fixture: &Fixture,
        position: usize,
        plugin: &Plugin,
    ) -> Result<FixtureReport, SuiteError> {
        let config = fixture.config(self.project)?;
        let sources = [fixture.input().display().to_string()];
        let grouping = &plugin.manifest().grouping;
        let mut tested = FixtureReport {
            fixture: fixture.label(),
            items: 0,
            noun: "item",
            metrics: Metrics::default(),
            problems: vec![],
            blessed: None,
        };
        let unusable = |message: String| Problem::Unusable { message };
        let items = match items::read(fixture.role, grouping, &sources, usize::MAX, None) {
            Ok(read) if !read.rejected.is_empty() => {
                let rejected = &read.rejected[0];
                let line = rejected.line.map(|line| format!("line {line}: ")).unwrap_or_default();
                tested.problems.push(unusable(format!("{line}{}", rejected.message)));
                return Ok(tested);
            }
            Ok(read) if read.items.is_empty() => {
                tested.problems.push(unusable("the fixture has no items".to_owned()));
                return Ok(tested);
            }
            Ok(read) => read.items,
            Err(error) => {
                tested.problems.push(unusable(error.to_string()));
                return Ok(tested);
            }
        };
        (tested.items, tested.noun) = (items.len(), items.noun());
        let plugin = match self.group(fixture.role, &config) {
            Ok(group) => group.plugin.clone(),
            Err(error) => {
                tested.problems.push(unusable(error.to_string()));
                return Ok(tested);
            }
        };
        let (first, second, cost) = match run_twice(&plugin, &items).await? {
            Ok(outcomes) => outcomes,
            Err(failure) => {
                tested.problems.push(unusable(failure.to_string()));
                return Ok(tested);
            }
        };
        tested.metrics = Metrics::of(items.len(), items.bytes(), &second, cost);
        tested.problems.extend(tested.metrics.exceeding(self.project).into_iter().map(Problem::OverBudget));
        tested.problems.extend(first.iter().filter_map(fault));
        tested.problems.extend(impurity(PurityVariant::Repeated, &first, &second));
        self.compare(fixture, &first, &mut tested)?;
        let group = self.groups.get_mut(&key(fixture.role, &config)).expect("`group` inserted it");
        group.members.push(Member { position, items, baseline: first });
        Ok(tested)
    }

    /// The group of a role and configuration; the first call loads its plug-in.
    fn group(&mut self, role: Role, config: &Config) -> Result<&Group, LoadError> {
        let key = key(role, config);
        if !self.groups.contains_key(&key) {
            let group = Group { plugin: self.component.load(config)?, members: Vec::new() };
            self.groups.insert(key.clone(), group);
        }
        Ok(&self.groups[&key])
    }

    /// Compares the answers with the golden file, or writes it if `bless` is set.
    fn compare(
        &self,
        fixture: &Fixture,
        outcomes: &[Outcome],
        tested: &mut FixtureReport,
    ) -> Result<(), SuiteError> {
        let answers = answers(outcomes);
        let golden = fixture.golden();
        let expected = fixture.expected()?;
        let changed = expected.as_ref().map(|expected| item_changes(expected, &answers));
        match changed {
            Some(items) if items.is_empty() => {}
            _ if self.bless => {
                fixture.bless(&answers)?;
                tested.blessed = Some(golden);
            }
            Some(items) => tested.problems.push(Problem::GoldenMismatch { golden, items }),
            None => tested.problems.push(Problem::GoldenMissing { golden }),
        }
        Ok(())
    }
}

impl Group {
    /// Runs all items in one batch, and one by one in reverse order: answers must not depend on neighbours or order.
    async fn check_purity(&self, tested: &mut [FixtureReport]) -> Result<(), SuiteError> {
        let Some(all) = Items::concat(self.members.iter().map(|member| &member.items)) else { return Ok(()) };
        if all.len() < 2 {
            return Ok(());
        }
        let mut reversed = all.singles();
        reversed.reverse();
        let runs = [(PurityVariant::Batched, vec![all]), (PurityVariant::Reordered, reversed)];
        for (variant, calls) in runs {
            match run_calls(&self.plugin, calls).await? {
                Ok(mut outcomes) => {
                    if variant == PurityVariant::Reordered {
                        outcomes.reverse();
                    }
                    self.check_answers(variant, &outcomes, tested);
                }
                Err(failure) => self.fail_all(&failure, tested),
            }
        }
        Ok(())
    }

    /// Compares the answers to all items of the group with those of each fixture's own run.
    fn check_answers(&self, variant: PurityVariant, outcomes: &[Outcome], tested: &mut [FixtureReport]) {
        let mut rest = outcomes;
        for member in &self.members {
            let repeated;
            (repeated, rest) = rest.split_at(member.baseline.len().min(rest.len()));
            tested[member.position].problems.extend(impurity(variant, &member.baseline, repeated));
        }
    }

    /// Each fixture ran alone without a failure, so the failure of a joint run is reported for all of them.
    fn fail_all(&self, failure: &BatchFailure, tested: &mut [FixtureReport]) {
        for member in &self.members {
            let message =
                format!("the plug-in fails when the items of several fixtures are run together: {failure}");
            tested[member.position].problems.push(Problem::Unusable { message });
        }
    }
}

/// The key of a group: the role and the JSON text of the configuration.
fn key(role: Role, config: &Config) -> (Role, String) {
    (role, serde_json::to_string(config).expect("JSON values always serialize"))
}

/// Outcomes on a new instance, outcomes of the same items on the same instance, and the cost of the second run.
type TwoRuns = Result<(Vec<Outcome>, Vec<Outcome>, Cost), BatchFailure>;

/// Runs items twice on a new instance.
async fn run_twice(plugin: &Plugin, items: &Items) -> Result<TwoRuns, SuiteError> {
    let runner = fresh_runner(plugin).map_err(SuiteError::Threads)?;
    let run = async || outcome::run(&runner, items.clone()).await;
    Ok(match run().await {
        Err(failure) => Err(failure),
        Ok((first, _)) => run().await.map(|(second, cost)| (first, second, cost)),
    })
}

/// The outcomes of several calls, one after the other on a new instance.
async fn run_calls(
    plugin: &Plugin,
    calls: Vec<Items>,
) -> Result<Result<Vec<Outcome>, BatchFailure>, SuiteError> {
    let runner = fresh_runner(plugin).map_err(SuiteError::Threads)?;
    let mut all = Vec::new();
    for items in calls {
        match outcome::run(&runner, items).await {
            Ok((outcomes, _)) => all.extend(outcomes),
            Err(failure) => return Ok(Err(failure)),
        }
    }
    Ok(Ok(all))
}

/// The problem that answers differ from those of the items' own run; `None` if they are equal.
fn impurity(variant: PurityVariant, alone: &[Outcome], other: &[Outcome]) -> Option<Problem> {
    let items = item_changes(&answers(alone), &answers(other));
    (!items.is_empty()).then_some(Problem::Impure { variant, items })
}

/// The answers in the form of golden files.
fn answers(outcomes: &[Outcome]) -> Vec<Value> {
    outcomes.iter().map(|outcome| Value::Object(outcome.answer.clone())).collect()
}

/// The items whose answers differ, in the order of the items.
fn item_changes(before: &[Value], after: &[Value]) -> Vec<ItemChanges> {
    let name = |index: usize, answer: &Value| {
        let id = answer.get("product").or_else(|| answer.get("document")).and_then(Value::as_str);
        id.map_or_else(|| format!("item {}", index + 1), str::to_owned)
    };
    (0..before.len().max(after.len()))
        .filter_map(|index| {
            let none = Value::Null;
            let (old, new) = (before.get(index).unwrap_or(&none), after.get(index).unwrap_or(&none));
            let changes = json_diff::diff(old, new);
            let item = name(index, if new.is_null() { old } else { new });
            (!changes.is_empty()).then_some(ItemChanges { item, changes })
        })
        .collect()
}

/// The problem that the plug-in failed on an item; `None` if it did not.
fn fault(outcome: &Outcome) -> Option<Problem> {
    let refusal = outcome.fault()?;
    let lines = |key: &str| {
        let lines = refusal.details.get(key).and_then(Value::as_array);
        lines.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    Some(Problem::Fault {
        item: outcome.item.clone(),
        code: refusal.code.clone(),
        message: refusal.message.clone(),
        backtrace: lines("backtrace"),
        log: lines("log"),
    })
}
