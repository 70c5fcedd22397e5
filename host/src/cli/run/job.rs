//! Which job a run is: its index, and what it is known again by after an interrupt.

use super::{
    super::{
        backend::Backend,
        context::{Patience, store_failure},
        failure::Failure,
        settings::check,
    },
    Run,
};
use crate::config::Config;
use host_core::{
    clock::Env,
    model::{Digest, Job, JobId, Manifest},
    plugin::Transform,
};
use host_plugin_host::Role;
use jiff::Timestamp;

/// What a job is made of.
pub(super) struct Origin<'a> {
    /// Names of the sources.
    pub(super) sources: &'a [String],
    /// How products are put together.
    pub(super) strategy: &'a str,
    /// What tells the content apart from any other.
    pub(super) inputs: Vec<String>,
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
        let stores = backend.stores();
        let manifest = transform.manifest();
        let plugin =
            self.plugins.plugin_ref(Role::Transform).expect("the transform role comes from a plug-in");
        let fingerprint = self.fingerprint(origin, &plugin.digest, &manifest.name, &index_name);
        if let Some(job) = stores.jobs.find_unfinished(self.shop, fingerprint).await.map_err(store_failure)? {
            return Ok(job);
        }
        let created_at = self.env.now();
        Ok(Job {
            id: new_id(self.env.as_ref(), created_at),
            platform: platform(manifest).to_owned(),
            shop_id: self.shop.to_owned(),
            index_name,
            operation: self.operation,
            created_at,
            plugin,
            fingerprint,
            sources: origin.sources.to_vec(),
            target: backend.index(self.config, Patience::OfUser)?.kind().to_owned(),
            same_version: self.config.worker.same_version,
            full: self.config.ingest.full,
        })
    }

    /// The index as named, or as platform and shop make it.
    pub(super) fn index_name(&self, transform: &dyn Transform) -> Result<String, Failure> {
        let made = || index_name(platform(transform.manifest()), self.shop);
        let name = self.config.index.clone().unwrap_or_else(made);
        check::index_name(&name)
            .map_err(|fault| Failure::usage(fault).help("name the index with --index"))?;
        Ok(name)
    }

    /// Digest of everything that decides the chunks' bytes and what is done with them.
    fn fingerprint(&self, origin: &Origin<'_>, plugin: &Digest, name: &str, index_name: &str) -> Digest {
        let Config { ingest, worker, target, plugin: plugins, .. } = self.config;
        let told = serde_json::to_vec(&plugins.config.get(name)).expect("settings are plain data");
        let mut settings = format!(
            "{} {:?} {} {} {} {} {:?} {}",
            self.operation.as_str(),
            target,
            origin.strategy,
            ingest.chunk_documents,
            ingest.chunk_bytes,
            self.config.lanes(),
            worker.same_version,
            index_name
        );
        if ingest.full {
            settings.push_str(" full");
        }
        let mut parts = vec![settings.into_bytes(), told, plugin.to_string().into_bytes()];
        parts.extend(origin.inputs.iter().map(|input| input.clone().into_bytes()));
        Digest::of_parts(parts.iter().map(Vec::as_slice))
    }
}

/// A name that no job has; those of later jobs come later in the alphabet.
pub(in crate::cli) fn new_id(env: &dyn Env, created_at: Timestamp) -> JobId {
    let mut random = [0; 10];
    let bits = [env.random().to_le_bytes(), env.random().to_le_bytes()].concat();
    random.copy_from_slice(&bits[..10]);
    let id = uuid::Builder::from_unix_timestamp_millis(created_at.as_millisecond().unsigned_abs(), &random);
    JobId::new(id.into_uuid().to_string()).expect("a UUID is a job id")
}

pub(super) fn platform(manifest: &Manifest) -> &str {
    if manifest.platform.is_empty() { &manifest.name } else { &manifest.platform }
}

/// `shopify-example` for `example.myshopify.com`: what index servers take as a name.
fn index_name(platform: &str, shop: &str) -> String {
    let shop = shop.strip_suffix(".myshopify.com").unwrap_or(shop);
    let name = format!("{platform}-{shop}");
    name.chars().map(|c| if check::fits_index(c) { c } else { '-' }).collect()
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
