//! Loads a plug-in from a file and has it transform the products of a second file, one product a line, as one batch,
//! once or TIMES times:
//! `cargo run --release -p host-plugin-host --example transform -- shopify.wasm products.jsonl [TIMES]`

use host_core::model::Product;
use host_plugin_host::{Compiler, Configs, Plugins, Settings};
use std::{error::Error, fs, path::PathBuf, time::Instant};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(plugin), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("name a plug-in and a file of products".into());
    };
    let times = arguments.next().map_or(Ok(1), |times| times.parse::<u32>())?;
    // A component that is not trusted is compiled by a child process: `Compiler::this_program`.
    let settings = Settings { compiler: Compiler::InProcess, ..Settings::default() };
    let started = Instant::now();
    let plugins = Plugins::open(&settings, &[PathBuf::from(plugin)], &Configs::new())?;
    println!("loaded in {:?}", started.elapsed());
    let transform = plugins.transform().ok_or("the plug-in does not transform products")?;
    let text = fs::read_to_string(file)?;
    let products: Vec<Product> = text
        .lines()
        .zip(1..)
        .map(|(line, number)| Product { text: line.to_owned(), line: number, id: None })
        .collect();
    for call in 0..times {
        let started = Instant::now();
        let outcomes = transform.transform(products.clone()).await?;
        let time = started.elapsed();
        let documents: usize = outcomes.iter().map(|(_, outcome)| outcome.documents.len()).sum();
        let refused = outcomes.iter().filter(|(_, outcome)| outcome.refused.is_some()).count();
        println!("call {call}: {documents} documents, {refused} products refused, in {time:?}");
    }
    Ok(())
}
