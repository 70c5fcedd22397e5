//! How a command fails: a message that says what happened and what to do, and an exit code.

use super::hints::with_options;
use anstream::eprintln;
use owo_colors::OwoColorize;
use std::{error::Error, process::ExitCode};

/// The meaning of the exit code for a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The job ended as COMPLETED, or the command succeeded.
    Completed = 0,
    /// Runtime error; state is kept and the same command resumes. Also an index or a store that cannot be reached,
    /// whatever the command, and an index that refuses work which had begun. Of `jobs watch` also: the job has not
    /// ended, and no worker runs.
    Runtime = 1,
    /// Wrong usage or configuration; nothing was written. Also an index that refuses what the settings say, such as its
    /// name or the key; a document, job, dead letter or shop that does not exist, a `reconcile` of an index that has more
    /// documents than it lists, and a `shop forget` that may have left documents.
    Usage = 2,
    /// The job ended with conflicts, and nothing failed. Of `reconcile` and `ledger rebuild --dry-run`: index and
    /// ledger differ. Of `status`: a stop holds open jobs up, or there are dead letters in the queues that it looked
    /// at; it says if there are others.
    Conflict = 3,
    /// The job ended with failures, whether or not there were conflicts as well. Of `plugin test`, `plugin run` and
    /// `plugin diff`: a fixture failed, an item was refused, or something differs.
    Failed = 4,
    /// The job ended and nothing failed, but what the full sync did not have was not archived, because its export may not
    /// be the whole shop; the record of the job says why. Also a `catalog archive` that is refused.
    NotArchived = 5,
    /// Interrupted; state is kept.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error on its way to the terminal.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
    help: Option<String>,
}

impl Failure {
    /// A failure while the command ran: of a server, the machine or storage.
    pub(super) fn runtime(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Runtime, error: error.into(), help: None }
    }

    /// Wrong usage or configuration.
    pub(super) fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Usage, error: error.into(), help: None }
    }

    /// Archiving that is refused.
    pub(super) fn not_archived(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::NotArchived, error: error.into(), help: None }
    }

    /// Adds what to do.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Prints the error, its causes and the help to stderr. Commands in them get `options`, so that they can be pasted.
    pub(super) fn report(&self, options: &str) -> Exit {
        let shown = |text: &str| with_options(text, options);
        eprintln!("{} {}", "error:".red().bold(), shown(&self.error.to_string()));
        let mut cause = self.error.source();
        let mut printed = self.error.to_string();
        while let Some(error) = cause {
            // An error that only wraps another one prints the same text.
            let text = error.to_string();
            if text != printed {
                eprintln!("  {} {}", "cause:".yellow(), shown(&text));
            }
            printed = text;
            cause = error.source();
        }
        if let Some(help) = &self.help {
            eprintln!("  {} {}", "help:".cyan(), shown(help));
        }
        self.exit
    }
}
