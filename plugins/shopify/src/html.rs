//! From HTML to searchable text.
//!
//! Shopify's own plain `description` glues the words of neighbouring elements together (`dry.The`), so the text is
//! taken from the HTML, with a space wherever an element breaks the line and with the texts for pictures. The tokenizer follows the HTML standard,
//! which settles unclosed tags, `<` as text, attributes with `>` in them and comments the way browsers do.

use std::borrow::Cow;
use std::convert::Infallible;
use std::mem::take;

use html5gum::{Emitter, Error, State, Tokenizer};

use crate::entities::{decode_entities, entity_at};
use crate::fast_path::read_plain;
use crate::text::{Gap, push_collapsed};

/// How often text is decoded again that was escaped more than once (`&amp;amp;lt;`), as spreadsheets and import tools
/// leave it.
const MAX_ESCAPE_DEPTH: usize = 8;

/// The text of an HTML fragment: words separated by single spaces, no markup, entities decoded.
pub(crate) fn to_text(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut emitter = TextEmitter::new(&mut text, true);
    let rest = read_plain(html, &mut emitter);
    if !rest.is_empty() {
        let Ok(()) = Tokenizer::new_with_emitter(rest, emitter).finish();
    }
    unescaped(text)
}

/// The text of what should be plain text, but may hold pasted markup: as of HTML, except that only an entity that ends in
/// `;` is one.
pub(crate) fn plain_to_text(plain: &str) -> String {
    let mut html = String::new();
    let mut copied = 0;
    for at in memchr::memchr_iter(b'&', plain.as_bytes()) {
        if entity_at(&plain[at..]).is_none() {
            html.push_str(&plain[copied..=at]);
            html.push_str("amp;");
            copied = at + 1;
        }
    }
    if copied == 0 {
        return to_text(plain);
    }
    html.push_str(&plain[copied..]);
    to_text(&html)
}

/// Text that was escaped more often than once, decoded to its end, with its white space collapsed anew.
fn unescaped(text: String) -> String {
    let mut decoded = decode_entities(&text);
    if matches!(decoded, Cow::Borrowed(_)) {
        return text;
    }
    for _ in 1..MAX_ESCAPE_DEPTH {
        match decode_entities(&decoded) {
            Cow::Borrowed(_) => break,
            Cow::Owned(again) => decoded = Cow::Owned(again),
        }
    }
    let mut collapsed = String::with_capacity(decoded.len());
    push_collapsed(&mut collapsed, &mut Gap::None, &decoded);
    collapsed
}

/// Collects the text between tags; everything else is dropped as it comes.
pub(crate) struct TextEmitter<'t> {
    text: &'t mut String,
    /// Whether runs of white space become one space.
    collapse: bool,
    /// What came after the last word.
    gap: Gap,
    /// Bytes of a character whose rest has not come yet.
    partial: Vec<u8>,
    tag: TagName,
    is_end_tag: bool,
    last_start_tag: TagName,
    /// The name of the attribute that is being read.
    attribute: TagName,
    /// The text for the picture whose tag is being read.
    alt: Vec<u8>,
    /// Whether it is complete: of an attribute that occurs twice, the first counts.
    has_alt: bool,
    /// The element whose content is being skipped.
    skipped: Option<TagName>,
}

impl<'t> TextEmitter<'t> {
    pub(crate) fn new(text: &'t mut String, collapse: bool) -> Self {
        TextEmitter {
            text,
            collapse,
            gap: Gap::None,
            alt: Vec::new(),
            has_alt: false,
            attribute: TagName::default(),
            partial: Vec::new(),
            tag: TagName::default(),
            is_end_tag: false,
            last_start_tag: TagName::default(),
            skipped: None,
        }
    }

    /// Takes a tag that the fast path has read, with its attribute `alt`. Returns false, and takes nothing, if the tag
    /// changes how the text after it is read.
    pub(crate) fn plain_tag(&mut self, name: &[u8], alt: Option<&str>) -> bool {
        let mut tag = TagName::default();
        for byte in name {
            tag.push(&[byte.to_ascii_lowercase()]);
        }
        if is_skipped(tag.get()) || tag.get() == b"textarea" {
            return false;
        }
        if !is_inline(tag.get()) {
            self.gap = Gap::Space;
        }
        if let Some(alt) = alt.filter(|_| tag.get() == b"img") {
            self.picture(alt);
        }
        true
    }

    /// Takes the text for a picture, which are words of their own.
    fn picture(&mut self, alt: &str) {
        if !alt.trim().is_empty() {
            self.gap = Gap::Space;
            self.push(alt);
            self.gap = Gap::Space;
        }
    }

    pub(crate) fn push(&mut self, piece: &str) {
        if self.collapse {
            push_collapsed(self.text, &mut self.gap, piece);
        } else {
            self.text.push_str(piece);
        }
    }
}

/// The first bytes of a tag's name; no name that matters here is longer.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
struct TagName {
    bytes: [u8; 12],
    length: usize,
}

impl TagName {
    fn push(&mut self, name: &[u8]) {
        for byte in name {
            if let Some(slot) = self.bytes.get_mut(self.length) {
                *slot = *byte;
            }
            self.length += 1;
        }
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(b"")
    }
}

/// Elements that are part of a line of text; all others, unknown ones too, begin and end a line.
fn is_inline(name: &[u8]) -> bool {
    matches!(
        name,
        b"a" | b"abbr"
            | b"acronym"
            | b"b"
            | b"bdi"
            | b"bdo"
            | b"big"
            | b"cite"
            | b"code"
            | b"data"
            | b"del"
            | b"dfn"
            | b"em"
            | b"font"
            | b"i"
            | b"img"
            | b"ins"
            | b"kbd"
            | b"label"
            | b"link"
            | b"mark"
            | b"meta"
            | b"nobr"
            | b"q"
            | b"ruby"
            | b"rb"
            | b"s"
            | b"samp"
            | b"script"
            | b"small"
            | b"span"
            | b"strike"
            | b"strong"
            | b"style"
            | b"sub"
            | b"sup"
            | b"time"
            | b"tt"
            | b"u"
            | b"var"
            | b"wbr"
    )
}

/// Elements whose content is not text of the page.
fn is_skipped(name: &[u8]) -> bool {
    matches!(name, b"script" | b"style" | b"iframe" | b"noembed" | b"noframes" | b"noscript" | b"title")
}

impl Emitter for TextEmitter<'_> {
    type Token = Infallible;

    fn emit_string(&mut self, bytes: &[u8]) {
        if self.skipped.is_some() {
            return;
        }
        if self.partial.is_empty()
            && let Ok(piece) = std::str::from_utf8(bytes)
        {
            return self.push(piece);
        }
        // The tokenizer hands out a byte alone after it had to look ahead.
        self.partial.extend_from_slice(bytes);
        let partial = take(&mut self.partial);
        match std::str::from_utf8(&partial) {
            Ok(piece) => self.push(piece),
            Err(_) => self.partial = partial,
        }
    }

    fn emit_current_tag(&mut self) -> Option<State> {
        let tag = self.tag;
        let name = tag.get();
        if self.is_end_tag {
            if self.skipped == Some(tag) {
                self.skipped = None;
            }
        } else {
            self.last_start_tag = tag;
        }
        if self.skipped.is_none() && !is_inline(name) {
            self.gap = Gap::Space;
        }
        if self.skipped.is_none() && !self.alt.is_empty() {
            let alt = take(&mut self.alt);
            self.picture(&String::from_utf8_lossy(&alt));
        }
        if self.is_end_tag || self.skipped.is_some() {
            return None;
        }
        if is_skipped(name) {
            self.skipped = Some(tag);
        }
        match name {
            b"script" => Some(State::ScriptData),
            b"title" | b"textarea" => Some(State::RcData),
            _ if is_skipped(name) => Some(State::RawText),
            _ => None,
        }
    }

    fn init_start_tag(&mut self) {
        self.tag = TagName::default();
        self.is_end_tag = false;
        self.attribute = TagName::default();
        self.alt.clear();
        self.has_alt = false;
    }

    fn init_end_tag(&mut self) {
        self.tag = TagName::default();
        self.is_end_tag = true;
        self.alt.clear();
    }

    fn push_tag_name(&mut self, name: &[u8]) {
        self.tag.push(name);
    }

    fn init_attribute(&mut self) {
        self.has_alt |= self.attribute.get() == b"alt";
        self.attribute = TagName::default();
    }

    fn push_attribute_name(&mut self, name: &[u8]) {
        self.attribute.push(name);
    }

    fn push_attribute_value(&mut self, value: &[u8]) {
        let is_alt = self.attribute.get() == b"alt" && !self.has_alt;
        if is_alt && !self.is_end_tag && self.tag.get() == b"img" {
            self.alt.extend_from_slice(value);
        }
    }

    fn set_last_start_tag(&mut self, name: Option<&[u8]>) {
        self.last_start_tag = TagName::default();
        self.last_start_tag.push(name.unwrap_or_default());
    }

    fn current_is_appropriate_end_tag_token(&mut self) -> bool {
        self.is_end_tag && self.tag.length > 0 && self.tag == self.last_start_tag
    }

    fn should_emit_errors(&mut self) -> bool {
        false
    }

    fn pop_token(&mut self) -> Option<Infallible> {
        None
    }

    // None of these parts of the markup has text for a document.
    fn emit_eof(&mut self) {}
    fn emit_error(&mut self, _: Error) {}
    fn init_comment(&mut self) {}
    fn emit_current_comment(&mut self) {}
    fn emit_current_doctype(&mut self) {}
    fn set_self_closing(&mut self) {}
    fn set_force_quirks(&mut self) {}
    fn push_comment(&mut self, _: &[u8]) {}
    fn push_doctype_name(&mut self, _: &[u8]) {}
    fn init_doctype(&mut self) {}
    fn set_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn set_doctype_system_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_system_identifier(&mut self, _: &[u8]) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text by the tokenizer alone.
    fn tokenized(html: &str) -> String {
        let mut text = String::new();
        let Ok(()) = Tokenizer::new_with_emitter(html, TextEmitter::new(&mut text, true)).finish();
        unescaped(text)
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(5_000))]

        #[test]
        fn the_fast_path_reads_what_the_tokenizer_reads(html in MARKUP) {
            proptest::prop_assert_eq!(to_text(&html), tokenized(&html));
        }

        #[test]
        fn the_fast_path_reads_odd_tags_as_the_tokenizer_does(html in "(</?[pb]([ =\"'a/>é]){0,9}x){1,3}") {
            proptest::prop_assert_eq!(to_text(&html), tokenized(&html));
        }
    }

    const MARKUP: &str = "(<|</|>|/>|/|<p|<b|</p>|</B>|<br>|<style>|</style>|<script|<!--|-->|<é| a=|\"|'|=| |\n|a|B|é|&|&amp;|&nbsp;|&#39;|&#xB0;|&#233;|&#x80;|&#1;|&#;|&ouml;|&lt;|;|amp|#x|\u{0}|<a b=\"|\" c='|'>|<textarea>|<img|<IMG alt=\"a\"| alt='b | Alt=c| alt|\t|!|\\?|-|\u{A0}){0,16}";

    #[test]
    fn elements_that_break_lines_separate_words() {
        for (html, text) in [
            ("<p>One</p><p>two</p>", "One two"),
            ("<ul><li>a</li><li>b</li></ul>c", "a b c"),
            ("a<br>b<BR/>c<br />d", "a b c d"),
            ("<table><tr><td>a</td><td>b</td></tr></table>", "a b"),
            ("un<b>believ</b>able <i>news</i>", "unbelievable news"),
            ("<custom-card>a</custom-card><custom-card>b</custom-card>", "a b"),
        ] {
            assert_eq!(to_text(html), text, "{html}");
        }
    }

    #[test]
    fn content_that_is_not_text_is_dropped() {
        for html in [
            "a<script>if (1 < 2) location = '</p>'</script> b",
            "a <style><!-- p > a { color: red } --></style>b",
            "a <iframe src='x'>no frames</iframe>b",
            "a <!-- <b>not</b> this -->b",
            "a <noscript><img src=x></noscript>b",
            "a <title>none</title>b",
            "a <SCRIPT>x</ScRiPt >b",
        ] {
            assert_eq!(to_text(html), "a b", "{html}");
        }
    }

    #[test]
    fn broken_markup_is_read_as_browsers_do() {
        for (html, text) in [
            ("<p>unclosed <b>tags", "unclosed tags"),
            ("weighs < 5 kg & more", "weighs < 5 kg & more"),
            ("a <é b", "a <é b"),
            ("a <日本 &eacute", "a <日本 é"),
            ("<a title=\"x > y\" href='>'>link</a>", "link"),
            ("text <b", "text"),
            ("1 <3 2", "1 <3 2"),
        ] {
            assert_eq!(to_text(html), text, "{html}");
        }
    }

    #[test]
    fn entities_are_decoded_as_often_as_they_were_escaped() {
        for (html, text) in [
            ("&lt;5&nbsp;kg &eacute;&#8217;&#x1F600; &#153;", "<5 kg é’😀 ™"),
            ("5 &amp;amp;lt; 6", "5 < 6"),
            ("AT&T &unknown; &", "AT&T &unknown; &"),
            ("a&amp;nbsp;&amp;nbsp;b", "a b"),
            ("a&#0;&#7;b", "a\u{FFFD}b"),
        ] {
            assert_eq!(to_text(html), text, "{html}");
        }
    }

    #[test]
    fn markup_in_plain_text_is_dropped() {
        for (plain, text) in [
            ("cotton&microfiber <b>pen&notebook</b>", "cotton&microfiber pen&notebook"),
            ("R&D &amp; more &eacute; &", "R&D & more é &"),
            ("<p>a</p><p>1 < 2</p>", "a 1 < 2"),
        ] {
            assert_eq!(plain_to_text(plain), text, "{plain}");
        }
    }

    #[test]
    fn an_ampersand_that_was_escaped_begins_no_entity() {
        assert_eq!(to_text("pen&amp;notebook, R&amp;amp;D, &amp;lt;3"), "pen&notebook, R&D, <3");
    }

    #[test]
    fn texts_for_pictures_are_words_of_their_own() {
        for (html, text) in [
            ("a<img src=x alt=\"Red & blue\">b", "a Red & blue b"),
            ("<p>a</p><IMG ALT='x &lt; y' src='1.jpg'/>b", "a x < y b"),
            ("a<img alt=\"\">b <img alt=' '>c <img src=\"alt\">d", "ab c d"),
            ("<img alt=one alt=\"two\">", "one"),
            ("<img data-alt=\"x\" title=\"y\"><a alt=\"z\">a</a>", "a"),
            ("<noscript><img alt=\"x\"></noscript>a", "a"),
            ("<img alt=\"cut off", ""),
            ("ก\u{200B}ข", "ก ข"),
            ("iPhone&#8203;สี&#x200B;<b>ดำ</b>", "iPhone สี ดำ"),
            ("ខ\u{200B}\u{200B} ម ລ\u{200B}.", "ខ ម ລ ."),
            ("zero\u{200B}width, 日\u{200B}本", "zerowidth, 日本"),
        ] {
            assert_eq!(to_text(html), text, "{html}");
            assert_eq!(tokenized(html), text, "{html}");
        }
    }
}
