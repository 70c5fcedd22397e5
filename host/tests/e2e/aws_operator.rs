//! The commands with which an operator looks and repairs where storage is in AWS: `why`, `reconcile` (compares the
//! index with the ledger, which records each product's state), `ledger rebuild`, `resume`.

use crate::{
    aws::{Cloud, Shop, block_on, sample, terminate, wait_for},
    support::run_output,
};
use marqo_stand_in::{Fault, FaultRule, Operation};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashMap},
    io::{Read, Write},
    net::TcpStream,
};

/// Sends a request to the search server past host, as another program would.
fn post_as_another_program(cloud: &Cloud, path: &str, body: &Value) {
    let (address, body) = (cloud.marqo.url().strip_prefix("http://").unwrap(), body.to_string());
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Removes a document from the index past host.
fn remove_as_another_program(cloud: &Cloud, shop: &Shop, id: &str) {
    post_as_another_program(cloud, &format!("/indexes/{}/documents/delete-batch", shop.index), &json!([id]));
}

/// Runs a full sync of so many products.
fn run_full(cloud: &Cloud, shop: &Shop, products: u64) {
    std::fs::write(&shop.source, sample(0, products)).unwrap();
    let output = run_output(cloud.export("run", shop).arg("--full").output().unwrap());
    assert_eq!(output.code, Some(0), "{output:?}");
}

fn ids(cloud: &Cloud, shop: &Shop) -> BTreeSet<String> {
    cloud.marqo.documents(&shop.index).into_keys().collect()
}

fn json_of(cloud: &Cloud, arguments: &[&str], code: i32) -> Value {
    let output = cloud.host(&[arguments, &["--output", "json"]].concat());
    assert_eq!(output.code, Some(code), "{arguments:?}: {output:?}");
    output.json()
}

/// Removes the items of the ledger's table with a text for which `goes` holds; returns how many.
fn remove_from_ledger(cloud: &Cloud, goes: impl Fn(&str) -> bool) -> usize {
    let (client, table) = (cloud.clients().dynamodb, "dev-EcomIndexerProductsTable");
    block_on(async {
        let scanned = client.scan().table_name(table).send().await.unwrap();
        let mut removed = 0;
        for item in scanned.items() {
            if !item.values().filter_map(|value| value.as_s().ok()).any(|text| goes(text)) {
                continue;
            }
            let key = HashMap::from(["pk", "sk"].map(|name| (name.to_owned(), item[name].clone())));
            client.delete_item().table_name(table).set_key(Some(key)).send().await.unwrap();
            removed += 1;
        }
        removed
    })
}

#[test]
fn a_lost_ledger_is_rebuilt_in_aws() {
    let (cloud, shops) = Cloud::new(1);
    let shop = &shops[0];
    run_full(&cloud, shop, 40);
    let all = ids(&cloud, shop);
    assert!(remove_from_ledger(&cloud, |_| true) > 0);
    assert_eq!(json_of(&cloud, &["reconcile", &shop.id], 3)["unknown"], all.len());
    let rebuilt = json_of(&cloud, &["ledger", "rebuild", &shop.id], 0);
    assert_eq!(rebuilt["repair"]["recorded"], all.len(), "{rebuilt}");
    assert_eq!(json_of(&cloud, &["reconcile", &shop.id], 0)["unknown"], 0);
    // A full sync finds in the ledger which products the shop does not have any more.
    run_full(&cloud, shop, 35);
    let left = ids(&cloud, shop);
    assert!(left.is_subset(&all) && left.len() < all.len(), "{left:?}");
    assert_eq!(json_of(&cloud, &["reconcile", &shop.id], 0)["in_ledger"], left.len());
}

#[test]
fn a_removed_document_that_came_back_and_an_unknown_one_are_repaired_in_aws() {
    let (cloud, shops) = Cloud::new(1);
    let shop = &shops[0];
    run_full(&cloud, shop, 40);
    let before = cloud.marqo.documents(&shop.index);
    run_full(&cloud, shop, 35);
    let kept = ids(&cloud, shop);
    let (removed, document) = before.iter().find(|(id, _)| !kept.contains(*id)).unwrap();
    let sent = [document.sent.clone()];
    let add = json!({ "documents": sent, "tensorFields": ["title"] });
    post_as_another_program(&cloud, &format!("/indexes/{}/documents", shop.index), &add);
    let forgotten = kept.first().unwrap();
    let names_it = |text: &str| text.contains(&format!("\"{forgotten}\""));
    assert_eq!(remove_from_ledger(&cloud, names_it), 1);
    let found = json_of(&cloud, &["reconcile", &shop.id], 3);
    assert_eq!((&found["removed"], &found["unknown"]), (&1.into(), &1.into()), "{found}");
    let repaired = json_of(&cloud, &["reconcile", &shop.id, "--repair"], 0)["repair"].clone();
    assert_eq!((&repaired["deleted"], &repaired["recorded"]), (&1.into(), &1.into()), "{repaired}");
    json_of(&cloud, &["reconcile", &shop.id], 0);
    assert!(!ids(&cloud, shop).contains(removed));
}

#[test]
fn why_tells_each_state_in_aws() {
    let (cloud, shops) = Cloud::new(1);
    let shop = &shops[0];
    let lines = |title: &str, at: &str| {
        crate::support::lines(&crate::support::product(1, title, at))
            + &crate::support::lines(&crate::support::product(2, title, at))
    };
    cloud.test_dir.write("host.toml", "[plugin.config.validate]\nrequired = [\"title\"]\n");
    let ingest = |export: &str| {
        std::fs::write(&shop.source, export).unwrap();
        let output = run_output(cloud.export("ingest", shop).output().unwrap());
        assert_eq!(output.code, Some(0), "{output:?}");
        output.json()["job_id"].as_str().unwrap().to_owned()
    };
    let work = || {
        let mut worker = cloud.worker();
        let ended = cloud.ended(shop);
        terminate(&worker);
        worker.wait().unwrap();
        ended
    };
    let why = |id: &str| json_of(&cloud, &["why", id], 0);
    let (old, new) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    ingest(&lines("Mug", new));
    let told = why("1");
    assert_eq!(
        (&told["state"], &told["waiting"][0]["operation"]),
        (&"waiting".into(), &"ADD_DOCUMENTS".into())
    );
    work();
    assert_eq!(why("1")["state"], "live");

    ingest(&lines("Old mug", old));
    assert_eq!(work()["status"], "CONFLICT");
    let told = why("1");
    assert_eq!((&told["state"], &told["refusal"]["code"]), (&"live".into(), &"older-version".into()));

    // Product 3 is refused by the validator; the chunk of product 4 is damaged, so that it becomes a dead letter.
    let refused = crate::support::lines(&crate::support::product(3, "", old));
    ingest(&refused);
    work();
    assert_eq!(why("3")["state"], "refused");
    let dead = ingest(&crate::support::lines(&crate::support::product(4, "Jug", old)));
    let key = format!("shopify/{}/bulk/{dead}/chunk_0000.jsonl", shop.id);
    let bytes = cloud.object(&key, None);
    cloud.object(&key, Some(&[&bytes[..], b"\n"].concat()));
    assert_eq!(work()["status"], "FAILED");
    let told = wait_for(|| Some(why("4")).filter(|told| told["dead_letters"][0] != Value::Null));
    assert_eq!(told["dead_letters"][0]["code"], "corrupt-chunk", "{told}");

    let unknown = cloud.host(&["why", "999999"]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
}

#[test]
fn an_operators_commands_work_in_aws() {
    let (cloud, shops) = Cloud::new(1);
    let shop = &shops[0];
    let run = |products: u64, code: i32| {
        std::fs::write(&shop.source, sample(0, products)).unwrap();
        let output = run_output(cloud.export("run", shop).arg("--full").output().unwrap());
        assert_eq!(output.code, Some(code), "{output:?}");
        output
    };
    let json = |arguments: &[&str], code: i32| {
        let output = cloud.host(&[arguments, &["--output", "json"]].concat());
        assert_eq!(output.code, Some(code), "{arguments:?}: {output:?}");
        output.json()
    };
    run(60, 0);
    let before: BTreeSet<String> = cloud.marqo.documents(&shop.index).into_keys().collect();
    run(50, 0);
    let documents: BTreeSet<String> = cloud.marqo.documents(&shop.index).into_keys().collect();
    let lost = documents.first().unwrap().as_str();
    let gone = before.difference(&documents).next().unwrap().as_str();
    let agreed = json(&["reconcile", &shop.id], 0);
    assert_eq!(
        (&agreed["in_index"], &agreed["in_ledger"]),
        (&documents.len().into(), &documents.len().into())
    );

    // A document that another program removed is found, and written by the next sync.
    remove_as_another_program(&cloud, shop, lost);
    let differs = json(&["reconcile", &shop.id], 3);
    assert_eq!((&differs["missing"], &differs["differences"][0]["document"]), (&1.into(), &lost.into()));
    assert_eq!(json(&["reconcile", &shop.id, "--repair"], 0)["repair"]["marked_missing"], 1);
    assert_eq!(json(&["reconcile", &shop.id], 0)["missing"], 0);
    run(50, 0);
    assert!(cloud.marqo.documents(&shop.index).contains_key(lost));

    let rebuilt = json(&["ledger", "rebuild", &shop.id], 0);
    assert_eq!((&rebuilt["repair"]["recorded"], &rebuilt["missing"]), (&0.into(), &Value::Null));
    assert_eq!(json(&["why", lost], 0)["state"], "live");
    let why = json(&["why", gone], 0);
    assert!(["absent", "removed"].contains(&why["state"].as_str().unwrap()), "{why}");

    // A key that the server refuses stops work until it is resumed.
    cloud.marqo.set_faults(&[FaultRule::new(Fault::Gateway { status: 401 }).on(Operation::Add)]);
    let stopped = run(60, 1);
    assert!(stopped.stderr.contains("401"), "{stopped:?}");
    let shown = json(&["jobs", "show"], 0);
    assert!(shown["stopped"]["message"].as_str().unwrap().contains("401"), "{shown}");
    cloud.marqo.set_faults(&[]);
    assert_eq!(json(&["resume", &shop.id], 0)[0]["code"], "index-refused");
    assert_eq!(json(&["jobs", "show"], 0)["stopped"], Value::Null);
    // `host settings put` resumes it, too.
    cloud.marqo.set_faults(&[FaultRule::new(Fault::Gateway { status: 403 }).on(Operation::Add)]);
    run(60, 1);
    assert_ne!(json(&["jobs", "show"], 0)["stopped"], Value::Null);
    cloud.marqo.set_faults(&[]);
    cloud.put_settings(shop);
    assert_eq!(json(&["jobs", "show"], 0)["stopped"], Value::Null);
    run(60, 0);
    assert_eq!(cloud.marqo.documents(&shop.index).into_keys().collect::<BTreeSet<_>>(), before);
}
