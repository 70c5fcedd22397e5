//! Rules for the repository that no compiler checks.

use crate::command::{Failure, Step, headline};
use crate::workspace::root;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Larger files do not belong into the history of a repository.
const MOST_BYTES: u64 = 1_000_000;
/// Longer files hold more than one concern.
const MOST_LINES: usize = 600;
/// Files in which forbidden words are looked for.
const SOURCES: [&str; 12] = ["rs", "toml", "wit", "sh", "md", "js", "ts", "py", "sql", "html", "css", "yml"];
/// Finish it or write it down as an issue. In pieces, so that this file keeps its own rule.
const FORBIDDEN: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("HA", "CK"), concat!("<<<<", "<<< ")];

/// Checks every file that is or could be committed.
pub(crate) fn run() -> Result<()> {
    headline("hygiene");
    if !Step::new("looking for git", "git").words("rev-parse --is-inside-work-tree").succeeds() {
        eprintln!("skipped: this is no git working tree");
        return Ok(());
    }
    let files = Step::new("listing the files", "git")
        .words("ls-files -z --cached --others --exclude-standard")
        .output()?;
    let mut offences = Vec::new();
    let mut checked = 0;
    for file in files.split_terminator('\0') {
        let path = root().join(file);
        // A deleted file stays listed until the deletion is committed.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if !metadata.is_file() {
            continue;
        }
        checked += 1;
        if metadata.len() > MOST_BYTES {
            offences.push(format!("{file}: {} bytes, at most {MOST_BYTES} are allowed", metadata.len()));
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("{file} cannot be read"))?;
        if let Ok(text) = std::str::from_utf8(&bytes) {
            check_text(file, text, &mut offences);
        }
    }
    if offences.is_empty() {
        eprintln!("{checked} files are in order");
        return Ok(());
    }
    for offence in &offences {
        eprintln!("{offence}");
    }
    Err(Failure::new(
        format!("{} breaches of the repository's rules", offences.len()),
        "cut the file into concerns, finish what is open, or keep large files elsewhere; the rules stand in xtask/src/hygiene.rs",
    )
    .into())
}

fn check_text(file: &str, text: &str, offences: &mut Vec<String>) {
    let extension = Path::new(file).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let lines = text.lines().count();
    if extension == "rs" && lines > MOST_LINES {
        offences.push(format!("{file}: {lines} lines, at most {MOST_LINES} are allowed"));
    }
    if !SOURCES.contains(&extension) {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        for word in FORBIDDEN.into_iter().filter(|word| contains_word(line, word)) {
            offences.push(format!("{file}:{}: `{word}`", number + 1));
        }
    }
}

/// Whether `word` stands in `line` with no letter or digit next to it.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let free = |neighbour: Option<char>| neighbour.is_none_or(|character| !character.is_alphanumeric());
        let ends_free = word.ends_with(' ') || free(line[start + word.len()..].chars().next());
        free(line[..start].chars().next_back()) && ends_free
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
    fn long_rust_files_and_open_ends_are_offences() {
        let mut offences = Vec::new();
        check_text("a.rs", &"\n".repeat(MOST_LINES), &mut offences);
        check_text("a.md", &"\n".repeat(MOST_LINES + 1), &mut offences);
        check_text("a.bin", FORBIDDEN[0], &mut offences);
        assert!(offences.is_empty(), "{offences:?}");
        check_text("a.rs", &"\n".repeat(MOST_LINES + 1), &mut offences);
        check_text("b.rs", &format!("\n// {}", FORBIDDEN[1]), &mut offences);
        assert_eq!(
            offences,
            ["a.rs: 601 lines, at most 600 are allowed".to_owned(), format!("b.rs:2: `{}`", FORBIDDEN[1])]
        );
    }
}
