//! Matches references to ids with the lines that define them: a line defines its own id and refers to its parent's. A
//! *root* is a line without a parent; its *ordinal* is its number among the roots, from 0.

use super::links::Link;
use crate::{
    ExportError,
    group::id_hash,
    sort::{Frame, Sorted, Sorter},
};

/// What an id means to the line that contains it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// The line names it as its parent.
    Reference,
    /// It is the own id of a line with a parent.
    Child,
    /// It is the own id of the root with this ordinal.
    Root { ordinal: u64 },
    /// It is all that the root with this ordinal holds.
    BareRoot { ordinal: u64 },
}

/// Codes of the roles, and their number.
const REFERENCE: u64 = 0;
const CHILD: u64 = 1;
const ROOT: u64 = 2;
const BARE_ROOT: u64 = 3;
const ROLES: u64 = 4;

/// Adds an occurrence of an id to a sorter, to be sorted by the hash of the id. In the frame, `a` is the line and the
/// role, `b` the ordinal of a root.
pub(super) fn push_occurrence(
    occurrences: &mut Sorter,
    id: &str,
    line: u64,
    role: Role,
) -> Result<(), ExportError> {
    // 48 bits of the hash, because they take fewer bytes than 64; the body distinguishes ids that share a key.
    let key = id_hash(id) >> 16;
    let (role, ordinal) = match role {
        Role::Reference => (REFERENCE, 0),
        Role::Child => (CHILD, 0),
        Role::Root { ordinal } => (ROOT, ordinal),
        Role::BareRoot { ordinal } => (BARE_ROOT, ordinal),
    };
    occurrences.push(Frame { key, a: line * ROLES + role, b: ordinal, body: id.as_bytes() })
}

/// Computes the first link of every line with an id or a parent and adds it to `links`. `occurrences` must be sorted
/// by the hash of the id, and those of an id by line.
pub(super) fn resolve(mut occurrences: Sorted, links: &mut Sorter) -> Result<(), ExportError> {
    let mut key = 0;
    // Almost always one resolver; more if different ids share a key.
    let mut resolvers: Vec<IdResolver> = Vec::new();
    while occurrences.advance()? {
        let occurrence = occurrences.frame();
        if occurrence.key != key {
            key = occurrence.key;
            for resolver in resolvers.drain(..) {
                resolver.finish(links)?;
            }
        }
        let at = resolvers.iter().position(|resolver| resolver.id == occurrence.body).unwrap_or_else(|| {
            resolvers.push(IdResolver::new(occurrence.body));
            resolvers.len() - 1
        });
        let line = occurrence.a / ROLES;
        match occurrence.a % ROLES {
            REFERENCE => resolvers[at].add_reference(line, links)?,
            CHILD => resolvers[at].add_definition(line, Link::SameProductAs(line), links)?,
            ROOT => resolvers[at].add_root(line, occurrence.b, links)?,
            _ => resolvers[at].bare_roots.push((line, occurrence.b)),
        }
    }
    resolvers.into_iter().try_for_each(|resolver| resolver.finish(links))
}

/// Resolves the references to one id, given its occurrences in order.
struct IdResolver {
    id: Vec<u8>,
    /// Ordinal of the first root with this id, if there was one yet: later roots with the id belong to the same
    /// product.
    product: Option<u64>,
    /// Link to the latest line that defines the id, if there was one yet.
    definition: Option<Link>,
    /// Lines that refer to the id before any definition.
    pending: Vec<u64>,
    /// Lines that hold nothing but the id, with their ordinals: copies of what another line defines, else a product.
    bare_roots: Vec<(u64, u64)>,
}

impl IdResolver {
    fn new(id: &[u8]) -> Self {
        Self {
            id: id.to_owned(),
            product: None,
            definition: None,
            pending: Vec::new(),
            bare_roots: Vec::new(),
        }
    }

    fn add_reference(&mut self, line: u64, links: &mut Sorter) -> Result<(), ExportError> {
        match self.definition {
            Some(link) => links.push(link.frame(line)),
            None => {
                self.pending.push(line);
                Ok(())
            }
        }
    }

    fn add_definition(&mut self, line: u64, link: Link, links: &mut Sorter) -> Result<(), ExportError> {
        self.definition = Some(link);
        // A line that names itself as its parent stays pending until another line defines the id.
        let (own, others): (Vec<u64>, Vec<u64>) =
            self.pending.drain(..).partition(|pending| *pending == line);
        self.pending = own;
        others.into_iter().try_for_each(|pending| links.push(link.frame(pending)))
    }

    fn add_root(&mut self, line: u64, ordinal: u64, links: &mut Sorter) -> Result<(), ExportError> {
        // A product has the ordinal of its first line.
        let first = self.bare_roots.first().map_or(ordinal, |(_, first)| *first);
        let product = *self.product.get_or_insert(first);
        links.push(Link::Root(product).frame(line))?;
        self.add_definition(line, Link::Child(product), links)
    }

    fn finish(mut self, links: &mut Sorter) -> Result<(), ExportError> {
        let bare_roots = std::mem::take(&mut self.bare_roots);
        for (line, ordinal) in bare_roots {
            match (self.product, self.definition) {
                (Some(product), _) => links.push(Link::Root(product).frame(line))?,
                (None, Some(of_child)) => links.push(of_child.frame(line))?,
                (None, None) => self.add_root(line, ordinal, links)?,
            }
        }
        self.pending.into_iter().try_for_each(|line| links.push(Link::Orphan.frame(line)))
    }
}
