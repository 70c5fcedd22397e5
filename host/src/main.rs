//! Entry point of the program `host`.

use host_plugin_host::{COMPILE_COMMAND, compile_for_parent};
use std::process::ExitCode;

fn main() -> ExitCode {
    // `host` compiles plug-ins in a child process, which is `host` again with this argument and needs nothing else.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == COMPILE_COMMAND) {
        return compile_for_parent();
    }
    host_pipeline::worker::record_backtraces();
    host::cli::main().into()
}
