//! The page of commands, generated from the tree of commands that clap, the parser of the command line, has.

use crate::{cell, check};
use clap::{Arg, Command};
use std::fmt::Write;

#[test]
fn commands() {
    let mut command = host::cli::command();
    command.build();
    let mut page = "`host COMMAND --help` prints the same.\n".to_owned();
    write!(page, "\n## Options of every command\n").unwrap();
    arguments(&command, true, &mut page);
    subcommands(&command, &mut page);
    check("cli.md", "Commands", &page);
}

/// Adds a section for each command below this one.
fn subcommands(command: &Command, page: &mut String) {
    for command in
        command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
    {
        let about =
            command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
        let name = command.get_bin_name().unwrap_or_default();
        write!(page, "\n## `{name}`\n\n{}.\n", about.trim_end_matches('.')).unwrap();
        if command.has_subcommands() {
            subcommands(command, page);
        } else {
            let usage = command.clone().render_usage().to_string();
            write!(page, "\n```console\n{}\n```\n", usage.trim_start_matches("Usage: ").trim()).unwrap();
            arguments(command, false, page);
        }
    }
}

/// Adds a table of a command's arguments: those that every command has if `global`, else its own.
fn arguments(command: &Command, global: bool, page: &mut String) {
    let is_shown = |argument: &&Arg| {
        argument.is_global_set() == global
            && !argument.is_hide_set()
            && !["help", "version"].contains(&argument.get_id().as_str())
    };
    let mut rows = String::new();
    for argument in command.get_arguments().filter(is_shown) {
        let help =
            argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
        let values = argument.get_possible_values();
        let mut meaning = help.trim_end_matches('.').to_owned();
        if argument.get_action().takes_values() {
            let default =
                argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>();
            if !default.is_empty() {
                write!(meaning, " [default: {}]", default.join(" ")).unwrap();
            }
            for value in values.iter().filter(|value| !value.is_hide_set()) {
                write!(meaning, "<br>`{}`", value.get_name()).unwrap();
                if let Some(help) = value.get_help() {
                    write!(meaning, ": {help}").unwrap();
                }
            }
        }
        writeln!(rows, "| `{}` | {} |", cell(&spelling(argument)), cell(&meaning)).unwrap();
    }
    if !rows.is_empty() {
        write!(page, "\n| argument | meaning |\n| --- | --- |\n{rows}").unwrap();
    }
}

/// An argument as it is typed: `--limit N`.
fn spelling(argument: &Arg) -> String {
    let value = || match argument.get_value_names() {
        Some(names) => names.join(" "),
        None => argument.get_id().as_str().to_uppercase(),
    };
    match (argument.get_long(), argument.get_short()) {
        (Some(long), _) if argument.get_action().takes_values() => format!("--{long} {}", value()),
        (Some(long), _) => format!("--{long}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) => value(),
    }
}
