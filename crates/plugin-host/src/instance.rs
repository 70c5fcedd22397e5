//! One instance of a plug-in: a sandbox with memory, used for many calls until it traps, grows or gets old.

use crate::{
    Engine, Limits, Profile,
    answer::{Called, RawDescription, RawFailure},
    contract_v0_1::{Guest, Prepared},
    fault::Fault,
    load::{Loaded, StartError},
    memory::Interrupt,
    sandbox::Sandbox,
};
use host_core::plugin::BatchFailure;
use std::sync::Arc;
use wasmtime::Store;

/// Code of the failure to make an instance.
pub(super) const START_CODE: &str = "plugin-start";

/// An instance of a plug-in, configured and ready. It belongs to one thread at a time.
pub(super) struct Instance {
    store: Store<Sandbox>,
    guest: Guest,
    interrupt: Interrupt,
    calls: u64,
    /// After a trap nothing in the sandbox may be trusted or entered again.
    is_broken: bool,
}

/// How a call into an instance ended without an answer.
#[derive(Debug)]
pub(super) enum CallError {
    /// The guest misbehaved.
    Fault(Fault),
    /// The guest refused the whole call, as the contract lets it.
    Failure(RawFailure),
}

impl Instance {
    /// Makes an instance and configures it.
    pub(super) fn new(plugin: &Loaded) -> Result<Self, BatchFailure> {
        let Loaded { engine, limits, prepared, reference, .. } = plugin;
        let mut instance = Self::start(engine, limits, prepared, reference.clone()).map_err(|error| {
            plugin.failure(START_CODE.to_owned(), &format!("it cannot be started: {error:#}"))
        })?;
        let configured = instance.call(limits, engine, |guest, store| guest.configure(store, &plugin.config));
        match configured {
            Ok(()) => Ok(instance),
            Err(CallError::Failure(said)) => Err(plugin.failure(said.code, &said.message)),
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
    ) -> Result<RawDescription, StartError> {
        let mut instance =
            Self::start(engine, limits, prepared, "unknown".into()).map_err(StartError::Start)?;
        instance.call(limits, engine, |guest, store| guest.describe(store).map(Ok)).map_err(|error| {
            match error {
                CallError::Fault(fault) => StartError::Fault(fault),
                CallError::Failure(said) => StartError::Fault(Fault::contract(said.message)),
            }
        })
    }

    fn start(
        engine: &Engine,
        limits: &Limits,
        prepared: &Prepared,
        name: Arc<str>,
    ) -> wasmtime::Result<Self> {
        let mut store = Store::new(engine.wasmtime(), Sandbox::new(name, limits));
        // Before instantiation: the first memory is a growth like any other.
        store.limiter(|sandbox| &mut sandbox.limiter);
        store.set_hostcall_fuel(limits.output_bytes);
        set_fuel(&mut store, limits, engine.profile())?;
        let interrupt = Interrupt::default();
        let _running = engine.call(limits, &interrupt);
        let guest = interrupt.own(|| prepared.instantiate(&mut store))?;
        Ok(Self { store, guest, interrupt, calls: 0, is_broken: false })
    }

    /// Calls into the guest under all limits of a call.
    pub(super) fn call<T>(
        &mut self,
        limits: &Limits,
        engine: &Engine,
        call: impl FnOnce(&Guest, &mut Store<Sandbox>) -> Called<T>,
    ) -> Result<T, CallError> {
        self.calls += 1;
        self.store.data_mut().begin();
        let running = engine.call(limits, &self.interrupt);
        let result = match set_fuel(&mut self.store, limits, engine.profile()) {
            Ok(()) => call(&self.guest, &mut self.store),
            Err(error) => Err(error),
        };
        drop(running);
        // An answer that was ready just in time is as good as any other, but it was the last one.
        let was_interrupted = self.interrupt.is_raised();
        self.is_broken |= was_interrupted;
        let sandbox = self.store.data_mut();
        sandbox.end();
        match result {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(failure)) => Err(CallError::Failure(failure)),
            Err(error) => {
                self.is_broken = true;
                let mut fault = Fault::of(&error, was_interrupted, &mut sandbox.limiter);
                fault.log = sandbox.log.take_tail();
                Err(CallError::Fault(fault))
            }
        }
    }

    /// Whether the instance should not be used for another call.
    pub(super) fn is_spent(&self, limits: &Limits) -> bool {
        self.is_broken
            || self.calls >= limits.calls_per_instance
            || self.store.data().limiter.granted() > limits.retire_memory_bytes
    }

    /// The last lines that the guest wrote in its last call.
    pub(super) fn take_log(&mut self) -> Vec<String> {
        self.store.data_mut().log.take_tail()
    }

    /// Instructions that the last call executed, where they are counted, and bytes of memory that the instance has.
    pub(super) fn cost(&self, engine: &Engine, limits: &Limits) -> (Option<u64>, usize) {
        let instructions = match engine.profile() {
            // Asking would make an error, with a backtrace where those are wanted.
            Profile::Production => None,
            Profile::Deterministic => self.store.get_fuel().ok().map(|left| limits.fuel.saturating_sub(left)),
        };
        (instructions, self.store.data().limiter.granted())
    }
}

/// Gives the next call its instructions, where they are counted.
fn set_fuel(store: &mut Store<Sandbox>, limits: &Limits, profile: Profile) -> wasmtime::Result<()> {
    match profile {
        Profile::Production => Ok(()),
        Profile::Deterministic => store.set_fuel(limits.fuel),
    }
}
