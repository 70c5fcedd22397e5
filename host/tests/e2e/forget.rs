//! `host shop forget`: of one shop nothing is left, of another everything.

use crate::{
    aws::Cloud,
    support::{RunOutput, SHOP, SHOPIFY, TestDir, lines, product},
};
use marqo_stand_in::{Options, StandIn};
use serde_json::{Value, json};

const OTHER: &str = "other.myshopify.com";
const INDEX: &str = "shop";
const AT: &str = "2026-01-01T00:00:00Z";

fn export(test_dir: &TestDir, numbers: impl IntoIterator<Item = u32>) {
    let products = numbers.into_iter().flat_map(|number| product(number, &format!("Mug {number}"), AT));
    test_dir.write("export.jsonl", lines(&products.collect::<Vec<_>>()));
}

fn forget(test_dir: &TestDir, more: &[&str]) -> RunOutput {
    test_dir.host(&[&["shop", "forget", SHOP, "--data-dir", "data", "--output", "json"], more].concat())
}

fn counts(object: &Value) -> Vec<u64> {
    let keys = ["documents", "messages", "objects", "products", "jobs", "settings"];
    keys.iter().map(|key| object[*key].as_u64().unwrap()).collect()
}

/// A shop in a catalog and in an index of its own on a server, and another one in the catalog and in the same index.
#[test]
fn a_shop_is_forgotten_and_comes_back_as_a_new_one() {
    let test_dir = TestDir::new();
    let options = Options { indexes: vec![INDEX.to_owned()], ..Options::default() };
    let server = StandIn::start(options).unwrap();
    let put = ["settings", "put", INDEX, "--data-dir", "data", "--endpoint", server.url()];
    assert_eq!(test_dir.host(&put).code, Some(0));
    let marqo = ["--target", "marqo", "--index", INDEX];
    for (shop, numbers) in [(SHOP, 1..=3), (OTHER, 7..=8)] {
        export(&test_dir, numbers);
        for target in [&marqo[..], &[]] {
            let run = [
                "run",
                "export.jsonl",
                "--data-dir",
                "data",
                "--shop",
                shop,
                "--plugin",
                SHOPIFY.to_str().unwrap(),
            ];
            let ran = test_dir.host(&[&run[..], target].concat());
            assert_eq!(ran.code, Some(0), "{ran:?}");
        }
    }
    let dry = forget(&test_dir, &["--dry-run"]);
    // One chunk a lane, and a list of ids for each job.
    let (objects, chunks) = (dry.json()["objects"].as_u64().unwrap(), test_dir.chunks().len());
    assert!((4..=6).contains(&objects), "{dry:?}");
    let all = vec![6, 0, objects, 6, 2, 0];
    assert_eq!(
        (dry.code, counts(&dry.json()), &dry.json()["ended_at"]),
        (Some(0), all.clone(), &Value::Null)
    );
    let unconfirmed = forget(&test_dir, &[]);
    assert_eq!(unconfirmed.code, Some(2), "{unconfirmed:?}");
    assert!(unconfirmed.stderr.contains("--yes") && server.documents(INDEX).len() == 5, "{unconfirmed:?}");

    let forgotten = forget(&test_dir, &["--yes"]);
    assert_eq!((forgotten.code, counts(&forgotten.json())), (Some(0), all), "{forgotten:?}");
    assert!(forgotten.json()["ended_at"].is_string());
    assert_eq!(server.documents(INDEX).keys().map(String::as_str).collect::<Vec<_>>(), ["7", "8"]);
    let listed = test_dir.host(&["jobs", "list", "--data-dir", "data", "--output", "json"]).json();
    let shops: Vec<&str> =
        listed.as_array().unwrap().iter().map(|job| job["shop_id"].as_str().unwrap()).collect();
    assert_eq!(shops, [OTHER, OTHER]);
    assert_eq!(test_dir.chunks().len() as u64 + objects - 2, chunks as u64);
    let settings = test_dir.host(&["settings", "list", "--data-dir", "data", "--output", "json"]).json();
    assert_eq!(settings, json!([INDEX]), "the other shop needs them");
    // Neither the database nor a file name has the shop's name any more.
    let file = rusqlite::Connection::open(test_dir.path("data/host.db")).unwrap();
    for table in
        ["job", "chunk", "message", "dead_letter", "ledger_scope", "products", "loads", "shop_removal"]
    {
        let mut rows = file.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                let text = format!("{:?}", row.get_ref(column).unwrap());
                assert!(!text.contains(SHOP), "{table}: {text}");
            }
        }
    }
    let nothing = forget(&test_dir, &["--yes"]);
    assert_eq!(nothing.code, Some(2));
    assert!(
        nothing.stderr.contains("there is nothing of shop") && nothing.stderr.contains("it was removed at"),
        "{nothing:?}"
    );

    export(&test_dir, 1..=2);
    let again = test_dir.run("export.jsonl", &marqo);
    assert_eq!((again.code, server.documents(INDEX).len()), (Some(0), 4), "{again:?}");
}

#[test]
fn a_shop_in_aws_is_forgotten() {
    let (cloud, shops) = Cloud::new(2);
    for shop in &shops {
        assert!(cloud.export("run", shop).status().unwrap().success());
    }
    let [leaves, stays] = &shops[..] else { panic!() };
    let kept = cloud.marqo.documents(&stays.index).len();
    assert!(kept > 0 && !cloud.marqo.documents(&leaves.index).is_empty());
    let forgotten = cloud.host(&["shop", "forget", &leaves.id, "--yes", "--output", "json"]);
    assert_eq!(forgotten.code, Some(0), "{forgotten:?}");
    assert_eq!(forgotten.json()["settings"], json!(1));
    assert!(cloud.marqo.documents(&leaves.index).is_empty());
    assert_eq!(cloud.marqo.documents(&stays.index).len(), kept);
    let listed = cloud.host(&["jobs", "list", "--output", "json"]).json();
    assert!(listed.as_array().unwrap().iter().all(|job| job["shop_id"] == stays.id.as_str()), "{listed}");
    let settings = cloud.host(&["settings", "list", "--output", "json"]).json();
    assert_eq!(settings, json!([stays.index]));
    assert_eq!(cloud.host(&["shop", "forget", &leaves.id, "--yes"]).code, Some(2));
}
