//! Which contract a component speaks, found in its own type and not by trial.

use crate::{Wasi, wasi};
use serde::{Deserialize, Serialize};
use std::fmt;
use wasmtime::component::Component;

/// The package of all versions of the contract.
const PACKAGE: &str = "product-indexer:plugin/";

/// The newest contract that this host speaks.
pub const CONTRACT_VERSION: &str = "0.1.0";

/// Versions that begin so are compatible with [`CONTRACT_VERSION`]: below 1.0 the second number is the major one.
const COMPATIBLE: &str = "0.1.";

/// What a plug-in can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Turns products into documents.
    Transform,
    /// Judges documents.
    Validate,
    /// Compares versions of documents.
    Version,
}

impl Role {
    /// The name of the role, which is the name of its interface.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transform => "transform",
            Self::Validate => "validate",
            Self::Version => "version",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a component's type says about the contract.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contract {
    /// The version that the component was built against.
    pub(super) version: String,
    /// Its roles, in the order of [`Role`].
    pub(super) roles: Vec<Role>,
    /// All its imports.
    pub(super) imports: Vec<String>,
}

/// Why a component cannot be a plug-in of this host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// It has nothing to do with the contract; these are its exports.
    Unrelated(Vec<String>),
    /// It was built against another version.
    Version(String),
    /// It wants more of the host than a plug-in gets.
    Imports(Vec<String>),
    /// It wants WASI, and is to get none.
    Wasi(Vec<String>),
    /// It does not describe itself.
    NoManifest,
    /// It describes itself, and that is all.
    NoRole,
}

impl Contract {
    /// Reads the type of a component.
    pub(super) fn of(component: &Component, wasi: Wasi) -> Result<Self, Mismatch> {
        let (engine, ty) = (component.engine(), component.component_type());
        let imports = ty.imports(engine).map(|(name, _)| name.to_owned()).collect();
        let exports = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
        Self::of_names(imports, exports, wasi)
    }

    fn of_names(imports: Vec<String>, exports: Vec<String>, wasi: Wasi) -> Result<Self, Mismatch> {
        let ours: Vec<(&str, &str)> = exports.iter().filter_map(|name| interface(name)).collect();
        let Some((_, version)) = ours.first() else {
            return Err(Mismatch::Unrelated(exports));
        };
        let imported = imports.iter().filter_map(|name| interface(name));
        let all = ours.iter().copied().chain(imported);
        if let Some((_, other)) = all.clone().find(|(_, version)| !version.starts_with(COMPATIBLE)) {
            return Err(Mismatch::Version(other.to_owned()));
        }
        let foreign: Vec<String> = imports.iter().filter(|name| meaning(name).is_none()).cloned().collect();
        if !foreign.is_empty() {
            return Err(Mismatch::Imports(foreign));
        }
        let refused: Vec<String> =
            imports.iter().filter(|name| wasi == Wasi::None && wasi::is_wasi(name)).cloned().collect();
        if !refused.is_empty() {
            return Err(Mismatch::Wasi(refused));
        }
        let exports_interface = |wanted: &str| ours.iter().any(|(name, _)| *name == wanted);
        if !exports_interface("manifest") {
            return Err(Mismatch::NoManifest);
        }
        let roles: Vec<Role> = [Role::Transform, Role::Validate, Role::Version]
            .into_iter()
            .filter(|role| exports_interface(role.as_str()))
            .collect();
        if roles.is_empty() {
            return Err(Mismatch::NoRole);
        }
        Ok(Self { version: (*version).to_owned(), roles, imports })
    }
}

/// What a plug-in gets by an import; none if it does not get it.
pub(super) fn meaning(import: &str) -> Option<&'static str> {
    match interface(import) {
        Some(("log", _)) => Some("lines in the log"),
        // It holds no functions: components import it to name the types of their exports.
        Some(("types", _)) => Some("names of types, nothing else"),
        Some(_) => None,
        None => wasi::meaning(import),
    }
}

/// Interface and version of a name in the contract's package.
fn interface(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.split_once('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(imports: &[&str], exports: &[&str]) -> Result<Contract, Mismatch> {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Contract::of_names(names(imports), names(exports), Wasi::Inert)
    }

    const LOG: &str = "product-indexer:plugin/log@0.1.0";
    const MANIFEST: &str = "product-indexer:plugin/manifest@0.1.0";
    const TRANSFORM: &str = "product-indexer:plugin/transform@0.1.0";

    #[test]
    fn roles_are_found_by_name() {
        let contract =
            of(&[LOG, "product-indexer:plugin/types@0.1.0"], &[MANIFEST, TRANSFORM, "init"]).unwrap();
        assert_eq!((contract.version.as_str(), &*contract.roles), ("0.1.0", &[Role::Transform][..]));
        assert!(of(&["product-indexer:plugin/log@0.1.7"], &[MANIFEST, TRANSFORM]).is_ok());
    }

    #[test]
    fn everything_else_is_named() {
        assert_eq!(of(&[], &["run"]), Err(Mismatch::Unrelated(vec!["run".to_owned()])));
        assert_eq!(
            of(&[], &["product-indexer:plugin/manifest@0.2.0"]),
            Err(Mismatch::Version("0.2.0".to_owned()))
        );
        let newer_log = of(&["product-indexer:plugin/log@1.0.0"], &[MANIFEST, TRANSFORM]);
        assert_eq!(newer_log, Err(Mismatch::Version("1.0.0".to_owned())));
        let clock = "wasi:clocks/wall-clock@0.3.0";
        assert_eq!(of(&[clock, LOG], &[MANIFEST, TRANSFORM]), Err(Mismatch::Imports(vec![clock.to_owned()])));
        assert_eq!(of(&[LOG], &[TRANSFORM]), Err(Mismatch::NoManifest));
        assert_eq!(of(&[LOG], &[MANIFEST]), Err(Mismatch::NoRole));
    }
}
