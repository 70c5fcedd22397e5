//! `host plugin replay`: feeds the products that a plug-in trapped on or refused in a job, which the job's quarantine
//! keeps, to a fixed plug-in, as a new job of the same shop and index.

use super::{
    super::{
        CliResult, Global,
        backend::Backend,
        context::{clock, effective, plugins, print, print_json, runtime, store_failure},
        failure::{Exit, Failure},
        jobs::find,
        output::{OutputFormat, entry_text},
        plugin_source::PluginArgs,
        shutdown::cancel_on_signal,
    },
    Run, Stages, ingest_failure,
    job::Origin,
};
use crate::{
    config::{Config, Effective, TargetIndex},
    telemetry::{exporter, progress::Screen},
};
use clap::Args;
use host_core::{
    model::{JobRecency, QuarantinedProducts},
    storage::JobSnapshot,
};
use host_export::{Expected, Phase, Progress};
use host_pipeline::{
    ingest::quarantine::{self, REPLAY},
    sync::platform,
};
use tokio_util::sync::CancellationToken;

/// Arguments of `host plugin replay`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReplayArgs {
    /// Id of the job, or its beginning
    job: String,
    #[command(flatten)]
    plugins: PluginArgs,
    /// What a document does whose version equals the stored one while its content differs [default: as the job that is
    /// replayed]
    #[arg(long, value_parser = ["newer", "conflict", "write"], value_name = "WHAT")]
    same_version: Option<String>,
    /// Print the products and why they were refused, and do nothing else
    #[arg(long)]
    dry_run: bool,
}

pub(in crate::cli) fn replay(global: &Global, args: ReplayArgs, screen: &Screen) -> CliResult {
    let mut overrides = global.overrides();
    let inherits_same_version = args.same_version.is_none();
    overrides.set("--same-version", "worker.same_version", args.same_version);
    args.plugins.set(&mut overrides);
    let Effective { config, origins } = effective(global, &overrides)?;
    runtime()?.block_on(async {
        let backend = Backend::open(&config, false).await?;
        let old = find(&backend.stores(), config.shop.as_deref(), Some(args.job)).await?;
        if args.dry_run {
            return list(global, &backend, &old).await;
        }
        let quarantined = complete(&old)?;
        let mut config = with_original_settings(config, &old);
        if inherits_same_version {
            config.worker.same_version = old.job.same_version;
        }
        let plugins = plugins(&config, &origins)?;
        let cancel = CancellationToken::new();
        tokio::spawn(cancel_on_signal(cancel.clone()));
        let exporter = exporter::start(&config.telemetry).map_err(Failure::usage)?;
        tokio::spawn(exporter.clone().run(clock()));
        let run = Run {
            global,
            config: &config,
            operation: old.job.operation,
            stages: Stages::IngestAndWork,
            exported_at: None,
            expected: Expected::default(),
            shop: &old.job.shop_id,
            plugins: &plugins,
            shadow: None,
            screen,
            cancel: &cancel,
            clock: clock(),
        };
        let ended = run.replay(&backend, &old, quarantined).await;
        exporter.flush();
        ended
    })
}

impl Run<'_> {
    async fn replay(
        &self,
        backend: &Backend,
        old: &JobSnapshot,
        quarantined: QuarantinedProducts,
    ) -> CliResult {
        let transform = self.transform()?;
        let (was, is) = (&old.job.platform, platform(transform.manifest()));
        if is != was {
            let name = transform.manifest().reference();
            return Err(Failure::usage(format!(
                "{name} reads products of {is}, and job {} has those of {was}",
                old.job.id
            ))
            .help("name the fixed version of the plug-in that refused them with --plugin"));
        }
        self.preflight(&old.job.index_name).await?;
        backend.storage().register().await.map_err(store_failure)?;
        let stores = backend.stores();
        let origin = Origin {
            sources: &old.job.sources,
            grouping: REPLAY,
            inputs: vec![old.job.id.to_string()],
            exported_at: Some(JobRecency::of(&old.job).exported_at),
            modified_at: None,
        };
        let job = self.job(backend, &origin, transform.as_ref(), old.job.index_name.clone()).await?;
        let reading = Progress::default();
        reading.begin(Phase::Done);
        let from = old.job.clone();
        let feed = |ahead| quarantine::start(stores.chunks.clone(), from, quarantined, ahead);
        self.run_job(backend, job, transform, &reading, feed).await
    }
}

/// The quarantine of a job whose export was read to its end and that has something to replay; otherwise says what to
/// do.
fn complete(old: &JobSnapshot) -> Result<QuarantinedProducts, Failure> {
    let id = &old.job.id;
    let Some(seal) = &old.seal else {
        let message = format!(
            "the export of job {id} was not read to its end, so more may be missing than what was refused"
        );
        return Err(Failure::usage(message)
            .help("run the whole export again with the fixed plug-in: it takes the job's place"));
    };
    match seal.quarantine {
        QuarantinedProducts { products: 0, left_out: 1.., .. } => {
            Err(Failure::usage(format!("`ingest.quarantine_bytes` had no room for any product that job {id} refused"))
                .help("run the whole export again with the fixed plug-in"))
        }
        QuarantinedProducts { products: 0, .. } => Err(Failure::usage(format!("job {id} has nothing to replay"))
            .help("only what a plug-in with the role `transform` trapped on or refused is kept; `host jobs report` shows the outcome of the rest")),
        QuarantinedProducts { left_out: left_out @ 1.., .. } => {
            eprintln!(
                "warning: {left_out} products were not kept, because `ingest.quarantine_bytes` had no room for them; only the whole \
                 export has them"
            );
            Ok(seal.quarantine)
        }
        quarantined => Ok(quarantined),
    }
}

/// The settings, with shop, index and kind of index of the old job.
fn with_original_settings(mut config: Config, old: &JobSnapshot) -> Config {
    config.index = Some(old.job.index_name.clone());
    config.shop = Some(old.job.shop_id.clone());
    if let Some(target) = TargetIndex::named(old.job.target.kind()) {
        config.target = target;
    }
    // The replayed products are a part of the shop, so nothing may be archived after them.
    config.ingest.full = false;
    config
}

/// Prints the products in a job's quarantine, also of a job that was stopped before its end.
async fn list(global: &Global, backend: &Backend, old: &JobSnapshot) -> CliResult {
    let stores = backend.stores();
    // The seal says how many objects count; an interrupted ingest may have left more. Without a seal, all that are
    // there count.
    let objects = old.seal.as_ref().map_or(u32::MAX, |seal| seal.quarantine.objects);
    let mut products = 0_usize;
    for object in 0..objects {
        let Some(kept) = quarantine::read(stores.chunks.as_ref(), &old.job, object)
            .await
            .map_err(|error| ingest_failure(error, &old.job.id))?
        else {
            break;
        };
        products += kept.len();
        for kept in kept {
            match global.output {
                OutputFormat::Json => print_json(&kept)?,
                OutputFormat::Text => {
                    print(&format!("{}\n{}\n", entry_text(&kept.reason), kept.product.text))?;
                }
            }
        }
    }
    if products == 0 {
        eprintln!("job {} has no product in quarantine", old.job.id);
    }
    Ok(Exit::Completed)
}
