//! Texts examined sixteen bytes at a time, by the vector instructions that sandbox and machine have.
//!
//! A condition takes a vector of bytes and sets all bits of those for which it holds.

use wide::u8x16;

/// Bytes of a vector.
pub(crate) const VECTOR: usize = 16;

/// The beginning of a text; zeros follow a shorter one.
#[inline(always)]
pub(crate) fn start_of(bytes: &[u8]) -> u8x16 {
    match bytes.first_chunk() {
        Some(chunk) => u8x16::new(*chunk),
        None => short(bytes),
    }
}

/// A text shorter than a vector, from both of its ends: a copy of a length that is not known when compiling is a call.
fn short(bytes: &[u8]) -> u8x16 {
    let len = bytes.len();
    let (mut first, mut last) = (0, 0);
    if let (Some(start), Some(end)) = (bytes.first_chunk(), bytes.last_chunk()) {
        first = u64::from_le_bytes(*start);
        // In two steps, because one may be as wide as the word.
        last = u64::from_le_bytes(*end) >> 8 >> (8 * (15 - len));
    } else if let (Some(start), Some(end)) = (bytes.first_chunk(), bytes.last_chunk()) {
        first =
            u64::from(u32::from_le_bytes(*start)) | u64::from(u32::from_le_bytes(*end)) << (8 * (len - 4));
    } else if len > 0 {
        let byte = |at: usize| u64::from(bytes[at]) << (8 * at);
        first = byte(0) | byte(len / 2) | byte(len - 1);
    }
    u8x16::new((u128::from(last) << 64 | u128::from(first)).to_le_bytes())
}

/// The bytes from one to another, both included.
#[inline(always)]
pub(crate) fn between(vector: u8x16, first: u8, last: u8) -> u8x16 {
    (vector - u8x16::splat(first)).simd_lt(last - first + 1)
}

/// Whether a condition holds for all bytes of a text. Vectors may overlap, so that only texts beyond 32 bytes take a loop.
#[inline(always)]
pub(crate) fn all(bytes: &[u8], holds: impl Fn(u8x16) -> u8x16) -> bool {
    let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) else {
        return (holds(short(bytes)).to_bitmask() | u32::MAX << bytes.len()) == u32::MAX;
    };
    let ends = holds(u8x16::new(*first)) & holds(u8x16::new(*last));
    let (chunks, _) = bytes[VECTOR..].as_chunks();
    ends.all() && chunks.iter().all(|chunk| holds(u8x16::new(*chunk)).all())
}

/// How many bytes there are before the first one for which a condition does not hold. It must not hold for zeros.
#[inline(always)]
pub(crate) fn prefix_len(bytes: &[u8], holds: impl Fn(u8x16) -> u8x16) -> usize {
    let mut len = 0;
    loop {
        let prefix = holds(start_of(&bytes[len..])).to_bitmask().trailing_ones() as usize;
        len += prefix;
        if prefix < VECTOR {
            return len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn every_byte_counts(mut bytes in proptest::collection::vec(b'a'..=b'z', 0..80), at: usize, other in 0..=255_u8) {
            let is_letter = |vector| between(vector, b'a', b'z');
            proptest::prop_assert!(all(&bytes, is_letter));
            proptest::prop_assert_eq!(prefix_len(&bytes, is_letter), bytes.len());
            if !bytes.is_empty() && !other.is_ascii_lowercase() {
                let at = at % bytes.len();
                bytes[at] = other;
                proptest::prop_assert!(!all(&bytes, is_letter));
                proptest::prop_assert_eq!(prefix_len(&bytes, is_letter), at);
            }
        }
    }
}
