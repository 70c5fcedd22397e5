//! What authors of plug-ins work with: a project, its build and tests, its figures, and what a new version changes.
//!
//! `project` and `scaffold` are files, `toolchain` builds them. `items` reads what a role is given, `outcome` runs it
//! and gives the answers one form for all roles, which golden files, screens and comparisons share. Nothing here prints.

pub mod bench;
pub mod budget;
pub mod changes;
pub mod comparison;
pub mod fixture;
pub mod items;
pub mod outcome;
pub mod page;
pub mod project;
pub mod scaffold;
pub mod shadow;
pub mod suite;
pub mod toolchain;
pub mod workbench;
