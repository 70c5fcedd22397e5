//! Each row of the error tables of Marqo's API: what the server answers, and the outcome of each item (a document or
//! removal). A scenario is one run of host; the snapshots beside this file have the class, code and message of each
//! item.
//!
//! The rows, also called rules, are in the table `RULES` of the stand-in for a Marqo server, which records each rule
//! that it applies: a scenario about a rule must have met it. Where neither a plug-in nor host can be made to send what
//! a rule is about, the stand-in answers as the rule says on request ([`Fault::Refused`]).

mod documents;
mod others;
mod requests;

use crate::support::{RunOutput, SHOP, TestDir, guest, run_output};
use marqo_stand_in::{Answer, Fault, FaultRule, Operation, Options, RULES, Rule, StandIn, Version};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{Read, Write as _},
    net::TcpStream,
    path::PathBuf,
    sync::LazyLock,
};

pub(crate) const INDEX: &str = "shop";

/// A guest plug-in that makes of each line exactly the document that the line holds.
static VERBATIM: LazyLock<PathBuf> = LazyLock::new(|| guest("guest-evil"));

/// The bundled validator. The guest validates as well and is named, so the bundled one must be named after it to be
/// used.
static BUNDLED: LazyLock<PathBuf> = LazyLock::new(|| guest("default-validator"));

/// One run against a server of its own.
pub(crate) struct Scenario {
    name: &'static str,
    version: Version,
    /// Body of the server's call that creates the index; null for an index without a schema.
    index: Value,
    /// Body of another client's request that adds documents before the run; null for none.
    foreign: Value,
    /// Flags of `host settings put`.
    settings: Vec<String>,
    /// `add` or `update`.
    operation: &'static str,
    items: Vec<Item>,
    faults: Vec<FaultRule>,
    /// Rules about requests as a whole.
    rules: Vec<&'static str>,
    end: End,
    /// Whether to run it again with the bundled validator, which finds some errors before the server does.
    is_also_validated: bool,
}

/// How a run ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Each item is processed or failed.
    AllCounted,
    /// An operator must act: nothing is counted, and the same command resumes when the server is fixed.
    Stops,
}

/// A document or a removal, and its outcome.
pub(crate) struct Item {
    /// The rule that it is about; `None` if nothing is wrong with it.
    rule: Option<&'static str>,
    /// Whether the server applies the rule. Otherwise host does not send the item to it.
    is_met: bool,
    /// Its id; `None` for one made of rule and position.
    id: Option<String>,
    /// The fields that an earlier run wrote under its id; `None` if it is new.
    before: Option<Value>,
    fields: Value,
    /// The code with which it fails; `None` if it is processed.
    code: Option<&'static str>,
    /// What the stand-in does when it meets the document.
    fault: Option<FaultRule>,
}

/// An item about a rule.
pub(crate) fn item(rule: &'static str, fields: Value) -> Item {
    Item { rule: Some(rule), is_met: true, id: None, before: None, fields, code: None, fault: None }
}

/// An item with nothing wrong.
pub(crate) fn good() -> Item {
    Item { rule: None, ..item("", json!({ "title": "A mug" })) }
}

/// A fault with which the stand-in answers as a rule says, with this message.
pub(crate) fn refused(rule: &str, message: &str) -> FaultRule {
    FaultRule::new(Fault::Refused { rule: rule.to_owned(), message: message.to_owned() })
}

impl Item {
    /// It fails with this code.
    pub(crate) fn fails(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// Host does not send it to the server, or not what the rule is about.
    pub(crate) fn kept_from_the_server(self) -> Self {
        Self { is_met: false, ..self }
    }

    /// With this id.
    pub(crate) fn id(self, id: &str) -> Self {
        Self { id: Some(id.to_owned()), ..self }
    }

    /// An earlier run wrote these fields under its id.
    pub(crate) fn was(self, fields: Value) -> Self {
        Self { before: Some(fields), ..self }
    }

    /// The stand-in does this when it meets the document.
    pub(crate) fn with(self, fault: FaultRule) -> Self {
        Self { fault: Some(fault), ..self }
    }

    /// The stand-in answers as the rule says, with this message.
    pub(crate) fn told(self, message: &str) -> Self {
        let fault = refused(self.rule.unwrap_or_default(), message);
        self.with(fault)
    }
}

impl Scenario {
    /// Items that are added to an index without a schema.
    pub(crate) fn of(name: &'static str, items: Vec<Item>) -> Self {
        Self {
            name,
            version: Version::V2_25,
            index: Value::Null,
            foreign: Value::Null,
            settings: ["--batch-complexity", "1000", "--tensor-field", "title"].map(str::to_owned).to_vec(),
            operation: "add",
            items,
            faults: Vec::new(),
            rules: Vec::new(),
            end: End::AllCounted,
            is_also_validated: false,
        }
    }

    /// A passing fault of requests, after which host processes all documents.
    pub(crate) fn passing(name: &'static str, rule: Option<&'static str>, fault: FaultRule) -> Self {
        let rules = rule.into_iter().collect();
        Self { rules, faults: vec![fault], ..Self::of(name, vec![good(), good(), good()]) }
    }

    /// A rule about whole requests, at which the run stops until the server is fixed.
    pub(crate) fn stopping(rule: &'static str, fault: FaultRule) -> Self {
        Self { end: End::Stops, ..Self::passing(rule, Some(rule), fault) }
    }

    /// On a server of version 2.13.
    pub(crate) fn old(self) -> Self {
        Self { version: Version::V2_13, ..self }
    }

    /// With partial updates instead of whole documents.
    pub(crate) fn updating(self) -> Self {
        Self { operation: "update", ..self }
    }

    /// On an index that is created with this body.
    pub(crate) fn on(self, index: Value) -> Self {
        Self { index, ..self }
    }

    /// After this request of another client.
    pub(crate) fn after(self, foreign: Value) -> Self {
        Self { foreign, ..self }
    }

    /// With these flags of `host settings put`.
    pub(crate) fn settings(self, settings: &[&str]) -> Self {
        Self { settings: settings.iter().map(|flag| (*flag).to_owned()).collect(), ..self }
    }

    /// Run again with the bundled validator.
    pub(crate) fn also_validated(self) -> Self {
        Self { is_also_validated: true, ..self }
    }

    /// Runs it and checks the outcome; returns the text for the snapshot.
    fn play(&self) -> String {
        let mut text = format!("# {}, {}\n", self.name, self.version);
        for rule in self.rules.iter().copied().chain(self.items.iter().filter_map(|item| item.rule)) {
            let line = format!("§{} {}: {}\n", row(rule).section, rule, row(rule).case);
            if !text.contains(&line) {
                text.push_str(&line);
            }
        }
        let stage = Stage::new(self);
        stage.run_scenario(&mut text, false);
        stage.check_rules();
        if self.is_also_validated {
            text.push_str("With the validator that the host brings along:\n");
            Stage::new(self).run_scenario(&mut text, true);
        }
        text
    }
}

/// The rule of this name.
fn row(rule: &str) -> &'static Rule {
    RULES.iter().find(|row| row.name() == rule).unwrap_or_else(|| panic!("the table has no row {rule}"))
}

/// A folder and a server for one run, and the ids of its items.
struct Stage<'a> {
    scenario: &'a Scenario,
    server: StandIn,
    test_dir: TestDir,
    ids: Vec<String>,
}

impl<'a> Stage<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let indexes = if scenario.index.is_null() { vec![INDEX.to_owned()] } else { Vec::new() };
        let options = Options { version: scenario.version, indexes, ..Options::default() };
        let server = StandIn::start(options).unwrap();
        if !scenario.index.is_null() {
            post(server.url(), &format!("/indexes/{INDEX}"), &scenario.index);
        }
        if !scenario.foreign.is_null() {
            post(server.url(), &format!("/indexes/{INDEX}/documents"), &scenario.foreign);
        }
        let test_dir = TestDir::new();
        test_dir.write("host.toml", "[plugin.config.evil]\ndo = \"verbatim\"\n");
        let put = ["settings", "put", INDEX, "--data-dir", "data", "--endpoint", server.url()];
        let put: Vec<&str> = put.into_iter().chain(scenario.settings.iter().map(String::as_str)).collect();
        let put = test_dir.host(&put);
        assert_eq!(put.code, Some(0), "{}: {put:?}", scenario.name);
        let id = |(at, item): (usize, &Item)| {
            item.id.clone().unwrap_or_else(|| format!("{}.{at}", item.rule.unwrap_or("good")))
        };
        let ids = scenario.items.iter().enumerate().map(id).collect();
        Self { scenario, server, test_dir, ids }
    }

    fn items(&self) -> impl Iterator<Item = (&str, &Item)> {
        self.ids.iter().map(String::as_str).zip(&self.scenario.items)
    }

    /// `host run` of the export.
    fn run(&self, operation: &str, is_validated: bool) -> RunOutput {
        let mut arguments = vec![
            "run",
            "--output",
            "json",
            "--quiet",
            "--shop",
            SHOP,
            "--data-dir",
            "data",
            "--target",
            "marqo",
            // One lane, so that the report has the items in their order.
            "--lanes",
            "1",
        ];
        arguments.extend([
            "--index",
            INDEX,
            "--operation",
            operation,
            "--plugin",
            VERBATIM.to_str().unwrap(),
        ]);
        if is_validated {
            arguments.extend(["--plugin", BUNDLED.to_str().unwrap()]);
        }
        let mut command = self.test_dir.command(&arguments);
        command.arg("export.jsonl").env("HOST_MARQO__REQUEST_TIMEOUT_SECONDS", "2");
        run_output(command.output().unwrap())
    }

    /// Writes an export with these ids and fields.
    fn write<'b>(&self, lines: impl Iterator<Item = (&'b str, &'b Value)>) {
        let line = |(id, fields): (&str, &Value)| {
            let mut line = Map::from_iter([("id".to_owned(), json!(id))]);
            line.extend(fields.as_object().unwrap().clone());
            Value::Object(line).to_string() + "\n"
        };
        self.test_dir.write("export.jsonl", lines.map(line).collect::<String>());
    }

    fn faults(&self) -> Vec<FaultRule> {
        let writing = if self.scenario.operation == "update" { Operation::Patch } else { Operation::Add };
        let of_item = |(id, item): (&str, &Item)| {
            let fault = item.fault.clone()?.document(id);
            Some(FaultRule { operation: fault.operation.or(Some(writing)), ..fault })
        };
        self.scenario.faults.iter().cloned().chain(self.items().filter_map(of_item)).collect()
    }

    /// Writes what was there before, then runs the scenario and adds its outcome to the text.
    fn run_scenario(&self, text: &mut String, is_validated: bool) {
        let name = self.scenario.name;
        if self.scenario.items.iter().any(|item| item.before.is_some()) {
            self.write(self.items().filter_map(|(id, item)| Some((id, item.before.as_ref()?))));
            let before = self.run("add", false);
            assert_eq!(before.code, Some(0), "{name}: {before:?}");
        }
        self.write(self.items().map(|(id, item)| (id, &item.fields)));
        self.server.set_faults(&self.faults());
        let output = self.run(self.scenario.operation, is_validated);
        match self.scenario.end {
            End::AllCounted => self.check_counted(&output, text, is_validated),
            End::Stops => self.check_stopped(&output, text),
        }
    }

    /// Checks counts, report and index after a run in which each item was processed or failed.
    fn check_counted(&self, output: &RunOutput, text: &mut String, is_validated: bool) {
        let name = self.scenario.name;
        let json = output.json();
        let count = |class: &str| json[class].as_u64().unwrap();
        let [total, processed, failed] = ["total_items", "processed", "failed"].map(count);
        assert_eq!(processed + failed + count("skipped") + count("conflict"), total, "{name}: {output:?}");
        assert_eq!(total, self.scenario.items.len() as u64, "{name}: {output:?}");
        let is_bad = |item: &&Item| item.code.is_some();
        let bad = self.scenario.items.iter().filter(is_bad).count() as u64;
        let report = self.test_dir.host(&["jobs", "report", "--data-dir", "data"]);
        let entries: Vec<Value> =
            report.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let failures: Vec<&Value> = entries.iter().filter(|entry| entry["class"] == "failed").collect();
        assert_eq!(failures.len() as u64, failed, "{name}: {}", report.stdout);
        let held = self.server.documents(INDEX);
        for (id, item) in self.items() {
            let entry = failures.iter().find(|entry| entry["document_id"] == id);
            // The report of an item that never became a document has only its line.
            let is_nameless = failures.iter().any(|entry| entry["document_id"].is_null());
            match (entry, item.code) {
                (Some(entry), Some(code)) if !is_validated => {
                    assert_eq!(entry["code"], code, "{id} in {name}");
                }
                (None, Some(_)) => assert!(is_nameless, "{id} in {name} did not fail: {}", report.stdout),
                (Some(entry), None) if !is_validated => panic!("{id} in {name} failed: {entry}"),
                _ => {}
            }
            if self.scenario.operation == "add" && item.before.is_none() && entry.is_some() {
                assert!(!held.contains_key(id), "{id} in {name} failed and was written");
            }
        }
        if is_validated {
            assert!(failed >= bad, "{name}: {}", report.stdout);
        } else {
            assert_eq!(failed, bad, "{name}: {}", report.stdout);
            assert_eq!(output.code, Some(if bad > 0 { 4 } else { 0 }), "{name}: {output:?}");
        }
        let _ =
            writeln!(text, "exit {}: {total} items, {processed} processed, {failed} failed", code(output));
        for entry in entries {
            let said = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
            let [class, id, code, message] = ["class", "document_id", "code", "message"].map(said);
            let _ = writeln!(text, "  {class} {id}: {code}: {}", self.clean(&message));
        }
    }

    /// Checks that a stopped run counted nothing, and that the next one counts everything once the server is fixed.
    fn check_stopped(&self, output: &RunOutput, text: &mut String) {
        let name = self.scenario.name;
        assert_eq!(output.code, Some(1), "{name}: {output:?}");
        let job = self.test_dir.host(&["jobs", "show", "--data-dir", "data", "--output", "json"]).json();
        assert_eq!((&job["processed"], &job["failed"]), (&json!(0), &json!(0)), "{name}: {job}");
        let _ = writeln!(text, "exit 1, nothing counted");
        for line in output.stderr.lines() {
            let _ = writeln!(text, "  {}", self.clean(line));
        }
        self.server.set_faults(&[]);
        let output = self.run(self.scenario.operation, false);
        assert_eq!(
            (output.code, &output.json()["processed"]),
            (Some(0), &output.json()["total_items"]),
            "{name}: {output:?}"
        );
    }

    /// The text without what differs from run to run: the server's address and ids of jobs.
    fn clean(&self, text: &str) -> String {
        let text = text.replace(self.server.url(), "SERVER");
        // A job's id is a UUID.
        let is_job_id = |word: &str| word.len() == 36 && word.matches('-').count() == 4;
        let words = text.split_inclusive([' ', '/', '`', ',']);
        words
            .map(|word| {
                let name = word.trim_end_matches([' ', '/', '`', ',']);
                if is_job_id(name) { word.replace(name, "JOB") } else { word.to_owned() }
            })
            .collect()
    }

    /// Checks that the server applied each rule that the scenario is about.
    fn check_rules(&self) {
        let met = self.server.rules_met();
        let of_items = self.scenario.items.iter().filter(|item| item.is_met).filter_map(|item| item.rule);
        for rule in self.scenario.rules.iter().copied().chain(of_items) {
            assert!(met.contains_key(rule), "{} never met {rule}, but {met:?}", self.scenario.name);
        }
    }
}

fn code(output: &RunOutput) -> i32 {
    output.code.unwrap_or(-1)
}

/// Sends the server a request that host does not send.
fn post(url: &str, path: &str, body: &Value) {
    let body = body.to_string();
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    let head = "host: x\r\nconnection: close\r\ncontent-type: application/json";
    write!(stream, "POST {path} HTTP/1.1\r\n{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Plays scenarios in parallel, eight at a time, since they mostly wait; returns their texts in order.
#[track_caller]
fn play(scenarios: &[Scenario]) -> String {
    LazyLock::force(&VERBATIM);
    LazyLock::force(&BUNDLED);
    let mut told = Vec::new();
    for group in scenarios.chunks(8) {
        std::thread::scope(|scope| {
            let players: Vec<_> = group.iter().map(|scenario| scope.spawn(|| scenario.play())).collect();
            told.extend(players.into_iter().map(|player| player.join().unwrap()));
        });
    }
    told.join("\n")
}

#[test]
fn of_documents() {
    insta::assert_snapshot!(play(&documents::scenarios()));
}

#[test]
fn of_requests_that_pass() {
    // Nothing fails, so there is no text worth a snapshot.
    play(&requests::passing());
}

#[test]
fn of_requests_that_are_refused() {
    insta::assert_snapshot!(play(&requests::refused_as_a_whole()));
}

#[test]
fn of_updates_removals_and_reads() {
    insta::assert_snapshot!(play(&others::scenarios()));
}

/// Rules that no scenario meets, with the reason.
const NEVER_MET: &[(&str, &[&str])] = &[
    ("every body is sent as application/json", &["content-type-text"]),
    ("no request names a device", &["device-bad", "device-absent"]),
    (
        "no request is made without documents or ids",
        &["add-empty", "patch-empty", "get-empty", "get-batch-empty", "delete-empty"],
    ),
    (
        "these keys are not sent",
        &["model-auth-bad", "thread-counts-twice", "media-headers-twice", "vectorisation-mode-gone"],
    ),
    ("host makes no index", &["index-exists", "index-name", "index-key", "index-setting"]),
    ("documents are read by the call for many alone", &["get-one-missing", "get-slash"]),
    ("an id is checked where its document is made", &["get-id-bad", "delete-id-empty"]),
    ("operators alone make this call", &["model-not-in-cache"]),
    ("a separate test: marqo::a_wrong_key_is_said_and_never_shown", &["key-wrong"]),
    ("a separate test: rows::others::listing_says_what_the_server_says", others::LISTING),
];

#[test]
fn no_row_is_forgotten() {
    let scenarios =
        [documents::scenarios(), requests::passing(), requests::refused_as_a_whole(), others::scenarios()];
    let rules_of = |scenario: &Scenario| {
        let of_items = scenario.items.iter().filter_map(|item| item.rule);
        scenario.rules.iter().copied().chain(of_items).map(str::to_owned).collect::<Vec<_>>()
    };
    let played: BTreeSet<String> = scenarios.iter().flatten().flat_map(rules_of).collect();
    let never: BTreeSet<String> =
        NEVER_MET.iter().flat_map(|(_, rules)| rules.iter()).map(|rule| (*rule).to_owned()).collect();
    let is_error = |rule: &&&Rule| !matches!(rule.answer, Answer::Served(_));
    let errors: BTreeSet<String> = RULES.iter().filter(is_error).map(|rule| rule.name()).collect();
    let claimed: BTreeSet<String> = played.union(&never).cloned().collect();
    assert_eq!(
        errors.difference(&claimed).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "rows without a scenario"
    );
    assert_eq!(played.intersection(&never).collect::<Vec<_>>(), Vec::<&String>::new(), "met after all");
    let unknown: Vec<_> =
        claimed.iter().filter(|rule| !RULES.iter().any(|row| row.name() == **rule)).collect();
    assert_eq!(unknown, Vec::<&String>::new(), "of no table");
}
