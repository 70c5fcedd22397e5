//! Bad lines: lines that are not JSON objects, as a broken connection, a proxy or a careless editor leaves them in an
//! export.

use crate::sample::rng::Rng;

static BAD_LINES: &[&[u8]] = &[
    b"not-json-line\n",
    b"{\"id\":\"gid:\\/\\/shopify\\/Product\\/1\",\"title\":\"cut o\n",
    b"<html><body><h1>502 Bad Gateway</h1></body></html>\n",
    b"[1,2,3]\n",
    b"\"a string\"\n",
    b"{\"id\":\"gid:\\/\\/shopify\\/Product\\/2\",\"title\":\"\xff\xfe\"}\n",
    b"{\"id\":\"gid:\\/\\/shopify\\/Product\\/3\",\"title\":\"\\ud83d\"}\n",
    b"null\n",
];

/// Decides where bad lines are. It has random numbers of its own, so that the good lines are the same with and without
/// bad ones.
#[derive(Debug)]
pub(crate) struct BadLines {
    rng: Rng,
    /// Number of bad lines per 10,000 good ones.
    share: u32,
}

impl BadLines {
    pub(crate) fn new(seed: u64, share: f64) -> Self {
        Self { rng: Rng::new(seed, u64::MAX), share: (share.clamp(0.0, 1.0) * 10_000.0).round() as u32 }
    }

    /// The bad line after the current good one, if there is to be one.
    pub(crate) fn next(&mut self) -> Option<&'static [u8]> {
        (self.share > 0 && self.rng.chance(self.share)).then(|| self.rng.pick(BAD_LINES))
    }
}
