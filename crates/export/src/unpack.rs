//! A source's bytes, unpacked as they are read.

use super::{Cancel, ExportError, progress::Progress, source::Source};
use flate2::bufread::MultiGzDecoder;
use host_core::model::Digest;
use sha2::Digest as _;
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
    sync::Arc,
};

/// Packed bytes are handed to the decoder in blocks of this size.
const PACKED_BLOCK: usize = 64 * 1024;

/// How a source is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// Formats that somebody might name by mistake; each line of them would be refused one by one otherwise.
const FOREIGN: [(&[u8], &str); 6] = [
    (b"PK\x03\x04", "a zip archive"),
    (b"BZh", "packed with bzip2"),
    (b"\xfd7zXZ\0", "packed with xz"),
    (b"PAR1", "a Parquet file"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
];

impl Packing {
    /// Bytes that tell every packing.
    pub(super) const HEAD: usize = 6;

    /// Tells the packing by a source's first bytes, or what it is that cannot be read.
    pub(super) fn of(head: &[u8]) -> Result<Self, &'static str> {
        match head {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            // A frame, or a skippable frame, which some packers put first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            _ => match FOREIGN.iter().find(|(magic, _)| head.starts_with(magic)) {
                Some((_, what)) => Err(what),
                None => Ok(Self::Plain),
            },
        }
    }

    /// The packing that a file name promises.
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

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// A source from its first byte on. Errors are told apart by [`Unpacked::explain`].
pub(super) struct Unpacked {
    decoder: Decoder,
    packing: Packing,
    unpacked: u64,
    cancel: Cancel,
}

enum Decoder {
    Plain(Metered),
    Gzip(Box<MultiGzDecoder<BufReader<Metered>>>),
    Zstd(Box<zstd::Decoder<'static, BufReader<Metered>>>),
}

impl Unpacked {
    /// Starts reading at the source's beginning; with a digest of what is stored, if wanted.
    pub(super) fn new(
        source: &Source,
        with_digest: bool,
        progress: &Arc<Progress>,
        cancel: &Cancel,
    ) -> io::Result<Self> {
        Self::with_packing(source, source.packing(), with_digest, progress, cancel)
    }

    /// As `new`, but what is stored is read as it is.
    pub(super) fn stored(
        source: &Source,
        with_digest: bool,
        progress: &Arc<Progress>,
        cancel: &Cancel,
    ) -> io::Result<Self> {
        Self::with_packing(source, Packing::Plain, with_digest, progress, cancel)
    }

    fn with_packing(
        source: &Source,
        packing: Packing,
        with_digest: bool,
        progress: &Arc<Progress>,
        cancel: &Cancel,
    ) -> io::Result<Self> {
        let mut file = source.file().try_clone()?;
        file.rewind()?;
        let stored = Metered {
            file,
            read: 0,
            failed: false,
            hasher: with_digest.then(sha2::Sha256::new),
            progress: Arc::clone(progress),
        };
        let decoder = match packing {
            Packing::Plain => Decoder::Plain(stored),
            Packing::Gzip => {
                let buffered = BufReader::with_capacity(PACKED_BLOCK, stored);
                Decoder::Gzip(Box::new(MultiGzDecoder::new(buffered)))
            }
            Packing::Zstd => {
                let buffered = BufReader::with_capacity(PACKED_BLOCK, stored);
                Decoder::Zstd(Box::new(zstd::Decoder::with_buffer(buffered)?))
            }
        };
        Ok(Self { decoder, packing, unpacked: 0, cancel: cancel.clone() })
    }

    /// Bytes unpacked so far.
    pub(super) fn unpacked(&self) -> u64 {
        self.unpacked
    }

    /// Says what an error of `read` means.
    pub(super) fn explain(&self, name: &str, error: io::Error) -> ExportError {
        let stored = self.stored_side();
        let (name, offset, unpacked) = (name.to_owned(), stored.read, self.unpacked);
        let packing = self.packing.name();
        if self.cancel.is_cancelled() {
            ExportError::Cancelled
        } else if stored.failed || self.packing == Packing::Plain {
            ExportError::Read { name, offset, source: error }
        } else if error.kind() == io::ErrorKind::UnexpectedEof {
            ExportError::Truncated { name, packing, offset, unpacked }
        } else {
            ExportError::Corrupt { name, packing, offset, unpacked, source: error }
        }
    }

    /// The digest of what is stored, if it was wanted; to be called once, at the end of the source.
    pub(super) fn take_digest(&mut self) -> io::Result<Option<Digest>> {
        let stored = self.stored_side_mut();
        // Decoders read to the end of what is stored, but to have missed a byte would be a wrong digest.
        io::copy(stored, &mut io::sink())?;
        Ok(stored.hasher.take().map(|hasher| {
            let digits = hex::encode(hasher.finalize());
            Digest::try_from(format!("sha256:{digits}")).expect("this is how a digest is written")
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

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let read = match &mut self.decoder {
            Decoder::Plain(stored) => stored.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Zstd(decoder) => decoder.read(buffer),
        }?;
        self.unpacked += read as u64;
        Ok(read)
    }
}

/// What is stored, counted and hashed as it is read.
struct Metered {
    file: File,
    read: u64,
    failed: bool,
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
