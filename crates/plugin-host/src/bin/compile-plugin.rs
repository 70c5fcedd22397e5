//! The compiler as a separate program, for tests and for programs that do not run themselves as one.

use std::process::ExitCode;

fn main() -> ExitCode {
    host_plugin_host::compile_for_parent()
}
