//! Merges several sorted runs (temporary files of frames) into one sorted sequence.

use super::{
    CANCEL_CHECK_INTERVAL, FILE_BUFFER, SortOptions,
    frame::{Frame, read_header},
};
use crate::{Cancel, ExportError, temp::TempFiles};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    fs::File,
    io::{self, BufReader, Read},
};

/// Reads the frames of several runs by key; frames with the same key come in the order of the runs.
#[derive(Debug)]
pub struct Merge {
    runs: Vec<Run>,
    /// Current key and index of each run that has not ended; the least one has the current frame.
    heap: BinaryHeap<Reverse<(u64, usize)>>,
    /// Whether the caller has advanced to the first frame.
    started: bool,
    /// Number of advances, to check for cancellation at intervals.
    steps: u64,
    temp: TempFiles,
    cancel: Cancel,
}

impl Merge {
    pub(super) fn new(files: Vec<File>, options: &SortOptions) -> Result<Self, ExportError> {
        let temp = options.temp.clone();
        let mut runs: Vec<Run> = files.into_iter().map(Run::new).collect();
        let mut heap = BinaryHeap::with_capacity(runs.len());
        for (run_index, run) in runs.iter_mut().enumerate() {
            if run.advance().map_err(|error| temp.failed("reading", error))? {
                heap.push(Reverse((run.key, run_index)));
            }
        }
        Ok(Self { runs, heap, started: false, steps: 0, temp, cancel: options.cancel.clone() })
    }

    /// Moves to the next frame; returns false at the end.
    pub(super) fn advance(&mut self) -> Result<bool, ExportError> {
        self.steps += 1;
        if self.steps.is_multiple_of(CANCEL_CHECK_INTERVAL) && self.cancel.is_cancelled() {
            return Err(ExportError::Cancelled);
        }
        if self.started
            && let Some(mut head) = self.heap.peek_mut()
        {
            let Reverse((key, run_index)) = &mut *head;
            let run = &mut self.runs[*run_index];
            if run.advance().map_err(|error| self.temp.failed("reading", error))? {
                *key = run.key;
            } else {
                // Close the file now to free its disk space.
                run.reader = None;
                PeekMut::pop(head);
            }
        }
        self.started = true;
        Ok(!self.heap.is_empty())
    }

    /// The frame that the last `advance` moved to.
    pub(super) fn frame(&self) -> Frame<'_> {
        let Reverse((_, run_index)) = self.heap.peek().expect("the caller advanced to a frame");
        let Run { key, a, b, body, .. } = &self.runs[*run_index];
        Frame { key: *key, a: *a, b: *b, body }
    }
}

/// One sorted run and its current frame.
#[derive(Debug)]
struct Run {
    /// `None` once the run has ended.
    reader: Option<BufReader<File>>,
    key: u64,
    a: u64,
    b: u64,
    body: Vec<u8>,
}

impl Run {
    fn new(file: File) -> Self {
        let reader = Some(BufReader::with_capacity(FILE_BUFFER, file));
        Self { reader, key: 0, a: 0, b: 0, body: Vec::new() }
    }

    fn advance(&mut self) -> io::Result<bool> {
        let Some(reader) = &mut self.reader else { return Ok(false) };
        let Some([key, a, b, length]) = read_header(reader)? else { return Ok(false) };
        (self.key, self.a, self.b) = (key, a, b);
        self.body.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        reader.read_exact(&mut self.body)?;
        Ok(true)
    }
}
