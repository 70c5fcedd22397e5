//! What the program prints about input that it cannot use. Snapshots hold the whole texts, because they are what a
//! person reads.

use crate::support::{RunOutput, SHOP, TestDir, guest, lines, product};
use std::{fs, path::Path};

const AT: &str = "2026-01-01T00:00:00Z";

/// stderr, with paths that differ from run to run replaced.
fn said(test_dir: &TestDir, output: &RunOutput) -> String {
    let plugin = crate::support::SHOPIFY.to_string_lossy();
    output.stderr.replace(&*test_dir.dir.path().to_string_lossy(), "DIR").replace(&*plugin, "SHOPIFY")
}

fn with_plugin(test_dir: &TestDir, plugin: &Path) -> RunOutput {
    test_dir.write("export.jsonl", lines(&product(1, "Mug", AT)));
    let plugin = plugin.to_str().unwrap();
    test_dir.host(&["run", "--plugin", plugin, "export.jsonl", "--shop", SHOP, "--data-dir", "data"])
}

#[track_caller]
fn refused_plugin(bytes: Option<&[u8]>) -> String {
    let test_dir = TestDir::new();
    if let Some(bytes) = bytes {
        test_dir.write("plugin.wasm", bytes);
    }
    let output = with_plugin(&test_dir, Path::new("plugin.wasm"));
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(!test_dir.path("data").exists(), "something was written");
    said(&test_dir, &output)
}

#[test]
fn a_missing_plugin() {
    insta::assert_snapshot!(refused_plugin(None));
}

#[test]
fn a_plugin_that_is_no_wasm() {
    insta::assert_snapshot!(refused_plugin(Some(b"hello, world")));
}

#[test]
fn a_plugin_that_is_a_core_module() {
    insta::assert_snapshot!(refused_plugin(Some(b"\0asm\x01\0\0\0")));
}

#[test]
fn a_plugin_of_no_contract() {
    insta::assert_snapshot!(refused_plugin(Some(b"\0asm\x0d\0\x01\0")));
}

#[test]
fn a_plugin_that_is_cut_off() {
    let bytes = fs::read(&*crate::support::SHOPIFY).unwrap();
    let said = refused_plugin(Some(&bytes[..bytes.len() / 2]));
    assert!(said.starts_with("error: "), "{said}");
}

/// What `run`, `plugin verify` and `plugin inspect` say of a plug-in that each of them refuses.
fn refused_by_all(test_dir: &TestDir, plugin: &str) -> [String; 3] {
    test_dir.write("export.jsonl", lines(&product(1, "Mug", AT)));
    let run = ["run", "--plugin", plugin, "export.jsonl", "--shop", SHOP, "--data-dir", "data"];
    [&run[..], &["plugin", "verify", plugin], &["plugin", "inspect", plugin]].map(|arguments| {
        let mut command = test_dir.command(arguments);
        // An empty cache of its own: otherwise the plug-in would not be compiled.
        command.env("XDG_CACHE_HOME", test_dir.path("cache")).env("HOST_PLUGIN__LIMITS__COMPILE_MS", "1");
        let output = crate::support::run_output(command.output().unwrap());
        assert_eq!(output.code, Some(2), "{output:?}");
        output.stderr
    })
}

#[test]
fn a_plugin_that_nests_components_without_end() {
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    // Built from the innermost component outwards, and backwards, since each one is preceded by its length.
    let mut reversed: Vec<u8> = HEADER.iter().rev().copied().collect();
    for _ in 0..100_000 {
        let size = reversed.len();
        // The length in LEB128, in four bytes of 7 bits each.
        let leb = [size, size >> 7, size >> 14, size >> 21].map(|part| (part & 0x7f) as u8 | 0x80);
        reversed.extend([0, leb[3], leb[2], leb[1], leb[0], 4]);
        reversed.extend(HEADER.iter().rev());
    }
    reversed.reverse();
    let test_dir = TestDir::new();
    test_dir.write("plugin.wasm", &reversed);
    for said in refused_by_all(&test_dir, "plugin.wasm") {
        assert!(said.contains("17 levels of nested components"), "{said}");
        assert!(said.contains("the 16 that plugin.limits.component_nesting allows"), "{said}");
    }
}

#[test]
fn a_plugin_that_takes_too_long_to_compile() {
    let plugin = crate::support::SHOPIFY.to_str().unwrap();
    for said in refused_by_all(&TestDir::new(), plugin) {
        let limit = "takes longer to compile than the 1 ms that plugin.limits.compile_ms allows";
        assert!(said.contains(limit), "{said}");
    }
}

#[test]
fn a_plugin_without_the_transform_role() {
    let test_dir = TestDir::new();
    let output = with_plugin(&test_dir, &guest("default-validator"));
    assert_eq!(output.code, Some(2), "{output:?}");
    insta::assert_snapshot!(said(&test_dir, &output));
}

#[test]
fn a_plugin_that_refuses_its_configuration() {
    let test_dir = TestDir::new();
    test_dir.write("host.toml", "[plugin.config.shopify]\nlevle = \"product\"\n");
    let output = with_plugin(&test_dir, &crate::support::SHOPIFY);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(!test_dir.path("data").exists(), "something was written");
    insta::assert_snapshot!(said(&test_dir, &output));

    // The value that is refused leads to its key, and the key to where it is set.
    test_dir.write("host.toml", "[plugin.config.shopify]\nlevel = \"sku\"\ncurrency = \"EUR\"\n");
    let output = with_plugin(&test_dir, &crate::support::SHOPIFY);
    let help = "  help: correct `plugin.config.shopify.level` in host.toml; `host plugin inspect --data-dir data` lists what the plug-in takes\n";
    assert!(output.code == Some(2) && output.stderr.contains(help), "{output:?}");
}

#[test]
fn a_missing_export() {
    let test_dir = TestDir::new();
    let output = test_dir.run("nowhere.jsonl", &[]);
    assert_eq!(output.code, Some(2), "{output:?}");
    insta::assert_snapshot!(said(&test_dir, &output));
}

#[test]
fn no_shop() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", "");
    let output =
        test_dir.host(&["run", "--plugin", crate::support::SHOPIFY.to_str().unwrap(), "export.jsonl"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    insta::assert_snapshot!(said(&test_dir, &output));
}

#[test]
fn an_unknown_setting() {
    let test_dir = TestDir::new();
    test_dir.write("host.toml", "[ingest]\nlane = 3\n");
    let output = test_dir.host(&["config", "check"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    insta::assert_snapshot!(said(&test_dir, &output));
}

#[test]
fn settings_and_their_origins() {
    let test_dir = TestDir::new();
    test_dir.write("host.toml", "[ingest]\nlanes = 3\n");
    let mut command = test_dir.command(&["config", "show", "--shop", SHOP]);
    let output = crate::support::run_output(command.env("HOST_WORKER__CONCURRENCY", "7").output().unwrap());
    assert_eq!(output.code, Some(0), "{output:?}");
    insta::assert_snapshot!(output.stdout.replace(&*test_dir.dir.path().to_string_lossy(), "DIR"));
}

#[test]
fn bad_lines_and_orphans_are_skipped_and_explained() {
    let test_dir = TestDir::new();
    let mut export = product(1, "Mug", AT);
    export.push("not json at all".into());
    export.push("[1, 2]".into());
    export.push(r#"{"id":"gid://shopify/ProductVariant/77","__parentId":"gid://shopify/Product/99"}"#.into());
    let mut bytes = lines(&export).into_bytes();
    bytes.extend_from_slice(b"{\"id\":\"\xff\"}\n");
    bytes.extend_from_slice(b"{\"id\":\"gid://shopify/Prod\n");
    test_dir.write("export.jsonl", bytes);
    let output = test_dir.run("export.jsonl", &[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let view = output.json();
    assert_eq!(
        (&view["total_items"], &view["processed"], &view["skipped"]),
        (&6.into(), &1.into(), &5.into())
    );
    assert_eq!((&view["source"]["rejected_lines"], &view["source"]["orphans"]), (&4.into(), &1.into()));
    let report = test_dir.host(&["jobs", "report", "--data-dir", "data"]);
    insta::assert_snapshot!(report.stdout);
}

#[test]
fn a_refused_document_has_code_and_pointer() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", lines(&[product(1, "Mug", AT), product(2, "Cup", AT)].concat()));
    test_dir.write("host.toml", "[plugin.config.validate]\nrequired = [\"title\", \"barcode\"]\n");
    let output = test_dir.run("export.jsonl", &[]);
    assert_eq!(output.code, Some(4), "{output:?}");
    let view = output.json();
    assert_eq!((&view["status"], &view["failed"]), (&"FAILED".into(), &2.into()));
    insta::assert_snapshot!(serde_json::to_string_pretty(&view["samples"]["failed"][0]).unwrap());
}

#[test]
fn a_data_directory_that_cannot_be_used() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", lines(&product(1, "Mug", AT)));
    test_dir.write("data", "a file where the directory should be");
    let output = test_dir.run("export.jsonl", &[]);
    assert_eq!(output.code, Some(1), "{output:?}");
    insta::assert_snapshot!(said(&test_dir, &output));
    fs::remove_file(test_dir.path("data")).unwrap();
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
}

/// A file size limit simulates a full disk: both make a write fail half-way.
#[test]
fn a_full_disk_loses_nothing() {
    let test_dir = TestDir::new();
    // The limit counts for memory files as well, which a compiled plug-in needs; a cached one fits.
    assert_eq!(with_plugin(&TestDir::new(), &crate::support::SHOPIFY).code, Some(0));
    let export: Vec<String> =
        (1..6000).flat_map(|number| product(number, &format!("Thing {number}"), AT)).collect();
    test_dir.write("export.jsonl", lines(&export));
    let mut command = std::process::Command::new("sh");
    let run = test_dir.run_command("export.jsonl", &[]);
    command.current_dir(test_dir.dir.path()).env_clear().env("HOME", test_dir.dir.path());
    command
        .arg("-c")
        .arg("trap '' XFSZ; ulimit -f 8000; exec \"$@\"")
        .arg("sh")
        .arg(run.get_program())
        .args(run.get_args());
    for (name, value) in run.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let full = crate::support::run_output(command.output().unwrap());
    assert_eq!(full.code, Some(1), "{full:?}");
    // Warnings may precede it: a full disk also keeps the chunk from being released.
    assert!(full.stderr.contains("error: ") && full.stderr.contains("help: "), "{full:?}");

    let output = test_dir.run("export.jsonl", &[]);
    let view = output.json();
    assert_eq!(
        (output.code, &view["processed"], &view["total_items"]),
        (Some(0), &5999.into(), &5999.into()),
        "{output:?}"
    );
    assert_eq!(test_dir.host(&["documents", "count", "--data-dir", "data"]).stdout, "5999\n");
}

#[test]
fn zero_lanes_and_zero_concurrency_are_refused() {
    let test_dir = TestDir::new();
    for arguments in [["run", "--lanes", "0"], ["work", "--concurrency", "0"]] {
        let output = test_dir.host(&arguments);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains("must be at least 1"), "{output:?}");
    }
}
