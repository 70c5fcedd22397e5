//! `host why`, which tells where a product is and why it was left out, for each state of a product.

use crate::{
    aws::wait_for,
    support::{RunOutput, SHOP, SHOPIFY, TestDir, lines, product, run_output},
};
use marqo_stand_in::{Options, StandIn};
use serde_json::Value;

const OLD: &str = "2026-01-01T00:00:00Z";
const NEW: &str = "2026-01-02T00:00:00Z";

/// Writes an export of these products: number, title and time of change.
fn export(test_dir: &TestDir, products: &[(u32, &str, &str)]) {
    let all: Vec<String> =
        products.iter().flat_map(|(number, title, at)| product(*number, title, at)).collect();
    test_dir.write("export.jsonl", lines(&all));
}

fn why(test_dir: &TestDir, id: &str, more: &[&str]) -> RunOutput {
    test_dir.host(&[&["why", id, "--data-dir", "data"], more].concat())
}

/// What `host why` says, as JSON.
fn json(test_dir: &TestDir, id: &str) -> Value {
    let told = why(test_dir, id, &["--output", "json"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    told.json()
}

#[test]
fn a_product_is_live_removed_refused_in_conflict_waiting_or_unknown() {
    let test_dir = TestDir::new();
    test_dir.write("host.toml", "[plugin.config.validate]\nrequired = [\"title\"]\n");
    export(&test_dir, &[(1, "Mug", NEW), (2, "Cup", OLD), (3, "", OLD)]);
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(4));
    // The next export has an older version of product 1, and product 2 as a draft.
    export(&test_dir, &[(1, "Old mug", OLD), (2, "Cup", NEW)]);
    let text = std::fs::read_to_string(test_dir.path("export.jsonl")).unwrap();
    let (mug, cup) = text.split_at(text.find("gid://shopify/Product/2").unwrap());
    test_dir.write("export.jsonl", format!("{mug}{}", cup.replacen("\"ACTIVE\"", "\"DRAFT\"", 1)));
    let second = test_dir.run("export.jsonl", &[]);
    assert_eq!(second.code, Some(3), "{second:?}");
    let second = second.json()["job_id"].clone();

    let live = json(&test_dir, "gid://shopify/Product/1");
    assert_eq!((&live["state"], &live["version"]["updated_at"]), (&"live".into(), &NEW.into()));
    assert_eq!(live["documents"], serde_json::json!(["1"]));
    assert_ne!(live["job_id"], second);
    let refusal = &live["refusal"];
    let said = (&refusal["class"], &refusal["code"], &refusal["job_id"]);
    assert_eq!(said, (&"conflict".into(), &"older-version".into(), &second));
    // A product is also found by the number at the end of its id.
    assert_eq!(json(&test_dir, "1"), live);

    let removed = json(&test_dir, "2");
    assert_eq!(removed["product"], "gid://shopify/Product/2");
    let said = (&removed["state"], &removed["version"]["updated_at"], &removed["job_id"]);
    assert_eq!(said, (&"removed".into(), &NEW.into(), &second));

    let refused = json(&test_dir, "3");
    assert_eq!((&refused["state"], &refused["job_id"]), (&"refused".into(), &Value::Null));
    assert!(refused["refusal"]["code"].is_string(), "{refused}");

    // An older version does not bring a removed product back.
    export(&test_dir, &[(2, "Cup", OLD)]);
    let late = test_dir.run("export.jsonl", &[]);
    assert_eq!(
        (late.code, &late.json()["samples"]["conflict"][0]["code"]),
        (Some(3), &"removed-product".into())
    );
    assert_eq!(json(&test_dir, "2")["refusal"]["code"], "removed-product");
    assert_eq!(test_dir.documents().len(), 1);

    export(&test_dir, &[(1, "Newer mug", "2026-01-03T00:00:00Z"), (4, "Jug", OLD)]);
    let mut ingest =
        test_dir.command(&["ingest", "export.jsonl", "--shop", SHOP, "--data-dir", "data", "--plugin"]);
    assert!(ingest.arg(&*SHOPIFY).status().unwrap().success());
    for (id, state) in [("1", "live"), ("gid://shopify/Product/4", "waiting"), ("4", "waiting")] {
        let told = json(&test_dir, id);
        assert_eq!(
            (&told["state"], &told["waiting"][0]["operation"]),
            (&state.into(), &"ADD_DOCUMENTS".into())
        );
    }
    let told = why(&test_dir, "4", &[]);
    assert!(
        told.stdout.contains("gid://shopify/Product/4") && told.stdout.contains("waiting    chunk 0 of job"),
        "{told:?}"
    );

    let unknown = why(&test_dir, "5", &[]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("nothing is known of product 5"), "{unknown:?}");
}

/// A job of one product in a chunk that is spoiled, and dead when this returns.
fn dead_chunk(test_dir: &TestDir, number: u32, spoil: impl Fn(&[u8]) -> Vec<u8>) -> Value {
    test_dir.write("dead.jsonl", lines(&product(number, "Thing", OLD)));
    let mut ingest = test_dir.command(&["ingest", "dead.jsonl", "--shop", SHOP, "--data-dir", "data"]);
    ingest.args(["--output", "json", "--exported-at", "2026-01-07T00:00:00Z", "--plugin"]).arg(&*SHOPIFY);
    let dead = run_output(ingest.output().unwrap()).json()["job_id"].clone();
    let job = dead.as_str().unwrap();
    let chunk = test_dir.path(&format!("data/chunks/shopify/{SHOP}/bulk/{job}/chunk_0000.jsonl"));
    let bytes = std::fs::read(&chunk).unwrap();
    std::fs::write(&chunk, spoil(&bytes)).unwrap();
    let mut worker = test_dir.command(&["work", "--data-dir", "data"]).spawn().unwrap();
    wait_for(|| {
        let shown = test_dir.host(&["jobs", "show", job, "--data-dir", "data", "--output", "json"]).json();
        (shown["status"] == "FAILED").then_some(())
    });
    worker.kill().unwrap();
    worker.wait().unwrap();
    dead
}

#[test]
fn a_product_may_be_in_a_dead_chunk_that_cannot_be_read() {
    let test_dir = TestDir::new();
    export(&test_dir, &[(1, "Mug", NEW)]);
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
    assert_eq!(json(&test_dir, "1")["unreadable"], serde_json::json!([]));
    let dead = dead_chunk(&test_dir, 2, |_| b"spoiled\n".to_vec());
    let told = json(&test_dir, "1");
    let expected = serde_json::json!([{ "job_id": dead, "dead_letters": 1, "waiting": 0 }]);
    assert_eq!((&told["state"], &told["unreadable"]), (&"live".into(), &expected));
    let job = dead.as_str().unwrap();
    let list = format!("`host dlq list --shop {SHOP} --job {job} --data-dir data` tells more");
    let told = why(&test_dir, "1", &[]);
    assert!(told.stdout.contains(&format!("unreadable job {job} has 1 dead letter whose ")), "{told:?}");
    assert!(told.stdout.contains(&list), "{told:?}");
    // Also of a product of which nothing else is known.
    let told = why(&test_dir, "2", &[]);
    assert_eq!(told.code, Some(2));
    assert!(told.stderr.contains(&list) && told.stderr.contains("--target"), "{told:?}");
}

/// Not those of the newest job of all.
#[test]
fn index_and_target_are_those_of_the_newest_job_of_what_is_named() {
    let test_dir = TestDir::new();
    let indexes = vec!["search".to_owned()];
    let server = StandIn::start(Options { indexes, ..Options::default() }).unwrap();
    let put = ["settings", "put", "search", "--data-dir", "data", "--endpoint", server.url()];
    assert_eq!(test_dir.host(&put).code, Some(0));
    export(&test_dir, &[(1, "Mug", OLD)]);
    assert_eq!(test_dir.run("export.jsonl", &["--target", "marqo", "--index", "search"]).code, Some(0));
    export(&test_dir, &[(2, "Cup", OLD)]);
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
    for named in [["--target", "marqo"], ["--index", "search"]] {
        let told = why(&test_dir, "1", &named);
        assert!(
            told.stdout.contains("index      search of ") && told.stdout.contains("(marqo"),
            "{named:?}: {told:?}"
        );
        let counted = test_dir.host(&[&["documents", "list", "--data-dir", "data"], &named[..]].concat());
        assert_eq!(counted.stdout, "1\n", "{named:?}: {counted:?}");
    }
    assert_eq!(why(&test_dir, "2", &[]).code, Some(0));
    assert_eq!(why(&test_dir, "1", &[]).code, Some(2));
}

/// The text with names in the place of job ids and of times that differ from run to run.
fn neutral(text: &str, jobs: &[(&str, &Value)]) -> String {
    let mut text = text.to_owned();
    for (name, job) in jobs {
        text = text.replace(job.as_str().unwrap(), name);
    }
    // Times in the test's own data, which begin with 2026-01-0, stay.
    let is_instant = |word: &str| word.trim_end_matches([',', ':']).parse::<jiff::Timestamp>().is_ok();
    let word = |word: &str| match is_instant(word) && !word.starts_with("2026-01-0") {
        true => format!("INSTANT{}", &word[word.trim_end_matches([',', ':']).len()..]),
        false => word.to_owned(),
    };
    let lines = text.lines().map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" "));
    lines.map(|line| line + "\n").collect()
}

/// The snapshot has what a person reads of each state.
#[test]
fn the_text_tells_each_state() {
    let test_dir = TestDir::new();
    let settings = "archive_percent = 90\n[plugin.config.validate]\nrequired = [\"title\"]\n";
    test_dir.write("host.toml", format!("[catalog]\n{settings}"));
    export(&test_dir, &[(1, "Mug", NEW), (2, "Cup", OLD), (3, "", OLD), (4, "Jug", OLD)]);
    let first = test_dir.run("export.jsonl", &["--exported-at", "2026-01-05T00:00:00Z"]);
    assert_eq!(first.code, Some(4), "{first:?}");
    // A full sync has an older version of product 1, product 2 as a draft, and not 3 and 4, of which 4 leaves the
    // index.
    export(&test_dir, &[(1, "Old mug", OLD)]);
    let draft = lines(&product(2, "Cup", NEW)).replacen("\"ACTIVE\"", "\"DRAFT\"", 1);
    let mug = std::fs::read_to_string(test_dir.path("export.jsonl")).unwrap();
    test_dir.write("second.jsonl", mug + &draft);
    let second = test_dir.run("second.jsonl", &["--full", "--exported-at", "2026-01-06T00:00:00Z"]);
    assert_eq!(second.code, Some(3), "{second:?}");
    let listed = test_dir.host(&["jobs", "list", "--data-dir", "data", "--output", "json"]).json();
    let is_removal = |job: &&Value| job["operation"] == "DELETE_DOCUMENTS";
    let removal = listed.as_array().unwrap().iter().find(is_removal).unwrap()["job_id"].clone();

    // Product 5 waits to be written, and product 6 is in a chunk whose file is damaged although all of it can be read,
    // so that it becomes a dead letter.
    let dead = dead_chunk(&test_dir, 6, |bytes| [bytes, b"\n"].concat());
    let ingest = |name: &str, number: u32| {
        test_dir.write(name, lines(&product(number, "Thing", OLD)));
        let mut ingest = test_dir.command(&["ingest", name, "--shop", SHOP, "--data-dir", "data"]);
        ingest.args(["--output", "json", "--exported-at", "2026-01-07T00:00:00Z", "--plugin"]).arg(&*SHOPIFY);
        run_output(ingest.output().unwrap()).json()["job_id"].clone()
    };
    let waiting = ingest("fifth.jsonl", 5);

    let letter = json(&test_dir, "6");
    assert_eq!((&letter["state"], &letter["waiting"]), (&"waiting".into(), &serde_json::json!([])));
    let said = (&letter["dead_letters"][0]["code"], &letter["dead_letters"][0]["job_id"]);
    assert_eq!(said, (&"corrupt-chunk".into(), &dead));
    let live = json(&test_dir, "1");
    assert_eq!(
        (&live["source"], &live["exported_at"]),
        (&"export.jsonl".into(), &"2026-01-05T00:00:00Z".into())
    );

    let jobs = [
        ("FIRST", &first.json()["job_id"]),
        ("SECOND", &second.json()["job_id"]),
        ("REMOVAL", &removal),
        ("DEAD", &dead),
        ("WAITING", &waiting),
    ];
    let mut said = String::new();
    for id in ["1", "2", "3", "4", "5", "6"] {
        let told = why(&test_dir, id, &[]);
        assert_eq!(told.code, Some(0), "{told:?}");
        said += &neutral(&told.stdout, &jobs);
        said += "\n";
    }
    insta::assert_snapshot!(said);
}
