//! `host reconcile` and `host ledger rebuild` on a damaged ledger (the record of each product's state in an index), for
//! the relational catalog and for a Marqo index.

use crate::support::{RunOutput, SHOP, TestDir, lines, product};
use marqo_stand_in::{Options, StandIn};
use serde_json::{Value, json};

const INDEX: &str = "shop";
const OLD: &str = "2026-01-01T00:00:00Z";

/// A shop with three products in the relational catalog, or on a stand-in for a Marqo server.
struct Shop {
    test_dir: TestDir,
    /// `None` if the products are in the catalog.
    server: Option<StandIn>,
}

impl Shop {
    fn new(is_marqo: bool) -> Self {
        let test_dir = TestDir::new();
        let server = is_marqo.then(|| {
            let options = Options { indexes: vec![INDEX.to_owned()], ..Options::default() };
            let server = StandIn::start(options).unwrap();
            let put = ["settings", "put", INDEX, "--data-dir", "data", "--endpoint", server.url()];
            assert_eq!(test_dir.host(&put).code, Some(0));
            server
        });
        let shop = Self { test_dir, server };
        let output = shop.sync(1..=3, &[]);
        assert_eq!(output.code, Some(0), "{output:?}");
        shop
    }

    fn sync(&self, numbers: impl IntoIterator<Item = u32>, more: &[&str]) -> RunOutput {
        let products = numbers.into_iter().flat_map(|number| product(number, &format!("Mug {number}"), OLD));
        self.test_dir.write("export.jsonl", lines(&products.collect::<Vec<_>>()));
        self.test_dir.run("export.jsonl", &[self.target(), more].concat())
    }

    fn target(&self) -> &'static [&'static str] {
        if self.server.is_some() { &["--target", "marqo", "--index", INDEX] } else { &["--index", INDEX] }
    }

    fn host(&self, command: &[&str]) -> RunOutput {
        self.test_dir.host(&[command, self.target(), &["--data-dir", "data"]].concat())
    }

    /// Exit code and JSON output of a command.
    fn json(&self, command: &[&str]) -> (Option<i32>, Value) {
        let output = self.host(&[command, &["--output", "json"]].concat());
        (output.code, output.json())
    }

    fn ids(&self) -> Value {
        self.json(&["documents", "list"]).1
    }

    /// Damages the ledger with a statement about one product.
    fn damage(&self, sql: &str, product: u32) {
        let file = rusqlite::Connection::open(self.test_dir.path("data/host.db")).unwrap();
        let product = format!("gid://shopify/Product/{product}");
        assert_eq!(file.execute(sql, [product]).unwrap(), 1);
    }
}

/// Shopify's id of a product.
fn gid(number: u32) -> String {
    format!("gid://shopify/Product/{number}")
}

#[test]
fn differences_are_listed_and_repaired() {
    for is_marqo in [false, true] {
        let shop = Shop::new(is_marqo);
        let (code, agreed) = shop.json(&["reconcile", SHOP]);
        assert_eq!((code, &agreed["in_index"], &agreed["in_ledger"]), (Some(0), &json!(3), &json!(3)));
        assert_eq!((&agreed["complete"], &agreed["repair"]), (&json!(true), &Value::Null));

        // Damage the ledger: it knows nothing of product 1, takes 2 for removed, and names 4, which was never written.
        shop.damage("DELETE FROM ledger WHERE product = ?1", 1);
        let removed = "UPDATE ledger SET record = json_set(record, '$.state', 'removed') WHERE product = ?1";
        shop.damage(removed, 2);
        let invented =
            "INSERT INTO ledger SELECT scope, ?1, replace(record, '\"3\"', '\"4\"'), NULL FROM ledger
            WHERE product = 'gid://shopify/Product/3'";
        shop.damage(&invented.replace("record,", "replace(record, 'Product/3', 'Product/4'),"), 4);
        let text = shop.host(&["reconcile", SHOP]);
        assert_eq!(text.code, Some(3), "{text:?}");
        let mut differences: Vec<&str> = text.stdout.lines().collect();
        differences.sort_unstable();
        let expected = [
            format!("missing  4  of product {}", gid(4)),
            format!("removed  2  of product {}", gid(2)),
            "unknown  1".to_owned(),
        ];
        assert_eq!(differences, expected);
        assert!(text.stderr.contains("1 missing, 1 removed and still there, 1 unknown"), "{text:?}");
        let target = if is_marqo { "marqo" } else { "catalog" };
        let next = format!(
            "`host reconcile {SHOP} --index {INDEX} --target {target} --repair --data-dir data` repairs"
        );
        assert!(text.stderr.contains(&next), "{text:?}");
        let (_, listed) = shop.json(&["reconcile", SHOP]);
        let unknown = json!({ "difference": "unknown", "document": "1", "product": null });
        assert!(listed["differences"].as_array().unwrap().contains(&unknown), "{listed}");

        let (code, repaired) = shop.json(&["reconcile", SHOP, "--repair"]);
        assert_eq!(code, Some(0), "{repaired}");
        let repair = &repaired["repair"];
        let said =
            ["marked_missing", "recorded", "without_product", "deleted"].map(|key| repair[key].as_u64());
        assert_eq!(said, [1, 1, 0, 1].map(Some), "{repair}");
        assert_eq!(shop.ids(), json!(["1", "3"]));
        let (code, why) = shop.json(&["why", &gid(1)]);
        assert_eq!((code, &why["state"]), (Some(0), &json!("live")));
        assert!(why["repaired_at"].is_string(), "{why}");
        let why = shop.host(&["why", &gid(1)]);
        assert!(why.stdout.contains(", by a comparison of index and ledger ("), "{why:?}");
        assert_eq!(shop.json(&["reconcile", SHOP]).0, Some(0));
        // The next sync writes the missing product 4, and product 2, which a later export than that of the removal has.
        assert_eq!(shop.sync(1..=4, &[]).code, Some(0));
        assert_eq!(shop.ids(), json!(["1", "2", "3", "4"]));
        assert_eq!(shop.json(&["reconcile", SHOP]).0, Some(0));
    }
}

/// After the rebuild, a full sync removes products that are not in its export, as without the loss.
#[test]
fn a_lost_ledger_is_rebuilt_from_index_and_chunks() {
    for is_marqo in [false, true] {
        let shop = Shop::new(is_marqo);
        shop.test_dir.write("host.toml", "[catalog]\narchive_percent = 50\n");
        for number in 1..=3 {
            shop.damage("DELETE FROM ledger WHERE product = ?1", number);
        }
        let (code, listed) = shop.json(&["ledger", "rebuild", SHOP, "--dry-run"]);
        assert_eq!((code, &listed["unknown"], &listed["repair"]), (Some(3), &json!(3), &Value::Null));
        assert_eq!((&listed["missing"], &listed["removed"]), (&Value::Null, &Value::Null));
        let said = shop.host(&["ledger", "rebuild", SHOP, "--dry-run"]).stderr;
        let target = if is_marqo { "marqo" } else { "catalog" };
        let expected = format!(
            "3 documents in the index, 0 according to the ledger: 3 unknown to the ledger\n\
             `host ledger rebuild {SHOP} --index {INDEX} --target {target} --data-dir data` records what is unknown\n"
        );
        assert_eq!(said, expected);
        let (code, rebuilt) = shop.json(&["ledger", "rebuild", SHOP]);
        assert_eq!((code, &rebuilt["repair"]["recorded"]), (Some(0), &json!(3)), "{rebuilt}");
        assert_eq!(shop.json(&["why", "2"]).1["product"], json!(gid(2)));
        assert_eq!(shop.json(&["ledger", "rebuild", SHOP]).1["repair"]["recorded"], json!(0));
        let synced = shop.sync([1, 2], &["--full"]);
        assert_eq!((synced.code, shop.ids()), (Some(0), json!(["1", "2"])), "{synced:?}");
    }
}

#[test]
fn a_job_that_is_open_or_an_index_that_does_not_exist_is_refused() {
    let shop = Shop::new(false);
    let mut ingest =
        shop.test_dir.command(&["ingest", "export.jsonl", "--shop", SHOP, "--data-dir", "data", "--plugin"]);
    let ingest = ingest.arg(&*crate::support::SHOPIFY).args(["--index", INDEX]);
    shop.test_dir.write("export.jsonl", lines(&product(9, "Jug", OLD)));
    assert!(ingest.status().unwrap().success());
    let refused = shop.host(&["reconcile", SHOP]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("has not ended") && refused.stderr.contains("host jobs cancel"),
        "{refused:?}"
    );
    let unknown =
        shop.test_dir.host(&["reconcile", "typo.myshopify.com", "--index", INDEX, "--data-dir", "data"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("there is no index"), "{unknown:?}");
}

/// Every command that asks the index ends with the same exit code for the same failure: 2 if the index refuses, 1 if it
/// cannot be reached.
#[test]
fn an_index_that_does_not_answer_is_a_runtime_error_and_one_that_refuses_a_wrong_setting() {
    let mut shop = Shop::new(true);
    let rule = |fault| marqo_stand_in::FaultRule::new(fault);
    let server = shop.server.take().unwrap();
    let export = shop.test_dir.path("export.jsonl");
    let target = ["--target", "marqo", "--index", INDEX];
    let codes = || {
        let commands = [
            vec!["reconcile", SHOP],
            vec!["ledger", "rebuild", SHOP],
            vec!["documents", "count"],
            vec!["documents", "get", "1"],
            vec!["shop", "forget", SHOP, "--yes"],
        ];
        let host = |command: &Vec<&str>| {
            let mut host = shop.test_dir.command(&[command, &target[..], &["--data-dir", "data"]].concat());
            crate::support::run_output(host.output().unwrap()).code
        };
        let mut codes: Vec<Option<i32>> = commands.iter().map(host).collect();
        let mut run = shop.test_dir.run_command(export.to_str().unwrap(), &target);
        run.env("HOST_MARQO__UNREACHABLE_TIMEOUT_SECONDS", "0");
        // Not where the index cannot be reached: a run then repeats the chunk for minutes.
        if codes[0] == Some(2) {
            codes.push(crate::support::run_output(run.output().unwrap()).code);
        }
        codes
    };
    server.set_faults(&[rule(marqo_stand_in::Fault::Gateway { status: 403 })]);
    assert_eq!(codes(), [Some(2); 6]);
    drop(server);
    assert_eq!(codes(), [Some(1); 5]);
    // `host why` reads the ledger alone, so it answers.
    assert_eq!(shop.test_dir.host(&["why", "1", "--data-dir", "data"]).code, Some(0));
}
