//! What a worker of queues says while it works: its progress, and a line for each job that ends.

use super::output::ended_text;
use crate::telemetry::progress::{Line, Screen, State};
use host_core::{
    format::{count, pluralize},
    model::Counts,
    storage::JobSnapshot,
};
use host_pipeline::worker::WorkObserver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shows on stderr what a worker has done since it began.
pub(super) struct WorkProgress {
    screen: Screen,
    is_quiet: bool,
    /// Of commands in hints.
    options: String,
    done: Mutex<Done>,
}

struct Done {
    line: Option<Line>,
    chunks: u64,
    counts: Counts,
}

impl WorkProgress {
    pub(super) fn new(screen: &Screen, is_quiet: bool, options: String) -> Arc<Self> {
        let done = Done { line: None, chunks: 0, counts: Counts::default() };
        Arc::new(Self { screen: screen.clone(), is_quiet, options, done: Mutex::new(done) })
    }

    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the progress from the screen.
    pub(super) fn finish(&self) {
        self.done().line.take().into_iter().for_each(Line::finish);
    }
}

impl WorkObserver for WorkProgress {
    fn chunk_completed(&self, counts: &Counts) {
        let Done { line, chunks, counts: all } = &mut *self.done();
        *chunks += 1;
        *all += *counts;
        let mut text = format!("{} with {}", pluralize(*chunks, "chunk"), pluralize(all.total(), "item"));
        for (name, number) in [("failed", all.failed), ("conflicts", all.conflict)] {
            if number > 0 {
                text += &format!(", {} {name}", count(number));
            }
        }
        let line = line.get_or_insert_with(|| self.screen.line("indexing"));
        line.show(&State { done: *chunks, total: None, text });
    }

    fn job_ended(&self, job: &JobSnapshot) {
        if !self.is_quiet {
            self.screen.suspend(|| eprintln!("{}", ended_text(job, &self.options)));
        }
    }
}
