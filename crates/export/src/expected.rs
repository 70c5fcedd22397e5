//! Compares an export with what its platform says that it has.

use super::ExportError;

/// What the platform says that an export has; what is `None` is not compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Lines with content; `objectCount` of a bulk operation of Shopify.
    pub objects: Option<u64>,
    /// Records without a parent; `rootObjectCount` of a bulk operation of Shopify.
    pub root_objects: Option<u64>,
    /// Decompressed bytes of all sources; `fileSize` of a bulk operation of Shopify.
    pub bytes: Option<u64>,
}

/// What an export has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) objects: u64,
    pub(super) root_objects: u64,
    pub(super) bytes: u64,
}

impl Expected {
    /// Whether there is anything to compare.
    pub fn is_some(&self) -> bool {
        *self != Self::default()
    }

    /// Fails with the first number that differs.
    pub(super) fn check(&self, found: Found) -> Result<(), ExportError> {
        let compared = [
            ("objects", self.objects, found.objects),
            ("root objects", self.root_objects, found.root_objects),
            ("bytes", self.bytes, found.bytes),
        ];
        for (what, expected, found) in compared {
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                return Err(ExportError::NotAsExpected { what, expected, found });
            }
        }
        Ok(())
    }
}
