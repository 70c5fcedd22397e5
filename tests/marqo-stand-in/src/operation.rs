//! Finds the operation of Marqo's API that a request calls, by its method and path.

use crate::options::Version;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A call of Marqo's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `GET /`
    Root,
    /// `GET /health`, `GET /indexes/{index}/health`
    Health,
    /// `GET /indexes`
    ListIndexes,
    /// `POST /indexes/{index}`
    CreateIndex,
    /// `DELETE /indexes/{index}`
    DeleteIndex,
    /// `GET /indexes/{index}/settings`
    Settings,
    /// `GET /indexes/{index}/stats`
    Stats,
    /// `POST /indexes/{index}/documents`
    Add,
    /// `PATCH /indexes/{index}/documents`
    Patch,
    /// `GET /indexes/{index}/documents/{id}`
    GetOne,
    /// `GET /indexes/{index}/documents` and `POST /indexes/{index}/documents/get-batch`
    GetMany,
    /// `POST /indexes/{index}/documents/delete-batch`
    Delete,
    /// `POST /indexes/{index}/search`
    Search,
    /// `GET /api/v2/indexes`, the list of Marqo Cloud
    CloudList,
    /// `GET /api/v2/indexes/{index}/status`
    CloudStatus,
    /// Not a call of the API.
    Other,
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// What a method and a path mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Call(Call),
    /// The path is right, the method is not; `allowed` is the method that the answer names.
    WrongMethod {
        allowed: &'static str,
    },
    WrongPath,
}

/// An operation and what the path says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    /// The name of an index; empty if the path has none.
    pub(crate) index: String,
    /// The id of a document; empty if the path has none.
    pub(crate) id: String,
}

/// Finds the operation. `path` is percent-decoded before it is split: as in the real server, an escaped slash separates
/// segments.
pub(crate) fn route(version: Version, method: &str, path: &str) -> Route {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    if segments.iter().any(|segment| segment.is_empty()) && path != "/" {
        return Route::WrongPath;
    }
    let methods: &[(&'static str, Operation)] = match segments.as_slice() {
        [""] => &[("GET", Operation::Root)],
        ["health"] | ["indexes", _, "health"] => &[("GET", Operation::Health)],
        ["indexes"] => &[("GET", Operation::ListIndexes)],
        ["api", "v2", "indexes"] => &[("GET", Operation::CloudList)],
        ["api", "v2", "indexes", _, "status"] => &[("GET", Operation::CloudStatus)],
        ["indexes", _] | ["api", "v2", "indexes", _] => {
            &[("POST", Operation::CreateIndex), ("DELETE", Operation::DeleteIndex)]
        }
        ["indexes", _, "settings"] => &[("GET", Operation::Settings)],
        ["indexes", _, "stats"] => &[("GET", Operation::Stats)],
        ["indexes", _, "search"] => &[("POST", Operation::Search)],
        ["indexes", _, "documents"] => {
            &[("POST", Operation::Add), ("PATCH", Operation::Patch), ("GET", Operation::GetMany)]
        }
        // Other methods of these two paths mean a document whose id is `delete-batch`.
        ["indexes", _, "documents", "delete-batch"] => {
            &[("POST", Operation::Delete), ("GET", Operation::GetOne)]
        }
        ["indexes", _, "documents", "get-batch"] if !version.is_old() => {
            &[("POST", Operation::GetMany), ("GET", Operation::GetOne)]
        }
        ["indexes", _, "documents", _] => &[("GET", Operation::GetOne)],
        _ => return Route::WrongPath,
    };
    let Some((_, operation)) = methods.iter().find(|(name, _)| *name == method) else {
        return Route::WrongMethod { allowed: methods[0].0 };
    };
    let names = segments.strip_prefix(["api", "v2"].as_slice()).unwrap_or(&segments);
    let name_at = |position: usize| names.get(position).map_or_else(String::new, |name| (*name).to_owned());
    Route::Call(Call { operation: *operation, index: name_at(1), id: name_at(3) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(method: &str, path: &str) -> Option<(Operation, String, String)> {
        match route(Version::V2_25, method, path) {
            Route::Call(call) => Some((call.operation, call.index, call.id)),
            _ => None,
        }
    }

    #[test]
    fn operations_are_found_by_method_and_path() {
        let call = |operation, index: &str, id: &str| Some((operation, index.to_owned(), id.to_owned()));
        assert_eq!(called("GET", "/"), call(Operation::Root, "", ""));
        assert_eq!(called("POST", "/indexes/shop/documents"), call(Operation::Add, "shop", ""));
        assert_eq!(called("GET", "/indexes/shop/documents/a b"), call(Operation::GetOne, "shop", "a b"));
        assert_eq!(called("GET", "/indexes/shop/documents/a/b"), None);
        assert_eq!(called("DELETE", "/api/v2/indexes/shop"), call(Operation::DeleteIndex, "shop", ""));
        assert_eq!(called("GET", "/indexes//documents"), None);
    }

    #[test]
    fn version_2_13_has_no_get_batch() {
        let path = "/indexes/shop/documents/get-batch";
        assert!(called("POST", path).is_some());
        assert_eq!(route(Version::V2_13, "POST", path), Route::WrongMethod { allowed: "GET" });
    }
}
