//! Writes a document's JSON straight into a buffer, within the size that the index takes.

use std::borrow::Cow;

use host_index_rules::json_dumps_prefix_len;
use wide::u8x16;

use crate::naming::Naming;
use crate::simd::{all, between, prefix_len};
use crate::text::{cut_at, push};

/// Short fields, such as a title, are cut at this many bytes. Shopify allows 255 characters of at most 4 bytes.
const MAX_SHORT_TEXT: usize = 1_100;

/// Percentage of a document's limit that one list or long text may take.
const MAX_SHARE: usize = 25;

/// Percentage of the limit that all fields before the description may take together, so that some is left for the
/// description.
const MAX_TOGETHER: usize = 70;

/// Characters that the last lists leave free: a few numbers may follow them.
const ROOM_FOR_NUMBERS: usize = 1_000;

/// A JSON object that grows field by field.
///
/// Marqo measures a document by the characters that Python's `json.dumps` writes for it, so that is what counts here:
/// `", "` and `": "` as separators, and `\uXXXX` for each UTF-16 unit outside ASCII. Where counting exactly would cost
/// time, the writer counts the most that a value can take.
pub(crate) struct DocumentWriter<'n> {
    json: String,
    naming: &'n Naming,
    /// Characters so far, as `json.dumps` would write them, or a few more.
    used: usize,
    /// The most characters that the document may have.
    limit: usize,
    /// Characters that other lists and long texts leave free for fields that come later.
    reserved: usize,
    /// The fields that had to be shortened.
    shortened: Vec<Shortened>,
}

/// A field of which a document holds a part.
struct Shortened {
    name: String,
    kept: usize,
    total: usize,
    /// Whether it is a list, so that items are counted, and otherwise characters.
    is_list: bool,
}

impl<'n> DocumentWriter<'n> {
    /// A document with nothing but the configured constants.
    pub(crate) fn new(limit: usize, expected_bytes: usize, naming: &'n Naming) -> Self {
        let constants = naming.constants();
        let mut json = String::with_capacity(expected_bytes);
        json.push('{');
        json.push_str(constants);
        // A separator has a blank more than here, and there is at most one for each byte.
        let used = 2 + 2 * host_index_rules::json_dumps_escaped_len(constants);
        DocumentWriter { json, naming, used, limit, reserved: 0, shortened: Vec::new() }
    }

    /// A short text; a blank one is omitted, as all empty values are.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        for name in self.naming.names(name) {
            self.cut_text(name, text, None, MAX_SHORT_TEXT, self.limit * MAX_TOGETHER / 100);
        }
    }

    /// A text that may take as much as a list.
    pub(crate) fn long_text(&mut self, name: &str, text: &str) {
        for name in self.naming.names(name) {
            let until = (self.limit * MAX_TOGETHER / 100).saturating_sub(self.reserved);
            self.cut_text(name, text, None, usize::MAX, until);
        }
    }

    /// A text that may take all that is left; so it is written last. Copies of it share what is left. `total_chars` is the
    /// length of a longer text that it was cut from.
    pub(crate) fn rest(&mut self, name: &str, text: &str, total_chars: Option<usize>) {
        let mut copies = self.naming.names(name).count();
        for name in self.naming.names(name) {
            let until = self.used + self.limit.saturating_sub(self.used) / copies;
            self.cut_text(name, text, total_chars, usize::MAX, until);
            copies -= 1;
        }
    }

    /// Writes as much of a text as fits into `max_bytes` and leaves the document below `until` characters.
    fn cut_text(
        &mut self,
        name: &str,
        text: &str,
        total_chars: Option<usize>,
        max_bytes: usize,
        until: usize,
    ) {
        if text.is_empty() && total_chars.is_none() {
            return;
        }
        let budget = until.saturating_sub(self.used + name.len() + 8);
        let budget = if until < self.limit { budget.min(self.limit * MAX_SHARE / 100) } else { budget };
        let wanted = &text[..cut_at(text, max_bytes).len()];
        // No byte takes more than three characters, so most texts need not be measured to know that they fit.
        let fits = wanted.len().saturating_mul(3) <= budget;
        let kept = if fits { wanted } else { cut_at(wanted, json_dumps_prefix_len(wanted, budget)) };
        if kept.len() < text.len() || total_chars.is_some() {
            let total = total_chars.unwrap_or_else(|| text.chars().count());
            self.note_shortened(name, kept.chars().count(), total, false);
        }
        if !kept.is_empty() {
            self.key(name);
            self.used += self.string(kept) + 2;
        }
    }

    /// A number that is always written with a decimal point or exponent: an index keeps whole numbers apart from
    /// others.
    pub(crate) fn float(&mut self, name: &str, number: f64) {
        for name in self.naming.names(name).filter(|_| number.is_finite()) {
            self.key(name);
            write_float(&mut self.json, number);
            self.used += 24; // the longest float
        }
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, name: &str, number: i64) {
        for name in self.naming.names(name) {
            self.key(name);
            write_integer(&mut self.json, number);
            self.used += 20; // the longest integer
        }
    }

    /// True or false.
    pub(crate) fn boolean(&mut self, name: &str, flag: bool) {
        for name in self.naming.names(name) {
            self.key(name);
            write_boolean(&mut self.json, flag);
            self.used += 5;
        }
    }

    /// An array of texts, as many of them as fit the budget.
    pub(crate) fn list<'t>(&mut self, name: &str, items: impl IntoIterator<Item = Cow<'t, str>>) {
        let mut names = self.naming.names(name);
        let Some(first) = names.next() else { return };
        let further: Vec<&str> = names.collect();
        if further.is_empty() {
            let budget = self.list_budget();
            return self.one_list(first, items, budget);
        }
        let items: Vec<Cow<'_, str>> = items.into_iter().collect();
        for name in [first].into_iter().chain(further) {
            let budget = self.list_budget();
            self.one_list(name, items.iter().map(|item| Cow::from(&**item)), budget);
        }
    }

    fn list_budget(&self) -> usize {
        let together = (self.limit * MAX_TOGETHER / 100).saturating_sub(self.used + self.reserved);
        together.min(self.limit * MAX_SHARE / 100)
    }

    /// Makes other lists and long texts leave room for a list that [`Self::last_lists`] writes later.
    pub(crate) fn reserve(&mut self, name: &str, items: &[Cow<'_, str>]) {
        self.reserved += self.list_len(name, items);
    }

    fn list_len(&self, name: &str, items: &[Cow<'_, str>]) -> usize {
        let len: usize = items.iter().map(|item| json_dumps_escaped_len(item) + 4).sum();
        self.naming.names(name).filter(|_| !items.is_empty()).map(|name| name.len() + 8 + len).sum()
    }

    /// Two arrays of texts that are shortened only where the document has no room for them at all; the first one leaves up
    /// to half of it to the second.
    pub(crate) fn last_lists(&mut self, first: (&str, &[Cow<'_, str>]), second: (&str, &[Cow<'_, str>])) {
        let second_len = self.list_len(second.0, second.1);
        for ((name, items), later_len) in [(first, second_len), (second, 0)] {
            for name in self.naming.names(name) {
                let room = self.limit.saturating_sub(self.used + ROOM_FOR_NUMBERS);
                let budget = room - later_len.min(room / 2);
                self.one_list(name, items.iter().map(|item| Cow::from(&**item)), budget);
            }
        }
    }

    fn one_list<'t>(&mut self, name: &str, items: impl IntoIterator<Item = Cow<'t, str>>, budget: usize) {
        let mut list_len = name.len() + 8;
        let (mut kept, mut total) = (0, 0);
        for item in items.into_iter().filter(|item| !item.is_empty()) {
            total += 1;
            if total > kept + 1 {
                // An item before did not fit; the others are only counted.
                continue;
            }
            let len = json_dumps_escaped_len(&item);
            // With two quotes and a separator of two characters.
            list_len += len + 4;
            if list_len > budget {
                continue;
            }
            if kept == 0 {
                self.key(name);
                self.json.push('[');
            } else {
                self.json.push(',');
            }
            kept += 1;
            self.string_of(&item, len);
            self.used += len + 4;
        }
        if kept > 0 {
            self.json.push(']');
            self.used += 2;
        }
        if kept < total {
            self.note_shortened(name, kept, total, true);
        }
    }

    /// Starts the value of a field that does not count, because a Marqo index does not get it; `None` if it is omitted.
    pub(crate) fn uncounted(&mut self, name: &str) -> Option<&mut String> {
        let name = self.naming.names(name).next()?;
        let used = self.used;
        self.key(name);
        self.used = used;
        Some(&mut self.json)
    }

    /// The fields that had to be shortened, with how much of them is there; `None` if none had to.
    pub(crate) fn shortened(&self) -> Option<String> {
        let part = |Shortened { name, kept, total, is_list }: &Shortened| {
            let what = if *is_list { "items" } else { "characters" };
            format!("{name} ({kept} of {total} {what})")
        };
        let parts: Vec<String> = self.shortened.iter().map(part).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// The finished object.
    pub(crate) fn finish(mut self) -> String {
        self.json.push('}');
        self.json
    }

    fn note_shortened(&mut self, name: &str, kept: usize, total: usize, is_list: bool) {
        self.shortened.push(Shortened { name: name.to_owned(), kept, total, is_list });
    }

    fn key(&mut self, name: &str) {
        write_key(&mut self.json, name);
        // Two quotes and two separators of two characters each.
        self.used += name.len() + 6;
    }

    fn string(&mut self, text: &str) -> usize {
        let len = json_dumps_escaped_len(text);
        self.string_of(text, len);
        len
    }

    fn string_of(&mut self, text: &str, json_dumps_len: usize) {
        if json_dumps_len == text.len() {
            // Every byte counts as one, so none is escaped.
            self.json.push('"');
            push(&mut self.json, text);
            self.json.push('"');
        } else {
            write_string(&mut self.json, text);
        }
    }
}

/// Writes the key of a field, which nothing needs to be escaped in, with the comma that it needs unless it is the
/// first.
pub(crate) fn write_key(json: &mut String, name: &str) {
    separate(json);
    json.push('"');
    push(json, name);
    json.push_str("\":");
}

/// Writes any text as a key.
pub(crate) fn write_any_key(json: &mut String, name: &str) {
    separate(json);
    write_string(json, name);
    json.push(':');
}

fn separate(json: &mut String) {
    if !json.ends_with('{') {
        json.push(',');
    }
}

/// Writes a text with what JSON demands to be escaped, and nothing else escaped.
pub(crate) fn write_string(json: &mut String, text: &str) {
    json.push('"');
    let mut rest = text;
    loop {
        let (plain, escaped) = rest.split_at(prefix_len(rest.as_bytes(), are_unescaped));
        push(json, plain);
        let Some(char) = escaped.chars().next() else { break };
        match char {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            control => json.push_str(&format!("\\u{:04x}", u32::from(control))),
        }
        rest = &escaped[char.len_utf8()..];
    }
    json.push('"');
}

/// The bytes that are written as they are.
fn are_unescaped(bytes: u8x16) -> u8x16 {
    between(bytes, b' ', 0xFF) & !bytes.simd_eq(b'"') & !bytes.simd_eq(b'\\')
}

/// The length by `json.dumps`, without quotes: that of the text itself for nearly all texts.
fn json_dumps_escaped_len(text: &str) -> usize {
    let is_plain = all(text.as_bytes(), |bytes| between(bytes, b' ', b'~') & are_unescaped(bytes));
    if is_plain { text.len() } else { host_index_rules::json_dumps_escaped_len(text) }
}

/// Writes a finite number in its shortest form with a decimal point or exponent.
pub(crate) fn write_float(json: &mut String, number: f64) {
    push(json, zmij::Buffer::new().format_finite(number));
}

pub(crate) fn write_integer(json: &mut String, number: i64) {
    push(json, itoa::Buffer::new().format(number));
}

pub(crate) fn write_boolean(json: &mut String, flag: bool) {
    // Each copy has a size that is known when compiling, which is faster in the sandbox.
    if flag { json.push_str("true") } else { json.push_str("false") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_in_the_form_that_an_index_wants() {
        let naming = Naming::default();
        let mut writer = DocumentWriter::new(10_000, 100, &naming);
        writer.text("title", "a \"b\" \\ é\n");
        writer.text("blank", "");
        writer.float("price", 20.0);
        writer.integer("stock", -3);
        writer.boolean("available", true);
        writer.list("tags", ["a", "", "b"].map(Cow::from));
        writer.list("none", []);
        assert_eq!(
            writer.finish(),
            r#"{"title":"a \"b\" \\ é\n","price":20.0,"stock":-3,"available":true,"tags":["a","b"]}"#
        );
    }

    #[test]
    fn no_document_exceeds_its_limit() {
        let naming = Naming::default();
        let mut writer = DocumentWriter::new(10_000, 100, &naming);
        for name in ["a", "b", "c", "d", "e"] {
            writer.long_text(name, &"é".repeat(3_000));
            writer.list(&name.repeat(2), vec![Cow::from("日本"); 3_000]);
        }
        writer.rest("description", &"😀".repeat(3_000), None);
        assert_eq!(writer.shortened.len(), 11);
        let value: serde_json::Value = serde_json::from_str(&writer.finish()).unwrap();
        let json = value.to_string();
        let escaped: usize =
            json.chars().map(|char| if char.is_ascii() { 1 } else { 6 * char.len_utf16() }).sum();
        let dumped = escaped + json.matches([',', ':']).count();
        assert!((8_000..=10_000).contains(&dumped), "{dumped}");
        assert!(value["description"].as_str().unwrap().len() > 200);
    }
}
