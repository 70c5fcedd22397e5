//! The tests of a plug-in: every fixture against its golden file, its budget, and the promise that a plug-in is a pure
//! function of its input.

use crate::{
    budget::{Figures, Overrun, component_overrun},
    changes::{Change, changes},
    fixture::{self, Fixture, FixtureError},
    items::{self, Items},
    outcome::{self, Outcome},
    project::Project,
    workbench::{Candidate, Workbench, fresh},
};
use host_core::{model::job::PluginRef, plugin::BatchFailure};
use host_plugin_host::{Config, Cost, LoadError, Plugin, Role};
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, io, path::PathBuf};

/// What the tests found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The plug-in.
    pub plugin: PluginRef,
    /// Size of its component.
    pub component_bytes: u64,
    /// Each fixture, by role and name.
    pub fixtures: Vec<Tested>,
    /// What concerns no single fixture.
    pub problems: Vec<Problem>,
}

/// What the tests found with one fixture.
#[derive(Debug, Serialize)]
pub struct Tested {
    /// `role/name`.
    pub fixture: String,
    /// How many items it has.
    pub items: usize,
    /// What an item is.
    pub noun: &'static str,
    /// What it cost.
    pub figures: Figures,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// The golden file that was written.
    pub blessed: Option<PathBuf>,
}

/// Something that makes the tests fail.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Problem {
    /// There is nothing to compare with.
    NoGolden {
        /// The file that is missing.
        golden: PathBuf,
    },
    /// The answer is not the golden one.
    Golden {
        /// The golden file.
        golden: PathBuf,
        /// The items that differ.
        items: Vec<ItemChanges>,
    },
    /// The same item got another answer under other circumstances.
    Impure {
        /// Which ones.
        circumstances: Circumstances,
        /// The items that differ.
        items: Vec<ItemChanges>,
    },
    /// The plug-in failed on an item, or gave what the contract forbids.
    Fault {
        /// The item.
        item: String,
        /// Stable name: `plugin-trap`.
        code: String,
        /// What happened.
        message: String,
        /// Functions of the plug-in, the innermost first.
        backtrace: Vec<String>,
        /// The last lines that it wrote.
        log: Vec<String>,
    },
    /// The fixture could not be run at all.
    Unusable {
        /// Why.
        message: String,
    },
    /// It costs more than it may.
    OverBudget(Overrun),
}

/// Where an answer depended on more than its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Circumstances {
    /// On an instance that had seen the same items before.
    Twice,
    /// In one batch with the items of all other fixtures.
    InABatch,
    /// After the items of the other fixtures in reverse order, one call an item.
    InAnotherOrder,
}

/// An item whose answer differs.
#[derive(Debug, Serialize)]
pub struct ItemChanges {
    /// Its name.
    pub item: String,
    /// How.
    pub changes: Vec<Change>,
}

/// Why there is nothing to report.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The plug-in cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The fixtures cannot be used.
    #[error(transparent)]
    Fixture(#[from] FixtureError),
    /// A fixture for a role that the plug-in does not have.
    #[error(
        "there is a fixture {fixture}, but the plug-in has no role `{role}`; delete it, or export the role"
    )]
    NoSuchRole {
        /// The fixture.
        fixture: String,
        /// The role.
        role: Role,
    },
    /// No thread for the plug-in.
    #[error("the thread for the plug-in cannot be started: {0}")]
    Threads(#[source] io::Error),
}

impl Report {
    /// Whether all is well.
    pub fn passed(&self) -> bool {
        self.problems.is_empty() && self.fixtures.iter().all(|fixture| fixture.problems.is_empty())
    }
}

/// Runs all fixtures of a project. With `bless`, golden files are written where they are missing or differ.
pub async fn test(project: &Project, workbench: &Workbench, bless: bool) -> Result<Report, SuiteError> {
    let candidate = workbench.read(&project.component())?;
    let plugin = candidate.configured(&project.settings.config)?;
    let fixtures = fixture::find(project)?;
    if let Some(stray) = fixtures.iter().find(|fixture| !plugin.roles().contains(&fixture.role)) {
        return Err(SuiteError::NoSuchRole { fixture: stray.label(), role: stray.role });
    }
    let mut suite = Suite { project, candidate: &candidate, bless, groups: BTreeMap::new() };
    let mut tested = Vec::new();
    for fixture in &fixtures {
        tested.push(suite.fixture(fixture, tested.len(), &plugin).await?);
    }
    for group in suite.groups.values() {
        group.check_purity(&mut tested).await?;
    }
    let problems = component_overrun(project, candidate.bytes()).map(Problem::OverBudget);
    Ok(Report {
        plugin: plugin.plugin_ref(),
        component_bytes: candidate.bytes(),
        fixtures: tested,
        problems: problems.into_iter().collect(),
    })
}

struct Suite<'a> {
    project: &'a Project,
    candidate: &'a Candidate,
    bless: bool,
    /// Fixtures that can be in one batch, by role and configuration.
    groups: BTreeMap<(Role, String), Group>,
}

/// Fixtures of one role and one configuration.
struct Group {
    plugin: Plugin,
    members: Vec<Member>,
}

/// A fixture that was run alone.
struct Member {
    /// Position among all fixtures.
    position: usize,
    items: Items,
    alone: Vec<Outcome>,
}

impl Suite<'_> {
    async fn fixture(
        &mut self,
        fixture: &Fixture,
        position: usize,
        plugin: &Plugin,
    ) -> Result<Tested, SuiteError> {
        let config = fixture.config(self.project)?;
        let sources = [fixture.input().display().to_string()];
        let grouping = &plugin.manifest().grouping;
        let mut tested = Tested {
            fixture: fixture.label(),
            items: 0,
            noun: "item",
            figures: Figures::default(),
            problems: vec![],
            blessed: None,
        };
        let unusable = |message: String| Problem::Unusable { message };
        let items = match items::read(fixture.role, grouping, &sources, usize::MAX, None) {
            Ok(read) if !read.refused.is_empty() => {
                let refused = &read.refused[0];
                let line = refused.line.map(|line| format!("line {line}: ")).unwrap_or_default();
                tested.problems.push(unusable(format!("{line}{}", refused.message)));
                return Ok(tested);
            }
            Ok(read) if read.items.is_empty() => {
                tested.problems.push(unusable("it is empty, so it tests nothing".to_owned()));
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
        let (first, second, cost) = match twice(&plugin, &items).await? {
            Ok(outcomes) => outcomes,
            Err(failure) => {
                tested.problems.push(unusable(failure.to_string()));
                return Ok(tested);
            }
        };
        tested.figures = Figures::of(items.len(), items.bytes(), &second, cost);
        tested.problems.extend(tested.figures.overruns(self.project).into_iter().map(Problem::OverBudget));
        tested.problems.extend(first.iter().filter_map(fault));
        tested.problems.extend(impurity(Circumstances::Twice, &first, &second));
        self.compare(fixture, &first, &mut tested)?;
        let group = self.groups.get_mut(&key(fixture.role, &config)).expect("it was made above");
        group.members.push(Member { position, items, alone: first });
        Ok(tested)
    }

    /// The plug-in with a fixture's configuration, loaded once.
    fn group(&mut self, role: Role, config: &Config) -> Result<&Group, LoadError> {
        let key = key(role, config);
        if !self.groups.contains_key(&key) {
            let group = Group { plugin: self.candidate.configured(config)?, members: Vec::new() };
            self.groups.insert(key.clone(), group);
        }
        Ok(&self.groups[&key])
    }

    /// Compares with the golden file, or writes it.
    fn compare(
        &self,
        fixture: &Fixture,
        outcomes: &[Outcome],
        tested: &mut Tested,
    ) -> Result<(), SuiteError> {
        let answers = faces(outcomes);
        let golden = fixture.golden();
        let expected = fixture.expected()?;
        let differ = expected.as_ref().map(|expected| item_changes(expected, &answers));
        match differ {
            Some(differ) if differ.is_empty() => {}
            _ if self.bless => {
                fixture.bless(&answers)?;
                tested.blessed = Some(golden);
            }
            Some(items) => tested.problems.push(Problem::Golden { golden, items }),
            None => tested.problems.push(Problem::NoGolden { golden }),
        }
        Ok(())
    }
}

impl Group {
    /// Runs all items in one batch, and one by one in reverse order: an answer may depend on its item alone.
    async fn check_purity(&self, tested: &mut [Tested]) -> Result<(), SuiteError> {
        let Some(all) = Items::concat(self.members.iter().map(|member| &member.items)) else { return Ok(()) };
        if all.len() < 2 {
            return Ok(());
        }
        let mut backwards = all.singles();
        backwards.reverse();
        let runs = [(Circumstances::InABatch, vec![all]), (Circumstances::InAnotherOrder, backwards)];
        for (circumstances, calls) in runs {
            match run_calls(&self.plugin, calls).await? {
                Ok(mut outcomes) => {
                    if circumstances == Circumstances::InAnotherOrder {
                        outcomes.reverse();
                    }
                    self.check_answers(circumstances, &outcomes, tested);
                }
                Err(failure) => self.blame_all(&failure, tested),
            }
        }
        Ok(())
    }

    /// Compares answers to all items of the group with those that each fixture got alone.
    fn check_answers(&self, circumstances: Circumstances, outcomes: &[Outcome], tested: &mut [Tested]) {
        let mut rest = outcomes;
        for member in &self.members {
            let theirs;
            (theirs, rest) = rest.split_at(member.alone.len().min(rest.len()));
            tested[member.position].problems.extend(impurity(circumstances, &member.alone, theirs));
        }
    }

    /// All fixtures went well alone, so the failure of a batch of them is nobody's in particular.
    fn blame_all(&self, failure: &BatchFailure, tested: &mut [Tested]) {
        for member in &self.members {
            let message = format!("alone it goes well, with the other fixtures it does not: {failure}");
            tested[member.position].problems.push(Problem::Unusable { message });
        }
    }
}

fn key(role: Role, config: &Config) -> (Role, String) {
    (role, serde_json::to_string(config).expect("JSON values always serialize"))
}

/// Outcomes of the same items on a fresh instance, then on the same one, and what the second run cost.
type Twice = Result<(Vec<Outcome>, Vec<Outcome>, Cost), BatchFailure>;

async fn twice(plugin: &Plugin, items: &Items) -> Result<Twice, SuiteError> {
    let runner = fresh(plugin).map_err(SuiteError::Threads)?;
    let run = async || outcome::run(&runner, items.clone()).await;
    Ok(match run().await {
        Err(failure) => Err(failure),
        Ok((first, _)) => run().await.map(|(second, cost)| (first, second, cost)),
    })
}

/// The outcomes of one call after the other on a fresh instance.
async fn run_calls(
    plugin: &Plugin,
    calls: Vec<Items>,
) -> Result<Result<Vec<Outcome>, BatchFailure>, SuiteError> {
    let runner = fresh(plugin).map_err(SuiteError::Threads)?;
    let mut all = Vec::new();
    for items in calls {
        match outcome::run(&runner, items).await {
            Ok((outcomes, _)) => all.extend(outcomes),
            Err(failure) => return Ok(Err(failure)),
        }
    }
    Ok(Ok(all))
}

fn impurity(circumstances: Circumstances, alone: &[Outcome], other: &[Outcome]) -> Option<Problem> {
    let items = item_changes(&faces(alone), &faces(other));
    (!items.is_empty()).then_some(Problem::Impure { circumstances, items })
}

fn faces(outcomes: &[Outcome]) -> Vec<Value> {
    outcomes.iter().map(|outcome| Value::Object(outcome.face.clone())).collect()
}

/// The items whose answers differ, in their order.
fn item_changes(before: &[Value], after: &[Value]) -> Vec<ItemChanges> {
    let name = |n: usize, value: &Value| {
        let named = value.get("product").or_else(|| value.get("document")).and_then(Value::as_str);
        named.map_or_else(|| format!("item {}", n + 1), str::to_owned)
    };
    (0..before.len().max(after.len()))
        .filter_map(|n| {
            let none = Value::Null;
            let (old, new) = (before.get(n).unwrap_or(&none), after.get(n).unwrap_or(&none));
            let changes = changes(old, new);
            let item = name(n, if new.is_null() { old } else { new });
            (!changes.is_empty()).then_some(ItemChanges { item, changes })
        })
        .collect()
}

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
