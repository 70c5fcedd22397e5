//! Every rule of the table of Marqo's behaviour has a test case that applies it.

use crate::cases;
use crate::support::Harness;
use marqo_stand_in::{Options, RULES, Version, Versions};
use std::collections::BTreeSet;

/// A test case: the name of a rule, the version of Marqo, and the function that sends the requests to which the rule
/// applies.
pub(crate) type Case = (&'static str, Version, fn(&Harness));

fn cases() -> Vec<Case> {
    [
        cases::requests::CASES,
        cases::documents::CASES,
        cases::reading::CASES,
        cases::updates::CASES,
        cases::failing::CASES,
    ]
    .concat()
}

#[test]
fn every_rule_has_a_case() {
    let tried: BTreeSet<String> = cases().iter().map(|(name, ..)| (*name).to_owned()).collect();
    let known: BTreeSet<String> = RULES.iter().map(|rule| rule.name()).collect();
    let without: Vec<_> = known.difference(&tried).collect();
    assert!(without.is_empty(), "rules without a case: {without:?}");
    let unknown: Vec<_> = tried.difference(&known).collect();
    assert!(unknown.is_empty(), "cases of no rule: {unknown:?}");
}

#[test]
fn every_case_applies_its_rule() {
    for (name, version, run) in cases() {
        println!("{name} on {version}");
        let rule = RULES.iter().find(|rule| rule.name() == name).unwrap();
        let holds = match rule.versions {
            Versions::All => true,
            Versions::Old => version == Version::V2_13,
            Versions::New => version == Version::V2_25,
        };
        assert!(holds, "{name} does not hold for {version}");
        let api_key = Some("key".to_owned());
        let harness = Harness::with(Options { version, api_key, ..Options::default() });
        run(&harness);
        let met = harness.stand_in.rules_met();
        assert!(met.contains_key(name), "{name} was not applied on {version}, but these: {met:?}");
    }
}
