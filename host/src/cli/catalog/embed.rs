//! `host catalog embed`, and searching by meaning.

use crate::{
    cli::{
        CliResult, Global,
        context::{clock, print_json},
        failure::{Exit, Failure},
        output::OutputFormat,
    },
    config::Config,
};
use host_core::{format::count, index::WriteTarget};
use host_index_catalog::{CallError, Catalog, EmbedError, EmbedReport, Embedder, Hit};
use std::time::Duration;

/// Between two looks at the queue.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

pub(super) async fn run(
    global: &Global,
    config: &Config,
    catalog: &Catalog,
    target: &WriteTarget,
    watch: bool,
) -> CliResult {
    let (embedder, env) = (embedder(config)?, clock());
    let mut all = EmbedReport::default();
    let work = async {
        loop {
            let report = catalog.embed(target, &embedder).await?;
            all.embedded += report.embedded;
            all.changed += report.changed;
            all.refused += report.refused;
            if watch && report != EmbedReport::default() {
                eprintln!("{}", sentence(&report));
            }
            if !watch {
                return Ok::<_, EmbedError>(Exit::Completed);
            }
            env.sleep(POLL_INTERVAL).await;
        }
    };
    // Only whole batches are stored, so an interrupted one is done again.
    let exit = tokio::select! {
        exit = work => exit.map_err(failure)?,
        _ = tokio::signal::ctrl_c() => Exit::Interrupted,
    };
    match global.output {
        OutputFormat::Json => print_json(&all)?,
        OutputFormat::Text => eprintln!("{}", sentence(&all)),
    }
    Ok(exit)
}

fn sentence(report: &EmbedReport) -> String {
    let EmbedReport { embedded, changed, refused } = *report;
    let mut text = format!("{} products were embedded", count(embedded));
    if changed > 0 {
        text += &format!(", {} changed meanwhile and were embedded again", count(changed));
    }
    if refused > 0 {
        text += &format!(", {} have no text that the endpoint takes", count(refused));
    }
    text
}

pub(super) async fn similar(
    config: &Config,
    catalog: &Catalog,
    target: &WriteTarget,
    text: &str,
    limit: usize,
) -> Result<Vec<Hit>, Failure> {
    catalog.similar(target, &embedder(config)?, text, limit).await.map_err(failure)
}

fn embedder(config: &Config) -> Result<Embedder, Failure> {
    Embedder::new(&config.catalog.embeddings, clock()).map_err(|error| match error {
        CallError::NoEndpoint => Failure::usage(error).help(
            "name one in host.toml: [catalog.embeddings] url = \"https://api.openai.com/v1/embeddings\"; \
             its key belongs into HOST_CATALOG__EMBEDDINGS__KEY",
        ),
        error => Failure::usage(error),
    })
}

fn failure(error: EmbedError) -> Failure {
    let is_busy = matches!(error, EmbedError::Busy { .. });
    let failure = Failure::runtime(error);
    if is_busy { failure } else { failure.help("the same command continues where it stopped") }
}
