//! Exports that are not what they claim to be, or not one record a line: what is read, what is refused with which exit
//! code, and what stays in the catalog.

use crate::support::{RunOutput, TestDir, lines, product, run_output};
use serde_json::{Value, json};

const MONDAY: &str = "2026-11-02T08:00:00Z";
const TUESDAY: &str = "2026-11-03T08:00:00Z";

/// Three products of two days before, which nothing below may take away.
fn filled() -> TestDir {
    let test_dir = TestDir::new();
    let products: Vec<String> = (1..=3).flat_map(|number| product(number, "Mug", MONDAY)).collect();
    test_dir.write("before.jsonl", lines(&products));
    assert_eq!(test_dir.run("before.jsonl", &[]).code, Some(0));
    test_dir
}

#[track_caller]
fn assert_refused(test_dir: &TestDir, output: &RunOutput, words: &str) {
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains(words), "{words:?} is not in {output:?}");
    let jobs = test_dir.host(&["jobs", "list", "--data-dir", "data", "--output", "json"]).json();
    assert_eq!(jobs.as_array().map(Vec::len), Some(1), "a refused export made a job");
    assert_eq!(test_dir.documents().len(), 3);
}

#[test]
fn a_full_sync_of_something_else_than_an_export_is_refused_and_archives_nothing() {
    let test_dir = filled();
    for (content, words) in [
        (&b"<!DOCTYPE html>\n<title>Temporary problem</title>\n"[..], "an HTML page"),
        (b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code></Error>", "XML or HTML"),
        (b"Handle,Title\nmug,Mug\n", "a table, as in CSV"),
        (b"{'id': 'gid://shopify/Product/1'}\n", "Python"),
        (b"{\"errors\":[{\"message\":\"Throttled\"}]}", "Throttled"),
        (b"{\0\"\0i\0d\0\"\0", "UTF-16"),
        (b"[{\"id\":\"gid://shopify/Product/1\"},{\"id\":", "ends in the middle"),
    ] {
        test_dir.write("export", content);
        assert_refused(&test_dir, &test_dir.run("export", &["--full"]), words);
    }
}

#[test]
fn more_bad_lines_than_the_setting_accepts_are_refused() {
    let test_dir = filled();
    let good: Vec<String> = (1..=3).flat_map(|number| product(number, "Cup", TUESDAY)).collect();
    test_dir.write("export.jsonl", lines(&good) + &"not JSON\n".repeat(10));
    assert_refused(&test_dir, &test_dir.run("export.jsonl", &[]), "ingest.max_skipped_share");
    let with_share = |share: &str| {
        let mut command = test_dir.run_command("export.jsonl", &[]);
        run_output(command.env("HOST_INGEST__MAX_SKIPPED_SHARE", share).output().unwrap())
    };
    for impossible in ["1.1", "-0.1", "NaN", "half"] {
        assert_refused(&test_dir, &with_share(impossible), "max_skipped_share");
    }
    let accepted = with_share("0.9");
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
    assert_eq!(accepted.json()["skipped"], 10, "{accepted:?}");
}

/// The same product in the forms of Shopify's APIs makes the same document.
#[test]
fn every_form_of_the_same_product_makes_the_same_document() {
    let variants = json!([
        {"id": "gid://shopify/ProductVariant/11", "title": "S", "price": "5.00", "sku": "A", "position": 1},
        {"id": "gid://shopify/ProductVariant/12", "title": "M", "price": "7.00", "sku": "B", "position": 2},
    ]);
    let root =
        json!({"id": "gid://shopify/Product/1", "title": "Tee", "status": "ACTIVE", "updatedAt": MONDAY});
    let with = |key: &str, value: Value| {
        let mut product = root.clone();
        product[key] = value;
        product
    };
    let child = |variant: &Value| {
        let mut variant = variant.clone();
        variant["__parentId"] = root["id"].clone();
        variant
    };
    let connection = with("variants", json!({"nodes": variants, "pageInfo": {"hasNextPage": false}}));
    let edges: Vec<Value> = variants.as_array().unwrap().iter().map(|node| json!({"node": node})).collect();
    let rest = json!({
        "id": 1, "admin_graphql_api_id": "gid://shopify/Product/1", "title": "Tee", "status": "active", "updated_at": MONDAY,
        "variants": [
            {"id": 11, "product_id": 1, "title": "S", "price": "5.00", "sku": "A", "position": 1},
            {"id": 12, "product_id": 1, "title": "M", "price": "7.00", "sku": "B", "position": 2},
        ],
        "variant_gids": [{"admin_graphql_api_id": "1"}, {"admin_graphql_api_id": "2"}],
    });
    let bulk = [root.clone(), child(&variants[0]), child(&variants[1])].map(|line| line.to_string() + "\n");
    let forms = [
        ("bulk", bulk.concat()),
        ("bulk in an array", format!("[{}]", bulk.each_ref().map(|line| line.trim_end()).join(","))),
        ("pretty", serde_json::to_string_pretty(&connection).unwrap()),
        ("GraphQL", json!({"data": {"products": {"nodes": [connection]}}}).to_string()),
        (
            "GraphQL with edges",
            json!({"data": {"products": {"edges": [{"node": with("variants", json!({"edges": edges}))}]}}})
                .to_string(),
        ),
        ("one product", json!({"data": {"product": connection}}).to_string()),
        ("REST", json!({"products": [rest]}).to_string()),
        ("webhook", rest.to_string()),
        ("webhook in an envelope", json!({"product": rest}).to_string()),
    ];
    let mut expected = None;
    for (name, content) in forms {
        let test_dir = TestDir::new();
        test_dir.write("export", content);
        let output = test_dir.run("export", &[]);
        assert_eq!(output.code, Some(0), "{name}: {output:?}");
        let mut documents = test_dir.documents();
        assert_eq!(documents.len(), 1, "{name}");
        let document = documents.remove(0);
        assert_eq!(document["min_price"], 5.0, "{name}: {document}");
        assert_eq!(&document, expected.get_or_insert_with(|| document.clone()), "{name}");
    }
}

#[test]
fn a_product_that_lost_a_line_stays_as_it_was_and_the_next_whole_export_is_taken() {
    let test_dir = filled();
    let before = test_dir.documents();
    let changed: Vec<String> = (1..=3).flat_map(|number| product(number, "Cup", TUESDAY)).collect();
    let whole = lines(&changed);
    let cut = &whole[..whole.trim_end().len() - 40];
    test_dir.write("cut.jsonl", cut);
    let output = test_dir.run("cut.jsonl", &[]);
    assert_eq!(output.code, Some(4), "{output:?}");
    let report = output.json();
    assert_eq!((&report["failed"], &report["skipped"]), (&json!(1), &json!(1)), "{report}");
    assert!(output.stdout.contains("incomplete-product"), "{report}");
    let after = test_dir.documents();
    let title = |documents: &[Value], id: &str| {
        documents.iter().find(|document| document["_id"] == id).map(|document| document["title"].clone())
    };
    assert_eq!(title(&after, "1"), Some(json!("Cup")));
    assert_eq!(title(&after, "3"), title(&before, "3"));
    test_dir.write("whole.jsonl", &whole);
    let healed = test_dir.run("whole.jsonl", &[]);
    assert_eq!(healed.code, Some(0), "{healed:?}");
    assert_eq!(title(&test_dir.documents(), "3"), Some(json!("Cup")));
}

#[test]
fn an_export_with_other_numbers_than_the_bulk_operation_is_refused() {
    let test_dir = filled();
    let products: Vec<String> = (1..=2).flat_map(|number| product(number, "Cup", TUESDAY)).collect();
    let export = lines(&products);
    test_dir.write("export.jsonl", &export);
    let operation = |objects: usize, status: &str| {
        json!({"data": {"bulkOperation": {"status": status, "errorCode": null, "createdAt": TUESDAY,
            "objectCount": objects.to_string(), "rootObjectCount": "2", "fileSize": export.len().to_string()}}})
        .to_string()
    };
    test_dir.write("cut.json", operation(products.len() + 1, "COMPLETED"));
    test_dir.write("running.json", operation(products.len(), "RUNNING"));
    test_dir.write("operation.json", operation(products.len(), "COMPLETED"));
    let run = |more: &[&str]| test_dir.run("export.jsonl", more);
    assert_refused(&test_dir, &run(&["--bulk-operation", "cut.json"]), "should have");
    assert_refused(&test_dir, &run(&["--bulk-operation", "running.json"]), "RUNNING");
    assert_refused(&test_dir, &run(&["--expect-root-objects", "3"]), "root objects");
    assert_refused(&test_dir, &run(&["--expect-bytes", "3"]), "bytes");
    let whole = run(&["--bulk-operation", "operation.json"]);
    assert_eq!(whole.code, Some(0), "{whole:?}");
}

#[test]
fn the_last_page_that_names_another_one_archives_nothing() {
    let test_dir = filled();
    let page = json!({"data": {"products": {"pageInfo": {"hasNextPage": true}, "nodes": [
        {"id": "gid://shopify/Product/1", "title": "Cup", "status": "ACTIVE", "updatedAt": TUESDAY}]}}});
    test_dir.write("page.json", page.to_string());
    let output = test_dir.run("page.json", &["--full"]);
    assert!(output.stderr.contains("another page follows"), "{output:?}");
    assert_eq!(test_dir.documents().len(), 3);
}
