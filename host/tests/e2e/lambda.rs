//! `host lambda` on the test's own imitation of the Lambda runtime API, so that the test chooses deadlines and when the
//! function is killed. Chunks are files of documents; those of one lane are written in order, and a lane is a message
//! group in SQS.

use crate::{
    aws::{Cloud, Shop, block_on},
    support::run_output,
};
use host_storage_aws::{Key, Table, Update};
use marqo_stand_in::Options;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The Lambda service as a function sees it.
struct Runtime {
    listener: TcpListener,
    function: Child,
    /// The function's open request for the next event, if it waits for one.
    next_request: Option<TcpStream>,
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

/// Answers an HTTP request.
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
        Self::start_with(cloud, &[])
    }

    fn start_with(cloud: &Cloud, variables: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = cloud.command(&["lambda", "--data-dir", "data-lambda"]);
        command
            .envs(variables.iter().copied())
            .env("AWS_LAMBDA_RUNTIME_API", listener.local_addr().unwrap().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "dev-EcomIndexerFunction")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .stderr(Stdio::null());
        let function = command.spawn().unwrap();
        Self { listener, function, next_request: None }
    }

    /// Waits until the function asks for the next event; returns the response or error that it sent before that, if
    /// any.
    fn ready(&mut self) -> Option<Value> {
        let mut answered = None;
        loop {
            let (stream, _) = self.listener.accept().unwrap();
            let (path, body) = request(&stream);
            if path.ends_with("/invocation/next") {
                self.next_request = Some(stream);
                return answered;
            }
            assert!(path.ends_with("/response") || path.ends_with("/error"), "{path}: {body}");
            answered = Some(serde_json::from_str(&body).unwrap());
            answer(&stream, "202 Accepted", "", "{}");
        }
    }

    /// Hands an event to the function, which has `time` until its deadline.
    fn give(&mut self, event: &Value, time: Duration) {
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + time;
        let headers = format!(
            "Content-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: 1\r\nLambda-Runtime-Deadline-Ms: {}\r\n\
             Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-central-1:123456789012:function:f\r\n",
            deadline.as_millis()
        );
        answer(&self.next_request.take().unwrap(), "200 OK", &headers, &event.to_string());
    }

    /// Invokes the function; returns the ids of the messages that it wants delivered again.
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

const QUEUE: &str = "dev-ecom-indexer-shop-0_myshopify_com.fifo";
const HOUR: Duration = Duration::from_secs(3600);

/// Messages that the test, in the role of the Lambda service, has received from the queue, and the event made of them.
struct Batch {
    event: Value,
    messages: Vec<Message>,
}

/// A message about a chunk.
struct Message {
    id: String,
    lane: u64,
    /// Number of the chunk in its job.
    seq: u64,
    /// Key of the chunk's object in S3.
    key: String,
}

impl Batch {
    fn receive(cloud: &Cloud) -> Self {
        let records = cloud.receive(QUEUE);
        let message = |record: &Value| {
            let body: Value = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
            Message {
                id: record["messageId"].as_str().unwrap().to_owned(),
                lane: body["lane"].as_u64().unwrap(),
                seq: body["seq"].as_u64().unwrap(),
                key: body["s3_key"].as_str().unwrap().to_owned(),
            }
        };
        Self { messages: records.iter().map(message).collect(), event: json!({"Records": records}) }
    }

    /// Sorted ids of the messages for which `is_meant` holds, as [`Runtime::invoke`] returns them.
    fn ids(&self, is_meant: impl Fn(&Message) -> bool) -> Vec<String> {
        let mut ids: Vec<String> = self
            .messages
            .iter()
            .filter(|message| is_meant(message))
            .map(|message| message.id.clone())
            .collect();
        ids.sort_unstable();
        ids
    }
}

/// A shop whose chunks are published, and their job; the search server takes `latency` for each request that adds
/// documents.
fn published(latency: Duration) -> (Cloud, Shop, String) {
    let (cloud, mut shops) = Cloud::with(1, Options { latency, ..Options::default() });
    let shop = shops.remove(0);
    let ingested = run_output(cloud.export("ingest", &shop).output().unwrap());
    assert_eq!(ingested.code, Some(0), "{ingested:?}");
    let job = ingested.json();
    assert!(job["chunks"].as_u64().unwrap() >= 6, "{job}");
    (cloud, shop, job["job_id"].as_str().unwrap().to_owned())
}

/// The key of a chunk's row in the table of jobs.
fn row(job: &str, seq: u64) -> Key {
    Key::new(format!("JOB#{job}"), format!("CHUNK#{seq:08}"))
}

/// For each chunk of the batch that was written: the numbers of the first and last write of its documents.
fn written(cloud: &Cloud, shop: &Shop, batch: &Batch) -> HashMap<u64, (u64, u64)> {
    let history = cloud.marqo.history(&shop.index);
    let s3 = cloud.clients().s3;
    let mut written = HashMap::new();
    for message in &batch.messages {
        let got = block_on(async {
            let got = s3.get_object().bucket(cloud.bucket()).key(&message.key).send().await.unwrap();
            got.body.collect().await.unwrap().to_vec()
        });
        let numbers: Vec<u64> = String::from_utf8(got)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["_id"].as_str().unwrap().to_owned())
            .flat_map(|id| {
                history.get(&id).into_iter().flatten().map(|write| write.number).collect::<Vec<_>>()
            })
            .collect();
        if let (Some(first), Some(last)) = (numbers.iter().min(), numbers.iter().max()) {
            written.insert(message.seq, (*first, *last));
        }
    }
    written
}

/// Hands messages to the function until there are none.
fn finish(cloud: &Cloud, runtime: &mut Runtime) {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(120) {
        // The test has moved the queue's clock, so that no message is hidden any more.
        let batch = Batch::receive(cloud);
        if batch.messages.is_empty() {
            return;
        }
        runtime.invoke(&batch.event, HOUR);
    }
    panic!("messages are redelivered without end");
}

#[test]
fn without_time_no_chunk_is_begun_and_begun_ones_are_requeued() {
    let (cloud, shop, job) = published(Duration::from_secs(3));
    let started = Instant::now();
    let mut runtime = Runtime::start(&cloud);
    assert_eq!(runtime.ready(), None);
    eprintln!("from the start of the process until it asks for the first event: {:?}", started.elapsed());

    // Less time is left than `aws.lambda_reserve_seconds`: no chunk is begun.
    let before = cloud.marqo.requests().len();
    let batch = Batch::receive(&cloud);
    assert!(batch.messages.len() >= 2, "{}", batch.event);
    runtime.give(&batch.event, Duration::from_secs(60));
    let error = runtime.ready().unwrap();
    let message = error["errorMessage"].as_str().unwrap();
    let left = message
        .strip_prefix("the function's timeout leaves ")
        .and_then(|rest| rest.split_once(" s, "))
        .unwrap();
    assert!(left.0.parse::<u64>().unwrap() <= 60, "{message}");
    assert!(
        left.1.starts_with("and no chunk is begun in the last 120 s (`aws.lambda_reserve_seconds`)"),
        "{message}"
    );
    assert_eq!(cloud.marqo.requests().len(), before);
    // The messages stay hidden: if they were visible at once, the function would be invoked many times a second.
    assert!(Batch::receive(&cloud).messages.is_empty());
    cloud.aws.set_clock(HOUR.as_secs_f64());

    // With a shorter reserve chunks are begun, but the server is slower than the deadline.
    drop(runtime);
    let mut runtime = Runtime::start_with(&cloud, &[("HOST_AWS__LAMBDA_RESERVE_SECONDS", "0")]);
    runtime.ready();
    let batch = Batch::receive(&cloud);
    let invoked = Instant::now();
    assert_eq!(runtime.invoke(&batch.event, Duration::from_secs(7)), batch.ids(|_| true));
    assert!(invoked.elapsed() < Duration::from_secs(7), "the answer came after the deadline");
    assert!(cloud.marqo.requests().len() > before, "nothing was begun");
    let table = cloud.jobs_table();
    for message in &batch.messages {
        let row = block_on(table.get(&row(&job, message.seq))).unwrap().unwrap();
        assert_eq!(row.number("attempts"), Some(0), "an attempt was burnt: {row:?}");
    }

    // Again the messages stay hidden. Later, an invocation with enough time finishes the job.
    assert!(Batch::receive(&cloud).messages.is_empty());
    cloud.aws.set_clock(2.0 * HOUR.as_secs_f64());
    finish(&cloud, &mut runtime);
    cloud.is_complete(&shop, &cloud.ended(&shop));
}

#[test]
fn lanes_are_written_in_order_and_a_held_chunk_holds_back_its_lane_alone() {
    let (cloud, shop, job) = published(Duration::ZERO);
    let mut runtime = Runtime::start(&cloud);
    runtime.ready();
    let batch = Batch::receive(&cloud);
    let in_lane = |lane| batch.messages.iter().filter(|message| message.lane == lane).count();
    let held = batch.messages.iter().find(|message| in_lane(message.lane) >= 2).unwrap();
    assert!(batch.messages.iter().any(|message| message.lane != held.lane), "{}", batch.event);

    // Another worker has claimed the chunk.
    let table = cloud.jobs_table();
    let until = (jiff::Timestamp::now() + Duration::from_secs(600)).as_microsecond();
    let claim = |state: &str, until: i64| {
        let claim = Update::new(row(&job, held.seq)).set("state", state).set("lease_until", until);
        block_on(table.update(&claim)).unwrap();
    };
    claim("RUNNING", until);
    assert_eq!(runtime.invoke(&batch.event, HOUR), batch.ids(|message| message.lane == held.lane));
    let after = written(&cloud, &shop, &batch);
    let others: Vec<&Message> = batch.messages.iter().filter(|message| message.lane != held.lane).collect();
    assert!(!after.contains_key(&held.seq), "{after:?}");
    assert!(others.iter().any(|message| after.contains_key(&message.seq)), "{after:?}");

    // That worker has died: its lease ends, and the message becomes visible again.
    claim("RUNNING", 0);
    cloud.aws.set_clock(2.0 * HOUR.as_secs_f64());
    finish(&cloud, &mut runtime);
    cloud.is_complete(&shop, &cloud.ended(&shop));
    let after = written(&cloud, &shop, &batch);
    let mut in_order =
        batch.messages.iter().filter(|message| after.contains_key(&message.seq)).collect::<Vec<_>>();
    in_order.sort_unstable_by_key(|message| (message.lane, message.seq));
    for pair in in_order.windows(2).filter(|pair| pair[0].lane == pair[1].lane) {
        assert!(after[&pair[0].seq].1 < after[&pair[1].seq].0, "written out of order: {after:?}");
    }
}

#[test]
fn what_a_killed_function_leaves_is_finished_by_the_next_invocation() {
    let (cloud, shop, _) = published(Duration::from_millis(400));
    let mut runtime = Runtime::start(&cloud);
    runtime.ready();
    let batch = Batch::receive(&cloud);
    runtime.give(&batch.event, HOUR);
    // The function is killed when the server has taken some documents and is busy with others.
    let started = Instant::now();
    while cloud.marqo.documents(&shop.index).is_empty() {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing is written");
        thread::sleep(Duration::from_millis(20));
    }
    drop(runtime);
    let seen = cloud.marqo.documents(&shop.index).len();

    // Messages are hidden for 16 minutes; the lease of a chunk is three seconds (`HOST_WORKER__LEASE_SECONDS`).
    cloud.aws.set_clock(1000.0);
    thread::sleep(Duration::from_secs(3));
    let mut runtime = Runtime::start(&cloud);
    runtime.ready();
    finish(&cloud, &mut runtime);
    let job = cloud.ended(&shop);
    cloud.is_complete(&shop, &job);
    let all = cloud.marqo.documents(&shop.index).len();
    assert!(seen < all, "the function was killed too late: {seen} of {all}");
}

/// Sends a message that is not host's, in a message group.
fn send(cloud: &Cloud, body: &str, group: &str) {
    let client = cloud.clients().sqs;
    block_on(async {
        let url = client.get_queue_url().queue_name(QUEUE).send().await.unwrap().queue_url.unwrap();
        let sent = client.send_message().queue_url(url).message_body(body).message_group_id(group);
        sent.message_deduplication_id(format!("{:x}", body.len())).send().await.unwrap();
    });
}

#[test]
fn a_message_of_another_program_is_worked_and_an_unreadable_one_is_delivered_again() {
    let (cloud, shop, _) = published(Duration::ZERO);
    let mut runtime = Runtime::start(&cloud);
    runtime.ready();
    finish(&cloud, &mut runtime);
    let written = cloud.marqo.documents(&shop.index).len();

    let key = format!("shopify/{}/bulk/theirs/chunk_0000.jsonl", shop.id);
    cloud.object(&key, Some(b"{\"_id\":\"t1\",\"title\":\"a\"}\n{\"_id\":\"t2\",\"title\":\"b\"}\n"));
    let of_other_program = json!({
        "job_id": "theirs",
        "shop_id": shop.id,
        "index_name": shop.index,
        "operation": "ADD_DOCUMENTS",
        "s3_bucket": cloud.bucket(),
        "s3_key": key,
    });
    send(&cloud, &of_other_program.to_string(), &shop.id);
    send(&cloud, "not for us", "others");
    let records = cloud.receive(QUEUE);
    assert_eq!(records.len(), 2);
    let unreadable = records.iter().find(|record| record["body"] == "not for us").unwrap();
    let left = runtime.invoke(&json!({"Records": records}), HOUR);
    assert_eq!(left, [unreadable["messageId"].as_str().unwrap()]);
    assert_eq!(cloud.marqo.documents(&shop.index).len(), written + 2);

    let table = cloud.jobs_table();
    let locator = block_on(table.get(&Key::new("JOB#theirs", "RECORD"))).unwrap().unwrap();
    let key = Key::new(locator.text("record_pk").unwrap(), locator.text("record_sk").unwrap());
    let record = block_on(table.get(&key)).unwrap().unwrap();
    assert_eq!((record.text("job_id"), record.text("status")), (Some("theirs"), Some("COMPLETED")));
    assert_eq!((record.number("total_items"), record.number("processed")), (Some(2), Some(2)));
    let listed = cloud.host(&["dlq", "list", "--shop", &shop.id, "--output", "json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!((&listed[0]["code"], &listed[0]["place"]), (&json!("unreadable-message"), &json!("queue")));
}
