//! Cuts a write into transactions (seed, "Complexity-Based Batching").

use super::Write;
use std::ops::Range;

/// Consecutive ranges that cover the documents. The complexity of each is at most `bound`, unless it is one document
/// that exceeds the bound by itself.
pub(super) fn by_complexity(documents: &[Write], bound: usize) -> impl Iterator<Item = Range<usize>> {
    let mut end = 0;
    std::iter::from_fn(move || {
        let start = end;
        let mut complexity = 0;
        for document in &documents[start..] {
            complexity += document.document.complexity();
            if complexity > bound && end > start {
                break;
            }
            end += 1;
        }
        (start < end).then_some(start..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Document, DocumentId};
    use proptest::prelude::*;
    use serde_json::{Map, json};

    fn documents(variants: &[usize]) -> Vec<Write> {
        let document = |(at, variants): (usize, &usize)| {
            let mut fields = Map::new();
            fields.insert("variants".to_owned(), vec![json!({}); *variants].into());
            let document = Document { id: DocumentId::new(at.to_string()).unwrap(), fields };
            Write { document, version: Map::new(), content_hash: String::new() }
        };
        variants.iter().enumerate().map(document).collect()
    }

    #[test]
    fn a_batch_is_full_at_the_bound_and_a_giant_stands_alone() {
        let documents = documents(&[49, 49, 0, 200, 3, 96]);
        let batches: Vec<_> = by_complexity(&documents, 100).collect();
        assert_eq!(batches, [0..2, 2..3, 3..4, 4..5, 5..6]);
    }

    proptest! {
        #[test]
        fn the_bound_holds_and_batches_are_as_large_as_it_allows(
            variants in prop::collection::vec(0usize..130, 0..60),
            bound in 1usize..150,
        ) {
            let documents = documents(&variants);
            let batches: Vec<_> = by_complexity(&documents, bound).collect();
            let covered: Vec<usize> = batches.iter().cloned().flatten().collect();
            prop_assert_eq!(covered, (0..variants.len()).collect::<Vec<_>>());
            let complexity = |range: &Range<usize>| variants[range.clone()].iter().map(|n| n + 1).sum::<usize>();
            for (batch, next) in batches.iter().zip(batches.iter().skip(1).map(Some).chain([None])) {
                prop_assert!(complexity(batch) <= bound || batch.len() == 1);
                if let Some(next) = next {
                    prop_assert!(complexity(batch) + variants[next.start] + 1 > bound);
                }
            }
        }
    }
}
