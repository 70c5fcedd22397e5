//! Plug-ins that never return, or that exceed a limit, while they are started, before any function of theirs is called.
//! The tests of `src/engine.rs` cover the kinds of code that are interrupted; these cover the error messages, which
//! must be the same on a first start and on one with a cache.

use crate::{
    rig::{child, limits, logged, within_minutes},
    small::{exporting, plugin, starting},
};
use host_plugin_host::{Cache, Configs, Engine, EngineProfile, Limits, Loader};
use insta::assert_snapshot;
use std::path::Path;
use tempfile::TempDir;

/// The error of loading a component, which must be the same with a cache, once more with the same cache, and without
/// one.
fn load_error(wasm: Vec<u8>) -> String {
    let limits = Limits { call_ms: 1_000, memory_bytes: 256 << 20, ..limits() };
    within_minutes(move || {
        let dir = TempDir::new().unwrap();
        let engine = Engine::new(EngineProfile::Production, &limits, 1).unwrap();
        let without = Loader::new(engine.clone(), limits.clone(), None).with_compiler(child());
        let with =
            Loader::new(engine, limits, Some(Cache::new(dir.path().join("cache")))).with_compiler(child());
        let load = |loader: &Loader| {
            loader.load_bytes(Path::new("x.wasm"), &wasm, &Configs::new()).unwrap_err().to_string()
        };
        let first = load(&with);
        assert!(!with.is_cached(&wasm), "a component that is refused is not kept: {first}");
        assert_eq!((load(&with), load(&without)), (first.clone(), first.clone()));
        first
    })
}

#[test]
fn an_endless_loop_at_the_start() {
    assert_snapshot!(load_error(starting("", "(loop (br 0))")), @"the plug-in x.wasm cannot be started: it took longer than the 1000 ms that a call may take");
}

#[test]
fn memory_fills_without_a_loop() {
    // Less memory than the limit, because other tests in this process check the peak of its memory.
    let fills = "(memory.fill (i32.const 0) (i32.const 7) (i32.const 65000000))".repeat(8_000);
    assert_snapshot!(load_error(starting("(memory 1000)", &fills)), @"the plug-in x.wasm cannot be started: it took longer than the 1000 ms that a call may take");
}

/// A plug-in made of two components, of which one passes a value of type `ty` to the other at its start, so that an
/// adapter that wasmtime generates copies it. The instructions `pairs` fill the caller's memory; `encoding` is that of
/// the callee's strings.
fn fused(ty: &str, encoding: &str, pairs: &str) -> Vec<u8> {
    exporting(&format!(
        r#"(component $callee
            (core module $m
                (memory (export "memory") 200)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8))
                (func (export "take") (param i32 i32)))
            (core instance $i (instantiate $m))
            (func (export "take") (param "x" {ty})
                (canon lift (core func $i "take") (memory $i "memory") (realloc (func $i "realloc"))
                    string-encoding={encoding})))
        (component $caller
            (import "take" (func $take (param "x" {ty})))
            (core module $libc
                (memory (export "memory") 200)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8)))
            (core instance $libc (instantiate $libc))
            (core func $lowered
                (canon lower (func $take) (memory $libc "memory") (realloc (func $libc "realloc"))))
            (core module $m
                (import "" "take" (func $take (param i32 i32)))
                (import "" "memory" (memory 200))
                (func $start (local $i i32) {pairs})
                (start $start)
                (func (export "d")))
            (core instance $i (instantiate $m (with "" (instance
                (export "take" (func $lowered)) (export "memory" (memory $libc "memory"))))))
            (func (export "d") (canon lift (core func $i "d"))))
        (instance $callee (instantiate $callee))
        (instance $caller (instantiate $caller (with "take" (func $callee "take"))))
        (alias export $caller "d" (func $d))"#
    ))
}

/// Instructions that fill the memory from address 0 with `count` copies of one list or string (its address and its
/// length) and pass the list of them.
fn pairs(count: u32, address: u32, length: u32) -> String {
    format!(
        "(loop $l
            (i32.store (local.get $i) (i32.const {address}))
            (i32.store offset=4 (local.get $i) (i32.const {length}))
            (local.set $i (i32.add (local.get $i) (i32.const 8)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const {}))))
        (call $take (i32.const 0) (i32.const {count}))",
        8 * count
    )
}

#[test]
fn lists_in_an_adapter() {
    let lists = pairs(1_000_000, 0, 1_000_000);
    assert_snapshot!(load_error(fused("(list (list (list u16)))", "utf8", &lists)), @"the plug-in x.wasm cannot be started: it took longer than the 1000 ms that a call may take");
}

#[test]
fn strings_in_an_adapter() {
    let strings = format!(
        "(memory.fill (i32.const 800000) (i32.const 65) (i32.const 4000000)) {}",
        pairs(100_000, 800_000, 4_000_000)
    );
    assert_snapshot!(load_error(fused("(list string)", "utf16", &strings)), @"the plug-in x.wasm cannot be started: it took longer than the 1000 ms that a call may take");
}

#[test]
fn a_memory_that_is_read_far_beyond_its_end() {
    let read = "(drop (i32.load (i32.const 0x10000000)))";
    assert_snapshot!(load_error(starting("(memory 1)", read)), @"the plug-in x.wasm cannot be started: it trapped (out of bounds memory access)");
}

#[test]
fn a_memory_that_is_too_large() {
    assert_snapshot!(load_error(plugin(r#"(memory 4097) (func (export "d"))"#)), @"the plug-in x.wasm cannot be started: it needed more than the 256 MiB that it may have");
}

#[test]
fn a_table_that_is_too_large() {
    assert_snapshot!(load_error(plugin(r#"(table 100001 funcref) (func (export "d"))"#)), @"the plug-in x.wasm cannot be started: it needed more than the 100,000 elements of tables that plugin.limits.table_elements allows");
}

#[test]
fn megabytes_of_line_ends_in_one_write() {
    let component = exporting(
        r#"(import "wasi:io/error@0.2.0" (instance $e (export "error" (type (sub resource)))))
        (alias export $e "error" (type $error))
        (import "wasi:io/streams@0.2.0" (instance $streams
            (alias outer 1 $error (type $outer)) (export "error" (type $error (eq $outer)))
            (export "output-stream" (type $stream (sub resource)))
            (type $failure (variant (case "last-operation-failed" (own $error)) (case "closed")))
            (export "stream-error" (type $stream-error (eq $failure)))
            (export "[method]output-stream.write" (func
                (param "self" (borrow $stream)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
        (alias export $streams "output-stream" (type $stream))
        (import "wasi:cli/stdout@0.2.0" (instance $out
            (alias outer 1 $stream (type $outer)) (export "output-stream" (type $inner (eq $outer)))
            (export "get-stdout" (func (result (own $inner))))))
        (core module $libc
            (memory (export "memory") 1000)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8)))
        (core instance $libc (instantiate $libc))
        (core func $write (canon lower (func $streams "[method]output-stream.write")
            (memory $libc "memory") (realloc (func $libc "realloc"))))
        (core func $get (canon lower (func $out "get-stdout")))
        (core module $m
            (import "" "memory" (memory 1000))
            (import "" "get" (func $get (result i32)))
            (import "" "write" (func $write (param i32 i32 i32 i32)))
            (func $s
                (memory.fill (i32.const 100) (i32.const 10) (i32.const 7000000))
                (call $write (call $get) (i32.const 100) (i32.const 7000000) (i32.const 0)))
            (start $s)
            (func (export "d")))
        (core instance $i (instantiate $m (with "" (instance
            (export "memory" (memory $libc "memory")) (export "write" (func $write)) (export "get" (func $get))))))
        (func $d (canon lift (core func $i "d")))"#,
    );
    assert_snapshot!(load_error(component), @"the plug-in x.wasm cannot be started: it trapped (it wrote more to a stream at once than the 4096 bytes that the stream had permitted)");
}

/// A plug-in that logs empty lines at its start as long as the condition `again` holds; `$n` counts the lines.
fn logging(again: &str) -> Vec<u8> {
    exporting(&format!(
        r#"(import "product-indexer:plugin/log@0.1.0" (instance $log
            (type $lv (enum "debug" "info" "warn" "error")) (export "level" (type $level (eq $lv)))
            (export "write" (func (param "level" $level) (param "message" string)))))
        (core module $libc
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8)))
        (core instance $libc (instantiate $libc))
        (core func $write
            (canon lower (func $log "write") (memory $libc "memory") (realloc (func $libc "realloc"))))
        (core module $m
            (import "" "write" (func $write (param i32 i32 i32)))
            (func $s (local $n i32) (loop $l
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (call $write (i32.const 3) (i32.const 0) (i32.const 0))
                (br_if $l {again})))
            (start $s)
            (func (export "d")))
        (core instance $i (instantiate $m (with "" (instance (export "write" (func $write))))))
        (func $d (canon lift (core func $i "d")))"#
    ))
}

#[test]
fn the_log_of_a_start_is_limited() {
    let loader = crate::rig::loader(limits());
    let component = logging("(i32.lt_u (local.get $n) (i32.const 1000))");
    let log = logged(|| {
        loader.load_bytes(Path::new("x.wasm"), &component, &Configs::new()).unwrap_err();
    });
    // 65,536 bytes are room for 655 empty lines, each of which counts 100 bytes.
    assert!(log.contains("345 more lines with 0 bytes were cut: a call may log 65536 bytes"), "{log}");
}

#[test]
fn empty_lines_without_end() {
    assert_snapshot!(load_error(logging("(i32.const 1)")), @"the plug-in x.wasm cannot be started: it took longer than the 1000 ms that a call may take");
}

#[test]
fn an_interface_that_wasi_does_not_have() {
    let component = exporting(
        r#"(import "wasi:cli/frobnicate@0.2.99" (instance (export "launch-missiles" (func (result u32)))))
        (core module $m (func (export "d")))
        (core instance $i (instantiate $m))
        (func $d (canon lift (core func $i "d")))"#,
    );
    assert_snapshot!(load_error(component), @"the plug-in x.wasm imports wasi:cli/frobnicate@0.2.99, but a plug-in gets nothing except product-indexer:plugin/log@0.1.0 and a WASI 0.2 that grants nothing; build it without these imports: Rust for wasm32-unknown-unknown or wasm32-wasip2, JavaScript with componentize-qjs or `jco componentize --disable http`, Python with componentize-py");
}

#[test]
fn a_function_that_wasi_does_not_have() {
    let component = exporting(
        r#"(import "wasi:cli/environment@0.2.99" (instance (export "launch-missiles" (func (result u32)))))
        (core module $m (func (export "d")))
        (core instance $i (instantiate $m))
        (func $d (canon lift (core func $i "d")))"#,
    );
    assert_snapshot!(load_error(component), @"the plug-in x.wasm cannot be linked: component imports instance `wasi:cli/environment@0.2.99`, but a matching implementation was not found in the linker: instance export `launch-missiles` has the wrong type: function implementation is missing; build it against product-indexer:plugin@0.1.0 and WASI 0.2.12 or earlier");
}

#[test]
fn a_function_of_another_type() {
    assert_snapshot!(load_error(plugin(r#"(func (export "d"))"#)), @"the plug-in x.wasm cannot be started: its function manifest.describe has another type than the contract's: failed to convert function to given type: type mismatch with results: expected 1-tuple, found 0-tuple");
}

#[test]
fn a_function_of_a_later_contract() {
    let component = exporting(
        r#"(import "product-indexer:plugin/log@0.1.5" (instance (export "trace" (func))))
        (core module $m (func (export "d")))
        (core instance $i (instantiate $m))
        (func $d (canon lift (core func $i "d")))"#,
    );
    assert_snapshot!(load_error(component), @"the plug-in x.wasm was built for version 0.1.5 of the contract and this host speaks 0.1.0: component imports instance `product-indexer:plugin/log@0.1.5`, but a matching implementation was not found in the linker: instance export `trace` has the wrong type: function implementation is missing; use a newer host, or build the plug-in against 0.1.0");
}
