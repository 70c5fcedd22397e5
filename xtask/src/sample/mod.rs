//! Makes exports like those of a Shopify shop, of any size. The same seed always makes the same export.
//!
//! Product `n` of a seed is always the same, whatever the number of products, the order of the lines or the machine.
//! The spelling is Shopify's to the byte (`json`), the distributions are those of real shops (`shape`), and the words
//! are invented (`departments`, `sentences`, `languages`). A product is made up first (`product`, `html`,
//! `metafields`), then written as lines (`render`), which are put in order (`order`).
//!
//! Every product is well formed: a plug-in should be able to make a document or a removal of each. Lines that are not
//! JSON come only when asked for.

mod bad;
mod departments;
mod html;
mod json;
mod languages;
mod metafields;
mod order;
mod product;
mod render;
mod rng;
mod sentences;
mod shape;
#[cfg(test)]
mod tests;

pub use shape::Shape;

use bad::BadLines;
use order::{Stragglers, Window};
use product::Product;
use render::Lines;
use rng::Rng;
use std::io::{self, Write};

/// Which export to make.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleOptions {
    /// Seed of all random numbers.
    pub seed: u64,
    /// How large products are.
    pub shape: Shape,
    /// Whether each product's lines are adjacent, as with `groupObjects: true` in Shopify's bulk operations. Otherwise
    /// they are anywhere, and children may precede their parents.
    pub grouped: bool,
    /// Stop after this many products.
    pub products: u64,
    /// Stop after the product with which the export has at least so many bytes; bad lines do not count.
    pub bytes: u64,
    /// Lines that are not JSON objects, as a share of the good ones from 0 to 1.
    pub bad_lines: f64,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Number of products, which are the good lines without a parent.
    pub products: u64,
    /// Number of good lines.
    pub lines: u64,
    /// Bytes of the good lines.
    pub bytes: u64,
    /// Number of bad lines.
    pub bad_lines: u64,
}

/// Writes an export. Memory is bounded: one product if grouped, 32 MB of lines if not.
///
/// # Errors
/// Those of `out`.
pub fn write(options: &SampleOptions, out: &mut impl Write) -> io::Result<Summary> {
    let mut summary = Summary::default();
    let mut lines = Lines::default();
    let mut bad_lines = BadLines::new(options.seed, options.bad_lines);
    let mut window = Window::new(Rng::new(options.seed, u64::MAX - 1));
    let stragglers = Stragglers::new(options.seed);

    while summary.products < options.products && summary.bytes < options.bytes {
        let index = summary.products;
        make(&mut lines, options, index);
        summary.products += 1;
        summary.lines += lines.count() as u64;
        summary.bytes += lines.bytes.len() as u64;
        if options.grouped && options.bad_lines <= 0.0 {
            out.write_all(&lines.bytes)?;
            continue;
        }
        let straggles = !options.grouped && stragglers.has_any(index);
        for (position, line) in lines.iter().enumerate() {
            if straggles && stragglers.includes(index, position) {
                continue;
            }
            let bad_line = bad_lines.next();
            for line in std::iter::once(line).chain(bad_line) {
                if options.grouped { out.write_all(line) } else { window.exchange(line, out) }?;
            }
            summary.bad_lines += u64::from(bad_line.is_some());
        }
    }
    if !options.grouped {
        for index in (0..summary.products).filter(|&index| stragglers.has_any(index)) {
            make(&mut lines, options, index);
            for (_, line) in
                lines.iter().enumerate().filter(|&(position, _)| stragglers.includes(index, position))
            {
                window.exchange(line, out)?;
            }
        }
        window.finish(out)?;
    }
    Ok(summary)
}

/// Replaces `lines` by those of product `index`.
fn make(lines: &mut Lines, options: &SampleOptions, index: u64) {
    lines.clear();
    let mut rng = Rng::new(options.seed, index);
    let traits = options.shape.traits();
    let product = Product::decide(&mut rng, traits, index);
    render::render(lines, &mut rng, &product, traits);
}
