//! Faults on request: what can go wrong, when, and how it is decided.

use crate::operation::Operation;
use crate::random::{Random, hash};
use crate::rules::{Answer, RULES, Rule};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// A document is answered with this status of Vespa inside a 200: 429 and 507 become the real server's items 429 and
    /// 400, 500 its item 500. For other statuses, 409 among them, the real server has no item; they are answered as asked.
    Item {
        /// Vespa's status.
        status: u16,
        /// The write has landed all the same.
        #[serde(default)]
        applied: bool,
    },
    /// A document's media file could not be downloaded: item 400.
    Media {
        /// Of the file.
        #[serde(default)]
        url: Option<String>,
        /// Such as `timed out`.
        #[serde(default)]
        reason: Option<String>,
    },
    /// A document is written without the facets of a tensor field.
    Partial {
        /// The field; none: all of them.
        #[serde(default)]
        field: Option<String>,
        /// After so many reads with `expose_facets` they are there; none: never.
        #[serde(default)]
        reads: Option<u32>,
    },
    /// 409, the schema is locked. Nothing is written.
    SchemaLocked,
    /// 409, another request changed the schema. Nothing is written.
    SchemaRaced,
    /// 500, a schema rollout is unfinished. Nothing is written.
    SchemaNotConverged,
    /// 429 from a gateway. Nothing is written.
    TooManyRequests {
        /// Seconds in `Retry-After`; none: no such header, as with Marqo itself.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// 429 while more than so many requests of the operation run. Nothing is written.
    Throttle {
        /// How many may run.
        above: usize,
    },
    /// 500 with `code: null`. Nothing is written.
    Internal,
    /// 500 with the text `Internal Server Error`. Nothing is written.
    Uncaught,
    /// HTML of a gateway with this status. Nothing is written.
    Gateway {
        /// Such as 502.
        status: u16,
    },
    /// 200 with HTML. Nothing is written.
    Html,
    /// The answer comes so much later.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// No answer ever. Nothing is written.
    Hang,
    /// Refused as a rule of the table says, though nothing is wrong with the request or the document: for cases that the
    /// client under test cannot bring about. Nothing is written.
    Refused {
        /// The rule's name. One of an item refuses documents, any other the request.
        rule: String,
        /// What the server says.
        message: String,
    },
    /// The connection is reset. Nothing is written.
    ResetBefore,
    /// Everything is written, then the connection is reset.
    ResetAfterApply,
    /// Everything is written, then answered with 500 (`code: null`) or with the HTML of a gateway.
    ErrorAfter {
        /// 500, or such as 504.
        status: u16,
    },
    /// Everything is written, the JSON of the answer ends in the middle.
    Truncated,
}

impl Fault {
    fn is_of_items(&self) -> bool {
        match self {
            Self::Item { .. } | Self::Media { .. } | Self::Partial { .. } => true,
            Self::Refused { rule, .. } => {
                named(rule).is_some_and(|rule| matches!(rule.answer, Answer::Item { .. }))
            }
            _ => false,
        }
    }

    fn is_after_applying(&self) -> bool {
        matches!(self, Self::ResetAfterApply | Self::ErrorAfter { .. } | Self::Truncated)
    }
}

/// The rule of this name.
pub(crate) fn named(name: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.name() == name)
}

/// A fault and when it happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// What goes wrong.
    pub fault: Fault,
    /// In which operation; none: in any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// To which document, by its id; a `*` at the end matches anything. A fault of the whole request happens if one of
    /// its documents matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// How often, from 0 to 1.
    #[serde(default = "always")]
    pub probability: f64,
    /// The first so many times are spared.
    #[serde(default)]
    pub skip: u64,
    /// Happens at most so often; a fault of items counts items, any other requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

fn always() -> f64 {
    1.0
}

impl FaultRule {
    /// Happens always, to everything.
    pub fn new(fault: Fault) -> Self {
        Self { fault, operation: None, document: None, probability: 1.0, skip: 0, next: None }
    }

    /// Only in this operation.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Only to this document, or those whose ids start with what precedes a `*`.
    #[must_use]
    pub fn document(mut self, id: &str) -> Self {
        self.document = Some(id.to_owned());
        self
    }

    /// With this probability.
    #[must_use]
    pub fn probability(mut self, share: f64) -> Self {
        self.probability = share;
        self
    }

    /// At most so often.
    #[must_use]
    pub fn next(mut self, times: u64) -> Self {
        self.next = Some(times);
        self
    }

    /// The first so many times are spared.
    #[must_use]
    pub fn skip(mut self, times: u64) -> Self {
        self.skip = times;
        self
    }

    fn matches_document(&self, id: &str) -> bool {
        match self.document.as_deref() {
            None => true,
            Some(pattern) => match pattern.strip_suffix('*') {
                Some(start) => id.starts_with(start),
                None => pattern == id,
            },
        }
    }
}

/// The faults of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultDecision {
    pub(crate) delay: Duration,
    /// In place of the answer; nothing is applied.
    pub(crate) before: Option<Fault>,
    /// After the request was applied.
    pub(crate) after: Option<Fault>,
    /// By document id.
    pub(crate) items: HashMap<String, Fault>,
}

/// Decides which faults a request gets. The decision for a request follows from the seed, its ids and how often they came before, so that it is the
/// same in every run, whatever the order in which concurrent requests arrive. (`next` and `skip` count arrivals.)
#[derive(Debug)]
pub(crate) struct FaultInjector {
    seed: u64,
    rules: Vec<(FaultRule, RuleCounter)>,
}

#[derive(Debug, Default)]
struct RuleCounter {
    considered: u64,
    happened: u64,
    /// How often the same was asked, by what was asked.
    asked: HashMap<u64, u64>,
}

impl FaultInjector {
    pub(crate) fn new(seed: u64, rules: &[FaultRule]) -> Self {
        Self { seed, rules: rules.iter().map(|rule| (rule.clone(), RuleCounter::default())).collect() }
    }

    pub(crate) fn rules(&self) -> Vec<FaultRule> {
        self.rules.iter().map(|(rule, _)| rule.clone()).collect()
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// `running` counts the requests of this operation, this one included.
    pub(crate) fn decide(&mut self, operation: Operation, ids: &[String], running: usize) -> FaultDecision {
        let mut decision = FaultDecision::default();
        for (index, (rule, counter)) in self.rules.iter_mut().enumerate() {
            if rule.operation.is_some_and(|only| only != operation) {
                continue;
            }
            let seed = hash((self.seed, index));
            if rule.fault.is_of_items() {
                for id in ids {
                    if !decision.items.contains_key(id)
                        && rule.matches_document(id)
                        && counter.happens(rule, hash((seed, id)))
                    {
                        decision.items.insert(id.clone(), rule.fault.clone());
                    }
                }
                continue;
            }
            let concerns = rule.document.is_none() || ids.iter().any(|id| rule.matches_document(id));
            let is_free = match &rule.fault {
                Fault::Slow { .. } => true,
                Fault::Throttle { above } => decision.before.is_none() && running > *above,
                fault if fault.is_after_applying() => decision.after.is_none(),
                _ => decision.before.is_none(),
            };
            if !concerns || !is_free || !counter.happens(rule, hash((seed, ids))) {
                continue;
            }
            match &rule.fault {
                Fault::Slow { ms } => decision.delay += Duration::from_millis(*ms),
                fault if fault.is_after_applying() => decision.after = Some(fault.clone()),
                fault => decision.before = Some(fault.clone()),
            }
        }
        decision
    }
}

impl RuleCounter {
    fn happens(&mut self, rule: &FaultRule, key: u64) -> bool {
        let times = self.asked.entry(key).or_insert(0);
        *times += 1;
        let share = Random::new(hash((key, *times))).share();
        self.considered += 1;
        let is_due = self.considered > rule.skip && rule.next.is_none_or(|limit| self.happened < limit);
        let happens = is_due && share < rule.probability;
        self.happened += u64::from(happens);
        happens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("d{number}")).collect()
    }

    #[test]
    fn the_order_of_arrival_does_not_change_what_happens() {
        let rules = [FaultRule::new(Fault::Item { status: 429, applied: false }).probability(0.3)];
        let fates = |order: &[usize]| {
            let mut injector = FaultInjector::new(7, &rules);
            let mut hit = Vec::new();
            for &number in order {
                hit.extend(injector.decide(Operation::Add, &[format!("d{number}")], 1).items.into_keys());
            }
            hit.sort();
            hit
        };
        let forward: Vec<usize> = (0..200).collect();
        let backward: Vec<usize> = (0..200).rev().collect();
        assert_eq!(fates(&forward), fates(&backward));
        assert!((30..90).contains(&fates(&forward).len()));
    }

    #[test]
    fn another_try_of_the_same_documents_is_decided_anew() {
        let mut injector = FaultInjector::new(1, &[FaultRule::new(Fault::ResetAfterApply).probability(0.5)]);
        let happened: Vec<bool> =
            (0..20).map(|_| injector.decide(Operation::Add, &ids(3), 1).after.is_some()).collect();
        assert!(happened.contains(&true) && happened.contains(&false));
    }

    #[test]
    fn skip_and_next_count() {
        let mut injector = FaultInjector::new(0, &[FaultRule::new(Fault::Internal).skip(1).next(2)]);
        let happened: Vec<bool> =
            (0..5).map(|_| injector.decide(Operation::Add, &[], 1).before.is_some()).collect();
        assert_eq!(happened, [false, true, true, false, false]);
    }

    #[test]
    fn a_rule_is_read_from_json_and_a_typing_error_is_told() {
        let rule: FaultRule = serde_json::from_str(
            r#"{"operation":"add","fault":{"item":{"status":429}},"document":"a*","next":3}"#,
        )
        .unwrap();
        let expected = FaultRule::new(Fault::Item { status: 429, applied: false })
            .on(Operation::Add)
            .document("a*")
            .next(3);
        assert_eq!(rule, expected);
        assert!(serde_json::from_str::<FaultRule>(r#"{"fault":"hang","probabilty":1}"#).is_err());
        assert!(serde_json::from_str::<FaultRule>(r#"{"fault":{"slow":{"ms":1,"x":2}}}"#).is_err());
    }
}
