//! The schema lock: one writer at a time adds new fields to an index.
//!
//! A field that an index has not seen makes the server redeploy its schema, and two requests that do so at once fail with 409. So a
//! request whose documents have fields that this process has not written yet is sent alone, all others together.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard},
};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as SchemaLockGuard};

/// The fields of one index that this process has written, and the right to add others.
#[derive(Debug, Default)]
pub(super) struct SchemaLock {
    written: Mutex<BTreeSet<String>>,
    lock: AsyncMutex<()>,
}

impl SchemaLock {
    /// Waits until these fields may be written. The guard must live as long as the request; there is none if all are known.
    pub(super) async fn lock_for_new_fields<'a, I: Iterator<Item = &'a str>>(
        &self,
        names: impl Fn() -> I,
    ) -> Option<SchemaLockGuard<'_, ()>> {
        if self.knows(names()) {
            return None;
        }
        let guard = self.lock.lock().await;
        // The holder before may have added the same fields.
        (!self.knows(names())).then_some(guard)
    }

    /// The fields that were written so far.
    pub(super) fn known(&self) -> BTreeSet<String> {
        self.names().clone()
    }

    /// Records fields that were written: from now on they need no lock.
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
    fn one_writer_adds_new_fields_and_the_others_follow() {
        let schema = SchemaLock::default();
        let first = schema.lock_for_new_fields(|| ["a", "b"].into_iter()).now_or_never().unwrap();
        assert!(first.is_some());
        assert!(schema.lock_for_new_fields(|| ["b"].into_iter()).now_or_never().is_none(), "it must wait");
        schema.written(["a", "b"].into_iter());
        assert!(
            schema.lock_for_new_fields(|| ["b"].into_iter()).now_or_never().unwrap().is_none(),
            "it need not wait"
        );
        assert!(schema.lock_for_new_fields(|| ["c"].into_iter()).now_or_never().is_none(), "it must wait");
        drop(first);
        assert!(schema.lock_for_new_fields(|| ["c"].into_iter()).now_or_never().unwrap().is_some());
    }
}
