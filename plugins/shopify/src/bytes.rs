//! Loops over many bytes at once. Blocks are examined without branches, which the compiler turns into vector instructions.

/// How many bytes a vector register holds.
const BLOCK: usize = 16;

/// Whether a condition holds for all bytes.
#[inline]
pub(crate) fn all(bytes: &[u8], holds: impl Fn(u8) -> bool) -> bool {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let rest_holds = match bytes.last_chunk() {
        // Some bytes once more cost less than the rest one by one.
        Some(last) => all_of_block(last, &holds),
        None => rest.iter().all(|byte| holds(*byte)),
    };
    rest_holds && blocks.iter().all(|block| all_of_block(block, &holds))
}

/// How many bytes there are before the first one for which a condition does not hold.
#[inline]
pub(crate) fn prefix_len(bytes: &[u8], holds: impl Fn(u8) -> bool) -> usize {
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let len = BLOCK * blocks.iter().take_while(|block| all_of_block(block, &holds)).count();
    len + bytes[len..].iter().take_while(|byte| holds(**byte)).count()
}

#[inline(always)]
fn all_of_block(block: &[u8; BLOCK], holds: impl Fn(u8) -> bool) -> bool {
    block.iter().fold(true, |all, byte| all & holds(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn every_byte_counts(mut bytes in proptest::collection::vec(b'a'..=b'z', 0..80), at: usize) {
            let is_letter = |byte: u8| byte.is_ascii_lowercase();
            proptest::prop_assert!(all(&bytes, is_letter));
            proptest::prop_assert_eq!(prefix_len(&bytes, is_letter), bytes.len());
            if !bytes.is_empty() {
                let at = at % bytes.len();
                bytes[at] = b'-';
                proptest::prop_assert!(!all(&bytes, is_letter));
                proptest::prop_assert_eq!(prefix_len(&bytes, is_letter), at);
            }
        }
    }
}
