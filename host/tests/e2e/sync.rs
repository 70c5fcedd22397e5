//! Syncs of exports into the relational catalog: a first one, and later ones with no change, changes, conflicts and
//! removals.

use crate::{
    aws::Cloud,
    support::{TestDir, lines, product, run_output},
};
use serde_json::json;

const OLD: &str = "2026-01-01T00:00:00Z";
const NEW: &str = "2026-01-02T00:00:00Z";

/// Products 1, 2, … with these titles, changed at these times.
fn export(titles: &[(&str, &str)]) -> String {
    let products = titles.iter().enumerate();
    lines(
        &products.flat_map(|(number, (title, at))| product(number as u32 + 1, title, at)).collect::<Vec<_>>(),
    )
}

#[test]
fn a_second_run_changes_nothing() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", export(&[("Mug", OLD), ("Cup", OLD), ("Jug", OLD)]));
    let first = test_dir.run("export.jsonl", &[]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let view = first.json();
    assert_eq!(view["status"], "COMPLETED");
    assert_eq!(
        (&view["total_items"], &view["processed"], &view["unchanged"]),
        (&3.into(), &3.into(), &0.into())
    );
    assert_eq!((&view["source"]["lines"], &view["source"]["products"]), (&18.into(), &3.into()));
    let documents = test_dir.documents();
    assert_eq!(documents.len(), 3);
    assert_eq!(documents[0]["title"], "Mug");
    assert_eq!(documents[0]["variants"].as_array().unwrap().len(), 2);

    let second = test_dir.run("export.jsonl", &[]);
    assert_eq!(second.code, Some(0), "{second:?}");
    assert_eq!((&second.json()["processed"], &second.json()["unchanged"]), (&3.into(), &3.into()));
    assert_ne!(second.json()["job_id"], view["job_id"]);
    assert_eq!(test_dir.documents(), documents);
}

#[test]
fn newer_is_written_and_older_is_a_conflict() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", export(&[("Mug", NEW), ("Cup", OLD), ("Jug", OLD)]));
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));

    test_dir.write("export.jsonl", export(&[("Stale mug", OLD), ("New cup", NEW), ("Jug", OLD)]));
    let output = test_dir.run("export.jsonl", &[]);
    assert_eq!(output.code, Some(3), "{output:?}");
    let view = output.json();
    assert_eq!(view["status"], "CONFLICT");
    assert_eq!(
        (&view["processed"], &view["unchanged"], &view["conflict"]),
        (&2.into(), &1.into(), &1.into())
    );
    assert_eq!(view["samples"]["conflict"][0]["document_id"], "1");
    assert_eq!(view["samples"]["conflict"][0]["code"], "older-version");
    let titles: Vec<_> =
        test_dir.documents().iter().map(|document| document["title"].as_str().unwrap().to_owned()).collect();
    assert_eq!(titles, ["Mug", "New cup", "Jug"]);
}

#[test]
fn other_content_of_the_same_version_is_written_from_a_later_export_unless_told_otherwise() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", export(&[("Mug", OLD)]));
    let taken = |hour: u32| format!("2026-01-02T{hour:02}:00:00Z");
    assert_eq!(test_dir.run("export.jsonl", &["--exported-at", &taken(5)]).code, Some(0));
    test_dir.write("export.jsonl", export(&[("Cup", OLD)]));
    for (hour, more) in [(5, &[][..]), (4, &[]), (6, &["--same-version", "conflict"])] {
        let refused = test_dir.run("export.jsonl", &[&["--exported-at", &taken(hour)], more].concat());
        assert_eq!(
            (refused.code, &refused.json()["samples"]["conflict"][0]["code"]),
            (Some(3), &"same-version".into()),
            "{hour}"
        );
        assert_eq!(test_dir.documents()[0]["title"], "Mug");
    }
    assert_eq!(test_dir.run("export.jsonl", &["--exported-at", &taken(6)]).code, Some(0));
    assert_eq!(test_dir.documents()[0]["title"], "Cup");
    test_dir.write("export.jsonl", export(&[("Jug", OLD)]));
    let written = test_dir.run("export.jsonl", &["--exported-at", &taken(4), "--same-version", "write"]);
    assert_eq!((written.code, &test_dir.documents()[0]["title"]), (Some(0), &"Jug".into()));
}

/// Regression: after a change of configuration each document of a shop was a conflict.
#[test]
fn a_change_of_configuration_writes_the_same_export_again() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", export(&[("Mug", OLD), ("Cup", OLD)]));
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
    test_dir.write("host.toml", "[plugin.config.shopify]\ncurrency = \"EUR\"\n");
    let changed = test_dir.run("export.jsonl", &[]);
    assert_eq!((changed.code, &changed.json()["conflict"]), (Some(0), &0.into()), "{changed:?}");
}

#[test]
fn a_draft_leaves_the_index_and_an_old_draft_does_not() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", export(&[("Mug", OLD), ("Cup", NEW)]));
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));

    let draft = |text: String| text.replace("ACTIVE", "DRAFT");
    test_dir.write("export.jsonl", draft(export(&[("Mug", NEW), ("Cup", OLD)])));
    let output = test_dir.run("export.jsonl", &[]);
    let view = output.json();
    assert_eq!(output.code, Some(3), "{output:?}");
    assert_eq!((&view["processed"], &view["deleted"], &view["conflict"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!(view["samples"]["conflict"][0]["code"], "older-removal");
    assert_eq!(
        test_dir
            .documents()
            .iter()
            .map(|document| document["_id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>(),
        ["2"]
    );
}

/// Settings that make each variant a document, and two exports. In the second, product 1 has lost one of its two
/// variants, and product 2 is a draft without variants.
fn variants() -> (&'static str, String, String) {
    let before = export(&[("Mug", OLD), ("Cup", OLD)]);
    let mug = product(1, "Mug", NEW).into_iter().filter(|line| !line.contains("ProductVariant/12"));
    let cup = product(2, "Cup", NEW).swap_remove(0).replace("ACTIVE", "DRAFT");
    ("[plugin.config.shopify]\nlevel = \"variant\"\n", before, lines(&mug.chain([cup]).collect::<Vec<_>>()))
}

#[test]
fn a_vanished_variant_and_a_draft_without_variants_leave_with_the_next_export() {
    let test_dir = TestDir::new();
    let (settings, before, after) = variants();
    test_dir.write("host.toml", settings);
    let ids = || -> Vec<String> {
        test_dir.documents().iter().map(|document| document["_id"].as_str().unwrap().to_owned()).collect()
    };
    test_dir.write("export.jsonl", &before);
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
    assert_eq!(ids(), ["11", "12", "21", "22"]);
    test_dir.write("export.jsonl", &after);
    let output = test_dir.run("export.jsonl", &[]);
    assert_eq!((output.code, &output.json()["skipped"]), (Some(0), &0.into()), "{output:?}");
    assert_eq!(ids(), ["11"]);
    let removed = ["why", "gid://shopify/Product/2", "--data-dir", "data", "--output", "json"];
    assert_eq!(test_dir.host(&removed).json()["state"], "removed");
    // The first export again brings nothing back.
    test_dir.write("export.jsonl", &before);
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(3));
    assert_eq!(ids(), ["11"]);
}

#[test]
fn in_aws_a_vanished_variant_and_a_draft_leave_as_well() {
    let (cloud, shops) = Cloud::new(1);
    let (settings, before, after) = variants();
    cloud.test_dir.write("host.toml", settings);
    for (export, left) in [(before, json!(["11", "12", "21", "22"])), (after, json!(["11"]))] {
        std::fs::write(&shops[0].source, export).unwrap();
        let output = run_output(cloud.export("run", &shops[0]).output().unwrap());
        assert_eq!(output.code, Some(0), "{output:?}");
        let ids: Vec<String> = cloud.marqo.documents(&shops[0].index).into_keys().collect();
        assert_eq!(json!(ids), left);
    }
}

#[test]
fn one_thread_and_four_make_the_same_chunks() {
    let titles: Vec<(String, &str)> = (0..50).map(|number| (format!("Thing {number}"), OLD)).collect();
    let titles: Vec<(&str, &str)> = titles.iter().map(|(title, at)| (title.as_str(), *at)).collect();
    // The chunks (files of documents) that a run with so many threads of plug-ins makes.
    let chunks = |threads: &str| {
        let test_dir = TestDir::new();
        test_dir.write("export.jsonl", export(&titles));
        test_dir.write(
            "host.toml",
            format!("[ingest]\nchunk_documents = 7\nlanes = 3\n[plugin]\nthreads = {threads}\n"),
        );
        assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
        test_dir.chunks()
    };
    let first = chunks("1");
    assert!(first.len() > 7, "{} chunks", first.len());
    assert_eq!(first, chunks("4"));
}

#[test]
fn an_empty_export_is_a_completed_job() {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", "");
    let output = test_dir.run("export.jsonl", &[]);
    assert_eq!(
        (output.code, &output.json()["status"], &output.json()["total_items"]),
        (Some(0), &"COMPLETED".into(), &0.into())
    );
}

#[test]
fn standard_input_several_files_and_packed_files_are_read() {
    let test_dir = TestDir::new();
    let (one, two) = (export(&[("Mug", OLD)]), lines(&product(2, "Cup", OLD)));
    test_dir.write("one.jsonl", &one);
    test_dir.write("two.jsonl.zst", zstd::encode_all(two.as_bytes(), 3).unwrap());
    let output = test_dir.run("one.jsonl", &["two.jsonl.zst"]);
    assert_eq!((output.code, &output.json()["processed"]), (Some(0), &2.into()), "{output:?}");

    let mut child = test_dir.run_command("-", &[]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), (one + &two).as_bytes()).unwrap();
    let output = run_output(child.wait_with_output().unwrap());
    assert_eq!((output.code, &output.json()["unchanged"]), (Some(0), &2.into()), "{output:?}");
}

#[test]
fn an_update_run_changes_what_is_there_and_creates_nothing() {
    let test_dir = TestDir::new();
    test_dir.write("host.toml", "[plugin.config.validate]\nrequired = [\"title\", \"description\"]\n");
    test_dir.write("export.jsonl", export(&[("Mug", OLD), ("Cup", NEW)]));
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
    let before = test_dir.documents();

    // The settings require a description of whole documents. An update may lack it, and the stored one stays.
    let bare = |titles: &[(&str, &str)]| {
        let lines: String = export(titles)
            .lines()
            .map(|line| {
                let line = match line.find(r#""descriptionHtml":""#) {
                    Some(start) => {
                        let end = start + line[start..].find(r#"","vendor""#).unwrap() + 2;
                        format!("{}{}", &line[..start], &line[end..])
                    }
                    None => line.to_owned(),
                };
                line + "\n"
            })
            .collect();
        lines
    };
    test_dir.write("update.jsonl", bare(&[("New mug", NEW), ("Old cup", OLD), ("Jug", NEW)]));
    let output = test_dir.run("update.jsonl", &["--operation", "update"]);
    let view = output.json();
    assert_eq!((output.code, &view["operation"]), (Some(4), &"UPDATE_DOCUMENTS".into()), "{output:?}");
    assert_eq!(
        (&view["processed"], &view["unchanged"], &view["failed"], &view["conflict"]),
        (&1.into(), &0.into(), &1.into(), &1.into())
    );
    assert_eq!(view["samples"]["failed"][0]["code"], "document-not-found");
    assert_eq!(view["samples"]["conflict"][0]["code"], "older-version");
    let after = test_dir.documents();
    assert_eq!(after.len(), 2);
    assert_eq!((&after[0]["title"], &after[0]["updated_at"]), (&"New mug".into(), &NEW.into()));
    assert_eq!(after[0]["description"], before[0]["description"]);
    assert!(after[0]["description"].is_string(), "{}", after[0]);
    assert_eq!(after[1], before[1]);

    // The same update again changes nothing. A whole document of the same version is written, though that version is
    // stored.
    let again = test_dir.run("update.jsonl", &["--operation", "update"]).json();
    assert_eq!((&again["processed"], &again["unchanged"]), (&1.into(), &1.into()), "{again}");
    test_dir.write("export.jsonl", export(&[("New mug", NEW), ("Cup", NEW)]));
    let whole = test_dir.run("export.jsonl", &[]).json();
    assert_eq!((&whole["processed"], &whole["unchanged"]), (&2.into(), &1.into()), "{whole}");
    assert_eq!(test_dir.documents()[0]["description"], "About New mug");
    // An update with all fields as they are stored counts as unchanged, too.
    let all = test_dir.run("export.jsonl", &["--operation", "update"]).json();
    assert_eq!((&all["processed"], &all["unchanged"]), (&2.into(), &2.into()), "{all}");
}
