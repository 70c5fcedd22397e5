//! An inert WASI 0.2 (the standard system interfaces of WebAssembly), which grants nothing: some toolchains have a
//! plug-in import WASI although it does not use it. It is `wasmtime-wasi` without arguments, variables, folders and
//! sockets. Clocks are stopped at 1970-01-01T00:00:00Z, random numbers are the same in each call, and output goes to
//! the log. It is linked only to components that import it.

use crate::sandbox::{Line, Sandbox, SharedLog};
use async_trait::async_trait;
use bytes::Bytes;
use rand_core::TryRng;
use serde::{Deserialize, Serialize};
use std::{
    convert::Infallible,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use tokio::{
    io::{AsyncWrite, sink},
    runtime::{EnterGuard, Runtime},
};
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable, ResourceTableError};
use wasmtime_wasi::{
    HostWallClock, I32Exit, WasiCtx, WasiCtxView, WasiView,
    cli::{IsTerminal, StdoutStream},
    p2::{
        self, DynPollable, OutputStream, Pollable, StreamError, StreamResult,
        bindings::clocks::monotonic_clock,
    },
};

/// WASI access for plug-ins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Wasi {
    /// One that grants nothing: clocks are stopped, random numbers are the same in each call, files and sockets fail
    #[default]
    Inert,
    /// None: a plug-in that imports WASI is refused
    None,
}

/// How the versions of WASI begin that are linked; 0.3 has a different ABI.
const VERSIONS: &str = "0.2.";

/// The most bytes that a guest (the plug-in's code) may write to a stream at once.
const WRITE_BYTES: usize = 4096;

/// The most bytes of a line; a longer one is split.
const LINE_BYTES: usize = 4096;

/// The most random bytes that a guest may ask for at once.
const RANDOM_BYTES: u64 = 64 << 10;

/// The seed of the random numbers of each call.
const SEED: u64 = 0x5eed;

/// What an import of WASI provides to a plug-in, for people to read; `None` if it is not linked.
pub(super) fn meaning(import: &str) -> Option<&'static str> {
    let (package, rest) = import.strip_prefix("wasi:")?.split_once('/')?;
    let (interface, version) = rest.split_once('@')?;
    if !version.starts_with(VERSIONS) {
        return None;
    }
    Some(match (package, interface) {
        ("cli", "environment") => "no arguments, no variables",
        ("cli", "exit") => "ends the call like a trap",
        ("cli", "stdin") => "empty",
        ("cli", "stdout" | "stderr") => "goes to the log",
        (
            "cli",
            "terminal-input" | "terminal-output" | "terminal-stdin" | "terminal-stdout" | "terminal-stderr",
        ) => "there is no terminal",
        ("clocks", "wall-clock" | "monotonic-clock") => "stopped at 1970-01-01T00:00:00Z",
        ("filesystem", "types" | "preopens") => "no files: opening one fails",
        ("io", "poll") => "waiting ends at once",
        ("io", "error" | "streams") => "what the others are made of",
        ("random", "random" | "insecure" | "insecure-seed") => "the same numbers in each call",
        (
            "sockets",
            "instance-network" | "ip-name-lookup" | "network" | "tcp" | "tcp-create-socket" | "udp"
            | "udp-create-socket",
        ) => "no network: opening a socket fails",
        _ => return None,
    })
}

/// Whether an import is an interface of WASI, of any version.
pub(super) fn is_wasi(import: &str) -> bool {
    import.starts_with("wasi:")
}

/// Links WASI.
pub(super) fn add_to_linker(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    p2::add_to_linker_sync(linker)?;
    // The clock of `wasmtime-wasi` would have a guest sleep inside the host, where the engine cannot interrupt it.
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The state of WASI of one instance.
pub(super) struct State {
    context: WasiCtx,
    /// The handles that the guest holds.
    table: ResourceTable,
    /// The state of the random number generator.
    random: Arc<AtomicU64>,
    /// Standard output and standard error.
    outputs: [Output; 2],
}

impl State {
    pub(super) fn new(log: &SharedLog, max_handles: usize) -> Self {
        let random = Arc::new(AtomicU64::new(SEED));
        let output = |level| Output { log: log.clone(), level, line: Arc::default() };
        let outputs = [output(tracing::Level::INFO), output(tracing::Level::WARN)];
        let context = WasiCtx::builder()
            .stdout(outputs[0].clone())
            .stderr(outputs[1].clone())
            .allow_tcp(false)
            .allow_udp(false)
            .wall_clock(StoppedClock)
            .secure_random(Random(random.clone()))
            .insecure_random(Random(random.clone()))
            .insecure_random_seed(SEED.into())
            .max_random_size(RANDOM_BYTES)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(max_handles);
        Self { context, table, random, outputs }
    }

    /// Begins a call: the random numbers start again from the seed, whatever the instance has done before.
    pub(super) fn begin(&mut self) {
        self.random.store(SEED, Relaxed);
    }

    /// Ends a call: logs what was written after the last line end.
    pub(super) fn end(&mut self) {
        for output in &self.outputs {
            let mut line = output.line();
            if !line.is_empty() {
                output.end_line(&mut line);
            }
        }
    }
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let State { context, table, .. } = self.wasi();
        WasiCtxView { ctx: context, table }
    }
}

/// How a guest broke the rules of WASI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WasiViolation {
    #[error("it called exit")]
    Exit,
    #[error("it holds too many handles")]
    Handles,
    #[error("it asked for more random bytes at once than the {RANDOM_BYTES} that it may have")]
    Random,
    #[error("it wrote more to a stream at once than the {WRITE_BYTES} bytes that the stream had permitted")]
    Write,
}

impl WasiViolation {
    /// Finds the violation that a call failed with; `None` if the error is another one.
    pub(super) fn of(error: &wasmtime::Error) -> Option<Self> {
        if let Some(violation) = error.downcast_ref() {
            return Some(*violation);
        }
        match error.downcast_ref::<ResourceTableError>() {
            Some(ResourceTableError::Full) => Some(Self::Handles),
            _ if error.is::<I32Exit>() => Some(Self::Exit),
            _ if is_random_exceeded(&error.root_cause().to_string()) => Some(Self::Random),
            _ => None,
        }
    }
}

/// Whether an error is the one of `WasiCtxBuilder::max_random_size`, which has no type of its own; a test fails if the
/// words change.
fn is_random_exceeded(error: &str) -> bool {
    error.starts_with("requested len ") && error.ends_with(&format!(" exceeds limit {RANDOM_BYTES}"))
}

/// Lets synchronous WASI find a tokio runtime on this thread; it would otherwise start one with its own threads.
/// Nothing waits on it, because everything that a guest can wait for is ready.
pub(super) fn enter_runtime() -> EnterGuard<'static> {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime without drivers needs nothing of the system")
    });
    RUNTIME.enter()
}

/// Runs a guest with WASI on a new thread, because synchronous WASI panics on a thread on which tokio runs.
pub(super) fn outside_of_runtimes<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| match scope.spawn(run).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

struct StoppedClock;

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::ZERO
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl monotonic_clock::Host for Sandbox {
    fn now(&mut self) -> wasmtime::Result<monotonic_clock::Instant> {
        Ok(0)
    }

    fn resolution(&mut self) -> wasmtime::Result<monotonic_clock::Duration> {
        Ok(0)
    }

    fn subscribe_instant(
        &mut self,
        _when: monotonic_clock::Instant,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let table = &mut self.wasi().table;
        let ready = table.push(Ready)?;
        p2::subscribe(table, ready)
    }

    fn subscribe_duration(
        &mut self,
        _time: monotonic_clock::Duration,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe_instant(0)
    }
}

/// A wait for a time, which ends at once.
struct Ready;

#[async_trait]
impl Pollable for Ready {
    async fn ready(&mut self) {}
}

/// Random numbers by the algorithm SplitMix64; reproducible and not secret.
struct Random(Arc<AtomicU64>);

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.0.fetch_add(STEP, Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(mixed ^ (mixed >> 31))
    }

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.try_next_u64()? as u32)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.try_next_u64()?.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// Standard output or error, whose lines go to the log.
#[derive(Clone)]
struct Output {
    log: SharedLog,
    level: tracing::Level,
    /// What was written since the last line end.
    line: Arc<Mutex<Vec<u8>>>,
}

impl Output {
    fn line(&self) -> MutexGuard<'_, Vec<u8>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs the line and empties it.
    fn end_line(&self, line: &mut Vec<u8>) {
        let message = String::from_utf8_lossy(line).into_owned();
        line.clear();
        self.log.lock().write(Line { level: self.level, message });
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3, which is not linked, uses it.
        Box::new(sink())
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        // Nothing interrupts the host while it splits lines, so it takes no more than `check_write` permits.
        if bytes.len() > WRITE_BYTES {
            return Err(StreamError::Trap(wasmtime::Error::new(WasiViolation::Write)));
        }
        let mut line = self.line();
        for byte in bytes {
            if byte != b'\n' {
                line.push(byte);
            }
            if byte == b'\n' || line.len() >= LINE_BYTES {
                self.end_line(&mut line);
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_interfaces_that_are_linked_have_a_meaning() {
        assert_eq!(meaning("wasi:cli/exit@0.2.12"), Some("ends the call like a trap"));
        let others = [
            "wasi:nn/tensor@0.2.0",
            "wasi:http/types@0.2.0",
            "wasi:cli/frobnicate@0.2.0",
            "wasi:cli/exit@0.3.0",
            "wasi:cli/exit",
            "cli/exit@0.2.0",
        ];
        for other in others {
            assert_eq!(meaning(other), None, "{other}");
        }
    }

    fn state() -> (State, SharedLog) {
        let log = SharedLog::new("p".into(), 1 << 20);
        (State::new(&log, 10), log)
    }

    #[test]
    fn each_call_has_the_same_random_numbers() {
        let (mut state, _log) = state();
        let mut random = Random(state.random.clone());
        let mut two = || [random.try_next_u64().unwrap(), random.try_next_u64().unwrap()];
        let first = two();
        state.begin();
        assert_eq!(two(), first);
        assert_ne!(first[0], first[1]);
    }

    #[test]
    fn output_is_logged_line_by_line() {
        let (mut state, log) = state();
        let write = |output: usize, text: &str| {
            state.outputs[output].p2_stream().write(text.to_owned().into()).unwrap();
        };
        write(0, "one\ntw");
        write(1, "error");
        write(0, "o\n\n");
        write(0, &"x".repeat(LINE_BYTES));
        write(0, "x");
        state.end();
        let mut log = log.lock();
        let lines: Vec<_> =
            log.take_tail().into_iter().map(|line| line[..line.len().min(5)].to_owned()).collect();
        assert_eq!(lines, ["one", "two", "", "xxxxx", "x", "error"]);
    }
}
