use super::*;
use std::{sync::mpsc::channel, time::Duration};
use wasmtime::{
    Store, Trap,
    component::{Component, Linker},
};

/// What is not interrupted never ends, or takes many times the call's time.
const TIMEOUT: Duration = Duration::from_secs(120);

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

/// Calls the export `run` of a component for at most some milliseconds; returns its trap.
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
    end.recv_timeout(TIMEOUT).expect("it comes back")
}

/// A component around a core module whose function `run` is called.
fn around(module: &str) -> String {
    format!(
        r#"(component
            (core module $m {module})
            (core instance $i (instantiate $m))
            (func (export "run") (canon lift (core func $i "run"))))"#
    )
}

/// A function with some instructions repeated, without a loop or a call.
fn straight(definitions: &str, instructions: &str, times: usize) -> String {
    around(&format!(r#"{definitions} (func (export "run") {})"#, instructions.repeat(times)))
}

/// Guests that do not come back on their own.
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
    (
        "growth that fails",
        r#"(memory 1 1) (func (export "run") (loop (drop (memory.grow (i32.const 1))) (br 0)))"#,
    ),
    ("its own start", r#"(memory 1) (func $s (loop (br 0))) (start $s) (func (export "run"))"#),
];

#[test]
fn what_goes_on_without_end_is_interrupted() {
    for access in [Access::Reserved, Access::Checked] {
        let engine =
            Engine::with_access(EngineProfile::Production, Limits::default().memory_bytes, access).unwrap();
        for (what, module) in ENDLESS {
            assert_eq!(run(&engine, &around(module), 30), Some(Trap::Interrupt), "{what}");
        }
    }
}

#[test]
fn what_ends_in_time_is_not_interrupted() {
    let engine = production();
    let short = r#"(memory 1) (func (export "run") (local i32)
        (loop (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br_if 0 (i32.lt_u (local.get 0) (i32.const 1000)))))"#;
    assert_eq!(run(&engine, &around(short), 60_000), None);
}

/// Neither has a loop or calls itself; all of it would take hours.
#[test]
fn leaf_functions_are_interrupted() {
    let doubling = |n: usize| format!("(func $f{} (call $f{n}) (call $f{n}))", n + 1);
    let functions: String = (0..60).map(doubling).collect();
    let module = format!(r#"(func $f0 (nop)) {functions} (func (export "run") (call $f60))"#);
    assert_eq!(run(&production(), &around(&module), 30), Some(Trap::Interrupt));
}

/// Each would take seconds without an interrupt, and comes back with none if it is not interrupted.
#[test]
fn bulk_operations_in_a_straight_line_are_interrupted() {
    let engine = production();
    let data = "x".repeat(4 << 20);
    let functions = "$f ".repeat(100_000);
    let cases = [
        (
            "memory.fill",
            straight("(memory 4000)", "(memory.fill (i32.const 0) (i32.const 1) (i32.const 262000000))", 500),
        ),
        (
            "memory.copy",
            straight(
                "(memory 4000)",
                "(memory.copy (i32.const 0) (i32.const 131000000) (i32.const 131000000))",
                500,
            ),
        ),
        (
            "memory.init",
            straight(
                &format!(r#"(memory 100) (data $d "{data}")"#),
                "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 4194304))",
                10_000,
            ),
        ),
        (
            "table.fill",
            straight(
                "(table 100000 funcref)",
                "(table.fill (i32.const 0) (ref.null func) (i32.const 100000))",
                20_000,
            ),
        ),
        (
            "table.copy",
            straight(
                "(table 100000 funcref)",
                "(table.copy (i32.const 0) (i32.const 50000) (i32.const 50000))",
                40_000,
            ),
        ),
        (
            "table.init",
            straight(
                &format!("(func $f) (table 100000 funcref) (elem $e func {functions})"),
                "(table.init $e (i32.const 0) (i32.const 0) (i32.const 100000))",
                20_000,
            ),
        ),
    ];
    for (what, component) in cases {
        assert_eq!(run(&engine, &component, 30), Some(Trap::Interrupt), "{what}");
    }
}

/// A component within which one component passes a value to another, so that an adapter of the engine's own copies it. The caller's
/// memory holds `filled` first.
fn fused(ty: &str, caller: &str, callee: &str, filled: &str, arguments: &str) -> String {
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
                    (func (export "run") (local $at i32) {filled} (call $take {arguments})))
                (core instance $i (instantiate $m (with "" (instance
                    (export "take" (func $lowered)) (export "memory" (memory $libc "memory"))))))
                (func (export "run") (canon lift (core func $i "run"))))
            (instance $callee (instantiate $callee))
            (instance $caller (instantiate $caller (with "take" (func $callee "take"))))
            (export "run" (func $caller "run")))"#
    )
}

/// Fills the first 800,000 bytes with pairs of the same address and length.
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
    assert_eq!(run(&production(), &component, 30), Some(Trap::Interrupt));
}

#[test]
fn strings_of_each_encoding_are_interrupted_in_the_adapter() {
    /// A string of this encoding is marked in its length: it is UTF-16, not Latin-1.
    const IS_UTF16: u32 = 1 << 31;
    let engine = production();
    for (caller, length) in [
        ("utf8", 4_000_000),
        ("utf16", 2_000_000),
        ("latin1+utf16", 4_000_000),
        ("latin1+utf16", 2_000_000 | IS_UTF16),
    ] {
        for callee in ["utf8", "utf16", "latin1+utf16"] {
            let filled = format!(
                "(memory.fill (i32.const 800000) (i32.const 65) (i32.const 4000000)) {}",
                pairs(800_000, length)
            );
            let component =
                fused("(list string)", caller, callee, &filled, "(i32.const 0) (i32.const 100000)");
            assert_eq!(
                run(&engine, &component, 30),
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
    assert_eq!(run(&production(), nested, 30), Some(Trap::Interrupt));
}

#[test]
fn a_realloc_without_end_is_interrupted() {
    let component = fused("string", "utf8", "utf8", "", "(i32.const 0) (i32.const 10)").replacen(
        "(result i32) (i32.const 8)",
        "(result i32) (loop (br 0)) (unreachable)",
        1,
    );
    assert_eq!(run(&production(), &component, 30), Some(Trap::Interrupt));
}

#[test]
fn a_post_return_without_end_is_interrupted() {
    let component = r#"(component
        (core module $m (func (export "run")) (func (export "after") (loop (br 0))))
        (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run") (post-return (func $i "after")))))"#;
    assert_eq!(run(&production(), component, 30), Some(Trap::Interrupt));
}

#[test]
fn accesses_beyond_a_memory_trap_however_they_are_checked() {
    for access in [Access::Reserved, Access::Checked] {
        let engine =
            Engine::with_access(EngineProfile::Production, Limits::default().memory_bytes, access).unwrap();
        let read = |at: u32| {
            let module = format!(r#"(memory 1) (func (export "run") (drop (i32.load8_u (i32.const {at}))))"#);
            run(&engine, &around(&module), 60_000)
        };
        assert_eq!(read(0xffff), None);
        for at in [0x1_0000, 0x1000_0000, 0xffff_ffff] {
            assert_eq!(read(at), Some(Trap::MemoryOutOfBounds), "{at}");
        }
    }
}
