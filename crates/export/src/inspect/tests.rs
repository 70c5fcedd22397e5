//! Tests of the report entries of rejected lines.

use super::*;
use crate::lines::LineReader;

/// The entries of the rejected lines of an export.
fn rejected(export: &[u8], max_line: usize) -> Vec<ReportEntry> {
    let pointers = IdPointers::new("/id", &["/parent".to_owned()]).unwrap();
    let mut reader = LineReader::new(export, max_line);
    let mut entries = Vec::new();
    while reader.advance().unwrap() {
        let raw = reader.line();
        if let Err(rejection) = inspect(&raw, &pointers) {
            entries.push(rejection.entry(&Line { source: 0, raw }, "export.jsonl"));
        }
    }
    entries
}

#[test]
fn each_entry_says_what_happened_and_what_to_do() {
    let export = b"{\"id\":1}\nnot-json\t\x1b[31m\n[1]\n{\"a\":\"\xff\xfe\"}\n\n{\"id\":true}\n{\"id\":\"0123456789012345678901234567890123456789\"}\n{\"id\":";
    insta::assert_json_snapshot!(rejected(export, 40), @r#"
    [
      {
        "class": "skipped",
        "document_id": null,
        "line": 2,
        "code": "invalid-json",
        "message": "The line was skipped because it is not JSON (expected ident at byte 2); correct it or export again.",
        "path": null,
        "plugin": null,
        "details": {
          "byte_offset": 9,
          "excerpt": "not-json\\t\\u{1b}[31m",
          "source": "export.jsonl"
        }
      },
      {
        "class": "skipped",
        "document_id": null,
        "line": 3,
        "code": "not-an-object",
        "message": "The line was skipped because it is JSON but not an object; write one JSON object per line.",
        "path": null,
        "plugin": null,
        "details": {
          "byte_offset": 24,
          "excerpt": "[1]",
          "source": "export.jsonl"
        }
      },
      {
        "class": "skipped",
        "document_id": null,
        "line": 4,
        "code": "invalid-utf8",
        "message": "The line was skipped because byte 7 is not valid UTF-8; export again in UTF-8.",
        "path": null,
        "plugin": null,
        "details": {
          "byte_offset": 28,
          "excerpt": "{\"a\":\"\\xff\\xfe\"}",
          "source": "export.jsonl"
        }
      },
      {
        "class": "skipped",
        "document_id": null,
        "line": 6,
        "code": "invalid-id",
        "message": "The line was skipped because the id at `/id` is neither a string nor an integer; correct it or export again.",
        "path": null,
        "plugin": null,
        "details": {
          "byte_offset": 40,
          "excerpt": "{\"id\":true}",
          "source": "export.jsonl"
        }
      },
      {
        "class": "skipped",
        "document_id": null,
        "line": 7,
        "code": "line-too-long",
        "message": "The line was skipped because its 49 bytes exceed `ingest.max_line_bytes`; raise that setting if the line is correct.",
        "path": null,
        "plugin": null,
        "details": {
          "byte_offset": 52,
          "excerpt": "{\"id\":\"012345678901234567890123456789012",
          "source": "export.jsonl"
        }
      },
      {
        "class": "skipped",
        "document_id": null,
        "line": 8,
        "code": "truncated-line",
        "message": "The line was skipped because the source ends in the middle of it; download the source again.",
        "path": null,
        "plugin": null,
        "details": {
          "byte_offset": 102,
          "excerpt": "{\"id\":",
          "source": "export.jsonl"
        }
      }
    ]
    "#);
}

#[test]
fn a_last_line_cut_anywhere_is_truncated() {
    let line =
        r#"{"id":"gid:\/\/shop\/1","title":"Häuser 😀 \u00e9\ud83d\ude00","n":[-1.5e3,true,null,{"x":{}}]}"#;
    for cut in 1..line.len() {
        let export = [b"{\"id\":2}\n", &line.as_bytes()[..cut]].concat();
        let entries = rejected(&export, 1000);
        let codes: Vec<&str> = entries.iter().map(|entry| entry.code.as_str()).collect();
        assert_eq!(codes, ["truncated-line"], "cut at {cut}");
        assert_eq!(entries[0].line, Some(2));
        // A line end after the cut makes the line itself invalid.
        let entries = rejected(&[&export[..], b"\n"].concat(), 1000);
        assert!(matches!(entries[0].code.as_str(), "invalid-json" | "invalid-utf8"), "cut at {cut}");
    }
    assert!(rejected(line.as_bytes(), 1000).is_empty());
}

#[test]
fn excerpts_are_short_and_harmless() {
    assert_eq!(excerpt("ä".repeat(200).as_bytes()), "ä".repeat(200));
    assert_eq!(excerpt("ä".repeat(201).as_bytes()), format!("{}…", "ä".repeat(200)));
    assert_eq!(
        excerpt(b"a\0\x07\r\x1b[0m\xff\xe2\x82 \xe2\x80\xae \xef\xbb\xbf"),
        r"a\u{0}\u{7}\r\u{1b}[0m\xff\xe2\x82 \u{202e} \u{feff}"
    );
}
