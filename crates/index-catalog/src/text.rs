//! Which fields a product is searched by, and the text of which its embedding (vector) is made.

use super::words;
use host_core::model::Digest;
use serde_json::{Map, Value};

/// Which document fields a product is searched by, and which are joined into the input of its embedding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextConfig {
    /// For search by words; `variants.sku` is the field `sku` of each variant.
    pub(super) search: Vec<String>,
    /// For embeddings.
    pub(super) embed: Vec<String>,
    /// Maximum number of characters of an embedded text; models reject longer ones.
    pub(super) embed_characters: usize,
}

impl TextConfig {
    /// Names the searched fields, and what is made of them: a product whose words were made under another name needs
    /// new ones.
    pub(super) fn search_config(&self) -> String {
        let digest = Digest::of(format!("{} {:?}", words::VERSION, self.search).as_bytes());
        format!("{:016x}", digest.prefix())
    }

    /// The input of an embedding.
    pub(super) fn to_embed(&self, fields: &Map<String, Value>) -> String {
        let mut text = join(fields, &self.embed);
        if let Some((end, _)) = text.char_indices().nth(self.embed_characters) {
            text.truncate(end);
        }
        text
    }
}

/// The texts of the named fields, one line per field; the strings of a list are separated by commas. Other values are
/// left out.
fn join(fields: &Map<String, Value>, names: &[String]) -> String {
    let mut text = String::new();
    for name in names {
        let parts = match fields.get(name) {
            Some(Value::String(part)) => std::slice::from_ref(part).iter().map(String::as_str).collect(),
            Some(Value::Array(parts)) => parts.iter().filter_map(Value::as_str).collect::<Vec<_>>(),
            _ => continue,
        };
        let line = parts.join(", ");
        if line.trim().is_empty() {
            continue;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        // A database ends a string at a NUL, or rejects it.
        text.push_str(&line.replace('\0', " "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_has_the_named_fields_in_their_order_up_to_the_maximum_length() {
        let Value::Object(fields) =
            json!({"tags": ["a", 1, "b"], "title": "Größe\u{0}", "vendor": "", "price": 1})
        else {
            unreachable!()
        };
        let mut texts = crate::CatalogConfig::default().texts();
        assert_eq!(texts.to_embed(&fields), "Größe \na, b");
        texts.embed_characters = 4;
        assert_eq!(texts.to_embed(&fields), "Größ");
        texts.embed = vec!["price".to_owned()];
        assert_eq!(texts.to_embed(&fields), "");
    }
}
