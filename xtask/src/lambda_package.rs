//! The host as a zip that AWS Lambda runs on `provided.al2023`.

use anyhow::{Context, Result, ensure};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The program that writes the zip.
const ZIP: &str = include_str!("lambda_package.py");

/// What goes into the zip.
#[derive(Clone, Debug)]
pub struct LambdaPackage<'a> {
    /// The host's binary.
    pub host: &'a Path,
    /// Settings that the function has beside its environment variables.
    pub config: Option<&'a Path>,
    /// Plug-ins that the function loads; the later one wins a role.
    pub plugins: &'a [PathBuf],
}

impl LambdaPackage<'_> {
    /// Writes the zip to `out`; its parts are made in `folder`, which must be there.
    ///
    /// # Errors
    /// A part that cannot be found, or a file that cannot be written.
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
            let name = plugin.file_name().with_context(|| format!("{} names no file", plugin.display()))?;
            names.push(name.to_string_lossy().into_owned());
            files.push((name.to_string_lossy().into_owned(), plugin.clone()));
        }
        fs::write(&bootstrap, start_script(&names)).context("the start script cannot be written")?;
        let mut zip = Command::new("python3");
        zip.args(["-c", ZIP]).arg(out).stdin(Stdio::null());
        for (name, file) in files {
            let mut given = OsString::from(format!("{name}="));
            given.push(
                fs::canonicalize(&file).with_context(|| format!("{} cannot be found", file.display()))?,
            );
            zip.arg(given);
        }
        let status = zip.status().context("Python 3 writes the zip and cannot be started")?;
        ensure!(status.success(), "the zip could not be written: python3 ended with {status}");
        Ok(())
    }
}

/// What Lambda starts. Only /tmp can be written there.
fn start_script(plugins: &[String]) -> String {
    let plugins: String = plugins.iter().map(|name| format!(" --plugin '{name}'")).collect();
    format!(
        "#!/bin/sh\ncd \"$LAMBDA_TASK_ROOT\" || exit 1\nexport XDG_CACHE_HOME=\"${{TMPDIR:-/tmp}}\"\n\
         exec ./host lambda --data-dir \"$XDG_CACHE_HOME/host\" --log-format json{plugins}\n"
    )
}

/// A smaller copy, which each cold start loads sooner. GNU's `strip` may not know the processor.
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
    eprintln!("the host keeps its debug information: neither `strip` nor `llvm-strip` can take it off here");
    host.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_starts_the_host_where_it_may_write() {
        let script = start_script(&["rules.wasm".to_owned()]);
        assert!(script.starts_with("#!/bin/sh\n"), "{script}");
        assert!(script.contains("\nexport XDG_CACHE_HOME=\"${TMPDIR:-/tmp}\"\n"), "{script}");
        let last =
            "./host lambda --data-dir \"$XDG_CACHE_HOME/host\" --log-format json --plugin 'rules.wasm'\n";
        assert!(script.ends_with(last), "{script}");
    }
}
