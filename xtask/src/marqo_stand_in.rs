//! `cargo xtask marqo-stand-in`: a Marqo server to try things with.

use crate::command::Step;
use crate::workspace::target_dir;
use anyhow::Result;
use std::ffi::OsString;

/// What to run it with.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Passed on; paths are relative to the root of the repository. `-- --help` lists them, `-- --rules` every case.
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    Step::cargo("building the stand-in").words("build --quiet --release -p marqo-stand-in").run()?;
    let name = format!("marqo-stand-in{}", std::env::consts::EXE_SUFFIX);
    let mut step = Step::new("the stand-in", target_dir()?.join("release").join(name));
    for argument in &options.arguments {
        step = step.argument(argument);
    }
    step.run()
}
