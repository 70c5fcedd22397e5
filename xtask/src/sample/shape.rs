//! How large products are: the distributions behind the option `--shape` of `cargo xtask sample`. A band has a weight
//! in relation to the others of its list, the smallest and the largest value.
//!
//! `real` follows 13,600 products of a dozen real shops: median 1 variant, 95 % at most 7, the longest tail near 100;
//! one description in eight is empty, half are longer than 550 characters, one in a hundred is longer than 5,000.

use crate::sample::rng::{Band, band};
use clap::ValueEnum;

/// How large the products of a sample are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// About 1 KB and 2 lines a product: few fields, one short paragraph.
    Small,
    /// About 5 KB and 7 lines a product, like an average shop.
    Real,
    /// About 30 KB and 45 lines a product, rare ones with up to 2,048 variants.
    Heavy,
}

/// The distributions of one shape.
#[derive(Debug)]
pub(crate) struct Traits {
    /// Whether lines have few fields, as if the bulk operation's query had selected no others.
    pub(crate) lean: bool,
    /// Variants per product.
    pub(crate) variants: &'static [Band],
    /// Bytes of HTML in the description, before escaping.
    pub(crate) html: &'static [Band],
    /// Pictures, videos and models per product.
    pub(crate) media: &'static [Band],
    /// Tags per product.
    pub(crate) tags: &'static [Band],
    /// Metafields per product.
    pub(crate) metafields: &'static [Band],
    /// Collections that a product is in.
    pub(crate) collections: &'static [Band],
}

impl Shape {
    pub(crate) fn traits(self) -> &'static Traits {
        match self {
            Self::Small => &SMALL,
            Self::Real => &REAL,
            Self::Heavy => &HEAVY,
        }
    }
}

static SMALL: Traits = Traits {
    lean: true,
    variants: &[band(92, 1, 1), band(6, 2, 2), band(2, 3, 4)],
    html: &[band(10, 0, 0), band(90, 40, 120)],
    media: &[band(1, 0, 0)],
    tags: &[band(50, 0, 0), band(50, 1, 5)],
    metafields: &[band(1, 0, 0)],
    collections: &[band(1, 0, 0)],
};

static REAL: Traits = Traits {
    lean: false,
    variants: &[
        band(640, 1, 1),
        band(110, 2, 2),
        band(90, 3, 3),
        band(55, 4, 4),
        band(55, 5, 6),
        band(30, 7, 12),
        band(14, 12, 24),
        band(6, 24, 100),
    ],
    html: &[
        band(120, 0, 0),
        band(400, 100, 550),
        band(350, 550, 1_500),
        band(100, 1_600, 3_200),
        band(25, 3_200, 6_000),
        band(5, 6_000, 18_000),
    ],
    media: &[
        band(160, 0, 0),
        band(450, 1, 1),
        band(260, 2, 3),
        band(105, 4, 8),
        band(23, 9, 24),
        band(2, 25, 70),
    ],
    tags: &[band(200, 0, 0), band(560, 3, 12), band(220, 12, 19), band(20, 20, 44)],
    metafields: &[band(83, 0, 0), band(17, 5, 10)],
    collections: &[band(85, 0, 0), band(15, 1, 2)],
};

static HEAVY: Traits = Traits {
    lean: false,
    variants: &[
        band(1_500, 1, 1),
        band(2_500, 2, 6),
        band(2_600, 7, 16),
        band(2_000, 17, 40),
        band(1_140, 41, 100),
        band(240, 101, 250),
        band(18, 251, 2_048),
        band(2, 2_048, 2_048),
    ],
    html: &[
        band(30, 0, 0),
        band(320, 800, 2_500),
        band(420, 2_500, 5_500),
        band(190, 5_500, 9_000),
        band(40, 9_000, 18_000),
    ],
    media: &[band(50, 0, 0), band(350, 1, 5), band(400, 6, 10), band(180, 11, 20), band(20, 21, 70)],
    tags: &[band(100, 0, 0), band(500, 5, 15), band(350, 15, 30), band(50, 30, 44)],
    metafields: &[band(60, 5, 10), band(40, 10, 20)],
    collections: &[band(30, 0, 0), band(70, 1, 4)],
};
