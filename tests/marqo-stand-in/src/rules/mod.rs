//! The rules of Marqo's behaviour: every case that the stand-in knows and how Marqo answers it, in one table.
//!
//! The code takes the status and code of a refusal from the table and notes each rule that it applies, so that a test
//! can check that every rule is tested.

mod table;

pub use table::RULES;
pub(crate) use table::*;

use std::fmt::Write as _;

/// A case and Marqo's answer to it. Cases are numbered and worded as in a reference of Marqo's API that this stand-in
/// was written by.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// The name of the constant in the table.
    pub(crate) constant: &'static str,
    /// The versions of Marqo that it holds for.
    pub versions: Versions,
    /// The section of the reference.
    pub section: &'static str,
    /// The case, in the words of the reference.
    pub case: &'static str,
    /// What is answered.
    pub answer: Answer,
}

/// The versions of Marqo that a rule holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// 2.13 and newer.
    All,
    /// 2.13 alone.
    Old,
    /// Newer than 2.13.
    New,
}

/// What is answered when a rule applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The whole request is refused.
    Whole {
        /// The HTTP status.
        status: u16,
        /// The body's `code`.
        code: Option<&'static str>,
        /// The body's `type`.
        kind: Option<&'static str>,
    },
    /// The body is malformed: 422 with `detail`.
    Shape,
    /// FastAPI, Marqo's web framework, answers `{"detail": …}` with this status.
    Framework(u16),
    /// One item of the request is refused; the others are not.
    Item {
        /// The item's status.
        status: u16,
        /// The item's code; PATCH and get have none.
        code: Option<&'static str>,
        /// The `_id` of the item.
        id: ItemId,
    },
    /// The request succeeds, in this way.
    Served(&'static str),
    /// A proxy in front of Marqo answers, in this way.
    Gateway(&'static str),
}

/// The `_id` of a refused item in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemId {
    /// The document's id.
    Given,
    /// `""`: only the position identifies the document.
    Empty,
}

impl Rule {
    /// The stable name: that of the constant, in kebab-case.
    pub fn name(&self) -> String {
        self.constant.to_lowercase().replace('_', "-")
    }
}

/// The table as text for people.
pub fn listing() -> String {
    let mut text = String::new();
    for rule in RULES {
        let versions = match rule.versions {
            Versions::All => "",
            Versions::Old => "  [2.13]",
            Versions::New => "  [newer]",
        };
        let _ = write!(
            text,
            "{}  §{}{versions}\n    {}\n    → {}\n",
            rule.name(),
            rule.section,
            rule.case,
            rule.answer
        );
    }
    text
}

impl std::fmt::Display for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole { status, code, .. } => {
                write!(formatter, "request {status} {}", code.unwrap_or("code null"))
            }
            Self::Shape => formatter.write_str("request 422 unprocessable_entity"),
            Self::Framework(status) => write!(formatter, "request {status} {{\"detail\": …}}"),
            Self::Item { status, code, id } => {
                let id = if *id == ItemId::Empty { ", _id \"\"" } else { "" };
                write!(formatter, "item {status} {}{id}", code.unwrap_or("without code"))
            }
            Self::Served(how) | Self::Gateway(how) => formatter.write_str(how),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_distinct_and_each_rule_is_in_the_listing() {
        let names: BTreeSet<String> = RULES.iter().map(|rule| rule.name()).collect();
        assert_eq!(names.len(), RULES.len());
        for rule in RULES {
            assert!(!rule.case.is_empty() && !rule.section.is_empty(), "{}", rule.name());
            assert!(listing().contains(&rule.name()));
        }
    }
}
