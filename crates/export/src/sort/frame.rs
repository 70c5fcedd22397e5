//! The record that is sorted, and its bytes: four numbers of variable length, then the body.

use std::io::{self, BufRead};

/// A record with a key to sort by. What the other parts mean is the user's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What frames are sorted by.
    pub key: u64,
    /// A number of the caller's.
    pub a: u64,
    /// Another one.
    pub b: u64,
    /// Bytes of the caller's.
    pub body: &'a [u8],
}

impl Frame<'_> {
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

/// The four numbers of a frame: key, a, b and the body's length.
pub(super) type Header = [u64; 4];

/// Reads a header; none at the end of the input.
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

/// The frame at the beginning of some bytes, if it is whole.
pub(super) fn read_frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let mut rest = bytes;
    let [key, a, b, length] = read_header(&mut rest).ok()??;
    Some(Frame { key, a, b, body: rest.get(..usize::try_from(length).ok()?)? })
}

/// The length of the frame at the beginning of some bytes, if it is whole.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let [.., length] = read_header(&mut rest).ok()??;
    Some(bytes.len() - rest.len() + usize::try_from(length).ok()?)
}
