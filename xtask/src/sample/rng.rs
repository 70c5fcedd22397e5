//! Random numbers that are the same on every machine: integers only, with a stream of its own for each product.

/// The generator SplitMix64, which is small, fast, and good enough to choose words.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// One of the streams of a seed. Streams are independent, so that product 7 can be made without products 0 to 6.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut outer = Self(seed);
        let mut inner = Self(stream ^ outer.next());
        Self(inner.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end - 1`; 0 for an `end` of 0.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        (((self.next() >> 32) * u64::from(end)) >> 32) as u32
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// True in `share` of 10,000 cases.
    pub(crate) fn chance(&mut self, share: u32) -> bool {
        self.below(10_000) < share
    }

    /// One of `items`, which must not be empty.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u32) as usize]
    }
}

/// One band of a distribution: a range of values, and how often they occur.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Band {
    /// Weight in relation to the other bands.
    pub(crate) weight: u32,
    /// Smallest value, included.
    pub(crate) low: u32,
    /// Largest value, included.
    pub(crate) high: u32,
}

/// Shorthand for the tables in `shape`.
pub(crate) const fn band(weight: u32, low: u32, high: u32) -> Band {
    Band { weight, low, high }
}

/// A number from a distribution of bands: uniform within a band.
pub(crate) fn from_bands(rng: &mut Rng, bands: &[Band]) -> u32 {
    let total: u32 = bands.iter().map(|band| band.weight).sum();
    let mut ticket = rng.below(total);
    for band in bands {
        if ticket < band.weight {
            return rng.between(band.low, band.high);
        }
        ticket -= band.weight;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_repeatable_and_differs_from_its_neighbours() {
        let first: Vec<u64> = {
            let mut rng = Rng::new(1, 2);
            (0..4).map(|_| rng.next()).collect()
        };
        let mut again = Rng::new(1, 2);
        assert_eq!(first, (0..4).map(|_| again.next()).collect::<Vec<_>>());
        assert_ne!(first[0], Rng::new(1, 3).next());
        assert_ne!(first[0], Rng::new(2, 2).next());
    }

    #[test]
    fn bands_stay_within_their_limits_and_near_their_weights() {
        let bands = [band(9, 1, 1), band(1, 10, 20)];
        let mut rng = Rng::new(7, 7);
        let drawn: Vec<u32> = (0..10_000).map(|_| from_bands(&mut rng, &bands)).collect();
        assert!(drawn.iter().all(|&number| number == 1 || (10..=20).contains(&number)));
        let large = drawn.iter().filter(|&&number| number > 1).count();
        assert!((800..1_200).contains(&large), "{large}");
    }
}
