//! The options of a stand-in for a Marqo server.

use crate::fault::FaultRule;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// The version of Marqo that is imitated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// 2.13, the version of October 2024, and indexes that were created by it.
    V2_13,
    /// 2.25, the current one.
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

/// The options of a stand-in; the default is a server of the current version without an index.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The version of Marqo that is imitated.
    pub version: Version,
    /// Unstructured indexes that exist from the start.
    pub indexes: Vec<String>,
    /// Whether an index is created when it is first written to. The real server answers 404.
    pub auto_create: bool,
    /// What the header `x-api-key` must hold; `None`: every request is answered, as by open-source Marqo.
    pub api_key: Option<String>,
    /// Whether 2.13 refuses more than 8 adds, 100 PATCHes or 8 searches at once. False: as 2.13 without Redis does.
    pub throttled: bool,
    /// Faults from the start.
    pub faults: Vec<FaultRule>,
    /// The seed of all that is random.
    pub seed: u64,
    /// How long each add takes, as embedding does in the real server.
    pub latency: Duration,
    /// The field whose value the history of writes keeps as the version of a document.
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
