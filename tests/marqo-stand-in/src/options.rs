//! How a stand-in is set up.

use crate::fault::FaultRule;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// The server that is imitated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// The version of October 2024, and indexes made by it.
    V2_13,
    /// The current one.
    #[default]
    V2_25,
}

impl Version {
    pub(crate) fn is_old(self) -> bool {
        self == Self::V2_13
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_old() { "2.13.0" } else { "2.25.2" })
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "2.13.0" | "2.13" => Ok(Self::V2_13),
            "2.25.2" | "2.25" => Ok(Self::V2_25),
            _ => Err(format!("{text} is not a version the stand-in knows: 2.13.0, 2.25.2")),
        }
    }
}

/// How a stand-in is set up; the default is a server of the current version without an index.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The server that is imitated.
    pub version: Version,
    /// Unstructured indexes that exist from the start.
    pub indexes: Vec<String>,
    /// Makes an index when it is first written to. A convenience: the real server answers 404.
    pub auto_create: bool,
    /// What `x-api-key` must hold. None: as open-source Marqo, every request is answered.
    pub api_key: Option<String>,
    /// Refuses requests beyond 8 adds, 100 PATCHes, 8 searches at once, as 2.13 does. False: as 2.13 without Redis.
    pub throttled: bool,
    /// Faults from the start.
    pub faults: Vec<FaultRule>,
    /// All that is random follows from it.
    pub seed: u64,
    /// How long each add takes, in place of embedding.
    pub latency: Duration,
    /// The field whose value the history keeps as the version of a document.
    pub version_field: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            version: Version::default(),
            indexes: Vec::new(),
            auto_create: false,
            api_key: None,
            throttled: true,
            faults: Vec::new(),
            seed: 0,
            latency: Duration::ZERO,
            version_field: "updated_at".to_owned(),
        }
    }
}
