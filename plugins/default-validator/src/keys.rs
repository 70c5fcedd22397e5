//! The keys of one object, to find those that come twice. An object has few keys, unless it was made to slow the
//! validator down.

use std::borrow::Cow;
use std::collections::BTreeSet;

/// Up to this many keys, comparing with each is faster than a tree.
const FEW: usize = 32;

/// A set of strings.
#[derive(Default)]
pub(crate) struct Keys<'a> {
    few: Vec<Cow<'a, str>>,
    more: BTreeSet<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    /// Adds a key; returns whether it is new.
    #[expect(clippy::ptr_arg, reason = "a borrowed key stays borrowed")]
    pub(crate) fn insert(&mut self, key: &Cow<'a, str>) -> bool {
        if self.few.contains(key) {
            return false;
        }
        if self.few.len() < FEW {
            self.few.push(key.clone());
            return true;
        }
        self.more.insert(key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_new_once_however_many_there_are() {
        let mut keys = Keys::default();
        for number in 0..1000 {
            assert!(keys.insert(&Cow::Owned(number.to_string())));
        }
        for number in 0..1000 {
            assert!(!keys.insert(&Cow::Owned(number.to_string())));
        }
    }
}
