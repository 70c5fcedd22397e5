//! The compiler of plug-ins as a separate program: for tests, and for programs that cannot start themselves as the
//! compiler.

use std::process::ExitCode;

fn main() -> ExitCode {
    host_plugin_host::compile_for_parent()
}
