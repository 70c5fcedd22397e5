//! That the engine interrupts every guest (the WebAssembly of a plug-in) that takes too long, in loops, calls, bulk
//! operations and the adapters between components, and that no guest reads beyond its memory.

use super::*;
use std::{sync::mpsc::channel, time::Duration};
use wasmtime::{
    Store, Trap,
    component::{Component, Linker},
};

/// How long a test waits for a guest. One that is not interrupted never ends, or takes many times `CALL_MS`.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Milliseconds after which a call must be interrupted.
const CALL_MS: u64 = 30;

/// Milliseconds of a call that must not be interrupted.
const LONG_CALL_MS: u64 = 60_000;

fn production() -> Engine {
    Engine::new(EngineProfile::Production, &Limits::default(), 1).unwrap()
}

#[test]
fn both_profiles_start_and_differ() {
    let limits = Limits::default();
    let production = Engine::new(EngineProfile::Production, &limits, 4).unwrap();
    let deterministic = Engine::new(EngineProfile::Deterministic, &limits, 1).unwrap();
    assert_eq!(production.access(), Access::Reserved);
    assert_ne!(production.fingerprint(), deterministic.fingerprint());
    assert_eq!(
        production.fingerprint(),
        Engine::new(EngineProfile::Production, &limits, 9).unwrap().fingerprint()
    );
}

#[test]
fn scarce_address_space_is_not_reserved() {
    assert_eq!(access(None, 1_000), Access::Reserved);
    assert_eq!(access(Some(1 << 40), 4), Access::Reserved);
    assert_eq!(access(Some(1 << 40), 1_000), Access::Checked);
    assert_eq!(access(Some(8 << 30), 1), Access::Checked);
}

/// Calls the export `run` of a component for at most `call_ms` milliseconds; returns its trap, `None` if it returned.
fn run(engine: &Engine, component: &str, call_ms: u64) -> Option<Trap> {
    let limits = Limits::default().with_call_time(Duration::from_millis(call_ms));
    let component = Component::from_binary(engine.wasmtime(), &wat::parse_str(component).unwrap()).unwrap();
    let engine = engine.clone();
    let (ended, end) = channel();
    // On its own thread: what cannot be interrupted would block the test forever.
    std::thread::spawn(move || {
        let mut store = Store::new(engine.wasmtime(), ());
        let _running = engine.call(&mut store, &limits).unwrap();
        let run = |store: &mut Store<()>| {
            let instance = Linker::new(engine.wasmtime()).instantiate(&mut *store, &component)?;
            instance.get_typed_func::<(), ()>(&mut *store, "run")?.call(&mut *store, ())
        };
        let trap = run(&mut store).err().map(|error| *error.downcast_ref().expect("a trap"));
        ended.send(trap)
    });
    end.recv_timeout(TIMEOUT).expect("the call returns")
}

/// A component around a core module; it exports the module's function `run`.
fn component(module: &str) -> String {
    format!(
        r#"(component
            (core module $m {module})
            (core instance $i (instantiate $m))
            (func (export "run") (canon lift (core func $i "run"))))"#
    )
}

/// A component whose function `run` has some instructions several times in a row, without a loop or a call.
fn unrolled(definitions: &str, instructions: &str, times: usize) -> String {
    component(&format!(r#"{definitions} (func (export "run") {})"#, instructions.repeat(times)))
}

/// Modules whose function `run` (or whose start function) never returns, with what they do.
const ENDLESS: [(&str, &str); 10] = [
    ("an empty loop", r#"(memory 1) (func (export "run") (loop (br 0)))"#),
    ("a memory that cannot grow", r#"(memory 1 1) (func (export "run") (loop (br 0)))"#),
    ("no memory", r#"(func (export "run") (loop (br 0)))"#),
    (
        "a loop within a loop",
        r#"(memory 1) (func (export "run") (local i32)
            (loop (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br_if 0 (i32.lt_u (local.get 0) (i32.const 9))))
            (loop (loop (br 1))))"#,
    ),
    (
        "2^100 calls, never more than 101 deep",
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
    (
        "growth that fails",
        r#"(memory 1 1) (func (export "run") (loop (drop (memory.grow (i32.const 1))) (br 0)))"#,
    ),
    ("a start function", r#"(memory 1) (func $s (loop (br 0))) (start $s) (func (export "run"))"#),
];

#[test]
fn guests_that_never_return_are_interrupted() {
    for access in [Access::Reserved, Access::Checked] {
        let engine =
            Engine::with_access(EngineProfile::Production, Limits::default().memory_bytes, access).unwrap();
        for (what, module) in ENDLESS {
            assert_eq!(run(&engine, &component(module), CALL_MS), Some(Trap::Interrupt), "{what}");
        }
    }
}

#[test]
fn a_guest_that_returns_in_time_is_not_interrupted() {
    let engine = production();
    let short = r#"(memory 1) (func (export "run") (local i32)
        (loop (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br_if 0 (i32.lt_u (local.get 0) (i32.const 1000)))))"#;
    assert_eq!(run(&engine, &component(short), LONG_CALL_MS), None);
}

/// No function has a loop or calls itself, but each calls the one before it twice: 2^60 calls.
#[test]
fn functions_without_loops_and_recursion_are_interrupted() {
    let calling_twice =
        |callee: usize| format!("(func $f{} (call $f{callee}) (call $f{callee}))", callee + 1);
    let functions: String = (0..60).map(calling_twice).collect();
    let module = format!(r#"(func $f0 (nop)) {functions} (func (export "run") (call $f60))"#);
    assert_eq!(run(&production(), &component(&module), CALL_MS), Some(Trap::Interrupt));
}

/// Each would take seconds, and then return without a trap, if it were not interrupted.
#[test]
fn bulk_operations_without_a_loop_are_interrupted() {
    let engine = production();
    let data = "x".repeat(4 << 20);
    let functions = "$f ".repeat(100_000);
    let cases = [
        (
            "memory.fill",
            unrolled("(memory 4000)", "(memory.fill (i32.const 0) (i32.const 1) (i32.const 262000000))", 500),
        ),
        (
            "memory.copy",
            unrolled(
                "(memory 4000)",
                "(memory.copy (i32.const 0) (i32.const 131000000) (i32.const 131000000))",
                500,
            ),
        ),
        (
            "memory.init",
            unrolled(
                &format!(r#"(memory 100) (data $d "{data}")"#),
                "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 4194304))",
                10_000,
            ),
        ),
        (
            "table.fill",
            unrolled(
                "(table 100000 funcref)",
                "(table.fill (i32.const 0) (ref.null func) (i32.const 100000))",
                20_000,
            ),
        ),
        (
            "table.copy",
            unrolled(
                "(table 100000 funcref)",
                "(table.copy (i32.const 0) (i32.const 50000) (i32.const 50000))",
                40_000,
            ),
        ),
        (
            "table.init",
            unrolled(
                &format!("(func $f) (table 100000 funcref) (elem $e func {functions})"),
                "(table.init $e (i32.const 0) (i32.const 0) (i32.const 100000))",
                20_000,
            ),
        ),
    ];
    for (what, component) in cases {
        assert_eq!(run(&engine, &component, CALL_MS), Some(Trap::Interrupt), "{what}");
    }
}

/// A component made of two, of which one passes a value of type `ty` to the other, so that an adapter that wasmtime
/// generates copies it. `caller` and `callee` are the encodings of their strings; the instructions `fill` put the value
/// into the caller's memory, and `arguments` point to it.
fn fused(ty: &str, caller: &str, callee: &str, fill: &str, arguments: &str) -> String {
    format!(
        r#"(component
            (component $callee
                (core module $m
                    (memory (export "memory") 200)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8))
                    (func (export "take") (param i32 i32)))
                (core instance $i (instantiate $m))
                (func (export "take") (param "value" {ty})
                    (canon lift (core func $i "take") (memory $i "memory") (realloc (func $i "realloc"))
                        string-encoding={callee})))
            (component $caller
                (import "take" (func $take (param "value" {ty})))
                (core module $libc
                    (memory (export "memory") 200)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8)))
                (core instance $libc (instantiate $libc))
                (core func $lowered (canon lower (func $take) (memory $libc "memory")
                    (realloc (func $libc "realloc")) string-encoding={caller}))
                (core module $m
                    (import "" "take" (func $take (param i32 i32)))
                    (import "" "memory" (memory 200))
                    (func (export "run") (local $at i32) {fill} (call $take {arguments})))
                (core instance $i (instantiate $m (with "" (instance
                    (export "take" (func $lowered)) (export "memory" (memory $libc "memory"))))))
                (func (export "run") (canon lift (core func $i "run"))))
            (instance $callee (instantiate $callee))
            (instance $caller (instantiate $caller (with "take" (func $callee "take"))))
            (export "run" (func $caller "run")))"#
    )
}

/// Instructions that fill the first 800,000 bytes of the memory with 100,000 copies of one list or string: its address
/// and its length.
fn pairs(address: u32, length: u32) -> String {
    format!(
        "(loop $l
            (i32.store (local.get $at) (i32.const {address}))
            (i32.store offset=4 (local.get $at) (i32.const {length}))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $l (i32.lt_u (local.get $at) (i32.const 800000))))"
    )
}

#[test]
fn lists_of_lists_are_interrupted_in_the_adapter() {
    let component = fused(
        "(list (list (list u16)))",
        "utf8",
        "utf8",
        &pairs(0, 100_000),
        "(i32.const 0) (i32.const 100000)",
    );
    assert_eq!(run(&production(), &component, CALL_MS), Some(Trap::Interrupt));
}

#[test]
fn strings_of_each_encoding_are_interrupted_in_the_adapter() {
    /// The bit in the length of a `latin1+utf16` string that says that the string is UTF-16.
    const IS_UTF16: u32 = 1 << 31;
    let engine = production();
    for (caller, length) in [
        ("utf8", 4_000_000),
        ("utf16", 2_000_000),
        ("latin1+utf16", 4_000_000),
        ("latin1+utf16", 2_000_000 | IS_UTF16),
    ] {
        for callee in ["utf8", "utf16", "latin1+utf16"] {
            let fill = format!(
                "(memory.fill (i32.const 800000) (i32.const 65) (i32.const 4000000)) {}",
                pairs(800_000, length)
            );
            let component = fused("(list string)", caller, callee, &fill, "(i32.const 0) (i32.const 100000)");
            assert_eq!(
                run(&engine, &component, CALL_MS),
                Some(Trap::Interrupt),
                "{length} of {caller} to {callee}"
            );
        }
    }
}

#[test]
fn a_component_within_a_component_is_interrupted() {
    let nested = r#"(component
        (component $c
            (core module $m (func (export "run") (loop (br 0))))
            (core instance $i (instantiate $m))
            (func (export "run") (canon lift (core func $i "run"))))
        (instance $i (instantiate $c))
        (export "run" (func $i "run")))"#;
    assert_eq!(run(&production(), nested, CALL_MS), Some(Trap::Interrupt));
}

#[test]
fn a_realloc_without_end_is_interrupted() {
    let component = fused("string", "utf8", "utf8", "", "(i32.const 0) (i32.const 10)").replacen(
        "(result i32) (i32.const 8)",
        "(result i32) (loop (br 0)) (unreachable)",
        1,
    );
    assert_eq!(run(&production(), &component, CALL_MS), Some(Trap::Interrupt));
}

#[test]
fn a_post_return_without_end_is_interrupted() {
    let component = r#"(component
        (core module $m (func (export "run")) (func (export "after") (loop (br 0))))
        (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run") (post-return (func $i "after")))))"#;
    assert_eq!(run(&production(), component, CALL_MS), Some(Trap::Interrupt));
}

#[test]
fn accesses_beyond_a_memory_trap_in_both_kinds_of_access() {
    for access in [Access::Reserved, Access::Checked] {
        let engine =
            Engine::with_access(EngineProfile::Production, Limits::default().memory_bytes, access).unwrap();
        let read = |address: u32| {
            let module =
                format!(r#"(memory 1) (func (export "run") (drop (i32.load8_u (i32.const {address}))))"#);
            run(&engine, &component(&module), LONG_CALL_MS)
        };
        assert_eq!(read(0xffff), None);
        for address in [0x1_0000, 0x1000_0000, 0xffff_ffff] {
            assert_eq!(read(address), Some(Trap::MemoryOutOfBounds), "{address}");
        }
    }
}
