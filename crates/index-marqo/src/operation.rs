//! The calls of Marqo's HTTP API that the host makes.

/// A call of Marqo's HTTP API. All are about one index, except `Version` (of the server) and `ListIndexes` (of Marqo
/// Cloud).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Add,
    Update,
    Delete,
    Get,
    List,
    Stats,
    Settings,
    Version,
    Health,
    ListIndexes,
}

impl Operation {
    /// Its name in metrics and logs.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Get => "get",
            Self::List => "list",
            Self::Stats => "stats",
            Self::Settings => "settings",
            Self::Version => "version",
            Self::Health => "health",
            Self::ListIndexes => "lookup",
        }
    }

    /// Whether it changes documents.
    pub(super) fn writes(self) -> bool {
        matches!(self, Self::Add | Self::Update | Self::Delete)
    }
}
