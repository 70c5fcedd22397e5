//! The program: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    host::heap::share();
    host::cli::main().into()
}
