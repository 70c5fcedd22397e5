//! The WebAssembly engine in its two profiles.

use crate::plugin::{
    Limits,
    ticker::{Call, Ticker},
};
use std::{fmt, num::NonZeroUsize, sync::Arc};
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy, WasmBacktraceDetails};

/// Frames of a backtrace that are kept: a recursion without end has thousands, all alike.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(20).expect("20 is not zero");

/// Address space for a linear memory that makes bounds checks free: the whole range of a 32-bit index.
const FULL_RESERVATION: u64 = 4 << 30;

/// Memories, tables and core instances that the pool sets aside for one component instance. Plug-ins made of one
/// module have one of each, JavaScript has a few more, Python about forty core instances.
const MEMORIES_PER_INSTANCE: u32 = 2;
const TABLES_PER_INSTANCE: u32 = 4;
const CORE_INSTANCES_PER_INSTANCE: u32 = 48;

/// What an engine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Fast: guests are interrupted by the clock.
    Production,
    /// The same everywhere: guests are interrupted after a number of instructions, and every NaN has the same bits.
    /// For golden files and the tests of plug-in authors.
    Deterministic,
}

/// The WebAssembly engine; cheap to clone. Its clock stops when the last clone is dropped.
#[derive(Clone)]
pub struct Engine {
    engine: wasmtime::Engine,
    profile: Profile,
    ticker: Option<Arc<Ticker>>,
    allocation: Allocation,
}

/// How an engine gets the memory for instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// From slots that were reserved at the start: the fastest way.
    Pooled,
    /// For each instance, with address space for the memory that the limits allow. Slower code, because every access
    /// is checked; used where the operating system grants no large reservations.
    OnDemand,
}

/// The engine could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly engine cannot start: {0}")]
pub struct EngineError(String);

impl Engine {
    /// Makes an engine with room for `instances` plug-in instances at a time (threads times plug-ins).
    pub fn new(profile: Profile, limits: &Limits, instances: usize) -> Result<Self, EngineError> {
        let pooled = wasmtime::Engine::new(&config(profile, limits, Some(slots(limits, instances))));
        let (engine, allocation) = match pooled {
            Ok(engine) => (engine, Allocation::Pooled),
            // Containers and shells may bound the address space (`ulimit -v`): give up speed, not the work.
            Err(refused) => {
                tracing::warn!(
                    "the system refused the address space for pooled plug-in memory, so plug-ins run slower: {refused:#}"
                );
                let engine = wasmtime::Engine::new(&config(profile, limits, None))
                    .map_err(|error| EngineError(format!("{error:#}")))?;
                (engine, Allocation::OnDemand)
            }
        };
        let ticker = match profile {
            Profile::Production => Some(Arc::new(ticker_of(&engine)?)),
            Profile::Deterministic => None,
        };
        Ok(Self { engine, profile, ticker, allocation })
    }

    /// What the engine is for.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// How it gets memory.
    pub fn allocation(&self) -> Allocation {
        self.allocation
    }

    /// Must be held while a guest runs: without it nothing interrupts the guest.
    pub(super) fn call(&self) -> Option<Call<'_>> {
        self.ticker.as_ref().map(|ticker| ticker.call())
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("profile", &self.profile)
            .field("allocation", &self.allocation)
            .finish_non_exhaustive()
    }
}

fn config(profile: Profile, limits: &Limits, pool: Option<PoolingAllocationConfig>) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .parallel_compilation(true)
        .memory_init_cow(true)
        .memory_may_move(false)
        // Nothing in the contract is async, and the per-task state costs on every call.
        .concurrency_support(false)
        .wasm_component_model(true)
        // Components made of several components (JavaScript) are joined by adapters with a memory on each side.
        .wasm_multi_memory(true)
        // What neither the contract nor a toolchain for it needs is code that hostile input could reach.
        .gc_support(false)
        .shared_memory(false)
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        // Relaxed instructions may answer differently on different machines.
        .wasm_relaxed_simd(false)
        .generate_address_map(true)
        .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES))
        // Nobody walks the native stack through guest code.
        .native_unwind_info(cfg!(windows));
    match profile {
        // Reading DWARF takes long and its parser is young; names come from the name section.
        Profile::Production => {
            config.epoch_interruption(true).wasm_backtrace_details(WasmBacktraceDetails::Disable)
        }
        // An author wants to see lines, and the DWARF is the author's own.
        Profile::Deterministic => config
            .consume_fuel(true)
            .cranelift_nan_canonicalization(true)
            .wasm_backtrace_details(WasmBacktraceDetails::Enable),
    };
    match pool {
        Some(pool) => {
            config.memory_reservation(FULL_RESERVATION);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
        None => {
            config.memory_reservation(limits.memory_bytes as u64).memory_guard_size(64 << 10);
            config.memory_reservation_for_growth(0);
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        }
    }
    config
}

fn slots(limits: &Limits, instances: usize) -> PoolingAllocationConfig {
    // One more than are ever warm: a plug-in is described and configured before the threads take it over.
    let instances = u32::try_from(instances).unwrap_or(u32::MAX).saturating_add(1);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_INSTANCE))
        .total_memories(instances.saturating_mul(MEMORIES_PER_INSTANCE))
        .total_tables(instances.saturating_mul(TABLES_PER_INSTANCE))
        .max_tables_per_module(TABLES_PER_INSTANCE)
        .max_memory_size(limits.memory_bytes)
        .table_elements(limits.table_elements)
        // Keeps the working set of a usual plug-in mapped when an instance is replaced.
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(64 << 10);
    pool
}

/// Moves the engine's epoch. It holds no strong handle, so that it ends with the engine.
fn ticker_of(engine: &wasmtime::Engine) -> Result<Ticker, EngineError> {
    let engine = engine.weak();
    let tick = move || {
        if let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
        }
    };
    Ticker::start(tick).map_err(|error| EngineError(format!("no thread for its clock: {error}")))
}

/// Feeds everything that is hashed into SHA-256, because a 64-bit hash is too short to name executable code by.
#[derive(Default)]
struct Sha256Hasher(sha2::Sha256);

impl std::hash::Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

impl Engine {
    /// A fingerprint of everything that decides whether compiled code fits this engine: compiler, settings, processor
    /// features and the version of wasmtime.
    pub(super) fn fingerprint(&self) -> Arc<[u8]> {
        let mut hasher = Sha256Hasher::default();
        std::hash::Hash::hash(&self.engine.precompile_compatibility_hash(), &mut hasher);
        sha2::Digest::finalize(hasher.0).as_slice().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_profiles_start_and_differ() {
        let limits = Limits::default();
        let production = Engine::new(Profile::Production, &limits, 4).unwrap();
        let deterministic = Engine::new(Profile::Deterministic, &limits, 1).unwrap();
        assert_eq!(production.allocation(), Allocation::Pooled);
        assert_ne!(production.fingerprint(), deterministic.fingerprint());
        assert_eq!(
            production.fingerprint(),
            Engine::new(Profile::Production, &limits, 9).unwrap().fingerprint()
        );
    }

    #[test]
    fn the_engine_starts_without_room_for_a_pool() {
        let config = config(Profile::Production, &Limits::default(), None);
        wasmtime::Engine::new(&config).unwrap();
    }
}
