//! Cuts the documents of a chunk into batches by complexity (the seed's load layer).

/// Bounds of one batch written to the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchBounds {
    /// Most complexity (1 + variants a document); a document above it is a batch of its own. Seed: 100.
    pub complexity: usize,
    /// Most documents. Marqo takes 128 a call.
    pub documents: usize,
}

/// Cuts `items` into batches, in their order.
pub(super) fn batches<T>(
    items: Vec<T>,
    bounds: BatchBounds,
    complexity: impl Fn(&T) -> usize,
) -> Vec<Vec<T>> {
    let mut batches = Vec::new();
    let (mut batch, mut sum) = (Vec::new(), 0);
    for item in items {
        let cost = complexity(&item);
        if !batch.is_empty() && (sum + cost > bounds.complexity || batch.len() >= bounds.documents) {
            batches.push(std::mem::take(&mut batch));
            sum = 0;
        }
        sum += cost;
        batch.push(item);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn batches_keep_order_and_bounds(costs in prop::collection::vec(1usize..150, 0..200), complexity in 1usize..120, documents in 1usize..20) {
            let bounds = BatchBounds { complexity, documents };
            let cut = batches(costs.clone(), bounds, |cost| *cost);
            prop_assert_eq!(cut.concat(), costs);
            for pair in cut.windows(2) {
                let full = pair[0].iter().sum::<usize>() + pair[1][0] > complexity || pair[0].len() == documents;
                prop_assert!(full, "closed too early");
            }
            for batch in cut {
                prop_assert!(batch.len() <= documents);
                prop_assert!(batch.len() == 1 || batch.iter().sum::<usize>() <= complexity);
            }
        }
    }
}
