//! Faults: failures of the server that a test asks for, the rules by which they happen, and the decision for each
//! request.

use crate::operation::Operation;
use crate::random::{Random, hash};
use crate::rules::{Answer, RULES, Rule};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;

/// What goes wrong. Marqo keeps its documents in Vespa, a search engine, whose statuses some answers repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Vespa answers for a document with this status; the request itself succeeds with 200. As in the real server, the
    /// document's item in the answer has 429 for 429, 400 for 507 and 500 for 500. Items with other statuses do not
    /// occur in the real server; they are answered as they are.
    Item {
        /// Vespa's status.
        status: u16,
        /// Whether the document is written all the same.
        #[serde(default)]
        applied: bool,
    },
    /// A document's media file could not be downloaded: item 400.
    Media {
        /// The file's URL; `None`: that of an example.
        #[serde(default)]
        url: Option<String>,
        /// Why, such as `timed out`; `None`: a timeout.
        #[serde(default)]
        reason: Option<String>,
    },
    /// A document is written without the facets (a part of the text with its vector) of a tensor field.
    Partial {
        /// The field; `None`: all tensor fields.
        #[serde(default)]
        field: Option<String>,
        /// The number of reads with `expose_facets` after which the facets are there; `None`: never.
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
        /// Seconds in the header `Retry-After`; `None`: no such header, as with Marqo itself.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// 429 while more than a number of requests of the operation are in progress. Nothing is written.
    Throttle {
        /// The number of requests that may be in progress.
        above: usize,
    },
    /// 500 with `code: null`. Nothing is written.
    Internal,
    /// 500 with the text `Internal Server Error`. Nothing is written.
    Uncaught,
    /// An HTML page of a gateway with this status. Nothing is written.
    Gateway {
        /// The HTTP status, such as 502.
        status: u16,
    },
    /// An HTML page with 200. Nothing is written.
    Html,
    /// The answer comes later by a time.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// There is never an answer. Nothing is written.
    Hang,
    /// The request or document is refused by a rule of the table of Marqo's behaviour, though nothing is wrong with it:
    /// for refusals that the client under test cannot cause. Nothing is written.
    Refused {
        /// The rule's name. A rule about items refuses documents, any other the whole request.
        rule: String,
        /// The message of the refusal.
        message: String,
    },
    /// The connection is reset. Nothing is written.
    ResetBefore,
    /// Everything is written, then the connection is reset.
    ResetAfterApply,
    /// Everything is written, then answered with 500 (`code: null`) or with an HTML page of a gateway.
    ErrorAfter {
        /// 500, or a gateway's status such as 504.
        status: u16,
    },
    /// Everything is written, but the JSON of the answer is cut off in the middle.
    Truncated,
}

impl Fault {
    /// Whether it concerns single documents instead of the whole request.
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

/// The rule of this name in the table of Marqo's behaviour; `None` if there is none.
pub(crate) fn named(name: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.name() == name)
}

/// A fault and when it happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// What goes wrong.
    pub fault: Fault,
    /// The operation that it happens in; `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// The id of the document that it happens to, where a `*` at the end matches anything; `None`: any document. A
    /// fault of the whole request happens if one of its documents matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// The probability with which it happens, from 0 to 1.
    #[serde(default = "always")]
    pub probability: f64,
    /// The number of first times at which it does not happen.
    #[serde(default)]
    pub skip: u64,
    /// How often it happens at most; `None`: no limit. A fault of items counts items, any other requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

fn always() -> f64 {
    1.0
}

impl FaultRule {
    /// A fault that happens always and to everything.
    pub fn new(fault: Fault) -> Self {
        Self { fault, operation: None, document: None, probability: 1.0, skip: 0, next: None }
    }

    /// Restricts it to an operation.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Restricts it to a document, or to those whose ids begin with what precedes a `*`.
    #[must_use]
    pub fn document(mut self, id: &str) -> Self {
        self.document = Some(id.to_owned());
        self
    }

    /// Has it happen with this probability.
    #[must_use]
    pub fn probability(mut self, share: f64) -> Self {
        self.probability = share;
        self
    }

    /// Has it happen at most so many times.
    #[must_use]
    pub fn next(mut self, times: u64) -> Self {
        self.next = Some(times);
        self
    }

    /// Has it not happen the first so many times.
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

/// The faults that one request gets.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultDecision {
    pub(crate) delay: Duration,
    /// What fails in place of an answer; the request is not executed.
    pub(crate) before: Option<Fault>,
    /// What fails after the request was executed.
    pub(crate) after: Option<Fault>,
    /// What happens to single documents, by their ids.
    pub(crate) items: HashMap<String, Fault>,
}

/// Decides which faults a request gets. The decision depends only on the seed, the request's ids and how often they
/// came before, so that it is the same in every run, whatever the order in which concurrent requests arrive. (Only
/// `next` and `skip` count arrivals.)
#[derive(Debug)]
pub(crate) struct FaultInjector {
    seed: u64,
    rules: Vec<(FaultRule, RuleCounter)>,
}

/// How often a rule was considered and its fault has happened.
#[derive(Debug, Default)]
struct RuleCounter {
    considered: u64,
    happened: u64,
    /// How often it was considered for the same request or document, by a hash of that.
    repeats: HashMap<u64, u64>,
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

    /// Decides for a request; `running` counts the requests of this operation that are in progress, this one included.
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
            let matches = rule.document.is_none() || ids.iter().any(|id| rule.matches_document(id));
            let is_free = match &rule.fault {
                Fault::Slow { .. } => true,
                Fault::Throttle { above } => decision.before.is_none() && running > *above,
                fault if fault.is_after_applying() => decision.after.is_none(),
                _ => decision.before.is_none(),
            };
            if !matches || !is_free || !counter.happens(rule, hash((seed, ids))) {
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
    /// Whether a fault happens now; `key` is the hash of the request or document.
    fn happens(&mut self, rule: &FaultRule, key: u64) -> bool {
        let times = self.repeats.entry(key).or_insert(0);
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
        let hit_ids = |order: &[usize]| {
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
        assert_eq!(hit_ids(&forward), hit_ids(&backward));
        assert!((30..90).contains(&hit_ids(&forward).len()));
    }

    #[test]
    fn a_retry_of_the_same_documents_gets_its_own_decision() {
        let mut injector = FaultInjector::new(1, &[FaultRule::new(Fault::ResetAfterApply).probability(0.5)]);
        let happened: Vec<bool> =
            (0..20).map(|_| injector.decide(Operation::Add, &ids(3), 1).after.is_some()).collect();
        assert!(happened.contains(&true) && happened.contains(&false));
    }

    #[test]
    fn skip_and_next_count_requests() {
        let mut injector = FaultInjector::new(0, &[FaultRule::new(Fault::Internal).skip(1).next(2)]);
        let happened: Vec<bool> =
            (0..5).map(|_| injector.decide(Operation::Add, &[], 1).before.is_some()).collect();
        assert_eq!(happened, [false, true, true, false, false]);
    }

    #[test]
    fn a_rule_is_read_from_json_and_unknown_keys_are_refused() {
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
