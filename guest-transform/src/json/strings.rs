//! Strings: found, copied and skipped a lane at a time.

use std::borrow::Cow;

use super::{Reader, Unusual};
use crate::lane::{LANE, Lane};

impl<'a> Reader<'a> {
    /// A string, whose opening quote is next.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Unusual> {
        let start = self.at + 1;
        let marks = self.text.as_bytes().get(start..).and_then(<[u8]>::first_chunk).map(quote_or_backslash);
        let length = match marks {
            Some(marks) if marks != 0 => marks.trailing_zeros() as usize,
            _ => self.long_string()?,
        };
        let end = start + length;
        if self.text.as_bytes()[end] == b'"' {
            self.at = end + 1;
            return Ok(Cow::Borrowed(&self.text[start..end]));
        }
        self.escaped_string().map(Cow::Owned)
    }

    /// How many bytes of a string have no escape.
    #[inline(never)]
    fn long_string(&self) -> Result<usize, Unusual> {
        memchr::memchr2(b'"', b'\\', &self.text.as_bytes()[self.at + 1..]).ok_or(Unusual)
    }

    /// A string with escapes in it. Copies a lane at a time and takes back what is not part of the text: a copy whose size is
    /// known when compiling is two instructions where any other is a call out of the sandbox.
    #[inline(never)]
    fn escaped_string(&mut self) -> Result<String, Unusual> {
        self.at += 1;
        let expected = memchr::memchr(b'"', self.rest()).ok_or(Unusual)?;
        let mut text = Vec::with_capacity(expected + LANE);
        let bytes = self.text.as_bytes();
        loop {
            let Some(lane) = bytes.get(self.at..).and_then(<[u8]>::first_chunk) else {
                return self.last_string(text);
            };
            text.extend_from_slice(lane);
            let marks = quote_or_backslash(lane);
            if marks == 0 {
                self.at += LANE;
                continue;
            }
            let plain = marks.trailing_zeros() as usize;
            text.truncate(text.len() - LANE + plain);
            self.at += plain;
            match bytes.get(self.at..self.at + 2) {
                // The one escape that the addresses of bulk files are full of.
                Some(br"\/") => {
                    text.push(b'/');
                    self.at += 2;
                }
                _ if bytes[self.at] == b'"' => {
                    self.at += 1;
                    return Ok(text_of(text));
                }
                _ => self.escape(&mut text)?,
            }
        }
    }

    /// What [`Reader::escaped_string`] does, for the end of all texts.
    #[cold]
    fn last_string(&mut self, mut text: Vec<u8>) -> Result<String, Unusual> {
        loop {
            match self.rest().first().ok_or(Unusual)? {
                b'"' => {
                    self.at += 1;
                    return Ok(text_of(text));
                }
                b'\\' => self.escape(&mut text)?,
                byte => {
                    text.push(*byte);
                    self.at += 1;
                }
            }
        }
    }

    /// Reads the escape that is next.
    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), Unusual> {
        let byte = match self.text.as_bytes().get(self.at + 1).ok_or(Unusual)? {
            b'b' => 0x8,
            b'f' => 0xC,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            itself @ (b'"' | b'\\' | b'/') => *itself,
            b'u' => {
                if let Some(byte) = ascii(self.rest()) {
                    text.push(byte);
                    self.at += 6;
                    return Ok(());
                }
                let (char, length) = unicode(self.rest()).ok_or(Unusual)?;
                text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                self.at += length;
                return Ok(());
            }
            _ => return Err(Unusual),
        };
        text.push(byte);
        self.at += 2;
        Ok(())
    }

    /// Goes behind the closing quote of a string. The ids and addresses of bulk files are full of `\/`, which needs no look of
    /// its own.
    pub(super) fn skip_string_rest(&mut self) -> Result<(), Unusual> {
        let (lanes, _) = self.rest().as_chunks::<LANE>();
        // Whether the byte before the lane is a backslash.
        let mut carried = 0;
        for lane in lanes {
            let lane = Lane::of(lane);
            let quotes = lane.equal(b'"').bits();
            // Bit n says whether byte n is escaped.
            let escaped = carried | lane.equal(b'\\').bits() << 1;
            let up_to_quote = (quotes ^ quotes.wrapping_sub(1)) & 0xFFFF;
            if escaped & up_to_quote & !lane.equal(b'/').bits() != 0 {
                break;
            }
            if quotes != 0 {
                self.at += quotes.trailing_zeros() as usize + 1;
                return Ok(());
            }
            self.at += LANE;
            carried = escaped >> LANE;
        }
        self.at -= carried as usize;
        self.skip_escaped_rest()
    }

    #[inline(never)]
    fn skip_escaped_rest(&mut self) -> Result<(), Unusual> {
        loop {
            self.at += memchr::memchr2(b'"', b'\\', self.rest()).ok_or(Unusual)?;
            if self.peek() == b'"' {
                self.at += 1;
                return Ok(());
            }
            self.at += match self.rest().get(1).ok_or(Unusual)? {
                b'u' if code_unit(self.rest()).is_some() => 6,
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                _ => return Err(Unusual),
            };
        }
    }
}

#[inline(always)]
fn quote_or_backslash(lane: &[u8; LANE]) -> u32 {
    let lane = Lane::of(lane);
    lane.equal(b'"').or(lane.equal(b'\\')).bits()
}

/// The bytes that were read of a string as text.
#[allow(unsafe_code)]
fn text_of(bytes: Vec<u8>) -> String {
    // SAFETY: they are characters from escapes and pieces of a text, each between two bytes of ASCII.
    unsafe { String::from_utf8_unchecked(bytes) }
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

/// The byte of the `\u` escape at the start, if it is one of ASCII, as the `<` and `>` of markup are.
fn ascii(json: &[u8]) -> Option<u8> {
    let [b'\\', b'u', b'0', b'0', high @ b'0'..=b'7', low] = json.first_chunk()? else { return None };
    let low = char::from(*low).to_digit(16)?;
    Some((high - b'0') << 4 | low as u8)
}

/// The UTF-16 code unit of the `\uXXXX` at the start, if there is one.
pub(crate) fn code_unit(json: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = json.first_chunk::<6>()? else { return None };
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}
