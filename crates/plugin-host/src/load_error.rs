//! The errors of loading a plug-in (a WebAssembly component) from a file: each message is one sentence with what to do.

use crate::{
    contract::{CONTRACT_VERSION, Mismatch},
    fault::megabytes,
    scan::LimitExceeded,
    untrusted_text::truncate,
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a file cannot be used as a plug-in.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no file with this path.
    #[error("there is no plug-in {}; check the path given to --plugin", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is a directory, a pipe or something else that is not a regular file.
    #[error("the plug-in {} is not a file; name the .wasm file itself", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// The operating system cannot open or read it.
    #[error("the plug-in {} cannot be read: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// It is larger than the limit `component_bytes`.
    #[error(
        "the plug-in {} is larger than {}; build it for release and strip its debug information, or raise \
         component_bytes", path.display(), megabytes(*limit as usize)
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// It has no bytes.
    #[error("the plug-in {} is empty; build it again", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It does not begin like a WebAssembly file.
    #[error("the plug-in {} is not a WebAssembly file; name the .wasm file that the build made", path.display())]
    NotWasm {
        /// The file.
        path: PathBuf,
    },
    /// It is a core module: WebAssembly without the component model.
    #[error(
        "the plug-in {} is a core module, not a component; link it with wasm-component-ld or run `wasm-tools component \
         new` on it", path.display()
    )]
    CoreModule {
        /// The file.
        path: PathBuf,
    },
    /// It is machine code, which cannot be checked.
    #[error(
        "the plug-in {} is precompiled machine code (.cwasm), which is never run; name the .wasm file that it was made \
         from", path.display()
    )]
    Precompiled {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged, or uses features of WebAssembly that this engine does not support.
    #[error("the plug-in {} does not compile: {cause}; build it again with a current toolchain", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The error of the compiler.
        cause: String,
    },
    /// It is a component that exports no interface of the contract, the WIT package `product-indexer:plugin`.
    #[error(
        "the component {} is not a plug-in, because it exports no interface of product-indexer:plugin@{CONTRACT_VERSION} \
         (its exports: {}); build it against a world of this package", path.display(), list(exports, "none")
    )]
    NotAPlugin {
        /// The file.
        path: PathBuf,
        /// What it exports.
        exports: Vec<String>,
    },
    /// It was built for an incompatible version of the contract.
    #[error(
        "the plug-in {} was built for version {found} of the contract and this host speaks {CONTRACT_VERSION}; rebuild \
         the plug-in or use a host of its time", path.display()
    )]
    OtherContract {
        /// The file.
        path: PathBuf,
        /// The version it was built for.
        found: String,
    },
    /// It needs a later minor version of the contract.
    #[error(
        "the plug-in {} was built for version {found} of the contract and this host speaks {CONTRACT_VERSION}: {why}; use a \
         newer host, or build the plug-in against {CONTRACT_VERSION}", path.display()
    )]
    LaterContract {
        /// The file.
        path: PathBuf,
        /// The version it was built for.
        found: String,
        /// What this host does not have, as a clause.
        why: String,
    },
    /// It, or compiling it, exceeds a limit of the section `[plugin.limits]`.
    #[error(
        "the plug-in {} {does} the {value} that plugin.limits.{limit} allows; make it smaller, or raise the limit if you \
         trust it", path.display()
    )]
    Limit {
        /// The file.
        path: PathBuf,
        /// What it does, before "the VALUE that LIMIT allows", such as "has 20 functions, more than".
        does: String,
        /// The limit's name.
        limit: &'static str,
        /// The limit's value, with the unit if the name does not say it.
        value: String,
    },
    /// The process that compiles could not be started or given its input.
    #[error("the plug-in {} cannot be compiled, because the compiler cannot run: {cause}", path.display())]
    Compiler {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// It imports interfaces that the host does not give to plug-ins.
    #[error(
        "the plug-in {} imports {}, but a plug-in gets nothing except product-indexer:plugin/log@{CONTRACT_VERSION} and a \
         WASI 0.2 that grants nothing; build it without these imports: Rust for wasm32-unknown-unknown or wasm32-wasip2, \
         JavaScript with componentize-qjs or `jco componentize --disable http`, Python with componentize-py",
        path.display(), list(imports, "nothing")
    )]
    ForeignImports {
        /// The file.
        path: PathBuf,
        /// What it may not import.
        imports: Vec<String>,
    },
    /// It imports WASI (the standard system interfaces of WebAssembly), which the settings refuse.
    #[error(
        "the plug-in {} imports WASI ({}), which --wasi none refuses; build it for a target without WASI, such as \
         wasm32-unknown-unknown, or let it have the inert one", path.display(), list(imports, "nothing")
    )]
    WasiRefused {
        /// The file.
        path: PathBuf,
        /// What it imports of WASI.
        imports: Vec<String>,
    },
    /// It does not export the interface `manifest`, in which a plug-in describes itself.
    #[error("the plug-in {} does not export the interface manifest; build it against a world of the contract", path.display())]
    NoManifest {
        /// The file.
        path: PathBuf,
    },
    /// An interface that it exports lacks a function of the contract.
    #[error(
        "the plug-in {} does not export the function {function} of the contract; build it against a world of the contract",
        path.display()
    )]
    NoFunction {
        /// The file.
        path: PathBuf,
        /// `interface.function`.
        function: String,
    },
    /// It exports no role (transform, validate, version), so that there is nothing that it could do.
    #[error(
        "the plug-in {} exports none of the roles transform, validate and version; build it against one of the worlds \
         transformer, validator and plugin", path.display()
    )]
    NoRole {
        /// The file.
        path: PathBuf,
    },
    /// It imports functions that the host does not have.
    #[error(
        "the plug-in {} cannot be linked: {cause}; build it against product-indexer:plugin@{CONTRACT_VERSION} and WASI 0.2.12 \
         or earlier", path.display()
    )]
    Link {
        /// The file.
        path: PathBuf,
        /// The missing function, as wasmtime names it.
        cause: String,
    },
    /// It cannot be instantiated, or its functions have other types than the contract's.
    #[error("the plug-in {} cannot be started: {cause}", path.display())]
    Start {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        cause: String,
    },
    /// Its function `describe` trapped or exceeded a limit.
    #[error("the plug-in {} cannot describe itself: it {cause}; report this to its author", path.display())]
    Describe {
        /// The file.
        path: PathBuf,
        /// What it did, as a sentence without its subject.
        cause: String,
    },
    /// Its function `describe` returned a manifest that cannot be used.
    #[error("the manifest of the plug-in {} is wrong: {problem}; report this to its author", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The plug-in refuses the configuration, or fails on it.
    #[error("plug-in {plugin} ({}) cannot be configured: {message} ({code})", path.display())]
    Configure {
        /// The file.
        path: PathBuf,
        /// `name@version`.
        plugin: String,
        /// The plug-in's stable name for the problem.
        code: String,
        /// The plug-in's sentence.
        message: String,
    },
}

impl LoadError {
    /// The error of a component that exceeds a limit.
    pub(super) fn of_breach(path: &Path, breach: LimitExceeded) -> Self {
        let LimitExceeded { does, limit, value } = breach;
        Self::Limit { path: path.to_owned(), does, limit, value }
    }

    /// The error of a component that does not implement the contract.
    pub(super) fn of_mismatch(path: &Path, mismatch: Mismatch) -> Self {
        let path = path.to_owned();
        match mismatch {
            Mismatch::Unrelated(exports) => Self::NotAPlugin { path, exports },
            Mismatch::Version(found) => Self::OtherContract { path, found: truncate(&found, 40) },
            Mismatch::Later { version, lacks } => {
                let why = format!("it imports {}", truncate(&lacks, 200));
                Self::LaterContract { path, found: truncate(&version, 40), why }
            }
            Mismatch::NoFunction(function) => Self::NoFunction { path, function },
            Mismatch::Imports(imports) => Self::ForeignImports { path, imports },
            Mismatch::Wasi(imports) => Self::WasiRefused { path, imports },
            Mismatch::NoManifest => Self::NoManifest { path },
            Mismatch::NoRole => Self::NoRole { path },
        }
    }
}

/// The names with commas between them, the first `SHOWN` of them; `none` if there are no names.
fn list(names: &[String], none: &str) -> String {
    const SHOWN: usize = 8;
    if names.is_empty() {
        return none.to_owned();
    }
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| truncate(name, 100)).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
