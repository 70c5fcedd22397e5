//! A misbehaving plug-in in JavaScript (`tests/guests/javascript`), where faults look different than in Rust: it
//! contains an interpreter with its own heap, stack and exceptions.

use crate::{
    guests::fixture,
    rig::{Rig, limits, loader, product},
};
use host_plugin_host::{Configs, Limits};
use insta::assert_snapshot;
use serde_json::json;
use std::{path::Path, time::Duration};

fn rig(limits: Limits) -> Rig {
    let wasm = fixture("javascript.wasm.zst");
    Rig::of(loader(limits).load_bytes(Path::new("javascript.wasm"), &wasm, &Configs::new()).unwrap())
}

/// The result of a batch of three products, the second of which makes the plug-in misbehave in the way that its id
/// names.
async fn result(limits: Limits, attack: &str) -> String {
    let line = |id| product(&json!({ "id": id, "title": "x" }).to_string());
    rig(limits).transform_these(vec![line("p0"), line(attack), line("p2")]).await
}

#[tokio::test]
async fn three_good_products() {
    assert_snapshot!(result(limits(), "p1").await, @"3 of 3 went well");
}

#[tokio::test]
async fn an_endless_loop() {
    assert_snapshot!(result(limits().with_call_time(Duration::from_secs(1)), "loop").await, @r"
    2 of 3 went well
    1: plugin-timeout: with this product alone, plug-in javascript@0.1.0 took longer than the 1000 ms that a call may take
    ");
}

#[tokio::test]
async fn a_regular_expression_that_never_ends() {
    assert_snapshot!(result(limits().with_call_time(Duration::from_secs(1)), "regex").await, @r"
    2 of 3 went well
    1: plugin-timeout: with this product alone, plug-in javascript@0.1.0 took longer than the 1000 ms that a call may take
    ");
}

#[tokio::test]
async fn all_the_memory_it_can_get() {
    assert_snapshot!(result(limits(), "memory").await, @r"
    2 of 3 went well
    1: plugin-memory: with this product alone, plug-in javascript@0.1.0 needed more than the 64 MiB that it may have
    ");
}

#[tokio::test]
async fn a_string_that_doubles() {
    assert_snapshot!(result(limits(), "strings").await, @r"
    2 of 3 went well
    1: plugin-trap: with this product alone, plug-in javascript@0.1.0 trapped (wasm `unreachable` instruction executed)
    ");
}

#[tokio::test]
async fn recursion_without_end() {
    assert_snapshot!(result(limits(), "recursion").await, @r"
    2 of 3 went well
    1: plugin-trap: with this product alone, plug-in javascript@0.1.0 trapped (call stack exhausted)
    ");
}

#[tokio::test]
async fn an_exception() {
    assert_snapshot!(result(limits(), "throws").await, @r"
    2 of 3 went well
    1: plugin-trap: with this product alone, plug-in javascript@0.1.0 trapped (wasm `unreachable` instruction executed)
    ");
}

#[tokio::test]
async fn a_document_without_fields() {
    assert_snapshot!(result(limits(), "no-fields").await, @r"
    2 of 3 went well
    1: plugin-trap: with this product alone, plug-in javascript@0.1.0 trapped (wasm `unreachable` instruction executed)
    ");
}

#[tokio::test]
async fn an_id_that_is_a_number() {
    assert_snapshot!(result(limits(), "number-id").await, @r"
    2 of 3 went well
    1: plugin-trap: with this product alone, plug-in javascript@0.1.0 trapped (wasm `unreachable` instruction executed)
    ");
}

#[tokio::test]
async fn fields_that_are_an_object() {
    assert_snapshot!(result(limits(), "object-fields").await, @r"
    2 of 3 went well
    1: plugin-trap: with this product alone, plug-in javascript@0.1.0 trapped (wasm `unreachable` instruction executed)
    ");
}

#[tokio::test]
async fn half_a_surrogate_pair() {
    assert_snapshot!(result(limits(), "lone-surrogate").await, @r"
    2 of 3 went well
    1: plugin-trap: with this product alone, plug-in javascript@0.1.0 trapped (wasm `unreachable` instruction executed)
    ");
}

#[tokio::test]
async fn counts_that_are_no_list() {
    assert_snapshot!(result(limits(), "no-counts").await, @r"
    2 of 3 went well
    1: plugin-trap: with this product alone, plug-in javascript@0.1.0 trapped (wasm `unreachable` instruction executed)
    ");
}

#[tokio::test]
async fn a_severity_that_does_not_exist() {
    assert_snapshot!(result(limits(), "wrong-severity").await, @r"
    2 of 3 went well
    1: plugin-trap: with this product alone, plug-in javascript@0.1.0 trapped (wasm `unreachable` instruction executed)
    ");
}

#[tokio::test]
async fn an_answer_that_throws_when_it_is_read() {
    assert_snapshot!(result(limits(), "bad-getter").await, @r"
    2 of 3 went well
    1: plugin-trap: with this product alone, plug-in javascript@0.1.0 trapped (wasm `unreachable` instruction executed)
    ");
}

#[tokio::test]
async fn a_list_that_claims_a_huge_length() {
    assert_snapshot!(result(limits(), "huge-list").await, @r"
    2 of 3 went well
    1: plugin-trap: with this product alone, plug-in javascript@0.1.0 trapped (wasm `unreachable` instruction executed)
    ");
}
