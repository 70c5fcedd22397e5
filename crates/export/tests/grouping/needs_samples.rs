//! Tests with exports of real shops, which are not part of the repository.

use super::{by_parent, oracle, read};
use host_export::Mode;
use std::path::{Path, PathBuf};

fn sample(name: &str) -> String {
    let shared = std::env::var_os("HOST_TEST_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let path = shared.join("samples").join(name);
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; name the folder in HOST_TEST_SHARED", path.display()))
}

/// Compares with the oracle, with the lines in order and reversed. Returns how the lines of the export as it is were
/// grouped, and the numbers of products, rejected lines and orphans (lines that lead to no product).
fn check(name: &str) -> (String, u64, u64, u64) {
    let lines: Vec<String> = sample(name).lines().map(str::to_owned).collect();
    let reversed: Vec<String> = lines.iter().rev().cloned().collect();
    for mode in [Mode::Auto, Mode::Spill] {
        for lines in [&lines, &reversed] {
            let (reading, _) = read(lines.join("\n").as_bytes(), &by_parent(), mode).unwrap();
            assert_eq!(reading, oracle::group(lines));
        }
    }
    let (_, stats) = read(lines.join("\n").as_bytes(), &by_parent(), Mode::Auto).unwrap();
    (stats.grouping, stats.products, stats.rejected_lines, stats.orphans)
}

#[test]
#[ignore = "needs exports of real shops"]
fn samples_are_grouped_into_their_products() {
    let cases = [
        ("kaizoku.jsonl", "adjacent", 32, 0, 0),
        ("levis_3level_stackoverflow65466783.jsonl", "adjacent", 1, 0, 0),
        // Lists both products first, then both variants.
        ("neanelu_agrosel_4lines.raw.jsonl", "spill", 2, 0, 0),
        // Has products with nothing but their ids.
        ("shopifydev_guide_example.jsonl", "spill", 5, 0, 0),
        // Has a line that is not JSON, and a metafield and a variant without `__parentId`, which count as products.
        ("fixture_neanelu_basic-products_with_bad_line.jsonl", "adjacent", 4, 1, 0),
        // Has stock levels whose parent is an inventory item, which has no line.
        ("fixture_snowthen_sample_products.jsonl", "spill", 2, 1, 2),
    ];
    for (name, grouping, products, rejected, orphans) in cases {
        assert_eq!(check(name), (grouping.to_owned(), products, rejected, orphans), "{name}");
    }
}
