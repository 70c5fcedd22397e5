//! Finds or creates the job of a run, which records its index, plug-ins and settings.

use super::{
    super::{backend::Backend, context::store_failure, failure::Failure, shop_id},
    Run,
};
use crate::config::Config;
use host_core::{model::Job, plugin::Transform};
use host_index_marqo::check_index_name;
use host_net::RetryProfile;
use host_pipeline::sync::{JobRequest, platform};
use host_plugin_host::Role;
use jiff::Timestamp;

/// The input of a job: an export, or the products that an earlier job's plug-in refused.
pub(super) struct Origin<'a> {
    /// Names of the sources, as they were given on the command line.
    pub(super) sources: &'a [String],
    /// How lines become products, as the job's statistics name it.
    pub(super) grouping: &'a str,
    /// Digests of the sources, or the id of the replayed job: a run with other inputs is another job.
    pub(super) inputs: Vec<String>,
    /// When the export was taken from the shop, if the user said so.
    pub(super) exported_at: Option<Timestamp>,
    /// When the oldest source was last modified; `None` if no source has such a time.
    pub(super) modified_at: Option<Timestamp>,
}

impl Run<'_> {
    /// The job of this export: an interrupted one with the same input and settings, or else a new one.
    pub(super) async fn job(
        &self,
        backend: &Backend,
        origin: &Origin<'_>,
        transform: &dyn Transform,
        index_name: String,
    ) -> Result<Job, Failure> {
        let manifest = transform.manifest();
        let Config { ingest, worker, plugin, .. } = self.config;
        let request = JobRequest {
            platform: platform(manifest).to_owned(),
            shop_id: self.shop.to_owned(),
            index_name,
            operation: self.operation,
            plugin: self
                .plugins
                .plugin_ref(Role::Transform)
                .expect("the transform role comes from a plug-in"),
            plugin_config: serde_json::to_value(plugin.config.get(&manifest.name))
                .expect("settings are plain data"),
            other_plugins: self.other_plugins(),
            skip_unchanged: ingest.skip_unchanged && self.shadow.is_none(),
            sources: bounded(origin.sources),
            grouping: origin.grouping.to_owned(),
            inputs: origin.inputs.clone(),
            target: backend.index(self.config, RetryProfile::Interactive)?.id(),
            same_version: worker.same_version,
            full: ingest.full,
            bounds: ingest.bounds(),
            lanes: self.config.lanes().get(),
            exported_at: origin.exported_at,
            modified_at: origin.modified_at,
        };
        let stores = backend.stores();
        request.find_or_create(stores.jobs.as_ref(), &self.clock).await.map_err(store_failure)
    }

    /// Digest and configuration of the plug-ins that validate documents and compare versions.
    fn other_plugins(&self) -> Vec<String> {
        let described = |role| {
            let plugin = self.plugins.plugin(role)?;
            Some(format!("{} {}", plugin.plugin_ref().digest, plugin.config()))
        };
        [Role::Validate, Role::Version].into_iter().filter_map(described).collect()
    }

    /// Name of the index: as the settings say, or the default for platform and shop.
    pub(super) async fn index_name(&self, transform: &dyn Transform) -> Result<String, Failure> {
        let name = match &self.config.index {
            Some(name) => name.clone(),
            None => shop_id::default_index(self.config, platform(transform.manifest()), self.shop).await?,
        };
        check_index_name(&name)
            .map_err(|message| Failure::usage(message).help("name the index with --index"))?;
        Ok(name)
    }
}

/// Most names of sources that a job's record keeps, and most bytes of them in all: the record is rewritten often.
const MAX_SOURCES: usize = 100;
const MAX_SOURCE_BYTES: usize = 16 << 10;

/// The first names of sources, as many as a record keeps; the last entry then says how many are left out.
fn bounded(sources: &[String]) -> Vec<String> {
    let mut budget = MAX_SOURCE_BYTES;
    let fits = |name: &&String| {
        let fits = name.len() <= budget;
        budget = budget.saturating_sub(name.len());
        fits
    };
    let mut kept: Vec<String> = sources.iter().take(MAX_SOURCES).take_while(fits).cloned().collect();
    if kept.len() < sources.len() {
        kept.push(format!("… and {} more", sources.len() - kept.len()));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_the_first_of_many_sources() {
        let few = ["a".to_owned(), "b".to_owned()];
        assert_eq!(bounded(&few), few);
        let many: Vec<String> = (0..701).map(|number| format!("part-{number}")).collect();
        let kept = bounded(&many);
        assert_eq!((kept.len(), kept[0].as_str(), kept[100].as_str()), (101, "part-0", "… and 601 more"));
        let long: Vec<String> = (0..50).map(|_| "x".repeat(4_000)).collect();
        let kept = bounded(&long);
        assert_eq!((kept.len(), kept[4].as_str()), (5, "… and 46 more"));
    }
}
