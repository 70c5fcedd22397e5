//! `host shop forget` removes everything of one shop and nothing of another.

use crate::{
    aws::{Cloud, block_on},
    support::{RunOutput, SHOP, SHOPIFY, TestDir, lines, product},
};
use host_core::model::Digest;
use marqo_stand_in::{Options, StandIn};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

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

/// What the command counts, in the order of `keys`.
fn counts(object: &Value) -> Vec<u64> {
    let keys = ["documents", "messages", "objects", "products", "jobs", "settings"];
    keys.iter().map(|key| object[*key].as_u64().unwrap()).collect()
}

/// Two shops, both in the relational catalog and in the same index on a Marqo server.
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
            let output = test_dir.host(&[&run[..], target].concat());
            assert_eq!(output.code, Some(0), "{output:?}");
        }
    }
    let dry = forget(&test_dir, &["--dry-run"]);
    // For each of the two jobs a list of ids, and a chunk for each lane that has products: one to three.
    let (objects, chunks) = (dry.json()["objects"].as_u64().unwrap(), test_dir.chunks().len());
    assert!((4..=6).contains(&objects), "{dry:?}");
    let all = vec![6, 0, objects, 6, 2, 0];
    assert_eq!(
        (dry.code, counts(&dry.json()), &dry.json()["ended_at"]),
        (Some(0), all.clone(), &Value::Null)
    );
    let index = |target: &str, name: &str| json!({"target": target, "index_name": name, "documents": 3, "settings": false});
    assert_eq!(dry.json()["indexes"], json!([index("marqo", INDEX), index("catalog", "shopify-tests")]));
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
    // A call whose answer was lost is repeated.
    for repeated in [forget(&test_dir, &["--yes"]), forget(&test_dir, &["--dry-run"])] {
        let (mut receipt, dry_run) = (forgotten.json(), repeated.json()["dry_run"].clone());
        receipt["dry_run"] = dry_run;
        assert_eq!(
            (repeated.code, repeated.json()["ended_at"].clone()),
            (Some(0), receipt["ended_at"].clone())
        );
        assert_eq!(counts(&repeated.json()), counts(&receipt));
        assert!(repeated.stderr.contains("was removed before"), "{repeated:?}");
    }
    let never = test_dir.host(&["shop", "forget", "never.myshopify.com", "--data-dir", "data", "--yes"]);
    assert!(never.code == Some(2) && never.stderr.contains("there is nothing of shop"), "{never:?}");

    export(&test_dir, 1..=2);
    let again = test_dir.run("export.jsonl", &marqo);
    assert_eq!((again.code, server.documents(INDEX).len()), (Some(0), 4), "{again:?}");
}

#[test]
fn documents_that_cannot_be_counted_are_reported_with_the_reason() {
    let test_dir = TestDir::new();
    let options = Options { indexes: vec![INDEX.to_owned()], ..Options::default() };
    let server = StandIn::start(options).unwrap();
    let put = ["settings", "put", INDEX, "--data-dir", "data", "--endpoint", server.url()];
    assert_eq!(test_dir.host(&put).code, Some(0));
    let marqo = ["--target", "marqo", "--index", INDEX];
    export(&test_dir, 1..=3);
    assert_eq!(test_dir.run("export.jsonl", &marqo).code, Some(0));
    let count = |reason: &str, code: i32| {
        let dry = forget(&test_dir, &["--dry-run"]);
        assert_eq!((dry.code, &dry.json()["documents"]), (Some(code), &json!(3)), "{dry:?}");
        let uncounted = dry.json()["uncounted"].clone();
        assert_eq!(uncounted[0]["index_name"], INDEX);
        assert!(uncounted[0]["reason"].as_str().unwrap().contains(reason), "{uncounted}");
        assert!(dry.stderr.contains("are those that the ledger names"), "{dry:?}");
    };
    // First a job is open, then the server is gone.
    export(&test_dir, 1..=4);
    let ingest =
        ["ingest", "export.jsonl", "--shop", SHOP, "--data-dir", "data", "--output", "json", "--plugin"];
    let ingested = test_dir.host(&[&ingest[..], &[SHOPIFY.to_str().unwrap()], &marqo].concat()).json();
    count("has not ended", 2);
    assert_eq!(forget(&test_dir, &["--dry-run"]).json()["open_job"], ingested["job_id"]);
    assert_eq!(forget(&test_dir, &["--yes"]).code, Some(2));
    let cancel = ["jobs", "cancel", ingested["job_id"].as_str().unwrap(), "--data-dir", "data"];
    assert_eq!(test_dir.host(&cancel).code, Some(0));
    assert_eq!(forget(&test_dir, &["--dry-run"]).json()["uncounted"], json!([]));
    drop(server);
    count("cannot be reached", 0);
    let refused = forget(&test_dir, &["--yes"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains(&format!("host shop forget {SHOP} --without-index {INDEX}")),
        "{refused:?}"
    );

    // It is gone for good.
    let unknown = forget(&test_dir, &["--yes", "--without-index", "other"]);
    assert!(unknown.code == Some(2) && unknown.stderr.contains("name one of marqo/shop\n"), "{unknown:?}");
    let forgotten = forget(&test_dir, &["--yes", "--without-index", INDEX]);
    assert_eq!((forgotten.code, &forgotten.json()["settings"]), (Some(0), &json!(1)), "{forgotten:?}");
    let digest = Digest::of(INDEX.as_bytes()).to_string();
    let mut left = json!([{"index_name": INDEX, "index": digest, "documents": 3, "reason": "without-index"}]);
    assert_eq!(forgotten.json()["left"], left);
    let settings = test_dir.host(&["settings", "list", "--data-dir", "data", "--output", "json"]).json();
    assert_eq!(settings, json!([]));
    // The receipt keeps it, and has no name.
    let repeated = forget(&test_dir, &["--yes"]);
    left[0]["index_name"] = Value::Null;
    assert_eq!((repeated.code, &repeated.json()["left"]), (Some(0), &left), "{repeated:?}");
    assert_eq!(forget(&test_dir, &["--yes", "--without-index", INDEX]).code, Some(0));
}

/// Everything in an account, as text: names of queues, keys and bodies of objects, items of tables.
fn everything(cloud: &Cloud) -> BTreeSet<String> {
    let (clients, mut all) = (cloud.clients(), BTreeSet::new());
    block_on(async {
        let queues = clients.sqs.list_queues().send().await.unwrap();
        all.extend(queues.queue_urls().iter().map(|url| format!("queue {url}")));
        let (mut objects, mut after) = (Vec::new(), None);
        loop {
            let list = clients.s3.list_objects_v2().bucket(cloud.bucket()).set_continuation_token(after);
            let page = list.send().await.unwrap();
            objects.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
            after = page.next_continuation_token;
            if after.is_none() {
                break;
            }
        }
        for key in objects {
            let got = clients.s3.get_object().bucket(cloud.bucket()).key(&key).send().await.unwrap();
            let bytes = got.body.collect().await.unwrap().to_vec();
            all.insert(format!("object {key}: {}", String::from_utf8_lossy(&bytes)));
        }
        for table in clients.dynamodb.list_tables().send().await.unwrap().table_names() {
            let mut after = None;
            loop {
                let scan = clients.dynamodb.scan().table_name(table).set_exclusive_start_key(after);
                let page = scan.send().await.unwrap();
                for item in page.items() {
                    let item: BTreeMap<_, _> = item.iter().collect();
                    all.insert(format!("item of {table}: {item:?}"));
                }
                after = page.last_evaluated_key;
                if after.is_none() {
                    break;
                }
            }
        }
    });
    all
}

#[test]
fn a_shop_in_aws_is_forgotten() {
    let (cloud, shops) = Cloud::new(2);
    let [leaves, stays] = &shops[..] else { panic!() };
    let queue = "dev-ecom-indexer-shop-0_myshopify_com.fifo";
    assert!(cloud.export("ingest", leaves).status().unwrap().success());
    let late_messages = cloud.receive(queue);
    cloud.aws.set_clock(3_600.0);
    for shop in &shops {
        assert!(cloud.export("run", shop).status().unwrap().success());
    }
    let kept = cloud.marqo.documents(&stays.index).len();
    assert!(kept > 0 && !cloud.marqo.documents(&leaves.index).is_empty());
    let before = everything(&cloud);
    let names = [leaves.id.as_str(), "shop-0_myshopify_com", &leaves.index];
    let names_it = |thing: &&String| names.iter().any(|name| thing.contains(name));
    for kind in
        ["queue", "object", "item of dev-EcomIndexerJobsTable", "item of dev-EcomIndexerProductsTable"]
    {
        assert!(before.iter().any(|thing| thing.starts_with(kind) && names_it(&thing)), "{kind}: {before:?}");
    }

    let dry = cloud.host(&["shop", "forget", &leaves.id, "--dry-run", "--output", "json"]);
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert!(counts(&dry.json()).iter().filter(|count| **count > 0).count() >= 5, "{dry:?}");
    assert_eq!(everything(&cloud), before);

    let forgotten = cloud.host(&["shop", "forget", &leaves.id, "--yes", "--output", "json"]);
    assert_eq!(forgotten.code, Some(0), "{forgotten:?}");
    assert_eq!(counts(&forgotten.json()), counts(&dry.json()));
    assert_eq!(forgotten.json()["settings"], json!(1));
    assert!(cloud.marqo.documents(&leaves.index).is_empty());
    assert_eq!(cloud.marqo.documents(&stays.index).len(), kept);
    let after = everything(&cloud);
    assert_eq!(after.iter().find(names_it), None);
    let receipt = forgotten.json()["shop"].as_str().unwrap().to_owned();
    assert_eq!(after.iter().filter(|thing| thing.contains(&receipt)).count(), 1, "{after:?}");
    let listed = cloud.host(&["jobs", "list", "--output", "json"]).json();
    assert!(listed.as_array().unwrap().iter().all(|job| job["shop_id"] == stays.id.as_str()), "{listed}");
    let settings = cloud.host(&["settings", "list", "--output", "json"]).json();
    assert_eq!(settings, json!([stays.index]));
    assert_eq!(cloud.host(&["shop", "forget", &leaves.id, "--yes"]).code, Some(0));

    // A message of the forgotten shop that arrives late_messages is dropped and creates no job.
    let client = cloud.clients().sqs;
    block_on(async {
        let queue = client.create_queue().queue_name(queue).attributes("FifoQueue".into(), "true");
        let url = queue.send().await.unwrap().queue_url.unwrap();
        for (number, record) in late_messages.iter().enumerate() {
            let message = client.send_message().queue_url(&url).message_group_id(leaves.id.as_str());
            let message = message.message_body(record["body"].as_str().unwrap());
            message.message_deduplication_id(number.to_string()).send().await.unwrap();
        }
    });
    assert!(cloud.depth(queue) > 0);
    let mut worker = cloud.command(&["work", "--shop", &leaves.id, "--data-dir", "late"]).spawn().unwrap();
    cloud.until(|| (cloud.depth(queue) == 0).then_some(()));
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert!(cloud.marqo.documents(&leaves.index).is_empty());
    let is_queue = |thing: &&String| thing.starts_with("queue");
    let all = everything(&cloud);
    let named: Vec<_> = all.iter().filter(names_it).filter(|thing| !is_queue(thing)).collect();
    assert!(named.is_empty(), "{named:?}");
}
