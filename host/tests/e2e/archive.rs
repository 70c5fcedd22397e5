//! Full syncs (runs whose export is the whole shop) into a Marqo index: what the shop does not have any more leaves the
//! index.

use crate::support::{RunOutput, SHOP, SHOPIFY, TestDir, interrupt, lines, product, run_output};
use marqo_stand_in::{Fault, FaultRule, Operation, Options, StandIn};
use serde_json::Value;
use std::{
    process::Command,
    time::{Duration, Instant},
};

const INDEX: &str = "shop";
/// Times at which a product was changed.
const OLD: &str = "2026-01-01T00:00:00Z";
const NEW: &str = "2026-01-02T00:00:00Z";

fn export(numbers: impl IntoIterator<Item = u32>, at: &str) -> String {
    let product = |number: u32| product(number, &format!("Mug {number}"), at);
    lines(&numbers.into_iter().flat_map(product).collect::<Vec<_>>())
}

/// A shop whose products go to a stand-in for a Marqo server.
struct Shop {
    test_dir: TestDir,
    server: StandIn,
}

impl Shop {
    fn new() -> Self {
        let test_dir = TestDir::new();
        let options = Options { indexes: vec![INDEX.to_owned()], ..Options::default() };
        let server = StandIn::start(options).unwrap();
        let put = ["settings", "put", INDEX, "--data-dir", "data", "--endpoint", server.url()];
        let output = test_dir.host(&put);
        assert_eq!(output.code, Some(0), "{output:?}");
        Self { test_dir, server }
    }

    fn command(&self, more: &[&str]) -> Command {
        self.test_dir.run_command("export.jsonl", &[&["--target", "marqo", "--index", INDEX], more].concat())
    }

    fn run(&self, export: impl AsRef<[u8]>, more: &[&str]) -> RunOutput {
        self.test_dir.write("export.jsonl", export);
        run_output(self.command(more).output().unwrap())
    }

    fn archive(&self, more: &[&str]) -> RunOutput {
        let archive = ["catalog", "archive", "--target", "marqo", "--data-dir", "data"];
        self.test_dir.host(&[&archive, more].concat())
    }

    fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.server.documents(INDEX).keys().map(|id| id.parse().unwrap()).collect();
        ids.sort_unstable();
        ids
    }

    /// The newest jobs, among them those that remove what a sync did not have.
    fn jobs(&self) -> Vec<Value> {
        let listed = self.test_dir.host(&["jobs", "list", "--data-dir", "data", "--output", "json"]);
        listed.json().as_array().unwrap().clone()
    }
}

#[test]
fn a_full_sync_removes_what_the_shop_has_no_more() {
    let shop = Shop::new();
    let first = shop.run(export(1..=10, OLD), &["--full"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    // An export of a part removes nothing. What it adds, the next full sync may remove.
    assert_eq!(shop.run(export([5, 11], OLD), &[]).code, Some(0));
    assert_eq!(shop.ids(), Vec::from_iter(1..=11));
    let full = shop.run(export(1..=9, OLD), &["--full"]);
    assert_eq!(full.code, Some(0), "{full:?}");
    assert!(full.stderr.contains("2 documents left the index"), "{}", full.stderr);
    assert_eq!((shop.ids(), &full.json()["unchanged"]), (Vec::from_iter(1..=9), &9.into()));
    let jobs = shop.jobs();
    assert_eq!(
        (&jobs[0]["operation"], &jobs[0]["status"], &jobs[0]["deleted"], &jobs[0]["processed"]),
        (&"DELETE_DOCUMENTS".into(), &"COMPLETED".into(), &2.into(), &2.into())
    );
    // `jobs show` shows the sync, not the removal job that followed it.
    let shown = shop.test_dir.host(&["jobs", "show", "--data-dir", "data", "--output", "json"]).json();
    assert_eq!(shown["job_id"], full.json()["job_id"]);
    // Each names the other, and where its products came from.
    assert_eq!(
        (&jobs[0]["removes_missing_of"], &shown["removes_missing_of"]),
        (&shown["job_id"], &Value::Null)
    );
    assert_eq!(shown["removals"], Value::from(vec![jobs[0]["job_id"].clone()]));
    assert_eq!((&shown["full"], shown["sources"].as_array().unwrap().len()), (&true.into(), 1));
    let listed = shop.test_dir.host(&["jobs", "list", "--data-dir", "data"]).stdout;
    let rows: Vec<&str> = listed.lines().collect();
    let removal = format!("what job {} did not have", shown["job_id"].as_str().unwrap());
    assert!(rows[1].contains("  remove ") && rows[1].contains(&removal), "{listed}");
    assert!(rows[2].contains("  full sync ") && rows[2].contains("export.jsonl (as of "), "{listed}");
    // Nothing is left to remove, now or after the next sync; and products that come back are written again.
    let again = shop.archive(&[]);
    assert!(again.code == Some(0) && again.stderr.contains("no document that"), "{again:?}");
    let before = shop.jobs().len();
    let unchanged = shop.run(export(1..=9, OLD), &["--full"]);
    assert!(unchanged.code == Some(0) && !unchanged.stderr.contains("removed"), "{unchanged:?}");
    assert_eq!(shop.jobs().len(), before + 1);
    assert_eq!(shop.run(export(1..=11, OLD), &["--full"]).code, Some(0));
    assert_eq!(shop.ids(), Vec::from_iter(1..=11));
}

#[test]
fn half_an_export_removes_nothing_and_says_why() {
    let shop = Shop::new();
    assert_eq!(shop.run(export(1..=10, OLD), &["--full"]).code, Some(0));
    let whole = export(1..=10, OLD);
    for (half, code, reason, expected) in [
        (export(1..=6, OLD), 5, "too-many-missing", "4 of 10 products are missing"),
        // The product that was cut failed.
        (
            whole[..whole.len() - 700].to_owned(),
            4,
            "rejected-lines",
            "1 line of the export could not be read",
        ),
        (
            format!("{}{}\n", export(1..=9, OLD), product(10, "Mug", OLD)[1]),
            5,
            "orphans",
            "1 line belongs to a product",
        ),
        (String::new(), 5, "no-products", "its export has no products"),
    ] {
        let output = shop.run(&half, &["--full"]);
        assert_eq!(output.code, Some(code), "{output:?}");
        let job = output.json();
        assert_eq!(job["archive_refused"]["code"], reason, "{job}");
        assert!(job["archive_refused"]["message"].as_str().unwrap().contains(expected), "{job}");
        let id = job["job_id"].as_str().unwrap();
        let shown = shop.test_dir.host(&["jobs", "show", id, "--data-dir", "data"]).stdout;
        assert!(shown.contains("  archived   nothing: ") && shown.contains(expected), "{shown}");
        let report = shop.test_dir.host(&["jobs", "report", id, "--data-dir", "data"]).stdout;
        assert!(report.lines().next().unwrap().contains("\"nothing-archived\""), "{report}");
        let watched = shop.test_dir.host(&["jobs", "watch", id, "--data-dir", "data"]);
        assert_eq!(watched.code, Some(code), "{watched:?}");
        assert!(
            output.stderr.contains(&format!("nothing was archived: {expected}")),
            "{expected}: {output:?}"
        );
        let again = shop.archive(&[]);
        assert!(again.code == Some(5) && again.stderr.contains(expected), "{again:?}");
        // No operator is told to override a doubt about the export itself.
        let is_share = reason == "too-many-missing";
        assert_eq!(again.stderr.contains("--target marqo --dry-run"), is_share, "{again:?}");
        assert_eq!(again.stderr.contains("--force"), is_share, "{again:?}");
        if reason == "no-products" {
            assert_eq!(shop.archive(&["--force"]).code, Some(5));
        }
        assert_eq!(shop.ids().len(), 10, "{expected}");
    }
    // A source that breaks off (a truncated gzip file) fails the run.
    let broken = shop.run([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2], &["--full"]);
    assert_eq!((broken.code == Some(0), shop.ids().len()), (false, 10), "{broken:?}");
    // An operator can force it. Products that an earlier refusal left in the index are still known to be missing.
    let refused = shop.run(export(1..=6, OLD), &["--full"]).json();
    let listed = shop.archive(&["--dry-run"]);
    assert_eq!((ids(&listed), shop.ids().len()), (vec!["10", "7", "8", "9"], 10), "{listed:?}");
    assert!(listed.stdout.starts_with("10\tMug 10\tlast written by job "), "{listed:?}");
    assert!(listed.stderr.contains("4 of 10 documents"), "{listed:?}");
    let listed = shop.archive(&["--dry-run", "--output", "json"]).json();
    assert_eq!((&listed[0]["id"], &listed[0]["title"]), (&"10".into(), &"Mug 10".into()), "{listed}");
    let forced = shop.archive(&["--force"]);
    assert_eq!((forced.code, shop.ids()), (Some(0), Vec::from_iter(1..=6)), "{forced:?}");
    // An archiving that is made clears the reason.
    let id = refused["job_id"].as_str().unwrap();
    let shown = shop.test_dir.host(&["jobs", "show", id, "--data-dir", "data", "--output", "json"]).json();
    assert!(refused["archive_refused"].is_object() && shown["archive_refused"].is_null(), "{shown}");
}

/// The ids that a dry run lists.
fn ids(listed: &RunOutput) -> Vec<&str> {
    listed.stdout.lines().filter_map(|line| line.split('\t').next()).collect()
}

#[test]
fn products_that_failed_stay_and_missing_ones_are_removed() {
    let shop = Shop::new();
    assert_eq!(shop.run(export(1..=10, OLD), &["--full"]).code, Some(0));
    // The plug-in's limits refuse product 7, which does not become a document.
    shop.test_dir.write("host.toml", "[plugin.limits]\ndocument_bytes = 4096\n");
    let refused = export([7], OLD).replace("About Mug", &"x".repeat(5_000));
    let output = shop.run(export(1..=6, OLD) + &refused, &["--full"]);
    assert_eq!((output.code, shop.ids()), (Some(4), Vec::from_iter(1..=7)), "{output:?}");
    assert!(output.stderr.contains("3 documents left the index"), "{}", output.stderr);
    // The validator refuses all documents, so none of them is written.
    shop.test_dir.write("host.toml", "[plugin.config.validate]\nrequired = [\"barcode\"]\n");
    let failed = shop.run(export(1..=7, OLD), &["--full"]);
    assert_eq!((failed.code, shop.ids()), (Some(4), Vec::from_iter(1..=7)), "{failed:?}");
    std::fs::remove_file(shop.test_dir.path("host.toml")).unwrap();
    // Commands about the relational catalog are refused for another kind of index.
    for command in [&["status"][..], &["search", "mug"], &["migrate"], &["embed"]] {
        let asked = [&["catalog", "--target", "marqo", "--data-dir", "data"], command].concat();
        let asked = shop.test_dir.host(&asked);
        assert_eq!((asked.code, asked.stdout.as_str()), (Some(2), ""), "{asked:?}");
        assert!(asked.stderr.contains("the target is `marqo`"), "{asked:?}");
    }
    let jobs = shop.test_dir.host(&["jobs", "list", "--data-dir", "data"]).stdout;
    assert!(jobs.lines().all(|line| line.contains("  marqo  ") || line.contains("  target ")), "{jobs}");
    assert!(shop.jobs().iter().all(|job| job["target"] == "marqo"));
    // Product 7 is still known: the next full sync that does not have it removes it.
    assert_eq!(shop.run(export(1..=6, OLD), &["--full"]).code, Some(0));
    assert_eq!(shop.ids(), Vec::from_iter(1..=6));
}

#[test]
fn after_a_cancelled_full_sync_nothing_is_removed() {
    let shop = Shop::new();
    assert_eq!(shop.run(export(1..=10, OLD), &["--full"]).code, Some(0));
    shop.test_dir.write("export.jsonl", export(1..=9, OLD));
    let plugin = SHOPIFY.to_str().unwrap();
    let ingest = [
        "ingest",
        "export.jsonl",
        "--full",
        "--force",
        "--plugin",
        plugin,
        "--shop",
        SHOP,
        "--output",
        "json",
    ];
    let to = ["--target", "marqo", "--index", INDEX, "--data-dir", "data"];
    let job = shop.test_dir.host(&[&ingest[..], &to].concat()).json()["job_id"].as_str().unwrap().to_owned();
    let cancelled = shop.test_dir.host(&["jobs", "cancel", &job, "--data-dir", "data"]);
    assert_eq!(cancelled.code, Some(0), "{cancelled:?}");
    for force in [&[][..], &["--force"]] {
        let refused = shop.archive(force);
        assert!(refused.code == Some(5) && refused.stderr.contains("it was cancelled"), "{refused:?}");
    }
    assert_eq!(shop.ids().len(), 10);
    // `--full` is about an export, and without one it is refused.
    assert_eq!(shop.test_dir.host(&["run", "--full", "--data-dir", "data"]).code, Some(2));
}

#[test]
fn what_a_later_job_wrote_or_found_is_not_removed() {
    let shop = Shop::new();
    assert_eq!(shop.run(export(1..=10, OLD), &["--full"]).code, Some(0));
    // Too many are missing, so archiving waits for an operator; meanwhile other syncs go on.
    assert_eq!(shop.run(export(1..=6, OLD), &["--full"]).code, Some(5));
    assert_eq!(shop.run(export([9], NEW) + &export([8], OLD), &[]).code, Some(0));
    assert_eq!(ids(&shop.archive(&["--dry-run"])), ["10", "7"]);
    assert_eq!(shop.archive(&["--force"]).code, Some(0));
    assert_eq!(shop.ids(), [1, 2, 3, 4, 5, 6, 8, 9]);
    // The next full sync removes them.
    assert_eq!(shop.run(export(1..=6, OLD), &["--full"]).code, Some(0));
    assert_eq!(shop.ids(), Vec::from_iter(1..=6));
}

#[test]
fn an_old_removal_keeps_its_document_until_a_full_sync_does_not_have_it() {
    let shop = Shop::new();
    assert_eq!(shop.run(export(1..=10, NEW), &["--full"]).code, Some(0));
    let draft = export([10], OLD).replace("ACTIVE", "DRAFT");
    let conflict = shop.run(export(1..=9, NEW) + &draft, &["--full"]);
    assert_eq!((conflict.code, shop.ids().len()), (Some(3), 10), "{conflict:?}");
    assert_eq!(shop.run(export(1..=9, NEW), &["--full"]).code, Some(0));
    assert_eq!(shop.ids(), Vec::from_iter(1..=9));
}

#[test]
fn a_removal_that_the_server_refused_is_resumed_by_the_next_run() {
    let shop = Shop::new();
    assert_eq!(shop.run(export(1..=10, OLD), &["--full"]).code, Some(0));
    shop.server.set_faults(&[FaultRule::new(Fault::Gateway { status: 403 }).on(Operation::Delete)]);
    let stopped = shop.run(export(1..=8, OLD), &["--full"]);
    assert_eq!((stopped.code, shop.ids().len()), (Some(1), 10), "{stopped:?}");
    shop.server.set_faults(&[]);
    assert_eq!(shop.run(export(1..=8, OLD), &["--full"]).code, Some(0));
    assert_eq!(shop.ids(), Vec::from_iter(1..=8));
}

#[test]
fn an_interrupt_does_not_wait_for_a_slow_read_of_the_index() {
    let shop = Shop::new();
    assert_eq!(shop.run(export(1..=10, OLD), &["--full"]).code, Some(0));
    assert_eq!(shop.run(export(1..=6, OLD), &["--full"]).code, Some(5));
    shop.server.set_faults(&[FaultRule::new(Fault::Slow { ms: 20_000 }).on(Operation::GetMany)]);
    let archive = ["catalog", "archive", "--target", "marqo", "--data-dir", "data", "--force"];
    let child = shop.test_dir.command(&archive).spawn().unwrap();
    while shop.server.running() == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    interrupt(child.id());
    let interrupted = run_output(child.wait_with_output().unwrap());
    assert_eq!((interrupted.code, shop.ids().len()), (Some(130), 10), "{interrupted:?}");
    assert!(interrupted.stderr.contains("interrupted before anything was archived"), "{interrupted:?}");
    shop.server.set_faults(&[]);
    let forced = shop.archive(&["--force"]);
    assert_eq!((forced.code, shop.ids()), (Some(0), Vec::from_iter(1..=6)), "{forced:?}");
}

#[test]
fn killed_full_syncs_remove_what_undisturbed_ones_do() {
    let kills = std::env::var("HOST_TEST_ARCHIVE_KILLS").map_or(8, |text| text.parse().unwrap());
    let mut seed =
        std::env::var("HOST_TEST_SEED").map_or(u64::from(std::process::id()), |text| text.parse().unwrap());
    eprintln!("HOST_TEST_SEED={seed} {kills} kills");
    // SplitMix64, so that the printed seed repeats the moments.
    let mut random = move |below: u64| {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (bits ^ (bits >> 31)) % below.max(1)
    };
    let shop = Shop::new();
    // Many chunks of removals, each slow, so that a kill meets some.
    shop.test_dir.write("host.toml", "[ingest]\nchunk_documents = 4\nlanes = 2\n");
    shop.server.set_faults(&[FaultRule::new(Fault::Slow { ms: 20 }).on(Operation::Delete)]);
    assert_eq!(shop.run(export(1..=200, OLD), &["--full"]).code, Some(0));
    let started = Instant::now();
    assert_eq!(shop.run(export(1..=160, OLD), &["--full"]).code, Some(0));
    let usual = started.elapsed();
    assert_eq!(shop.ids(), Vec::from_iter(1..=160));

    assert_eq!(shop.run(export(1..=200, OLD), &["--full"]).code, Some(0));
    shop.test_dir.write("export.jsonl", export(1..=160, OLD));
    for _ in 0..kills {
        let mut child = shop.command(&["--full"]).spawn().unwrap();
        // In the second half of the usual time or after it: the removals are at the end.
        let micros = usual.as_micros() as u64;
        let moment = Instant::now() + Duration::from_micros(micros / 2 + random(micros));
        while child.try_wait().unwrap().is_none() && Instant::now() < moment {
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let ids = shop.ids();
        assert!(ids.starts_with(&Vec::from_iter(1..=160)), "{ids:?}");
    }
    let last = run_output(shop.command(&["--full"]).output().unwrap());
    assert_eq!((last.code, shop.ids()), (Some(0), Vec::from_iter(1..=160)), "{last:?}");
}
