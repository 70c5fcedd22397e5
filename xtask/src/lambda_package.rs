//! Packages the host as a zip for AWS Lambda's runtime `provided.al2023` (Amazon Linux 2023, without a language).

use anyhow::{Context, Result, ensure};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The Python program that writes the zip.
const ZIP: &str = include_str!("lambda_package.py");

/// The content of a package.
#[derive(Clone, Debug)]
pub struct LambdaPackage<'a> {
    /// The host binary.
    pub host: &'a Path,
    /// Settings file of the function, besides its environment variables.
    pub config: Option<&'a Path>,
    /// Plug-ins of the function; of several with the same role, the last one is used.
    pub plugins: &'a [PathBuf],
}

impl LambdaPackage<'_> {
    /// Writes the zip to `out`, with temporary files in `folder`, which must exist.
    ///
    /// # Errors
    /// A file is missing or cannot be written, or Python 3 is not installed.
    pub fn write(&self, folder: &Path, out: &Path) -> Result<()> {
        let bootstrap = folder.join("bootstrap");
        let mut files = vec![
            ("bootstrap".to_owned(), bootstrap.clone()),
            ("host".to_owned(), without_debug_information(self.host, folder)),
        ];
        if let Some(config) = self.config {
            files.push(("host.toml".to_owned(), config.to_owned()));
        }
        let mut names = Vec::new();
        for plugin in self.plugins {
            let name =
                plugin.file_name().with_context(|| format!("{} is not a file name", plugin.display()))?;
            names.push(name.to_string_lossy().into_owned());
            files.push((name.to_string_lossy().into_owned(), plugin.clone()));
        }
        fs::write(&bootstrap, start_script(&names)).context("cannot write the start script")?;
        let mut zip = Command::new("python3");
        zip.args(["-c", ZIP]).arg(out).stdin(Stdio::null());
        for (name, file) in files {
            let mut argument = OsString::from(format!("{name}="));
            argument
                .push(fs::canonicalize(&file).with_context(|| format!("cannot find {}", file.display()))?);
            zip.arg(argument);
        }
        let status = zip.status().context("cannot start Python 3, which writes the zip")?;
        ensure!(status.success(), "writing the zip failed: python3 ended with {status}");
        Ok(())
    }
}

/// The script that Lambda starts. Caches and data go to /tmp, the only folder that a function may write to.
fn start_script(plugins: &[String]) -> String {
    let plugins: String = plugins.iter().map(|name| format!(" --plugin '{name}'")).collect();
    format!(
        "#!/bin/sh\ncd \"$LAMBDA_TASK_ROOT\" || exit 1\nexport XDG_CACHE_HOME=\"${{TMPDIR:-/tmp}}\"\n\
         exec ./host lambda --data-dir \"$XDG_CACHE_HOME/host\" --log-format json{plugins}\n"
    )
}

/// A copy of the program without debug information, for faster cold starts. `llvm-strip` is the alternative to `strip`,
/// which may not support the function's processor. If neither works, the program itself.
fn without_debug_information(host: &Path, folder: &Path) -> PathBuf {
    let stripped = folder.join("host");
    let strips = |program: &&str| {
        let mut strip = Command::new(program);
        strip.arg("--strip-debug").arg("-o").arg(&stripped).arg(host);
        let status = strip.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if ["strip", "llvm-strip"].iter().any(strips) {
        return stripped;
    }
    eprintln!("the package keeps the host's debug information: neither `strip` nor `llvm-strip` works here");
    host.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_script_puts_caches_and_data_into_the_writable_folder() {
        let script = start_script(&["rules.wasm".to_owned()]);
        assert!(script.starts_with("#!/bin/sh\n"), "{script}");
        assert!(script.contains("\nexport XDG_CACHE_HOME=\"${TMPDIR:-/tmp}\"\n"), "{script}");
        let last =
            "./host lambda --data-dir \"$XDG_CACHE_HOME/host\" --log-format json --plugin 'rules.wasm'\n";
        assert!(script.ends_with(last), "{script}");
    }
}
