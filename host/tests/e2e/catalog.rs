//! Full syncs (runs whose export is the whole shop) into the relational catalog, in the data directory and in
//! PostgreSQL: archiving, searching, embeddings, and refusals.

use crate::support::{RunOutput, SHOP, SHOPIFY, TestDir, lines, product, run_output};
use marqo_stand_in::embeddings::{Endpoint, EndpointAction};
use serde_json::{Value, json};
use std::{
    fs::File,
    process::Command,
    time::{Duration, SystemTime},
};
use xtask::postgres::Server;

const OLD: &str = "2026-01-01T00:00:00Z";

fn export(numbers: impl IntoIterator<Item = u32>) -> String {
    let product = |number: u32| product(number, &format!("Mug {number}"), OLD);
    lines(&numbers.into_iter().flat_map(product).collect::<Vec<_>>())
}

/// A shop that is in the catalog.
struct Shop {
    test_dir: TestDir,
    /// The PostgreSQL database; `None` if the catalog is in the data directory.
    url: Option<String>,
}

impl Shop {
    fn embedded() -> Self {
        Self { test_dir: TestDir::new(), url: None }
    }

    fn postgres() -> Self {
        let shop =
            Self { test_dir: TestDir::new(), url: Some(Server::shared().unwrap().database().unwrap()) };
        let migrated = shop.host(&["catalog", "migrate", "--output", "json"]);
        assert_eq!(migrated.code, Some(0), "{migrated:?}");
        assert_eq!(migrated.json()["message"], migrated.stderr.trim_end(), "{migrated:?}");
        shop
    }

    fn with_url(&self, mut command: Command) -> Command {
        command.envs(self.url.iter().map(|url| ("HOST_CATALOG__URL", url)));
        command
    }

    fn host(&self, arguments: &[&str]) -> RunOutput {
        let mut command = self.with_url(self.test_dir.command(arguments));
        run_output(command.args(["--data-dir", "data"]).output().unwrap())
    }

    fn run_command(&self, more: &[&str]) -> Command {
        self.with_url(self.test_dir.run_command("export.jsonl", more))
    }

    fn run(&self, export: impl AsRef<[u8]>, more: &[&str]) -> RunOutput {
        self.test_dir.write("export.jsonl", export);
        run_output(self.run_command(more).output().unwrap())
    }

    fn status(&self) -> Value {
        self.host(&["catalog", "status", "--output", "json"]).json()
    }

    /// Numbers of active and archived products.
    fn counts(&self) -> (u64, u64) {
        let status = self.status();
        (status["active"].as_u64().unwrap(), status["archived"].as_u64().unwrap())
    }
}

fn a_full_sync_archives_what_the_shop_has_no_more(shop: &Shop) {
    let first = shop.run(export(1..=10), &[]);
    assert_eq!(first.code, Some(0), "{first:?}");
    // An export of a part archives nothing.
    assert_eq!(shop.run(export(1..=5), &[]).code, Some(0));
    assert_eq!(shop.counts(), (10, 0));
    let full = shop.run(export(1..=8), &["--full"]);
    assert_eq!(full.code, Some(0), "{full:?}");
    assert!(full.stderr.contains("2 documents left the index"), "{}", full.stderr);
    assert_eq!((shop.counts(), full.json()["unchanged"].as_u64()), ((8, 2), Some(8)));
    assert_eq!(shop.host(&["documents", "count"]).stdout, "8\n");
    assert_eq!(shop.host(&["documents", "get", "10"]).code, Some(2));
    let archived = shop.host(&["catalog", "search", "mug", "10"]);
    assert_eq!((archived.code, archived.stdout.as_str()), (Some(0), ""));
    assert!(archived.stderr.contains("is found by `mug 10`"), "{archived:?}");
    let back = shop.run(export(1..=10), &["--full"]);
    assert_eq!((back.code, shop.counts()), (Some(0), (10, 0)));
    let loads = shop.status()["loads"].as_array().unwrap().clone();
    let told: Vec<_> = loads.iter().map(|load| (load["full"] == true, load["archived"].clone())).collect();
    assert_eq!(told, [(true, json!(0)), (true, json!(2)), (false, json!(0)), (false, json!(0))]);
}

/// An export that was taken in the morning and is read again in the evening says nothing of what was added or deleted
/// at noon.
#[test]
fn an_older_full_export_neither_archives_nor_brings_back_what_is_newer() {
    let shop = Shop::embedded();
    assert_eq!(shop.run(export(1..=8), &["--full"]).code, Some(0));
    let noon = shop.run(export((2..=8).chain(9..=10)), &["--full"]);
    assert_eq!((noon.code, shop.counts()), (Some(0), (9, 1)), "{noon:?}");
    // An export counts as taken when its file was last modified.
    shop.test_dir.write("export.jsonl", export(1..=8));
    let morning = SystemTime::now() - Duration::from_secs(6 * 3_600);
    File::options()
        .append(true)
        .open(shop.test_dir.path("export.jsonl"))
        .unwrap()
        .set_modified(morning)
        .unwrap();
    let again = run_output(shop.run_command(&["--full"]).output().unwrap());
    assert_eq!((again.code, shop.counts()), (Some(3), (9, 1)), "{again:?}");
    assert_eq!(again.json()["conflict"], 1, "{again:?}");
    assert!(again.stderr.contains("kept 2 products"), "{again:?}");
    assert_eq!(again.json()["kept_newer"], 2, "{again:?}");
    let why = shop.host(&["why", "1", "--output", "json"]).json();
    assert_eq!(
        (&why["state"], &why["refusal"]["code"]),
        (&json!("absent"), &json!("removed-product")),
        "{why}"
    );
    // With `--exported-at` the operator says when it was taken.
    let corrected = shop.run(export(1..=8), &["--full", "--exported-at", "2026-01-01T00:00:00Z"]);
    assert_eq!((corrected.code, shop.counts()), (Some(3), (9, 1)), "{corrected:?}");
    let wrong = shop.run(export(1..=8), &["--full", "--exported-at", "yesterday"]);
    let said = "error: invalid value 'yesterday' for '--exported-at <TIME>': give a date and time with its offset from UTC, such as \
                2026-05-04T09:00:00Z\n";
    assert!(wrong.code == Some(2) && wrong.stderr.starts_with(said), "{wrong:?}");
    let future = shop.run(export(1..=8), &["--full", "--exported-at", "2126-01-01T00:00:00Z"]);
    assert_eq!(future.code, Some(2), "{future:?}");
    assert!(future.stderr.contains("is in the future"), "{future:?}");
    let now = shop.run(export(1..=8), &["--full"]);
    assert_eq!((now.code, shop.counts()), (Some(0), (8, 2)), "{now:?}");
}

#[test]
fn a_full_sync_archives_in_the_embedded_catalog() {
    a_full_sync_archives_what_the_shop_has_no_more(&Shop::embedded());
}

#[test]
fn a_full_sync_archives_in_postgresql() {
    a_full_sync_archives_what_the_shop_has_no_more(&Shop::postgres());
}

#[test]
fn half_an_export_archives_nothing_and_says_why() {
    let shop = Shop::embedded();
    assert_eq!(shop.run(export(1..=10), &["--full"]).code, Some(0));
    let whole = export(1..=10);
    for (half, expected, can_be_forced) in [
        (export(1..=6), "4 of 10 products are missing", true),
        (whole[..whole.len() - 700].to_owned(), "1 line of the export could not be read", true),
        (format!("{}{}\n", export(1..=9), product(10, "Mug", OLD)[1]), "1 line belongs to a product", true),
        // An export without products cannot be forced.
        (String::new(), "its export has no products", false),
    ] {
        let output = shop.run(&half, &["--full"]);
        assert!(
            output.stderr.contains(&format!("nothing was archived: {expected}")),
            "{expected}: {output:?}"
        );
        assert_eq!(shop.counts(), (10, 0), "{expected}");
        let newest = &shop.status()["loads"][0];
        assert!(newest["remark"].as_str().unwrap().contains(expected), "{newest}");
        let again = shop.host(&["catalog", "archive"]);
        assert!(again.code == Some(5) && again.stderr.contains(expected), "{again:?}");
        assert_eq!(again.stderr.contains("--force"), expected.contains("missing"), "{again:?}");
        if !can_be_forced {
            assert_ne!(shop.host(&["catalog", "archive", "--force"]).code, Some(0));
        }
        assert_eq!(shop.counts(), (10, 0), "{expected}");
    }
    // A source that breaks off (a truncated gzip file) fails the run.
    let broken = shop.test_dir.write("export.jsonl.gz", [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2]);
    let output =
        run_output(shop.test_dir.run_command(broken.to_str().unwrap(), &["--full"]).output().unwrap());
    assert_eq!((output.code == Some(0), shop.counts()), (false, (10, 0)));
    // An operator can force it.
    assert_eq!(shop.run(export(1..=6), &["--full"]).code, Some(5));
    let listed = shop.host(&["catalog", "archive", "--dry-run"]);
    let ids: Vec<&str> = listed.stdout.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!((ids, shop.counts()), (vec!["10", "7", "8", "9"], (10, 0)));
    assert!(listed.stderr.contains("4 of 10 documents"), "{listed:?}");
    let forced = shop.host(&["catalog", "archive", "--force", "--output", "json"]);
    assert_eq!((forced.code, shop.counts()), (Some(0), (6, 4)), "{forced:?}");
    assert_eq!(
        ["outcome", "documents"].map(|key| forced.json()[key].clone()),
        [Value::from("archived"), 4.into()],
        "{forced:?}"
    );
    assert_eq!(shop.status()["loads"][0]["archived"], 4);
}

fn products_that_failed_stay_and_missing_ones_are_archived(shop: &Shop) {
    assert_eq!(shop.run(export(1..=10), &["--full"]).code, Some(0));
    // The plug-in's limits refuse product 7, which does not become a document.
    shop.test_dir.write("host.toml", "[plugin.limits]\ndocument_bytes = 4096\n");
    let refused = export([7]).replace("About Mug", &"x".repeat(5_000));
    let output = shop.run(export(1..=6) + &refused, &["--full"]);
    assert_eq!((output.code, shop.counts()), (Some(4), (7, 3)), "{output:?}");
    assert_eq!(shop.host(&["documents", "get", "7"]).code, Some(0));
    // The validator refuses all documents, so none of them is written.
    shop.test_dir.write("host.toml", "[plugin.config.validate]\nrequired = [\"barcode\"]\n");
    let failed = shop.run(export(1..=6), &["--full"]);
    assert_eq!((failed.code, shop.counts()), (Some(4), (6, 4)), "{failed:?}");
}

#[test]
fn what_failed_stays_in_the_embedded_catalog() {
    products_that_failed_stay_and_missing_ones_are_archived(&Shop::embedded());
}

#[test]
fn what_failed_stays_in_postgresql() {
    products_that_failed_stay_and_missing_ones_are_archived(&Shop::postgres());
}

#[test]
fn a_removal_that_is_older_than_the_product_archives_nothing() {
    let shop = Shop::embedded();
    assert_eq!(shop.run(export(1..=10), &["--full"]).code, Some(0));
    let draft = lines(&product(10, "Mug 10", "2025-01-01T00:00:00Z")).replace("ACTIVE", "DRAFT");
    let output = shop.run(export(1..=9) + &draft, &["--full"]);
    assert_eq!((output.code, &output.json()["conflict"]), (Some(3), &json!(1)), "{output:?}");
    assert_eq!(shop.counts(), (10, 0), "{output:?}");
}

#[test]
fn a_full_sync_that_only_updates_is_refused_before_anything_is_written() {
    let shop = Shop::embedded();
    let output = shop.run(export(1..=1), &["--full", "--operation", "update"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("--full cannot be combined with --operation update"), "{}", output.stderr);
    assert!(!shop.test_dir.path("data").exists());
    shop.run(export(1..=1), &[]);
    let output = shop.host(&["catalog", "archive"]);
    assert_eq!(output.code, Some(2), "{output:?}");
}

#[test]
fn a_database_without_catalog_is_told_apart_from_one_that_cannot_be_reached() {
    let server = Server::shared().unwrap();
    let shop = Shop { test_dir: TestDir::new(), url: Some(server.database().unwrap()) };
    let output = shop.run(export(1..=1), &[]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(
        output.stderr.contains("has no catalog yet; `host catalog migrate --data-dir data` creates it"),
        "{}",
        output.stderr
    );
    for (url, expected) in [
        ("postgres://postgres:s3cret@127.0.0.1:1/x", "database x on 127.0.0.1 cannot be reached"),
        ("nonsense s3cret", "is not a PostgreSQL URL"),
    ] {
        let shop = Shop { test_dir: TestDir::new(), url: Some(url.to_owned()) };
        let output = shop.host(&["catalog", "migrate"]);
        assert!(output.stderr.contains(expected) && !output.stderr.contains("s3cret"), "{}", output.stderr);
        let shown = shop.host(&["config", "show"]);
        assert!(shown.stdout.contains("catalog.url") && !shown.stdout.contains("s3cret"), "{}", shown.stdout);
    }
    let (one, two) = (shop.host(&["catalog", "migrate"]), shop.host(&["catalog", "migrate"]));
    assert!(one.stderr.contains("created the catalog"), "{one:?}");
    assert!(two.stderr.contains("is up to date"), "{two:?}");
    assert_eq!(shop.run(export(1..=1), &[]).code, Some(0));
}

#[test]
fn products_are_found_by_words_and_by_meaning() {
    for shop in [Shop::embedded(), Shop::postgres()] {
        let titles = ["Red shoes", "Blue shoes", "Red hat"].iter().zip(1..);
        let products = titles.flat_map(|(title, number)| product(number, title, OLD)).collect::<Vec<_>>();
        assert_eq!(shop.run(lines(&products), &[]).code, Some(0));
        assert_eq!(shop.host(&["catalog", "search", "red shoes"]).stdout, "1  Red shoes\n");
        assert_eq!(shop.host(&["catalog", "search", "sho", "blu"]).stdout, "2  Blue shoes\n");
        assert_eq!(shop.host(&["catalog", "search", "red"]).stdout, "3  Red hat\n1  Red shoes\n");
        for (limit, ids, says_more) in [("2", "1\n2\n", true), ("3", "1\n2\n3\n", false)] {
            let listed = shop.host(&["documents", "list", "--limit", limit]);
            let more = "there are more: this list ends at --limit 2; --after 2 prints those that follow\n";
            assert_eq!(
                (listed.stdout.as_str(), listed.stderr.contains(more)),
                (ids, says_more),
                "{listed:?}"
            );
        }
        let refused = shop.host(&["catalog", "embed"]);
        assert!(
            refused.code == Some(2) && refused.stderr.contains("`catalog.embeddings.url` is not set"),
            "{refused:?}"
        );

        let endpoint = Endpoint::start(|_, _| EndpointAction::Answer).unwrap();
        let embedding = |arguments: &[&str]| {
            let mut command = shop.with_url(shop.test_dir.command(arguments));
            command.args(["--data-dir", "data"]).env("HOST_CATALOG__EMBEDDINGS__URL", endpoint.url());
            run_output(command.env("HOST_CATALOG__EMBEDDINGS__KEY", "\"s3cret\"").output().unwrap())
        };
        let embedded = embedding(&["catalog", "embed"]);
        assert!(
            embedded.code == Some(0) && embedded.stderr.contains("3 products were embedded"),
            "{embedded:?}"
        );
        assert_eq!(endpoint.calls()[0].authorization.as_deref(), Some("Bearer s3cret"));
        let embedded = embedding(&["catalog", "search", "--similar", "--limit", "1", "hat"]);
        assert_eq!(embedded.stdout, "3  Red hat\n", "{embedded:?}");
        let status = shop.host(&["catalog", "status"]);
        assert!(status.stdout.contains("embeddings  3 current, 0 pending"), "{}", status.stdout);
        assert!(status.stdout.contains("3 active, 0 archived"), "{}", status.stdout);
        let text = status.stdout.replace(SHOP, "");
        assert!(text.contains("part  COMPLETED  3 products, 0 archived"), "{text}");
    }
}

#[test]
fn a_job_that_began_in_one_database_is_not_resumed_in_another() {
    let mut shop = Shop::postgres();
    let began_in = shop.url.clone();
    shop.test_dir.write("export.jsonl", export(1..=3));
    let mut ingest = shop.with_url(shop.test_dir.command(&["ingest", "--shop", SHOP, "--data-dir", "data"]));
    let ingested = run_output(ingest.arg("--plugin").arg(&*SHOPIFY).arg("export.jsonl").output().unwrap());
    assert_eq!(ingested.code, Some(0), "{ingested:?}");
    for url in [Some(Shop::postgres().url.unwrap()), None] {
        shop.url = url;
        let refused = run_output(shop.run_command(&[]).output().unwrap());
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("is meant for the target `catalog:postgres://"), "{refused:?}");
        assert_eq!(shop.counts(), (0, 0));
    }
    shop.url = began_in;
    assert_eq!(shop.run(export(1..=3), &[]).code, Some(0));
    assert_eq!(shop.counts(), (3, 0));
}
