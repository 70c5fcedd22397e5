//! `cargo xtask package-lambda`: packages the host as a zip for AWS Lambda's runtime `provided.al2023`.

use crate::command::{Failure, Step, headline};
use crate::toolchain::has_subcommand;
use crate::workspace::{host_binary, target_dir};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use xtask::lambda_package::LambdaPackage;

/// Version of the C library in Amazon Linux 2023.
const GLIBC: (u32, u32) = (2, 34);

/// Arguments of `cargo xtask package-lambda`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Processor architecture of the function
    #[arg(long, value_enum, default_value_t = Architecture::of_this_machine())]
    arch: Architecture,
    /// Settings file of the function, besides its environment variables
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Plug-in of the function; may be repeated, the last one with a role is used
    #[arg(long = "plugin", value_name = "FILE")]
    plugins: Vec<PathBuf>,
    /// Output file [default: target/lambda/host-ARCH.zip]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "verbatim")]
enum Architecture {
    /// Graviton
    #[value(name = "arm64")]
    Arm64,
    /// Intel and AMD
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    fn of_this_machine() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::X86_64 }
    }

    /// Its name in AWS Lambda.
    fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }

    /// Its target in Rust.
    fn target(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    headline("host");
    let host = binary(options.arch)?;
    let folder = target_dir()?.join("lambda");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;

    headline("package");
    let out = options.out.clone().unwrap_or_else(|| folder.join(format!("host-{}.zip", options.arch.name())));
    let package = LambdaPackage { host: &host, config: options.config.as_deref(), plugins: &options.plugins };
    package.write(&folder, &out)?;
    let megabytes = fs::metadata(&out)?.len() as f64 / 1e6;
    eprintln!(
        "{megabytes:.1} MB for {} on provided.al2023; pass it to deploy/terraform as `package`",
        options.arch.name()
    );
    println!("{}", out.display());
    Ok(())
}

/// Builds the host for an architecture, so that it runs with the C library of the function.
fn binary(arch: Architecture) -> Result<PathBuf> {
    let is_native = cfg!(target_os = "linux") && arch == Architecture::of_this_machine();
    if is_native {
        crate::build::host()?;
        let host = host_binary()?;
        if needed_glibc(&host)? <= GLIBC {
            return Ok(host);
        }
        eprintln!(
            "the C library of this machine is newer than that of Amazon Linux 2023; building with cargo-zigbuild instead"
        );
    }
    let help = format!(
        "run `pip install ziglang`, `cargo install cargo-zigbuild` and `rustup target add {}`, or package on a machine of that architecture",
        arch.target()
    );
    if !has_subcommand("zigbuild") {
        let what = format!(
            "this machine cannot build for {} on Amazon Linux 2023 without cargo-zigbuild",
            arch.name()
        );
        return Err(Failure::new(what, help).into());
    }
    let (major, minor) = GLIBC;
    Step::cargo("building for the function")
        .words("zigbuild --release -p host --target")
        .words(&format!("{}.{major}.{minor}", arch.target()))
        .help(help)
        .run()?;
    let host = target_dir()?.join(arch.target()).join("release/host");
    let needed = needed_glibc(&host)?;
    if needed > GLIBC {
        let what = format!(
            "the host requires glibc {}.{}, but Amazon Linux 2023 has {major}.{minor}",
            needed.0, needed.1
        );
        return Err(Failure::new(what, "use a newer cargo-zigbuild").into());
    }
    Ok(host)
}

/// The version of the C library that a binary requires: the newest that its symbols name.
fn needed_glibc(binary: &Path) -> Result<(u32, u32)> {
    let bytes = fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    // A static binary runs with any version.
    Ok(newest_glibc(&bytes).unwrap_or_default())
}

/// The newest `GLIBC_` version in the symbols of a binary.
fn newest_glibc(binary: &[u8]) -> Option<(u32, u32)> {
    const MARK: &[u8] = b"GLIBC_";
    let version = |position: usize| {
        let text =
            binary[position + MARK.len()..].split(|byte| *byte != b'.' && !byte.is_ascii_digit()).next()?;
        let (major, minor) = std::str::from_utf8(text).ok()?.split_once('.')?;
        Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
    };
    let marks = binary.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    marks.filter_map(|(position, _)| version(position)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let binary = b"\0GLIBC_2.4\0GLIBC_2.34\0GLIBC_2.2.5\0GLIBC_PRIVATE\0GLIBC_";
        assert_eq!(newest_glibc(binary), Some((2, 34)));
        assert_eq!(newest_glibc(b"statically linked"), None);
    }
}
