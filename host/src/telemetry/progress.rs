//! Progress of long work: bars on a terminal, a plain line now and then elsewhere.

use host_core::text::short;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    fmt::Write,
    io::IsTerminal,
    time::{Duration, Instant},
};

/// Between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Where progress and logs appear; clones share it.
#[derive(Clone, Debug)]
pub struct Screen {
    bars: MultiProgress,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Quiet,
    Bars,
    Plain,
}

impl Screen {
    /// The screen on stderr; a quiet one shows no progress.
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

    /// Runs `write` while no bar is on the screen.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bars.suspend(write)
    }

    /// Adds one line of progress, named `title`.
    pub fn line(&self, title: &'static str) -> Line {
        let style = ProgressStyle::with_template("{prefix:>10} {bar:24.cyan/dim} {msg}")
            .expect("the template is a literal")
            .progress_chars("━╸─");
        let bar = self.bars.add(ProgressBar::new(0).with_style(style).with_prefix(title));
        Line { bar, mode: self.mode, title, started: Instant::now(), said: Instant::now() }
    }
}

/// One line of progress.
#[derive(Debug)]
pub struct Line {
    bar: ProgressBar,
    mode: Mode,
    title: &'static str,
    started: Instant,
    said: Instant,
}

/// What a line shows.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// How much is done.
    pub done: u64,
    /// How much there is, when it is known.
    pub total: Option<u64>,
    /// The figures, in words.
    pub text: String,
}

impl Line {
    /// Shows the state. Off a terminal it appears every few seconds.
    pub fn show(&mut self, state: &State) {
        match self.mode {
            Mode::Quiet => {}
            Mode::Bars => {
                self.bar.set_length(state.total.unwrap_or(0).max(1));
                self.bar.set_position(state.done);
                self.bar.set_message(self.text(state));
            }
            Mode::Plain if self.said.elapsed() >= PLAIN_EVERY => {
                self.said = Instant::now();
                eprintln!("{}: {}", self.title, self.text(state));
            }
            Mode::Plain => {}
        }
    }

    /// Takes the line off the screen.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }

    fn text(&self, state: &State) -> String {
        let mut text = state.text.clone();
        if let Some(left) = time_left(self.started.elapsed(), state) {
            let _ = write!(text, ", {} left", short(left));
        }
        text
    }
}

/// By the rate so far; nothing in the first second, when it would be a guess.
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

    #[test]
    fn time_left_follows_the_rate() {
        let state = State { done: 25, total: Some(100), text: String::new() };
        assert_eq!(time_left(Duration::from_secs(10), &state), Some(Duration::from_secs(30)));
        assert_eq!(time_left(Duration::from_millis(900), &state), None);
        assert_eq!(time_left(Duration::from_secs(10), &State { total: None, ..state.clone() }), None);
        assert_eq!(time_left(Duration::from_secs(10), &State { done: 100, ..state }), None);
    }
}
