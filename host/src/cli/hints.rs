//! What hints say of plug-ins: a command that is copied from a hint must not leave a job's validator out.

use super::{Global, context::store_failure, failure::Failure};
use clap::ValueEnum;
use host_core::{
    model::{Job, PluginRef},
    storage::{JobSnapshot, StoreError, Stores},
};
use host_plugin_host::{Plugins, Role};
use std::{collections::BTreeSet, path::PathBuf};

/// The options that say where a command looks, as this one was given them: a command in a hint needs them too.
pub(super) fn options(global: &Global) -> String {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| quoted(&path.to_string_lossy()));
    let store = global.store.as_ref().and_then(ValueEnum::to_possible_value);
    let given = [
        ("--config", path(&global.config)),
        ("--store", store.map(|store| store.get_name().to_owned())),
        ("--data-dir", path(&global.data_dir)),
    ];
    given.into_iter().filter_map(|(name, value)| Some(format!(" {name} {}", value?))).collect()
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// What a worker needs to write what is queued of these jobs as the commands that began them would have.
pub(super) fn same_plugins<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> String {
    let plugins: BTreeSet<String> =
        jobs.into_iter().map(|job| format!("{}@{}, ", job.plugin.name, job.plugin.version)).collect();
    format!(
        "give it the same `--plugin` options as before ({}and validators if there were any): what a validator would refuse is \
         written by a worker that runs without it",
        plugins.into_iter().collect::<String>()
    )
}

/// Open jobs that are read for a warning.
const MAX_JOBS: usize = 20;

/// Warns of an open job with another plug-in than the worker's, which may then have other validators as well. Looks at the first jobs
/// only: it delays each start of a worker.
pub(super) async fn warn_of_other_plugin(
    stores: &Stores,
    shop: Option<&str>,
    plugins: &Plugins,
) -> Result<(), Failure> {
    let Some(ours) = plugins.plugin_ref(Role::Transform) else { return Ok(()) };
    let other = job_of_other_plugin(stores, shop, &ours).await.map_err(store_failure)?;
    if let Some(Job { id, plugin: theirs, .. }) = other {
        eprintln!(
            "warning: the documents of job {id} were made by {}@{} ({}), and this worker runs {}@{} ({}): they are written \
             as they are, and checked by this worker's validators",
            theirs.name, theirs.version, theirs.digest, ours.name, ours.version, ours.digest
        );
    }
    Ok(())
}

async fn job_of_other_plugin(
    stores: &Stores,
    shop: Option<&str>,
    ours: &PluginRef,
) -> Result<Option<Job>, StoreError> {
    let jobs = stores.jobs.list_open(shop, MAX_JOBS).await?;
    let is_other = |open: &JobSnapshot| !open.status.has_ended() && open.job.plugin.digest != ours.digest;
    Ok(jobs.into_iter().rfind(is_other).map(|open| open.job))
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::{clock::SharedClock, model::Digest, storage::Storage};
    use host_testing::{VirtualClock, build, storage::Memory};
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn a_warning_reads_a_bounded_number_of_jobs() {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        let stores = Memory::new(clock.clone()).stores();
        let ours = build::job(&*clock, "shop").plugin;
        let create = async |shop: String, plugin: PluginRef| {
            stores.jobs.create(&Job { plugin, ..build::job(&*clock, &shop) }).await.unwrap()
        };
        for number in 0..MAX_JOBS {
            create(format!("shop-{number:02}"), ours.clone()).await;
        }
        let theirs = PluginRef { digest: Digest::of(b"theirs"), ..ours.clone() };
        let last = create("shop-z".to_owned(), theirs).await;
        assert_eq!(job_of_other_plugin(&stores, Some("shop-z"), &ours).await.unwrap(), Some(last));
        assert_eq!(job_of_other_plugin(&stores, None, &ours).await.unwrap(), None);
    }
}
