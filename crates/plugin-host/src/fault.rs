//! The faults of a guest (an instance of a plug-in's WebAssembly): how errors of wasmtime are classified, and the codes
//! and messages for them in reports.

use crate::{
    Limits,
    limits::{LimitedResource, MemoryLimiter},
    untrusted_text::truncate,
    wasi::WasiViolation,
};
use host_core::{format::count, plugin::Refusal};
use serde_json::{Map, Value};
use wasmtime::{Trap, WasmBacktrace};

/// The most characters of an error text that go into a message.
const MESSAGE_CHARACTERS: usize = 500;

/// How wasmtime says that a guest returned more than `Store::set_hostcall_fuel` allows. The error's type is private;
/// a test fails if the words change.
const OUTPUT_EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";

/// How wasmtime says that a component has more instances, tables or memories than `ResourceLimiter` allows.
const INSTANCES_EXHAUSTED: &str = "resource limit exceeded";

/// The kinds of faults, each with its own code in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// The guest trapped (WebAssembly aborted it): it panicked, recursed without end, accessed memory that it does not
    /// have.
    Trap,
    /// The guest took too long.
    Timeout,
    /// The guest executed too many instructions, which only the deterministic engine counts.
    Fuel,
    /// The guest trapped after it had been refused memory.
    Memory,
    /// The guest trapped after it had been refused elements of tables.
    Table,
    /// The component has too many instances, tables or memories.
    Instances,
    /// The guest held too many handles of WASI, the standard system interfaces of WebAssembly.
    Handles,
    /// The guest returned too much.
    Output,
    /// The guest returned something that the contract forbids.
    Contract,
}

/// A fault of a guest. Its instance cannot be used any more, unless the kind is [`FaultKind::Contract`].
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// The error of wasmtime, or the broken rule of the contract, as the end of a sentence.
    pub(super) what: String,
    /// Functions of the guest, the innermost first.
    pub(super) backtrace: Vec<String>,
    /// The last lines that the guest wrote.
    pub(super) log: Vec<String>,
}

impl Fault {
    /// A breach of the contract (the interface of plug-ins) that the host found in an answer.
    pub(super) fn contract(what: String) -> Self {
        Self { kind: FaultKind::Contract, what, backtrace: Vec::new(), log: Vec::new() }
    }

    /// Classifies an error of a call into a guest.
    pub(super) fn of(error: &wasmtime::Error, limiter: &mut MemoryLimiter) -> Self {
        let backtrace = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
        let refused = limiter.take_refused().map(Self::kind_of_growth);
        let root = error.root_cause().to_string();
        let root = root.strip_prefix("wasm trap: ").unwrap_or(&root);
        let violation = WasiViolation::of(error);
        let kind = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => FaultKind::Timeout,
            Some(Trap::OutOfFuel) => FaultKind::Fuel,
            // Guests abort when an allocation fails, so the trap itself does not show it.
            Some(_) => refused.unwrap_or(FaultKind::Trap),
            None if violation == Some(WasiViolation::Handles) => FaultKind::Handles,
            None if violation.is_some() => FaultKind::Trap,
            None if root.contains(OUTPUT_EXHAUSTED) => FaultKind::Output,
            None if root.contains(INSTANCES_EXHAUSTED) => FaultKind::Instances,
            // wasmtime could not read the answer from the guest's memory: a string that is not UTF-8, a pointer out of
            // bounds.
            None => FaultKind::Contract,
        };
        let what =
            violation.map_or_else(|| truncate(root, MESSAGE_CHARACTERS), |violation| violation.to_string());
        Self { kind, what, backtrace, log: Vec::new() }
    }

    fn kind_of_growth(refused: LimitedResource) -> FaultKind {
        match refused {
            LimitedResource::Memory => FaultKind::Memory,
            LimitedResource::Table => FaultKind::Table,
        }
    }

    /// Classifies an error of instantiation; `None` if neither the guest's own code failed nor a limit was exceeded.
    pub(super) fn at_start(error: &wasmtime::Error, limiter: &mut MemoryLimiter) -> Option<Self> {
        let refused = limiter.take_refused().map(Self::kind_of_growth);
        let fault = Self::of(error, limiter);
        match (fault.kind, refused) {
            (FaultKind::Trap | FaultKind::Contract, Some(kind)) => Some(Self { kind, ..fault }),
            (FaultKind::Contract, None) => None,
            _ => Some(fault),
        }
    }

    /// The stable code in reports.
    pub(super) fn code(&self) -> &'static str {
        match self.kind {
            FaultKind::Trap | FaultKind::Handles => "plugin-trap",
            FaultKind::Timeout | FaultKind::Fuel => "plugin-timeout",
            FaultKind::Memory | FaultKind::Table | FaultKind::Instances => "plugin-memory",
            FaultKind::Output => "plugin-output",
            FaultKind::Contract => "plugin-contract",
        }
    }

    /// What the plug-in did, as a sentence without its subject and without a full stop.
    pub(super) fn verb_phrase(&self, limits: &Limits) -> String {
        match self.kind {
            FaultKind::Trap => format!("trapped ({})", self.what),
            FaultKind::Timeout => format!("took longer than the {} ms that a call may take", limits.call_ms),
            FaultKind::Fuel => {
                format!("executed more than the {} instructions that a call may execute", count(limits.fuel))
            }
            FaultKind::Memory => {
                format!("needed more than the {} that it may have", megabytes(limits.memory_bytes))
            }
            FaultKind::Table => format!(
                "needed more than the {} elements of tables that plugin.limits.table_elements allows",
                count(limits.table_elements as u64)
            ),
            FaultKind::Instances => format!(
                "needed more core instances, tables or memories than the {} that plugin.limits.core_instances allows",
                limits.core_instances
            ),
            FaultKind::Handles => format!(
                "held more than the {} handles of WASI that plugin.limits.wasi_handles allows",
                count(limits.wasi_handles as u64)
            ),
            FaultKind::Output => {
                format!("returned more than the {} that a call may return", megabytes(limits.output_bytes))
            }
            FaultKind::Contract => format!("broke the contract: {}", self.what),
        }
    }

    /// The refusal of the one item that makes the plug-in fail.
    pub(super) fn into_refusal(self, plugin: &str, item: &str, limits: &Limits) -> Refusal {
        let message = format!("with {item} alone, plug-in {plugin} {}", self.verb_phrase(limits));
        let mut details = Map::new();
        details.insert("trap".to_owned(), Value::from(self.what.as_str()));
        details.insert("backtrace".to_owned(), Value::from(self.backtrace.clone()));
        details.insert("log".to_owned(), Value::from(self.log.clone()));
        Refusal { code: self.code().to_owned(), message, path: None, details }
    }
}

/// A size for people to read: whole mebibytes, or bytes if it is less than one.
pub(super) fn megabytes(bytes: usize) -> String {
    match bytes >> 20 {
        0 => format!("{bytes} bytes"),
        mebibytes => format!("{mebibytes} MiB"),
    }
}

/// The functions of a backtrace, the innermost first, with file and line where debug information tells them.
fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    let name = |frame: &wasmtime::FrameInfo| {
        let name = match frame.func_name() {
            Some(name) => truncate(&readable(name), MESSAGE_CHARACTERS),
            None => format!("function {}", frame.func_index()),
        };
        // The last symbol is the function itself; those before it were inlined into it.
        let place = frame.symbols().last().and_then(|symbol| Some((symbol.file()?, symbol.line()?)));
        match place {
            Some((file, line)) => format!("{name} ({}:{line})", truncate(file, MESSAGE_CHARACTERS)),
            None => name,
        }
    };
    backtrace.frames().iter().map(name).collect()
}

/// The readable form of a Rust or C++ symbol; other names as they are.
fn readable(symbol: &str) -> String {
    let demangled = rustc_demangle::demangle(symbol);
    // Without the hash at the end: it changes with each compiler and says nothing.
    format!("{demangled:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind) -> Fault {
        Fault { kind, what: "what".to_owned(), backtrace: vec!["f".to_owned()], log: vec!["l".to_owned()] }
    }

    #[test]
    fn each_kind_has_a_code_and_a_sentence() {
        let limits = Limits::default();
        let sentence = |kind| {
            let refusal = fault(kind).into_refusal("p@1.0.0", "this product", &limits);
            format!("{}: {}", refusal.code, refusal.message)
        };
        insta::assert_snapshot!(
            [
                FaultKind::Trap,
                FaultKind::Timeout,
                FaultKind::Fuel,
                FaultKind::Memory,
                FaultKind::Table,
                FaultKind::Instances,
                FaultKind::Handles,
                FaultKind::Output,
                FaultKind::Contract
            ]
            .map(sentence)
            .join("\n"),
            @r"
            plugin-trap: with this product alone, plug-in p@1.0.0 trapped (what)
            plugin-timeout: with this product alone, plug-in p@1.0.0 took longer than the 10000 ms that a call may take
            plugin-timeout: with this product alone, plug-in p@1.0.0 executed more than the 100,000,000,000 instructions that a call may execute
            plugin-memory: with this product alone, plug-in p@1.0.0 needed more than the 256 MiB that it may have
            plugin-memory: with this product alone, plug-in p@1.0.0 needed more than the 100,000 elements of tables that plugin.limits.table_elements allows
            plugin-memory: with this product alone, plug-in p@1.0.0 needed more core instances, tables or memories than the 100 that plugin.limits.core_instances allows
            plugin-trap: with this product alone, plug-in p@1.0.0 held more than the 1,000 handles of WASI that plugin.limits.wasi_handles allows
            plugin-output: with this product alone, plug-in p@1.0.0 returned more than the 64 MiB that a call may return
            plugin-contract: with this product alone, plug-in p@1.0.0 broke the contract: what
            "
        );
    }

    #[test]
    fn names_are_readable() {
        assert_eq!(readable("_ZN4core9panicking5panic17h0123456789abcdefE"), "core::panicking::panic");
        assert_eq!(readable("run"), "run");
    }
}
