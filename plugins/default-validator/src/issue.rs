//! Issues of one document: bounded, and cheap for a document that has a million of them.

/// The most issues reported for one document; a person has to read them.
const MAX_ISSUES: usize = 16;

/// A JSON Pointer whose keys have more bytes than this is omitted; the message still names the beginning of the key.
const MAX_PATH_LEN: usize = 512;

/// Values longer than this many characters are cut in messages.
const MAX_QUOTE_CHARS: usize = 60;

/// What an issue does to its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The document is omitted.
    Error,
    /// The document is processed.
    Warning,
}

/// One problem with one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Whether the document is omitted.
    pub severity: Severity,
    /// Stable kebab-case name, for machines.
    pub code: &'static str,
    /// One sentence for a person: what, which value, what to do.
    pub message: String,
    /// JSON Pointer to the offending value in the fields, if there is one.
    pub path: Option<String>,
}

/// One step of the path from the fields to an offending value.
#[derive(Clone, Copy)]
pub(crate) enum Step<'a> {
    /// A key of an object.
    Key(&'a str),
    /// A position in an array.
    Index(usize),
}

/// Collects the issues of one document. Errors are never crowded out by warnings.
#[derive(Default)]
pub(crate) struct Report {
    errors: Vec<Issue>,
    warnings: Vec<Issue>,
    /// Number of issues that were not kept.
    left_out: usize,
}

impl Report {
    /// Reports a problem that rejects the document; `message` is called only if the issue is kept.
    pub(crate) fn error(&mut self, code: &'static str, path: &[Step<'_>], message: impl FnOnce() -> String) {
        if self.errors.len() < MAX_ISSUES {
            self.errors.push(Issue {
                severity: Severity::Error,
                code,
                message: message(),
                path: pointer(path),
            });
        } else {
            self.left_out += 1;
        }
    }

    /// Reports a problem that does not reject the document; `message` is called only if the issue is kept.
    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        path: &[Step<'_>],
        message: impl FnOnce() -> String,
    ) {
        if self.warnings.len() < MAX_ISSUES {
            self.warnings.push(Issue {
                severity: Severity::Warning,
                code,
                message: message(),
                path: pointer(path),
            });
        } else {
            self.left_out += 1;
        }
    }

    /// The issues, errors first; the last one says how many were omitted, if any were.
    pub(crate) fn into_issues(self) -> Vec<Issue> {
        let Self { errors: mut issues, warnings, mut left_out } = self;
        issues.extend(warnings);
        if left_out > 0 || issues.len() > MAX_ISSUES {
            let kept = MAX_ISSUES - 1;
            left_out += issues.len() - kept;
            issues.truncate(kept);
            issues.push(Issue {
                severity: Severity::Warning,
                code: "more-issues",
                message: format!(
                    "The document has {left_out} more issues than are listed; correct these and validate again."
                ),
                path: None,
            });
        }
        issues
    }
}

/// A value as a message shows it: quoted, escaped, and cut to a readable length.
pub(crate) fn quoted(value: &str) -> String {
    let mut quote = String::from("\"");
    for (position, character) in value.chars().enumerate() {
        if position == MAX_QUOTE_CHARS {
            quote.push('…');
            break;
        }
        if character == '"' || character == '\\' || character.is_control() {
            quote.extend(character.escape_default());
        } else {
            quote.push(character);
        }
    }
    quote.push('"');
    quote
}

fn pointer(path: &[Step<'_>]) -> Option<String> {
    let keys: usize = path.iter().map(|step| if let Step::Key(key) = step { key.len() } else { 0 }).sum();
    if path.is_empty() || keys > MAX_PATH_LEN {
        return None;
    }
    let mut pointer = String::with_capacity(keys + 8);
    for step in path {
        pointer.push('/');
        match step {
            Step::Key(key) => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => pointer.push_str(&index.to_string()),
        }
    }
    Some(pointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_escape_slash_and_tilde() {
        assert_eq!(pointer(&[Step::Key("a/b~c"), Step::Index(3)]).as_deref(), Some("/a~1b~0c/3"));
        assert_eq!(pointer(&[]), None);
    }

    #[test]
    fn a_name_too_long_for_a_pointer_has_none() {
        assert_eq!(pointer(&[Step::Key(&"x".repeat(MAX_PATH_LEN + 1))]), None);
    }

    #[test]
    fn quotes_are_cut_and_escaped() {
        assert_eq!(quoted("a\u{1b}[31m\"\n"), r#""a\u{1b}[31m\"\n""#);
        assert_eq!(quoted(&"é".repeat(100)).chars().count(), MAX_QUOTE_CHARS + 3);
    }

    #[test]
    fn warnings_never_crowd_out_an_error() {
        let mut report = Report::default();
        for _ in 0..1000 {
            report.warning("dull", &[], String::new);
        }
        report.error("grave", &[], String::new);
        let issues = report.into_issues();
        assert_eq!(issues.len(), MAX_ISSUES);
        assert_eq!(issues[0].code, "grave");
        let last = issues.last().unwrap();
        assert_eq!(last.code, "more-issues");
        assert!(last.message.contains(" 986 "), "{}", last.message);
    }
}
