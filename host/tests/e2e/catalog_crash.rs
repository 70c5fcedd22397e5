//! `kill -9` at random moments of loading the relational catalog in PostgreSQL, of embedding and of archiving: the same
//! command resumes, and in the end everything is as if nothing had happened.

use crate::support::{RunOutput, TestDir, run_output};
use marqo_stand_in::embeddings::{Endpoint, EndpointAction};
use std::{
    process::Command,
    time::{Duration, Instant},
};
use tokio_postgres::NoTls;
use xtask::{
    postgres::Server,
    sample::{SampleOptions, Shape},
};

/// Queries for everything that must not depend on crashes, with the source's ids instead of row numbers, which may
/// differ.
const DUMP: [&str; 5] = [
    "SELECT concat_ws(' ', source_id, fields, version, content_hash, text_hash, status) FROM catalog.products ORDER BY 1",
    "SELECT concat_ws(' ', p.source_id, s.source_id, s.position, s.sku, s.price, s.rest)
    FROM catalog.skus s JOIN catalog.products p ON p.id = s.product_id ORDER BY 1",
    "SELECT concat_ws(' ', p.source_id, s.source_id, a.name, a.value) FROM catalog.attributes a
    JOIN catalog.skus s ON s.id = a.sku_id JOIN catalog.products p ON p.id = s.product_id ORDER BY 1",
    "SELECT concat_ws(' ', p.source_id, e.text_hash = p.text_hash, e.vector) FROM catalog.embeddings e
    JOIN catalog.products p ON p.id = e.product_id ORDER BY 1",
    "SELECT p.source_id FROM catalog.to_embed t JOIN catalog.products p ON p.id = t.product_id ORDER BY 1",
];

/// Query for products that have not as many SKUs as their document says: half written ones.
const HALF_WRITTEN: &str =
    "SELECT source_id FROM catalog.products p WHERE (fields ->> 'variant_count')::bigint
    <> (SELECT count(*) FROM catalog.skus WHERE product_id = p.id)";

/// A shop with a database of its own.
struct Shop {
    test_dir: TestDir,
    url: String,
    /// Address of the stand-in that makes embeddings.
    endpoint: String,
}

impl Shop {
    fn new(endpoint: &Endpoint) -> Self {
        let url = Server::shared().unwrap().database().unwrap();
        let shop = Self { test_dir: TestDir::new(), url, endpoint: endpoint.url().to_owned() };
        assert_eq!(run_output(shop.command(&["catalog", "migrate"]).output().unwrap()).code, Some(0));
        shop
    }

    fn with_settings(&self, mut command: Command) -> Command {
        let settings = [("URL", &self.url), ("EMBEDDINGS__URL", &self.endpoint)];
        command.envs(settings.map(|(name, value)| (format!("HOST_CATALOG__{name}"), value)));
        // Many small requests, so that a kill meets some.
        command.env("HOST_CATALOG__EMBEDDINGS__BATCH_SIZE", "10");
        command
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.with_settings(self.test_dir.command(arguments));
        command.args(["--data-dir", "data"]);
        command
    }

    fn load(&self, export: &str) -> Command {
        self.with_settings(self.test_dir.run_command(export, &["--full"]))
    }

    fn query(&self, sql: &str) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
            tokio::spawn(connection);
            client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
        })
    }
}

fn sample(test_dir: &TestDir, name: &str, seed: u64, products: u64) -> String {
    let recipe =
        SampleOptions { seed, shape: Shape::Real, grouped: true, products, bytes: u64::MAX, bad_lines: 0.0 };
    let mut bytes = Vec::new();
    xtask::sample::write(&recipe, &mut bytes).unwrap();
    test_dir.write(name, bytes).to_str().unwrap().to_owned()
}

/// Starts a command `kills` times and kills it at a random moment of its usual time, then runs it to its end.
fn killed(
    shop: &Shop,
    kills: u32,
    usual: Duration,
    random: &mut impl FnMut(u64) -> u64,
    command: impl Fn() -> Command,
) -> RunOutput {
    for _ in 0..kills {
        let mut child = command().spawn().unwrap();
        let moment = Instant::now() + Duration::from_micros(random(usual.as_micros() as u64));
        while child.try_wait().unwrap().is_none() && Instant::now() < moment {
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(shop.query(HALF_WRITTEN), Vec::<String>::new());
    }
    run_output(command().output().unwrap())
}

#[test]
fn killed_loads_embeddings_and_archivings_end_like_undisturbed_ones() {
    let kills = std::env::var("HOST_TEST_CATALOG_KILLS").map_or(4, |text| text.parse().unwrap());
    let mut seed =
        std::env::var("HOST_TEST_SEED").map_or(u64::from(std::process::id()), |text| text.parse().unwrap());
    eprintln!("HOST_TEST_SEED={seed} {kills} kills a step");
    // SplitMix64, so that the printed seed repeats the moments.
    let mut random = move |below: u64| {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (bits ^ (bits >> 31)) % below.max(1)
    };
    let endpoint = Endpoint::start(|_, _| EndpointAction::AnswerAfter(Duration::from_millis(5))).unwrap();
    let exports = TestDir::new();
    let all = sample(&exports, "all.jsonl", 1, 600);
    let less = sample(&exports, "less.jsonl", 1, 450);

    let (undisturbed, disturbed) = (Shop::new(&endpoint), Shop::new(&endpoint));
    for export in [Some(&all), None, Some(&less), None] {
        let step = |shop: &Shop| match export {
            Some(export) => shop.load(export),
            None => shop.command(&["catalog", "embed"]),
        };
        let started = Instant::now();
        let expected = run_output(step(&undisturbed).output().unwrap());
        let usual = started.elapsed();
        assert_eq!(expected.code, Some(0), "{expected:?}");
        let found = killed(&disturbed, kills, usual, &mut random, || step(&disturbed));
        assert_eq!(found.code, Some(0), "{found:?}");
        for sql in DUMP {
            assert!(disturbed.query(sql) == undisturbed.query(sql), "{sql}");
        }
    }
    let archived = "SELECT source_id FROM catalog.products WHERE status = 'archived'";
    let waiting = "SELECT p.source_id FROM catalog.to_embed t JOIN catalog.products p ON p.id = t.product_id";
    assert!(disturbed.query(archived).len() > 50 && disturbed.query(waiting).is_empty());
}
