//! Tests of sample exports: repeatable, ordered as asked, and with the sizes and oddities of real shops.

use super::{SampleOptions, Shape, Summary, write};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

fn options(shape: Shape, products: u64) -> SampleOptions {
    SampleOptions { seed: 42, shape, grouped: true, products, bytes: u64::MAX, bad_lines: 0.0 }
}

fn make(options: &SampleOptions) -> (String, Summary) {
    let mut out = Vec::new();
    let summary = write(options, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), summary)
}

fn objects(export: &str) -> Vec<Value> {
    export.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sorted_lines(export: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = export.lines().collect();
    lines.sort_unstable();
    lines
}

/// The median, the 95th percentile and the largest of the numbers.
fn quantiles(mut numbers: Vec<usize>) -> (usize, usize, usize) {
    numbers.sort_unstable();
    let at = |percent: usize| numbers[(numbers.len() - 1) * percent / 100];
    (at(50), at(95), at(100))
}

/// For each product, the number of its children of these kinds.
fn count_by_parent(objects: &[Value], kinds: &[&str]) -> Vec<usize> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for object in objects {
        match object["__parentId"].as_str() {
            None => {
                counts.entry(object["id"].as_str().unwrap()).or_default();
            }
            Some(parent) if kinds.contains(&object["__typename"].as_str().unwrap()) => {
                *counts.entry(parent).or_default() += 1;
            }
            Some(_) => {}
        }
    }
    counts.into_values().collect()
}

#[test]
fn the_same_options_give_the_same_bytes_and_another_seed_others() {
    for grouped in [true, false] {
        let options = SampleOptions { grouped, ..options(Shape::Real, 50) };
        assert_eq!(make(&options), make(&options));
        assert_ne!(make(&options).0, make(&SampleOptions { seed: 43, ..options.clone() }).0);
    }
}

#[test]
fn a_longer_export_begins_like_a_shorter_one() {
    let (short, _) = make(&options(Shape::Real, 20));
    let (long, _) = make(&options(Shape::Real, 40));
    assert!(long.starts_with(&short));
}

#[test]
fn the_bytes_do_not_change_from_one_version_to_the_next() {
    let (export, summary) = make(&options(Shape::Real, 100));
    // FNV-1a.
    let hash = export.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Recorded figures of other tests may rest on these bytes: change them only on purpose.
    assert_eq!((summary.lines, summary.bytes, hash), (824, 580_896, 4_587_807_398_968_614_718));
}

#[test]
fn every_line_is_an_object_spelled_like_shopifys() {
    for shape in [Shape::Small, Shape::Real, Shape::Heavy] {
        let (export, summary) = make(&options(shape, 300));
        assert_eq!(export.len() as u64, summary.bytes);
        assert_eq!(export.lines().count() as u64, summary.lines);
        for line in export.lines() {
            let object: Value = serde_json::from_str(line).unwrap();
            assert!(object["id"].as_str().unwrap().starts_with("gid://shopify/"), "{line}");
            assert!(!line.contains(['<', '>', '&', '\u{2028}']), "{line}");
            assert!(!line.contains("://"), "{line}");
            if !object["__parentId"].is_null() {
                assert!(line.rsplit_once(",\"__parentId\":\"").unwrap().1.ends_with("\"}"), "{line}");
            }
        }
    }
}

#[test]
fn a_grouped_export_is_grouped_and_ids_are_unique() {
    let (export, summary) = make(&options(Shape::Heavy, 200));
    let mut current = Value::Null;
    let mut seen = HashSet::new();
    for object in objects(&export) {
        if object["__typename"] != "Collection" {
            assert!(seen.insert(object["id"].clone()), "{object}");
        }
        match &object["__parentId"] {
            Value::Null => current = object["id"].clone(),
            parent => assert_eq!(*parent, current),
        }
    }
    assert_eq!(summary.products, 200);
}

#[test]
fn an_ungrouped_export_has_the_same_lines_in_another_order() {
    let grouped = make(&options(Shape::Real, 500));
    let ungrouped = make(&SampleOptions { grouped: false, ..options(Shape::Real, 500) });
    assert_eq!(grouped.1, ungrouped.1);
    assert_ne!(grouped.0, ungrouped.0);
    assert_eq!(sorted_lines(&grouped.0), sorted_lines(&ungrouped.0));

    let mut known = HashSet::new();
    let early = objects(&ungrouped.0).into_iter().filter(|object| match object["__parentId"].as_str() {
        Some(parent) => !known.contains(parent),
        None => !known.insert(object["id"].as_str().unwrap().to_owned()),
    });
    assert!(early.count() > 100, "some children must precede their parents");
}

#[test]
fn some_lines_of_an_ungrouped_export_are_far_from_their_product() {
    // The export is longer than the window in which lines are shuffled (32,768), so lines of the first products can be
    // at the very end only as stragglers.
    let (export, _) = make(&SampleOptions { grouped: false, ..options(Shape::Small, 40_000) });
    let lines: Vec<&str> = export.lines().collect();
    let grouped = make(&options(Shape::Small, 400)).0;
    let first: HashSet<&str> = grouped.lines().collect();
    let last = lines.iter().rposition(|line| first.contains(line)).unwrap();
    assert!(last > 39_000, "{last}");
    assert_eq!(sorted_lines(&make(&options(Shape::Small, 40_000)).0), sorted_lines(&export));
}

#[test]
fn bad_lines_come_on_request_and_leave_the_good_ones_alone() {
    for grouped in [true, false] {
        let mut out = Vec::new();
        let summary =
            write(&SampleOptions { grouped, bad_lines: 0.05, ..options(Shape::Real, 500) }, &mut out)
                .unwrap();
        let (good, _) = make(&options(Shape::Real, 500));
        let good: HashSet<&[u8]> = good.lines().map(str::as_bytes).collect();
        let bad =
            out.split(|&byte| byte == b'\n').filter(|line| !line.is_empty() && !good.contains(line)).count();
        assert_eq!(bad as u64, summary.bad_lines);
        let expected = summary.lines / 20;
        assert!((expected / 2..expected * 2).contains(&summary.bad_lines), "{summary:?}");
        let objects = out.split(|&byte| byte == b'\n').filter(|line| good.contains(line)).count();
        assert_eq!(objects as u64, summary.lines);
    }
}

#[test]
fn an_export_ends_with_the_product_that_reaches_the_bytes() {
    let (export, summary) = make(&SampleOptions { bytes: 100_000, ..options(Shape::Real, u64::MAX) });
    let (shorter, _) = make(&options(Shape::Real, summary.products - 1));
    assert!(shorter.len() < 100_000 && export.len() >= 100_000);
}

#[test]
fn sizes_are_those_of_real_shops() {
    let per_product = |shape, products| {
        let (_, summary) = make(&options(shape, products));
        (summary.bytes / products, summary.lines as f64 / products as f64)
    };
    let (bytes, lines) = per_product(Shape::Small, 5_000);
    assert!((900..1_150).contains(&bytes) && (1.9..2.4).contains(&lines), "{bytes} {lines}");
    let (bytes, lines) = per_product(Shape::Real, 5_000);
    assert!((4_700..5_700).contains(&bytes) && (6.5..7.8).contains(&lines), "{bytes} {lines}");
    let (bytes, lines) = per_product(Shape::Heavy, 3_000);
    assert!((26_000..34_000).contains(&bytes) && (38.0..55.0).contains(&lines), "{bytes} {lines}");
}

#[test]
fn distributions_have_the_tails_of_real_shops() {
    let (export, _) = make(&options(Shape::Real, 10_000));
    let objects = objects(&export);
    let variants = quantiles(count_by_parent(&objects, &["ProductVariant"]));
    assert!(
        variants.0 == 1 && (5..=8).contains(&variants.1) && (80..=100).contains(&variants.2),
        "{variants:?}"
    );
    let media = quantiles(count_by_parent(&objects, &["MediaImage", "Video", "ExternalVideo", "Model3d"]));
    assert!(media.0 == 1 && (5..=12).contains(&media.1) && (25..=70).contains(&media.2), "{media:?}");

    let products: Vec<&Value> = objects.iter().filter(|object| object["__typename"] == "Product").collect();
    let share = |test: &dyn Fn(&Value) -> bool| {
        products.iter().filter(|product| test(product)).count() as f64 / products.len() as f64
    };
    let html = |product: &Value| product["descriptionHtml"].as_str().unwrap().to_owned();
    let html_lengths = quantiles(products.iter().map(|product| html(product).len()).collect());
    assert!(
        (450..700).contains(&html_lengths.0) && (2_200..3_200).contains(&html_lengths.1),
        "{html_lengths:?}"
    );
    for (what, low, high, found) in [
        ("active", 0.85, 0.92, share(&|product| product["status"] == "ACTIVE")),
        ("drafts", 0.06, 0.10, share(&|product| product["status"] == "DRAFT")),
        ("archived", 0.015, 0.035, share(&|product| product["status"] == "ARCHIVED")),
        ("empty description", 0.10, 0.14, share(&|product| html(product).is_empty())),
        ("style attribute", 0.20, 0.40, share(&|product| html(product).contains(" style=\""))),
        ("style element", 0.005, 0.02, share(&|product| html(product).contains("<style>"))),
        ("comment", 0.01, 0.03, share(&|product| html(product).contains("<!--"))),
        ("script", 0.001, 0.006, share(&|product| html(product).contains("<script>"))),
        ("entity", 0.20, 0.60, share(&|product| html(product).contains('&'))),
        ("hard space", 0.03, 0.25, share(&|product| html(product).contains('\u{a0}'))),
        ("no tag", 0.02, 0.06, share(&|product| !html(product).is_empty() && !html(product).contains('<'))),
        ("Japanese", 0.005, 0.02, share(&|product| html(product).contains('の'))),
        ("Arabic", 0.001, 0.01, share(&|product| html(product).contains('ي'))),
        ("no tags", 0.17, 0.23, share(&|product| product["tags"].as_array().unwrap().is_empty())),
        ("updated later", 0.90, 0.97, share(&|product| product["updatedAt"] != product["createdAt"])),
    ] {
        assert!((low..high).contains(&found), "{what}: {found}");
    }
}

#[test]
fn prices_are_plausible() {
    let (export, _) = make(&options(Shape::Real, 4_000));
    // Free, compared with a price that is not higher, reduced, without article number.
    let mut counts = [0_usize; 4];
    let mut variants = 0;
    for object in objects(&export) {
        if object["__typename"] != "ProductVariant" {
            continue;
        }
        variants += 1;
        let cents =
            |field: &str| object[field].as_str().map(|text| text.replace('.', "").parse::<u32>().unwrap());
        let price = cents("price").unwrap();
        counts[0] += usize::from(price == 0);
        counts[1] += usize::from(cents("compareAtPrice").is_some_and(|compared| compared <= price));
        counts[2] += usize::from(cents("compareAtPrice").is_some_and(|compared| compared > price));
        counts[3] += usize::from(object["sku"].is_null());
    }
    let shares = counts.map(|count| count as f64 / variants as f64);
    assert!((0.001..0.04).contains(&shares[0]), "free: {shares:?}");
    assert!((0.05..0.20).contains(&shares[1]), "compared with no more than the price: {shares:?}");
    assert!((0.10..0.30).contains(&shares[2]), "reduced: {shares:?}");
    assert!((0.10..0.30).contains(&shares[3]), "without article number: {shares:?}");
}

#[test]
fn the_largest_products_have_all_their_variants_and_every_one_differs() {
    let (export, _) = make(&options(Shape::Heavy, 12_000));
    let mut variants: HashMap<String, HashSet<String>> = HashMap::new();
    for line in export.lines().filter(|line| line.contains("\"ProductVariant\"")) {
        let object: Value = serde_json::from_str(line).unwrap();
        let options = object["selectedOptions"].to_string();
        assert!(variants.entry(object["__parentId"].to_string()).or_default().insert(options), "{line}");
    }
    let (_, _, most) = quantiles(variants.values().map(HashSet::len).collect());
    assert_eq!(most, 2_048);
}
