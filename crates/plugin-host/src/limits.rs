//! The limits on what a plug-in (a WebAssembly component) may use. Each holds for one instance of the plug-in unless it
//! says otherwise, is strict by default, and is enforced by the host: a plug-in cannot be trusted to restrain itself.

use crate::Wasi;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The bounds of a plug-in, each a setting of the section `[plugin.limits]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Linear memory of an instance in bytes; beside it an instance takes what `instance_items` and `table_elements`
    /// bound. The process holds one instance a plug-in and thread, so this times their number is the maximum linear
    /// memory that plug-ins can use. A plug-in is informed that there is no more memory and may handle it.
    pub memory_bytes: usize,
    /// Elements of all tables of an instance together: function pointers, of which real plug-ins have a few thousand.
    pub table_elements: usize,
    /// Milliseconds that one call may take, because a loop without end would hold its thread forever. Measured in
    /// ticks of 10 ms. The deterministic engine allows six times as much.
    pub call_ms: u64,
    /// Milliseconds spent on finding the failing items of one batch, because a plug-in that fails on every item would
    /// otherwise cost two calls an item. When they are over, the batch fails as a whole.
    pub isolation_ms: u64,
    /// How many of the last items (products or documents) count when the host checks whether a plug-in keeps failing:
    /// traps, takes too long, breaks the contract. An item that it refuses by an issue is not a failure.
    pub fault_window: usize,
    /// A plug-in that failed on more than this percentage of the last `fault_window` items is stopped, because a broken
    /// one would have every product refused. 100 never stops it.
    pub fault_percent: u8,
    /// The number of the last `fault_window` items that a plug-in must have failed on before it is stopped, so that a
    /// few bad products at the beginning do not stop it.
    pub fault_least: usize,
    /// Instructions that one call may execute under the deterministic engine, which counts them.
    pub fuel: u64,
    /// Bytes that one call may hand to the host, because the host copies them out of the sandbox before it can look.
    pub output_bytes: usize,
    /// Bytes of one document, which has to fit into a chunk and into a request to the index.
    pub document_bytes: usize,
    /// Documents and removals of one product: a product with its variants is some thousand documents at most.
    pub documents_per_product: usize,
    /// Issues of one item that are kept, so that a report stays readable. An error beyond the bound still
    /// refuses its item.
    pub issues_per_item: usize,
    /// Bytes that one call may write to the log, because the log outlives the call and is paid for by the byte. Each
    /// line counts 100 bytes more, so that empty lines are bounded too.
    pub log_bytes: usize,
    /// What a plug-in gets that imports WASI, the standard system interfaces of WebAssembly; some toolchains import it
    /// although the plug-in does not use it.
    pub wasi: Wasi,
    /// Handles of WASI (streams, pollables) that an instance holds at a time, because the host keeps a table of them.
    pub wasi_handles: usize,
    /// Bytes of a component file: compiling takes a multiple of it in memory and time.
    pub component_bytes: u64,
    /// Core instances in one component, nested components expanded; components made of several modules (JavaScript,
    /// Python) have about ten.
    pub core_instances: usize,
    /// Component instances in one component, nested components expanded: each level can double them, so that a kilobyte
    /// could otherwise describe billions. Real components have one an exported interface.
    pub component_instances: usize,
    /// Globals, functions, imports, exports, elements and whatever else the instances of one component take memory for
    /// beside their linear memory and tables: up to some dozen bytes each. Nested components are expanded.
    pub instance_items: usize,
    /// How deep components may be nested, because the compiler recurses. Real components are nested two or three deep.
    pub component_nesting: usize,
    /// Functions in one component, because each costs the compiler memory. CPython with its standard library has
    /// 30,000.
    pub functions: usize,
    /// Bytes of one function, because compile time grows faster than the size of a function.
    pub function_bytes: usize,
    /// Imports and exports of one component; real components have some dozens.
    pub imports_and_exports: usize,
    /// Milliseconds that compiling a component may take. The compiler is a child process, which is killed then.
    pub compile_ms: u64,
    /// Address space in bytes of the process that compiles. CPython with its standard library needs about half of it.
    pub compile_memory_bytes: u64,
    /// Bytes of machine code that a component may be compiled to, which are kept on disk and mapped into memory.
    pub code_bytes: u64,
    /// Calls after which an instance is replaced by a fresh one, so that a leak in a plug-in stays small.
    pub calls_per_instance: u64,
    /// Linear memory in bytes above which an instance is replaced after its call, because memory never shrinks.
    pub retire_memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 * MIB,
            table_elements: 100_000,
            call_ms: 10_000,
            isolation_ms: 120_000,
            fault_window: 200,
            fault_percent: 20,
            fault_least: 40,
            fuel: 100_000_000_000,
            output_bytes: 64 * MIB,
            document_bytes: 16 * MIB,
            documents_per_product: 5_000,
            issues_per_item: 100,
            log_bytes: 64 * KIB,
            wasi: Wasi::Inert,
            wasi_handles: 1_000,
            component_bytes: 64 * MIB as u64,
            core_instances: 100,
            component_instances: 1_000,
            instance_items: 500_000,
            component_nesting: 16,
            functions: 200_000,
            function_bytes: MIB,
            imports_and_exports: 1_000,
            compile_ms: 120_000,
            compile_memory_bytes: 4 << 30,
            code_bytes: 256 * MIB as u64,
            calls_per_instance: 10_000,
            retire_memory_bytes: 128 * MIB,
        }
    }
}

impl Limits {
    /// Sets the linear memory of an instance in bytes.
    pub fn with_memory_bytes(mut self, bytes: usize) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// Sets how long a call may take.
    pub fn with_call_time(mut self, time: Duration) -> Self {
        self.call_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Sets how long the search for the failing items of a batch may take.
    pub fn with_isolation_time(mut self, time: Duration) -> Self {
        self.isolation_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Sets the bytes that a call may hand to the host.
    pub fn with_output_bytes(mut self, bytes: usize) -> Self {
        self.output_bytes = bytes;
        self
    }

    /// Sets the size of a document.
    pub fn with_document_bytes(mut self, bytes: usize) -> Self {
        self.document_bytes = bytes;
        self
    }
}

/// Enforces the limits on memory while an instance runs, and remembers what it refused.
#[derive(Debug)]
pub(super) struct MemoryLimiter {
    memory_bytes: usize,
    table_elements: usize,
    core_instances: usize,
    /// Bytes granted over all linear memories of the instance.
    granted: usize,
    /// Elements granted over all tables of the instance.
    table_granted: usize,
    /// The growth that was refused last; `None` if none was since `take_refused` was called.
    refused: Option<LimitedResource>,
}

/// A resource of an instance that the limits bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitedResource {
    /// Linear memory.
    Memory,
    /// Elements of tables.
    Table,
}

impl MemoryLimiter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes,
            table_elements: limits.table_elements,
            core_instances: limits.core_instances,
            granted: 0,
            table_granted: 0,
            refused: None,
        }
    }

    /// The growth that was refused last since the last call of this function; `None` if none was.
    pub(super) fn take_refused(&mut self) -> Option<LimitedResource> {
        self.refused.take()
    }

    /// Bytes of linear memory that the instance has.
    pub(super) fn granted(&self) -> usize {
        self.granted
    }
}

impl wasmtime::ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // A component may have several memories, so the bound is on their sum. Growth beyond a memory's own maximum
        // fails after this, so it must not be counted.
        let total = self.granted.saturating_sub(current).saturating_add(desired);
        let fits = total <= self.memory_bytes && maximum.is_none_or(|maximum| desired <= maximum);
        if fits {
            self.granted = total;
        } else {
            self.refused = Some(LimitedResource::Memory);
        }
        // `false` is not an error: the allocation fails in the guest, which may handle that and continue.
        Ok(fits)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused = Some(LimitedResource::Memory);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.table_granted.saturating_sub(current).saturating_add(desired);
        let fits = total <= self.table_elements && maximum.is_none_or(|maximum| desired <= maximum);
        if fits {
            self.table_granted = total;
        } else {
            self.refused = Some(LimitedResource::Table);
        }
        Ok(fits)
    }

    // Each of the following is a number for one instance of a component. A core instance seldom has more than one table
    // and one memory, so that one limit serves for all three.

    fn instances(&self) -> usize {
        self.core_instances
    }

    fn tables(&self) -> usize {
        self.core_instances
    }

    fn memories(&self) -> usize {
        self.core_instances
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::ResourceLimiter;

    #[test]
    fn the_memory_limit_holds_for_the_sum_of_an_instances_memories() {
        let mut limiter = MemoryLimiter::new(&Limits::default().with_memory_bytes(100));
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert_eq!(limiter.take_refused(), None);
        assert!(!limiter.memory_growing(60, 61, None).unwrap());
        assert_eq!((limiter.take_refused(), limiter.take_refused()), (Some(LimitedResource::Memory), None));
        assert_eq!(limiter.granted(), 100);
    }

    #[test]
    fn growth_that_fails_does_not_use_up_the_limit() {
        let mut limiter = MemoryLimiter::new(&Limits::default().with_memory_bytes(100));
        assert!(!limiter.memory_growing(0, 90, Some(80)).unwrap());
        assert!(!limiter.table_growing(0, 90_000, Some(80)).unwrap());
        assert_eq!(limiter.take_refused(), Some(LimitedResource::Table));
        assert_eq!(limiter.granted(), 0);
        assert!(limiter.memory_growing(0, 100, None).unwrap());
        assert!(limiter.table_growing(0, 100_000, None).unwrap());
    }

    #[test]
    fn unknown_settings_are_refused_and_missing_ones_are_the_default() {
        assert!(serde_json::from_str::<Limits>(r#"{"memory":1}"#).is_err());
        let limits: Limits = serde_json::from_str(r#"{"call_ms":1}"#).unwrap();
        assert_eq!(limits, Limits::default().with_call_time(Duration::from_millis(1)));
    }
}
