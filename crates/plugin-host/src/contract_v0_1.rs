//! The contract `product-indexer:plugin@0.1`: the only file that knows its generated types.

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
    plugin::{MadeDocument, VersionOrdering},
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
        // Products go into the guest as they are, without a copy of each on the way.
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

/// A compiled component with its imports resolved and its roles found.
#[derive(Clone)]
pub(super) struct Prepared {
    pre: InstancePre<Sandbox>,
    manifest: manifest::GuestIndices,
    transform: Option<transform::GuestIndices>,
    validate: Option<validate::GuestIndices>,
    version: Option<version::GuestIndices>,
    imports_wasi: bool,
}

/// The exports of one instance.
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

    /// Whether an instance needs WASI.
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
        let said = self.manifest.call_describe(store)?;
        Ok(RawDescription {
            name: said.name,
            version: said.version,
            platform: said.platform,
            grouping: match said.grouping {
                manifest::Grouping::WholeLines => Grouping::WholeLines,
                manifest::Grouping::ByParent(keys) => {
                    Grouping::ByParent { id: keys.id, parents: keys.parents }
                }
            },
            config_schema: said.config_schema,
            version_fields: said.version_fields,
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
        Ok(role.call_run(store, products)?.map_err(failure).map(|said| RawTransformed {
            documents: said.documents.into_iter().map(document).collect(),
            counts: said.counts,
            removals: said.removals.into_iter().map(removal).collect(),
            issues: said.issues.into_iter().map(issue).collect(),
        }))
    }

    pub(super) fn validate(
        &self,
        store: &mut Store<Sandbox>,
        documents: &[MadeDocument],
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

// Only names of types, but the generated code wants to see it.
impl types::Host for Sandbox {}

fn no_role(role: &str) -> wasmtime::Error {
    wasmtime::format_err!("the component has no role `{role}`")
}

fn failure(said: types::Failure) -> RawFailure {
    RawFailure { code: said.code, message: said.message }
}

fn document(said: types::DocumentResult) -> RawDocument {
    RawDocument { id: said.id, fields: said.fields }
}

fn removal(said: transform::Removal) -> RawRemoval {
    RawRemoval { item: said.item, id: said.id, version: said.version }
}

fn issue(said: types::Issue) -> RawIssue {
    let severity = match said.severity {
        types::Severity::Error => Severity::Error,
        types::Severity::Warning => Severity::Warning,
    };
    RawIssue { item: said.item, severity, code: said.code, message: said.message, path: said.path }
}

fn ordering(said: version::Ordering) -> VersionOrdering {
    match said {
        version::Ordering::Newer => VersionOrdering::Newer,
        version::Ordering::Same => VersionOrdering::Same,
        version::Ordering::Older => VersionOrdering::Older,
    }
}
