//! The conformance suite with the tables on dynoxide, a server that answers as DynamoDB does, written by others: all of
//! it passes on version 3.2.0. dynoxide never removes expired items. Should it and the model in `table.rs` ever differ,
//! the model decides.

use super::stand_in::with_dynoxide;
use host_testing::storage_tests;
use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A running server; it ends when this is dropped.
pub(super) struct Dynoxide {
    process: Child,
    url: String,
}

impl Dynoxide {
    /// Starts the program that `HOST_TEST_DYNOXIDE` names, or `dynoxide`.
    pub(super) fn start() -> Self {
        let program = std::env::var("HOST_TEST_DYNOXIDE").unwrap_or_else(|_| "dynoxide".to_owned());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(&program)
            .args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("`{program}` (`cargo install dynoxide-rs@3.2.0`): {error}"));
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "dynoxide does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        Self { process, url: format!("http://127.0.0.1:{port}") }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Dynoxide {
    fn drop(&mut self) {
        // The server has no data that must be kept.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

storage_tests!(with_dynoxide ignored);
