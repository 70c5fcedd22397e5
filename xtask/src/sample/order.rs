//! The order of an export whose operation did not ask for grouped objects.
//!
//! Memory stays bounded however long the export is: lines are exchanged at random within a sliding window of 32,768
//! lines or 32 MB, and for one product in thirty-two about half of the lines, the product's own among them, stay away
//! until the end of the file. They are not stored in between but made a second time.

use crate::sample::rng::Rng;
use std::io::{self, Write};

const WINDOW_LINES: usize = 32_768;
const WINDOW_BYTES: usize = 32_000_000;

/// Lines on their way out, in random order.
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

    /// Takes a line in; writes another one out when the window is full.
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

    fn release(&mut self, out: &mut impl Write) -> io::Result<()> {
        let line = self.lines.swap_remove(self.rng.below(self.lines.len() as u32) as usize);
        self.bytes -= line.len();
        out.write_all(&line)
    }
}

/// Says which lines stay away until the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stragglers {
    seed: u64,
}

impl Stragglers {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Whether any line of this product may stay away.
    pub(crate) fn has_any(self, index: u64) -> bool {
        Rng::new(self.seed ^ 0x7374_7261_6767_6c65, index).chance(312)
    }

    /// Whether line `place` of such a product stays away.
    pub(crate) fn includes(self, index: u64, place: usize) -> bool {
        Rng::new(self.seed ^ index, place as u64).chance(5_000)
    }
}
