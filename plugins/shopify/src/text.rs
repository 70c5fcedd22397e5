//! The characters that documents may hold.
//!
//! Vespa, which stores the documents behind Marqo, refuses control characters and noncharacters, so those are dropped. So are
//! invisible characters that would only split words for a tokenizer: U+FEFF (byte order mark), U+200B (zero-width space), U+2060
//! (word joiner) and U+00AD (soft hyphen). Joiners, variation selectors and direction marks stay: emoji and many scripts need
//! them. Case, accents and Unicode normal form are left alone.

use std::borrow::Cow;
use std::cmp::Ordering;

use host_index_rules::is_storable;
use unicode_segmentation::GraphemeCursor;

use crate::lane::{LANE, Lane, none};

/// Whether a character is left out of every document. Tab and line ends are not: they are white space.
fn is_dropped(char: char) -> bool {
    match char {
        '\u{7F}'..'\u{A0}' | '\u{AD}' | '\u{200B}' | '\u{2060}' | '\u{FEFF}' => true,
        _ => !is_storable(char),
    }
}

/// The first bytes that a dropped character can have.
const SUSPECT: [bool; 256] = {
    let mut suspect = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        suspect[byte] = match byte as u8 {
            b'\t' | b'\n' | b'\r' => false,
            0..0x20 | 0x7F | 0xC2 | 0xE2 | 0xEF | 0xF0.. => true,
            _ => false,
        };
        byte += 1;
    }
    suspect
};

/// Whether two texts are equal. Texts are compared a word or a lane at a time, where the standard library's way is a call and a
/// loop over bytes; long ones from their ends, because addresses differ there.
pub(crate) fn same(one: &str, other: &str) -> bool {
    if one.len() != other.len() {
        return false;
    }
    if let (Some(one), Some(other)) = (words_of(one), words_of(other)) {
        return one == other;
    }
    let lanes = |text: &'_ str| text.as_bytes().first_chunk::<LANE>().copied();
    let (_, one_lanes) = one.as_bytes().as_rchunks::<LANE>();
    let (_, other_lanes) = other.as_bytes().as_rchunks::<LANE>();
    let equal =
        |(one, other): (&[u8; LANE], &[u8; LANE])| u128::from_le_bytes(*one) == u128::from_le_bytes(*other);
    one_lanes.iter().zip(other_lanes).rev().all(equal)
        && lanes(one).map(u128::from_le_bytes) == lanes(other).map(u128::from_le_bytes)
}

/// An order of texts, for finding one among others: shorter ones come first.
pub(crate) fn any_order(one: &str, other: &str) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| match (words_of(one), words_of(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => one.cmp(other),
    })
}

/// The start and the end of a text of up to sixteen bytes, which may overlap. Texts of one length are equal if these are.
#[inline(always)]
fn words_of(text: &str) -> Option<(u64, u64)> {
    let bytes = text.as_bytes();
    match bytes.len() {
        0 => Some((0, 0)),
        1..=3 => {
            let last = u16::from_be_bytes([bytes[bytes.len() / 2], bytes[bytes.len() - 1]]);
            Some((bytes[0].into(), last.into()))
        }
        4..=7 => {
            let (first, last) = (bytes.first_chunk()?, bytes.last_chunk()?);
            Some((u32::from_be_bytes(*first).into(), u32::from_be_bytes(*last).into()))
        }
        8..=16 => Some((u64::from_be_bytes(*bytes.first_chunk()?), u64::from_be_bytes(*bytes.last_chunk()?))),
        _ => None,
    }
}

/// Text without white space at its edges, which is what nearly all text has.
pub(crate) fn trimmed(text: &str) -> &str {
    match text.as_bytes() {
        [only] | [only, .., _] if !only.is_ascii_graphic() => text.trim(),
        [.., last] if last.is_ascii_graphic() => text,
        _ => text.trim(),
    }
}

/// Whether a text is nothing but printable ASCII, as most texts are.
pub(crate) fn is_printable_ascii(text: &str) -> bool {
    none(text.as_bytes(), |lane| lane.outside(0x20, 0x7E))
}

/// Drops what no document may hold and trims the edges; white space inside stays as it is.
pub(crate) fn tidy(text: &str) -> Cow<'_, str> {
    let suspect = || text.bytes().any(|byte| SUSPECT[usize::from(byte)]);
    if !is_printable_ascii(text) && suspect() && text.contains(is_dropped) {
        let kept: String = text.chars().filter(|char| !is_dropped(*char)).collect();
        return Cow::Owned(kept.trim().to_owned());
    }
    Cow::Borrowed(trimmed(text))
}

/// Appends a text. A copy whose size is known when compiling is two instructions, where any other is a call out of the sandbox;
/// so texts are copied from both ends, which may overlap, and only long ones otherwise.
#[inline(always)]
pub(crate) fn push(out: &mut String, text: &str) {
    let bytes = text.as_bytes();
    match bytes.len() {
        0 => {}
        1..=2 => push_ends::<1>(out, bytes),
        3..=4 => push_ends::<2>(out, bytes),
        5..=8 => push_ends::<4>(out, bytes),
        9..=16 => push_ends::<8>(out, bytes),
        17..=32 => push_ends::<16>(out, bytes),
        33..=64 => push_ends::<32>(out, bytes),
        65..=128 => push_ends::<64>(out, bytes),
        _ => out.push_str(text),
    }
}

/// Appends a text of N to 2 N bytes.
#[inline(always)]
fn push_ends<const N: usize>(out: &mut String, text: &[u8]) {
    let (Some(first), Some(last)) = (text.first_chunk::<N>(), text.last_chunk::<N>()) else { return };
    out.reserve(text.len());
    // SAFETY: there is room for the text. Its ends are written where they belong and leave nothing out between them, so what is
    // appended is the text as a whole.
    #[allow(unsafe_code)]
    unsafe {
        let out = out.as_mut_vec();
        let start = out.as_mut_ptr().add(out.len());
        start.cast::<[u8; N]>().write_unaligned(*first);
        start.add(text.len() - N).cast::<[u8; N]>().write_unaligned(*last);
        out.set_len(out.len() + text.len());
    }
}

/// Appends text with every run of white space as one space. Call it for each piece of a longer text: runs may span pieces.
///
/// `gap` remembers white space at the end of the piece, which is written only when a word follows.
pub(crate) fn push_collapsed(out: &mut String, gap: &mut bool, piece: &str) {
    let bytes = piece.as_bytes();
    // From here on texts are copied as they are: words with single spaces between them.
    let mut start = 0;
    let mut at = 0;
    while at < bytes.len() {
        let lane = Lane::start_of(&bytes[at..]);
        let visible = 0xFFFF ^ lane.outside(0x21, 0x7E).bits();
        if at > start || visible & 1 == 1 {
            // Of a space at the lane's end it is not known what follows.
            let plain = visible | (lane.equal(b' ').bits() & (visible >> 1));
            let length = plain.trailing_ones() as usize;
            at += length;
            if length >= LANE - 1 {
                continue;
            }
        }
        let Some(char) = piece[at..].chars().next() else { break };
        let white = char.is_whitespace();
        if white || is_dropped(char) {
            push_word(out, gap, &piece[start..at]);
            *gap |= white;
            start = at + char.len_utf8();
        }
        at += char.len_utf8();
        while bytes.get(at).is_some_and(|byte| is_harmless(*byte)) {
            at += 1;
        }
    }
    push_word(out, gap, &piece[start..]);
}

/// Whether a byte outside of ASCII is of a character that is neither dropped nor white space.
fn is_harmless(byte: u8) -> bool {
    byte >= 0x80 && !SUSPECT[usize::from(byte)] && byte != 0xE1 && byte != 0xE3
}

fn push_word(out: &mut String, gap: &mut bool, word: &str) {
    if word.is_empty() {
        return;
    }
    if *gap && !out.is_empty() {
        out.push(' ');
    }
    *gap = false;
    push(out, word);
}

/// The longest beginning of a text of at most this many bytes that cuts no grapheme, without blanks at its end.
pub(crate) fn cut_at(text: &str, bytes: usize) -> &str {
    if bytes >= text.len() {
        return text;
    }
    let at = (0..=bytes).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let mut cursor = GraphemeCursor::new(at, text.len(), true);
    let at = match cursor.is_boundary(text, 0) {
        Ok(true) => at,
        _ => cursor.prev_boundary(text, 0).ok().flatten().unwrap_or(0),
    };
    text[..at].trim_end()
}

/// The longest beginning of a text of at most this many characters that cuts no grapheme.
pub(crate) fn cut_chars(text: &str, chars: usize) -> &str {
    if text.len() <= chars {
        return text;
    }
    match text.char_indices().nth(chars) {
        Some((at, _)) => cut_at(text, at),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collapsed(pieces: &[&str]) -> String {
        let (mut out, mut gap) = (String::new(), false);
        for piece in pieces {
            push_collapsed(&mut out, &mut gap, piece);
        }
        out
    }

    #[test]
    fn unsupported_and_invisible_characters_are_dropped() {
        assert_eq!(
            tidy("\u{FEFF}a\0b\u{1F}c\u{7F}\u{99}d\u{FFFE}\u{1FFFF}e\u{FDD0}\u{200B}f\u{AD}g"),
            "abcdefg"
        );
        assert_eq!(
            tidy("👩\u{200D}👧 \u{200F}ש ❤\u{FE0F} \u{FFFD}"),
            "👩\u{200D}👧 \u{200F}ש ❤\u{FE0F} \u{FFFD}"
        );
        assert!(matches!(tidy(" plain  text "), Cow::Borrowed("plain  text")));
        assert_eq!(tidy("\u{0B} a \u{0C}"), "a");
    }

    #[test]
    fn white_space_collapses_across_pieces() {
        assert_eq!(collapsed(&["  a", " ", "\u{A0}b\r\n\t", "\u{3000}c\u{2003}d  "]), "a b c d");
        assert_eq!(collapsed(&["a\u{200B}b", "c"]), "abc");
        assert_eq!(collapsed(&["a b c d e  f"]), "a b c d e f");
        assert_eq!(collapsed(&["a é b\u{1680}c"]), "a é b c");
        assert_eq!(collapsed(&["a\u{0B}b"]), "a b");
    }

    #[test]
    fn cuts_never_split_a_grapheme() {
        let family = "👩\u{200D}👩\u{200D}👧";
        let text = format!("a{family}b");
        assert_eq!(cut_chars(&text, 3), "a");
        assert_eq!(cut_chars(&text, 6), format!("a{family}"));
        assert_eq!(cut_chars("cafe\u{301} au lait", 4), "caf");
        assert_eq!(cut_chars("abc   def", 5), "abc");
        assert_eq!(cut_at("é", 1), "");
    }

    proptest::proptest! {
        #[test]
        fn texts_are_the_same_if_every_byte_is(mut bytes in proptest::collection::vec(b'a'..=b'z', 0..200), at: usize) {
            let text = String::from_utf8(bytes.clone()).unwrap();
            if !bytes.is_empty() {
                let at = at % bytes.len();
                bytes[at] = 0;
                let other = String::from_utf8(bytes).unwrap();
                proptest::prop_assert!(!same(&text, &other));
            }
            proptest::prop_assert!(same(&text, &text.clone()));
            proptest::prop_assert!(!same(&text, &(text.clone() + "a")));
        }

        #[test]
        fn texts_of_any_length_are_appended(texts in proptest::collection::vec("[aé日]{0,50}", 0..8)) {
            let mut out = String::new();
            texts.iter().for_each(|text| push(&mut out, text));
            proptest::prop_assert_eq!(out, texts.concat());
        }

        #[test]
        fn white_space_collapses_in_texts_of_any_length(text in "[a-c é\u{A0}\u{200B}\n]{0,80}") {
            let kept: String = text.chars().filter(|char| !is_dropped(*char)).collect();
            let words: Vec<&str> = kept.split_whitespace().collect();
            proptest::prop_assert_eq!(collapsed(&[&text]), words.join(" "));
        }
    }
}
