//! One pass over all sources (files and spooled streams) of an export, line by line. An export is read in two passes.

use super::{
    ExportError, Options,
    decompress::SourceReader,
    lines::{LineReader, RawLine},
    source::Source,
};
use host_core::model::Digest;
use std::{io, sync::Arc};

/// Number of lines between two updates of the progress.
const PROGRESS_STEP: u64 = 1024;

/// The open sources and how to read them.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) sources: Vec<Source>,
    pub(super) options: Options,
}

/// A line and its source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Index of the source.
    pub(super) source: usize,
    /// The line itself.
    pub(super) raw: RawLine<'a>,
}

/// Reads all sources in order, once.
pub(super) struct Pass {
    input: Arc<Input>,
    /// Index of the current source.
    source: usize,
    /// Reads the current source; `None` until its first line is wanted.
    reader: Option<LineReader<SourceReader>>,
    /// Digests of the sources read to their end; `None` if they are not requested.
    digests: Option<Vec<Digest>>,
    /// Lines with content so far.
    lines: u64,
    /// Decompressed bytes of the sources read to their end.
    bytes: u64,
}

impl Pass {
    pub(super) fn new(input: &Arc<Input>) -> Self {
        Self { input: Arc::clone(input), source: 0, reader: None, digests: None, lines: 0, bytes: 0 }
    }

    /// A pass that also computes the digests of the sources.
    pub(super) fn with_digests(input: &Arc<Input>) -> Self {
        Self { digests: Some(Vec::new()), ..Self::new(input) }
    }

    /// Moves to the next line with content; returns false at the end of the last source.
    pub(super) fn advance(&mut self) -> Result<bool, ExportError> {
        while self.source < self.input.sources.len() {
            if self.reader.is_none() {
                self.reader = Some(self.open()?);
            }
            let reader = self.reader.as_mut().expect("it was opened above");
            match reader.advance() {
                Ok(true) => {
                    self.lines += 1;
                    if self.lines.is_multiple_of(PROGRESS_STEP) {
                        self.input.options.progress.set_lines(self.lines);
                    }
                    return Ok(true);
                }
                Ok(false) => self.close()?,
                Err(error) => {
                    return Err(reader.input().explain(self.input.sources[self.source].name(), error));
                }
            }
        }
        Ok(false)
    }

    /// The line that the last `advance` moved to; `None` before the first and after the last.
    pub(super) fn line(&self) -> Option<Line<'_>> {
        self.reader.as_ref().map(|reader| Line { source: self.source, raw: reader.line() })
    }

    /// Name of a line's source.
    pub(super) fn source_name(&self, line: &Line<'_>) -> &str {
        self.input.sources[line.source].name()
    }

    /// Decompressed bytes of the sources read to their end.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digests of the sources, if requested; complete after the end of the last source.
    pub(super) fn take_digests(&mut self) -> Vec<Digest> {
        self.digests.take().unwrap_or_default()
    }

    fn open(&self) -> Result<LineReader<SourceReader>, ExportError> {
        let source = &self.input.sources[self.source];
        let Options { progress, cancel, .. } = &self.input.options;
        let decompressed = SourceReader::new(source, self.digests.is_some(), progress, cancel)
            .map_err(|error| read_failed(source, error))?;
        Ok(LineReader::new(decompressed, self.input.options.max_line_bytes))
    }

    fn close(&mut self) -> Result<(), ExportError> {
        let source = &self.input.sources[self.source];
        source.check_unchanged()?;
        if let Some(mut reader) = self.reader.take() {
            self.bytes += reader.input().decompressed();
            let digest = reader.input_mut().take_digest().map_err(|error| read_failed(source, error))?;
            if let Some(digests) = &mut self.digests {
                digests.extend(digest);
            }
        }
        self.source += 1;
        self.input.options.progress.set_lines(self.lines);
        Ok(())
    }
}

/// The digests of the sources, computed without decompressing them.
pub(super) fn digests(input: &Input) -> Result<Vec<Digest>, ExportError> {
    let digest = |source: &Source| {
        let Options { progress, cancel, .. } = &input.options;
        let mut stored = SourceReader::stored(source, true, progress, cancel)
            .map_err(|error| read_failed(source, error))?;
        let digest = io::copy(&mut stored, &mut io::sink()).and_then(|_| stored.take_digest());
        let digest = digest.map_err(|error| stored.explain(source.name(), error))?;
        Ok(digest.expect("the reader was told to compute it"))
    };
    input.sources.iter().map(digest).collect()
}

fn read_failed(source: &Source, error: io::Error) -> ExportError {
    ExportError::Read { name: source.name().to_owned(), offset: 0, source: error }
}
