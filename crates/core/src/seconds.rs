//! A duration as a setting: whole seconds above 0. For `#[serde(with = "host_core::seconds")]`.

use serde::{Deserialize, Deserializer, Serializer};
use std::{num::NonZeroU64, time::Duration};

/// Writes the whole seconds.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

/// Reads whole seconds; 0 is refused.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    NonZeroU64::deserialize(deserializer).map(|seconds| Duration::from_secs(seconds.get()))
}
