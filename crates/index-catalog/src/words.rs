//! The words by which a product is found, and what a search looks for. Both databases get the words as they are made
//! here, so that they find the same products in the same order.

use super::text::TextConfig;
use host_core::model::document::VARIANTS;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Version of what this module makes of a product. It is raised with each change of that, so that the words of all
/// products are made again.
pub(super) const VERSION: u32 = 1;

/// The field that ranks above the others.
const TITLE: &str = "title";

/// Fields with codes: each value is also found as a whole, with or without its separators.
const CODES: [&str; 6] = ["sku", "skus", "barcode", "barcodes", "gtin", "mpn"];

/// Maximum number of characters of a word; the rest is truncated. PostgreSQL limits a word to 2,046 bytes.
const MAX_CHARACTERS: usize = 100;

/// Maximum size of a product's words, in bytes. PostgreSQL limits a `tsvector` to 1 MiB.
const MAX_BYTES: usize = 1_000_000;

/// What a word takes in a `tsvector` beside its text, at most: padding, and its positions in the three columns.
const BYTES_PER_WORD: usize = 10;

/// Maximum number of different words in a search: each is a query on the full-text index.
const MAX_QUERY_WORDS: usize = 100;

/// A part of a product's words that is searched alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// Its title.
    Title,
    /// Its SKUs and barcodes, each as a whole.
    Codes,
}

/// The words of a product, without repetitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) title: BTreeSet<String>,
    /// SKUs and barcodes, each as a whole.
    pub(super) codes: BTreeSet<String>,
    /// The words of all other fields, and the parts of codes.
    pub(super) text: BTreeSet<String>,
}

impl Words {
    /// The words of a document's searched fields. Of an enormous document, the words of the last fields are missing.
    pub(super) fn of(fields: &Map<String, Value>, config: &TextConfig) -> Self {
        let mut words = Self::default();
        let mut bytes = 0;
        let mut add = |set: &mut BTreeSet<String>, word: String| {
            let size = word.len() + BYTES_PER_WORD;
            if !word.is_empty() && bytes + size <= MAX_BYTES && set.insert(word) {
                bytes += size;
            }
        };
        for name in &config.search {
            let (values, name) = match name.strip_prefix(VARIANTS).and_then(|rest| rest.strip_prefix('.')) {
                Some(name) => (of_variants(fields, name), name),
                None => (fields.get(name).map(texts).unwrap_or_default(), name.as_str()),
            };
            let is_code = CODES.contains(&name);
            for value in values {
                if is_code {
                    add(&mut words.codes, code(&value));
                }
                let column = if name == TITLE { &mut words.title } else { &mut words.text };
                split(&value).into_iter().for_each(|word| add(column, word));
            }
        }
        words
    }
}

/// The texts of a field of all variants.
fn of_variants(fields: &Map<String, Value>, name: &str) -> Vec<String> {
    let variants = fields.get(VARIANTS).and_then(Value::as_array).into_iter().flatten();
    variants.filter_map(|variant| variant.get(name)).flat_map(texts).collect()
}

/// The strings and numbers of a value or a list; other values have no words.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Array(values) => values.iter().filter(|value| !value.is_array()).flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Object(_) => Vec::new(),
    }
}

/// The words of a text: what is between characters that are neither letters nor digits, without accents and case.
fn split(text: &str) -> Vec<String> {
    let folded = fold(text);
    folded.split(' ').filter(|word| !word.is_empty()).map(truncated).collect()
}

/// A text as one word, without its separators: `AB-12/3` and `ab 12.3` are the same code.
fn code(text: &str) -> String {
    truncated(&fold(text).replace(' ', ""))
}

/// The text in lower case without accents, and with a space in place of each character that is not part of a word.
fn fold(text: &str) -> String {
    let is_of_word = |char: char| char.is_alphanumeric() || is_combining_mark(char);
    let or_space = |char: char| if is_of_word(char) { char } else { ' ' };
    // Symbols go first, because they decompose into letters: `™` is not the word `tm`.
    let decomposed = text.chars().map(or_space).nfkd();
    let without_accents = decomposed.filter(|char| !('\u{300}'..='\u{36f}').contains(char));
    // By upper case, so that `ß` equals `ss`, and both forms of the Greek sigma are the same.
    without_accents.flat_map(char::to_uppercase).flat_map(char::to_lowercase).map(or_space).collect()
}

fn truncated(word: &str) -> String {
    word.chars().take(MAX_CHARACTERS).collect()
}

/// A search has more words than are allowed.
#[derive(Debug, thiserror::Error)]
#[error("a search has at most {MAX_QUERY_WORDS} different words, and this one has {0}; leave some out")]
pub(super) struct TooManyWords(usize);

/// What a search looks for: products that have all the words, or words that begin with them, and products whose code
/// is the whole query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// Different words, at least one.
    pub(super) words: Vec<String>,
    pub(super) code: String,
}

/// A word that raises the score of the products that have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term<'a> {
    pub(super) word: &'a str,
    /// Whether longer words that begin with it count, too.
    pub(super) is_beginning: bool,
    /// `None` stands for all columns.
    pub(super) column: Option<Column>,
    pub(super) score: i64,
}

impl Query {
    /// The query of a text; `None` if it has no words.
    pub(super) fn of(text: &str) -> Result<Option<Self>, TooManyWords> {
        let words: BTreeSet<String> = split(text).into_iter().collect();
        if words.len() > MAX_QUERY_WORDS {
            return Err(TooManyWords(words.len()));
        }
        let query = Self { words: words.into_iter().collect(), code: code(text) };
        Ok((!query.words.is_empty()).then_some(query))
    }

    /// What ranks the products: first those with the code, then by the number of exact words, of exact words in the
    /// title, and of words that begin words of the title.
    pub(super) fn terms(&self) -> impl Iterator<Item = Term<'_>> {
        // The numbers of words are the digits of the score, and never reach the base.
        const BASE: i64 = MAX_QUERY_WORDS as i64 + 1;
        let of_word = |word| {
            let term = |is_beginning, column, score| Term { word, is_beginning, column, score };
            [
                term(false, None, BASE * BASE),
                term(false, Some(Column::Title), BASE),
                term(true, Some(Column::Title), 1),
            ]
        };
        let code = Term {
            word: &self.code,
            is_beginning: false,
            column: Some(Column::Codes),
            score: BASE * BASE * BASE,
        };
        self.words.iter().map(String::as_str).flat_map(of_word).chain([code])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn words(fields: Value) -> Words {
        let Value::Object(fields) = fields else { panic!("{fields}") };
        Words::of(&fields, &crate::CatalogConfig::default().texts())
    }

    #[test]
    fn words_have_neither_case_nor_accents_nor_separators() {
        for (text, words) in [
            ("Crème Brûlée", &["creme", "brulee"][..]),
            ("STRASSE straße", &["strasse", "strasse"]),
            ("ΟΔΟΣ οδός", &["οδοσ", "οδοσ"]),
            ("Gore-Tex™ 2½\u{a0}m²", &["gore", "tex", "21", "2", "m2"]),
            ("ＡＢＣ\0def\u{200b}ghi", &["abc", "def", "ghi"]),
            ("हिन्दी", &["हिन्दी"]),
            ("' \" * ( ) : & | ! \\", &[]),
        ] {
            assert_eq!(split(text), words, "{text}");
        }
        assert_eq!([code("AB-12/3.4"), code(" ab 12 3 4"), code("—")], ["ab1234", "ab1234", ""]);
        assert_eq!(split(&"x".repeat(500)), ["x".repeat(MAX_CHARACTERS)]);
    }

    #[test]
    fn titles_codes_and_other_fields_are_apart() {
        let found = words(json!({
            "title": "Fountain pen", "handle": "gift-pen", "description": "Writes.", "price": 1, "barcodes": [4006381333931_u64],
            "tags": ["Ink", null, {"a": "no"}, ["no"]],
            "variants": [{"id": "1", "sku": "PEN/B-1.0", "barcode": "x-1", "title": "no"}, {"id": "2", "sku": null}, "no"],
        }));
        let text = ["1", "0", "4006381333931", "b", "gift", "ink", "pen", "writes", "x"];
        let codes = ["4006381333931", "penb10", "x1"];
        let expected = Words { title: set(&["fountain", "pen"]), codes: set(&codes), text: set(&text) };
        assert_eq!(found, expected);
    }

    #[test]
    fn an_enormous_document_keeps_the_words_of_its_first_fields() {
        let numbers: Vec<String> = (0..200_000).map(|number| number.to_string()).collect();
        let found = words(json!({"title": "Pen", "skus": ["A-1"], "description": numbers.join(" ")}));
        let count = found.text.len();
        assert!((50_000..100_000).contains(&count), "{count}");
        assert_eq!((found.title, found.codes), (set(&["pen"]), set(&["a1"])));
    }

    #[test]
    fn a_query_has_a_limited_number_of_words() {
        assert_eq!(Query::of(" - \0").unwrap(), None);
        let query = Query::of("Pens, red pens").unwrap().unwrap();
        assert_eq!(query.words, ["pens", "red"]);
        assert_eq!(query.code, "pensredpens");
        let text = |words: usize| (0..words).map(|word| format!("w{word} ")).collect::<String>();
        assert_eq!(Query::of(&text(MAX_QUERY_WORDS)).unwrap().unwrap().words.len(), MAX_QUERY_WORDS);
        let error = Query::of(&text(10_000)).unwrap_err().to_string();
        assert!(error.contains("at most 100 different words, and this one has 10000"), "{error}");
    }
}
