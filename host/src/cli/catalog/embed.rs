//! `host catalog embed` asks an endpoint for embeddings (vectors) of products' texts and stores them in the relational
//! catalog; `host catalog search --similar` searches by them.

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

/// With `--watch`, the pause between two searches for products whose text is new or has changed.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

pub(super) async fn run(
    global: &Global,
    config: &Config,
    catalog: &Catalog,
    target: &WriteTarget,
    watch: bool,
) -> CliResult {
    let (embedder, clock) = (embedder(config)?, clock());
    let mut total = EmbedReport::default();
    let work = async {
        loop {
            let report = catalog.embed(target, &embedder).await?;
            total.embedded += report.embedded;
            total.changed += report.changed;
            total.refused += report.refused;
            if watch && report != EmbedReport::default() {
                eprintln!("{}", sentence(&report));
            }
            if !watch {
                return Ok::<_, EmbedError>(Exit::Completed);
            }
            clock.sleep(POLL_INTERVAL).await;
        }
    };
    // Only whole batches are stored: the next `embed` does an interrupted batch again.
    let exit = tokio::select! {
        exit = work => exit.map_err(failure)?,
        _ = tokio::signal::ctrl_c() => Exit::Interrupted,
    };
    match global.output {
        OutputFormat::Json => print_json(&total)?,
        OutputFormat::Text => eprintln!("{}", sentence(&total)),
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

/// The products whose texts are nearest to `text` in meaning, best first.
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
