//! `host why`, of a product in each state that it can be in.

use crate::support::{RunOutput, SHOP, TestDir, lines, product};
use serde_json::Value;

const OLD: &str = "2026-01-01T00:00:00Z";
const NEW: &str = "2026-01-02T00:00:00Z";

fn export(test_dir: &TestDir, products: &[(u32, &str, &str)]) {
    let all: Vec<String> =
        products.iter().flat_map(|(number, title, at)| product(*number, title, at)).collect();
    test_dir.write("export.jsonl", lines(&all));
}

fn why(test_dir: &TestDir, id: &str, more: &[&str]) -> RunOutput {
    test_dir.host(&[&["why", id, "--data-dir", "data"], more].concat())
}

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
    // Number 2 becomes a draft; of number 1 an old export comes.
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
    // By the number at the end of its id too.
    assert_eq!(json(&test_dir, "1"), live);

    let removed = json(&test_dir, "2");
    assert_eq!(removed["product"], "gid://shopify/Product/2");
    let said = (&removed["state"], &removed["version"]["updated_at"], &removed["job_id"]);
    assert_eq!(said, (&"removed".into(), &NEW.into(), &second));

    let refused = json(&test_dir, "3");
    assert_eq!((&refused["state"], &refused["job_id"]), (&"refused".into(), &Value::Null));
    assert!(refused["refusal"]["code"].is_string(), "{refused}");

    // A removed product does not come back by the export of before.
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
    assert!(ingest.arg(&*crate::support::SHOPIFY).status().unwrap().success());
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
