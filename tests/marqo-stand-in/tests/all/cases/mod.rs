//! The test cases for the rules of Marqo's behaviour, by what they are about. Each has the name of its rule.

pub(crate) mod documents;
pub(crate) mod failing;
pub(crate) mod reading;
pub(crate) mod requests;
pub(crate) mod updates;

use marqo_stand_in::Version;

/// The version for rules that later versions do not have.
pub(crate) const OLD: Version = Version::V2_13;
/// The version for all other rules.
pub(crate) const NEW: Version = Version::V2_25;
