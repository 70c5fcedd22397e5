//! Opens the sources (files and streams) of an export, detects their compression, and spools to disk those that can be
//! read only once, because an export is read in two passes.

use super::{
    Cancel, ExportError, Options, Phase, Progress, Remote,
    decompress::{Compression, SourceReader},
    form::{self, Form},
    temp::TempFiles,
    values::{self, ValuesError},
};
use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek, SeekFrom, Take, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// Size of the blocks in which a stream is copied to disk.
const COPY_BLOCK: usize = 256 * 1024;
/// The name by which the user gives standard input.
const STANDARD_INPUT: &str = "-";

/// One source of an export. A file is open only while it is read, because an export may have more files than a process
/// may have open.
#[derive(Debug)]
pub(super) struct Source {
    name: String,
    content: Content,
    compression: Compression,
    /// Stored length in bytes, before decompression.
    length: u64,
    /// When it was last modified; `None` for standard input and pipes, or where it is not known.
    modified_at: Option<SystemTime>,
    more_pages: bool,
}

/// Where a source's bytes are.
#[derive(Debug)]
enum Content {
    /// In a file of the user, which must not change after it was first opened.
    File { path: PathBuf, state: State },
    /// In the temporary file that holds all streams one after the other.
    Spooled { file: Arc<File>, start: u64 },
}

/// File attributes that change when the file is written to or replaced.
#[derive(Debug, PartialEq, Eq)]
struct State {
    length: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    inode: (u64, u64),
}

impl State {
    fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            inode: {
                use std::os::unix::fs::MetadataExt;
                (metadata.dev(), metadata.ino())
            },
        }
    }
}

impl Source {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The stored bytes, from the first one. Only one reader may be in use at a time, because those of spooled sources
    /// share a file position.
    pub(super) fn open(&self) -> io::Result<Take<File>> {
        self.content.open(self.length)
    }

    /// The decompressed bytes, from the first one.
    fn reader(&self, progress: &Arc<Progress>, cancel: &Cancel) -> Result<SourceReader, ExportError> {
        SourceReader::new(self, false, progress, cancel).map_err(|source| ExportError::Read {
            name: self.name.clone(),
            offset: 0,
            source,
        })
    }

    /// How its records are written, by its first decompressed bytes.
    fn form(&self) -> Result<Form, ExportError> {
        // What is read here is read again, and counted then.
        let mut reader = self.reader(&Arc::default(), &Cancel::default())?;
        let mut head = Vec::with_capacity(form::HEAD_LENGTH);
        let read = reader.by_ref().take(form::HEAD_LENGTH as u64).read_to_end(&mut head);
        read.map_err(|error| reader.explain(&self.name, error))?;
        let name = || self.name.clone();
        match Compression::of(&head) {
            Ok(Compression::Plain) => Ok(Form::of(&head)),
            Ok(_) => Err(ExportError::CompressedTwice { name: name() }),
            Err(what) => Err(ExportError::UnsupportedFormat { name: name(), what }),
        }
    }

    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// When it was last modified; `None` for standard input and pipes, or where it is not known.
    pub(super) fn modified_at(&self) -> Option<SystemTime> {
        self.modified_at
    }

    /// Whether it is a page of an answer that says that another page follows.
    pub(super) fn more_pages(&self) -> bool {
        self.more_pages
    }

    /// Stored length in bytes, before decompression.
    pub(super) fn stored_length(&self) -> u64 {
        self.length
    }

    /// Fails if the file was written to or replaced since it was first opened: two passes over it would not agree.
    pub(super) fn check_unchanged(&self) -> Result<(), ExportError> {
        let Content::File { path, state } = &self.content else { return Ok(()) };
        match path.metadata() {
            Ok(metadata) if State::of(&metadata) == *state => Ok(()),
            Ok(_) => Err(ExportError::Changed { name: self.name.clone() }),
            Err(source) => Err(ExportError::Read { name: self.name.clone(), offset: 0, source }),
        }
    }
}

impl Content {
    fn open(&self, length: u64) -> io::Result<Take<File>> {
        match self {
            // Without a limit: a file that has grown is read to its end, where `check_unchanged` finds the change.
            Self::File { path, .. } => Ok(File::open(path)?.take(u64::MAX)),
            Self::Spooled { file, start } => {
                let mut file = file.try_clone()?;
                file.seek(SeekFrom::Start(*start))?;
                Ok(file.take(length))
            }
        }
    }
}

/// Opens the sources of one export, in order, and copies streams to disk up to their end.
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
    let mut spool = Spool { temp, progress: &options.progress, cancel, file: None };
    let sources = names.iter().zip(opened).map(|(name, opened)| {
        let (content, length, modified_at) = match opened {
            Opened::File(path, state) => {
                let (length, modified_at) = (state.length, state.modified);
                (Content::File { path, state }, length, modified_at)
            }
            Opened::Stream(stream, modified_at) => {
                let (content, length) = spool.copy(name, stream)?;
                (content, length, modified_at)
            }
        };
        let source = Source { modified_at, ..inspect(name, content, length)? };
        match source.form()? {
            Form::Lines => Ok(source),
            Form::Values => spool.copy_records(source, options.max_line_bytes),
        }
    });
    let sources = sources.collect::<Result<Vec<_>, _>>()?;
    progress.expect_bytes(sources.iter().map(Source::stored_length).sum());
    Ok(sources)
}

/// A source that was found, before streams are spooled; a stream comes with the time at which it was last modified, if
/// known.
enum Opened {
    File(PathBuf, State),
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
        return Ok(Opened::File(PathBuf::from(name), State::of(&metadata)));
    }
    Ok(Opened::Stream(Box::new(file), None))
}

/// The temporary file of what can be read only once, and of records that are not one a line.
struct Spool<'a> {
    temp: &'a TempFiles,
    progress: &'a Arc<Progress>,
    cancel: &'a Cancel,
    file: Option<Arc<File>>,
}

impl Spool<'_> {
    /// The file and its end; creates it first.
    fn end(&mut self) -> Result<(Arc<File>, u64), ExportError> {
        self.progress.begin(Phase::Spooling);
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(self.file.insert(Arc::new(self.temp.create()?))),
        };
        let end =
            file.as_ref().seek(SeekFrom::End(0)).map_err(|error| self.temp.failed("extending", error))?;
        Ok((file, end))
    }

    /// Appends a stream; returns where it is, and its length.
    fn copy(&mut self, name: &str, mut stream: impl Read) -> Result<(Content, u64), ExportError> {
        let (file, start) = self.end()?;
        let mut buffer = vec![0; COPY_BLOCK];
        let mut offset = 0;
        loop {
            if self.cancel.is_cancelled() {
                return Err(ExportError::Cancelled);
            }
            let read = match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(ExportError::Read { name: name.to_owned(), offset, source }),
            };
            let written = file.as_ref().write_all(&buffer[..read]);
            written.map_err(|error| self.temp.failed("writing", error))?;
            offset += read as u64;
            self.progress.add_bytes(read as u64);
        }
        Ok((Content::Spooled { file, start }, offset))
    }

    /// Appends the records of a source, one a line; returns them as the source.
    fn copy_records(&mut self, source: Source, max_record: usize) -> Result<Source, ExportError> {
        let (file, start) = self.end()?;
        let mut reader = source.reader(self.progress, self.cancel)?;
        let lines = io::BufWriter::with_capacity(COPY_BLOCK, file.as_ref());
        let copied = values::copy_records(&mut reader, lines, max_record);
        let more_pages = copied.map_err(|error| match error {
            ValuesError::Read(error) => reader.explain(&source.name, error),
            ValuesError::Write(error) => self.temp.failed("writing", error),
            ValuesError::Truncated => ExportError::TruncatedValues { name: source.name.clone() },
            ValuesError::Syntax { reason, offset } => {
                ExportError::InvalidValues { name: source.name.clone(), reason, offset }
            }
            ValuesError::TooLong { offset } => {
                ExportError::RecordTooLong { name: source.name.clone(), offset }
            }
            ValuesError::ErrorAnswer { message } => {
                ExportError::ErrorAnswer { name: source.name.clone(), message }
            }
            ValuesError::MutationAnswer => ExportError::MutationAnswer { name: source.name.clone() },
        })?;
        source.check_unchanged()?;
        let end =
            file.as_ref().seek(SeekFrom::End(0)).map_err(|error| self.temp.failed("extending", error))?;
        let content = Content::Spooled { file, start };
        Ok(Source { content, compression: Compression::Plain, length: end - start, more_pages, ..source })
    }
}

/// Detects the compression of a source by its first bytes.
fn inspect(name: &str, content: Content, length: u64) -> Result<Source, ExportError> {
    let unreadable = |source| ExportError::Read { name: name.to_owned(), offset: 0, source };
    let mut head = Vec::with_capacity(Compression::MAGIC_LEN);
    let file = content.open(length).map_err(unreadable)?;
    file.take(Compression::MAGIC_LEN as u64).read_to_end(&mut head).map_err(unreadable)?;
    let compression = Compression::of(&head)
        .map_err(|what| ExportError::UnsupportedFormat { name: name.to_owned(), what })?;
    // A `.gz` file may be plain (some servers decompress on download), but one too short to detect the format is
    // truncated: an empty `.gz` is not an empty export.
    let claimed = Compression::of_name(name);
    if compression == Compression::Plain
        && claimed != Compression::Plain
        && head.len() < Compression::MAGIC_LEN
    {
        let (compression, offset) = (claimed.name(), head.len() as u64);
        return Err(ExportError::Truncated { name: name.to_owned(), compression, offset, decompressed: 0 });
    }
    Ok(Source { name: name.to_owned(), content, compression, length, modified_at: None, more_pages: false })
}
