//! The tools for plug-in authors, for `host plugin`: create a project, build it, test it against golden files, measure
//! it, and compare two versions of it. The guide for authors is `docs/plugins.md`.
//!
//! - [`scaffold`] writes a new project, [`project`] reads its `plugin.toml`, [`toolchain`] builds its component.
//! - [`items`] reads the input of a role (`transform`, `validate`, `version`), [`engine`] loads the plug-in, [`outcome`]
//!   runs it and brings the answers of all roles into one JSON form, which golden files (expected answers), the output on
//!   screen and comparisons share.
//! - [`fixture`], [`suite`], [`budget`] and [`mod@bench`] test and measure; [`json_diff`], [`comparison`], [`shadow`] and
//!   [`page`] show what a new version changes.
//!
//! The crate may use the domain (`host-core`), the export reader (`host-export`) and the plug-in engine
//! (`host-plugin-host`). It knows no storage, no index and no network, and it never writes to standard output.
//!
//! ```
//! use host_plugin_dev::{json_diff, project::{Language, Project}, scaffold::scaffold};
//! use host_plugin_host::Role;
//! use serde_json::json;
//!
//! // A new project has a fixture with a golden file for each role.
//! let folder = tempfile::tempdir()?;
//! let dir = folder.path().join("my-shop");
//! scaffold(&dir, Language::Rust, &[Role::Transform].into())?;
//! let project = Project::open(&dir)?;
//! assert_eq!(project.component(), dir.join("my-shop.wasm"));
//! assert!(project.fixtures(Role::Transform).join("sample.golden.json").is_file());
//!
//! // Answers are compared field by field; objects in arrays are matched by their id.
//! let changes = json_diff::diff(&json!([{"id": 1, "price": 5}]), &json!([{"id": 1, "price": 6}]));
//! assert_eq!(changes[0].path, "/0/price");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bench;
pub mod budget;
pub mod comparison;
pub mod engine;
pub mod fixture;
pub mod items;
pub mod json_diff;
pub mod outcome;
pub mod page;
pub mod project;
pub mod scaffold;
pub mod shadow;
pub mod suite;
pub mod toolchain;
