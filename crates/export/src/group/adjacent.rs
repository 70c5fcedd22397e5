//! Whether every line follows its own product.

use super::id_hash;
use crate::pointer::Ids;
use hashbrown::HashTable;

/// A table this large is not kept for the next product, since clearing it takes as long as its capacity.
const LARGE_TABLE: usize = 4096;

/// What a line is to the product that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It begins the next one.
    Root,
    /// It belongs to the open one.
    Part,
}

/// Why a line cannot be put together with its product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misplaced {
    /// Its parent is not in the open product.
    Stray,
    /// Its product has begun before.
    RepeatedRoot,
}

/// Follows an export from product to product. Ids of the open product are kept as they are; of those before, only a
/// hash of the root's id, so that two that share one look like a repetition: that may cost time, never a child.
#[derive(Debug, Default)]
pub(super) struct Adjacency {
    open: OpenProduct,
    roots: Option<HashTable<u64>>,
}

impl Adjacency {
    pub(super) fn new(watch_roots: bool) -> Self {
        Self { open: OpenProduct::default(), roots: watch_roots.then(HashTable::new) }
    }

    /// Places the next line.
    pub(super) fn admit(&mut self, ids: &Ids<'_>) -> Result<Place, Misplaced> {
        let own = ids.own.as_deref();
        if let Some(parent) = ids.parent.as_deref() {
            if !self.open.has(parent) {
                return Err(Misplaced::Stray);
            }
            if let Some(own) = own {
                self.open.add(own);
            }
            return Ok(Place::Part);
        }
        if let (Some(own), Some(roots)) = (own, &mut self.roots) {
            let hash = id_hash(own);
            if roots.find(hash, |known| *known == hash).is_some() {
                return Err(Misplaced::RepeatedRoot);
            }
            roots.insert_unique(hash, hash, |known| *known);
        }
        self.open.begin(own);
        Ok(Place::Root)
    }

    /// Id of the open product, if there is one and it has one.
    pub(super) fn open_id(&self) -> Option<&str> {
        self.open.root.as_deref()
    }
}

/// The ids of one product's lines.
#[derive(Debug, Default)]
struct OpenProduct {
    root: Option<String>,
    /// The descendants' ids, one behind the other.
    text: String,
    /// Where in the text each id stands: start and end.
    parts: HashTable<(usize, usize)>,
}

impl OpenProduct {
    fn begin(&mut self, root: Option<&str>) {
        self.root = root.map(str::to_owned);
        self.text.clear();
        if self.parts.capacity() > LARGE_TABLE {
            self.parts = HashTable::new();
        } else {
            self.parts.clear();
        }
    }

    fn has(&self, id: &str) -> bool {
        self.root.as_deref() == Some(id) || self.find(id_hash(id), id)
    }

    fn find(&self, hash: u64, id: &str) -> bool {
        self.parts.find(hash, |(start, end)| &self.text[*start..*end] == id).is_some()
    }

    fn add(&mut self, id: &str) {
        let hash = id_hash(id);
        if self.find(hash, id) {
            return;
        }
        let start = self.text.len();
        self.text.push_str(id);
        let text = &self.text;
        self.parts.insert_unique(hash, (start, text.len()), |(start, end)| id_hash(&text[*start..*end]));
    }
}
