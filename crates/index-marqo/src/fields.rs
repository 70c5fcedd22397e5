//! New fields come from one writer at a time.
//!
//! A field that an index has not seen makes the server redeploy its schema; two requests that do so at once collide with
//! 409. So a request whose documents have fields that this process has not written yet goes alone, all others together.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard},
};
use tokio::sync::{Mutex as Turn, MutexGuard as Turns};

/// The fields of one index that this process has written.
#[derive(Debug, Default)]
pub(super) struct Fields {
    written: Mutex<BTreeSet<String>>,
    turn: Turn<()>,
}

impl Fields {
    /// Waits until these fields may be written. What is returned must live as long as the request.
    pub(super) async fn introduce<'a, I: Iterator<Item = &'a str>>(
        &self,
        names: impl Fn() -> I,
    ) -> Option<Turns<'_, ()>> {
        if self.knows(names()) {
            return None;
        }
        let turn = self.turn.lock().await;
        // The one before may have brought the same fields.
        (!self.knows(names())).then_some(turn)
    }

    /// Those that were written so far.
    pub(super) fn known(&self) -> BTreeSet<String> {
        self.names().clone()
    }

    /// They were written: from now on everybody may.
    pub(super) fn written<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut written = self.names();
        for name in names {
            if !written.contains(name) {
                written.insert(name.to_owned());
            }
        }
    }

    fn knows<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> bool {
        let written = self.names();
        names.all(|name| written.contains(name))
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.written.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn one_brings_new_fields_and_the_others_follow() {
        let fields = Fields::default();
        let first = fields.introduce(|| ["a", "b"].into_iter()).now_or_never().unwrap();
        assert!(first.is_some());
        assert!(fields.introduce(|| ["b"].into_iter()).now_or_never().is_none(), "it must wait");
        fields.written(["a", "b"].into_iter());
        assert!(fields.introduce(|| ["b"].into_iter()).now_or_never().unwrap().is_none(), "it need not wait");
        assert!(fields.introduce(|| ["c"].into_iter()).now_or_never().is_none(), "it must wait");
        drop(first);
        assert!(fields.introduce(|| ["c"].into_iter()).now_or_never().unwrap().is_some());
    }
}
