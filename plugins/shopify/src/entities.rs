//! Entities in text that is not HTML, as import tools and templates leave them in titles.

use std::borrow::Cow;

use html5gum::{State, Tokenizer};

use crate::html::TextEmitter;

/// The longest entity, from `&` to `;`: no name of the standard is longer.
const MAX_ENTITY_LEN: usize = 40;

/// Decodes entities once, those that end in `;`: in text that is not HTML, `&not` of `pen&notebook` is no entity.
/// Everything else, `<` included, is text.
pub(crate) fn decode_entities(text: &str) -> Cow<'_, str> {
    let mut decoded = String::new();
    let mut copied = 0;
    for at in memchr::memchr_iter(b'&', text.as_bytes()) {
        let Some((entity, meaning)) = entity_at(&text[at..]) else { continue };
        decoded.push_str(&text[copied..at]);
        decoded.push_str(&meaning);
        copied = at + entity.len();
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    decoded.push_str(&text[copied..]);
    Cow::Owned(decoded)
}

/// The entity with which a text begins, and what it means.
pub(crate) fn entity_at(text: &str) -> Option<(&str, String)> {
    let end = text.bytes().take(MAX_ENTITY_LEN).position(|byte| byte == b';')?;
    let entity = &text[..=end];
    let name = entity[1..end].strip_prefix('#').unwrap_or(&entity[1..end]);
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let mut meaning = String::new();
    let mut tokenizer = Tokenizer::new_with_emitter(entity, TextEmitter::new(&mut meaning, false));
    // In this state the standard decodes entities but knows no tags.
    tokenizer.set_state(State::RcData);
    let Ok(()) = tokenizer.finish();
    // Of an unknown name, the standard decodes what it begins with and leaves the rest.
    (meaning == ";" || !meaning.ends_with(';')).then_some((entity, meaning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_decoded_once_and_only_where_a_semicolon_ends_an_entity() {
        for (text, decoded) in [
            ("M&amp;M <b> </title>", "M&M <b> </title>"),
            ("M&amp;amp;M", "M&amp;M"),
            ("&eacute;&#8217;&#x1F600;&#153;&semi;&#59;", "é’😀™;;"),
            ("&NotEqualTilde;&CounterClockwiseContourIntegral;", "≂̸∳"),
        ] {
            assert_eq!(decode_entities(text), decoded, "{text}");
        }
        for text in [
            "Q & A",
            "cotton&microfiber pen&notebook",
            "Rock&region; on",
            "&notit;",
            "&unknown;",
            "&;",
            "&#;",
            "&#x;",
            "&lt &#39",
            "R&D; é",
        ] {
            assert!(matches!(decode_entities(text), Cow::Borrowed(_)), "{text}");
        }
    }
}
