//! Commands in hints: each can be pasted as it is, and leaves no plug-in of a job out.

use super::{
    Global,
    context::{config, store_failure},
    failure::Failure,
};
use crate::config::Config;
use clap::ValueEnum;
use host_core::{
    model::{Job, Operation, PluginRef},
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
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// A text in which each command in backquotes has these options: what it comes from does not know where the reader's command looks.
pub(super) fn with_options(text: &str, options: &str) -> String {
    let part = |(position, part): (usize, &str)| match is_command(position, part) && !part.contains(options) {
        true => format!("{part}{options}"),
        false => part.to_owned(),
    };
    text.split('`').enumerate().map(part).collect::<Vec<_>>().join("`")
}

/// Whether a part of a text that is split at backquotes is a command of this program to be typed. Two words, such as `host run`, only
/// name one.
fn is_command(position: usize, part: &str) -> bool {
    position % 2 == 1 && part.starts_with("host ") && part.split(' ').count() > 2
}

/// The change of an index's settings that a message advises. A server may have written a part of the message: what has more than
/// flags with values to fill in is not taken for advice.
pub(super) fn settings_fix(message: &str, index_name: &str, options: &str) -> Option<String> {
    let begin = format!("host settings put {index_name} --");
    let is_to_fill_in = |word: &str| word.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_flag = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let advised = |(position, part): &(usize, &str)| {
        is_command(*position, part)
            && part.strip_prefix(&begin).is_some_and(|rest| {
                rest.split(' ').enumerate().all(|(nth, word)| match nth % 2 {
                    0 => is_flag(word),
                    _ => is_to_fill_in(word),
                })
            })
    };
    let (_, command) = message.split('`').enumerate().filter(advised).last()?;
    Some(format!("{command}{options}"))
}

/// What makes work on an open job go on where no worker runs.
pub(super) fn how_to_resume(JobSnapshot { job, seal, .. }: &JobSnapshot, global: &Global) -> String {
    let Job { shop_id, index_name, sources, operation, full, .. } = job;
    let (target, options) = (job.target.kind(), options(global));
    let plugins = config(global).map(|config| same_plugins(&config, [job])).unwrap_or_default();
    if seal.is_some() {
        return format!(
            "`host run --shop {shop_id} --target {target}{options}` resumes the queued chunks{plugins}"
        );
    }
    let is_named = |source: &String| source != "-" && !source.starts_with('…');
    if *operation == Operation::DeleteDocuments || sources.is_empty() || !sources.iter().all(is_named) {
        return "re-run the original command to resume".to_owned();
    }
    let sources = sources.iter().map(|source| quoted(source)).collect::<Vec<_>>().join(" ");
    let full = if *full { " --full" } else { "" };
    let update = if *operation == Operation::UpdateDocuments { " --operation update" } else { "" };
    format!(
        "re-run the original command to resume, which may be `host run {sources} --shop {shop_id} --index {index_name} --target \
         {target}{full}{update}{options}`{plugins}"
    )
}

/// The end of a sentence about a worker: what it needs to write what is queued of these jobs as the commands that began
/// them would have. Empty where the settings name the plug-ins, because then each command has them.
pub(super) fn same_plugins<'a>(config: &Config, jobs: impl IntoIterator<Item = &'a Job>) -> String {
    if !config.plugin.files.is_empty() {
        return String::new();
    }
    let plugins: BTreeSet<String> =
        jobs.into_iter().map(|job| format!("{}@{}, ", job.plugin.name, job.plugin.version)).collect();
    format!(
        "; give it the same `--plugin` options as before ({}and validators if there were any): what a validator would refuse is \
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

    #[test]
    fn each_command_of_a_text_gets_the_options_once() {
        let options = " --data-dir data";
        for (text, expected) in [
            ("it failed", "it failed"),
            (
                "type `host jobs list`, as after a `host run`",
                "type `host jobs list --data-dir data`, as after a `host run`",
            ),
            ("`host dlq list --data-dir data` tells why", "`host dlq list --data-dir data` tells why"),
            ("the field `title` of `hosts`", "the field `title` of `hosts`"),
            // A backquote too many makes no command of what is between two.
            ("` `host jobs list` ` host jobs list", "` `host jobs list` ` host jobs list"),
        ] {
            assert_eq!(with_options(text, options), expected);
            assert_eq!(with_options(text, ""), text);
        }
    }

    #[test]
    fn only_advice_of_the_host_is_taken_from_a_message() {
        let fix = |message: &str| settings_fix(message, "shop", " --data-dir data");
        let key = "http://marqo answered add with 403 no; give it a key: `host settings put shop --api-key-file FILE`";
        assert_eq!(fix(key).as_deref(), Some("host settings put shop --api-key-file FILE --data-dir data"));
        for hostile in [
            "http://marqo answered add with 500 `host shop forget shop --yes`",
            "`host settings put shop --endpoint http://evil.example`",
            "`host settings put shop --endpoint URL; curl evil.example`",
            "`host settings put other --endpoint URL`",
            "host settings put shop --endpoint URL",
        ] {
            assert_eq!(fix(hostile), None, "{hostile}");
        }
    }

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
