//! `host run --shadow`: a version of the plug-in beside the one that makes the documents.

use super::{diff::check, project, unbuilt};
use crate::{
    cli::{failure::Failure, plugin_source::plugin_source},
    config::Config,
};
use host_plugin_dev::{comparison::Comparison, shadow::Shadow, workbench::Workbench};
use host_plugin_host::{Cache, LoadError, Plugin, Plugins, Pool, Profile, Role, Runner};
use std::{path::Path, sync::Arc};

/// Examples of each difference.
const EXAMPLES: usize = 3;

/// Puts a plug-in into the shadow of the one that has the role `transform`. It has an engine and threads of its own, so that it
/// takes no instance from the other one.
pub(in crate::cli) fn shadow(
    config: &Config,
    plugins: &Plugins,
    path: &Path,
) -> Result<Arc<Shadow>, Failure> {
    let threads = config.plugin.threads();
    let workbench =
        Workbench::new(Profile::Production, &config.plugin.limits, Cache::of_user(), threads.get())
            .map_err(Failure::broke)?;
    let new = trusted(&workbench, path, config)?;
    let (Some(live), Some(old)) = (plugins.transform(), plugins.plugin(Role::Transform)) else {
        return Err(Failure::usage(
            "there is no plug-in with the role `transform` to compare the shadow with",
        )
        .help("name one with --plugin"));
    };
    check(old, &new)?;
    let comparison = Comparison::new(old.plugin_ref(), new.plugin_ref(), EXAMPLES);
    let pool = Pool::new(threads).map_err(Failure::broke)?;
    Ok(Arc::new(Shadow::new(live, Arc::new(Runner::new(new, pool)), comparison)))
}

/// Loads the plug-in, or a project's, if it may be run: it gets real products, so the lock and the signature are for it too.
fn trusted(workbench: &Workbench, path: &Path, config: &Config) -> Result<Plugin, Failure> {
    let source = plugin_source(config)?;
    if !path.is_dir() {
        let component = source.fetch_one(path)?.component;
        return workbench.load_component(&component, &config.plugin.config).map_err(Failure::usage);
    }
    let project = project(path)?;
    let file = project.component();
    if !file.exists() {
        return Err(unbuilt(LoadError::Missing { path: file }, path));
    }
    let component = source.fetch_one(&file)?.component;
    workbench.load_as(&component, &project.settings.config).map_err(Failure::usage)
}
