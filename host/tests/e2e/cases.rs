//! Inputs as users have them: pages of errors, answers of APIs, odd values, exports that are cut off or follow one
//! another. The tables in `tests/cases` say what a user expects of each file by the rules of its platform.

use crate::support::{RunOutput, SHOP, SHOPIFY, TestDir, run_output};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

const TABLES: [&str; 5] = ["documents", "google-feed", "products", "sources", "woocommerce"];

/// The name of an input, and what makes it.
type Generated = (&'static str, fn() -> String);

/// Inputs that are too large for the repository.
const GENERATED: [Generated; 4] = [
    ("exports/03-woo-images-as-object/third-of-shop.jsonl", third_of_shop),
    ("exports/13-250-long-tags/products.jsonl", long_tags),
    ("exports/16-json-shapes/array-1000-lines.json", long_array),
    ("exports/33-giant-line/wide.jsonl", giant_line),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
    /// Files that are not yet read as a user expects, with the reason.
    #[serde(default)]
    known: BTreeMap<String, String>,
}

/// Runs one after another in one data directory, and the documents that are there in the end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    config: Option<String>,
    runs: Vec<Run>,
    /// Ids of all documents in the end.
    #[serde(default)]
    documents: Vec<String>,
    /// How many there are, instead of their ids.
    document_count: Option<usize>,
    /// Values in documents, by id and path, such as `price` or `variants/0/price`.
    #[serde(default)]
    fields: BTreeMap<String, BTreeMap<String, Value>>,
    /// Paths that documents do not have.
    #[serde(default)]
    absent: BTreeMap<String, Vec<String>>,
    /// Lengths of lists in documents.
    #[serde(default)]
    lengths: BTreeMap<String, BTreeMap<String, usize>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    files: Vec<String>,
    #[serde(default)]
    flags: Vec<String>,
    /// Of the runs of a case, each export is a day newer where this does not say otherwise.
    exported_at: Option<String>,
    exit: i32,
    #[serde(default)]
    counts: Counts,
    /// Words and codes on stdout, on stderr or in the report.
    #[serde(default)]
    says: Vec<String>,
}

/// Counts of a job; those that a table does not name are 0.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Counts {
    total: u64,
    processed: u64,
    skipped: u64,
    failed: u64,
    conflict: u64,
    deleted: u64,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/cases")
}

fn load(table: &str) -> Table {
    let path = folder().join(table).with_extension("toml");
    toml::from_str(&fs::read_to_string(&path).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Checks all cases of a table before it fails, so that one deviation hides no other.
#[track_caller]
fn check(table: &str, plugin: &Path) {
    let deviations: Vec<String> = load(table).case.iter().flat_map(|case| case.deviations(plugin)).collect();
    assert!(deviations.is_empty(), "{}", deviations.join("\n"));
}

impl Case {
    fn deviations(&self, plugin: &Path) -> Vec<String> {
        let test_dir = TestDir::new();
        let mut found = Vec::new();
        for (number, run) in self.runs.iter().enumerate() {
            let output = self.start(&test_dir, plugin, run, number);
            run.compare(&test_dir, &output, &mut found);
        }
        self.compare_documents(&test_dir, &mut found);
        let files: Vec<&String> = self.runs.iter().flat_map(|run| &run.files).collect();
        found.into_iter().map(|deviation| format!("{files:?}: {deviation}")).collect()
    }

    fn start(&self, test_dir: &TestDir, plugin: &Path, run: &Run, number: usize) -> RunOutput {
        let exported_at =
            run.exported_at.clone().unwrap_or_else(|| format!("2026-03-{:02}T12:00:00Z", number + 2));
        let mut command =
            test_dir.command(&["run", "--output", "json", "--shop", SHOP, "--data-dir", "data"]);
        command.args(["--exported-at", &exported_at]).arg("--plugin").arg(plugin);
        if let Some(config) = &self.config {
            command.arg("--config").arg(folder().join(config));
        }
        command.args(run.files.iter().map(|name| input(test_dir, name))).args(&run.flags);
        run_output(command.output().unwrap())
    }

    fn compare_documents(&self, test_dir: &TestDir, found: &mut Vec<String>) {
        let ids = document_ids(test_dir);
        match self.document_count {
            Some(count) if ids.len() != count => found.push(format!("{} documents: {ids:?}", ids.len())),
            None if ids != self.documents => found.push(format!("documents {ids:?}")),
            _ => {}
        }
        let ids: BTreeSet<&String> =
            self.fields.keys().chain(self.absent.keys()).chain(self.lengths.keys()).collect();
        for id in ids {
            let get =
                test_dir.host(&["documents", "get", id.as_str(), "--data-dir", "data", "--output", "json"]);
            if get.code != Some(0) {
                found.push(format!("{get:?}"));
                continue;
            }
            let document = get.json();
            let value = |path: &String| document.pointer(&format!("/{path}"));
            for (path, expected) in self.fields.get(id).into_iter().flatten() {
                if value(path) != Some(expected) {
                    found.push(format!("{path} is not {expected} in {document}"));
                }
            }
            for path in self.absent.get(id).into_iter().flatten() {
                if value(path).is_some() {
                    found.push(format!("{path} is in {document}"));
                }
            }
            for (path, expected) in self.lengths.get(id).into_iter().flatten() {
                let length = value(path).and_then(Value::as_array).map(Vec::len);
                if length != Some(*expected) {
                    found.push(format!("{path} has length {length:?} instead of {expected} in {id}"));
                }
            }
        }
    }
}

impl Run {
    fn compare(&self, test_dir: &TestDir, output: &RunOutput, found: &mut Vec<String>) {
        if output.code != Some(self.exit) {
            found.push(format!("exit code {:?} instead of {}: {output:?}", output.code, self.exit));
            return;
        }
        let mut said = format!("{}{}", output.stderr, output.stdout);
        // A source that is refused makes no job, so that counts and report would be those of another one.
        if self.exit != 2 {
            said += &test_dir.host(&["jobs", "report", "--data-dir", "data"]).stdout;
            let job = output.json();
            let Counts { total, processed, skipped, failed, conflict, deleted } = self.counts;
            for (name, expected) in [
                ("total_items", total),
                ("processed", processed),
                ("skipped", skipped),
                ("failed", failed),
                ("conflict", conflict),
                ("deleted", deleted),
            ] {
                if job[name] != expected {
                    found.push(format!("{} {name} instead of {expected}: {output:?}", job[name]));
                }
            }
        }
        for words in self.says.iter().filter(|words| !said.contains(words.as_str())) {
            found.push(format!("{words:?} is not said: {said}"));
        }
    }
}

fn document_ids(test_dir: &TestDir) -> Vec<String> {
    let listed =
        test_dir.host(&["documents", "list", "--limit", "1000000", "--data-dir", "data", "--output", "json"]);
    if listed.stderr.contains("there is no data directory") {
        return Vec::new();
    }
    let mut ids: Vec<String> = serde_json::from_value(listed.json()).unwrap();
    ids.sort();
    ids
}

/// A file of `tests/cases`, or one that is made now.
fn input(test_dir: &TestDir, name: &str) -> PathBuf {
    match GENERATED.iter().find(|(generated, _)| *generated == name) {
        Some((_, content)) => test_dir.write("generated", content()),
        None => folder().join(name),
    }
}

/// Three hundred products, of which each third has an object for its list of images.
fn third_of_shop() -> String {
    let product = |id: u32| {
        let images = if id.is_multiple_of(3) {
            r#"{"0":{"id":1,"src":"https://shop.example/1.jpg"},"1":{"id":2,"src":"https://shop.example/2.jpg"}}"#
        } else {
            "[]"
        };
        format!(
            r#"{{"id":{id},"name":"Item {id}","type":"simple","status":"publish","date_modified_gmt":"2026-04-17T06:17:04","price":"195.00","regular_price":"195.00","stock_status":"instock","categories":[{{"id":42,"name":"Food"}}],"images":{images},"_links":{{"self":[{{"href":"https://shop.example/wp-json/wc/v3/products/{id}"}}]}}}}"#
        ) + "\n"
    };
    (1..=300).map(product).collect()
}

fn long_tags() -> String {
    let tags: Vec<String> = (0..250).map(|number| format!("\"{number:t<255}\"")).collect();
    format!(
        r#"{{"id":"gid://shopify/Product/1301","title":"Sample 1301","status":"ACTIVE","tags":[{}],"updatedAt":"2026-03-01T10:00:00Z"}}
{{"id":"gid://shopify/ProductVariant/13011","price":"12.50","__parentId":"gid://shopify/Product/1301"}}
"#,
        tags.join(",")
    )
}

/// A product without variants.
fn product(id: u32, title: &str) -> String {
    format!(
        r#"{{"id":"gid://shopify/Product/{id}","title":"{title}","handle":"s-{id}","status":"ACTIVE","updatedAt":"2026-03-01T10:00:00Z"}}"#
    )
}

fn long_array() -> String {
    let products: Vec<String> = (0..1000).map(|id| product(id, &format!("S {id}"))).collect();
    format!("[\n{}\n]\n", products.join(",\n"))
}

fn giant_line() -> String {
    let wide = product(5001, "Wide")
        .replace(r#""status""#, &format!(r#""note":"{}","status""#, "x".repeat(4_000_000)));
    format!("{wide}\n{}\n", product(5002, "After"))
}

#[test]
fn each_input_is_in_a_table() {
    let mut named = BTreeSet::new();
    for table in TABLES.map(load) {
        named.extend(table.known.into_keys());
        for case in table.case {
            named.extend(case.config);
            named.extend(case.runs.into_iter().flat_map(|run| run.files));
        }
    }
    let mut inputs: BTreeSet<String> = GENERATED.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut folders = vec![folder().join("exports"), folder().join("documents")];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                inputs.insert(path.strip_prefix(folder()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    assert_eq!(named, inputs);
}

#[test]
fn sources_are_read_or_refused_by_name() {
    check("sources", &SHOPIFY);
}

#[test]
fn products_become_what_their_shop_shows() {
    check("products", &SHOPIFY);
}

#[test]
fn sources_of_one_shop_unite_and_later_ones_change_what_they_should() {
    check("documents", &SHOPIFY);
}

/// The next export of a shop is written, whether the killed run was still reading or had begun to write.
#[test]
fn a_killed_run_holds_no_later_export_up() {
    for moment in [r#""sealed":false"#, r#""sealed":true"#] {
        let test_dir = TestDir::new();
        let large: String = (100_000..120_000).map(|id| product(id, &"word ".repeat(30)) + "\n").collect();
        test_dir.write("large.jsonl", large);
        let mut killed = test_dir.spawn("large.jsonl");
        let jobs = || test_dir.host(&["jobs", "list", "--data-dir", "data", "--output", "json"]);
        while !jobs().stdout.contains(moment) {
            assert_eq!(killed.try_wait().unwrap(), None, "the run ended before it was killed");
            thread::sleep(Duration::from_millis(10));
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
        let good = folder().join("exports/18-full-sync-of-nothing/good.jsonl");
        let output = test_dir.run(good.to_str().unwrap(), &[]);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_eq!(output.json()["processed"], 10, "{output:?}");
        let ids = document_ids(&test_dir);
        assert!((1801..=1810).all(|id| ids.contains(&id.to_string())), "{ids:?}");
        let jobs = jobs().json();
        assert!(jobs.as_array().unwrap().iter().all(|job| !job["ended_at"].is_null()), "{jobs}");
    }
}

mod needs_npm {
    use super::{TestDir, check};
    use crate::examples;

    #[test]
    #[ignore = "needs npm and its registry"]
    fn products_of_woocommerce_become_what_their_shop_shows() {
        check("woocommerce", &examples::woocommerce(&TestDir::new()));
    }
}

mod needs_python {
    use super::{TestDir, check};
    use crate::examples;

    #[test]
    #[ignore = "needs Python and its package index"]
    fn items_of_google_feeds_become_what_their_shop_shows() {
        check("google-feed", &examples::google_feed(&TestDir::new()));
    }
}
