//! Reads JSON strings, examined one SIMD vector (16 bytes) at a time.

use std::borrow::Cow;

use wide::u8x16;

use super::{Deserializer, NeedsFallback};

/// Bytes of a vector.
const VECTOR: usize = 16;

impl<'a> Deserializer<'a> {
    /// Reads a string, whose opening quote is next.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, NeedsFallback> {
        let start = self.at + 1;
        self.at = start + self.plain_len(start)?;
        if self.peek() == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        self.escaped_string(start).map(Cow::Owned)
    }

    /// Reads a string with escapes, whose content begins at `start`. It copies whole vectors and overwrites the bytes
    /// that do not belong to the text, because a copy of fixed size takes two instructions, while any other is a
    /// function call.
    #[inline(never)]
    fn escaped_string(&mut self, start: usize) -> Result<String, NeedsFallback> {
        let bytes = self.text.as_bytes();
        let mut at = start;
        // No string is longer than its JSON text.
        let needed = bytes.len() - at + VECTOR;
        if self.scratch.len() < needed {
            self.scratch.resize(needed, 0);
        }
        let scratch = &mut self.scratch[..];
        let mut len = 0;
        loop {
            let vector = vector_at(bytes, at);
            *scratch[len..].first_chunk_mut().ok_or(NeedsFallback)? = vector;
            let ends = ends_in(vector);
            if ends == 0 {
                (at, len) = (at + VECTOR, len + VECTOR);
                continue;
            }
            let plain = ends.trailing_zeros() as usize;
            (at, len) = (at + plain, len + plain);
            match bytes.get(at..).unwrap_or_default() {
                [b'"', ..] => break,
                // Treated first, because URLs and HTML are full of escaped slashes.
                [b'\\', b'/', ..] => {
                    scratch[len] = b'/';
                    (at, len) = (at + 2, len + 1);
                }
                [b'\\', b'u', b'0', b'0', high @ b'0'..=b'7', low, ..] if low.is_ascii_hexdigit() => {
                    // `\u0000` to `\u007f`: one byte. In ASCII the low four bits of a digit are its value; those of a
                    // letter, which has bit 6 set, are its value minus 9.
                    scratch[len] = (high - b'0') << 4 | ((low & 0xF) + 9 * (low >> 6));
                    (at, len) = (at + 6, len + 1);
                }
                rest => {
                    let (char, spelling_len) = escape(rest).ok_or(NeedsFallback)?;
                    len += char.encode_utf8(&mut scratch[len..]).len();
                    at += spelling_len;
                }
            }
        }
        self.at = at + 1;
        str::from_utf8(&scratch[..len]).map(str::to_owned).map_err(|_| NeedsFallback)
    }

    /// Moves past a string, whose opening quote is next.
    pub(super) fn skip_string(&mut self) -> Result<(), NeedsFallback> {
        self.at += 1;
        loop {
            self.at += self.plain_len(self.at)?;
            if self.peek() == b'"' {
                self.at += 1;
                return Ok(());
            }
            self.at += match self.rest().get(1).ok_or(NeedsFallback)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                b'u' if code_unit(self.rest()).is_some() => 6,
                _ => return Err(NeedsFallback),
            };
        }
    }

    /// How many bytes there are from here to the next quote or backslash.
    #[inline(always)]
    fn plain_len(&self, start: usize) -> Result<usize, NeedsFallback> {
        let mut at = start;
        loop {
            let ends = ends_in(vector_at(self.text.as_bytes(), at));
            if ends != 0 {
                at += ends.trailing_zeros() as usize;
                let is_plain = self.text.as_bytes().get(at).is_some_and(|byte| *byte >= b' ');
                return if is_plain { Ok(at - start) } else { Err(NeedsFallback) };
            }
            at += VECTOR;
        }
    }
}

/// The bytes from `at` on; zeros follow the end of the text.
#[inline(always)]
fn vector_at(bytes: &[u8], at: usize) -> [u8; VECTOR] {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.first_chunk().copied().unwrap_or_else(|| padded(rest))
}

#[cold]
fn padded(bytes: &[u8]) -> [u8; VECTOR] {
    let mut padded = [0; VECTOR];
    padded[..bytes.len()].copy_from_slice(bytes);
    padded
}

/// A bit for each byte that ends a run of plain bytes: a quote, a backslash or a control character (which the padding
/// is).
#[inline(always)]
fn ends_in(vector: [u8; VECTOR]) -> u32 {
    let vector = u8x16::new(vector);
    (vector.simd_eq(b'"') | vector.simd_eq(b'\\') | vector.simd_lt(b' ')).to_bitmask()
}

/// The character of the escape at the start, and the length of the escape in bytes; `None` if there is no valid escape.
fn escape(json: &[u8]) -> Option<(char, usize)> {
    // There may be a control character instead, which is not allowed in a string.
    let [b'\\', kind, ..] = json else { return None };
    let char = match kind {
        b'b' => '\u{8}',
        b'f' => '\u{C}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        itself @ (b'"' | b'\\' | b'/') => char::from(*itself),
        b'u' => return unicode(json),
        _ => return None,
    };
    Some((char, 2))
}

/// The character of the `\u` escape at the start, or of the two that form a surrogate pair, and their length in bytes.
fn unicode(json: &[u8]) -> Option<(char, usize)> {
    let unit = code_unit(json)?;
    if let Some(char) = char::from_u32(unit) {
        return Some((char, 6));
    }
    let units = [unit, code_unit(json.get(6..)?)?].map(|unit| unit as u16);
    let char = char::decode_utf16(units).next()?.ok()?;
    Some((char, 12))
}

/// The UTF-16 code unit of the `\uXXXX` at the start, if there is one.
fn code_unit(json: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = json.first_chunk::<6>()? else { return None };
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}
