//! Merges sorted runs.

use super::{
    CANCEL_STEP, FILE_BUFFER, SortOptions,
    frame::{Frame, read_header},
};
use crate::{Cancel, ExportError, scratch::Scratch};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    fs::File,
    io::{self, BufReader, Read},
};

/// Gives the frames of several runs back by key, those with the same key in the order of the runs.
#[derive(Debug)]
pub struct Merge {
    runs: Vec<Run>,
    /// The current key and position of each run that has not ended; the first is the current frame.
    heads: BinaryHeap<Reverse<(u64, usize)>>,
    begun: bool,
    steps: u64,
    scratch: Scratch,
    cancel: Cancel,
}

impl Merge {
    pub(super) fn new(files: Vec<File>, options: &SortOptions) -> Result<Self, ExportError> {
        let scratch = options.scratch.clone();
        let mut runs: Vec<Run> = files.into_iter().map(Run::new).collect();
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (at, run) in runs.iter_mut().enumerate() {
            if run.advance().map_err(|error| scratch.failed("reading", error))? {
                heads.push(Reverse((run.key, at)));
            }
        }
        Ok(Self { runs, heads, begun: false, steps: 0, scratch, cancel: options.cancel.clone() })
    }

    pub(super) fn advance(&mut self) -> Result<bool, ExportError> {
        self.steps += 1;
        if self.steps.is_multiple_of(CANCEL_STEP) && self.cancel.is_cancelled() {
            return Err(ExportError::Cancelled);
        }
        if self.begun
            && let Some(mut head) = self.heads.peek_mut()
        {
            let Reverse((key, at)) = &mut *head;
            let run = &mut self.runs[*at];
            if run.advance().map_err(|error| self.scratch.failed("reading", error))? {
                *key = run.key;
            } else {
                // Its file is not needed any more, and its space may be.
                run.reader = None;
                PeekMut::pop(head);
            }
        }
        self.begun = true;
        Ok(!self.heads.is_empty())
    }

    pub(super) fn frame(&self) -> Frame<'_> {
        let Reverse((_, at)) = self.heads.peek().expect("asked for only after a successful advance");
        let Run { key, a, b, body, .. } = &self.runs[*at];
        Frame { key: *key, a: *a, b: *b, body }
    }
}

/// One sorted run and its current frame.
#[derive(Debug)]
struct Run {
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
