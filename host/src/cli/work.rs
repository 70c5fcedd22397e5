//! `host work`: the indexing half alone, for all shops or one.

use super::{
    CliResult, Global,
    at_least_one::at_least_one,
    backend::Backend,
    context::{clock, effective, plugins, runtime, store_failure},
    failure::{Exit, Failure},
    hints::{options, warn_of_other_plugin},
    plugin_source::PluginArgs,
    run::stopped,
    shop_id,
    shutdown::{cancel_on_signal, print_what_is_left},
    work_progress::WorkProgress,
};
use crate::{
    config::Effective,
    telemetry::{exporter, progress::Screen},
};
use clap::Args;
use host_pipeline::retention::run as run_retention;
use std::num::NonZeroUsize;
use tokio_util::sync::CancellationToken;

/// Arguments of `host work`.
#[derive(Debug, Args)]
pub(super) struct WorkArgs {
    #[command(flatten)]
    plugins: PluginArgs,
    /// Chunks written at once, of all shops together
    #[arg(long, value_parser = at_least_one::<NonZeroUsize>, value_name = "N")]
    concurrency: Option<NonZeroUsize>,
}

pub(super) fn run(global: &Global, args: WorkArgs, screen: &Screen) -> CliResult {
    let mut overrides = global.overrides();
    overrides.set("--concurrency", "worker.concurrency", args.concurrency);
    args.plugins.set(&mut overrides);
    let Effective { config, origins } = effective(global, &overrides)?;
    let plugins = plugins(&config, &origins)?;
    let cancel = CancellationToken::new();
    runtime()?.block_on(async {
        tokio::spawn(cancel_on_signal(cancel.clone()));
        let exporter = exporter::start(&config.telemetry).map_err(Failure::usage)?;
        tokio::spawn(exporter.clone().run(clock()));
        let backend = Backend::open(&config, true).await?;
        backend.storage().register().await.map_err(store_failure)?;
        // An environment that is not there has no queues, and would be waited for without a word.
        backend.stores().jobs.list(config.shop.as_deref(), 1).await.map_err(store_failure)?;
        let config = shop_id::as_stored(config, &backend.stores()).await?;
        let progress = WorkProgress::new(screen, global.quiet, options(global));
        let worker = backend.observed_worker(&config, &plugins, progress.clone())?;
        let only = config.shop.as_deref();
        warn_of_other_plugin(&backend.stores(), only, &plugins).await?;
        if !global.quiet {
            match only {
                Some(shop) => eprintln!("working the queue of {shop} until Ctrl-C"),
                None => eprintln!("working the queues of all shops until Ctrl-C"),
            }
        }
        let (clock, retention) = (clock(), config.retention.of_jobs());
        let worked = tokio::select! {
            worked = worker.run_all(only, &cancel) => worked,
            never = backend.storage().run_maintenance() => match never {},
            never = run_retention(backend.storage(), &clock, retention) => match never {},
        };
        progress.finish();
        exporter.flush();
        worked.map_err(|stop| stopped(stop, None))?;
        print_what_is_left(&backend.stores(), only).await;
        Ok(Exit::Interrupted)
    })
}
