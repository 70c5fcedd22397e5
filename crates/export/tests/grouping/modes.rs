//! Tests of each grouping mode with exports that suit it and exports that do not, and of the errors that the user
//! reads.

use super::{by_parent, read, tiny};
use host_core::model::{Digest, Grouping};
use host_export::{Cancel, Export, ExportError, ExportItem, Mode, Options, Phase};
use serde_json::json;

/// The error of reading an export, without the name of its file.
fn error(export: &str, mode: Mode) -> String {
    let error = read(export.as_bytes(), &by_parent(), mode).unwrap_err().to_string();
    // The file name differs in each run.
    let (before, rest) = error.split_once(" of `").unwrap();
    format!("{before} of {}", rest.split_once('`').unwrap().1)
}

#[test]
fn adjacent_fails_at_the_first_line_out_of_place() {
    let out_of_place =
        concat!(r#"{"id":"a"}"#, "\n\n", r#"{"id":"b"}"#, "\n", r#"{"id":"v","__parentId":"a"}"#, "\n");
    insta::assert_snapshot!(error(out_of_place, Mode::Adjacent), @"line 4 of  names the parent `a`, which is not in the product before it (`b`): the export is not grouped; use `--grouping auto` or `spill`");
    let repeated = concat!(r#"{"id":"a"}"#, "\n", r#"{"id":"b"}"#, "\n", r#"{"id":"a"}"#, "\n");
    insta::assert_snapshot!(error(repeated, Mode::Adjacent), @"line 3 of  starts product `a` a second time: the export is not grouped; use `--grouping auto` or `spill`");
    let first = r#"{"id":"v","__parentId":"a"}"#;
    insta::assert_snapshot!(error(first, Mode::Adjacent), @"line 1 of  names the parent `a`, which is not in the product before it (none, or one without an id): the export is not grouped; use `--grouping auto` or `spill`");
}

#[test]
fn each_whole_line_is_a_product() {
    let export = "{\"id\":1}\r\n\r\nnull\r\n{\"id\":1,\"__parentId\":5}";
    let (reading, stats) = read(export.as_bytes(), &Grouping::WholeLines, Mode::Auto).unwrap();
    let line = |text: &str, number| (text.to_owned(), number, None);
    assert_eq!(reading.products, [line("{\"id\":1}", 1), line("{\"id\":1,\"__parentId\":5}", 4)]);
    assert_eq!(reading.rejected, [(3, "not-an-object".to_owned())]);
    insta::assert_json_snapshot!(stats, @r#"
    {
      "lines": 3,
      "products": 2,
      "bytes": 41,
      "rejected_lines": 1,
      "orphans": 0,
      "grouping": "whole-lines"
    }
    "#);
}

#[test]
fn an_empty_export_has_no_products() {
    for mode in [Mode::Auto, Mode::Adjacent, Mode::Spill] {
        let (reading, stats) = read(b"\xef\xbb\xbf\n \r\n", &by_parent(), mode).unwrap();
        assert!(reading.products.is_empty() && reading.rejected.is_empty());
        assert_eq!((stats.lines, stats.bytes), (0, 7));
    }
}

#[test]
fn an_orphan_is_reported_with_both_ids() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export.jsonl");
    std::fs::write(&path, "{\"id\":\"a\"}\n{\"id\":\"v\",\"__parentId\":\"gid:\\/\\/gone\"}\n").unwrap();
    let export = Export::open(&[path.display().to_string()], tiny(Mode::Auto, dir.path())).unwrap();
    let mut items = export.scan(&by_parent()).unwrap().into_products();
    let Some(Ok(ExportItem::Rejected(mut entry))) = items.next() else { panic!("the orphan comes first") };
    entry.details.insert("source".to_owned(), json!("export.jsonl"));
    insta::assert_json_snapshot!(entry, @r#"
    {
      "class": "skipped",
      "document_id": null,
      "line": 2,
      "code": "orphan",
      "message": "The line was skipped because its parent `gid://gone` leads to no product of the export; export the product too.",
      "path": null,
      "plugin": null,
      "details": {
        "byte_offset": 11,
        "excerpt": "{\"id\":\"v\",\"__parentId\":\"gid:\\/\\/gone\"}",
        "id": "v",
        "parent": "gid://gone",
        "source": "export.jsonl"
      }
    }
    "#);
    let unfinished = items.finish().unwrap_err();
    assert!(matches!(unfinished, ExportError::Unfinished));
}

#[test]
fn every_mode_computes_the_digests_of_the_sources() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export.jsonl");
    let export = b"{\"id\":\"a\"}\n";
    std::fs::write(&path, export).unwrap();
    let name = path.display().to_string();
    for mode in [Mode::Auto, Mode::Adjacent, Mode::Spill] {
        for grouping in [by_parent(), Grouping::WholeLines] {
            let export_twice = Export::open(&[name.clone(), name.clone()], tiny(mode, dir.path())).unwrap();
            let plan = export_twice.scan(&grouping).unwrap();
            assert_eq!(plan.digests(), [Digest::of(export), Digest::of(export)]);
        }
    }
}

#[test]
fn a_file_that_grows_between_the_passes_is_an_error() {
    for mode in [Mode::Auto, Mode::Spill] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export.jsonl");
        std::fs::write(&path, "{\"id\":\"a\"}\n").unwrap();
        let export = Export::open(&[path.display().to_string()], tiny(mode, dir.path())).unwrap();
        let plan = export.scan(&by_parent()).unwrap();
        std::fs::write(&path, "{\"id\":\"a\"}\n{\"id\":\"b\"}\n").unwrap();
        let failure = plan.into_products().find_map(Result::err);
        assert!(matches!(failure, Some(ExportError::Changed { .. })), "{failure:?}");
    }
}

#[test]
fn reading_stops_when_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export.jsonl");
    std::fs::write(&path, "{\"id\":\"a\"}\n{\"id\":\"b\"}\n").unwrap();
    let name = [path.display().to_string()];
    let options = Options { cancel: Cancel::default(), ..tiny(Mode::Spill, dir.path()) };
    let cancel = options.cancel.clone();
    let mut items = Export::open(&name, options.clone()).unwrap().scan(&by_parent()).unwrap().into_products();
    assert!(items.next().unwrap().is_ok());
    cancel.cancel();
    assert!(matches!(items.next(), Some(Err(ExportError::Cancelled))));
    assert!(items.next().is_none());
    let scan = Export::open(&name, options).unwrap().scan(&by_parent());
    assert!(matches!(scan, Err(ExportError::Cancelled)));
}

#[test]
fn progress_shows_the_phase_and_the_counters() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export.jsonl");
    std::fs::write(&path, "{\"id\":\"a\",\"n\":1}\n{\"id\":\"b\",\"n\":2}\n").unwrap();
    let options = Options::new(dir.path());
    let progress = std::sync::Arc::clone(&options.progress);
    let export = Export::open(&[path.display().to_string()], options).unwrap();
    let plan = export.scan(&by_parent()).unwrap();
    let snapshot = progress.snapshot();
    assert_eq!(
        (snapshot.phase, snapshot.bytes, snapshot.bytes_total, snapshot.lines),
        (Phase::Scanning, 34, Some(34), 2)
    );
    assert_eq!(plan.into_products().count(), 2);
    assert_eq!((progress.snapshot().phase, progress.snapshot().products), (Phase::Done, 2));
}

#[test]
fn a_line_with_nothing_but_an_id_belongs_to_the_child_that_has_it() {
    let products = [
        r#"{"id":"p/1","title":"a"}"#,
        r#"{"id":"v/1","__parentId":"p/1"}"#,
        r#"{"id":"p/2","title":"b"}"#,
        r#"{"id":"v/2","__parentId":"p/2"}"#,
    ];
    let metafields = [
        r#"{"id":"v/2"}"#,
        r#"{"key":"x","__parentId":"v/2"}"#,
        r#"{"id":"v/1"}"#,
        r#"{"id":"p/1"}"#,
        r#"{"key":"y","__parentId":"p/1"}"#,
        r#"{"id":"p/3"}"#,
        r#"{"key":"z","__parentId":"p/3"}"#,
    ];
    let sorted = |lines: &[&str]| {
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        lines.sort();
        lines
    };
    let expected = [
        sorted(&[products[0], products[1], metafields[2], metafields[3], metafields[4]]),
        sorted(&[products[2], products[3], metafields[0], metafields[1]]),
        sorted(&[metafields[5], metafields[6]]),
    ];
    for lines in [[&products[..], &metafields].concat(), [&metafields[..], &products].concat()] {
        for mode in [Mode::Auto, Mode::Spill] {
            let (reading, stats) = read(lines.join("\n").as_bytes(), &by_parent(), mode).unwrap();
            let mut read: Vec<Vec<String>> = Vec::new();
            for (text, ..) in &reading.products {
                read.push(sorted(&text.lines().collect::<Vec<_>>()));
            }
            read.sort_by_key(|product| product.iter().find(|line| line.contains("\"p/")).cloned());
            assert_eq!(read, expected);
            assert_eq!((reading.rejected, &*stats.grouping), (vec![], "spill"));
            let ids: Vec<Option<&str>> = reading.products.iter().map(|(.., id)| id.as_deref()).collect();
            assert!(ids.iter().all(|id| id.is_some_and(|id| id.starts_with("p/"))), "{ids:?}");
        }
    }
}
