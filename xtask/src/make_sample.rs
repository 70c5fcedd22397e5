//! `cargo xtask sample`: generates an export like that of a Shopify shop.

use anyhow::{Context, Result};
use clap::Args;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;
use xtask::sample::{self, SampleOptions, Shape, Summary};

/// Arguments of `cargo xtask sample`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Number of products [default: 1000, without limit with --bytes]
    #[arg(long, value_name = "N")]
    products: Option<u64>,
    /// Stop after the product that reaches this size, such as 500MB
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    bytes: Option<u64>,
    /// Seed of the random generator; the same seed makes the same products
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Size of the products
    #[arg(long, value_enum, default_value_t = Shape::Real)]
    shape: Shape,
    /// Keep each product's lines together (the default)
    #[arg(long, conflicts_with = "ungrouped")]
    grouped: bool,
    /// Shuffle the lines, so that children can precede their parents
    #[arg(long)]
    ungrouped: bool,
    /// Share of additional lines that are not JSON objects: 0.01 is one in a hundred
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    bad_lines: f64,
    /// Output file; - for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

impl Options {
    fn sample_options(&self) -> SampleOptions {
        let products = match (self.products, self.bytes) {
            (Some(products), _) => products,
            (None, Some(_)) => u64::MAX,
            (None, None) => 1_000,
        };
        SampleOptions {
            seed: self.seed,
            shape: self.shape,
            grouped: !self.ungrouped,
            products,
            bytes: self.bytes.unwrap_or(u64::MAX),
            bad_lines: self.bad_lines,
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let started = Instant::now();
    let sample_options = options.sample_options();
    let summary = if options.out.as_os_str() == "-" {
        match write_buffered(&sample_options, io::stdout().lock()) {
            // The reader has closed the pipe, as `head` does.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            other => other.context("cannot write to standard output")?,
        }
    } else {
        to_file(&sample_options, &options.out)?
    };
    let seconds = started.elapsed().as_secs_f64();
    let (products, lines, bytes) = (summary.products, summary.lines, summary.bytes);
    let rate = bytes as f64 / 1e6 / seconds.max(1e-6);
    eprintln!(
        "{products} products, {lines} lines, {bad} bad lines, {bytes} bytes in {seconds:.2} s ({rate:.0} MB/s); \
         {lines_each:.1} lines and {bytes_each} bytes per product",
        bad = summary.bad_lines,
        lines_each = lines as f64 / products.max(1) as f64,
        bytes_each = bytes / products.max(1),
    );
    Ok(())
}

/// Writes the export to a file and creates its folder if necessary.
pub(crate) fn to_file(options: &SampleOptions, path: &Path) -> Result<Summary> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    write_buffered(options, file).with_context(|| format!("cannot write {}", path.display()))
}

fn write_buffered(options: &SampleOptions, out: impl Write) -> io::Result<Summary> {
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let summary = sample::write(options, &mut out)?;
    out.flush()?;
    Ok(summary)
}

/// Parses `500MB`, `1.5GB`, `64KiB` or a number of bytes.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic() || character == ' ');
    let factor: u64 = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        other => return Err(format!("unknown unit `{other}`: use KB, MB, GB, KiB, MiB or GiB")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("`{digits}` is not a number"))?;
    if !number.is_finite() || number < 0.0 {
        return Err(format!("`{digits}` is not a size"));
    }
    Ok((number * factor as f64).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_with_their_units() {
        assert_eq!(parse_bytes("500MB"), Ok(500_000_000));
        assert_eq!(parse_bytes("1.5 GiB"), Ok(1_610_612_736));
        assert_eq!(parse_bytes("12"), Ok(12));
        assert_eq!(
            parse_bytes("12 parsecs"),
            Err("unknown unit `parsecs`: use KB, MB, GB, KiB, MiB or GiB".into())
        );
        assert_eq!(parse_bytes("MB"), Err("`` is not a number".into()));
        assert_eq!(parse_bytes("-1MB"), Err("`-1` is not a size".into()));
    }
}
