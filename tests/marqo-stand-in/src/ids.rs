//! What becomes of document ids: Marqo inserts them unescaped into the paths of its requests to Vespa, the search
//! engine that keeps the documents.

use crate::http::decoded;
use crate::rules::{ID_AFTER_COLONS, ID_CUT, ID_DECODED, Rule};

/// The id under which Vespa keeps the document.
pub(crate) fn kept(id: &str) -> String {
    let path = id.split(['#', '?']).next().unwrap_or_default();
    decoded(path)
}

/// The id that Marqo finds in Vespa's answer: what follows the last `::`.
pub(crate) fn reported(id: &str) -> String {
    let kept = kept(id);
    kept.rsplit("::").next().unwrap_or_default().to_owned()
}

/// The rules of the table of Marqo's behaviour by which an id is changed.
pub(crate) fn rules_met(id: &str) -> impl Iterator<Item = &'static Rule> + use<> {
    let is_cut = id.contains(['#', '?']);
    let kept = kept(id);
    let is_decoded = !is_cut && kept != id;
    let is_after_colons = kept.contains("::");
    [(is_cut, &ID_CUT), (is_decoded, &ID_DECODED), (is_after_colons, &ID_AFTER_COLONS)]
        .into_iter()
        .filter_map(|(applies, rule)| applies.then_some(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_with_characters_that_urls_reserve_are_changed() {
        assert_eq!((kept("h#1"), kept("h?x")), ("h".to_owned(), "h".to_owned()));
        assert_eq!(kept("a%20b"), "a b");
        assert_eq!((kept("a::b"), reported("a::b")), ("a::b".to_owned(), "b".to_owned()));
        assert_eq!(reported("plain-1_~."), "plain-1_~.");
        assert_eq!(rules_met("plain").count(), 0);
    }
}
