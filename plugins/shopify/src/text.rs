//! The characters that documents may hold.
//!
//! Vespa, Marqo's document store, refuses control characters and noncharacters, so those are dropped. So are invisible
//! characters that would only split words for a tokenizer: U+FEFF (byte order mark), U+200B (zero-width space), U+2060
//! (word joiner) and U+00AD (soft hyphen). Thai, Lao and Khmer are written without spaces, and there a zero-width space is
//! what separates words: it becomes a space. Joiners, variation selectors and direction marks stay: emoji and many
//! scripts need them. Case, accents and Unicode normal form are left alone.

use std::borrow::Cow;

use host_index_rules::is_storable;
use unicode_segmentation::GraphemeCursor;

use crate::simd::{VECTOR, all, between, start_of};

/// Whether a character is removed from every document. Tab and line ends are not: they are white space.
fn is_dropped(char: char) -> bool {
    match char {
        '\u{7F}'..'\u{A0}' | '\u{AD}' | '\u{200B}' | '\u{2060}' | '\u{FEFF}' => true,
        _ => !is_storable(char),
    }
}

const ZERO_WIDTH_SPACE: char = '\u{200B}';

/// Whether a character is of a script that separates words by zero-width spaces: Thai, Lao or Khmer.
fn is_unspaced(char: char) -> bool {
    matches!(char, '\u{E00}'..'\u{F00}' | '\u{1780}'..'\u{1800}')
}

/// For each byte, whether a dropped character can begin with it in UTF-8.
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

/// Text without white space at its edges, which nearly all text lacks already.
pub(crate) fn trimmed(text: &str) -> &str {
    match text.as_bytes() {
        [only] | [only, .., _] if !only.is_ascii_graphic() => text.trim(),
        [.., last] if last.is_ascii_graphic() => text,
        _ => text.trim(),
    }
}

/// Whether a text is nothing but printable ASCII, as most texts are.
pub(crate) fn is_printable_ascii(text: &str) -> bool {
    all(text.as_bytes(), |bytes| between(bytes, b' ', b'~'))
}

/// Drops what no document may hold and trims the edges; white space inside stays as it is.
pub(crate) fn sanitize(text: &str) -> Cow<'_, str> {
    let suspect = || text.bytes().any(|byte| SUSPECT[usize::from(byte)]);
    if !is_printable_ascii(text) && suspect() && text.contains(is_dropped) {
        let (mut kept, mut breaks) = (String::with_capacity(text.len()), false);
        for char in text.chars() {
            if is_dropped(char) {
                breaks |= char == ZERO_WIDTH_SPACE;
                continue;
            }
            if breaks && separates_words(&kept, char) {
                kept.push(' ');
            }
            breaks = false;
            kept.push(char);
        }
        return Cow::Owned(kept.trim().to_owned());
    }
    Cow::Borrowed(trimmed(text))
}

/// Whether a zero-width space between a text and a character is a space for readers.
fn separates_words(before: &str, after: char) -> bool {
    let Some(before) = before.chars().next_back() else { return false };
    (is_unspaced(before) || is_unspaced(after)) && !before.is_whitespace() && !after.is_whitespace()
}

/// Appends a text. In the sandbox, a copy whose size is known when compiling is two instructions, and any other a call
/// of the engine; so short texts are copied as two pieces of fixed size, which may overlap.
#[inline(always)]
pub(crate) fn push(out: &mut String, text: &str) {
    match text.len() {
        4..=8 => push_ends::<4>(out, text),
        9..=16 => push_ends::<8>(out, text),
        17..=32 => push_ends::<16>(out, text),
        33..=64 => push_ends::<32>(out, text),
        65..=128 => push_ends::<64>(out, text),
        _ => out.push_str(text),
    }
}

/// Appends a text of N to 2 N bytes.
#[inline(always)]
fn push_ends<const N: usize>(out: &mut String, text: &str) {
    let overlap_start = text.len() - N;
    let (Some(first), Some(last)) = (text.get(..N), text.get(overlap_start..)) else {
        // A piece would end inside a character.
        return out.push_str(text);
    };
    let start = out.len();
    out.push_str(first);
    out.truncate(start + overlap_start);
    out.push_str(last);
}

/// What came after the last word of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gap {
    None,
    /// A zero-width space, which is a space in some scripts.
    ZeroWidth,
    /// White space, or the end of a line.
    Space,
}

/// Appends text with every run of white space as one space. Call it for each piece of a longer text: runs may span
/// pieces.
///
/// `gap` remembers what came at the end of the piece; a space is written only when a word follows.
pub(crate) fn push_collapsed(out: &mut String, gap: &mut Gap, piece: &str) {
    let bytes = piece.as_bytes();
    // What is between `start` and `at` is copied unchanged: words with single spaces between them.
    let (mut start, mut at) = (0, 0);
    while at < bytes.len() {
        let vector = start_of(&bytes[at..]);
        let visible = between(vector, b'!', b'~').to_bitmask();
        if at > start || visible & 1 == 1 {
            // Of a space at the vector's end it is not known what follows.
            let plain = visible | (vector.simd_eq(b' ').to_bitmask() & (visible >> 1));
            let len = plain.trailing_ones() as usize;
            at += len;
            if len >= VECTOR - 1 {
                continue;
            }
        }
        let Some(char) = piece[at..].chars().next() else { break };
        let white = char.is_whitespace();
        if white || is_dropped(char) {
            push_word(out, gap, &piece[start..at]);
            *gap = (*gap).max(match char {
                _ if white => Gap::Space,
                ZERO_WIDTH_SPACE => Gap::ZeroWidth,
                _ => Gap::None,
            });
            start = at + char.len_utf8();
        }
        at += char.len_utf8();
        while bytes.get(at).is_some_and(|byte| is_harmless(*byte)) {
            at += 1;
        }
    }
    push_word(out, gap, &piece[start..]);
}

/// Whether a byte outside of ASCII is of a character that is neither dropped nor white space. The white space U+1680
/// begins with the byte 0xE1, and U+3000 with 0xE3.
fn is_harmless(byte: u8) -> bool {
    byte >= 0x80 && !SUSPECT[usize::from(byte)] && byte != 0xE1 && byte != 0xE3
}

fn push_word(out: &mut String, gap: &mut Gap, word: &str) {
    let Some(first) = word.chars().next() else { return };
    let is_apart = match *gap {
        Gap::None => false,
        Gap::ZeroWidth => separates_words(out, first),
        Gap::Space => !out.is_empty(),
    };
    if is_apart {
        out.push(' ');
    }
    *gap = Gap::None;
    push(out, word);
}

/// A text as part of a field name: lower case, Latin letters without their accents, and `_` for everything else.
pub(crate) fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for char in text.chars().flat_map(char::to_lowercase) {
        match char {
            'a'..='z' | '0'..='9' => slug.push(char),
            'ß' => slug.push_str("ss"),
            'æ' => slug.push_str("ae"),
            'œ' => slug.push_str("oe"),
            // A combining accent, as in a letter that is written in two characters.
            '\u{300}'..='\u{36F}' => {}
            _ => match BASE_LETTERS.iter().find(|(accented, _)| accented.contains(char)) {
                Some((_, base)) => slug.push(*base),
                None if slug.ends_with('_') || slug.is_empty() => {}
                None => slug.push('_'),
            },
        }
    }
    slug.truncate(slug.trim_end_matches('_').len());
    slug
}

/// Letters of European languages, with the letters that they are written for.
const BASE_LETTERS: [(&str, char); 19] = [
    ("àáâãäåāăą", 'a'),
    ("çćĉċč", 'c'),
    ("ďđð", 'd'),
    ("èéêëēĕėęě", 'e'),
    ("ĝğġģ", 'g'),
    ("ĥħ", 'h'),
    ("ìíîïĩīĭįı", 'i'),
    ("ĵ", 'j'),
    ("ķ", 'k'),
    ("ĺļľł", 'l'),
    ("ñńņňŋ", 'n'),
    ("òóôõöøōŏő", 'o'),
    ("ŕŗř", 'r'),
    ("śŝşšș", 's'),
    ("ţťŧț", 't'),
    ("ùúûüũūŭůűų", 'u'),
    ("ŵ", 'w'),
    ("ýÿŷ", 'y'),
    ("źżž", 'z'),
];

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
        let (mut out, mut gap) = (String::new(), Gap::None);
        for piece in pieces {
            push_collapsed(&mut out, &mut gap, piece);
        }
        out
    }

    #[test]
    fn unsupported_and_invisible_characters_are_dropped() {
        assert_eq!(
            sanitize("\u{FEFF}a\0b\u{1F}c\u{7F}\u{99}d\u{FFFE}\u{1FFFF}e\u{FDD0}\u{200B}f\u{AD}g"),
            "abcdefg"
        );
        assert_eq!(
            sanitize("👩\u{200D}👧 \u{200F}ש ❤\u{FE0F} \u{FFFD}"),
            "👩\u{200D}👧 \u{200F}ש ❤\u{FE0F} \u{FFFD}"
        );
        assert!(matches!(sanitize(" plain  text "), Cow::Borrowed("plain  text")));
        assert_eq!(sanitize("\u{0B} a \u{0C}"), "a");
        assert_eq!(sanitize("\u{200B}สี\u{200B}ดำ \u{200B}A\u{200B}\u{AD}ខ\u{200B}"), "สี ดำ A ខ");
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
    fn names_become_parts_of_field_names() {
        for (name, part) in [
            ("Size", "size"),
            ("Größe (EU)", "grosse_eu"),
            ("Cafe\u{301} & Thé", "cafe_the"),
            ("  Šířka/Výška ", "sirka_vyska"),
            ("サイズ", ""),
            ("サイズ 2", "2"),
            ("İç", "ic"),
        ] {
            assert_eq!(slug(name), part, "{name}");
        }
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
