//! Warnings about the URLs of pages and pictures. A wrong one does not refuse the document: the product can still be
//! found.

use crate::issue::{Report, Step, quoted};
use crate::json::{self, Kind};

/// The fields that hold URLs: names, or a name's end or start with a `*` for the rest.
pub(crate) struct Urls(Vec<Pattern>);

enum Pattern {
    Name(String),
    Start(String),
    End(String),
}

impl Urls {
    pub(crate) fn new(patterns: &[String]) -> Self {
        let pattern = |text: &String| {
            if let Some(end) = text.strip_prefix('*') {
                Pattern::End(end.to_owned())
            } else if let Some(start) = text.strip_suffix('*') {
                Pattern::Start(start.to_owned())
            } else {
                Pattern::Name(text.clone())
            }
        };
        Self(patterns.iter().map(pattern).collect())
    }

    /// Looks at one field, whatever it is.
    pub(crate) fn see(&self, field: &str, raw: &str, report: &mut Report) {
        let kind = Kind::of(raw);
        if !matches!(kind, Kind::Text | Kind::Array) || !self.holds(field) {
            return;
        }
        if kind == Kind::Text {
            check(&[Step::Key(field)], field, raw, report);
            return;
        }
        let walked = json::elements(raw, |position, element| {
            if Kind::of(element) == Kind::Text {
                check(&[Step::Key(field), Step::Index(position)], field, element, report);
            }
        });
        // The text was walked once already as part of the document, so this cannot fail.
        debug_assert!(walked.is_ok());
    }

    fn holds(&self, field: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Name(name) => field == name,
            Pattern::Start(start) => field.starts_with(start.as_str()),
            Pattern::End(end) => field.ends_with(end.as_str()),
        })
    }
}

fn check(path: &[Step<'_>], field: &str, raw: &str, report: &mut Report) {
    // A text that cannot be decoded is an error already.
    let Some(url) = json::decode(raw) else { return };
    if !is_absolute(&url) {
        report.warning("invalid-url", path, || {
            let (url, field) = (quoted(&url), quoted(field));
            format!("{url} in {field} is not an absolute http or https URL; complete it, or leave it out.")
        });
    }
}

/// Whether the text is `http://` or `https://`, a host, perhaps a port, and anything without white space.
fn is_absolute(url: &str) -> bool {
    if url.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return false;
    }
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return false;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host_and_port = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match host_and_port.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (address, port),
        None => host_and_port.split_at(host_and_port.find(':').unwrap_or(host_and_port.len())),
    };
    let port_is_right = match port.strip_prefix(':') {
        Some(number) => number.is_empty() || number.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    !host.is_empty() && !host.contains(['<', '>', '"', '\\', '^', '`', '{', '|', '}']) && port_is_right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_urls_are_taken() {
        for url in [
            "https://cdn.example.com/a.jpg?v=1#x",
            "HTTP://example.com",
            "https://example.com:8080/",
            "https://user@example.com/",
            "http://[::1]:80/x",
            "https://münchen.example/straße",
        ] {
            assert!(is_absolute(url), "{url}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        for url in [
            "",
            "//cdn.example.com/a.jpg",
            "/a.jpg",
            "example.com",
            "ftp://example.com",
            "https://",
            "https:///path",
            "https://:80/",
            "https://example.com/a b.jpg",
            " https://example.com",
            "https://example.com\n",
            "https://example.com:port/",
            "https://example.com:99999/",
            "http://[::1",
            "javascript:alert(1)",
            "data:image/png;base64,AAAA",
        ] {
            assert!(!is_absolute(url), "{url}");
        }
    }
}
