//! The program: arguments in, exit code out.

use host_plugin_host::{COMPILE_COMMAND, compile_for_parent};
use std::process::ExitCode;

fn main() -> ExitCode {
    // As the compiler of plug-ins the program is a child of itself, and needs nothing of what follows.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == COMPILE_COMMAND) {
        return compile_for_parent();
    }
    host_pipeline::worker::record_backtraces();
    host::cli::main().into()
}
