//! Cleans and checks texts that a plug-in wrote, before they go to terminals, logs and reports: control characters in
//! them could change what a terminal shows.

use std::borrow::Cow;

/// The longest code of an issue or failure, a name such as `missing-price`, in bytes.
const CODE_BYTES: usize = 64;

/// A text without control characters: escape sequences are removed; other control characters and those that change the
/// direction of text become spaces.
pub fn sanitize(text: &str) -> Cow<'_, str> {
    if !text.contains(unprintable) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            // `ESC [ … letter` changes a terminal's colours or moves its cursor.
            '\u{1b}' if rest.peek() == Some(&'[') => {
                rest.next();
                for parameter in rest.by_ref() {
                    if ('@'..='~').contains(&parameter) {
                        break;
                    }
                }
            }
            _ if unprintable(character) => clean.push(' '),
            _ => clean.push(character),
        }
    }
    Cow::Owned(clean)
}

/// Whether a character is a control character, a line separator, or one that changes the direction of text.
fn unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text without control characters and of at most `characters` characters, the last of which is an ellipsis if the
/// text was longer.
pub fn truncate(text: &str, characters: usize) -> String {
    // Looks only at a part of the text, which may be hostile and long: twice as many characters as are wanted, because
    // `sanitize` removes escape sequences. One that fills the whole part leaves nothing but the ellipsis.
    let window = text.char_indices().nth(characters.saturating_mul(2)).map_or(text, |(end, _)| &text[..end]);
    let clean = sanitize(window);
    if window.len() == text.len() && clean.chars().nth(characters).is_none() {
        return clean.into_owned();
    }
    clean.chars().take(characters.saturating_sub(1)).chain(['…']).collect()
}

/// Whether a text is a kebab-case name of at most 64 bytes: words of `a-z` and `0-9` with single hyphens between them,
/// beginning with a letter.
pub fn is_kebab_case(text: &str) -> bool {
    text.len() <= CODE_BYTES
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.split('-').all(|word| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
}

/// The code itself if it is a kebab-case name, as the contract of plug-ins demands; `invalid-code` if not.
pub(super) fn code(text: String) -> String {
    if is_kebab_case(&text) { text } else { "invalid-code".to_owned() }
}

/// Whether a text is a JSON Pointer (RFC 6901), in which `~` must be followed by `0` or `1`.
pub(super) fn is_pointer(text: &str) -> bool {
    let escapes_are_whole =
        || text.split('~').skip(1).all(|after| after.starts_with('0') || after.starts_with('1'));
    (text.is_empty() || text.starts_with('/')) && escapes_are_whole()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_removed_or_replaced() {
        assert_eq!(sanitize("plain é"), "plain é");
        assert_eq!(sanitize("\u{1b}[31mred\u{1b}[0m\r\nnext\u{202e}end\u{9b}"), "red  next end ");
        assert_eq!(sanitize("open \u{1b}[31"), "open ");
        assert_eq!(sanitize("\u{1b}]0;title\u{7}"), " ]0;title ");
    }

    #[test]
    fn truncated_texts_have_at_most_so_many_characters() {
        assert_eq!(truncate("éééé", 4), "éééé");
        assert_eq!(truncate("ééééé", 4), "ééé…");
        assert_eq!(truncate(&"\u{1b}".repeat(1 << 20), 3), "  …");
        assert_eq!(truncate(&format!("a\u{1b}[{}mz", "1".repeat(1 << 20)), 10), "a…");
    }

    #[test]
    fn codes_are_kebab_case() {
        for good in ["a", "missing-price", "http-2", "x2-y"] {
            assert!(is_kebab_case(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "A", "a_b", "2a", "é", &"a".repeat(65)] {
            assert_eq!(code(bad.to_owned()), "invalid-code", "{bad}");
        }
    }

    #[test]
    fn pointers_have_whole_escapes() {
        assert!(["", "/", "/a/~0~1"].into_iter().all(is_pointer));
        assert!(!["a", "#/a", "/~", "/~2"].into_iter().any(is_pointer));
    }
}
