//! Adapter for the contract `product-indexer:plugin@0.1` (the WIT package in `wit/`): the only file that knows the
//! types generated from it. It converts them to the raw types of this crate, which no version of the contract changes.

use crate::{
    contract::{CONTRACT_VERSION, Contract, PACKAGE, Role},
    raw::{GuestResult, RawDescription, RawDocument, RawFailure, RawIssue, RawRemoval, RawTransformed},
    sandbox::{Line, Sandbox},
    wasi,
};
use bindings::{
    exports::product_indexer::plugin::{manifest, transform, validate, version},
    product_indexer::plugin::{log, types},
};
use host_core::{
    model::{Grouping, Severity},
    plugin::{TransformedDocument, VersionOrdering},
};
use wasmtime::{
    Store,
    component::{Component, ComponentNamedList, HasSelf, Instance, InstancePre, Lift, Linker, Lower},
};

#[allow(unsafe_code, reason = "written by bindgen, which has checked the function's type before")]
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, reason = "written by bindgen")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "plugin",
        // Arguments are borrowed, so that a product is copied once: into the memory of the guest (the plug-in's
        // instance).
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

/// A compiled component (the plug-in's WebAssembly) with its imports resolved and its roles found.
#[derive(Clone)]
pub(super) struct Prepared {
    pre: InstancePre<Sandbox>,
    manifest: manifest::GuestIndices,
    transform: Option<transform::GuestIndices>,
    validate: Option<validate::GuestIndices>,
    version: Option<version::GuestIndices>,
    /// Whether it imports WASI, the standard system interfaces of WebAssembly.
    imports_wasi: bool,
}

/// The exported functions of one instance; a role that the component does not have is `None`.
pub(super) struct Guest {
    manifest: manifest::Guest,
    transform: Option<transform::Guest>,
    validate: Option<validate::Guest>,
    version: Option<version::Guest>,
}

impl Prepared {
    /// Resolves imports and looks the roles up, so that instantiation does neither.
    pub(super) fn new(component: &Component, contract: &Contract) -> wasmtime::Result<Self> {
        let mut linker = Linker::<Sandbox>::new(component.engine());
        log::add_to_linker::<_, HasSelf<Sandbox>>(&mut linker, |sandbox| sandbox)?;
        if contract.imports_wasi() {
            wasi::add_to_linker(&mut linker)?;
        }
        let pre = linker.instantiate_pre(component)?;
        let has = |role| contract.roles.contains(&role);
        Ok(Self {
            manifest: manifest::GuestIndices::new(&pre)?,
            transform: has(Role::Transform).then(|| transform::GuestIndices::new(&pre)).transpose()?,
            validate: has(Role::Validate).then(|| validate::GuestIndices::new(&pre)).transpose()?,
            version: has(Role::Version).then(|| version::GuestIndices::new(&pre)).transpose()?,
            imports_wasi: contract.imports_wasi(),
            pre,
        })
    }

    /// Whether the component imports WASI.
    pub(super) fn imports_wasi(&self) -> bool {
        self.imports_wasi
    }

    /// Makes an instance. Fails if a function of the component has another type than the contract's, and names it.
    pub(super) fn instantiate(&self, store: &mut Store<Sandbox>) -> wasmtime::Result<Guest> {
        let instance = self.pre.instantiate(&mut *store)?;
        self.load(store, &instance).map_err(|error| self.wrong_type(store, &instance).unwrap_or(error))
    }

    fn load(&self, store: &mut Store<Sandbox>, instance: &Instance) -> wasmtime::Result<Guest> {
        Ok(Guest {
            manifest: self.manifest.load(&mut *store, instance)?,
            transform: self.transform.as_ref().map(|role| role.load(&mut *store, instance)).transpose()?,
            validate: self.validate.as_ref().map(|role| role.load(&mut *store, instance)).transpose()?,
            version: self.version.as_ref().map(|role| role.load(&mut *store, instance)).transpose()?,
        })
    }

    /// The first function of an instance whose type is not the contract's.
    fn wrong_type(&self, store: &mut Store<Sandbox>, instance: &Instance) -> Option<wasmtime::Error> {
        type Answer<T> = (Result<T, types::Failure>,);
        let mut types = Types { store, instance };
        let mut wrong = vec![
            types.check::<(), (manifest::Description,)>("manifest", "describe"),
            types.check::<(&str,), Answer<()>>("manifest", "configure"),
        ];
        if self.transform.is_some() {
            wrong.push(types.check::<(&[&str],), Answer<transform::Transformed>>("transform", "run"));
        }
        if self.validate.is_some() {
            let checked =
                types.check::<(&[types::DocumentParam<'_>],), Answer<Vec<types::Issue>>>("validate", "run");
            wrong.push(checked);
        }
        if self.version.is_some() {
            let checked =
                types.check::<(&[version::Pair<'_>],), Answer<Vec<version::Ordering>>>("version", "compare");
            wrong.push(checked);
        }
        wrong.into_iter().find_map(Result::err)
    }
}

/// Checks the types of an instance's functions one by one.
struct Types<'a> {
    store: &'a mut Store<Sandbox>,
    instance: &'a Instance,
}

impl Types<'_> {
    fn check<Params, Return>(&mut self, interface: &str, function: &str) -> wasmtime::Result<()>
    where
        Params: ComponentNamedList + Lower,
        Return: ComponentNamedList + Lift,
    {
        let Self { store, instance } = self;
        let name = format!("{PACKAGE}{interface}@{CONTRACT_VERSION}");
        let index = instance
            .get_export_index(&mut *store, None, &name)
            .and_then(|interface| instance.get_export_index(&mut *store, Some(&interface), function));
        let Some(index) = index else {
            return Err(wasmtime::format_err!("it does not export the function {interface}.{function}"));
        };
        instance.get_typed_func::<Params, Return>(&mut *store, &index).map(drop).map_err(|error| {
            error.context(format!("its function {interface}.{function} has another type than the contract's"))
        })
    }
}

impl Guest {
    pub(super) fn describe(&self, store: &mut Store<Sandbox>) -> wasmtime::Result<RawDescription> {
        let raw = self.manifest.call_describe(store)?;
        Ok(RawDescription {
            name: raw.name,
            version: raw.version,
            platform: raw.platform,
            grouping: match raw.grouping {
                manifest::Grouping::WholeLines => Grouping::WholeLines,
                manifest::Grouping::ByParent(keys) => {
                    Grouping::ByParent { id: keys.id, parents: keys.parents }
                }
            },
            config_schema: raw.config_schema,
            version_fields: raw.version_fields,
        })
    }

    pub(super) fn configure(&self, store: &mut Store<Sandbox>, config: &str) -> GuestResult<()> {
        Ok(self.manifest.call_configure(store, config)?.map_err(failure))
    }

    pub(super) fn transform(
        &self,
        store: &mut Store<Sandbox>,
        products: &[&str],
    ) -> GuestResult<RawTransformed> {
        let role = self.transform.as_ref().ok_or_else(|| no_role("transform"))?;
        Ok(role.call_run(store, products)?.map_err(failure).map(|raw| RawTransformed {
            documents: raw.documents.into_iter().map(document).collect(),
            counts: raw.counts,
            removals: raw.removals.into_iter().map(removal).collect(),
            issues: raw.issues.into_iter().map(issue).collect(),
        }))
    }

    pub(super) fn validate(
        &self,
        store: &mut Store<Sandbox>,
        documents: &[TransformedDocument],
    ) -> GuestResult<Vec<RawIssue>> {
        let role = self.validate.as_ref().ok_or_else(|| no_role("validate"))?;
        let documents: Vec<_> = documents
            .iter()
            .map(|document| types::DocumentParam { id: document.id.as_str(), fields: &document.fields })
            .collect();
        Ok(role
            .call_run(store, &documents)?
            .map_err(failure)
            .map(|issues| issues.into_iter().map(issue).collect()))
    }

    pub(super) fn compare(
        &self,
        store: &mut Store<Sandbox>,
        pairs: &[(String, String)],
    ) -> GuestResult<Vec<VersionOrdering>> {
        let role = self.version.as_ref().ok_or_else(|| no_role("version"))?;
        let pairs: Vec<_> =
            pairs.iter().map(|(incoming, stored)| version::Pair { incoming, stored }).collect();
        Ok(role
            .call_compare(store, &pairs)?
            .map_err(failure)
            .map(|orderings| orderings.into_iter().map(ordering).collect()))
    }
}

impl log::Host for Sandbox {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => tracing::Level::DEBUG,
            log::Level::Info => tracing::Level::INFO,
            log::Level::Warn => tracing::Level::WARN,
            log::Level::Error => tracing::Level::ERROR,
        };
        self.log().write(Line { level, message });
    }
}

// The interface has no functions, but the generated code demands the implementation.
impl types::Host for Sandbox {}

fn no_role(role: &str) -> wasmtime::Error {
    wasmtime::format_err!("the component has no role `{role}`")
}

fn failure(raw: types::Failure) -> RawFailure {
    RawFailure { code: raw.code, message: raw.message }
}

fn document(raw: types::DocumentResult) -> RawDocument {
    RawDocument { id: raw.id, fields: raw.fields }
}

fn removal(raw: transform::Removal) -> RawRemoval {
    RawRemoval { item: raw.item, id: raw.id, version: raw.version }
}

fn issue(raw: types::Issue) -> RawIssue {
    let severity = match raw.severity {
        types::Severity::Error => Severity::Error,
        types::Severity::Warning => Severity::Warning,
    };
    RawIssue { item: raw.item, severity, code: raw.code, message: raw.message, path: raw.path }
}

fn ordering(raw: version::Ordering) -> VersionOrdering {
    match raw {
        version::Ordering::Newer => VersionOrdering::Newer,
        version::Ordering::Same => VersionOrdering::Same,
        version::Ordering::Older => VersionOrdering::Older,
    }
}
