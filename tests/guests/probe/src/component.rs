//! The exports of this plug-in's WebAssembly component, and its attempts through Rust's standard library.

use crate::greed;
use serde_json::{Value, json};
use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::BuildHasher;
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

#[allow(missing_docs, unsafe_code, unreachable_pub, unused_qualifications, reason = "generated")]
#[allow(clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "transformer" });
    export!(Component with_types_in self);
    use super::Component;
}

use bindings::exports::product_indexer::plugin::{manifest, transform};
use bindings::product_indexer::plugin::types::{Document, Failure};

struct Component;

impl manifest::Guest for Component {
    fn describe() -> manifest::Description {
        manifest::Description {
            name: "probe".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            platform: "probe".to_owned(),
            grouping: manifest::Grouping::WholeLines,
            config_schema: "{}".to_owned(),
            version_fields: vec!["clock".to_owned()],
        }
    }

    fn configure(_config: String) -> Result<(), Failure> {
        Ok(())
    }
}

impl transform::Guest for Component {
    fn run(products: Vec<String>) -> Result<transform::Transformed, Failure> {
        let document = |product: &String| {
            let product: Value = serde_json::from_str(product).unwrap_or_default();
            let what = product["id"].as_str().unwrap_or_default();
            Document { id: what.to_owned(), fields: attempt(what).to_string() }
        };
        Ok(transform::Transformed {
            documents: products.iter().map(document).collect(),
            counts: vec![1; products.len()],
            removals: Vec::new(),
            issues: Vec::new(),
        })
    }
}

/// Tries what a product's id names; returns the result as the fields of the product's document.
#[expect(clippy::panic, reason = "one attempt is a panic")]
fn attempt(what: &str) -> Value {
    match what {
        "clocks" => json!({ "clock": [now(), now()], "ticks": ticks() }),
        "random" => json!({ "random": [random(), random()] }),
        "environment" => json!({
            "arguments": std::env::args().count(),
            "variables": std::env::vars().count(),
            "input": io::stdin().read(&mut [0; 10]).unwrap_or(usize::MAX),
        }),
        "files" => json!({
            "open": error(File::open("/etc/passwd")),
            "create": error(File::create("made.txt")),
            "list": error(fs::read_dir(".")),
        }),
        "sockets" => json!({
            "connect": error(TcpStream::connect("127.0.0.1:80")),
            "listen": error(TcpListener::bind("127.0.0.1:0")),
            "datagram": error(UdpSocket::bind("127.0.0.1:0")),
            "name": error(TcpStream::connect("example.com:80")),
        }),
        "sleep" => {
            std::thread::sleep(Duration::from_secs(3600));
            json!({ "slept": ticks() })
        }
        "output" => {
            println!("a line to standard output");
            eprint!("a line without an end to standard error");
            json!({})
        }
        "flood" => {
            for number in 0..10_000 {
                println!("flood {number}");
            }
            json!({})
        }
        "panic" => panic!("the probe fell over"),
        "exit" => std::process::exit(0),
        "handles" => greed::hold_handles(),
        "randomness" => greed::ask_for_random_bytes(),
        "forever" => greed::wait_for_nothing(),
        other => json!({ "unknown": other }),
    }
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(u64::MAX, |time| time.as_nanos() as u64)
}

/// Nanoseconds between two looks at the monotonic clock.
fn ticks() -> u64 {
    let before = Instant::now();
    before.elapsed().as_nanos() as u64
}

/// A text that differs whenever the random seed of a `HashMap` does.
fn random() -> String {
    RandomState::new().hash_one(1).to_string()
}

/// The kind of error, or that there was none.
fn error<T>(result: io::Result<T>) -> String {
    result.err().map_or_else(|| "it worked".to_owned(), |error| error.kind().to_string())
}
