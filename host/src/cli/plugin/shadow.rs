//! `host run --shadow`: a version of the plug-in beside the one that makes the documents.

use super::{diff::check, load};
use crate::{
    author::{comparison::Comparison, shadow::Shadow, workbench::Workbench},
    cli::failure::Failure,
    config::Config,
    plugin::{Cache, Plugins, Pool, Profile, Role, Runner},
};
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
    let new = load(&workbench, path, config)?;
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
