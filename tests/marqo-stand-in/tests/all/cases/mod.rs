//! Cases, by the part of the reference that they are about.

pub(crate) mod documents;
pub(crate) mod failing;
pub(crate) mod reading;
pub(crate) mod requests;
pub(crate) mod updates;

use marqo_stand_in::Version;

pub(crate) const OLD: Version = Version::V2_13;
pub(crate) const NEW: Version = Version::V2_25;
