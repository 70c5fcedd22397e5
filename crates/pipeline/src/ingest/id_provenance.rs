//! Which documents may belong to a product that was rejected before it was transformed: those whose ids appear in its
//! text. Plug-ins usually take document ids from the product; the products that were transformed show whether this
//! plug-in does.

use host_core::model::DocumentId;

/// All substrings of a text that could be the id of a document.
pub fn candidate_ids(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !DocumentId::takes(c)).filter(|candidate| !candidate.is_empty())
}

/// Whether the id appears in the text as a whole word, that is, as one of its [`candidate_ids`].
fn appears_in(id: &DocumentId, text: &str) -> bool {
    let id = id.as_str();
    text.match_indices(id).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + id.len()..].chars().next());
        ![before, after].into_iter().flatten().any(DocumentId::takes)
    })
}

/// Records whether the ids of a plug-in's documents come from the text of their products.
#[derive(Debug, Default)]
pub(super) struct IdProvenance {
    any: bool,
    any_generated: bool,
}

impl IdProvenance {
    /// Records an id that the plug-in returned for a product.
    pub(super) fn observe(&mut self, id: &DocumentId, text: &str) {
        self.any = true;
        self.any_generated = self.any_generated || !appears_in(id, text);
    }

    /// Whether there were ids and all of them appeared in the text of their products.
    pub(super) fn ids_come_from_products(&self) -> bool {
        self.any && !self.any_generated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_appears_in_a_text_as_a_whole_word() {
        let text = r#"{"id":"gid://shopify/Product/10","handle":"red-mug","sku":"A.1_b~2","price":"7.50"}"#;
        for (id, expected) in [
            ("10", true),
            ("red-mug", true),
            ("A.1_b~2", true),
            ("1", false),
            ("mug", false),
            ("7", false),
            ("shop-10", false),
            ("price", true),
        ] {
            let document = DocumentId::new(id).unwrap();
            assert_eq!(appears_in(&document, text), expected, "{id}");
            assert_eq!(candidate_ids(text).any(|candidate| candidate == id), expected, "{id}");
        }
    }

    #[test]
    fn one_generated_id_is_enough_and_no_id_proves_nothing() {
        let id = |text: &str| DocumentId::new(text).unwrap();
        let mut provenance = IdProvenance::default();
        assert!(!provenance.ids_come_from_products());
        provenance.observe(&id("1"), "{\"id\":1}");
        assert!(provenance.ids_come_from_products());
        provenance.observe(&id("shop-2"), "{\"id\":2}");
        provenance.observe(&id("3"), "{\"id\":3}");
        assert!(!provenance.ids_come_from_products());
    }
}
