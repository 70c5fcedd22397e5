//! Sorting more than fits into memory: runs are sorted in memory, written to temporary files and merged.

use super::{Cancel, ExportError, Options, scratch::Scratch};
use frame::read_frame;
use merge::Merge;
use std::io::{BufWriter, Seek, Write};

mod frame;
mod merge;

pub use frame::Frame;

/// Size of the buffer of an open temporary file.
const FILE_BUFFER: usize = 64 * 1024;
/// How often the cancel flag is looked at.
const CANCEL_STEP: u64 = 4096;

/// What sorters have in common.
#[derive(Clone, Debug)]
pub struct SortOptions {
    scratch: Scratch,
    memory: usize,
    files: usize,
    cancel: Cancel,
}

impl SortOptions {
    /// The part of an export's options that sorting needs.
    pub fn of(options: &Options) -> Self {
        Self {
            scratch: Scratch::new(options.scratch_dir.clone()),
            memory: options.sort_memory,
            // A merge of fewer than two would never end.
            files: options.sort_files.max(2),
            cancel: options.cancel.clone(),
        }
    }

    /// With another amount of memory, in bytes.
    pub fn with_memory(self, memory: usize) -> Self {
        Self { memory, ..self }
    }

    /// Where temporary files are made.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }
}

/// Takes frames in any order and gives them back by key; frames with the same key keep their order. What does not
/// fit into memory goes to temporary files.
#[derive(Debug)]
pub struct Sorter {
    options: SortOptions,
    buffer: Vec<u8>,
    /// Key and place in the buffer of each frame.
    index: Vec<(u64, usize)>,
    /// Sorted runs, in the order in which their frames came.
    runs: Vec<std::fs::File>,
}

impl Sorter {
    /// An empty sorter.
    pub fn new(options: &SortOptions) -> Self {
        Self { options: options.clone(), buffer: Vec::new(), index: Vec::new(), runs: Vec::new() }
    }

    /// Takes a frame; writes a temporary file if memory is full.
    pub fn push(&mut self, frame: Frame<'_>) -> Result<(), ExportError> {
        let used = self.buffer.len() + size_of_val(self.index.as_slice());
        if used + frame.body.len() > self.options.memory && !self.index.is_empty() {
            self.write_run()?;
        }
        self.index.push((frame.key, self.buffer.len()));
        frame.write_to(&mut self.buffer);
        Ok(())
    }

    /// Whether no frame was pushed.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty() && self.runs.is_empty()
    }

    /// Ends taking and begins giving back.
    pub fn sorted(mut self) -> Result<Sorted, ExportError> {
        if self.runs.is_empty() {
            self.index.sort_unstable();
            return Ok(Sorted::Memory { buffer: self.buffer, index: self.index.into_iter(), frame_at: 0 });
        }
        self.write_run()?;
        Ok(Sorted::Files(Box::new(Merge::new(self.runs, &self.options)?)))
    }

    fn write_run(&mut self) -> Result<(), ExportError> {
        if self.options.cancel.is_cancelled() {
            return Err(ExportError::Cancelled);
        }
        if self.runs.len() >= self.options.files {
            self.merge_runs()?;
        }
        // Places in the buffer ascend, so frames with the same key keep their order.
        self.index.sort_unstable();
        let mut run = self.create_run()?;
        for (_, at) in self.index.drain(..) {
            let rest = &self.buffer[at..];
            let length = frame::length(rest).expect("the buffer holds whole frames");
            run.write_all(&rest[..length]).map_err(|error| self.options.scratch.failed("writing", error))?;
        }
        self.buffer.clear();
        self.finish_run(run)
    }

    /// Makes one run of all, so that the number of open files stays bounded.
    fn merge_runs(&mut self) -> Result<(), ExportError> {
        let mut merge = Merge::new(std::mem::take(&mut self.runs), &self.options)?;
        let mut run = self.create_run()?;
        let mut bytes = Vec::new();
        while merge.advance()? {
            bytes.clear();
            merge.frame().write_to(&mut bytes);
            run.write_all(&bytes).map_err(|error| self.options.scratch.failed("writing", error))?;
        }
        self.finish_run(run)
    }

    fn create_run(&self) -> Result<BufWriter<std::fs::File>, ExportError> {
        Ok(BufWriter::with_capacity(FILE_BUFFER, self.options.scratch.create()?))
    }

    fn finish_run(&mut self, run: BufWriter<std::fs::File>) -> Result<(), ExportError> {
        let finished = run.into_inner().map_err(std::io::IntoInnerError::into_error);
        let rewound = finished.and_then(|mut file| file.rewind().map(|()| file));
        self.runs.push(rewound.map_err(|error| self.options.scratch.failed("writing", error))?);
        Ok(())
    }
}

/// Gives frames back by key.
#[derive(Debug)]
pub enum Sorted {
    /// Everything fit into memory.
    Memory {
        /// The frames.
        buffer: Vec<u8>,
        /// Where the next ones are.
        index: std::vec::IntoIter<(u64, usize)>,
        /// Where the current one is.
        frame_at: usize,
    },
    /// Runs in temporary files.
    Files(Box<Merge>),
}

impl Sorted {
    /// Moves to the next frame; false at the end.
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
