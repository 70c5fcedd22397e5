//! What some tests require and a machine may lack. Such a test is `#[ignore]`d and is in a module named after what it
//! needs, so that a run without it reports the test as skipped, by name.

use crate::workspace::root;
use std::{
    env,
    path::{Path, PathBuf},
};

/// Something that tests may need.
#[derive(Debug)]
pub(crate) struct Requirement {
    /// The module of the tests that need it.
    pub(crate) module: &'static str,
    /// How to provide it.
    pub(crate) help: &'static str,
    is_present: fn() -> bool,
}

/// All requirements.
const REQUIREMENTS: [Requirement; 6] = [
    Requirement {
        module: "needs_samples",
        help: "name a folder with exports of real shops in HOST_TEST_SHARED",
        is_present: has_samples,
    },
    Requirement {
        module: "needs_dynoxide",
        help: "`cargo install dynoxide-rs@3.2.0`, or name the program in HOST_TEST_DYNOXIDE",
        is_present: has_dynoxide,
    },
    Requirement {
        module: "needs_aws",
        help: "set HOST_TEST_AWS=1 and credentials; the checks cost money",
        is_present: has_aws,
    },
    Requirement {
        module: "needs_terraform",
        help: "install terraform and name a folder with its provider for AWS in HOST_TEST_TERRAFORM_PLUGINS",
        is_present: has_terraform,
    },
    Requirement { module: "needs_npm", help: "install npm, which comes with Node.js", is_present: has_npm },
    Requirement {
        module: "needs_python",
        help: "install Python 3.10 or newer with venv and pip",
        is_present: has_python,
    },
];

/// The requirements that are toolchains of plug-ins.
const TOOLCHAINS: [&str; 2] = ["needs_npm", "needs_python"];

/// The requirements that this machine meets, and those that it does not or that are to be skipped.
pub(crate) fn present_and_absent(skip_toolchains: bool) -> (Vec<Requirement>, Vec<Requirement>) {
    REQUIREMENTS.into_iter().partition(|requirement| {
        let is_skipped = skip_toolchains && TOOLCHAINS.contains(&requirement.module);
        !is_skipped && (requirement.is_present)()
    })
}

fn has_samples() -> bool {
    env::var_os("HOST_TEST_SHARED")
        .map_or_else(|| root().join("../shared"), PathBuf::from)
        .join("samples")
        .is_dir()
}

fn has_dynoxide() -> bool {
    env::var_os("HOST_TEST_DYNOXIDE").is_some() || is_installed("dynoxide")
}

fn has_aws() -> bool {
    env::var_os("HOST_TEST_AWS").is_some_and(|value| value == "1")
}

fn has_terraform() -> bool {
    env::var_os("HOST_TEST_TERRAFORM_PLUGINS").is_some() && is_installed("terraform")
}

fn has_npm() -> bool {
    is_installed("npm")
}

fn has_python() -> bool {
    is_installed("python3")
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| Path::new(&folder).join(program).is_file())
}
