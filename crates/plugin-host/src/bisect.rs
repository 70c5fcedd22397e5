//! Finds the items (products or documents) of a batch that a plug-in fails on: a batch that fails is run again in
//! halves.

use std::ops::Range;

/// Why a run over some items returned nothing: a fault `F` of the plug-in, or an error `E` that ends the search.
#[derive(Debug)]
pub(super) enum Stop<F, E> {
    /// Some of the items may be at fault: try fewer.
    Fault(F),
    /// Nothing more is to be tried.
    Abort(E),
}

/// Runs a batch of `len` items. When a run fails, its halves are run on their own, down to single items; `failed_alone`
/// returns the outcome of an item that fails alone. Outcomes are in the order of the items; with an error come those of
/// the items before.
///
/// One failing item of n costs at most 2·log₂ n further runs, all n together 2·(n − 1).
pub(super) fn bisect<T, F, E>(
    len: usize,
    mut run: impl FnMut(Range<usize>) -> Result<Vec<T>, Stop<F, E>>,
    mut failed_alone: impl FnMut(usize, F) -> T,
) -> Result<Vec<T>, (E, Vec<T>)> {
    let mut outcomes = Vec::with_capacity(len);
    // The next range is on top, so the items are handled from left to right.
    let mut pending = Vec::new();
    if len > 0 {
        pending.push(0..len);
    }
    while let Some(range) = pending.pop() {
        match run(range.clone()) {
            Ok(mut good) => outcomes.append(&mut good),
            Err(Stop::Abort(error)) => return Err((error, outcomes)),
            Err(Stop::Fault(fault)) if range.len() == 1 => outcomes.push(failed_alone(range.start, fault)),
            Err(Stop::Fault(_)) => {
                let middle = range.start + range.len() / 2;
                pending.push(middle..range.end);
                pending.push(range.start..middle);
            }
        }
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Bisects with a plug-in that fails on every batch with a `bad` item in it. Returns each item with whether it
    /// succeeded, and the number of runs.
    fn find(len: usize, bad: &BTreeSet<usize>) -> (Vec<(usize, bool)>, usize) {
        let mut runs = 0;
        let run = |range: Range<usize>| {
            runs += 1;
            match range.clone().any(|item| bad.contains(&item)) {
                true => Err(Stop::<_, ()>::Fault("fault")),
                false => Ok(range.map(|item| (item, true)).collect()),
            }
        };
        let outcomes = bisect(len, run, |item, _| (item, false)).unwrap();
        (outcomes, runs)
    }

    #[test]
    fn nothing_is_run_for_an_empty_batch() {
        assert_eq!(find(0, &BTreeSet::new()), (vec![], 0));
    }

    #[test]
    fn one_failing_item_of_a_thousand_costs_at_most_21_runs() {
        let (outcomes, runs) = find(1000, &BTreeSet::from([617]));
        assert_eq!(outcomes.iter().filter(|(_, good)| !good).collect::<Vec<_>>(), [&(617, false)]);
        assert!(runs <= 21, "{runs}");
    }

    #[test]
    fn a_fault_that_goes_away_in_smaller_batches_refuses_no_item() {
        let run = |range: Range<usize>| {
            if range.len() > 3 { Err(Stop::<_, ()>::Fault(())) } else { Ok(range.collect()) }
        };
        assert_eq!(bisect(10, run, |_, ()| usize::MAX).unwrap(), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn an_abort_ends_the_search_and_returns_the_outcomes_before_it() {
        let run = |range: Range<usize>| match range {
            range if range.start >= 4 && range.len() < 5 => Err(Stop::Abort("enough")),
            range if range.contains(&3) => Err(Stop::Fault(())),
            range => Ok(range.collect()),
        };
        assert_eq!(bisect(10, run, |item, ()| 10 * item), Err(("enough", vec![0, 1, 2, 30])));
    }

    proptest! {
        #[test]
        fn exactly_the_failing_items_are_found_in_order(
            len in 0..300_usize,
            bad in prop::collection::btree_set(0..300_usize, 0..20),
        ) {
            let bad: BTreeSet<usize> = bad.into_iter().filter(|item| *item < len).collect();
            let (outcomes, runs) = find(len, &bad);
            let expected: Vec<_> = (0..len).map(|item| (item, !bad.contains(&item))).collect();
            prop_assert_eq!(outcomes, expected);
            let depth = len.max(1).next_power_of_two().ilog2() as usize;
            prop_assert!(runs <= 1 + bad.len() * 2 * depth, "{} runs", runs);
        }
    }
}
