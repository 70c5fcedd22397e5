//! The unit of sorting and its encoding: the key, the two numbers and the length of the body as variable-length
//! integers (LEB128), then the body.

use std::io::{self, BufRead};

/// A key to sort by, with a payload that the sorter does not interpret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The sort key.
    pub key: u64,
    /// First number of the payload.
    pub a: u64,
    /// Second number of the payload.
    pub b: u64,
    /// Bytes of the payload.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Appends the encoded frame.
    pub(super) fn write_to(&self, bytes: &mut Vec<u8>) {
        for mut number in [self.key, self.a, self.b, self.body.len() as u64] {
            while number >= 0x80 {
                bytes.push(number as u8 | 0x80);
                number >>= 7;
            }
            bytes.push(number as u8);
        }
        bytes.extend_from_slice(self.body);
    }
}

/// The four integers of a frame: key, a, b and the length of the body.
pub(super) type Header = [u64; 4];

/// Reads a header; `None` at the end of the input.
pub(super) fn read_header(input: &mut impl BufRead) -> io::Result<Option<Header>> {
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut header = [0; 4];
    for number in &mut header {
        for shift in (0..64).step_by(7) {
            let byte = *input.fill_buf()?.first().ok_or(io::ErrorKind::UnexpectedEof)?;
            input.consume(1);
            *number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
    }
    Ok(Some(header))
}

/// Decodes the frame at the start of `bytes`, if it is complete.
pub(super) fn read_frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let mut rest = bytes;
    let [key, a, b, length] = read_header(&mut rest).ok()??;
    Some(Frame { key, a, b, body: rest.get(..usize::try_from(length).ok()?)? })
}

/// Encoded length of the frame at the start of `bytes`, if it is complete.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let [.., length] = read_header(&mut rest).ok()??;
    Some(bytes.len() - rest.len() + usize::try_from(length).ok()?)
}
