//! Streaming decompression of a source (a file or stream of an export), and the digest of its bytes as stored:
//! compressed, if the source is.

use super::{Cancel, ExportError, progress::Progress, source::Source};
use flate2::bufread::MultiGzDecoder;
use host_core::model::Digest;
use sha2::Digest as _;
use std::{
    fs::File,
    io::{self, BufReader, Read, Take},
    sync::Arc,
};

/// Block size in which the decoder reads compressed bytes.
const COMPRESSED_BLOCK: usize = 64 * 1024;

/// Compression of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Plain,
    Gzip,
    Zstd,
}

/// First bytes and names of formats that a user might give by mistake. Without this list, the lines of such a file
/// would be rejected one by one.
const UNSUPPORTED: [(&[u8], &str); 8] = [
    (b"PK\x03\x04", "a zip archive"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"PAR1", "a Parquet file"),
    (b"\xff\xfe\0\0", "text in UTF-32"),
    (b"\0\0\xfe\xff", "text in UTF-32"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
];

impl Compression {
    /// Number of leading bytes that identify every format.
    pub(super) const MAGIC_LEN: usize = 6;

    /// Detects the compression by a source's first bytes; the error names an unsupported format.
    pub(super) fn of(head: &[u8]) -> Result<Self, &'static str> {
        match head {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            // A zstd frame, or a skippable frame, which some compressors write first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            // Text begins with a printable character; in UTF-16 and UTF-32 zeros surround it.
            [b' '..=b'~', 0, 0, 0, ..] | [0, 0, 0, b' '..=b'~', ..] => Err("text in UTF-32"),
            [b' '..=b'~', 0, b' '..=b'~', 0, ..] | [0, b' '..=b'~', 0, b' '..=b'~', ..] => {
                Err("text in UTF-16")
            }
            _ => match UNSUPPORTED.iter().find(|(magic, _)| head.starts_with(magic)) {
                Some((_, what)) => Err(what),
                None => Ok(Self::Plain),
            },
        }
    }

    /// The compression that a file name's extension claims.
    pub(super) fn of_name(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        if name.ends_with(".gz") {
            Self::Gzip
        } else if name.ends_with(".zst") {
            Self::Zstd
        } else {
            Self::Plain
        }
    }

    /// Its name in error messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Reads a source from its first byte, decompressed. [`SourceReader::explain`] turns its errors into [`ExportError`]s.
pub(super) struct SourceReader {
    decoder: Decoder,
    compression: Compression,
    /// Bytes yielded so far.
    decompressed: u64,
    cancel: Cancel,
}

enum Decoder {
    Plain(Metered),
    Gzip(Box<MultiGzDecoder<BufReader<Metered>>>),
    Zstd(Box<zstd::Decoder<'static, BufReader<Metered>>>),
}

impl SourceReader {
    /// Starts at the beginning of the source; `with_digest` computes a digest of the stored bytes on the way.
    pub(super) fn new(
        source: &Source,
        with_digest: bool,
        progress: &Arc<Progress>,
        cancel: &Cancel,
    ) -> io::Result<Self> {
        Self::with_compression(source, source.compression(), with_digest, progress, cancel)
    }

    /// Like `new`, but yields the stored bytes without decompressing them.
    pub(super) fn stored(
        source: &Source,
        with_digest: bool,
        progress: &Arc<Progress>,
        cancel: &Cancel,
    ) -> io::Result<Self> {
        Self::with_compression(source, Compression::Plain, with_digest, progress, cancel)
    }

    fn with_compression(
        source: &Source,
        compression: Compression,
        with_digest: bool,
        progress: &Arc<Progress>,
        cancel: &Cancel,
    ) -> io::Result<Self> {
        let stored = Metered {
            file: source.open()?,
            read: 0,
            failed: false,
            hasher: with_digest.then(sha2::Sha256::new),
            progress: Arc::clone(progress),
        };
        let decoder = match compression {
            Compression::Plain => Decoder::Plain(stored),
            Compression::Gzip => {
                let buffered = BufReader::with_capacity(COMPRESSED_BLOCK, stored);
                Decoder::Gzip(Box::new(MultiGzDecoder::new(buffered)))
            }
            Compression::Zstd => {
                let buffered = BufReader::with_capacity(COMPRESSED_BLOCK, stored);
                Decoder::Zstd(Box::new(zstd::Decoder::with_buffer(buffered)?))
            }
        };
        Ok(Self { decoder, compression, decompressed: 0, cancel: cancel.clone() })
    }

    /// Decompressed bytes read so far.
    pub(super) fn decompressed(&self) -> u64 {
        self.decompressed
    }

    /// The export's error for an error that `read` returned; `name` is the source's.
    pub(super) fn explain(&self, name: &str, error: io::Error) -> ExportError {
        let stored = self.stored_side();
        let (name, offset, decompressed) = (name.to_owned(), stored.read, self.decompressed);
        let compression = self.compression.name();
        if self.cancel.is_cancelled() {
            ExportError::Cancelled
        } else if stored.failed || self.compression == Compression::Plain {
            ExportError::Read { name, offset, source: error }
        } else if error.kind() == io::ErrorKind::UnexpectedEof {
            ExportError::Truncated { name, compression, offset, decompressed }
        } else {
            ExportError::Corrupt { name, compression, offset, decompressed, source: error }
        }
    }

    /// The digest of the stored bytes, if it was requested. Call it once, at the end of the source.
    pub(super) fn take_digest(&mut self) -> io::Result<Option<Digest>> {
        let stored = self.stored_side_mut();
        // Decoders usually read to the end, but the digest is wrong if a single byte is missing.
        io::copy(stored, &mut io::sink())?;
        Ok(stored.hasher.take().map(|hasher| {
            let digits = hex::encode(hasher.finalize());
            Digest::try_from(format!("sha256:{digits}")).expect("64 hex digits are a digest")
        }))
    }

    fn stored_side(&self) -> &Metered {
        match &self.decoder {
            Decoder::Plain(stored) => stored,
            Decoder::Gzip(decoder) => decoder.get_ref().get_ref(),
            Decoder::Zstd(decoder) => decoder.get_ref().get_ref(),
        }
    }

    fn stored_side_mut(&mut self) -> &mut Metered {
        match &mut self.decoder {
            Decoder::Plain(stored) => stored,
            Decoder::Gzip(decoder) => decoder.get_mut().get_mut(),
            Decoder::Zstd(decoder) => decoder.get_mut().get_mut(),
        }
    }
}

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let read = match &mut self.decoder {
            Decoder::Plain(stored) => stored.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Zstd(decoder) => decoder.read(buffer),
        }?;
        self.decompressed += read as u64;
        Ok(read)
    }
}

/// Reads the stored bytes, counting and hashing them.
struct Metered {
    file: Take<File>,
    /// Bytes read so far.
    read: u64,
    /// Whether the operating system failed to read, so that an error of the decoder is not the data's fault.
    failed: bool,
    /// `None` if no digest is requested, or once it was taken.
    hasher: Option<sha2::Sha256>,
    progress: Arc<Progress>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer).inspect_err(|error| {
            self.failed = error.kind() != io::ErrorKind::Interrupted;
        })?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..read]);
        }
        self.read += read as u64;
        self.progress.add_bytes(read as u64);
        Ok(read)
    }
}
