//! The order of the lines of an ungrouped export, in which the lines of a product are anywhere.
//!
//! Memory stays bounded however long the export is. Lines are exchanged at random within a sliding window of 32,768
//! lines or 32 MB. Stragglers, about half of the lines of one product in thirty-two, follow at the end of the file.
//! They are not stored in between, but made a second time.

use crate::sample::rng::Rng;
use std::io::{self, Write};

const WINDOW_LINES: usize = 32_768;
const WINDOW_BYTES: usize = 32_000_000;

/// The lines that are still to be written, in random order.
#[derive(Debug)]
pub(crate) struct Window {
    rng: Rng,
    lines: Vec<Box<[u8]>>,
    bytes: usize,
}

impl Window {
    pub(crate) fn new(rng: Rng) -> Self {
        Self { rng, lines: Vec::new(), bytes: 0 }
    }

    /// Adds a line; writes random ones while the window is too full.
    pub(crate) fn exchange(&mut self, line: &[u8], out: &mut impl Write) -> io::Result<()> {
        self.bytes += line.len();
        self.lines.push(line.into());
        while self.lines.len() > WINDOW_LINES || (self.bytes > WINDOW_BYTES && self.lines.len() > 1) {
            self.release(out)?;
        }
        Ok(())
    }

    /// Writes what is left.
    pub(crate) fn finish(mut self, out: &mut impl Write) -> io::Result<()> {
        while !self.lines.is_empty() {
            self.release(out)?;
        }
        Ok(())
    }

    /// Writes a random line.
    fn release(&mut self, out: &mut impl Write) -> io::Result<()> {
        let line = self.lines.swap_remove(self.rng.below(self.lines.len() as u32) as usize);
        self.bytes -= line.len();
        out.write_all(&line)
    }
}

/// Decides which lines are stragglers, written at the end of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stragglers {
    seed: u64,
}

impl Stragglers {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Whether product `index` may have stragglers: one product in 32.
    pub(crate) fn has_any(self, index: u64) -> bool {
        // Another stream of random numbers than the product's own: the constant is "straggle" in ASCII.
        Rng::new(self.seed ^ 0x7374_7261_6767_6c65, index).chance(312)
    }

    /// Whether the line at this position is a straggler, of a product that has any.
    pub(crate) fn includes(self, index: u64, position: usize) -> bool {
        Rng::new(self.seed ^ index, position as u64).chance(5_000)
    }
}
