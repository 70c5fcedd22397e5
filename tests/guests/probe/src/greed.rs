//! Attempts that exceed the host's limits on WASI (the standard system interfaces of WebAssembly), by direct calls of
//! WASI, which Rust's standard library would not make.

use serde_json::{Value, json};

#[allow(missing_docs, unsafe_code, unreachable_pub, unused_qualifications, reason = "generated")]
#[allow(clippy::all, reason = "generated")]
mod wasi_calls {
    wit_bindgen::generate!({
        inline: "
            package probe:greed;

            world greed {
                import wasi:io/poll@0.2.1;
                import wasi:clocks/monotonic-clock@0.2.1;
                import wasi:random/random@0.2.1;
            }

            package wasi:io@0.2.1 {
                interface poll {
                    resource pollable;
                    poll: func(in: list<borrow<pollable>>) -> list<u32>;
                }
            }

            package wasi:clocks@0.2.1 {
                interface monotonic-clock {
                    use wasi:io/poll@0.2.1.{pollable};
                    type duration = u64;
                    subscribe-duration: func(when: duration) -> pollable;
                }
            }

            package wasi:random@0.2.1 {
                interface random {
                    get-random-bytes: func(len: u64) -> list<u8>;
                }
            }
        ",
        generate_all,
    });
}

use wasi_calls::wasi::clocks::monotonic_clock::subscribe_duration;
use wasi_calls::wasi::io::poll::poll;
use wasi_calls::wasi::random::random::get_random_bytes;

/// Takes handles (resources that the host keeps) without end and never drops one.
pub(crate) fn hold_handles() -> Value {
    let mut held = Vec::new();
    loop {
        held.push(subscribe_duration(1));
        // Each handle is a wait that the host ends at once, so all are ready.
        if poll(&held.iter().collect::<Vec<_>>()).len() != held.len() {
            return json!({ "held": held.len() });
        }
    }
}

/// Asks for more random bytes than any memory holds.
pub(crate) fn ask_for_random_bytes() -> Value {
    json!({ "bytes": get_random_bytes(u64::MAX).len() })
}

/// Waits for the first event of an empty list, which never comes.
pub(crate) fn wait_for_nothing() -> Value {
    json!({ "ready": poll(&[]) })
}
