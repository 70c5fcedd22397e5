//! Shows progress on stderr: bars on a terminal, a plain line every few seconds elsewhere.

use host_core::format::duration;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    fmt::Write,
    io::IsTerminal,
    time::{Duration, Instant},
};

/// Interval between two lines where stderr is not a terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Where progress and logs are shown; clones share one screen.
#[derive(Clone, Debug)]
pub struct Screen {
    bars: MultiProgress,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// `--quiet`: nothing is shown.
    Quiet,
    /// stderr is a terminal: bars that move.
    Bars,
    /// stderr is a file or a pipe: a line from time to time.
    Plain,
}

impl Screen {
    /// The screen on stderr; `quiet` hides all progress.
    pub fn new(quiet: bool) -> Self {
        let mode = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Mode::Quiet,
            (false, true) => Mode::Bars,
            (false, false) => Mode::Plain,
        };
        let target =
            if mode == Mode::Bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), mode }
    }

    /// Runs `write` while all bars are hidden.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bars.suspend(write)
    }

    /// Adds a line of progress with a title, such as `reading`.
    pub fn line(&self, title: &'static str) -> Line {
        let style = ProgressStyle::with_template("{prefix:>10} {bar:24.cyan/dim} {msg}")
            .expect("the template is a literal")
            .progress_chars("━╸─");
        let bar = self.bars.add(ProgressBar::new(0).with_style(style).with_prefix(title));
        Line { bar, mode: self.mode, title, started: Instant::now(), last_shown: Instant::now() }
    }
}

/// A line of progress: a bar, or plain lines with the same title.
#[derive(Debug)]
pub struct Line {
    bar: ProgressBar,
    mode: Mode,
    title: &'static str,
    started: Instant,
    last_shown: Instant,
}

/// Progress at one moment.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Units done: bytes read, or items written.
    pub done: u64,
    /// Units in total, if known.
    pub total: Option<u64>,
    /// The text after the bar.
    pub text: String,
}

impl Line {
    /// Shows the state; without a terminal at most every few seconds.
    pub fn show(&mut self, state: &State) {
        match self.mode {
            Mode::Quiet => {}
            Mode::Bars => {
                self.bar.set_length(state.total.unwrap_or(0).max(1));
                self.bar.set_position(state.done);
                self.bar.set_message(self.text(state));
            }
            Mode::Plain if self.last_shown.elapsed() >= PLAIN_INTERVAL => {
                self.last_shown = Instant::now();
                eprintln!("{}: {}", self.title, self.text(state));
            }
            Mode::Plain => {}
        }
    }

    /// Whether [`Self::show`] would show anything now; otherwise the caller need not find out the state.
    pub fn is_due(&self) -> bool {
        match self.mode {
            Mode::Quiet => false,
            Mode::Bars => true,
            Mode::Plain => self.last_shown.elapsed() >= PLAIN_INTERVAL,
        }
    }

    /// Removes the line from the screen.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }

    /// The state's text and, where it can be estimated, the time left.
    fn text(&self, state: &State) -> String {
        let mut text = state.text.clone();
        if let Some(left) = time_left(self.started.elapsed(), state) {
            let _ = write!(text, ", {} left", duration(left));
        }
        text
    }
}

/// Estimates the time left from the average rate; `None` in the first second, when the rate is unreliable.
fn time_left(elapsed: Duration, state: &State) -> Option<Duration> {
    let (done, total) = (state.done, state.total?);
    if done == 0 || done >= total || elapsed < Duration::from_secs(1) {
        return None;
    }
    Some(elapsed.mul_f64((total - done) as f64 / done as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finding out the state of a job is a call to storage, which costs money in AWS.
    #[test]
    fn a_line_is_due_only_when_it_would_be_shown() {
        let line = |mode| Line { mode, ..Screen::new(true).line("indexing") };
        assert!(!line(Mode::Quiet).is_due());
        assert!(!line(Mode::Plain).is_due(), "only every few seconds");
        assert!(line(Mode::Bars).is_due());
    }

    #[test]
    fn time_left_follows_the_rate() {
        let state = State { done: 25, total: Some(100), text: String::new() };
        assert_eq!(time_left(Duration::from_secs(10), &state), Some(Duration::from_secs(30)));
        assert_eq!(time_left(Duration::from_millis(900), &state), None);
        assert_eq!(time_left(Duration::from_secs(10), &State { total: None, ..state.clone() }), None);
        assert_eq!(time_left(Duration::from_secs(10), &State { done: 100, ..state }), None);
    }
}
