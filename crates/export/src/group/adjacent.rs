//! Checks whether the lines of an export are grouped: every line directly follows its own product, so that a reader
//! needs to keep one product only. A *root* is the line that starts a product; it names no parent.

use super::id_hash;
use crate::pointer::Ids;
use hashbrown::HashTable;

/// A larger table is dropped instead of reused for the next product, since clearing a table costs its capacity.
const MAX_REUSED_CAPACITY: usize = 4096;

/// What a line is within its product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineKind {
    /// It starts a product.
    Root,
    /// It belongs to the current product.
    Child,
}

/// Why an export is not grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAdjacent {
    /// The line's parent is not a line of the current product.
    ParentNotOpen,
    /// A product with the same id started before.
    DuplicateRoot,
}

/// Follows an export product by product. It keeps the ids of the current product, but only a hash of the root id of
/// each earlier one. A hash collision therefore looks like a duplicate root: it may cause an unneeded sort, but never
/// puts a line into the wrong product.
#[derive(Debug, Default)]
pub(super) struct AdjacencyChecker {
    /// The current product.
    open: OpenProduct,
    /// Hashes of the root ids so far; `None` if duplicates are not to be detected.
    root_hashes: Option<HashTable<u64>>,
}

impl AdjacencyChecker {
    pub(super) fn new(detect_duplicates: bool) -> Self {
        Self { open: OpenProduct::default(), root_hashes: detect_duplicates.then(HashTable::new) }
    }

    /// Classifies the next line.
    pub(super) fn check(&mut self, ids: &Ids<'_>) -> Result<LineKind, NotAdjacent> {
        let own = ids.id.as_deref();
        if let Some(parent) = ids.parent_id.as_deref() {
            if !self.open.contains(parent) {
                return Err(NotAdjacent::ParentNotOpen);
            }
            if let Some(own) = own {
                self.open.add(own);
            }
            return Ok(LineKind::Child);
        }
        if let (Some(own), Some(hashes)) = (own, &mut self.root_hashes) {
            let hash = id_hash(own);
            if hashes.find(hash, |known| *known == hash).is_some() {
                return Err(NotAdjacent::DuplicateRoot);
            }
            hashes.insert_unique(hash, hash, |known| *known);
        }
        self.open.start(own);
        Ok(LineKind::Root)
    }

    /// Id of the current product; `None` if there is no product yet, or if it has no id.
    pub(super) fn open_id(&self) -> Option<&str> {
        self.open.root.as_deref()
    }
}

/// The ids of the current product's lines.
#[derive(Debug, Default)]
struct OpenProduct {
    /// The id of its root, if it has one.
    root: Option<String>,
    /// The ids of its other lines, concatenated.
    text: String,
    /// Start and end of each id in the text.
    children: HashTable<(usize, usize)>,
}

impl OpenProduct {
    fn start(&mut self, root: Option<&str>) {
        self.root = root.map(str::to_owned);
        self.text.clear();
        if self.children.capacity() > MAX_REUSED_CAPACITY {
            self.children = HashTable::new();
        } else {
            self.children.clear();
        }
    }

    fn contains(&self, id: &str) -> bool {
        self.root.as_deref() == Some(id) || self.has_child(id_hash(id), id)
    }

    fn has_child(&self, hash: u64, id: &str) -> bool {
        self.children.find(hash, |(start, end)| &self.text[*start..*end] == id).is_some()
    }

    fn add(&mut self, id: &str) {
        let hash = id_hash(id);
        if self.has_child(hash, id) {
            return;
        }
        let start = self.text.len();
        self.text.push_str(id);
        let text = &self.text;
        self.children.insert_unique(hash, (start, text.len()), |(start, end)| id_hash(&text[*start..*end]));
    }
}
