//! Loads documents into the relational catalog in PostgreSQL; compares with COPY, row-by-row upserts and an object
//! mapper's loop.

use super::{documents, median, numbers};
use crate::build;
use crate::command::{Step, headline};
use crate::workspace::target_dir;
use anyhow::{Context, Result};
use clap::Args;
use xtask::postgres::Server;

/// Size of the benchmark.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Size in MB of the export whose documents are loaded
    #[arg(long, default_value_t = 60, value_name = "MB")]
    size: u64,
    /// Rounds per measurement
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
    /// Number of products for the row-by-row measurements
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    slow_products: usize,
}

pub(super) fn run(options: &Options) -> Result<()> {
    build::run()?;
    headline("bench catalog");
    let documents = documents(options.size, &target_dir()?.join("bench"))?;
    // As in production: a commit waits for the disk.
    let settings = ["-c", "shared_preload_libraries=pg_stat_statements", "-c", "shared_buffers=512MB", "-c"];
    let server = Server::start(&[&settings[..], &["max_wal_size=4GB"]].concat());
    let server = server.context("cannot start PostgreSQL")?;
    let database = || server.database().context("cannot create a database");
    // Builds the benchmark before any measurement.
    bench().words("nothing").run()?;

    // The database that was loaded last, which the baselines read.
    let mut loaded = String::new();
    // Loads the documents, in batches of a complexity and a number of lanes at once. The benchmark prints the seconds
    // of a first load, of unchanged documents that the worker skips, and of unchanged documents that are written again;
    // then rows, statements, and the longest transaction in milliseconds.
    let mut load = |complexity: &str, lanes: &str| -> Result<[f64; 6]> {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            loaded = database()?;
            let step = bench().words("load").words(&loaded).words(complexity).words(lanes).path(&documents);
            rounds.push(numbers(step)?);
        }
        Ok(median(rounds))
    };
    let wide = load("1000", "1")?;
    let lanes = load("100", "4")?;
    let usual = load("100", "1")?;
    let products = options.slow_products.to_string();
    // The benchmark prints seconds, rows and statements.
    let baseline = |name: &str, argument: &str| -> Result<[f64; 3]> {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            rounds.push(numbers(bench().words(name).words(&loaded).words(&database()?).words(argument))?);
        }
        Ok(median(rounds))
    };
    let copy = baseline("copy", "")?;
    let upserts = baseline("rows", &products)?;
    let mapper = baseline("loop", &products)?;

    let copy_rate = copy[1] / copy[0];
    println!(
        "{} rows of products, SKUs and attributes; rows/s, share of COPY, statements per 1,000 rows",
        copy[1]
    );
    let line = |name: &str, [seconds, rows, statements]: [f64; 3]| {
        let (rate, statements) = (rows / seconds, statements / rows * 1e3);
        println!("{name:<44} {rate:>9.0}  {:>5.2}  {statements:>8.1}", rate / copy_rate);
        statements
    };
    line("COPY, all rows in one transaction", copy);
    let ours = line("first load, batches of 100", [usual[0], usual[3], usual[4]]);
    line("first load, batches of 100, 4 at once", [lanes[0], lanes[3], lanes[4]]);
    line("first load, batches of 1,000", [wide[0], wide[3], wide[4]]);
    line("upserts row by row, transactions of 100", upserts);
    let theirs = line("object mapper's loop", mapper);
    println!("{:<44} {:>9.0}", "unchanged documents, skipped by the worker", usual[3] / usual[1]);
    println!("{:<44} {:>9.0}", "unchanged documents, written again", usual[3] / usual[2]);
    println!("{:<44} {:>8.1} %", "fewer statements than the loop", (1.0 - ours / theirs) * 100.0);
    for (name, numbers) in [("100", usual), ("100, 4 at once", lanes), ("1,000", wide)] {
        println!("{:<44} {:>6.1} ms", format!("longest transaction, batches of {name}"), numbers[5]);
    }
    Ok(())
}

fn bench() -> Step {
    Step::cargo("measuring the catalog").words("bench --quiet -p host --bench catalog --profile release --")
}
