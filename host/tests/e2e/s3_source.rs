//! Exports that are read from S3 (`s3://bucket/key`). A proxy before the stand-in for AWS breaks off responses.

use crate::{
    aws::{Server, block_on, clients_in},
    support::{RunOutput, SHOPIFY, TestDir, run_output},
};
use flate2::{Compression, write::GzEncoder};
use host_storage_aws::Clients;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};
use xtask::sample::{SampleOptions, Shape};

const BUCKET: &str = "exports";

/// The only region in which a bucket is created without naming the region.
const REGION: &str = "us-east-1";

fn put(clients: &Clients, key: &str, bytes: Vec<u8>) {
    let sent = clients.s3.put_object().bucket(BUCKET).key(key).body(bytes.into()).send();
    block_on(sent).unwrap();
}

/// An export of at least so many bytes.
fn export(seed: u64, bytes: u64) -> Vec<u8> {
    let mut export = Vec::new();
    let recipe =
        SampleOptions { seed, shape: Shape::Real, grouped: true, products: u64::MAX, bytes, bad_lines: 0.0 };
    xtask::sample::write(&recipe, &mut export).unwrap();
    export
}

/// A server with a bucket.
fn bucket() -> (Arc<Server>, Clients) {
    let server = Server::start();
    let clients = clients_in(REGION, server.url(), "123456789012");
    block_on(clients.s3.create_bucket().bucket(BUCKET).send()).unwrap();
    (server, clients)
}

fn run(test_dir: &TestDir, url: &str, key: &str) -> RunOutput {
    run_with_s3_at(url, test_dir.run_command(&format!("s3://{BUCKET}/{key}"), &[]))
}

/// Runs a command with S3 at this address.
fn run_with_s3_at(url: &str, mut command: Command) -> RunOutput {
    command
        .env("HOST_AWS__ENDPOINT_URL", url)
        .env("AWS_ACCESS_KEY_ID", "123456789012")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", REGION);
    run_output(command.output().unwrap())
}

/// Without a region in the settings, and on a machine without EC2's metadata service, which could tell one.
#[test]
fn a_region_that_is_not_set_is_told_first() {
    let test_dir = TestDir::new();
    let mut command = test_dir.run_command(&format!("s3://{BUCKET}/export.jsonl"), &[]);
    let output = run_output(command.env("AWS_EC2_METADATA_DISABLED", "true").output().unwrap());
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.starts_with("error: the source is in S3, and no region is set\n"), "{output:?}");
    assert!(output.stderr.contains("help: set `aws.region`"), "{output:?}");
}

/// Whether chunks (files of documents made of the export) are published.
fn has_published(test_dir: &TestDir) -> bool {
    test_dir.path("data/chunks").exists() && !test_dir.chunks().is_empty()
}

/// How much of a response the proxy passes on.
enum Passed {
    Whole,
    Half,
}

/// The head of a request, which has no body.
fn head(mut stream: &TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Passes requests on. For each request of a part of an object, `decide` says how much of the response to pass on; its
/// argument is the number of such requests so far.
fn proxy(to: &str, mut decide: impl FnMut(usize) -> Passed + Send + 'static) -> String {
    let to: SocketAddr = to.strip_prefix("http://").unwrap().parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut parts = 0;
        for stream in listener.incoming().map_while(Result::ok) {
            let head = head(&stream);
            let answer = if head.starts_with("GET") {
                parts += 1;
                decide(parts)
            } else {
                Passed::Whole
            };
            let mut server = TcpStream::connect(to).unwrap();
            server.write_all(head.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
            let mut answered = Vec::new();
            server.read_to_end(&mut answered).unwrap();
            if let Passed::Half = answer {
                answered.truncate(answered.len() / 2);
            }
            // The client may have closed the connection.
            let _ = (&stream).write_all(&answered);
        }
    });
    url
}

#[test]
fn an_object_is_read_like_a_file_packed_or_not() {
    let (server, clients) = bucket();
    let export = export(1, 200_000);
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&export).unwrap();
    put(&clients, "a/products.jsonl.gz", packed.finish().unwrap());
    put(&clients, "a/products.jsonl", export.clone());
    let file = TestDir::new();
    let path = file.write("products.jsonl", export);
    assert_eq!(file.run(path.to_str().unwrap(), &[]).code, Some(0));
    for key in ["a/products.jsonl", "a/products.jsonl.gz"] {
        let test_dir = TestDir::new();
        let output = run(&test_dir, server.url(), key);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(test_dir.chunks() == file.chunks(), "{key}: other chunks than of the file");
    }
}

#[test]
fn an_export_was_taken_when_its_object_was_modified() {
    let (server, clients) = bucket();
    let modified = |key: &str| {
        let head = block_on(clients.s3.head_object().bucket(BUCKET).key(key).send()).unwrap();
        jiff::Timestamp::from_second(head.last_modified().unwrap().secs()).unwrap()
    };
    put(&clients, "export.jsonl", export(1, 20_000));
    let taken = modified("export.jsonl");
    // Wait for a later second than that of the object, whose Last-Modified has whole seconds.
    while jiff::Timestamp::now().as_second() <= taken.as_second() + 1 {
        thread::sleep(std::time::Duration::from_millis(100));
    }
    let test_dir = TestDir::new();
    let output = run(&test_dir, server.url(), "export.jsonl");
    assert_eq!(output.code, Some(0), "{output:?}");
    let id = test_dir.documents()[0]["_id"].as_str().unwrap().to_owned();
    let shown = test_dir.host(&["why", &id, "--data-dir", "data", "--output", "json"]).json();
    let exported_at: jiff::Timestamp = shown["exported_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(exported_at.as_second(), taken.as_second(), "{shown}");
}

#[test]
fn the_tools_of_authors_read_objects_like_files() {
    let (server, clients) = bucket();
    let (test_dir, export) = (TestDir::new(), export(1, 200_000));
    put(&clients, "products.jsonl", export.clone());
    let file = test_dir.write("products.jsonl", export).to_str().unwrap().to_owned();
    let object = format!("s3://{BUCKET}/products.jsonl");
    let plugin = SHOPIFY.to_str().unwrap();
    let both = |arguments: &[&str]| {
        [&object, &file].map(|source| {
            let output = run_with_s3_at(
                server.url(),
                test_dir.command(&[arguments, &[source, "--output", "json"]].concat()),
            );
            assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
            output.json()
        })
    };
    let [of_object, of_file] = both(&["plugin", "run", plugin, "--limit", "3"]);
    assert_eq!(of_object["items"].as_array().unwrap().len(), 3);
    assert_eq!(of_object, of_file);
    let [of_object, of_file] = both(&["plugin", "diff", plugin, plugin, "--source"]);
    assert!(of_object["products"].as_u64().unwrap() > 10, "{of_object}");
    assert_eq!(of_object, of_file);
    let [of_object, of_file] = both(&["plugin", "bench", plugin, "--seconds", "0"]);
    assert!(of_object["items"].as_u64().unwrap() > 10, "{of_object}");
    for figure in ["items", "bytes", "accepted", "instructions_per_item"] {
        assert_eq!(of_object[figure], of_file[figure], "{figure}");
    }
    // `plugin diff --job` reads a job's source in S3 again.
    let read = run(&test_dir, server.url(), "products.jsonl");
    assert_eq!(read.code, Some(0), "{read:?}");
    let job = read.json()["job_id"].as_str().unwrap().to_owned();
    let compare = ["plugin", "diff", plugin, plugin, "--job", &job, "--data-dir", "data", "--output", "json"];
    let compared = run_with_s3_at(server.url(), test_dir.command(&compare));
    assert_eq!(compared.json()["products"], read.json()["total_items"], "{compared:?}");

    let missing = format!("s3://{BUCKET}/missing.jsonl");
    let refused = run_with_s3_at(server.url(), test_dir.command(&["plugin", "run", plugin, &missing]));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains(&missing) && !refused.stderr.contains("panicked"), "{refused:?}");
}

#[test]
fn an_object_that_is_not_there_is_a_mistake_of_the_caller() {
    let (server, _) = bucket();
    let test_dir = TestDir::new();
    let output = run(&test_dir, server.url(), "missing.jsonl");
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("s3://exports/missing.jsonl"), "{}", output.stderr);
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
}

#[test]
fn an_answer_that_breaks_off_is_asked_for_again() {
    let (server, clients) = bucket();
    let export = export(1, 9_000_000);
    put(&clients, "products.jsonl", export.clone());
    let file = TestDir::new();
    let path = file.write("products.jsonl", export);
    assert_eq!(file.run(path.to_str().unwrap(), &[]).code, Some(0));

    // The first part arrives whole at the second attempt, the next one at the third.
    let url = proxy(server.url(), |part| if [2, 5].contains(&part) { Passed::Whole } else { Passed::Half });
    let test_dir = TestDir::new();
    let read = run(&test_dir, &url, "products.jsonl");
    assert_eq!(read.code, Some(0), "{read:?}");
    assert!(test_dir.chunks() == file.chunks(), "other chunks than of the file");

    let url = proxy(server.url(), |part| if part == 1 { Passed::Whole } else { Passed::Half });
    let test_dir = TestDir::new();
    let broken = run(&test_dir, &url, "products.jsonl");
    assert_eq!(broken.code, Some(1), "{broken:?}");
    assert!(broken.stderr.contains("s3://exports/products.jsonl"), "{}", broken.stderr);
    assert!(!has_published(&test_dir), "a part of an export was published");
}

#[test]
fn an_object_that_changes_while_it_is_read_is_refused() {
    let (server, clients) = bucket();
    put(&clients, "products.jsonl", export(1, 9_000_000));
    // Replaced between its two parts by an export of nearly the same size.
    let other = Mutex::new(Some(export(2, 9_000_000)));
    let url = proxy(server.url(), move |part| {
        if part == 2
            && let Some(other) = other.lock().unwrap().take()
        {
            put(&clients, "products.jsonl", other);
        }
        Passed::Whole
    });
    let test_dir = TestDir::new();
    let output = run(&test_dir, &url, "products.jsonl");
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("the object was replaced while it was read"), "{}", output.stderr);
    assert!(!has_published(&test_dir), "two halves of exports were published");
}
