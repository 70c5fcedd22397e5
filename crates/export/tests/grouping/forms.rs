//! Tests of all forms of sources: compressed, truncated, corrupt, several files, a stream, or unreadable.

use super::{Reading, by_parent, read, read_file, tiny};
use flate2::{Compression, write::GzEncoder};
use host_export::{Export, ExportError, ExportItem, Mode};
use proptest::prelude::*;
use std::{io::Write as _, path::Path, process::Command};

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// A skippable frame of zstd, which parallel compressors write first.
const SKIPPABLE: &[u8] = b"\x50\x2a\x4d\x18\x04\0\0\0abcd";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_compressed_export_reads_as_the_plain_one(ids in prop::collection::vec("[a-zä]{1,300}", 0..30), cut in any::<prop::sample::Index>()) {
        let export: String = ids.iter().enumerate().map(|(at, id)| format!("{{\"id\":\"{at}{id}\"}}\r\n")).collect();
        let export = export.as_bytes();
        let (first, second) = export.split_at(cut.index(export.len() + 1));
        let plain = read(export, &by_parent(), Mode::Auto).unwrap();
        let all = [
            gzip(export),
            [gzip(first), gzip(second)].concat(),
            zstd(export),
            [zstd(first), zstd(second)].concat(),
            [SKIPPABLE, &zstd(first), SKIPPABLE, &zstd(second)].concat(),
        ];
        for compressed in all {
            prop_assert_eq!(&read(&compressed, &by_parent(), Mode::Auto).unwrap(), &plain);
        }
    }
}

#[test]
fn a_truncated_source_is_an_error_before_any_product() {
    let export = b"{\"id\":\"a\"}\n{\"id\":\"v\",\"__parentId\":\"a\"}\n";
    let dir = tempfile::tempdir().unwrap();
    for (name, compressed) in [("export.jsonl.gz", gzip(export)), ("export.jsonl.zst", zstd(export))] {
        let path = dir.path().join(name);
        for cut in 0..compressed.len() {
            std::fs::write(&path, &compressed[..cut]).unwrap();
            let scanned = Export::open(&[path.display().to_string()], tiny(Mode::Auto, dir.path()))
                .and_then(|export| export.scan(&by_parent()));
            // The file name decides where too few bytes are left to detect the compression.
            match scanned {
                Err(ExportError::Truncated { offset, .. }) => assert_eq!(offset, cut as u64),
                other => panic!("{name} cut at {cut}: {other:?}"),
            }
        }
    }
}

/// The error message of opening and scanning these sources, without the directory.
fn message_of(dir: &Path, names: &[&str]) -> String {
    let path = |name: &&str| match *name {
        "-" => "-".to_owned(),
        name if name.contains("://") => name.to_owned(),
        name => dir.join(name).display().to_string(),
    };
    let names: Vec<String> = names.iter().map(path).collect();
    let scanned = Export::open(&names, tiny(Mode::Auto, dir)).and_then(|export| export.scan(&by_parent()));
    scanned.unwrap_err().to_string().replace(&format!("{}/", dir.display()), "")
}

#[test]
fn each_unreadable_source_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    let compressed = gzip(&b"{\"id\":\"a\"}\n".repeat(1000));
    write("cut.gz", &compressed[..compressed.len() - 9]);
    write("empty.gz", b"");
    let mut corrupt = compressed;
    // The checksum: a gzip stream ends with 4 bytes of CRC-32 and 4 bytes of length.
    let checksum = corrupt.len() - 8;
    corrupt[checksum] ^= 1;
    write("corrupt.gz", &corrupt);
    write("export.zip", b"PK\x03\x04....");
    write("windows.jsonl", b"\xff\xfe{\0}\0");
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    let cases: [&[&str]; 9] = [
        &[],
        &["-", "-"],
        &["s3://bucket/export.jsonl"],
        &["missing.jsonl"],
        &["folder"],
        &["cut.gz"],
        &["empty.gz"],
        &["corrupt.gz"],
        &["export.zip", "windows.jsonl"],
    ];
    let messages: Vec<String> = cases.iter().map(|names| message_of(dir.path(), names)).collect();
    insta::assert_snapshot!(messages.join("\n"), @r#"
    no export; name a file, several files of one export in their order, or `-` for standard input
    `-` is named several times, but standard input can be read only once; name it once
    cannot read from `s3://bucket/export.jsonl`; download it and name the file, or pipe it in and use `-`
    `missing.jsonl` does not exist; check the path
    `folder` is a directory; name the files of the export in it, in their order
    `cut.gz` is truncated: its gzip stream ends early at byte 114 (11000 bytes decompressed); download the file again
    `empty.gz` is truncated: its gzip stream ends early at byte 0 (0 bytes decompressed); download the file again
    `corrupt.gz` is corrupt: its gzip stream cannot be decompressed near byte 123 (11000 bytes decompressed); download the file again
    `export.zip` is a zip archive; convert it to JSON Lines in UTF-8, plain or compressed with gzip or zstd
    "#);
}

#[test]
fn several_sources_are_one_export() {
    /// Stands for the source's index in the list of what was read, if a line was rejected.
    const REJECTED: usize = 9;
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let sources = [
        write("1.jsonl", b"\xef\xbb\xbf{\"id\":\"a\"}"),
        write("2.gz", &gzip(b"\xef\xbb\xbf{\"id\":\"v\",\"__parentId\":\"a\"}\n{\"id\":\"b\"}\n")),
        write("3.jsonl", b"\n{\"id\":\"w\",\"__parentId\":\"b\"}\n{\"id\":\n"),
    ];
    for mode in [Mode::Adjacent, Mode::Spill] {
        let mut items = Export::open(&sources, tiny(mode, dir.path()))
            .unwrap()
            .scan(&by_parent())
            .unwrap()
            .into_products();
        let mut seen = Vec::new();
        for item in &mut items {
            seen.push(match item.unwrap() {
                ExportItem::Product { source, product, .. } => (source, product.line, product.text),
                ExportItem::Rejected(entry) => {
                    let source = entry.details["source"].as_str().unwrap();
                    assert_eq!((source, entry.line), (sources[2].as_str(), Some(3)));
                    (REJECTED, 3, entry.code)
                }
            });
        }
        seen.sort();
        let product = |source, line, text: &str| (source, line, text.to_owned());
        assert_eq!(
            seen,
            [
                product(0, 1, "{\"id\":\"a\"}\n{\"id\":\"v\",\"__parentId\":\"a\"}"),
                product(1, 2, "{\"id\":\"b\"}\n{\"id\":\"w\",\"__parentId\":\"b\"}"),
                product(REJECTED, 3, "invalid-json"),
            ]
        );
        assert_eq!(items.source_name(1), sources[1]);
        items.finish().unwrap();
    }
}

#[test]
fn a_named_pipe_is_spooled() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let compressed = gzip(b"{\"id\":\"a\"}\n");
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, compressed).unwrap()
    });
    let (reading, _) = read_file(&pipe, &by_parent(), tiny(Mode::Auto, dir.path())).unwrap();
    writer.join().unwrap();
    let products = vec![("{\"id\":\"a\"}".to_owned(), 1, Some("a".to_owned()))];
    assert_eq!(reading, Reading { products, rejected: Vec::new() });
}

/// A platform may split an export into more files than a process may have open.
#[cfg(target_os = "linux")]
#[test]
fn many_sources_need_few_open_files() {
    let open_files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..1_000)
        .map(|number| {
            let path = dir.path().join(format!("part-{number:04}.jsonl"));
            std::fs::write(&path, format!("{{\"id\":\"{number}\"}}\n")).unwrap();
            path.display().to_string()
        })
        .collect();
    let before = open_files();
    for mode in [Mode::Auto, Mode::Spill] {
        let plan = Export::open(&names, tiny(mode, dir.path())).unwrap().scan(&by_parent()).unwrap();
        assert!(open_files() < before + 50, "{} files are open", open_files());
        assert_eq!(plan.digests().len(), names.len());
        let products =
            plan.into_products().filter(|item| matches!(item, Ok(ExportItem::Product { .. }))).count();
        assert_eq!(products, names.len());
    }
}
