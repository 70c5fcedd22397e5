//! `host settings`, the stored settings of an index on a Marqo server: they are stored and printed, secrets are not
//! printed, and wrong ones are refused.

use crate::support::{RunOutput, TestDir};
use marqo_stand_in::{Options, StandIn};
use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Stdio,
};

fn settings(test_dir: &TestDir, arguments: &[&str]) -> RunOutput {
    test_dir.host(&[&["settings"], arguments, &["--data-dir", "data"]].concat())
}

/// `host settings put shop` with these flags; returns stdout.
#[track_caller]
fn put(test_dir: &TestDir, arguments: &[&str]) -> String {
    let output = settings(test_dir, &[&["put", "shop"], arguments].concat());
    assert!(
        output.code == Some(0) && output.stderr.ends_with("saved the settings of index shop\n"),
        "{output:?}"
    );
    output.stdout
}

/// stderr of a `host settings` command that is refused.
#[track_caller]
fn refused(test_dir: &TestDir, arguments: &[&str]) -> String {
    let output = settings(test_dir, arguments);
    assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{output:?}");
    output.stderr
}

#[test]
fn settings_are_merged_into_what_is_stored() {
    let test_dir = TestDir::new();
    test_dir.write("key", "sk-secret\n");
    test_dir.write(
        "mappings.json",
        r#"{"look": {"type": "multimodal_combination", "weights": {"title": 1, "image": 2}}}"#,
    );
    put(
        &test_dir,
        &[
            "--endpoint",
            "http://localhost:8882/",
            "--fallback-endpoint",
            "https://gateway.example.com",
            "--api-key-file",
            "key",
            "--tensor-field",
            "title",
            "--tensor-field",
            "look",
            "--mappings",
            "mappings.json",
            "--media-download-header",
            "authorization=Bearer secret=token",
            "--use-existing-tensors",
            "false",
            "--batch-documents",
            "64",
            "--cloud",
        ],
    );
    let changed = put(&test_dir, &["--tensor-field", "look", "--readback", "true", "--cloud=false"]);
    insta::assert_snapshot!(changed);
    assert_eq!(settings(&test_dir, &["get", "shop"]).stdout, changed);

    let unset = put(
        &test_dir,
        &["--unset", "api-key", "--unset", "mappings", "--unset", "endpoint", "--concurrency", "2"],
    );
    insta::assert_snapshot!(unset);
    let json = settings(&test_dir, &["get", "shop", "--output", "json"]).json();
    assert_eq!((&json["index_name"], &json["api_key"]), (&"shop".into(), &serde_json::Value::Null));
    assert_eq!(json["media_download_headers"]["authorization"], "[redacted]");

    assert!(
        refused(&test_dir, &["put", "another"]).starts_with("error: nothing is said about index another\n")
    );
    assert_eq!(settings(&test_dir, &["put", "another", "--endpoint", "http://localhost:1"]).code, Some(0));
    assert_eq!(settings(&test_dir, &["list"]).stdout, "another\nshop\n");
    assert_eq!(
        settings(&test_dir, &["list", "--output", "json"]).json(),
        serde_json::json!(["another", "shop"])
    );
}

#[test]
fn a_key_comes_from_a_file_standard_input_or_the_environment_and_is_never_shown() {
    let test_dir = TestDir::new();
    let arguments = ["settings", "put", "shop", "--data-dir", "data", "--output", "json"];
    let stored = |from: &str, output: RunOutput| {
        assert_eq!(
            (output.code, &output.json()["api_key"]),
            (Some(0), &"[redacted]".into()),
            "{from}: {output:?}"
        );
        let file = rusqlite::Connection::open(test_dir.path("data/host.db")).unwrap();
        let key: String = file
            .query_row("SELECT settings ->> 'api_key' FROM index_settings", [], |row| row.get(0))
            .unwrap();
        assert_eq!(key, format!("key-of-{from}"));
        assert!(!format!("{output:?}").contains("key-of"), "{output:?}");
    };
    let mut command = test_dir.command(&arguments);
    stored(
        "environment",
        crate::support::run_output(command.env("HOST_MARQO_API_KEY", "key-of-environment").output().unwrap()),
    );
    // Without the variable the stored key stays.
    stored("environment", test_dir.host(&[&arguments[..], &["--readback", "true"]].concat()));
    test_dir.write("key", "key-of-file");
    stored("file", test_dir.host(&[&arguments[..], &["--api-key-file", "key"]].concat()));
    let mut command = test_dir.command(&[&arguments[..], &["--api-key-file", "-"]].concat());
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"key-of-input\n").unwrap();
    stored("input", crate::support::run_output(child.wait_with_output().unwrap()));
}

#[test]
fn what_cannot_be_used_is_said_and_nothing_is_stored() {
    let test_dir = TestDir::new();
    test_dir.write("list.json", "[]");
    test_dir.write("empty", "");
    let mut said = String::new();
    for arguments in [
        &["put", "my index"][..],
        &["put", "shop", "--endpoint", "https://user:secret@example.com"],
        &["put", "shop", "--endpoint", "nowhere", "--batch-documents", "500"],
        &["put", "shop", "--batch-bytes", "4MB"],
        &["put", "shop", "--readback", "yes"],
        &["put", "shop", "--api-key-file", "missing"],
        &["put", "shop", "--api-key-file", "empty"],
        &["put", "shop", "--cloud"],
        &["put", "shop", "--tensor-field", "the title"],
        &["put", "shop", "--mappings", "missing.json"],
        &["put", "shop", "--mappings", "list.json"],
        &["put", "shop", "--mappings", "{nonsense"],
        &["put", "shop", "--mappings", r#"{"look": {"type": "picture"}}"#],
        &["put", "shop", "--media-download-header", "secret"],
        &["put", "shop", "--unset", "colour"],
        &["put", "shop", "--unset", "endpoint", "--endpoint", "http://localhost"],
        &["get", "shop"],
    ] {
        said += &format!("{}\n{}\n", arguments.join(" "), refused(&test_dir, arguments));
    }
    assert!(!test_dir.path("data").exists(), "something was written");
    insta::assert_snapshot!(said);
    put(&test_dir, &["--endpoint", "http://localhost:1"]);
    insta::assert_snapshot!(refused(&test_dir, &["get", "other"]));
}

#[test]
fn removed_settings_are_gone() {
    let test_dir = TestDir::new();
    put(&test_dir, &["--endpoint", "http://localhost:1"]);
    let none = settings(&test_dir, &["delete", "other"]);
    assert!(none.code == Some(2) && none.stderr.contains("index other has no settings"), "{none:?}");
    assert_eq!(settings(&test_dir, &["delete", "shop"]).code, Some(0));
    let list = settings(&test_dir, &["list"]);
    assert!(list.stdout.is_empty() && list.stderr.starts_with("no index has settings"), "{list:?}");
}

#[test]
fn settings_that_the_server_contradicts_are_refused() {
    let (test_dir, server) = (TestDir::new(), StandIn::start(Options::default()).unwrap());
    let schema = r#"{"type": "structured", "model": "hf/e5-base-v2", "tensorFields": ["title"],
        "allFields": [{"name": "title", "type": "text"}]}"#;
    let mut connection = TcpStream::connect(server.url().strip_prefix("http://").unwrap()).unwrap();
    let head =
        "POST /indexes/shop HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json";
    write!(connection, "{head}\r\ncontent-length: {}\r\n\r\n{schema}", schema.len()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let endpoint = ["--endpoint", server.url()];
    let said = refused(&test_dir, &[&["put", "shop"], &endpoint[..], &["--tensor-field", "look"]].concat());
    insta::assert_snapshot!(said);
    assert!(refused(&test_dir, &["get", "shop"]).contains("no settings"));
    // Settings that the server agrees with are stored without a warning.
    let output =
        settings(&test_dir, &[&["put", "shop"], &endpoint[..], &["--tensor-field", "title"]].concat());
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (Some(0), "saved the settings of index shop\n"),
        "{output:?}"
    );
    // For an index that does not exist yet there is a warning.
    let output = settings(&test_dir, &[&["put", "later"], &endpoint[..]].concat());
    assert!(
        output.code == Some(0) && output.stderr.starts_with("warning: the settings could not be compared"),
        "{output:?}"
    );
}
