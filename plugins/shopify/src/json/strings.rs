//! Strings: found, copied and skipped a lane at a time.

use std::borrow::Cow;

use super::{Reader, Unusual};
use crate::lane::{LANE, Lane};
use crate::text::push;

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
        let bytes = self.text.as_bytes();
        let mut at = self.at + 1;
        // No text is longer than what stands for it.
        let room = bytes.len() - at + LANE;
        if self.scratch.len() < room {
            self.scratch.resize(room, 0);
        }
        // Both places are kept at hand instead of with the reader, which is in memory.
        let text = &mut self.scratch[..];
        let mut length = 0;
        loop {
            let rest = bytes.get(at..).ok_or(Unusual)?;
            let lane = first_lane(rest);
            *text[length..].first_chunk_mut().ok_or(Unusual)? = lane;
            let marks = quote_or_backslash(&lane);
            if marks == 0 {
                (at, length) = (at + LANE, length + LANE);
                continue;
            }
            let plain = marks.trailing_zeros() as usize;
            (at, length) = (at + plain, length + plain);
            match &bytes[at..] {
                [b'"', ..] => break,
                // The one escape that the addresses of bulk files are full of, and the ones that their markup is.
                [b'\\', b'/', ..] => {
                    text[length] = b'/';
                    (at, length) = (at + 2, length + 1);
                }
                [b'\\', b'u', b'0', b'0', high @ b'0'..=b'7', low, ..] if low.is_ascii_hexdigit() => {
                    text[length] = (high - b'0') << 4 | hex_digit(*low);
                    (at, length) = (at + 6, length + 1);
                }
                rest => {
                    let (char, read) = escape(rest).ok_or(Unusual)?;
                    length += char.encode_utf8(&mut text[length..]).len();
                    at += read;
                }
            }
        }
        self.at = at + 1;
        let mut copy = String::with_capacity(length);
        push(&mut copy, text_of(&text[..length]));
        Ok(copy)
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

/// The first bytes of a text; if there are fewer, zeros follow.
#[inline(always)]
fn first_lane(text: &[u8]) -> [u8; LANE] {
    text.first_chunk().copied().unwrap_or_else(|| last_lane(text))
}

#[cold]
fn last_lane(text: &[u8]) -> [u8; LANE] {
    let mut lane = [0; LANE];
    lane[..text.len()].copy_from_slice(text);
    lane
}

/// The bytes that were read of a string as text.
#[allow(unsafe_code)]
fn text_of(bytes: &[u8]) -> &str {
    // SAFETY: they are characters from escapes and pieces of a text, each between two bytes of ASCII.
    unsafe { str::from_utf8_unchecked(bytes) }
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

/// The value of a hexadecimal digit.
#[inline(always)]
fn hex_digit(digit: u8) -> u8 {
    // Letters have bit 6, and their last four bits begin with 1.
    (digit & 0xF) + 9 * (digit >> 6)
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
pub(crate) fn code_unit(json: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = json.first_chunk::<6>()? else { return None };
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}
