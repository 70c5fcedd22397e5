//! `host run --shadow`: runs a second version of the plug-in beside the one in use and compares their output.

use super::{component, diff::ensure_comparable, project};
use crate::{
    cli::{context::compiler, failure::Failure, plugin_source::plugin_source},
    config::Config,
};
use host_plugin_dev::{comparison::Comparison, engine::DevEngine, shadow::ShadowedTransform};
use host_plugin_host::{Cache, EngineProfile, Plugin, Plugins, Pool, Role, Runner};
use std::{path::Path, sync::Arc};

/// Examples to keep per difference.
const EXAMPLES: usize = 3;

/// Loads a plug-in as the shadow of the one with the role `transform`. It has its own engine and threads, so that it
/// takes no instances from the plug-in in use.
pub(in crate::cli) fn shadow(
    config: &Config,
    plugins: &Plugins,
    path: &Path,
) -> Result<Arc<ShadowedTransform>, Failure> {
    let threads = config.plugin.threads();
    let engine = DevEngine::new(
        EngineProfile::Production,
        &config.plugin.limits,
        Cache::of_user(),
        compiler()?,
        threads.get(),
    )
    .map_err(Failure::runtime)?;
    let new = load_trusted(&engine, path, config)?;
    let (Some(live), Some(old)) = (plugins.transform(), plugins.plugin(Role::Transform)) else {
        return Err(Failure::usage("--shadow needs a plug-in with the role `transform` to compare with")
            .help("add it with --plugin"));
    };
    ensure_comparable(old, &new)?;
    let comparison = Comparison::new(old.plugin_ref(), new.plugin_ref(), EXAMPLES);
    let pool = Pool::new(threads).map_err(Failure::runtime)?;
    Ok(Arc::new(ShadowedTransform::new(live, Arc::new(Runner::new(new, pool)), comparison)))
}

/// Loads a plug-in, or a project's, after checking lock and signature: a shadow gets real products.
fn load_trusted(engine: &DevEngine, path: &Path, config: &Config) -> Result<Plugin, Failure> {
    let source = plugin_source(config)?;
    if !path.is_dir() {
        let component = source.fetch_one(path)?.component;
        return engine.load_component(&component, &config.plugin.config).map_err(Failure::usage);
    }
    let component = source.fetch_one(&component(path)?)?.component;
    let project = project(path)?;
    engine.load_component_with(&component, &project.settings.config).map_err(Failure::usage)
}
