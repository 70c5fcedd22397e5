//! Which documents may be of a product that was refused before it became any: those whose ids stand in its text. Plug-ins take
//! ids from products, as a rule; whether this one does is seen from the products that it did not refuse.

use host_core::model::DocumentId;

/// All in a text that could be the id of a document.
pub fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !DocumentId::takes(c)).filter(|name| !name.is_empty())
}

fn stands_in(id: &DocumentId, text: &str) -> bool {
    let id = id.as_str();
    text.match_indices(id).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + id.len()..].chars().next());
        ![before, after].into_iter().flatten().any(DocumentId::takes)
    })
}

/// What has been seen of a plug-in's documents.
#[derive(Debug, Default)]
pub(super) struct Naming {
    any: bool,
    foreign: bool,
}

impl Naming {
    /// Looks at an id that the plug-in made of a product.
    pub(super) fn look(&mut self, id: &DocumentId, text: &str) {
        self.any = true;
        self.foreign = self.foreign || !stands_in(id, text);
    }

    /// Whether all ids stood in the texts of their products, and there were some.
    pub(super) fn holds(&self) -> bool {
        self.any && !self.foreign
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stands_in_a_text_as_a_whole_name() {
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
            assert_eq!(stands_in(&document, text), expected, "{id}");
            assert_eq!(names(text).any(|name| name == id), expected, "{id}");
        }
    }

    #[test]
    fn one_foreign_id_is_enough_and_no_id_proves_nothing() {
        let id = |text: &str| DocumentId::new(text).unwrap();
        let mut naming = Naming::default();
        assert!(!naming.holds());
        naming.look(&id("1"), "{\"id\":1}");
        assert!(naming.holds());
        naming.look(&id("shop-2"), "{\"id\":2}");
        naming.look(&id("3"), "{\"id\":3}");
        assert!(!naming.holds());
    }
}
