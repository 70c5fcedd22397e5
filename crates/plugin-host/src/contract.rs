//! Which version of the contract (the WIT package `product-indexer:plugin` in `wit/`) a component implements and which
//! roles it has. The names and types of its imports and exports say so; nothing of it is run.

use crate::{Wasi, scan::Names, wasi};
use serde::{Deserialize, Serialize};
use std::fmt;
use wasmtime::component::{Component, types::ComponentItem};

/// How the names of the contract's interfaces begin; `INTERFACE@VERSION` follows.
pub(super) const PACKAGE: &str = "product-indexer:plugin/";

/// The newest version of the contract that this host supports.
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
    /// The version that the component was built against: the latest in its names.
    pub(super) version: String,
    /// Its roles, in the order of [`Role`].
    pub(super) roles: Vec<Role>,
    /// All its imports.
    pub(super) imports: Vec<String>,
}

/// Why a component cannot be a plug-in of this host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// It exports no interface of the contract; these are its exports.
    Unrelated(Vec<String>),
    /// It was built against an incompatible version.
    Version(String),
    /// It was built against a later minor version and needs something that this host does not have.
    Later {
        /// The version.
        version: String,
        /// The name of the import that this host does not have.
        lacks: String,
    },
    /// It lacks a function of an interface that it exports, named `interface.function`.
    NoFunction(String),
    /// It imports more than a plug-in gets; these are the imports that it does not get.
    Imports(Vec<String>),
    /// It imports WASI (the standard system interfaces of WebAssembly), which the settings refuse; these are the
    /// imports.
    Wasi(Vec<String>),
    /// It does not export the interface `manifest`, in which a plug-in describes itself.
    NoManifest,
    /// It describes itself but exports no role.
    NoRole,
}

impl Contract {
    /// Finds the contract in the names that a component imports and exports.
    pub(super) fn of(names: Names, wasi: Wasi) -> Result<Self, Mismatch> {
        let Names { imports, exports } = names;
        let ours: Vec<(&str, &str)> = exports.iter().filter_map(|name| interface(name)).collect();
        let Some((_, version)) = ours.first() else {
            return Err(Mismatch::Unrelated(exports));
        };
        let imported = imports.iter().filter_map(|name| interface(name));
        let all = ours.iter().copied().chain(imported);
        if let Some((_, other)) = all.clone().find(|(_, version)| !version.starts_with(COMPATIBLE)) {
            return Err(Mismatch::Version(other.to_owned()));
        }
        let newest = all.map(|(_, version)| version).max_by_key(|version| minor(version)).unwrap_or(version);
        let foreign: Vec<String> = imports.iter().filter(|name| meaning(name).is_none()).cloned().collect();
        if let Some(name) = foreign.iter().find(|name| interface(name).is_some()) {
            return Err(match minor(newest) > minor(CONTRACT_VERSION) {
                true => Mismatch::Later { version: newest.to_owned(), lacks: name.clone() },
                false => Mismatch::Imports(foreign),
            });
        }
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
        Ok(Self { version: newest.to_owned(), roles, imports })
    }

    /// Whether the component imports WASI.
    pub(super) fn imports_wasi(&self) -> bool {
        self.imports.iter().any(|name| wasi::is_wasi(name))
    }

    /// Whether the component was built against a later minor version than this host's.
    pub(super) fn is_later(&self) -> bool {
        minor(&self.version) > minor(CONTRACT_VERSION)
    }

    /// Finds a function that an exported interface lacks.
    pub(super) fn check_functions(&self, component: &Component) -> Result<(), Mismatch> {
        let engine = component.engine();
        for (name, item) in component.component_type().exports(engine) {
            let (Some((interface, _)), ComponentItem::ComponentInstance(instance)) =
                (interface(name), item.ty)
            else {
                continue;
            };
            for function in functions(interface) {
                let exported = instance.get_export(engine, function).map(|item| item.ty);
                if !matches!(exported, Some(ComponentItem::ComponentFunc(_))) {
                    return Err(Mismatch::NoFunction(format!("{interface}.{function}")));
                }
            }
        }
        Ok(())
    }
}

/// The functions of an interface of the contract that plug-ins export.
fn functions(interface: &str) -> &'static [&'static str] {
    match interface {
        "manifest" => &["describe", "configure"],
        "transform" | "validate" => &["run"],
        "version" => &["compare"],
        _ => &[],
    }
}

/// The last number of a compatible version, which is its minor one; 0 for other versions.
fn minor(version: &str) -> u64 {
    version.strip_prefix(COMPATIBLE).and_then(|minor| minor.parse().ok()).unwrap_or(0)
}

/// What a plug-in gets by an import, for people to read; `None` if it does not get it.
pub(super) fn meaning(import: &str) -> Option<&'static str> {
    match interface(import) {
        Some(("log", _)) => Some("lines in the log"),
        // It has no functions: components import it to name the types of their exports.
        Some(("types", _)) => Some("names of types, nothing else"),
        Some(_) => None,
        None => wasi::meaning(import),
    }
}

/// Interface and version of a name in the contract's package; `None` for a name of another package.
fn interface(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.split_once('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract_of(imports: &[&str], exports: &[&str]) -> Result<Contract, Mismatch> {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Contract::of(Names { imports: names(imports), exports: names(exports) }, Wasi::Inert)
    }

    const LOG: &str = "product-indexer:plugin/log@0.1.0";
    const MANIFEST: &str = "product-indexer:plugin/manifest@0.1.0";
    const TRANSFORM: &str = "product-indexer:plugin/transform@0.1.0";

    #[test]
    fn roles_are_found_by_name() {
        let contract =
            contract_of(&[LOG, "product-indexer:plugin/types@0.1.0"], &[MANIFEST, TRANSFORM, "init"])
                .unwrap();
        assert_eq!((contract.version.as_str(), &*contract.roles), ("0.1.0", &[Role::Transform][..]));
        let later = contract_of(&["product-indexer:plugin/log@0.1.10"], &[MANIFEST, TRANSFORM]).unwrap();
        assert_eq!((later.version.as_str(), later.is_later()), ("0.1.10", true));
    }

    #[test]
    fn each_mismatch_is_told_apart() {
        assert_eq!(contract_of(&[], &["run"]), Err(Mismatch::Unrelated(vec!["run".to_owned()])));
        assert_eq!(
            contract_of(&[], &["product-indexer:plugin/manifest@0.2.0"]),
            Err(Mismatch::Version("0.2.0".to_owned()))
        );
        let newer_log = contract_of(&["product-indexer:plugin/log@1.0.0"], &[MANIFEST, TRANSFORM]);
        assert_eq!(newer_log, Err(Mismatch::Version("1.0.0".to_owned())));
        let metrics = "product-indexer:plugin/metrics@0.1.2";
        let later = Mismatch::Later { version: "0.1.2".to_owned(), lacks: metrics.to_owned() };
        assert_eq!(contract_of(&[metrics], &[MANIFEST, TRANSFORM]), Err(later));
        let clock = "wasi:clocks/wall-clock@0.3.0";
        assert_eq!(
            contract_of(&[clock, LOG], &[MANIFEST, TRANSFORM]),
            Err(Mismatch::Imports(vec![clock.to_owned()]))
        );
        assert_eq!(contract_of(&[LOG], &[TRANSFORM]), Err(Mismatch::NoManifest));
        assert_eq!(contract_of(&[LOG], &[MANIFEST]), Err(Mismatch::NoRole));
    }
}
