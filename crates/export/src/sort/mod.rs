//! External merge sort: sorts as many frames (a key with a payload) as fit into memory, writes them to a temporary
//! file, a *run*, and merges all runs in the end.

use super::{Cancel, ExportError, Options, temp::TempFiles};
use frame::read_frame;
use merge::Merge;
use std::io::{BufWriter, Seek, Write};

mod frame;
mod merge;

pub use frame::Frame;

/// Size of the buffer of an open temporary file.
const FILE_BUFFER: usize = 64 * 1024;
/// Number of steps between two checks for cancellation.
const CANCEL_CHECK_INTERVAL: u64 = 4096;

/// Settings that several sorters share.
#[derive(Clone, Debug)]
pub struct SortOptions {
    temp: TempFiles,
    /// Memory of a sorter, in bytes.
    memory: usize,
    /// Most runs that are merged at once.
    max_open_files: usize,
    cancel: Cancel,
}

impl SortOptions {
    /// The settings of an export's options.
    pub fn new(options: &Options) -> Self {
        Self {
            temp: TempFiles::new(options.temp_dir.clone()),
            memory: options.sort_memory,
            // Merging fewer than two runs at a time would never end.
            max_open_files: options.sort_files.max(2),
            cancel: options.cancel.clone(),
        }
    }

    /// Replaces the memory limit, in bytes.
    pub fn with_memory(self, memory: usize) -> Self {
        Self { memory, ..self }
    }

    /// Creates temporary files for this sort.
    pub fn temp_files(&self) -> &TempFiles {
        &self.temp
    }
}

/// Sorts frames by key; the sort is stable. Frames that do not fit into memory go to temporary files.
#[derive(Debug)]
pub struct Sorter {
    options: SortOptions,
    /// The encoded frames that are in memory.
    buffer: Vec<u8>,
    /// Key and offset in the buffer of each of them.
    index: Vec<(u64, usize)>,
    /// Sorted runs, in the order in which their frames were pushed.
    runs: Vec<std::fs::File>,
}

impl Sorter {
    /// An empty sorter.
    pub fn new(options: &SortOptions) -> Self {
        Self { options: options.clone(), buffer: Vec::new(), index: Vec::new(), runs: Vec::new() }
    }

    /// Adds a frame; writes a temporary file first if memory is full.
    pub fn push(&mut self, frame: Frame<'_>) -> Result<(), ExportError> {
        let used = self.buffer.len() + size_of_val(self.index.as_slice());
        if used + frame.body.len() > self.options.memory && !self.index.is_empty() {
            self.write_run()?;
        }
        self.index.push((frame.key, self.buffer.len()));
        frame.write_to(&mut self.buffer);
        Ok(())
    }

    /// Whether no frame was added.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty() && self.runs.is_empty()
    }

    /// Ends the input and starts reading the frames in order.
    pub fn sorted(mut self) -> Result<Sorted, ExportError> {
        if self.runs.is_empty() {
            self.index.sort_unstable();
            return Ok(Sorted::Memory { buffer: self.buffer, index: self.index.into_iter(), frame_at: 0 });
        }
        self.write_run()?;
        Ok(Sorted::Files(Box::new(Merge::new(self.runs, &self.options)?)))
    }

    /// Sorts the frames in memory and writes them to a temporary file.
    fn write_run(&mut self) -> Result<(), ExportError> {
        if self.options.cancel.is_cancelled() {
            return Err(ExportError::Cancelled);
        }
        if self.runs.len() >= self.options.max_open_files {
            self.merge_runs()?;
        }
        // Frames with the same key are ordered by their offsets, which ascend, so they keep their order.
        self.index.sort_unstable();
        let mut run = self.create_run()?;
        for (_, at) in self.index.drain(..) {
            let rest = &self.buffer[at..];
            let length = frame::length(rest).expect("the buffer holds whole frames");
            run.write_all(&rest[..length]).map_err(|error| self.options.temp.failed("writing", error))?;
        }
        self.buffer.clear();
        self.finish_run(run)
    }

    /// Merges all runs into one, which bounds the number of open files.
    fn merge_runs(&mut self) -> Result<(), ExportError> {
        let mut merge = Merge::new(std::mem::take(&mut self.runs), &self.options)?;
        let mut run = self.create_run()?;
        let mut bytes = Vec::new();
        while merge.advance()? {
            bytes.clear();
            merge.frame().write_to(&mut bytes);
            run.write_all(&bytes).map_err(|error| self.options.temp.failed("writing", error))?;
        }
        self.finish_run(run)
    }

    fn create_run(&self) -> Result<BufWriter<std::fs::File>, ExportError> {
        Ok(BufWriter::with_capacity(FILE_BUFFER, self.options.temp.create()?))
    }

    fn finish_run(&mut self, run: BufWriter<std::fs::File>) -> Result<(), ExportError> {
        let finished = run.into_inner().map_err(std::io::IntoInnerError::into_error);
        let rewound = finished.and_then(|mut file| file.rewind().map(|()| file));
        self.runs.push(rewound.map_err(|error| self.options.temp.failed("writing", error))?);
        Ok(())
    }
}

/// Reads the frames of a [`Sorter`] in order.
#[derive(Debug)]
pub enum Sorted {
    /// All frames fit into memory.
    Memory {
        /// The frames.
        buffer: Vec<u8>,
        /// Keys and offsets of the remaining frames.
        index: std::vec::IntoIter<(u64, usize)>,
        /// Offset of the current frame.
        frame_at: usize,
    },
    /// Runs in temporary files.
    Files(Box<Merge>),
}

impl Sorted {
    /// Moves to the next frame; returns false at the end.
    pub fn advance(&mut self) -> Result<bool, ExportError> {
        match self {
            Self::Memory { index, frame_at, .. } => {
                let next = index.next();
                *frame_at = next.map_or(*frame_at, |(_, at)| at);
                Ok(next.is_some())
            }
            Self::Files(merge) => merge.advance(),
        }
    }

    /// The frame that the last `advance` moved to.
    pub fn frame(&self) -> Frame<'_> {
        match self {
            Self::Memory { buffer, frame_at, .. } => {
                read_frame(&buffer[*frame_at..]).expect("the buffer holds whole frames")
            }
            Self::Files(merge) => merge.frame(),
        }
    }
}

#[cfg(test)]
mod tests;
