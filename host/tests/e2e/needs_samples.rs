//! Runs of real exports, which are not part of the repository; a variable names their folder ([`shared_sample`]).

use crate::support::{TestDir, shared_sample};
use serde_json::Value;

fn run(name: &str) -> (TestDir, crate::support::RunOutput) {
    let sample = shared_sample(name);
    let test_dir = TestDir::new();
    let output = test_dir.run(sample.to_str().unwrap(), &[]);
    (test_dir, output)
}

#[test]
#[ignore = "needs exports of real shops"]
fn a_real_shop_is_synced_then_unchanged_then_in_conflict() {
    let sample = shared_sample("kaizoku.jsonl");
    let test_dir = TestDir::new();
    let export = std::fs::read_to_string(sample).unwrap();
    test_dir.write("export.jsonl", &export);
    let first = test_dir.run("export.jsonl", &[]);
    let view = first.json();
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!((&view["source"]["products"], &view["source"]["lines"]), (&32.into(), &300.into()));
    assert_eq!((&view["processed"], &view["skipped"], &view["failed"]), (&32.into(), &0.into(), &0.into()));

    let again = test_dir.run("export.jsonl", &[]);
    assert_eq!((again.code, &again.json()["unchanged"]), (Some(0), &32.into()));

    let mut root: Value = serde_json::from_str(export.lines().next().unwrap()).unwrap();
    root["title"] = "Renamed".into();
    root["updatedAt"] = "2020-01-01T00:00:00Z".into();
    let older: Vec<String> =
        std::iter::once(root.to_string()).chain(export.lines().skip(1).map(str::to_owned)).collect();
    test_dir.write("export.jsonl", crate::support::lines(&older));
    let conflict = test_dir.run("export.jsonl", &[]);
    assert_eq!(
        (conflict.code, &conflict.json()["conflict"], &conflict.json()["unchanged"]),
        (Some(3), &1.into(), &31.into())
    );
}

#[test]
#[ignore = "needs exports of real shops"]
fn a_bad_line_is_counted_and_explained() {
    let (_test_dir, output) = run("fixture_neanelu_basic-products_with_bad_line.jsonl");
    let view = output.json();
    assert_eq!(
        (output.code, &view["processed"], &view["skipped"]),
        (Some(0), &2.into(), &1.into()),
        "{output:?}"
    );
    let sample = &view["samples"]["skipped"][0];
    assert_eq!((&sample["line"], &sample["code"]), (&4.into(), &"invalid-json".into()));
}

#[test]
#[ignore = "needs exports of real shops"]
fn three_levels_and_children_without_id_land_in_their_product() {
    let (test_dir, output) = run("levis_3level_stackoverflow65466783.jsonl");
    assert_eq!(
        (output.code, &output.json()["processed"], &output.json()["skipped"]),
        (Some(0), &1.into(), &0.into()),
        "{output:?}"
    );
    let documents = test_dir.documents();
    assert_eq!(documents[0]["variants"].as_array().unwrap().len(), 3);
}

#[test]
#[ignore = "needs exports of real shops"]
fn every_other_sample_runs() {
    for (name, processed, skipped) in [
        ("fixture_snowthen_sample_products.jsonl", 2, 3),
        ("neanelu_agrosel_4lines.raw.jsonl", 2, 0),
        ("shopifydev_guide_example.jsonl", 5, 0),
    ] {
        let (_test_dir, output) = run(name);
        let view = output.json();
        assert_eq!(
            (output.code, &view["processed"], &view["skipped"]),
            (Some(0), &processed.into(), &skipped.into()),
            "{name}: {output:?}"
        );
    }
}
