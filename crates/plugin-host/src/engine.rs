//! The WebAssembly engine in its two profiles.

use crate::{
    Limits,
    memory::{Interrupt, Memories, can_reserve},
    safepoints,
    ticker::{Call, TICK, Ticker},
};
use std::{borrow::Cow, fmt, num::NonZeroUsize, ops::Range, sync::Arc};
use wasmparser::BinaryReaderError;
use wasmtime::{Config, InstanceAllocationStrategy, Strategy, WasmBacktraceDetails};

/// Frames of a backtrace that are kept: a recursion without end has thousands, all alike.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(20).expect("20 is not zero");

/// Address space for a linear memory that makes bounds checks free: the whole range of a 32-bit index, and of what an instruction
/// adds to it.
const FULL_RESERVATION: u64 = 4 << 30;
const FULL_GUARD: u64 = 32 << 20;

/// The same where address space is scarce and every access is checked.
const SMALL_GUARD: u64 = 64 << 10;

/// Memories that one component instance may be expected to have. Those made of one module have one, JavaScript has a few more.
const MEMORIES_PER_INSTANCE: usize = 4;

/// The size of a page of linear memory in bytes.
const WASM_PAGE: u32 = 64 << 10;

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
    access: Access,
    /// Where in their memory guests poll.
    polled: Range<u32>,
}

/// How guests are kept within their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    pub fn new(profile: Profile, limits: &Limits, instances: usize) -> Result<Self, EngineError> {
        let wanted = (FULL_RESERVATION + FULL_GUARD) as usize;
        let access = match can_reserve(wanted.saturating_mul(instances.saturating_mul(MEMORIES_PER_INSTANCE)))
        {
            true => Access::Reserved,
            // Containers and shells may bound the address space (`ulimit -v`): give up speed, not the work.
            false => {
                tracing::warn!(
                    "the system refused the address space for the memory of plug-ins, so plug-ins run slower"
                );
                Access::Checked
            }
        };
        Self::with_access(profile, limits, access)
    }

    fn with_access(profile: Profile, limits: &Limits, access: Access) -> Result<Self, EngineError> {
        let polled = polled(limits);
        let engine = wasmtime::Engine::new(&config(profile, access, polled.clone()))
            .map_err(|error| EngineError(format!("{error:#}")))?;
        let ticker = match profile {
            Profile::Production => Some(Arc::new(
                Ticker::start().map_err(|error| EngineError(format!("no thread for its clock: {error}")))?,
            )),
            Profile::Deterministic => None,
        };
        Ok(Self { engine, profile, ticker, access, polled })
    }

    /// What the engine is for.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// How it keeps guests within their memory.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Must be held while a guest runs: without it nothing interrupts the guest.
    pub(super) fn call(&self, limits: &Limits, interrupt: &Interrupt) -> Option<Call<'_>> {
        // One more, because the current tick has begun already.
        let ticks = limits.call_ms.div_ceil(TICK.as_millis() as u64).saturating_add(1);
        self.ticker.as_ref().map(|ticker| ticker.call(ticks, interrupt))
    }

    /// A component as this engine compiles it.
    pub(super) fn prepare<'a>(&self, component: &'a [u8]) -> Result<Cow<'a, [u8]>, BinaryReaderError> {
        match self.profile {
            Profile::Production => safepoints::add(component, self.polled.start).map(Cow::from),
            // Its guests are interrupted by counting their instructions.
            Profile::Deterministic => Ok(Cow::from(component)),
        }
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

/// Behind the memory that a plug-in may have, as far as a 32-bit index reaches.
fn polled(limits: &Limits) -> Range<u32> {
    let memory = u32::try_from(limits.memory_bytes).unwrap_or(u32::MAX);
    let start = memory
        .checked_next_multiple_of(WASM_PAGE)
        .unwrap_or(u32::MAX)
        .min(WASM_PAGE.wrapping_neg() - WASM_PAGE);
    start..start + WASM_PAGE
}

fn config(profile: Profile, access: Access, polled: Range<u32>) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .parallel_compilation(true)
        .memory_may_move(false)
        // Goes with memory of wasmtime's own making only.
        .memory_init_cow(false)
        // Instances live long, so that their tables are better filled once than looked after at each call through them.
        .table_lazy_init(false)
        // Nothing in the contract is async, and the per-task state costs on every call.
        .concurrency_support(false)
        .wasm_component_model(true)
        // Components made of several components (JavaScript) are joined by adapters with a memory on each side.
        .wasm_multi_memory(true)
        // What neither the contract nor a toolchain for it needs is code that hostile input could reach.
        .gc_support(false)
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
        Profile::Production => config.wasm_backtrace_details(WasmBacktraceDetails::Disable),
        // An author wants to see lines, and the DWARF is the author's own.
        Profile::Deterministic => config
            .consume_fuel(true)
            .cranelift_nan_canonicalization(true)
            .wasm_backtrace_details(WasmBacktraceDetails::Enable),
    };
    let (reserved, guard) = match access {
        Access::Reserved => (FULL_RESERVATION, FULL_GUARD),
        Access::Checked => (u64::from(polled.end), SMALL_GUARD),
    };
    config
        .memory_reservation(reserved)
        .memory_guard_size(guard)
        .memory_reservation_for_growth(0)
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .with_host_memory(Arc::new(Memories { polled }));
    config
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
    /// features, the version of wasmtime, and the safepoints.
    pub(super) fn fingerprint(&self) -> Arc<[u8]> {
        let mut hasher = Sha256Hasher::default();
        std::hash::Hash::hash(&self.engine.precompile_compatibility_hash(), &mut hasher);
        std::hash::Hash::hash(&(&self.polled, safepoints::VERSION), &mut hasher);
        sha2::Digest::finalize(hasher.0).as_slice().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc::channel, time::Duration};
    use wasmtime::{
        Store, Trap,
        component::{Component, Linker},
    };

    /// Nothing here takes a second.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn both_profiles_start_and_differ() {
        let limits = Limits::default();
        let production = Engine::new(Profile::Production, &limits, 4).unwrap();
        let deterministic = Engine::new(Profile::Deterministic, &limits, 1).unwrap();
        assert_eq!(production.access(), Access::Reserved);
        assert_ne!(production.fingerprint(), deterministic.fingerprint());
        assert_eq!(
            production.fingerprint(),
            Engine::new(Profile::Production, &limits, 9).unwrap().fingerprint()
        );
    }

    /// A component around a core module whose function `run` is called.
    fn around(module: &str) -> Vec<u8> {
        let component = format!(
            r#"(component
                (core module $m {module})
                (core instance $i (instantiate $m))
                (func (export "run") (canon lift (core func $i "run"))))"#
        );
        wat::parse_str(component).unwrap()
    }

    /// Runs a component for at most some ticks; tells its trap, and whether it was interrupted.
    fn run(engine: &Engine, component: &[u8], ticks: u32) -> (Option<Trap>, bool) {
        let limits = Limits::default().with_call_time(ticks * TICK);
        let component = engine.prepare(component).unwrap();
        let component = Component::from_binary(engine.wasmtime(), &component).unwrap();
        let engine = engine.clone();
        let (ended, end) = channel();
        // On a thread of its own: what cannot be interrupted would hold the test for ever.
        std::thread::spawn(move || {
            let (interrupt, mut store) = (Interrupt::default(), Store::new(engine.wasmtime(), ()));
            let _running = engine.call(&limits, &interrupt);
            let ran = interrupt.own(|| {
                let instance = Linker::new(engine.wasmtime()).instantiate(&mut store, &component)?;
                instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())
            });
            let trap = ran.err().map(|error| *error.downcast_ref().expect("a trap"));
            ended.send((trap, interrupt.is_raised()))
        });
        end.recv_timeout(PATIENCE).expect("it comes back")
    }

    /// Guests that do not come back on their own.
    const ENDLESS: [(&str, &str); 11] = [
        ("an empty loop", r#"(memory 1) (func (export "run") (loop (br 0)))"#),
        ("a memory that cannot grow", r#"(memory 1 1) (func (export "run") (loop (br 0)))"#),
        ("no memory", r#"(func (export "run") (loop (br 0)))"#),
        (
            "a table and no memory",
            r#"(table 1 funcref) (global i32 (i32.const 0)) (func (export "run") (loop (br 0)))"#,
        ),
        (
            "a loop after a loop, so that a compiler could take the second read for done",
            r#"(memory 1) (func (export "run") (local i32)
                (loop (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br_if 0 (i32.lt_u (local.get 0) (i32.const 9))))
                (loop (loop (br 1))))"#,
        ),
        (
            "a loop after it read what is polled itself",
            r#"(memory 1) (func (export "run")
                (drop (i32.load8_u (i32.const 0x10000000))) (drop (i32.load8_u (i32.const 0x10000001))) (loop (br 0)))"#,
        ),
        (
            "calls without end and without depth",
            r#"(func $f (param i32) (if (local.get 0) (then
                    (call $f (i32.sub (local.get 0) (i32.const 1))) (call $f (i32.sub (local.get 0) (i32.const 1))))))
               (func (export "run") (call $f (i32.const 100)))"#,
        ),
        ("tail calls", r#"(func $f (return_call $f)) (func (export "run") (return_call $f))"#),
        (
            "calls through a table",
            r#"(table funcref (elem $f)) (type $t (func))
               (func $f (return_call_indirect (type $t) (i32.const 0))) (func (export "run") (call $f))"#,
        ),
        (
            "large fills",
            r#"(memory 1000) (func (export "run")
                (loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536000)) (br 0)))"#,
        ),
        ("its own start", r#"(memory 1) (func $s (loop (br 0))) (start $s) (func (export "run"))"#),
    ];

    #[test]
    fn whatever_goes_on_without_end_is_interrupted() {
        for access in [Access::Reserved, Access::Checked] {
            let engine = Engine::with_access(Profile::Production, &Limits::default(), access).unwrap();
            for (what, module) in ENDLESS {
                assert_eq!(run(&engine, &around(module), 3), (Some(Trap::MemoryOutOfBounds), true), "{what}");
            }
        }
    }

    #[test]
    fn a_component_within_a_component_is_interrupted() {
        let engine = Engine::new(Profile::Production, &Limits::default(), 1).unwrap();
        let nested = r#"(component
            (component $c
                (core module $m (func (export "run") (loop (br 0))))
                (core instance $i (instantiate $m))
                (func (export "run") (canon lift (core func $i "run"))))
            (instance $i (instantiate $c))
            (export "run" (func $i "run")))"#;
        assert_eq!(run(&engine, &wat::parse_str(nested).unwrap(), 3), (Some(Trap::MemoryOutOfBounds), true));
    }

    #[test]
    fn what_is_polled_is_no_memory_of_the_guest() {
        let engine = Engine::new(Profile::Production, &Limits::default(), 1).unwrap();
        let at = |instruction: &str| {
            let module = format!(r#"(memory 1) (func (export "run") {instruction})"#);
            run(&engine, &around(&module), 1_000)
        };
        let out_of_bounds = (Some(Trap::MemoryOutOfBounds), false);
        let [start, end] = [engine.polled.start, engine.polled.end];
        assert_eq!(at(&format!("(i32.store8 (i32.const {start}) (i32.const 7))")), out_of_bounds);
        assert_eq!(at(&format!("(drop (i32.load8_u (i32.const {})))", start - 1)), out_of_bounds);
        assert_eq!(at(&format!("(drop (i32.load8_u (i32.const {end})))")), out_of_bounds);
        assert_eq!(
            at(&format!("(memory.fill (i32.const {start}) (i32.const 0) (i32.const 1))")),
            out_of_bounds
        );
        assert_eq!(at("(i32.store8 (i32.const 65535) (i32.const 7))"), (None, false));
    }

    #[test]
    fn a_memory_grows_up_to_what_is_polled_and_reads_as_zeros() {
        let engine = Engine::new(Profile::Production, &Limits::default(), 1).unwrap();
        let grows = r#"(memory 1) (func (export "run")
            (if (i32.ne (memory.grow (i32.const 4095)) (i32.const 1)) (then unreachable))
            (if (i32.load (i32.const 0xffffffc)) (then unreachable))
            (i32.store (i32.const 0xffffffc) (i32.const 7))
            (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable)))"#;
        assert_eq!(run(&engine, &around(grows), 1_000), (None, false));
    }
}
