//! Checks rules of the repository that the compiler does not.

use crate::command::{Failure, Step, headline};
use crate::workspace::root;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Most bytes of a file: larger ones do not belong in a Git history.
const MAX_BYTES: u64 = 1_000_000;
/// Most lines of a Rust file: longer ones have more than one concern.
const MAX_LINES: usize = 600;
/// Extensions of the files that are searched for forbidden words.
const SOURCES: [&str; 12] = ["rs", "toml", "wit", "sh", "md", "js", "ts", "py", "sql", "html", "css", "yml"];
/// Marks of unfinished work and of unresolved merges. Split, so that this file follows its own rule.
const FORBIDDEN: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("HA", "CK"), concat!("<<<<", "<<< ")];

/// Checks all files that Git tracks or would add.
pub(crate) fn run() -> Result<()> {
    headline("hygiene");
    if !Step::new("looking for git", "git").words("rev-parse --is-inside-work-tree").succeeds() {
        eprintln!("skipped: not a git working tree");
        return Ok(());
    }
    let files = Step::new("listing the files", "git")
        .words("ls-files -z --cached --others --exclude-standard")
        .output()?;
    let mut violations = Vec::new();
    let mut checked = 0;
    for file in files.split_terminator('\0') {
        let path = root().join(file);
        // Git lists a deleted file until the deletion is staged.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if !metadata.is_file() {
            continue;
        }
        checked += 1;
        if metadata.len() > MAX_BYTES {
            violations.push(format!("{file}: {} bytes; the limit is {MAX_BYTES}", metadata.len()));
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("cannot read {file}"))?;
        if let Ok(text) = std::str::from_utf8(&bytes) {
            check_text(file, text, &mut violations);
        }
    }
    if violations.is_empty() {
        eprintln!("{checked} files checked");
        return Ok(());
    }
    for violation in &violations {
        eprintln!("{violation}");
    }
    Err(Failure::new(
        format!("{} violations of the repository's rules", violations.len()),
        "split the file, finish the work, or keep large files elsewhere; the rules are in xtask/src/hygiene.rs",
    )
    .into())
}

/// Adds what is wrong with the text of a file.
fn check_text(file: &str, text: &str, violations: &mut Vec<String>) {
    let extension = Path::new(file).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let lines = text.lines().count();
    if extension == "rs" && lines > MAX_LINES {
        violations.push(format!("{file}: {lines} lines; the limit is {MAX_LINES}"));
    }
    if !SOURCES.contains(&extension) {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        for word in FORBIDDEN.into_iter().filter(|word| contains_word(line, word)) {
            violations.push(format!("{file}:{}: `{word}`", number + 1));
        }
    }
}

/// Whether `line` contains `word` with no letter or digit next to it.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let is_boundary =
            |neighbour: Option<char>| neighbour.is_none_or(|character| !character.is_alphanumeric());
        let ends_word = word.ends_with(' ') || is_boundary(line[start + word.len()..].chars().next());
        is_boundary(line[..start].chars().next_back()) && ends_word
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_words_are_found_as_words_only() {
        let [word, ..] = FORBIDDEN;
        assert!(contains_word(&format!("// {word}: later"), word));
        assert!(contains_word(word, word));
        assert!(!contains_word(&format!("MAS{word}NTE"), word));
        assert!(!contains_word("nothing to do", word));
    }

    #[test]
    fn long_rust_files_and_unfinished_work_are_violations() {
        let mut violations = Vec::new();
        check_text("a.rs", &"\n".repeat(MAX_LINES), &mut violations);
        check_text("a.md", &"\n".repeat(MAX_LINES + 1), &mut violations);
        check_text("a.bin", FORBIDDEN[0], &mut violations);
        assert!(violations.is_empty(), "{violations:?}");
        check_text("a.rs", &"\n".repeat(MAX_LINES + 1), &mut violations);
        check_text("b.rs", &format!("\n// {}", FORBIDDEN[1]), &mut violations);
        assert_eq!(
            violations,
            ["a.rs: 601 lines; the limit is 600".to_owned(), format!("b.rs:2: `{}`", FORBIDDEN[1])]
        );
    }
}
