//! The stand-in for a Marqo server as a program.

use crate::support::send;
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A child process that is killed when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_says_where_it_listens_and_answers_there() {
    let faults = r#"[{"fault":"uncaught","operation":"stats"}]"#;
    let mut command = Command::new(env!("CARGO_BIN_EXE_marqo-stand-in"));
    command.args([
        "--listen",
        "127.0.0.1:0",
        "--index",
        "shop",
        "--marqo-version",
        "2.13.0",
        "--seed",
        "5",
        "--faults",
        faults,
    ]);
    let mut running = Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap();
    assert_eq!(send(url, "GET", "/", &[], "").unwrap().json()["version"], "2.13.0");
    assert_eq!(
        send(url, "GET", "/indexes", &[], "").unwrap().json(),
        json!({ "results": [{ "indexName": "shop" }] })
    );
    assert_eq!(send(url, "GET", "/indexes/shop/stats", &[], "").unwrap().text, "Internal Server Error");
    assert_eq!(send(url, "GET", "/_stand-in/faults", &[], "").unwrap().json()["seed"], 5);
}

#[test]
fn it_prints_the_table_of_rules() {
    let output = Command::new(env!("CARGO_BIN_EXE_marqo-stand-in")).arg("--rules").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), marqo_stand_in::listing());
}

#[test]
fn it_refuses_unknown_faults() {
    let output = Command::new(env!("CARGO_BIN_EXE_marqo-stand-in"))
        .args(["--faults", r#"[{"fault":"explode"}]"#])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("explode"));
}
