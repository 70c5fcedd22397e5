//! Strings, examined one vector at a time.

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

    /// Reads on in a string, at its first escape.
    #[inline(never)]
    fn escaped_string(&mut self, start: usize) -> Result<String, NeedsFallback> {
        self.scratch.clear();
        self.scratch.push_str(&self.text[start..self.at]);
        while self.peek() == b'\\' {
            match self.rest() {
                // What addresses and markup are full of.
                [_, b'/', ..] => {
                    self.scratch.push('/');
                    self.at += 2;
                }
                [_, b'u', b'0', b'0', high @ b'0'..=b'7', low, ..] if low.is_ascii_hexdigit() => {
                    // Letters have bit 6, and their last four bits begin with 1.
                    self.scratch.push(char::from((high - b'0') << 4 | (low & 0xF) + 9 * (low >> 6)));
                    self.at += 6;
                }
                rest => {
                    let (char, len) = escape(rest).ok_or(NeedsFallback)?;
                    self.scratch.push(char);
                    self.at += len;
                }
            }
            let plain = self.plain_len(self.at)?;
            self.scratch.push_str(&self.text[self.at..self.at + plain]);
            self.at += plain;
        }
        self.at += 1;
        Ok(self.scratch.clone())
    }

    /// Moves behind a string, whose opening quote is next.
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
            let rest = self.text.as_bytes().get(at..).unwrap_or_default();
            // Zeros behind the end are control characters.
            let vector = u8x16::new(rest.first_chunk().copied().unwrap_or_else(|| padded(rest)));
            let ends = vector.simd_eq(b'"') | vector.simd_eq(b'\\') | vector.simd_lt(b' ');
            let ends = ends.to_bitmask();
            if ends != 0 {
                at += ends.trailing_zeros() as usize;
                let is_plain = self.text.as_bytes().get(at).is_some_and(|byte| *byte >= b' ');
                return if is_plain { Ok(at - start) } else { Err(NeedsFallback) };
            }
            at += VECTOR;
        }
    }
}

#[cold]
fn padded(bytes: &[u8]) -> [u8; VECTOR] {
    let mut padded = [0; VECTOR];
    padded[..bytes.len()].copy_from_slice(bytes);
    padded
}

/// The character of the escape at the start, and how long the escape is.
fn escape(json: &[u8]) -> Option<(char, usize)> {
    let char = match json.get(1)? {
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

/// The character of the `\u` escape at the start, or of the two that make a pair, and how long it is.
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
