//! `host dlq`: what no worker could handle, and why.

use super::{
    Ended, Global,
    backend::Backend,
    context::{config, print, print_json, runtime, store_failure},
    failure::Exit,
    output::OutputFormat,
};
use crate::store::{DeadLetter, StoreError, Stores};
use clap::Subcommand;
use std::fmt::Write;

/// Commands about dead letters.
#[derive(Debug, Subcommand)]
pub(super) enum DlqCommand {
    /// Print the chunks that no worker could handle, each with its reason
    List {
        /// Only those of this job
        #[arg(long, value_name = "ID")]
        job: Option<String>,
        /// Only those with this reason: corrupt-chunk, lost-input …
        #[arg(long, value_name = "CODE")]
        code: Option<String>,
    },
}

pub(super) fn run(global: &Global, command: DlqCommand) -> Ended {
    let config = config(global)?;
    let DlqCommand::List { job, code } = command;
    runtime()?.block_on(async {
        let stores = Backend::open(&config, false).await?.stores();
        let mut letters = letters(&stores, config.shop.as_deref()).await.map_err(store_failure)?;
        letters.retain(|letter| job.as_ref().is_none_or(|job| letter.chunk.job_id.as_str() == job));
        letters.retain(|letter| code.as_ref().is_none_or(|code| letter.code == *code));
        match global.output {
            OutputFormat::Json => print_json(&letters)?,
            OutputFormat::Text => print(&text(&letters))?,
        }
        Ok(Exit::Completed)
    })
}

/// The dead letters of a shop, or of all.
async fn letters(stores: &Stores, shop: Option<&str>) -> Result<Vec<DeadLetter>, StoreError> {
    let shops = match shop {
        Some(shop) => vec![shop.to_owned()],
        None => stores.queue.shops().await?,
    };
    let mut letters = Vec::new();
    for shop in shops {
        letters.extend(stores.queue.dead_letters(&shop).await?);
    }
    Ok(letters)
}

fn text(letters: &[DeadLetter]) -> String {
    let mut text = String::new();
    for DeadLetter { chunk, shop_id, code, message, died_at, receive_count } in letters {
        let _ = write!(
            text,
            "{died_at:.0}  {shop_id}  job {}  chunk {}: {code}\n  {message}\n  {} ({} documents, {}), delivered {receive_count} times\n",
            chunk.job_id, chunk.seq, chunk.key, chunk.documents, chunk.sha256,
        );
    }
    text
}
