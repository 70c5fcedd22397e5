//! `host lambda` on a runtime API of our own, which decides about deadlines and when the process is killed.

use crate::aws::Cloud;
use crate::support::ran;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The Lambda service as a function sees it.
struct Runtime {
    listener: TcpListener,
    function: Child,
    /// The function's open question for the next event.
    asking: Option<TcpStream>,
}

/// One request of the function: its path and body.
fn request(stream: &TcpStream) -> (String, String) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut length, mut chunked) = (0, false);
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        chunked |= header.starts_with("transfer-encoding:") && header.contains("chunked");
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    while chunked {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let size = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut part = vec![0; size + 2];
        reader.read_exact(&mut part).unwrap();
        body.extend_from_slice(&part[..size]);
        chunked = size > 0;
    }
    (path, String::from_utf8(body).unwrap())
}

fn answer(mut stream: &TcpStream, status: &str, headers: &str, body: &str) {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    )
    .unwrap();
}

impl Runtime {
    fn start(cloud: &Cloud) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = cloud.command(&["lambda", "--data-dir", "data-lambda"]);
        command
            .env("AWS_LAMBDA_RUNTIME_API", listener.local_addr().unwrap().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "dev-EcomIndexerFunction")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .stderr(Stdio::null());
        let function = command.spawn().unwrap();
        Self { listener, function, asking: None }
    }

    /// Waits until the function asks for the next event; gives what it answered before that, if it did.
    fn ready(&mut self) -> Option<Value> {
        let mut answered = None;
        loop {
            let (stream, _) = self.listener.accept().unwrap();
            let (path, body) = request(&stream);
            if path.ends_with("/invocation/next") {
                self.asking = Some(stream);
                return answered;
            }
            assert!(path.ends_with("/response"), "{path}: {body}");
            answered = Some(serde_json::from_str(&body).unwrap());
            answer(&stream, "202 Accepted", "", "{}");
        }
    }

    fn give(&mut self, event: &Value, time: Duration) {
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + time;
        let headers = format!(
            "Content-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: 1\r\nLambda-Runtime-Deadline-Ms: {}\r\n\
             Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-central-1:123456789012:function:f\r\n",
            deadline.as_millis()
        );
        answer(&self.asking.take().unwrap(), "200 OK", &headers, &event.to_string());
    }

    /// Invokes the function; gives the ids of the messages that come again.
    fn invoke(&mut self, event: &Value, time: Duration) -> Vec<String> {
        self.give(event, time);
        let answered = self.ready().unwrap();
        let failures = answered["batchItemFailures"].as_array().unwrap();
        let mut ids: Vec<String> =
            failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect();
        ids.sort_unstable();
        ids
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _ = self.function.kill();
        let _ = self.function.wait();
    }
}

/// What the Lambda service receives from a queue and hands to the function; the ids of the messages beside it.
fn batch(cloud: &Cloud, queue: &str) -> (Value, Vec<String>) {
    let messages = cloud.receive(queue);
    let ids = messages.iter().map(|message| message["messageId"].as_str().unwrap().to_owned()).collect();
    (json!({"Records": messages}), ids)
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn batches_are_written_in_order_and_what_is_left_comes_again() {
    let (cloud, shops) = Cloud::new(1);
    let shop = &shops[0];
    let ingested = ran(cloud.export("ingest", shop).output().unwrap());
    assert_eq!(ingested.code, Some(0), "{ingested:?}");
    let chunks = ingested.json()["chunks"].as_u64().unwrap();
    assert!(chunks >= 4, "{ingested:?}");
    let mut runtime = Runtime::start(&cloud);
    assert_eq!(runtime.ready(), None);

    // Less time than the reserve: nothing is begun, everything comes again, no attempt is burnt.
    let queue = "dev-ecom-indexer-shop-0_myshopify_com.fifo";
    let (event, mut ids) = batch(&cloud, queue);
    assert!(ids.len() >= 2, "{event}");
    ids.sort_unstable();
    assert_eq!(runtime.invoke(&event, Duration::from_secs(60)), ids);
    assert_eq!(cloud.marqo.documents(&shop.index).len(), 0);

    // With time enough all of it is written.
    let (event, _) = batch(&cloud, queue);
    assert_eq!(runtime.invoke(&event, HOUR), Vec::<String>::new());
    assert!(!cloud.marqo.documents(&shop.index).is_empty());

    // Killed in the middle, the next invocation goes on.
    let (event, _) = batch(&cloud, queue);
    if !event["Records"].as_array().unwrap().is_empty() {
        runtime.give(&event, HOUR);
        drop(runtime);
        runtime = Runtime::start(&cloud);
        runtime.ready();
    }
    cloud.aws.set_clock(3600.0);
    for _ in 0..chunks {
        let (event, ids) = batch(&cloud, queue);
        if ids.is_empty() {
            break;
        }
        runtime.invoke(&event, HOUR);
        std::thread::sleep(Duration::from_millis(200));
    }
    cloud.is_complete(shop, &cloud.ended(shop));
}
