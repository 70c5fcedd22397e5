//! From documents into PostgreSQL: against COPY, upserts row by row, and a loop as of an object mapper.

use super::{documents, figures, median};
use crate::build;
use crate::command::{Step, headline};
use crate::workspace::target_dir;
use anyhow::{Context, Result};
use clap::Args;
use xtask::postgres::Server;

/// How much is measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Size of the export whose documents are written, in MB
    #[arg(long, default_value_t = 60, value_name = "MB")]
    size: u64,
    /// Rounds of each measurement
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
    /// Products that are written row by row
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    slow_products: usize,
}

pub(super) fn run(options: &Options) -> Result<()> {
    build::run()?;
    headline("bench catalog");
    let documents = documents(options.size, &target_dir()?.join("bench"))?;
    // As a server is set up in earnest: what is committed is on the disk.
    let settings = ["-c", "shared_preload_libraries=pg_stat_statements", "-c", "shared_buffers=512MB", "-c"];
    let server = Server::start(&[&settings[..], &["max_wal_size=4GB"]].concat());
    let server = server.context("PostgreSQL does not start")?;
    let database = || server.database().context("PostgreSQL makes no database");
    bench().words("nothing").run()?;

    let mut loaded = String::new();
    let mut load = |complexity: &str, lanes: &str| -> Result<[f64; 6]> {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            loaded = database()?;
            let step = bench().words("load").words(&loaded).words(complexity).words(lanes).path(&documents);
            rounds.push(figures(step)?);
        }
        Ok(median(rounds))
    };
    let wide = load("1000", "1")?;
    let lanes = load("100", "4")?;
    let usual = load("100", "1")?;
    let products = options.slow_products.to_string();
    let against = |what: &str, more: &str| -> Result<[f64; 3]> {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            rounds.push(figures(bench().words(what).words(&loaded).words(&database()?).words(more))?);
        }
        Ok(median(rounds))
    };
    let copy = against("copy", "")?;
    let upserts = against("rows", &products)?;
    let mapper = against("loop", &products)?;

    let limit = copy[1] / copy[0];
    println!(
        "{} rows of products, SKUs and attributes; rows/s, share of COPY, statements per 1,000 rows",
        copy[1]
    );
    let line = |name: &str, [seconds, rows, statements]: [f64; 3]| {
        let (rate, statements) = (rows / seconds, statements / rows * 1e3);
        println!("{name:<44} {rate:>9.0}  {:>5.2}  {statements:>8.1}", rate / limit);
        statements
    };
    line("COPY, all rows in one transaction", copy);
    let ours = line("first load, batches of 100", [usual[0], usual[3], usual[4]]);
    line("first load, batches of 100, 4 at once", [lanes[0], lanes[3], lanes[4]]);
    line("first load, batches of 1,000", [wide[0], wide[3], wide[4]]);
    line("upserts row by row, transactions of 100", upserts);
    let theirs = line("loop as of an object mapper", mapper);
    println!("{:<44} {:>9.0}", "unchanged, as a worker sees it", usual[3] / usual[1]);
    println!("{:<44} {:>9.0}", "unchanged, written all the same", usual[3] / usual[2]);
    println!("{:<44} {:>8.1} %", "fewer statements than the loop", (1.0 - ours / theirs) * 100.0);
    for (name, figures) in [("100", usual), ("100, 4 at once", lanes), ("1,000", wide)] {
        println!("{:<44} {:>6.1} ms", format!("longest transaction, batches of {name}"), figures[5]);
    }
    Ok(())
}

fn bench() -> Step {
    Step::cargo("measuring the catalog").words("bench --quiet -p host --bench catalog --profile release --")
}
