//! The pages of `docs/reference/` are generated from the code. A page that differs from the code fails its test, and
//! `cargo xtask reference` writes all pages anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod cli;
mod metrics;
mod report_codes;
mod settings;
mod shopify;
mod source;

use source::{doc, enum_named, root};
use std::{fmt::Write, fs};

/// Variable that `cargo xtask reference` sets: pages are written instead of compared.
const RENEW: &str = "HOST_RENEW_REFERENCE";

/// Compares a page with the one that the code gives now, or writes it.
fn check(name: &str, title: &str, body: &str) {
    let path = root().join("docs/reference").join(name);
    let page = format!(
        "# {title}\n\n<!-- Made by `cargo xtask reference`; edit the code that it is made of. -->\n\n{}\n",
        body.trim_end()
    );
    if std::env::var_os(RENEW).is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, page).unwrap();
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    if let Some((line, (is, should))) =
        (1..).zip(found.lines().chain([""]).zip(page.lines())).find(|(_, (is, should))| is != should)
    {
        panic!(
            "docs/reference/{name} is stale: line {line} is\n  {is}\nand the code says\n  {should}\n`cargo xtask reference` renews it"
        );
    }
    assert_eq!(found, page, "docs/reference/{name} is stale; `cargo xtask reference` renews it");
}

/// Text as the cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn exit_codes() {
    let mut page =
        "The meaning of the exit code of a command.\n\n| code | meaning |\n| --- | --- |\n".to_owned();
    let item = enum_named("host/src/cli", "Exit");
    for variant in &item.variants {
        let (_, code) = variant.discriminant.as_ref().expect("an exit code has its number");
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(code), .. }) = code else {
            panic!("not a number")
        };
        writeln!(page, "| {} | {} |", code.base10_digits(), cell(&doc(&variant.attrs))).unwrap();
    }
    check("exit-codes.md", "Exit codes", &page);
}
