//! The inert WASI (the standard system interfaces of WebAssembly, without any access), used by the guest
//! `tests/guests/probe` through Rust's standard library on wasm32-wasip2, and guests that ask too much of it.

use crate::{
    guests::PROBE,
    rig::{Rig, limits, loader, product},
};
use host_core::plugin::Transform;
use host_plugin_host::{Configs, Limits, Wasi};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// The guest `tests/guests/probe`. The id of a product tells it what to try.
fn probe(limits: Limits) -> Rig {
    Rig::of(loader(limits).load(&PROBE, &Configs::new()).unwrap())
}

fn attempt(what: &str) -> host_core::model::Product {
    product(&json!({ "id": what }).to_string())
}

/// What the guest found out by an attempt: the fields of its document.
async fn found(rig: &Rig, what: &str) -> Value {
    let (_, outcome) = rig.evil.transform(vec![attempt(what)]).await.unwrap().swap_remove(0);
    assert_eq!(outcome.refused, None);
    serde_json::from_str(&outcome.documents[0].fields).unwrap()
}

/// The result of an attempt that may make the guest fail.
async fn result(rig: &Rig, what: &str) -> String {
    rig.transform_these(vec![attempt(what)]).await
}

#[tokio::test]
async fn clocks_are_stopped() {
    let rig = probe(limits());
    assert_eq!(found(&rig, "clocks").await, json!({ "clock": [0, 0], "ticks": 0 }));
    assert_eq!(found(&rig, "sleep").await, json!({ "slept": 0 }));
}

#[tokio::test]
async fn random_numbers_are_the_same_for_each_instance() {
    let first = found(&probe(limits()), "random").await;
    assert_ne!(first["random"][0], first["random"][1]);
    assert_eq!(found(&probe(limits()), "random").await, first);
}

#[tokio::test]
async fn there_is_no_environment() {
    assert_eq!(
        found(&probe(limits()), "environment").await,
        json!({ "arguments": 0, "variables": 0, "input": 0 })
    );
}

#[tokio::test]
async fn files_and_sockets_fail_inside_of_the_guest() {
    let rig = probe(limits());
    let absent = "entity not found";
    assert_eq!(found(&rig, "files").await, json!({ "open": absent, "create": absent, "list": absent }));
    let denied = "permission denied";
    assert_eq!(
        found(&rig, "sockets").await,
        json!({ "connect": denied, "listen": denied, "datagram": denied, "name": "uncategorized error" })
    );
    rig.still_works().await;
}

#[tokio::test]
async fn output_goes_to_the_log() {
    let rig = probe(limits());
    // Numbers of lines and threads may change.
    let mut text = result(&rig, "panic").await.replace(|character: char| character.is_ascii_digit(), "#");
    while text.contains("##") {
        text = text.replace("##", "#");
    }
    assert_snapshot!(text, @r#"
    # of # went well
    #: plugin-trap: with this product alone, plug-in probe@#.#.# trapped (wasm `unreachable` instruction executed)
       log ""
       log "thread '<unnamed>' (#) panicked at tests/guests/probe/src/component.rs:#:#:"
       log "the probe fell over"
       log "note: run with `RUST_BACKTRACE=#` environment variable to display a backtrace"
    "#);
}

#[tokio::test]
async fn a_flood_of_output() {
    assert_snapshot!(result(&probe(limits()), "flood").await, @"1 of 1 went well");
}

#[tokio::test]
async fn an_exit() {
    assert_snapshot!(result(&probe(limits()), "exit").await, @"
    0 of 1 went well
    0: plugin-trap: with this product alone, plug-in probe@0.1.0 trapped (it called exit)
    ");
}

#[tokio::test]
async fn too_many_handles() {
    assert_snapshot!(result(&probe(limits()), "handles").await, @"
    0 of 1 went well
    0: plugin-trap: with this product alone, plug-in probe@0.1.0 held more than the 1,000 handles of WASI that plugin.limits.wasi_handles allows
    ");
    let few = probe(Limits { wasi_handles: 2, ..limits() });
    assert_snapshot!(result(&few, "handles").await, @"
    0 of 1 went well
    0: plugin-trap: with this product alone, plug-in probe@0.1.0 held more than the 2 handles of WASI that plugin.limits.wasi_handles allows
    ");
}

#[tokio::test]
async fn dropped_handles_do_not_count() {
    let rig = probe(Limits { wasi_handles: 8, ..limits() });
    for _ in 0..20 {
        assert_eq!(found(&rig, "sleep").await, json!({ "slept": 0 }));
        assert_eq!(found(&rig, "output").await, json!({}));
    }
}

#[tokio::test]
async fn too_many_random_bytes_at_once() {
    assert_snapshot!(result(&probe(limits()), "randomness").await, @"
    0 of 1 went well
    0: plugin-trap: with this product alone, plug-in probe@0.1.0 trapped (it asked for more random bytes at once than the 65536 that it may have)
    ");
}

#[tokio::test]
async fn a_poll_of_an_empty_list() {
    assert_snapshot!(result(&probe(limits()), "forever").await, @"
    0 of 1 went well
    0: plugin-contract: with this product alone, plug-in probe@0.1.0 broke the contract: empty poll list
    ");
}

#[test]
fn a_plug_in_with_wasi_is_refused_if_the_setting_says_so() {
    let none = Limits { wasi: Wasi::None, ..limits() };
    let error = loader(none).load(&PROBE, &Configs::new()).unwrap_err().to_string();
    assert_snapshot!(error.replace(&PROBE.display().to_string(), "x.wasm"), @"the plug-in x.wasm imports WASI (wasi:io/poll@0.2.6, wasi:clocks/monotonic-clock@0.2.6, wasi:io/error@0.2.6, wasi:io/streams@0.2.6, wasi:cli/environment@0.2.6, wasi:cli/exit@0.2.6, wasi:cli/stdin@0.2.6, wasi:cli/stdout@0.2.6 and 18 more), which --wasi none refuses; build it for a target without WASI, such as wasm32-unknown-unknown, or let it have the inert one");
}
