//! Sixteen bytes looked at together, by the vector instructions that sandbox and machine have.

/// How many bytes a vector register holds.
pub(crate) const LANE: usize = 16;

/// Sixteen bytes of a text.
#[derive(Clone, Copy)]
pub(crate) struct Lane(arch::Vector);

/// What is true of which bytes of a lane.
#[derive(Clone, Copy)]
pub(crate) struct Marks(arch::Vector);

impl Lane {
    #[inline(always)]
    pub(crate) fn of(bytes: &[u8; LANE]) -> Self {
        Lane(arch::load(bytes))
    }

    /// The beginning of a text that may be shorter than a lane, filled up with zeros.
    #[inline(always)]
    pub(crate) fn start_of(bytes: &[u8]) -> Self {
        match bytes.first_chunk::<LANE>() {
            Some(lane) => Lane::of(lane),
            None => Lane::short(bytes),
        }
    }

    fn short(bytes: &[u8]) -> Self {
        let length = bytes.len();
        let (mut first, mut last) = (0, 0);
        if let (Some(start), Some(end)) = (bytes.first_chunk(), bytes.last_chunk()) {
            first = u64::from_le_bytes(*start);
            // In two steps, because one may be as wide as the word.
            last = u64::from_le_bytes(*end) >> 8 >> (8 * (15 - length));
        } else if let (Some(start), Some(end)) = (bytes.first_chunk(), bytes.last_chunk()) {
            first = u64::from(u32::from_le_bytes(*start))
                | u64::from(u32::from_le_bytes(*end)) << (8 * (length - 4));
        } else if length > 0 {
            let byte = |at: usize| u64::from(bytes[at]) << (8 * at);
            first = byte(0) | byte(length / 2) | byte(length - 1);
        }
        Lane(arch::of_words(first, last))
    }

    /// The bytes that are this one.
    #[inline(always)]
    pub(crate) fn equal(self, byte: u8) -> Marks {
        Marks(arch::equal(self.0, byte))
    }

    /// The bytes that are neither between these two nor one of them.
    #[inline(always)]
    pub(crate) fn outside(self, first: u8, last: u8) -> Marks {
        Marks(arch::above(arch::minus(self.0, first), last - first))
    }

    /// With the letters of ASCII in lower case; other bytes may change as well.
    #[inline(always)]
    pub(crate) fn lower_case(self) -> Self {
        Lane(arch::or(self.0, arch::splat(0x20)))
    }
}

impl Marks {
    #[inline(always)]
    pub(crate) fn or(self, other: Self) -> Self {
        Marks(arch::or(self.0, other.0))
    }

    #[inline(always)]
    pub(crate) fn and(self, other: Self) -> Self {
        Marks(arch::and(self.0, other.0))
    }

    /// One bit a byte, the lowest one for the first byte.
    #[inline(always)]
    pub(crate) fn bits(self) -> u32 {
        arch::bits(self.0)
    }

    #[inline(always)]
    fn any(self) -> bool {
        arch::any(self.0)
    }
}

/// Whether no byte of a text is marked. Lanes may overlap, and only texts beyond 64 bytes take a loop, because branches are what
/// costs most in the sandbox.
#[inline(always)]
pub(crate) fn none(bytes: &[u8], marked: impl Fn(Lane) -> Marks + Copy) -> bool {
    let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) else {
        return marked(Lane::short(bytes)).bits() & !(u32::MAX << bytes.len()) == 0;
    };
    let ends = marked(Lane::of(first)).or(marked(Lane::of(last)));
    if bytes.len() <= 2 * LANE { !ends.any() } else { !ends.any() && none_inside(bytes, marked) }
}

#[inline(never)]
fn none_inside(bytes: &[u8], marked: impl Fn(Lane) -> Marks + Copy) -> bool {
    let (lanes, _) = bytes[unmarked_blocks(bytes, marked)..].as_chunks::<LANE>();
    !lanes.iter().any(|lane| marked(Lane::of(lane)).any())
}

/// How many bytes at the start of a text are not marked; zeros must be.
#[inline(always)]
pub(crate) fn before(bytes: &[u8], marked: impl Fn(Lane) -> Marks + Copy) -> usize {
    let mut at = unmarked_blocks(bytes, marked);
    loop {
        let bits = marked(Lane::start_of(&bytes[at..])).bits();
        if bits != 0 {
            return at + bits.trailing_zeros() as usize;
        }
        at += LANE;
    }
}

/// The bytes of the blocks of lanes at the start in which nothing is marked.
#[inline(always)]
fn unmarked_blocks(bytes: &[u8], marked: impl Fn(Lane) -> Marks + Copy) -> usize {
    let (lanes, _) = bytes.as_chunks::<LANE>();
    let (blocks, _) = lanes.as_chunks::<4>();
    let is_unmarked = |block: &&[[u8; LANE]; 4]| {
        let [one, two, three, four] = block.each_ref().map(|lane| marked(Lane::of(lane)));
        !one.or(two).or(three.or(four)).any()
    };
    4 * LANE * blocks.iter().take_while(is_unmarked).count()
}

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)]
mod arch {
    use core::arch::wasm32::{
        u8x16_bitmask, u8x16_eq, u8x16_gt, u8x16_splat, u8x16_sub, u64x2, v128_and, v128_any_true, v128_load,
        v128_or,
    };

    pub(super) use core::arch::wasm32::v128 as Vector;

    #[inline(always)]
    pub(super) fn load(bytes: &[u8; super::LANE]) -> Vector {
        // SAFETY: the array has the size of a vector, and a load needs no alignment.
        unsafe { v128_load(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    pub(super) fn of_words(first: u64, last: u64) -> Vector {
        u64x2(first, last)
    }

    #[inline(always)]
    pub(super) fn splat(byte: u8) -> Vector {
        u8x16_splat(byte)
    }

    #[inline(always)]
    pub(super) fn equal(vector: Vector, byte: u8) -> Vector {
        u8x16_eq(vector, u8x16_splat(byte))
    }

    #[inline(always)]
    pub(super) fn above(vector: Vector, byte: u8) -> Vector {
        u8x16_gt(vector, u8x16_splat(byte))
    }

    #[inline(always)]
    pub(super) fn minus(vector: Vector, byte: u8) -> Vector {
        u8x16_sub(vector, u8x16_splat(byte))
    }

    #[inline(always)]
    pub(super) fn or(one: Vector, other: Vector) -> Vector {
        v128_or(one, other)
    }

    #[inline(always)]
    pub(super) fn and(one: Vector, other: Vector) -> Vector {
        v128_and(one, other)
    }

    #[inline(always)]
    pub(super) fn any(vector: Vector) -> bool {
        v128_any_true(vector)
    }

    #[inline(always)]
    pub(super) fn bits(vector: Vector) -> u32 {
        u32::from(u8x16_bitmask(vector))
    }
}

/// The same for tests and for what the sandbox is measured against, which is only fair with instructions of the same kind.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "every x86-64 processor has SSE2, which is all that is used")]
mod arch {
    use core::arch::x86_64::{
        _mm_and_si128, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_max_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set_epi64x, _mm_set1_epi8, _mm_sub_epi8,
    };

    pub(super) use core::arch::x86_64::__m128i as Vector;

    #[inline(always)]
    pub(super) fn load(bytes: &[u8; super::LANE]) -> Vector {
        // SAFETY: the array has the size of a vector, and this load needs no alignment.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    pub(super) fn of_words(first: u64, last: u64) -> Vector {
        unsafe { _mm_set_epi64x(last.cast_signed(), first.cast_signed()) }
    }

    #[inline(always)]
    pub(super) fn splat(byte: u8) -> Vector {
        unsafe { _mm_set1_epi8(byte.cast_signed()) }
    }

    #[inline(always)]
    pub(super) fn equal(vector: Vector, byte: u8) -> Vector {
        unsafe { _mm_cmpeq_epi8(vector, splat(byte)) }
    }

    #[inline(always)]
    pub(super) fn above(vector: Vector, byte: u8) -> Vector {
        let Some(least) = byte.checked_add(1) else { return splat(0) };
        unsafe { _mm_cmpeq_epi8(_mm_max_epu8(vector, splat(least)), vector) }
    }

    #[inline(always)]
    pub(super) fn minus(vector: Vector, byte: u8) -> Vector {
        unsafe { _mm_sub_epi8(vector, splat(byte)) }
    }

    #[inline(always)]
    pub(super) fn or(one: Vector, other: Vector) -> Vector {
        unsafe { _mm_or_si128(one, other) }
    }

    #[inline(always)]
    pub(super) fn and(one: Vector, other: Vector) -> Vector {
        unsafe { _mm_and_si128(one, other) }
    }

    #[inline(always)]
    pub(super) fn any(vector: Vector) -> bool {
        bits(vector) != 0
    }

    #[inline(always)]
    pub(super) fn bits(vector: Vector) -> u32 {
        unsafe { _mm_movemask_epi8(vector) }.cast_unsigned()
    }
}

/// The same in plain words, for machines of any other kind.
#[cfg(not(any(target_arch = "wasm32", target_arch = "x86_64")))]
mod arch {
    pub(super) type Vector = [u8; super::LANE];

    pub(super) fn load(bytes: &Vector) -> Vector {
        *bytes
    }

    pub(super) fn of_words(first: u64, last: u64) -> Vector {
        (u128::from(last) << 64 | u128::from(first)).to_le_bytes()
    }

    pub(super) fn splat(byte: u8) -> Vector {
        [byte; super::LANE]
    }

    pub(super) fn equal(vector: Vector, byte: u8) -> Vector {
        vector.map(|other| u8::from(other == byte))
    }

    pub(super) fn above(vector: Vector, byte: u8) -> Vector {
        vector.map(|other| u8::from(other > byte))
    }

    pub(super) fn minus(vector: Vector, byte: u8) -> Vector {
        vector.map(|other| other.wrapping_sub(byte))
    }

    pub(super) fn or(one: Vector, other: Vector) -> Vector {
        std::array::from_fn(|at| one[at] | other[at])
    }

    pub(super) fn and(one: Vector, other: Vector) -> Vector {
        std::array::from_fn(|at| one[at] & other[at])
    }

    pub(super) fn any(vector: Vector) -> bool {
        vector != [0; super::LANE]
    }

    pub(super) fn bits(vector: Vector) -> u32 {
        vector.iter().rev().fold(0, |bits, byte| bits << 1 | u32::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn each_byte_answers_for_itself(bytes in proptest::array::uniform16(0..6_u8), one in 0..6_u8, other in 0..6_u8) {
            let bits = |holds: &dyn Fn(u8) -> bool| (0..LANE).map(|n| u32::from(holds(bytes[n])) << n).sum::<u32>();
            let lane = Lane::of(&bytes);
            proptest::prop_assert_eq!(lane.equal(one).bits(), bits(&|byte| byte == one));
            let either = lane.equal(one).or(lane.equal(other));
            proptest::prop_assert_eq!(either.bits(), bits(&|byte| byte == one || byte == other));
            let both = lane.outside(one.min(other), one.max(other)).and(lane.equal(5));
            let is_outside = |byte: u8| byte < one.min(other) || byte > one.max(other);
            proptest::prop_assert_eq!(both.bits(), bits(&|byte| byte == 5 && is_outside(byte)));
        }

        #[test]
        fn every_byte_of_a_text_is_seen_and_no_other(mut bytes in proptest::collection::vec(b'a'..=b'z', 0..200), at: usize) {
            let zero = |lane: Lane| lane.equal(0);
            proptest::prop_assert!(none(&bytes, zero));
            proptest::prop_assert_eq!(before(&bytes, zero), bytes.len());
            if !bytes.is_empty() {
                let at = at % bytes.len();
                bytes[at] = 0;
                proptest::prop_assert!(!none(&bytes, zero));
                proptest::prop_assert_eq!(before(&bytes, zero), at);
            }
        }
    }
}
