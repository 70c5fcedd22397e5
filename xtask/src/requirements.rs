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
const REQUIREMENTS: [Requirement; 4] = [
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
];

/// The requirements that this machine meets, and those that it does not.
pub(crate) fn present_and_absent() -> (Vec<Requirement>, Vec<Requirement>) {
    REQUIREMENTS.into_iter().partition(|requirement| (requirement.is_present)())
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

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| Path::new(&folder).join(program).is_file())
}
