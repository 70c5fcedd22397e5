//! What an author of a plug-in sees: the output of `host plugin` commands, and that they refuse what is wrong. The evil
//! plug-in is a guest of the tests that does what its configuration `do` tells: it works (`good`), traps, lies or
//! loops.

use crate::support::{SHOPIFY, TestDir, guest, lines, product};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

static EVIL: LazyLock<PathBuf> = LazyLock::new(|| guest("guest-evil"));

const AT: &str = "2026-01-01T00:00:00Z";

/// A plug-in project around a component that is already built.
fn project(test_dir: &TestDir, name: &str, component: &Path, more: &str) {
    fs::create_dir_all(test_dir.path(name).join("fixtures/transform")).unwrap();
    let toml = format!("name = \"{name}\"\nlang = \"rust\"\ncomponent = {component:?}\n{more}");
    test_dir.write(&format!("{name}/plugin.toml"), toml);
}

fn fixture(test_dir: &TestDir, project: &str, name: &str, text: &str) {
    test_dir.write(&format!("{project}/fixtures/transform/{name}.jsonl"), text);
}

/// A project with the evil plug-in, which does `doing`, and two fixtures.
fn evil(doing: &str) -> TestDir {
    let test_dir = TestDir::new();
    project(&test_dir, "evil", &EVIL, &format!("[config]\ndo = \"{doing}\"\n"));
    fixture(
        &test_dir,
        "evil",
        "one",
        "{\"id\":\"p1\",\"title\":\"One\"}\n{\"id\":\"p2\",\"title\":\"bomb\"}\n",
    );
    fixture(&test_dir, "evil", "two", "{\"id\":\"p3\",\"title\":\"Three\"}\n");
    test_dir
}

/// The output without figures that change with the compiler or the machine: numbers of three or more digits become `N`
/// on lines with a measurement.
fn steady(text: &str) -> String {
    let is_volatile = |line: &str| {
        [" instructions", "/s", "p50", " memory", " MB)", " kB)"].iter().any(|word| line.contains(word))
    };
    let word = |word: &str| {
        let digits = word.trim_matches(|character: char| !character.is_ascii_digit());
        let is_figure = digits.len() > 2
            && digits.chars().all(|character| character.is_ascii_digit() || ",.".contains(character));
        let is_time = ["µs", "ms"].iter().any(|unit| word.starts_with(unit));
        match (is_figure, is_time) {
            (true, _) => word.replace(digits, "N"),
            (_, true) => word.replace("ms", "µs"),
            _ if word == "kB/s" => "MB/s".to_owned(),
            _ => word.to_owned(),
        }
    };
    let line = |line: &str| match is_volatile(line) {
        true => line.split_whitespace().map(word).collect::<Vec<_>>().join(" ") + "\n",
        false => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn a_run_shows_documents_removals_and_issues() {
    let test_dir = TestDir::new();
    let draft = r#"{"id":"gid://shopify/Product/9","title":"Draft","status":"DRAFT","updatedAt":"2026-01-01T00:00:00Z"}"#;
    let nameless = r#"{"id":"gid://shopify/Product/8","title":"","status":"ACTIVE","updatedAt":"never"}"#;
    let mut export = product(1, "Mug", AT);
    export.extend([draft.to_owned(), nameless.to_owned(), "nonsense".to_owned()]);
    test_dir.write("export.jsonl", lines(&export));
    let shopify = SHOPIFY.to_str().unwrap();
    let output = test_dir.host(&["plugin", "run", shopify, "export.jsonl"]);
    insta::assert_snapshot!(steady(&output.stdout));
    assert_eq!(output.code, Some(4), "a line was refused: {output:?}");

    let json = test_dir.host(&["plugin", "run", shopify, "export.jsonl", "--output", "json"]).json();
    assert_eq!(json["items"][0]["documents"][0]["title"], "Mug");
    assert_eq!(json["items"][1]["removals"][0]["_id"], "9");
    assert!(json["instructions"].as_u64().unwrap() > 10_000);

    let one = test_dir.host(&["plugin", "run", shopify, "export.jsonl", "--limit", "1"]);
    assert_eq!(
        (one.code, one.stderr.as_str()),
        (Some(0), "showing the first 1 product; use --limit to show more\n")
    );
}

#[test]
fn a_run_shows_where_a_plugin_fell_over_and_what_it_said() {
    let test_dir = evil("trap-one");
    let output = test_dir.host(&["plugin", "run", "evil", "evil/fixtures/transform/one.jsonl"]);
    insta::assert_snapshot!(steady(&output.stdout));
    assert_eq!(output.code, Some(4));
}

#[test]
fn roles_without_products_run_as_well() {
    let test_dir = evil("good");
    test_dir.write("pairs.jsonl", "{\"incoming\":{\"a\":1},\"stored\":{}}\n");
    let output =
        test_dir.host(&["plugin", "run", "evil", "pairs.jsonl", "--role", "version", "--output", "json"]);
    assert_eq!(output.json()["items"], json!([{"ordering": "newer"}]));
    let output = test_dir.host(&["plugin", "run", "evil", "pairs.jsonl", "--role", "validate"]);
    assert_eq!(output.code, Some(2));
    insta::assert_snapshot!(output.stderr);
    let output =
        test_dir.host(&["plugin", "run", SHOPIFY.to_str().unwrap(), "pairs.jsonl", "--role", "version"]);
    insta::assert_snapshot!(output.stderr);
}

#[test]
fn verify_refuses_a_configuration_for_a_plug_in_that_is_not_there() {
    let test_dir = TestDir::new();
    let plugin = SHOPIFY.to_str().unwrap();
    test_dir.write("host.toml", "[plugin.config.shopfiy]\nlevel = \"variant\"\n");
    let output = test_dir.host(&["plugin", "verify", plugin]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(
        output.stderr.contains("no plug-in of this name; the plug-ins are shopify, validate"),
        "{output:?}"
    );
    test_dir.write("host.toml", "[plugin.config.shopify]\nlevel = \"variant\"\n");
    assert_eq!(test_dir.host(&["plugin", "verify", plugin]).code, Some(0));
}

#[test]
fn verify_says_whether_and_why_not() {
    let test_dir = evil("good");
    let output = test_dir.host(&["plugin", "verify", "evil"]);
    let good = "evil@0.1.0 works with this host: it loads, links, describes itself and accepts its configuration (roles: \
                transform, validate, version)\n";
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), good));

    project(&test_dir, "evil", &EVIL, "[config]\ndo = \"repent\"\n");
    let output = test_dir.host(&["plugin", "verify", "evil"]);
    assert!(output.code == Some(2) && output.stderr.contains("unknown variant `repent`"), "{output:?}");

    project(&test_dir, "unbuilt", Path::new("nothing.wasm"), "");
    let output = test_dir.host(&["plugin", "verify", "unbuilt"]);
    assert_eq!(output.code, Some(2));
    insta::assert_snapshot!(output.stderr);
}

#[test]
fn tests_pass_once_they_are_blessed_and_fail_for_what_differs() {
    let test_dir = evil("good");
    let output = test_dir.host(&["plugin", "test", "evil"]);
    assert_eq!(output.code, Some(4), "without golden files nothing was tested: {output:?}");
    insta::assert_snapshot!("no golden files", steady(&output.stdout));

    let output = test_dir.host(&["plugin", "test", "evil", "--bless"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    insta::assert_snapshot!("blessed", steady(&output.stdout));
    let output = test_dir.host(&["plugin", "test", "evil"]);
    assert_eq!(output.code, Some(0), "{output:?}");

    let path = test_dir.path("evil/fixtures/transform/one.golden.json");
    let mut golden: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    golden[0]["documents"][0]["title"] = json!("Two");
    golden[1]["issues"] = json!([{"code": "gone"}]);
    fs::write(&path, golden.to_string()).unwrap();
    let output = test_dir.host(&["plugin", "test", "evil"]);
    assert_eq!(output.code, Some(4), "{output:?}");
    insta::assert_snapshot!("another answer", steady(&output.stdout));
    let report = test_dir.host(&["plugin", "test", "evil", "--output", "json"]).json();
    assert_eq!(report["fixtures"][0]["problems"][0]["kind"], "golden");
}

#[test]
fn a_plugin_that_is_not_pure_fails_with_the_fixture_that_shows_it() {
    let test_dir = evil("impure");
    let output = test_dir.host(&["plugin", "test", "evil", "--bless"]);
    assert_eq!(output.code, Some(4), "{output:?}");
    insta::assert_snapshot!(steady(&output.stdout));
}

#[test]
fn a_trap_is_never_a_golden_answer() {
    let test_dir = evil("trap-one");
    let output = test_dir.host(&["plugin", "test", "evil", "--bless"]);
    assert_eq!(output.code, Some(4), "{output:?}");
    insta::assert_snapshot!(steady(&output.stdout));
}

#[test]
fn budgets_fail_like_a_compiler() {
    let test_dir = evil("good");
    let budget = "[budget]\ninstructions_per_item = 10\nmemory_bytes = 100_000_000\noutput_bytes_per_item = 5\ncomponent_bytes = 1\n";
    project(&test_dir, "evil", &EVIL, budget);
    let output = test_dir.host(&["plugin", "test", "evil", "--bless"]);
    assert_eq!(output.code, Some(4), "{output:?}");
    insta::assert_snapshot!(steady(&output.stdout));
}

#[test]
fn fixtures_that_test_nothing_are_told() {
    let test_dir = evil("good");
    let test = |test_dir: &TestDir| {
        let output = test_dir.host(&["plugin", "test", "evil"]);
        let said = output.stdout.lines().filter(|line| line.starts_with("error")).map(str::to_owned);
        let said: Vec<String> = said.chain(output.stderr.lines().map(str::to_owned)).collect();
        format!("{:?} {}\n", output.code.unwrap(), said.join("\n"))
    };
    fixture(&test_dir, "evil", "one", "\n");
    fixture(&test_dir, "evil", "two", "{\"id\":1}\n{\n");
    let mut said = test(&test_dir);
    fs::write(test_dir.path("evil/fixtures/transform/three.golden.json"), "[]").unwrap();
    said += &test(&test_dir);
    fs::remove_dir_all(test_dir.path("evil/fixtures")).unwrap();
    said += &test(&test_dir);
    fs::create_dir_all(test_dir.path("evil/fixtures/version")).unwrap();
    project(&test_dir, "evil", &SHOPIFY, "");
    test_dir.write("evil/fixtures/version/a.jsonl", "");
    said += &test(&test_dir);
    insta::assert_snapshot!(said);
}

/// An export of 1,000 products, 17 of which have a metafield.
fn export_with_metafields(test_dir: &TestDir) {
    let mut export = Vec::new();
    for number in 1..=1_000_u32 {
        export.extend(product(number, &format!("Thing {number}"), AT));
        if number % 58 == 1 && number < 980 {
            export.push(format!(
                r#"{{"id":"gid://shopify/Metafield/{number}","namespace":"custom","key":"material","value":"steel","type":"single_line_text_field","__parentId":"gid://shopify/Product/{number}"}}"#
            ));
        }
    }
    test_dir.write("export.jsonl", lines(&export));
}

/// Two projects with the same plug-in. The one called `new` is configured to make a field of the metafield.
fn two_versions(test_dir: &TestDir) {
    export_with_metafields(test_dir);
    project(test_dir, "old", &SHOPIFY, "");
    project(test_dir, "new", &SHOPIFY, "[config.metafields.\"custom.material\"]\nfield = \"material\"\n");
}

#[test]
fn a_diff_finds_the_one_field_of_17_documents() {
    let test_dir = TestDir::new();
    two_versions(&test_dir);
    let diff = ["plugin", "diff", "old", "new", "--source", "export.jsonl"];
    let output = test_dir.host(&diff);
    assert_eq!(output.code, Some(4), "{output:?}");
    insta::assert_snapshot!(steady(&output.stdout));

    let output = test_dir.host(&[&diff[..], &["--output", "json", "--html", "diff.html"]].concat());
    let json = output.json();
    assert_eq!((&json["products"], &json["products_that_differ"]), (&json!(1000), &json!(17)));
    let findings = json["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(
        (&findings[0]["kind"], &findings[0]["name"], &findings[0]["count"]),
        (&json!("field"), &json!("/material"), &json!(17))
    );
    let page = fs::read_to_string(test_dir.path("diff.html")).unwrap();
    assert!(page.contains("<code>/material</code><td class=\"n\">17<td>") && page.ends_with("</html>\n"));

    let same = test_dir.host(&["plugin", "diff", "old", "old", "--source", "export.jsonl"]);
    assert_eq!(same.code, Some(0), "{same:?}");
    assert!(same.stdout.ends_with("  no differences\n"));
}

#[test]
fn a_diff_over_what_a_job_read() {
    let test_dir = TestDir::new();
    two_versions(&test_dir);
    let id = test_dir.run("export.jsonl", &[]).json()["job_id"].as_str().unwrap().to_owned();
    let diff = ["plugin", "diff", "old", "new", "--data-dir", "data", "--job", &id, "--output", "json"];
    let output = test_dir.host(&diff);
    assert_eq!((output.code, &output.json()["products_that_differ"]), (Some(4), &json!(17)), "{output:?}");
    assert_eq!(output.stderr, "");

    test_dir.write("export.jsonl", lines(&product(1, "Mug", AT)));
    let output = test_dir.host(&diff);
    let warning =
        format!("warning: the sources have changed: 1 products now, 1,000 when job {id} read them\n");
    assert_eq!((output.code, output.stderr), (Some(0), warning));

    let piped = test_dir.run("-", &[]).json()["job_id"].as_str().unwrap().to_owned();
    let output = test_dir.host(&["plugin", "diff", "old", "new", "--data-dir", "data", "--job", &piped]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(
        output.stderr.contains("read its export from standard input, which cannot be read again"),
        "{output:?}"
    );
}

#[test]
fn a_shadow_reports_the_same_and_writes_nothing() {
    let test_dir = TestDir::new();
    two_versions(&test_dir);
    let plain = TestDir::new();
    export_with_metafields(&plain);
    assert_eq!(plain.run("export.jsonl", &[]).code, Some(0));

    let output = test_dir.run("export.jsonl", &["--shadow", "new"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(output.json()["processed"], 1000);
    assert!(output.stderr.contains("/material"), "{output:?}");
    assert_eq!(test_dir.chunks(), plain.chunks());

    let broken = TestDir::new();
    broken.write("export.jsonl", lines(&product(1, "Mug", AT)));
    project(&broken, "new", &EVIL, "[config]\ndo = \"failure\"\n");
    let output = broken.run("export.jsonl", &["--shadow", "new"]);
    assert!(
        output.code == Some(2) && output.stderr.contains("group lines into products differently"),
        "{output:?}"
    );
}

#[test]
fn a_bench_has_all_its_figures() {
    let test_dir = evil("good");
    let input = "evil/fixtures/transform/one.jsonl";
    let output = test_dir.host(&["plugin", "bench", "evil", input, "--seconds", "0"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    // The slowest item changes from run to run.
    insta::assert_snapshot!(steady(&output.stdout).replace("line 2", "line 1"));
    let json =
        test_dir.host(&["plugin", "bench", "evil", input, "--seconds", "0", "--output", "json"]).json();
    for figure in
        ["items_per_second", "bytes_per_second", "instructions_per_item", "p50_us", "p99_us", "memory_bytes"]
    {
        assert!(json[figure].as_f64().unwrap() > 0.0, "{figure}: {json}");
    }
    let empty = test_dir.write("empty.jsonl", "");
    let output = test_dir.host(&["plugin", "bench", "evil", empty.to_str().unwrap()]);
    assert_eq!(output.code, Some(2), "{output:?}");
}

#[test]
fn a_new_project_says_what_to_do_next() {
    let test_dir = TestDir::new();
    let output = test_dir.host(&[
        "plugin",
        "new",
        "my-shop",
        "--lang",
        "javascript",
        "--role",
        "validate",
        "--role",
        "transform",
    ]);
    assert_eq!(output.code, Some(0), "{output:?}");
    insta::assert_snapshot!(output.stdout);
    let again = test_dir.host(&["plugin", "new", "my-shop", "--lang", "rust"]);
    assert!(again.code == Some(2) && again.stderr.contains("nothing was written"), "{again:?}");
    assert_eq!(test_dir.host(&["plugin", "new", "My Shop", "--lang", "rust"]).code, Some(2));
}

#[test]
fn a_build_without_its_tools_says_what_to_install() {
    let test_dir = TestDir::new();
    let mut said = String::new();
    for language in ["rust", "javascript", "python"] {
        assert_eq!(test_dir.host(&["plugin", "new", language, "--lang", language]).code, Some(0));
        let mut command = test_dir.command(&["plugin", "build", language]);
        let output = crate::support::run_output(command.env("PATH", test_dir.dir.path()).output().unwrap());
        assert_eq!(output.code, Some(2), "{output:?}");
        said += &output.stderr;
    }
    insta::assert_snapshot!(said);
}

#[test]
fn a_component_that_is_older_than_its_source_is_told() {
    let test_dir = evil("good");
    let component = test_dir.path("evil/evil.wasm");
    fs::copy(&*EVIL, &component).unwrap();
    project(&test_dir, "evil", Path::new("evil.wasm"), "[config]\ndo = \"good\"\n");
    fs::create_dir_all(test_dir.path("evil/src/deep")).unwrap();
    let source = test_dir.write("evil/src/deep/lib.rs", "");
    let input = "evil/fixtures/transform/two.jsonl";
    let built = fs::metadata(&component).unwrap().modified().unwrap();
    let minute = std::time::Duration::from_secs(60);
    for (changed, warns) in [(built + minute, true), (built - minute, false)] {
        fs::File::options().append(true).open(&source).unwrap().set_modified(changed).unwrap();
        for command in [&["run", "evil", input][..], &["test", "evil"]] {
            let output = test_dir.host(&[&["plugin"], command].concat());
            let said = "warning: evil/src/deep/lib.rs was changed after evil/evil.wasm was built; `host plugin build evil`";
            assert_eq!(output.stderr.contains(said), warns, "{output:?}");
        }
    }
}

/// `host run` takes the folder of a project, as `host plugin run` does, and says if the project is not built.
#[test]
fn a_run_takes_the_folder_of_a_project() {
    let test_dir = evil("good");
    test_dir
        .write("export.jsonl", "{\"id\":\"p1\",\"title\":\"One\",\"updated_at\":\"2026-01-01T00:00:00Z\"}\n");
    let run = ["run", "--plugin", "evil", "export.jsonl", "--shop", "tests", "--data-dir", "data"];
    let output = test_dir.host(&run);
    assert_eq!(output.code, Some(0), "{output:?}");
    project(&test_dir, "evil", Path::new("none.wasm"), "");
    let output = test_dir.host(&run);
    let help = "  help: host plugin build evil\n";
    assert!(output.code == Some(2) && output.stderr.contains(help), "{output:?}");
}
