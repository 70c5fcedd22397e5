//! Tests of splitting into lines, compared with a simple splitter over the whole text.

use super::*;
use proptest::prelude::*;

/// An input that yields a few bytes at a time.
struct SmallReads<'a> {
    bytes: &'a [u8],
    /// Sizes of the next reads, the last one first; after them, reads are as large as possible.
    sizes: Vec<usize>,
}

impl Read for SmallReads<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes.pop().unwrap_or(usize::MAX).min(buffer.len()).min(self.bytes.len());
        buffer[..size].copy_from_slice(&self.bytes[..size]);
        self.bytes = &self.bytes[size..];
        Ok(size)
    }
}

/// Number, offset, kept bytes, length, and whether a line end followed.
type SeenLine = (u64, u64, Vec<u8>, u64, bool);

fn read(bytes: &[u8], sizes: Vec<usize>, max_line: usize) -> Vec<SeenLine> {
    let mut reader = LineReader::new(SmallReads { bytes, sizes }, max_line);
    let mut seen = Vec::new();
    while reader.advance().unwrap() {
        let line = reader.line();
        assert_eq!(line.is_too_long(), line.length > max_line as u64);
        seen.push((line.number, line.offset, line.bytes.to_vec(), line.length, line.has_newline));
    }
    assert!(!reader.advance().unwrap());
    seen
}

/// The lines that the reader should find.
fn expected(bytes: &[u8], max_line: usize) -> Vec<SeenLine> {
    let mut seen = Vec::new();
    let mut offset = if bytes.starts_with(BOM) { BOM.len() } else { 0 };
    let mut number = 0;
    while offset < bytes.len() {
        let rest = &bytes[offset..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = &rest[..end.unwrap_or(rest.len())];
        number += 1;
        let content = line.strip_suffix(b"\r").unwrap_or(line);
        let is_long = content.len() > max_line;
        if is_long || content.iter().any(|byte| !b" \t\r".contains(byte)) {
            let kept = if is_long { &content[..max_line.min(LONG_LINE_PREFIX)] } else { content };
            seen.push((number, offset as u64, kept.to_vec(), content.len() as u64, end.is_some()));
        }
        offset += line.len() + usize::from(end.is_some());
    }
    seen
}

/// Random bytes with many line ends.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\n".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"  \t".to_vec()),
        1 => Just(BOM.to_vec()),
        6 => prop::collection::vec(any::<u8>(), 1..12),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn lines_are_the_same_whatever_the_sizes_of_the_reads(
        text in text(),
        sizes in prop::collection::vec(1..9_usize, 0..100),
        max_line in prop_oneof![1..20_usize, Just(1 << 20)],
    ) {
        prop_assert_eq!(read(&text, sizes, max_line), expected(&text, max_line));
    }
}

#[test]
fn lines_longer_than_the_buffer_are_whole() {
    let mut text = vec![b'x'; 3 * BLOCK + 17];
    text.extend_from_slice(b"\r\nshort\n");
    text.extend(vec![b'y'; 20 * BLOCK]);
    text.extend_from_slice(b"\n\nlast");
    let whole = read(&text, vec![BLOCK / 3; 40], 64 * BLOCK);
    assert_eq!(whole, expected(&text, 64 * BLOCK));
    assert_eq!(whole.iter().map(|line| line.0).collect::<Vec<_>>(), [1, 2, 3, 5]);
}

#[test]
fn a_line_beyond_the_limit_is_never_held_as_a_whole() {
    let input = SmallReads { bytes: &[&vec![b'x'; 40 * BLOCK][..], b"\nnext\n"].concat(), sizes: Vec::new() };
    let mut reader = LineReader::new(input, BLOCK);
    assert!(reader.advance().unwrap());
    let line = reader.line();
    assert_eq!((line.length, line.bytes.len()), (40 * BLOCK as u64, LONG_LINE_PREFIX));
    assert!(reader.buffer.len() <= 4 * BLOCK);
    assert!(reader.advance().unwrap());
    assert_eq!((reader.line().number, reader.line().bytes), (2, &b"next"[..]));
}
