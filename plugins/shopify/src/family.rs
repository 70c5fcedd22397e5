//! The records of one product as a flat list, each thing once: nested records are taken out of their lists, and copies
//! are merged.

use std::mem::take;

use crate::assemble::{gid_of, parent_of};
use crate::gid::Gid;
use crate::kind::{self, Kind, Owner};
use crate::lines::Lines;
use crate::merge::{Copied, merge_copies};
use crate::record::Record;

/// A record's part in its product.
#[derive(Debug, Clone, Copy)]
struct Role {
    /// None if nothing is made of the record: it was merged into another one, or its kind is not understood.
    kind: Option<Kind>,
    owner: Owner,
    /// Its index in the list that it was nested in; after all of these, if it has a line of its own.
    place: usize,
}

/// A child of a product or of one of its variants.
#[derive(Clone, Copy)]
pub(crate) struct Child<'r, 'a> {
    pub(crate) kind: Kind,
    pub(crate) owner: Owner,
    pub(crate) place: usize,
    pub(crate) record: &'r Record<'a>,
    /// Its line; the last thing by which to order what nothing else does.
    pub(crate) line: &'a str,
}

/// A product's own record, and those of its children.
pub(crate) struct Family<'a> {
    /// The product's own record comes first.
    records: Vec<Record<'a>>,
    /// The line of each record; empty for those that were nested.
    lines: Vec<&'a str>,
    roles: Vec<Role>,
    /// The names of kinds that are not understood.
    pub(crate) unused_kinds: Vec<String>,
}

impl<'a> Family<'a> {
    /// Finds the product among the records; without one, they are given back.
    pub(crate) fn gather(lines: Lines<'a>) -> Result<Family<'a>, Vec<Record<'a>>> {
        let Lines { mut records, texts: lines, .. } = lines;
        let Some(root) = root_of(&records) else { return Err(records) };
        records.swap(0, root);
        let mut family = Family { records, lines, roles: Vec::new(), unused_kinds: Vec::new() };
        family.lines.swap(0, root);
        family.assign_roles();
        family.merge_roots();
        family.unnest();
        family.merge_children();
        family.unused_kinds.sort_unstable();
        Ok(family)
    }

    /// The product's own record.
    pub(crate) fn root(&self) -> &Record<'a> {
        // `gather` refuses to make a family without one.
        &self.records[0]
    }

    /// The children that are understood.
    pub(crate) fn children<'r>(&'r self) -> impl Iterator<Item = Child<'r, 'a>> {
        self.roles.iter().zip(&self.records).zip(&self.lines).filter_map(|((role, record), line)| {
            let kind = role.kind.filter(|kind| *kind != Kind::Product)?;
            Some(Child { kind, owner: role.owner, place: role.place, record, line })
        })
    }

    /// Says of each line what it is.
    fn assign_roles(&mut self) {
        let id = gid_of(&self.records[0]);
        for (record, line) in self.records.iter().zip(&self.lines) {
            let parent = parent_of(record);
            let owner = match parent {
                // An export of variants alone does not say whose they are; the host has found it out.
                None => Owner::Product,
                Some(parent) if parent.matches(id) => Owner::Product,
                Some(parent) if parent.kind.is_empty() || parent.kind == "ProductVariant" => Owner::Variant,
                Some(parent) if parent.kind == "Metafield" => Owner::Metafield,
                Some(_) => Owner::Other,
            };
            let kind = if parent.is_none() && Kind::of_root(record) == Kind::Product {
                (gid_of(record).matches(id) || gid_of(record) == Gid::NONE).then_some(Kind::Product)
            } else {
                let kind = Kind::of_child(record, owner);
                if kind == Kind::Other
                    && let Some(name) = kind::describe(record, line, parent)
                    && !self.unused_kinds.contains(&name)
                {
                    self.unused_kinds.push(name);
                }
                Some(kind).filter(|kind| *kind != Kind::Other)
            };
            self.roles.push(Role { kind, owner, place: usize::MAX });
        }
    }

    /// Merges the copies of the product's own record, among them what queries for variants select of their product.
    fn merge_roots(&mut self) {
        let is_root = |role: &Role| role.kind == Some(Kind::Product);
        let roots: Vec<usize> = (0..self.roles.len()).filter(|at| is_root(&self.roles[*at])).collect();
        let mut copies: Vec<Copied<'a>> = Vec::new();
        if self.records.iter().any(|record| record.product.is_some()) {
            let id = gid_of(&self.records[0]).clone().into_owned();
            let is_copy = |product: &mut Box<Record<'a>>| {
                gid_of(product).matches(&id) && product.has_more_than(Record::id | Record::type_name)
            };
            for (record, line) in self.records.iter_mut().zip(&self.lines) {
                copies.extend(record.product.take_if(is_copy).map(|product| (*product, *line)));
            }
        }
        if roots.len() == 1 && copies.is_empty() {
            return self.records[0].pass_on_age();
        }
        for at in roots {
            self.roles[at].kind = None;
            copies.push((take(&mut self.records[at]), self.lines[at]));
        }
        let status = newest_status(&copies);
        if let Some(mut root) = merge_copies(copies) {
            if let Some(status) = status {
                root.status = status;
            }
            self.records[0] = root;
            self.roles[0].kind = Some(Kind::Product);
        }
    }

    /// Takes the children of the product's own record out of their lists. Those of variants stay in theirs: of a metafield
    /// or picture that is there several times, one is taken all the same.
    fn unnest(&mut self) {
        let Some(root) = self.records.first_mut() else { return };
        let lists = [
            (Kind::Variant, take(&mut root.variants.0)),
            (Kind::Media, take(&mut root.media.0)),
            (Kind::Media, take(&mut root.images.0)),
            (Kind::Metafield, take(&mut root.metafields.0)),
            (Kind::Metafield, take(&mut root.aliased.metafields)),
            (Kind::Collection, take(&mut root.collections.0)),
        ];
        for (place, (kind, record)) in lists
            .into_iter()
            .flat_map(|(kind, list)| list.into_iter().map(move |record| (kind, record)))
            .enumerate()
        {
            self.roles.push(Role { kind: Some(kind), owner: Owner::Product, place });
            self.records.push(record);
            self.lines.push("");
        }
    }

    /// Merges the copies of children.
    fn merge_children(&mut self) {
        for copies in self.copies() {
            let place = copies.iter().map(|at| self.roles[*at].place).min();
            let records: Vec<Copied<'a>> =
                copies.iter().map(|at| (take(&mut self.records[*at]), self.lines[*at])).collect();
            let lines = records.iter().map(|(_, line)| *line).max();
            for at in &copies[1..] {
                self.roles[*at].kind = None;
            }
            let first = copies[0];
            self.roles[first].place = place.unwrap_or(usize::MAX);
            self.lines[first] = lines.unwrap_or_default();
            self.records[first] = merge_copies(records).unwrap_or_default();
        }
    }

    /// The indexes of the records that are copies of each other.
    fn copies(&self) -> Vec<Vec<usize>> {
        let children = || (1..self.roles.len()).filter_map(|at| Some((self.identity(at)?, at)));
        // Nearly always there are none, and numbers are compared faster than texts.
        let mut hashes: Vec<u64> = children().map(|((id, ..), _)| hash(id)).collect();
        hashes.sort_unstable();
        if hashes.windows(2).all(|pair| pair[0] != pair[1]) {
            return Vec::new();
        }
        let mut order: Vec<(Identity<'_>, usize)> = children().collect();
        order.sort_unstable();
        let copies = order.chunk_by(|(one, _), (other, _)| one == other).filter(|copies| copies.len() > 1);
        copies.map(|copies| copies.iter().map(|(_, at)| *at).collect()).collect()
    }

    /// What says that two records are the same thing; nothing for those without id, of which each counts: two inventory
    /// levels of five pieces are ten pieces. Only its location tells whether a level is another one.
    fn identity(&self, at: usize) -> Option<Identity<'_>> {
        let (role, record) = (self.roles.get(at)?, self.records.get(at)?);
        let kind = role.kind?;
        let mut id = gid_of(record);
        if kind == Kind::InventoryLevel && id.resource_id.is_empty() {
            id = record.location.as_ref()?.id.get()?;
        }
        if id.resource_id.is_empty() {
            return None;
        }
        let owner = match role.owner {
            Owner::Variant | Owner::Metafield => &*parent_of(record)?.resource_id,
            Owner::Product | Owner::Other => "",
        };
        // A variant is one in every spelling; a picture has two ids, as medium and as image.
        let type_name = if kind == Kind::Variant { "" } else { &*id.kind };
        Some((&id.resource_id, kind, &id.query, type_name, owner))
    }
}

/// Number, kind, query and type of a record, and the number of its variant.
type Identity<'r> = (&'r str, Kind, &'r str, &'r str, &'r str);

/// Equal for equal ids, and seldom for others.
fn hash(id: &str) -> u64 {
    id.bytes().fold(0, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The index of the first record of a product; all others have the same id, since the host groups by it.
fn root_of(records: &[Record<'_>]) -> Option<usize> {
    let is_root =
        |at: &usize| parent_of(&records[*at]).is_none() && Kind::of_root(&records[*at]) == Kind::Product;
    let roots = || (0..records.len()).filter(is_root);
    roots().find(|at| gid_of(&records[*at]) != Gid::NONE).or_else(|| roots().next())
}

/// The status of the newest copies that have one. Should they contradict each other, the product is hidden.
fn newest_status<'a>(copies: &[Copied<'a>]) -> Option<crate::scalar::Text<'a>> {
    let with_status = || copies.iter().filter(|(record, _)| record.status.get().is_some());
    let newest = with_status().map(|(record, _)| record.age()).max()?;
    let shows =
        |record: &Record<'_>| record.status.get().is_some_and(|status| status.eq_ignore_ascii_case("ACTIVE"));
    let of_newest = with_status().filter(|(record, _)| record.age() == newest);
    of_newest.min_by_key(|(record, line)| (shows(record), *line)).map(|(record, _)| record.status.clone())
}
