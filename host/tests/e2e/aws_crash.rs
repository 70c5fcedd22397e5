//! `kill -9` on workers and ingests in AWS, workers that stand still for longer than their lease (the time for which a
//! chunk is theirs), messages that come twice: in the end everything is as if nothing had happened.
//!
//! `tests/crash.sh --aws` runs the long form: 200 rounds.

use crate::{
    aws::{Cloud, Server, Shop, block_on},
    support::{Random, TestDir, setting},
};
use host_storage_aws::{Item, QueueService, Sqs, Table};
use marqo_stand_in::Options;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::PathBuf,
    process::{Child, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use xtask::sample::{SampleOptions, Shape};

const WORKERS: usize = 3;
/// The workers' lease, of a chunk's message in SQS and of its row in DynamoDB.
const LEASE: Duration = Duration::from_secs(2);
/// Longest time that a job may take to its end.
const TIMEOUT: Duration = Duration::from_secs(600);
/// Seconds after which SQS takes a message that is sent again for a new one: it remembers deduplication ids for five
/// minutes.
const DEDUPLICATION_SECONDS: f64 = 310.0;

/// Everything that a job leaves and that must not depend on crashes.
#[derive(Debug, PartialEq)]
struct FinalState {
    view: Value,
    documents: BTreeMap<String, Value>,
    report: String,
    chunks: BTreeMap<String, Vec<u8>>,
}

/// What the workers' logs say about the deliveries of a job's chunks.
#[derive(Debug, Default)]
struct Coverage {
    /// Deliveries of chunks that a worker holds or has completed.
    duplicates: usize,
    /// Chunks whose worker was gone or stood still for too long.
    takeovers: usize,
    /// Chunks that a worker found completed by another one and not yet counted.
    completed_by_another: BTreeSet<String>,
}

/// A process that is not waited for, and its log.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One job from its first ingest to its end.
struct Episode {
    cloud: Cloud,
    shop: Shop,
    ingest: Option<Running>,
    workers: Vec<Running>,
    logs: Vec<PathBuf>,
    /// Chunks whose worker was killed between storing their outcome and adding it to the job's counts.
    completing: BTreeSet<String>,
    /// Kills of workers and of ingests.
    kills: [u64; 2],
}

impl Episode {
    fn start(server: &Arc<Server>, account: u64, export: &str) -> Self {
        let shop =
            Shop { id: "tests.myshopify.com".into(), index: "shopify-tests".into(), source: export.into() };
        let options = Options {
            indexes: vec![shop.index.clone()],
            // A chunk is under way for long enough to be interrupted.
            latency: Duration::from_millis(100),
            ..Options::default()
        };
        let cloud = Cloud::on(server, account, options);
        cloud.put_settings(&shop);
        // Some products have no description, so that some documents fail.
        cloud.test_dir.write("host.toml", "[plugin.config.validate]\nrequired = [\"description\"]\n");
        let (ingest, workers) = (None, Vec::new());
        let (logs, completing) = (Vec::new(), BTreeSet::new());
        let mut episode = Self { cloud, shop, ingest, workers, logs, completing, kills: [0; 2] };
        episode.ingest = Some(episode.ingest());
        for _ in 0..WORKERS {
            let worker = episode.worker();
            episode.workers.push(worker);
        }
        episode
    }

    fn spawn(&mut self, mut command: std::process::Command) -> Running {
        let log = self.cloud.test_dir.path(&format!("log-{}", self.logs.len()));
        self.logs.push(log.clone());
        command
            .env("HOST_LOG", "warn,host_pipeline::worker=debug,host_storage_aws::jobs=info")
            .stdout(Stdio::null());
        command.stderr(File::create(&log).unwrap());
        Running { child: command.spawn().unwrap(), log }
    }

    fn ingest(&mut self) -> Running {
        let command = self.cloud.export("ingest", &self.shop);
        self.spawn(command)
    }

    fn worker(&mut self) -> Running {
        let data = format!("data-worker-{}", self.logs.len());
        let mut command = self.cloud.command(&[
            "work",
            "--shop",
            &self.shop.id,
            "--data-dir",
            &data,
            "--log-format",
            "json",
        ]);
        command.env("HOST_WORKER__LEASE_SECONDS", LEASE.as_secs().to_string());
        self.spawn(command)
    }

    fn job(&self) -> Option<Value> {
        let shown = self.cloud.host(&["jobs", "show", "--shop", &self.shop.id, "--output", "json"]);
        (shown.code == Some(0)).then(|| shown.json())
    }

    fn kill_ingest(&mut self) {
        if let Some(mut ingest) = self.ingest.take() {
            ingest.kill();
            self.kills[1] += 1;
            self.ingest = Some(self.ingest());
        }
    }

    /// Whether the ingest still runs.
    fn is_ingesting(&mut self) -> bool {
        self.ingest.as_mut().is_some_and(|ingest| ingest.child.try_wait().unwrap().is_none())
    }

    fn kill_worker(&mut self, number: usize) {
        self.workers[number].kill();
        self.kills[0] += 1;
        self.workers[number] = self.worker();
    }

    /// Freezes all workers until one is found between completing a chunk and counting it, and kills all of them there.
    fn kill_while_completing(&mut self, random: &mut Random) {
        for _ in 0..200 {
            self.workers.iter().for_each(|worker| worker.signal(Signal::STOP));
            let found = self.completing_chunks();
            if !found.is_empty() {
                self.completing.extend(found);
                (0..WORKERS).for_each(|number| self.kill_worker(number));
                return;
            }
            self.workers.iter().for_each(|worker| worker.signal(Signal::CONT));
            thread::sleep(Duration::from_millis(random.below(40)));
        }
    }

    /// Chunks whose outcome is stored and not yet counted: their rows have the state `SETTLING`.
    fn completing_chunks(&self) -> Vec<String> {
        let Some(job) = self.job() else { return Vec::new() };
        let partition = format!("JOB#{}", job["job_id"].as_str().unwrap());
        let rows = block_on(self.cloud.jobs_table().query(&partition, "CHUNK#", false, None)).unwrap();
        let is_completing = |row: &&Item| row.text("state").unwrap().eq_ignore_ascii_case("settling");
        let key = |row: &Item| {
            let chunk: Value = serde_json::from_str(row.text("chunk").unwrap()).unwrap();
            format!("{} {}", chunk["job_id"].as_str().unwrap(), chunk["seq"])
        };
        rows.iter().filter(is_completing).map(key).collect()
    }

    /// Waits until the ingest and the job have ended and no message is left.
    fn wait_for_end(&mut self) {
        let started = Instant::now();
        loop {
            if let Some(ingest) = &mut self.ingest
                && let Some(status) = ingest.child.try_wait().unwrap()
            {
                let log = std::fs::read_to_string(&ingest.log).unwrap();
                assert!(status.success(), "the ingest ended with {status}: {log}");
                self.ingest = None;
            }
            if self.has_ended() && self.ingest.is_none() && self.messages() == 0 {
                return;
            }
            assert!(
                started.elapsed() < TIMEOUT,
                "the job does not end: {:?}, {} messages",
                self.job(),
                self.messages()
            );
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn has_ended(&self) -> bool {
        self.job().is_some_and(|job| !["PENDING", "IN_PROGRESS"].contains(&job["status"].as_str().unwrap()))
    }

    /// Messages in the queue and in its dead-letter queue.
    fn messages(&self) -> u64 {
        let queues = Sqs::new(self.cloud.clients().sqs);
        let depth = async |name| {
            let url = queues.find(name).await.unwrap().unwrap();
            queues.depth(&url).await.unwrap().total()
        };
        block_on(async {
            depth("dev-ecom-indexer-tests_myshopify_com.fifo").await
                + depth("dev-ecom-indexer-tests_myshopify_com-dlq.fifo").await
        })
    }

    fn final_state(&self) -> FinalState {
        let mut view = self.job().unwrap();
        let job = view["job_id"].as_str().unwrap().to_owned();
        for key in ["job_id", "elapsed_ms", "created_at", "ended_at", "report"] {
            view.as_object_mut().unwrap().remove(key);
        }
        let report = self.cloud.host(&["jobs", "report", &job]);
        assert_eq!(report.code, Some(0), "{report:?}");
        let documents = self.cloud.marqo.documents(&self.shop.index).into_iter().map(|(id, stored)| {
            let mut fields = stored.sent;
            fields.as_object_mut().unwrap().remove("_mq_job_id");
            (id, fields)
        });
        let documents = documents.collect();
        FinalState { view, documents, report: report.stdout.replace(&job, "JOB"), chunks: self.objects(&job) }
    }

    /// The job's objects in S3 without reports, by key.
    fn objects(&self, job: &str) -> BTreeMap<String, Vec<u8>> {
        let client = self.cloud.clients().s3;
        let (bucket, prefix) = (self.cloud.bucket(), "shopify/tests.myshopify.com/bulk/");
        block_on(async {
            let listed = client.list_objects_v2().bucket(&bucket).prefix(prefix).send().await.unwrap();
            let mut objects = BTreeMap::new();
            for object in listed.contents() {
                let key = object.key().unwrap();
                // Each claim of a chunk has a report of its own; those that count are compared as one report.
                if key.contains("/report_") {
                    continue;
                }
                let got = client.get_object().bucket(&bucket).key(key).send().await.unwrap();
                let bytes = got.body.collect().await.unwrap().to_vec();
                objects.insert(key.replace(job, "JOB"), bytes);
            }
            objects
        })
    }

    /// What the workers' logs say. `found` is the state in which a worker found a chunk.
    fn coverage(&self) -> Coverage {
        let mut seen = Coverage::default();
        for log in &self.logs {
            let log = std::fs::read_to_string(log).unwrap();
            // The last line of a killed worker may be cut.
            for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
                match line["found"].as_str() {
                    Some("again") => seen.takeovers += 1,
                    Some("held" | "done") => seen.duplicates += 1,
                    Some("half-completed") => {
                        seen.completed_by_another.insert(format!(
                            "{} {}",
                            line["job_id"].as_str().unwrap(),
                            line["seq"]
                        ));
                    }
                    _ => {}
                }
            }
        }
        seen
    }
}

/// An export of so many products, a line that is not JSON, and a variant of a product that is not there.
fn export(test_dir: &TestDir, products: u64) -> String {
    let mut bytes = Vec::new();
    let recipe = SampleOptions {
        seed: 1,
        shape: Shape::Small,
        grouped: true,
        products,
        bytes: u64::MAX,
        bad_lines: 0.0,
    };
    xtask::sample::write(&recipe, &mut bytes).unwrap();
    bytes.extend_from_slice(
        b"this line is broken\n{\"id\":\"x\",\"__parentId\":\"gid://shopify/Product/404\"}\n",
    );
    test_dir.write("export.jsonl", bytes).to_str().unwrap().to_owned()
}

#[test]
fn killed_workers_and_ingests_lose_and_double_nothing() {
    let wanted = setting("HOST_TEST_AWS_ROUNDS", 6);
    let products = setting("HOST_TEST_AWS_PRODUCTS", 300);
    eprintln!("{wanted} rounds, {products} products a job");
    let mut random = Random::new();
    let test_dir = TestDir::new();
    let export = export(&test_dir, products);
    let server = Server::start();
    let mut clock = 0.0;

    let mut undisturbed = Episode::start(&server, 100_000_000_000, &export);
    undisturbed.wait_for_end();
    let expected = undisturbed.final_state();
    drop(undisturbed);
    assert_eq!(expected.view["status"], "FAILED", "some products lack a field: {}", expected.view);
    assert!(expected.documents.len() > 50, "{}", expected.view);

    let (mut jobs, mut rounds, mut stood_still, mut jumps) = (0, 0, 0, 0);
    let (mut duplicates, mut takeovers, mut completed_by_another, mut killed) = (0, 0, 0, [0; 2]);
    let mut has_missed = true;
    // A short run goes on for a while if chance has not yet led to a duplicate, a takeover and a completion by another
    // worker.
    while rounds < wanted || (has_missed && rounds < wanted + 50) {
        jobs += 1;
        let mut episode = Episode::start(&server, 100_000_000_000 + jobs, &export);
        while !episode.has_ended() {
            thread::sleep(Duration::from_millis(random.below(700)));
            let before = episode.kills;
            match random.below(6) {
                // An ingest is short, so that it is killed rather often while it runs.
                0 | 1 if episode.is_ingesting() => episode.kill_ingest(),
                0..=2 => episode.kill_worker(random.below(WORKERS as u64) as usize),
                3 => episode.kill_while_completing(&mut random),
                4 => {
                    // The queue's clock jumps: a message becomes visible while its worker is at work, or one that is
                    // sent again is taken for new.
                    clock +=
                        if random.below(2) == 0 { DEDUPLICATION_SECONDS } else { 2.0 * LEASE.as_secs_f64() };
                    server.set_clock(clock);
                    jumps += 1;
                }
                _ => {
                    let worker = &episode.workers[random.below(WORKERS as u64) as usize];
                    worker.signal(Signal::STOP);
                    thread::sleep(LEASE + Duration::from_millis(random.below(1_000)));
                    worker.signal(Signal::CONT);
                    stood_still += 1;
                }
            }
            rounds += u64::from(episode.kills != before);
        }
        episode.wait_for_end();
        let found = episode.final_state();
        assert_eq!(found.view, expected.view);
        assert!(found.report == expected.report, "reports differ:\n{}\n{}", found.report, expected.report);
        assert!(found.documents == expected.documents, "documents differ");
        assert!(found.chunks == expected.chunks, "objects differ");
        let seen = episode.coverage();
        duplicates += seen.duplicates;
        takeovers += seen.takeovers;
        completed_by_another += seen.completed_by_another.intersection(&episode.completing).count();
        has_missed = duplicates == 0 || takeovers == 0 || completed_by_another == 0;
        killed = [killed[0] + episode.kills[0], killed[1] + episode.kills[1]];
    }
    eprintln!(
        "{rounds} rounds in {jobs} jobs killed {} workers and {} ingests, {stood_still} workers stood still, the queue's \
         clock jumped {jumps} times: {duplicates} duplicate deliveries, {takeovers} takeovers, {completed_by_another} completed chunks \
         finished by another worker",
        killed[0], killed[1]
    );
    assert!(!has_missed, "the kills have not hit what they should");
    assert!(wanted < 50 || killed[1] > 0, "no ingest was killed");
}
