//! Every case the stand-in knows, in one table.
//!
//! The code takes status and code of a refusal from the table, and notes each rule that it applies: that is how the tests
//! know that no rule is without a case.

mod table;

pub use table::RULES;
pub(crate) use table::*;

use std::fmt::Write as _;

/// One case of the reference and the answer to it.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    pub(crate) constant: &'static str,
    /// Where it holds.
    pub versions: Versions,
    /// The section of the reference of Marqo's API.
    pub section: &'static str,
    /// The case, in the words of the reference.
    pub case: &'static str,
    /// What is answered.
    pub answer: Answer,
}

/// Which servers a rule holds for.
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
    /// The body's form is wrong: 422 with `detail`.
    Shape,
    /// FastAPI's own `{"detail": …}`.
    Framework(u16),
    /// The item is refused; the others are served.
    Item {
        /// The item's status.
        status: u16,
        /// The item's code; PATCH and get have none.
        code: Option<&'static str>,
        /// The `_id` of the item.
        id: ItemId,
    },
    /// The request is served, in this way.
    Served(&'static str),
    /// A proxy in front of the server answers.
    Gateway(&'static str),
}

/// The `_id` of a refused item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemId {
    /// The document's.
    Given,
    /// `""`: only the position identifies the document.
    Empty,
}

impl Rule {
    /// The stable name.
    pub fn name(&self) -> String {
        self.constant.to_lowercase().replace('_', "-")
    }
}

/// The table as text.
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
    fn names_are_distinct_and_nothing_is_empty() {
        let names: BTreeSet<String> = RULES.iter().map(|rule| rule.name()).collect();
        assert_eq!(names.len(), RULES.len());
        for rule in RULES {
            assert!(!rule.case.is_empty() && !rule.section.is_empty(), "{}", rule.name());
            assert!(listing().contains(&rule.name()));
        }
    }
}
