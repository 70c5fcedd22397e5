//! The job of a run: its index, and what its settings say.

use super::{
    super::{backend::Backend, context::store_failure, failure::Failure},
    Run,
};
use crate::config::Config;
use host_core::{model::Job, plugin::Transform};
use host_index_marqo::{check_index_name, fits_index_name};
use host_net::RetryProfile;
use host_pipeline::sync::{JobRequest, platform};
use host_plugin_host::Role;
use jiff::Timestamp;

/// What a job is made of.
pub(super) struct Origin<'a> {
    /// Names of the sources.
    pub(super) sources: &'a [String],
    /// How products are put together.
    pub(super) grouping: &'a str,
    /// What identifies the content.
    pub(super) inputs: Vec<String>,
    /// When the export was taken, as the user says.
    pub(super) exported_at: Option<Timestamp>,
    /// When its sources were last modified.
    pub(super) modified_at: Option<Timestamp>,
}

impl Run<'_> {
    /// The job of this export: the one that was interrupted, or a new one.
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
            sources: origin.sources.to_vec(),
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
        request.find_or_create(stores.jobs.as_ref(), self.clock.as_ref()).await.map_err(store_failure)
    }

    /// The index as named, or as platform and shop make it.
    pub(super) fn index_name(&self, transform: &dyn Transform) -> Result<String, Failure> {
        let made = || index_name(platform(transform.manifest()), self.shop);
        let name = self.config.index.clone().unwrap_or_else(made);
        check_index_name(&name)
            .map_err(|message| Failure::usage(message).help("name the index with --index"))?;
        Ok(name)
    }
}

/// `shopify-example` for `example.myshopify.com`: what index servers take as a name.
fn index_name(platform: &str, shop: &str) -> String {
    let shop = shop.strip_suffix(".myshopify.com").unwrap_or(shop);
    let name = format!("{platform}-{shop}");
    name.chars().map(|c| if fits_index_name(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_named_after_platform_and_shop() {
        assert_eq!(index_name("shopify", "example.myshopify.com"), "shopify-example");
        assert_eq!(index_name("shopify", "shop.example.com"), "shopify-shop-example-com");
    }
}
