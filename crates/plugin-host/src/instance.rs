//! One instance of a plug-in: its WebAssembly with a memory of its own, in a sandbox. It is used for many calls, until
//! it traps (WebAssembly aborts it), its memory grows too large, or it has served enough calls.

use crate::{
    Engine, EngineProfile, Limits,
    contract_v0_1::{Guest, Prepared},
    fault::Fault,
    load::{Loaded, one_line},
    raw::{GuestResult, RawDescription, RawFailure},
    sandbox::Sandbox,
    wasi,
};
use host_core::plugin::BatchFailure;
use std::sync::Arc;
use wasmtime::Store;

/// Code of a batch's failure if no instance could be made.
pub(super) const START_CODE: &str = "plugin-start";

/// An instance of a plug-in, configured and ready. It belongs to one thread at a time.
pub(super) struct Instance {
    store: Store<Sandbox>,
    guest: Guest,
    imports_wasi: bool,
    calls: u64,
    /// Set by an error of a call, after which the instance may be in any state and is not called again.
    is_broken: bool,
}

/// Why a component was not described.
#[derive(Debug)]
pub(super) enum DescribeError {
    /// It could not be instantiated; the text is the end of a sentence.
    Start(String),
    /// The function `describe` failed.
    Fault(Fault),
}

/// How a call into an instance ended without an answer.
#[derive(Debug)]
pub(super) enum CallError {
    /// The guest (the plug-in's code) trapped or exceeded a limit.
    Fault(Fault),
    /// The guest refused the whole call, which the contract allows.
    Failure(RawFailure),
}

impl Instance {
    /// Makes an instance and configures it.
    pub(super) fn new(plugin: &Loaded) -> Result<Self, BatchFailure> {
        let Loaded { engine, limits, prepared, reference, .. } = plugin;
        let mut instance = Self::start(engine, limits, prepared, reference.clone()).map_err(|cause| {
            plugin.failure(START_CODE.to_owned(), &format!("it cannot be started: {cause}"))
        })?;
        let configured = instance.call(limits, engine, |guest, store| guest.configure(store, &plugin.config));
        match configured {
            Ok(()) => Ok(instance),
            Err(CallError::Failure(failure)) => Err(plugin.failure(failure.code, &failure.message)),
            Err(CallError::Fault(fault)) => {
                let message = format!("it {} when it was configured", fault.verb_phrase(limits));
                Err(plugin.failure(fault.code().to_owned(), &message))
            }
        }
    }

    /// Asks a component for its manifest, on an instance that is not configured and not used again.
    pub(super) fn describe(
        engine: &Engine,
        limits: &Limits,
        prepared: &Prepared,
    ) -> Result<RawDescription, DescribeError> {
        let mut instance =
            Self::start(engine, limits, prepared, "unknown".into()).map_err(DescribeError::Start)?;
        instance.call(limits, engine, |guest, store| guest.describe(store).map(Ok)).map_err(|error| {
            match error {
                CallError::Fault(fault) => DescribeError::Fault(fault),
                CallError::Failure(failure) => DescribeError::Fault(Fault::contract(failure.message)),
            }
        })
    }

    fn start(engine: &Engine, limits: &Limits, prepared: &Prepared, name: Arc<str>) -> Result<Self, String> {
        let imports_wasi = prepared.imports_wasi();
        let mut store = Store::new(engine.wasmtime(), Sandbox::new(name, limits, imports_wasi));
        // Set before instantiation, because the initial memory counts as growth.
        store.limiter(|sandbox| &mut sandbox.limiter);
        store.set_hostcall_fuel(limits.output_bytes);
        let _runtime = imports_wasi.then(wasi::enter_runtime);
        let started = engine.call(&mut store, limits).and_then(|_running| prepared.instantiate(&mut store));
        store.data_mut().end();
        match started {
            Ok(guest) => Ok(Self { store, guest, imports_wasi, calls: 0, is_broken: false }),
            Err(error) => Err(match Fault::at_start(&error, &mut store.data_mut().limiter) {
                Some(fault) => format!("it {}", fault.verb_phrase(limits)),
                None => one_line(&error),
            }),
        }
    }

    /// Calls into the guest under all limits of a call.
    pub(super) fn call<T>(
        &mut self,
        limits: &Limits,
        engine: &Engine,
        call: impl FnOnce(&Guest, &mut Store<Sandbox>) -> GuestResult<T>,
    ) -> Result<T, CallError> {
        self.calls += 1;
        self.store.data_mut().begin();
        let _runtime = self.imports_wasi.then(wasi::enter_runtime);
        let result =
            engine.call(&mut self.store, limits).and_then(|_running| call(&self.guest, &mut self.store));
        let sandbox = self.store.data_mut();
        sandbox.end();
        match result {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(failure)) => Err(CallError::Failure(failure)),
            Err(error) => {
                self.is_broken = true;
                let mut fault = Fault::of(&error, &mut sandbox.limiter);
                fault.log = sandbox.log().take_tail();
                Err(CallError::Fault(fault))
            }
        }
    }

    /// Whether the instance must not be used for another call.
    pub(super) fn must_be_discarded(&self, limits: &Limits) -> bool {
        self.is_broken
            || self.calls >= limits.calls_per_instance
            || self.store.data().limiter.granted() > limits.retire_memory_bytes
    }

    /// The last lines that the guest wrote in its last call.
    pub(super) fn take_log(&self) -> Vec<String> {
        self.store.data().log().take_tail()
    }

    /// Instructions that the last call executed (`None` in production, which does not count them), and bytes of linear
    /// memory that the instance has.
    pub(super) fn cost(&self, engine: &Engine, limits: &Limits) -> (Option<u64>, usize) {
        let instructions = match engine.profile() {
            // `get_fuel` would fail, and capture a backtrace for its error.
            EngineProfile::Production => None,
            EngineProfile::Deterministic => {
                self.store.get_fuel().ok().map(|left| limits.fuel.saturating_sub(left))
            }
        };
        (instructions, self.store.data().limiter.granted())
    }
}
