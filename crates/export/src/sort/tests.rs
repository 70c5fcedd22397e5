//! Tests of sorting with little memory and few files.

use super::*;
use proptest::prelude::*;

fn options(dir: &std::path::Path, memory: usize) -> SortOptions {
    let options = Options { sort_memory: memory, sort_files: 2, ..Options::new(dir) };
    SortOptions::new(&options)
}

proptest! {
    #[test]
    fn sorting_is_stable_by_key(
        keys in prop::collection::vec(prop_oneof![0..5_u64, any::<u64>()], 0..60),
        memory in 0..2_000_usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(&options(dir.path(), memory));
        let mut expected = Vec::new();
        for (order, key) in keys.iter().enumerate() {
            let body = vec![b'x'; order * 3];
            sorter.push(Frame { key: *key, a: order as u64, b: u64::MAX - order as u64, body: &body }).unwrap();
            expected.push((*key, order as u64, u64::MAX - order as u64, body));
        }
        expected.sort_by_key(|(key, ..)| *key);
        prop_assert_eq!(sorter.is_empty(), keys.is_empty());
        let mut sorted = sorter.sorted().unwrap();
        let mut seen = Vec::new();
        while sorted.advance().unwrap() {
            let Frame { key, a, b, body } = sorted.frame();
            seen.push((key, a, b, body.to_vec()));
        }
        prop_assert!(!sorted.advance().unwrap());
        prop_assert_eq!(seen, expected);
        // Temporary files have no names.
        prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn sorting_can_be_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    // With memory for less than one frame, the second push writes a file, before which cancellation is checked.
    let options = options(dir.path(), 10);
    options.cancel.cancel();
    let mut sorter = Sorter::new(&options);
    let mut push = || sorter.push(Frame { key: 1, a: 2, b: 3, body: b"body of some length" });
    push().unwrap();
    assert!(matches!(push(), Err(ExportError::Cancelled)));
}
