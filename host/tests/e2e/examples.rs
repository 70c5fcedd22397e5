//! The example plug-ins in `examples/plugins`, built as their authors build them, in whole runs.

use crate::support::{RunOutput, SHOP, SHOPIFY, TestDir, lines, product, run_output, shared_sample};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// Options of every run.
const OPTIONS: [&str; 7] = ["--shop", SHOP, "--data-dir", "data", "--output", "json", "--quiet"];

/// Copies an example to a folder that stays from one run of the tests to the next, since building it is slow. Beside it
/// are links to the folders that the example's own links lead to.
fn copy(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("examples").join(name);
    for link in ["wit", "crates/plugin-dev/src/templates"] {
        let to = base.join(link);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        // A link of an earlier run may lead to a folder that is gone.
        if !to.exists() {
            let _stale = fs::remove_file(&to);
            symlink(root.join(link), &to).unwrap();
        }
    }
    let folder = base.join("examples/plugins");
    fs::create_dir_all(&folder).unwrap();
    let copied =
        Command::new("cp").arg("-r").arg(root.join("examples/plugins").join(name)).arg(&folder).status();
    assert!(copied.unwrap().success());
    folder.join(name)
}

/// The component of an example, built by `host plugin build` with the tools that the test command installed.
fn build(test_dir: &TestDir, project: &Path) -> PathBuf {
    let mut command = test_dir.command(&["plugin", "build", project.to_str().unwrap()]);
    for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let built = run_output(command.output().unwrap());
    assert_eq!(built.code, Some(0), "{built:?}");
    project.join(project.file_name().unwrap()).with_extension("wasm")
}

/// The WooCommerce plug-in, built with packages that `npm` installs.
pub(crate) fn woocommerce(test_dir: &TestDir) -> PathBuf {
    let project = copy("woocommerce");
    if !project.join("node_modules").is_dir() {
        install(&project, "npm", &["install", "--silent", "--no-fund", "--no-audit"]);
    }
    build(test_dir, &project)
}

/// The Google feed plug-in, built with packages that `pip` installs into an environment of its own.
pub(crate) fn google_feed(test_dir: &TestDir) -> PathBuf {
    let project = copy("google-feed");
    if !project.join(".venv/bin/componentize-py").is_file() {
        install(&project, "python3", &["-m", "venv", ".venv"]);
        install(&project, ".venv/bin/pip", &["install", "--quiet", "-r", "requirements.txt"]);
    }
    build(test_dir, &project)
}

fn install(project: &Path, program: &str, arguments: &[&str]) {
    let path = project.join(program);
    // `current_dir` does not say where a program of the project is looked for.
    let program = if path.is_file() { path.as_path() } else { Path::new(program) };
    let status = Command::new(program).current_dir(project).args(arguments).status().unwrap();
    assert!(status.success(), "{} {arguments:?} in {}", program.display(), project.display());
}

fn run(test_dir: &TestDir, plugins: &[&Path]) -> RunOutput {
    let mut arguments = vec!["run", "export.jsonl"];
    for plugin in plugins {
        arguments.extend(["--plugin", plugin.to_str().unwrap()]);
    }
    test_dir.host(&[&arguments[..], &OPTIONS].concat())
}

#[test]
fn the_house_rules_example_validates_documents_of_the_shopify_plugin() {
    let test_dir = TestDir::new();
    let at = "2026-01-01T00:00:00Z";
    let insecure = product(3, "Cup", at).into_iter().map(|line| line.replace("https://cdn", "http://cdn"));
    let mut export = [product(1, "Mug", at), product(2, "THE BEST MUG IN THE WORLD", at)].concat();
    export.extend(insecure);
    test_dir.write("export.jsonl", lines(&export));
    let rules = build(&test_dir, &copy("house-rules"));
    let judged = run(&test_dir, &[&SHOPIFY, &rules]);
    assert_eq!(judged.code, Some(4), "{judged:?}");
    let judged = judged.json();
    assert_eq!((&judged["processed"], &judged["failed"]), (&json!(2), &json!(1)));
    let refused = &judged["samples"]["failed"][0];
    assert_eq!(
        (&refused["document_id"], &refused["code"], &refused["path"], &refused["plugin"]),
        (&json!("3"), &json!("insecure-image"), &json!("/image"), &json!("house-rules@0.1.0"))
    );
    let report = test_dir.host(&["jobs", "report", "--data-dir", "data"]).stdout;
    assert!(
        report.lines().any(|line| line.contains("title-shouts") && line.contains("\"warning\"")),
        "{report}"
    );
    assert_eq!(test_dir.documents().len(), 2);
}

/// All records (objects with `_links`) in a response of WooCommerce, however deep its lists nest them.
fn records(value: Value, found: &mut Vec<Value>) {
    match value {
        Value::Array(items) => items.into_iter().for_each(|item| records(item, found)),
        Value::Object(ref fields) if fields.contains_key("_links") => found.push(value),
        _ => {}
    }
}

mod needs_samples {
    use super::*;

    #[test]
    #[ignore = "needs answers of a WooCommerce shop"]
    fn the_shop_system_s_own_examples_pass_through_the_woocommerce_plugin() {
        let samples = [
            "woocommerce_rest_v3_official_examples.json",
            "woocommerce_rest_v3_official_variation_examples.json",
        ];
        let samples = samples.map(shared_sample);
        let test_dir = TestDir::new();
        let plugin = woocommerce(&test_dir);
        let mut found = Vec::new();
        for sample in samples {
            records(serde_json::from_slice(&fs::read(sample).unwrap()).unwrap(), &mut found);
        }
        let export: String = found.iter().map(|record| format!("{record}\n")).collect();
        test_dir.write("export.jsonl", &export);
        let first = run(&test_dir, &[&plugin]);
        assert_eq!(first.code, Some(0), "{first:?}");
        let first = first.json();
        assert_eq!(
            (&first["total_items"], &first["processed"], &first["skipped"]),
            (&json!(8), &json!(2), &json!(6))
        );
        assert_eq!(
            first["source"]["orphans"], 6,
            "the examples' variations are of a product that is none of them"
        );

        // When they name a product that is there, they become its variants.
        let test_dir = TestDir::new();
        test_dir.write("export.jsonl", export.replace("/products/22", "/products/799"));
        let second = run(&test_dir, &[&plugin]);
        assert_eq!(second.code, Some(0), "{second:?}");
        assert_eq!(second.json()["total_items"], 2);
        let documents = test_dir.documents();
        let ids: Vec<_> = documents.iter().map(|document| document["_id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["794", "799"]);
        // `date_modified_gmt` has no offset: only its name says that it is in UTC.
        assert_eq!(documents[0]["updated_at"], "2017-03-23T20:01:14Z");
        let prices = json!([{ "id": "732", "price": 9 }, { "id": "733", "price": 10 }]);
        for (variant, expected) in
            documents[1]["variants"].as_array().unwrap().iter().zip(prices.as_array().unwrap())
        {
            assert_eq!(
                (&variant["id"], variant["price"].as_f64()),
                (&expected["id"], expected["price"].as_f64())
            );
        }
        assert_eq!(documents[1]["variants"].as_array().unwrap().len(), 2);
    }
}
