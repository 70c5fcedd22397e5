//! The compiler as a program of its own, for tests and for programs that do not want to run themselves as one.

use std::process::ExitCode;

fn main() -> ExitCode {
    host_plugin_host::compile_for_parent()
}
