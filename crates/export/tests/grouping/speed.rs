//! Measures the speed and memory of reading an export; run by hand with `--ignored --nocapture`. The variable
//! `EXPORT_MEGABYTES` sets the size of the export, 300 by default.

use super::by_parent;
use host_export::{Export, ExportItem, Mode, Options};
use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    time::Instant,
};

/// Writes an export of about this many bytes, shaped like one of Shopify: products with a description, each with 4
/// variants that have a stock level each, and with 2 media. It is either grouped, or lists all levels first, then all
/// products, variants and media. In the closures, `p`, `v` and `m` number products, variants and media.
fn write_export(path: &Path, bytes: usize, is_grouped: bool) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let description = "<p>A comfortable shirt of organic cotton, \\u0026 more.<\\/p>\\n".repeat(30);
    // Approximate lengths of a product's line, a variant's, a level's and a medium's.
    let per_product = 2_600 + 4 * 450 + 4 * 170 + 2 * 260;
    let products = bytes / per_product;
    let product = |p: usize| {
        format!(
            r#"{{"id":"gid:\/\/shopify\/Product\/{p}","title":"Shirt number {p}","handle":"shirt-{p}","descriptionHtml":"{description}","vendor":"Häuser & Söhne","productType":"Shirts","status":"ACTIVE","tags":["cotton","summer","sale"],"createdAt":"2024-01-01T00:00:00Z","updatedAt":"2025-01-01T00:00:00Z","options":[{{"name":"Size","values":["S","M","L","XL"]}}]}}"#
        )
    };
    let variant = |p: usize, v: usize| {
        format!(
            r#"{{"id":"gid:\/\/shopify\/ProductVariant\/{p}0{v}","title":"Size {v}","sku":"SKU-{p}-{v}","price":"19.99","compareAtPrice":null,"barcode":"978000{p}{v}","inventoryQuantity":{v},"availableForSale":true,"position":{v},"taxable":true,"selectedOptions":[{{"name":"Size","value":"{v}"}}],"image":{{"id":"gid:\/\/shopify\/ProductImage\/{p}{v}","url":"https:\/\/cdn.shopify.com\/s\/files\/1\/0000\/{p}.jpg"}},"inventoryItem":{{}},"updatedAt":"2025-01-01T00:00:00Z","__parentId":"gid:\/\/shopify\/Product\/{p}"}}"#
        )
    };
    let level = |p: usize, v: usize| {
        format!(
            r#"{{"available":{v},"location":{{"id":"gid:\/\/shopify\/Location\/57510625440","name":"Warehouse"}},"__parentId":"gid:\/\/shopify\/ProductVariant\/{p}0{v}"}}"#
        )
    };
    let medium = |p: usize, m: usize| {
        format!(
            r#"{{"id":"gid:\/\/shopify\/MediaImage\/{p}{m}","alt":"front","mediaContentType":"IMAGE","image":{{"url":"https:\/\/cdn.shopify.com\/s\/files\/1\/0000\/{p}-{m}.jpg","width":1024,"height":1024}},"__parentId":"gid:\/\/shopify\/Product\/{p}"}}"#
        )
    };
    if is_grouped {
        for p in 0..products {
            writeln!(file, "{}", product(p)).unwrap();
            (0..4).for_each(|v| writeln!(file, "{}\n{}", variant(p, v), level(p, v)).unwrap());
            (0..2).for_each(|m| writeln!(file, "{}", medium(p, m)).unwrap());
        }
    } else {
        (0..products).for_each(|p| (0..4).for_each(|v| writeln!(file, "{}", level(p, v)).unwrap()));
        (0..products).for_each(|p| writeln!(file, "{}", product(p)).unwrap());
        (0..products).for_each(|p| (0..4).for_each(|v| writeln!(file, "{}", variant(p, v)).unwrap()));
        (0..products).for_each(|p| (0..2).for_each(|m| writeln!(file, "{}", medium(p, m)).unwrap()));
    }
    file.flush().unwrap();
}

/// Peak memory of this process in megabytes, on systems that report it.
fn peak_megabytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kilobytes| kilobytes / 1024)
}

/// CPU time of this process in seconds, on systems that report it; unlike wall-clock time, other programs do not affect
/// it.
fn processor_seconds() -> f64 {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return f64::NAN };
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime, fields 14 and 15 of proc_pid_stat(5), of which the first two precede the `)`; in ticks of 1/100
    // s.
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

fn measure(path: &Path, mode: Mode, dir: &Path) {
    let options = Options { mode, ..Options::new(dir) };
    let export = Export::open(&[path.display().to_string()], options).unwrap();
    let megabytes = path.metadata().unwrap().len() as f64 / 1e6;
    let (start, work) = (Instant::now(), processor_seconds());
    let plan = export.scan(&by_parent()).unwrap();
    let (scan, scan_work) = (start.elapsed().as_secs_f64(), processor_seconds() - work);
    let (start, work) = (Instant::now(), processor_seconds());
    let strategy = plan.strategy();
    let mut items = plan.into_products();
    let text_of = |item| match item {
        ExportItem::Product { product, .. } => product.text.len(),
        ExportItem::Rejected(_) => 0,
    };
    let text: usize = items.by_ref().map(|item| text_of(item.unwrap())).sum();
    let (group, group_work) = (start.elapsed().as_secs_f64(), processor_seconds() - work);
    let stats = items.finish().unwrap();
    println!(
        "{mode:?} → {strategy}: {megabytes:.0} MB, {} lines, {} products, {text} bytes; MB/s by wall-clock (and \
         CPU) time: scan {:.0} ({:.0}), products {:.0} ({:.0}), both {:.0} ({:.0}); peak {:?} MB",
        stats.lines,
        stats.products,
        megabytes / scan,
        megabytes / scan_work,
        megabytes / group,
        megabytes / group_work,
        megabytes / (scan + group),
        megabytes / (scan_work + group_work),
        peak_megabytes(),
    );
}

#[test]
#[ignore = "measures for a while; run it by hand"]
fn speed_and_memory() {
    let dir = tempfile::tempdir().unwrap();
    let megabytes = std::env::var("EXPORT_MEGABYTES").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let path = dir.path().join("export.jsonl");
    write_export(&path, megabytes * 1_000_000, true);
    measure(&path, Mode::Auto, dir.path());
    measure(&path, Mode::Adjacent, dir.path());
    measure(&path, Mode::Spill, dir.path());
    write_export(&path, megabytes * 1_000_000, false);
    measure(&path, Mode::Auto, dir.path());
}
