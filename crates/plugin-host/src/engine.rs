//! The WebAssembly engine, wasmtime, in its two profiles: `Production`, which is fast, and `Deterministic`, which gives
//! the same results on every machine.

use crate::{
    Limits,
    watchdog::{Call, TICK, Watchdog},
};
use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};
use std::{fmt, num::NonZeroUsize, sync::Arc};
use wasmtime::{Config, InstanceAllocationStrategy, Strategy, WasmBacktraceDetails};

/// The most frames of a backtrace that are kept: endless recursion has thousands, all alike.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(20).expect("20 is not zero");

/// Bytes of address space for a linear memory that make bounds checks free: the whole range of a 32-bit index.
const FULL_RESERVATION: u64 = 4 << 30;

/// Bytes of guard pages behind it, for the constant offset that an instruction adds to its index.
const FULL_GUARD: u64 = 32 << 20;

/// Bytes of guard pages where address space is scarce and every access is checked.
const SMALL_GUARD: u64 = 64 << 10;

/// Linear memories that one plug-in instance is expected to have. One of a single module has one, JavaScript a few
/// more.
const MEMORIES_PER_INSTANCE: u64 = 4;

/// The size of a page of linear memory in bytes.
const WASM_PAGE: u64 = 64 << 10;

/// How many times `call_ms`, the time of a call in production, the deterministic engine allows. Its limit is a number
/// of instructions, but these do not bound what the host does for a guest. A plug-in that is fast enough for production
/// never takes so much longer, so that this limit decides none of its results.
pub(super) const DETERMINISTIC_TIME: u64 = 6;

/// What an engine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EngineProfile {
    /// Fast: a guest (an instance of a plug-in) is interrupted by the clock.
    Production,
    /// The same everywhere: guests are interrupted after a number of instructions (and after several times the time of
    /// a call, because instructions do not bound the host's own work), and every NaN has the same bits. For golden
    /// files (the expected results in plug-in authors' tests).
    Deterministic,
}

/// The WebAssembly engine; cheap to clone. Its watchdog, the thread that interrupts guests, ends with the last clone.
#[derive(Clone)]
pub struct Engine {
    engine: wasmtime::Engine,
    profile: EngineProfile,
    watchdog: Arc<Watchdog>,
    access: Access,
    /// The most linear memory of an instance in bytes.
    memory_bytes: usize,
}

/// How guests are kept from accessing anything outside their linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// All that an address can name is reserved for each memory, so that no access has to be checked: the fastest way.
    Reserved,
    /// Every access is checked: slower code, for where the operating system grants no large reservations.
    Checked,
}

/// The engine could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly engine cannot start: {0}")]
pub struct EngineError(String);

impl Engine {
    /// Makes an engine with room for `instances` plug-in instances at a time (threads times plug-ins).
    pub fn new(profile: EngineProfile, limits: &Limits, instances: usize) -> Result<Self, EngineError> {
        let access = access(getrlimit(Resource::As).current, instances);
        if access == Access::Checked {
            tracing::warn!(
                "the address space of this process is limited (ulimit -v), so plug-ins run slower: every access to their \
                 memory is checked"
            );
        }
        Self::with_access(profile, limits.memory_bytes, access)
    }

    fn with_access(profile: EngineProfile, memory_bytes: usize, access: Access) -> Result<Self, EngineError> {
        let engine = compiler(profile, access, memory_bytes)?;
        let ticking = engine.clone();
        let watchdog = Watchdog::start(move || ticking.increment_epoch())
            .map_err(|error| EngineError(format!("no thread for its clock: {error}")))?;
        Ok(Self { engine, profile, watchdog: Arc::new(watchdog), access, memory_bytes })
    }

    /// What the engine is for.
    pub fn profile(&self) -> EngineProfile {
        self.profile
    }

    /// How it keeps guests within their memory.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The most bytes of linear memory that an instance may have; compiled code depends on it where accesses are
    /// checked.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Gives the next call into a guest its time, and its instructions (wasmtime's fuel) where they are counted. The
    /// guard that it returns must be held while the guest runs: without it nothing interrupts the guest.
    pub(super) fn call<T>(
        &self,
        store: &mut wasmtime::Store<T>,
        limits: &Limits,
    ) -> wasmtime::Result<Call<'_>> {
        if self.profile == EngineProfile::Deterministic {
            store.set_fuel(limits.fuel)?;
        }
        // One more, because the current tick has begun already.
        let ticks = limits.call_ms.div_ceil(TICK.as_millis() as u64).saturating_add(1);
        store.set_epoch_deadline(ticks);
        Ok(self.watchdog.call())
    }

    /// A SHA-256 digest of everything that decides whether compiled code fits this engine: compiler, settings,
    /// processor features, and the version of wasmtime.
    pub(super) fn fingerprint(&self) -> Arc<[u8]> {
        let mut hasher = Sha256Hasher::default();
        std::hash::Hash::hash(&self.engine.precompile_compatibility_hash(), &mut hasher);
        sha2::Digest::finalize(hasher.0).as_slice().into()
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("profile", &self.profile)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// How to keep guests within their memory if the process may use at most `limit` bytes of address space (`None`: any).
fn access(limit: Option<u64>, instances: usize) -> Access {
    let memories = (instances as u64).saturating_mul(MEMORIES_PER_INSTANCE);
    let wanted = (FULL_RESERVATION + FULL_GUARD).saturating_mul(memories);
    // Half of the address space is for the host itself.
    match limit {
        Some(limit) if limit / 2 < wanted => Access::Checked,
        _ => Access::Reserved,
    }
}

/// A wasmtime engine that compiles as an [`Engine`] does; without a watchdog, so it must not run guests.
pub(super) fn compiler(
    profile: EngineProfile,
    access: Access,
    memory_bytes: usize,
) -> Result<wasmtime::Engine, EngineError> {
    wasmtime::Engine::new(&config(profile, access, memory_bytes))
        .map_err(|error| EngineError(format!("{error:#}")))
}

fn config(profile: EngineProfile, access: Access, memory_bytes: usize) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .parallel_compilation(true)
        .memory_may_move(false)
        .memory_init_cow(true)
        // Instances live long: filling their tables once is cheaper than a check at each call through a table.
        .table_lazy_init(false)
        // Nothing in the contract is async, and the per-task state costs on every call.
        .concurrency_support(false)
        .wasm_component_model(true)
        // Components made of several components (JavaScript) are joined by adapters with a memory on each side.
        .wasm_multi_memory(true)
        // Neither the contract nor a toolchain for it needs these, and hostile input could reach their code.
        .gc_support(false)
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        // Relaxed instructions may give different results on different machines.
        .wasm_relaxed_simd(false)
        .generate_address_map(true)
        .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES))
        // No profiler or debugger walks the native stack through guest code.
        .native_unwind_info(cfg!(windows))
        .epoch_interruption(true);
    match profile {
        EngineProfile::Production => config
            // Reading DWARF (debug information) takes long, and hostile input would reach its young parser. Function
            // names come from the name section.
            .wasm_backtrace_details(WasmBacktraceDetails::Disable),
        // A plug-in author wants to see source lines, and the DWARF is the author's own.
        EngineProfile::Deterministic => config
            .consume_fuel(true)
            .cranelift_nan_canonicalization(true)
            .wasm_backtrace_details(WasmBacktraceDetails::Enable),
    };
    let (reserved, guard) = match access {
        Access::Reserved => (FULL_RESERVATION, FULL_GUARD),
        Access::Checked => ((memory_bytes as u64).next_multiple_of(WASM_PAGE), SMALL_GUARD),
    };
    config
        .memory_reservation(reserved)
        .memory_guard_size(guard)
        .memory_reservation_for_growth(0)
        .allocation_strategy(InstanceAllocationStrategy::OnDemand);
    config
}

/// A `Hasher` that computes SHA-256, because a 64-bit hash is too short to name executable code by.
#[derive(Default)]
struct Sha256Hasher(sha2::Sha256);

impl std::hash::Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }

    /// Not used: the digest is taken from the field.
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
