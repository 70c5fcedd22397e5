//! Opens the sources of an export, detects their compression, and spools those to disk that can be read only once.

use super::{
    Cancel, ExportError, Options, Phase, Progress, Remote, decompress::Compression, temp::TempFiles,
};
use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek, Write},
    path::Path,
    time::SystemTime,
};

/// Block size for spooling.
const COPY_BLOCK: usize = 256 * 1024;
/// The name of standard input.
const STANDARD_INPUT: &str = "-";

/// One opened source of an export.
#[derive(Debug)]
pub(super) struct Source {
    name: String,
    file: File,
    compression: Compression,
    state: State,
    modified_at: Option<SystemTime>,
}

/// File attributes that change when the file is written to.
#[derive(Debug, PartialEq, Eq)]
struct State {
    length: u64,
    modified: Option<SystemTime>,
}

impl State {
    fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), modified: metadata.modified().ok() }
    }
}

impl Source {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// When it was last modified; none for a stream.
    pub(super) fn modified_at(&self) -> Option<SystemTime> {
        self.modified_at
    }

    /// Stored length in bytes, before decompression.
    pub(super) fn stored_length(&self) -> u64 {
        self.state.length
    }

    /// Fails if the file was written to since it was opened: two passes over it would not agree.
    pub(super) fn check_unchanged(&self) -> Result<(), ExportError> {
        match self.file.metadata() {
            Ok(metadata) if State::of(&metadata) == self.state => Ok(()),
            Ok(_) => Err(ExportError::Changed { name: self.name.clone() }),
            Err(source) => Err(ExportError::Read { name: self.name.clone(), offset: 0, source }),
        }
    }
}

/// Opens the sources of one export, in order, and reads streams to their end.
pub(super) fn open_all(
    names: &[String],
    temp: &TempFiles,
    options: &Options,
) -> Result<Vec<Source>, ExportError> {
    let (progress, cancel) = (options.progress.as_ref(), &options.cancel);
    if names.is_empty() {
        return Err(ExportError::NoSource);
    }
    if names.iter().filter(|name| *name == STANDARD_INPUT).count() > 1 {
        return Err(ExportError::StdinTwice);
    }
    // Opening all of them first reports a missing file before gigabytes of a stream are spooled.
    let opened =
        names.iter().map(|name| open(name, options.remote.as_deref())).collect::<Result<Vec<_>, _>>()?;
    let spool = |name: &String, stream: Box<dyn Read>| {
        progress.begin(Phase::Spooling);
        spool(name, stream, temp, progress, cancel)
    };
    let sources = names.iter().zip(opened).map(|(name, opened)| {
        let (file, modified_at) = match opened {
            Opened::File(file, modified_at) => (file, modified_at),
            Opened::Stream(stream, modified_at) => (spool(name, stream)?, modified_at),
        };
        inspect(name, file, modified_at)
    });
    let sources = sources.collect::<Result<Vec<_>, _>>()?;
    progress.expect_bytes(sources.iter().map(Source::stored_length).sum());
    Ok(sources)
}

enum Opened {
    File(File, Option<SystemTime>),
    Stream(Box<dyn Read>, Option<SystemTime>),
}

fn open(name: &str, remote: Option<&dyn Remote>) -> Result<Opened, ExportError> {
    let owned = || name.to_owned();
    if name == STANDARD_INPUT {
        return Ok(Opened::Stream(Box::new(io::stdin()), None));
    }
    if name.contains("://") && !Path::new(name).exists() {
        if let Some(opened) = remote.and_then(|remote| remote.open(name)) {
            return opened.map(|opened| Opened::Stream(opened.reader, opened.modified_at)).map_err(
                |source| match source.kind() {
                    io::ErrorKind::NotFound => ExportError::NotFound { name: owned() },
                    _ => ExportError::Unreadable { name: owned(), source },
                },
            );
        }
        return Err(ExportError::UnsupportedScheme { name: owned() });
    }
    let opened = File::open(name).and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    let (file, metadata) = opened.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ExportError::NotFound { name: owned() },
        _ => ExportError::Unreadable { name: owned(), source },
    })?;
    if metadata.is_dir() {
        return Err(ExportError::Directory { name: owned() });
    }
    // Pipes and devices have paths like files, but can be read only once.
    if metadata.is_file() {
        return Ok(Opened::File(file, metadata.modified().ok()));
    }
    Ok(Opened::Stream(Box::new(file), None))
}

fn spool(
    name: &str,
    mut stream: impl Read,
    temp: &TempFiles,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<File, ExportError> {
    let mut spooled = temp.create()?;
    let mut buffer = vec![0; COPY_BLOCK];
    let mut offset = 0;
    loop {
        if cancel.is_cancelled() {
            return Err(ExportError::Cancelled);
        }
        let read = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(ExportError::Read { name: name.to_owned(), offset, source }),
        };
        spooled.write_all(&buffer[..read]).map_err(|error| temp.failed("writing", error))?;
        offset += read as u64;
        progress.add_bytes(read as u64);
    }
    spooled.rewind().map_err(|error| temp.failed("rewinding", error))?;
    Ok(spooled)
}

fn inspect(name: &str, file: File, modified_at: Option<SystemTime>) -> Result<Source, ExportError> {
    let unreadable = |source| ExportError::Read { name: name.to_owned(), offset: 0, source };
    let state = State::of(&file.metadata().map_err(unreadable)?);
    let mut head = Vec::with_capacity(Compression::MAGIC_LEN);
    (&file).take(Compression::MAGIC_LEN as u64).read_to_end(&mut head).map_err(unreadable)?;
    let compression = Compression::of(&head)
        .map_err(|what| ExportError::UnsupportedFormat { name: name.to_owned(), what })?;
    // A `.gz` file may be plain (some servers decompress on download), but one too short to detect the format is truncated: an
    // empty `.gz` is not an empty export.
    let claimed = Compression::of_name(name);
    if compression == Compression::Plain
        && claimed != Compression::Plain
        && head.len() < Compression::MAGIC_LEN
    {
        let (compression, offset) = (claimed.name(), head.len() as u64);
        return Err(ExportError::Truncated { name: name.to_owned(), compression, offset, decompressed: 0 });
    }
    Ok(Source { name: name.to_owned(), file, compression, state, modified_at })
}
