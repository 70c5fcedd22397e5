//! Makes exports like those of a Shopify shop: seeded, fast, as large as wanted.
//!
//! Product `n` of a seed is always the same, whatever the number of products, the order of the lines or the machine.
//! The spelling is Shopify's to the byte (`json`), the distributions are those of real shops (`shape`), the words are
//! invented (`departments`, `sentences`, `languages`). A product is decided first (`product`, `html`, `metafields`), then
//! written (`render`), and its lines are put in order (`order`).
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
    /// Everything random follows from it.
    pub seed: u64,
    /// How large products are.
    pub shape: Shape,
    /// Each product's lines are adjacent, as with `groupObjects: true`. Otherwise they are anywhere, children before
    /// their parents included.
    pub grouped: bool,
    /// Stop after this many products.
    pub products: u64,
    /// Stop after the product that makes the export at least so long; bad lines do not count.
    pub bytes: u64,
    /// Lines that are not JSON objects, as a share of the good ones from 0 to 1.
    pub bad_lines: f64,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Products, which is to say good lines without a parent.
    pub products: u64,
    /// Good lines.
    pub lines: u64,
    /// Bytes of the good lines.
    pub bytes: u64,
    /// Bad lines.
    pub bad_lines: u64,
}

/// Writes an export. Memory is bounded: one product if grouped, 32 MB of lines if not.
///
/// # Errors
/// Those of `out`.
pub fn write(recipe: &SampleOptions, out: &mut impl Write) -> io::Result<Summary> {
    let mut summary = Summary::default();
    let mut lines = Lines::default();
    let mut bad_lines = BadLines::new(recipe.seed, recipe.bad_lines);
    let mut window = Window::new(Rng::new(recipe.seed, u64::MAX - 1));
    let stragglers = Stragglers::new(recipe.seed);

    while summary.products < recipe.products && summary.bytes < recipe.bytes {
        let index = summary.products;
        make(&mut lines, recipe, index);
        summary.products += 1;
        summary.lines += lines.count() as u64;
        summary.bytes += lines.bytes.len() as u64;
        if recipe.grouped && recipe.bad_lines <= 0.0 {
            out.write_all(&lines.bytes)?;
            continue;
        }
        let straggles = !recipe.grouped && stragglers.has_any(index);
        for (place, line) in lines.iter().enumerate() {
            if straggles && stragglers.includes(index, place) {
                continue;
            }
            let bad_line = bad_lines.next();
            for line in std::iter::once(line).chain(bad_line) {
                if recipe.grouped { out.write_all(line) } else { window.exchange(line, out) }?;
            }
            summary.bad_lines += u64::from(bad_line.is_some());
        }
    }
    if !recipe.grouped {
        for index in (0..summary.products).filter(|&index| stragglers.has_any(index)) {
            make(&mut lines, recipe, index);
            for (_, line) in lines.iter().enumerate().filter(|&(place, _)| stragglers.includes(index, place))
            {
                window.exchange(line, out)?;
            }
        }
        window.finish(out)?;
    }
    Ok(summary)
}

/// Puts the lines of product `index` into `lines`.
fn make(lines: &mut Lines, recipe: &SampleOptions, index: u64) {
    lines.clear();
    let mut rng = Rng::new(recipe.seed, index);
    let traits = recipe.shape.traits();
    let product = Product::decide(&mut rng, traits, index);
    render::render(lines, &mut rng, &product, traits);
}
