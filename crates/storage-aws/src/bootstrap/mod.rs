//! Bucket and tables of an environment (a set of AWS resources such as `dev`): what exists, what has to change, and the
//! changes. Queues are created with the first message of a shop.
//!
//! host does not touch what others have made: it uses a bucket or table that has host's tag, is empty, was made by an
//! earlier version, or is adopted on request.

mod bucket;
mod table;

use super::{Clients, Names};
use host_core::storage::{StoreError, StoreErrorKind};
use serde::Serialize;
use std::{fmt, time::Duration};

/// The tag of what host has made or adopted. Its queues have the same one.
const TAG: (&str, &str) = ("application", "ecom-indexer");

/// What to create, and what may be taken over.
#[derive(Clone, Debug)]
pub struct BootstrapOptions {
    /// The platforms of the plug-ins, such as `shopify`: their objects expire.
    pub platforms: Vec<String>,
    /// Whether to use a bucket or table that has content and that host did not make.
    pub adopt: bool,
}

/// What `host aws bootstrap` found, and what it does about it.
#[derive(Debug, Serialize)]
pub struct BootstrapPlan {
    /// The bucket first, then the tables.
    pub resources: Vec<Resource>,
}

/// A bucket or a table.
#[derive(Debug, Serialize)]
pub struct Resource {
    /// Bucket or table.
    pub kind: ResourceKind,
    /// Its name in AWS.
    pub name: String,
    /// What is done to it, in this order; empty if it is as it should be.
    pub changes: Vec<Change>,
    /// Why it cannot be used as it is, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// Kinds of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// The S3 bucket of chunks and reports.
    Bucket,
    /// A DynamoDB table.
    Table,
}

/// One change of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// It is created.
    Create,
    /// It gets the tag of host's resources, beside its others.
    Tag,
    /// Only the account can read the bucket.
    BlockPublicAccess,
    /// A rule that deletes objects, beside the bucket's others.
    ExpireObjects {
        /// First part of the objects' keys.
        prefix: String,
        /// Age at which they are deleted.
        days: i32,
    },
    /// The table removes items by their attribute `expires_at`.
    ExpireItems,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create => f.write_str("create"),
            Self::Tag => write!(f, "add the tag {}={}", TAG.0, TAG.1),
            Self::BlockPublicAccess => f.write_str("block public access"),
            Self::ExpireObjects { prefix, days } => {
                write!(f, "delete objects below {prefix} after {days} days")
            }
            Self::ExpireItems => f.write_str("remove items when their expires_at is past"),
        }
    }
}

impl BootstrapPlan {
    /// Whether everything can be used, now or after the changes.
    pub fn is_possible(&self) -> bool {
        self.resources.iter().all(|resource| resource.refusal.is_none())
    }
}

/// Looks at what exists; changes nothing.
pub(super) async fn plan(
    clients: &Clients,
    names: &Names,
    retention: Duration,
    options: &BootstrapOptions,
) -> Result<BootstrapPlan, StoreError> {
    let mut resources =
        vec![bucket::Bucket { client: &clients.s3, name: names.bucket() }.plan(retention, options).await?];
    // Whether one of the tables so far is known to be host's.
    let mut is_ours = false;
    for table in table::tables(&clients.dynamodb, names) {
        let (resource, is_known) = table.plan(is_ours, options).await?;
        is_ours |= is_known;
        resources.push(resource);
    }
    Ok(BootstrapPlan { resources })
}

/// Makes the changes of a plan; none if it is not possible.
pub(super) async fn apply(clients: &Clients, names: &Names, plan: &BootstrapPlan) -> Result<(), StoreError> {
    let refusals: Vec<&str> =
        plan.resources.iter().filter_map(|resource| resource.refusal.as_deref()).collect();
    if !refusals.is_empty() {
        return Err(failed("creating the environment", refusals.join("; ")));
    }
    let tables = table::tables(&clients.dynamodb, names);
    for Resource { kind, name, changes, .. } in &plan.resources {
        match kind {
            ResourceKind::Bucket => {
                bucket::Bucket { client: &clients.s3, name: name.clone() }.apply(changes).await?;
            }
            ResourceKind::Table => {
                if let Some(table) = tables.iter().find(|table| table.name == *name) {
                    table.apply(changes).await?;
                }
            }
        }
    }
    Ok(())
}

/// Why host refuses a bucket or table with content that it did not make.
fn foreign(what: &str, name: &str) -> String {
    format!(
        "the {what} {name} has content and was not made by host; choose another name, or, if host may use it, repeat with \
         `--adopt`, after a look at what `--dry-run --adopt` would change"
    )
}

/// A request that could not be built, or whose resource is not as it must be.
fn failed(action: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError { action: action.to_owned(), kind: StoreErrorKind::Permanent, source: source.into() }
}
