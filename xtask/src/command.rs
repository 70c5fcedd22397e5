//! Runs other programs and shows each command line, so that it can be repeated by hand.

use anyhow::Result;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;

/// A failed step.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What happened to which step.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) help: Option<String>,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: Some(help.into()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

/// A program to run from the root of the repository, without standard input.
#[derive(Debug)]
pub(crate) struct Step {
    /// Completes the sentence “… failed”.
    what: &'static str,
    /// What to do when the step fails.
    help: Option<String>,
    command: Command,
}

impl Step {
    /// A step that runs this program; `what` completes the sentence “… failed”.
    pub(crate) fn new(what: &'static str, program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(crate::workspace::root()).stdin(Stdio::null());
        Self { what, help: None, command }
    }

    /// A step of the cargo that runs this task. The variables that cargo sets for this package are removed: build
    /// scripts that watch them would run again, and everything that depends on them would be rebuilt.
    pub(crate) fn cargo(what: &'static str) -> Self {
        let mut step = Self::new(what, std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in std::env::vars_os() {
            let is_package_variable =
                |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
            if name.to_str().is_some_and(is_package_variable) {
                step.command.env_remove(name);
            }
        }
        step
    }

    /// Adds the arguments in a text that separates them by blanks.
    pub(crate) fn words(mut self, words: &str) -> Self {
        self.command.args(words.split_whitespace());
        self
    }

    pub(crate) fn path(mut self, path: &Path) -> Self {
        self.command.arg(path);
        self
    }

    /// Adds one argument of any content.
    pub(crate) fn argument(mut self, argument: &OsStr) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Restricts the program to the first `cores` cores.
    pub(crate) fn cores(self, cores: usize) -> Self {
        let mut command = Command::new("taskset");
        command.current_dir(crate::workspace::root()).stdin(Stdio::null());
        command.arg("--cpu-list").arg(format!("0-{}", cores.max(1) - 1));
        command.arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Self { command, ..self }
    }

    /// What to do when the step fails.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Runs the program and shows its output. Fails unless the exit code is 0.
    pub(crate) fn run(mut self) -> Result<()> {
        eprintln!("$ {}", self.text());
        let status = self.command.status();
        let what = match status {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => format!("{} failed: `{}` ended with {status}", self.what, self.text()),
            Err(error) => format!("{} failed: `{}` cannot be started: {error}", self.what, self.text()),
        };
        Err(Failure { what, help: self.help }.into())
    }

    /// Like `run`, and passes each line of the output to `watch` after showing it.
    pub(crate) fn run_watching(mut self, watch: impl FnMut(&str) + Send) -> Result<()> {
        eprintln!("$ {}", self.text());
        let text = self.text();
        if io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            self.command.env("CARGO_TERM_COLOR", "always");
        }
        let started = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let what = match started.and_then(|child| show_output(child, watch)) {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => format!("{} failed: `{text}` ended with {status}", self.what),
            Err(error) => format!("{} failed: `{text}` cannot be run: {error}", self.what),
        };
        Err(Failure { what, help: self.help }.into())
    }

    /// Runs the program and returns its standard output.
    pub(crate) fn output(mut self) -> Result<String> {
        let text = self.text();
        let what = match self.command.stderr(Stdio::inherit()).output() {
            Ok(output) if output.status.success() => {
                return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
            }
            Ok(output) => format!("{} failed: `{text}` ended with {}", self.what, output.status),
            Err(error) => format!("{} failed: `{text}` cannot be started: {error}", self.what),
        };
        Err(Failure { what, help: self.help }.into())
    }

    /// Whether the program exists and exits with code 0; shows no output.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// The command line, with paths relative to the root of the repository.
    fn text(&self) -> String {
        let program = Path::new(self.command.get_program());
        // Outside the repository, the name of a program is clearer than its path.
        let program = program
            .strip_prefix(crate::workspace::root())
            .unwrap_or_else(|_| program.file_name().map_or(program, Path::new));
        let mut text = program.display().to_string();
        for argument in self.command.get_args() {
            let path = Path::new(argument);
            let shown = path.strip_prefix(crate::workspace::root()).unwrap_or(path);
            text.push(' ');
            text.push_str(&shown.display().to_string());
        }
        text
    }
}

/// Shows standard output and standard error of a program, line by line, until it ends.
fn show_output(mut child: Child, watch: impl FnMut(&str) + Send) -> io::Result<ExitStatus> {
    let outputs = [
        child.stdout.take().map(|output| Box::new(output) as Box<dyn Read + Send>),
        child.stderr.take().map(|output| Box::new(output) as Box<dyn Read + Send>),
    ];
    let watch = Mutex::new(watch);
    thread::scope(|scope| {
        for output in outputs.into_iter().flatten() {
            let watch = &watch;
            scope.spawn(move || {
                for line in BufReader::new(output).split(b'\n').map_while(io::Result::ok) {
                    let line = String::from_utf8_lossy(&line);
                    eprintln!("{line}");
                    if let Ok(mut watch) = watch.lock() {
                        watch(&line);
                    }
                }
            });
        }
    });
    child.wait()
}

/// Prints the title of the next section.
pub(crate) fn headline(text: &str) {
    eprintln!("\n== {text}");
}
