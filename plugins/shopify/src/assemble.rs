//! From the records of a product to the product: which child belongs where, and in which order. Nothing here depends on
//! the order of lines.

use std::cmp::Ordering;

use crate::family::{Child, Family};
use crate::gid::{Gid, numeric_order};
use crate::kind::{Kind, Owner};
use crate::record::Record;

/// A product with the records that belong to it.
pub(crate) struct Product<'r, 'a> {
    pub(crate) root: &'r Record<'a>,
    pub(crate) id: &'r Gid<'r>,
    /// By position, then by id.
    pub(crate) variants: Vec<Variant<'r, 'a>>,
    /// Pictures, videos and models by position, then by place in their list, then by id.
    pub(crate) media: Vec<&'r Record<'a>>,
    /// By namespace, key and id; one for each key.
    pub(crate) metafields: Vec<&'r Record<'a>>,
    /// By id.
    pub(crate) collections: Vec<&'r Record<'a>>,
    /// By id.
    pub(crate) selling_plan_groups: Vec<&'r Record<'a>>,
    /// What metafields refer to, by id.
    pub(crate) references: Vec<&'r Record<'a>>,
}

/// A variant with the records that belong to it.
pub(crate) struct Variant<'r, 'a> {
    pub(crate) record: &'r Record<'a>,
    pub(crate) id: &'r Gid<'r>,
    pub(crate) media: Vec<&'r Record<'a>>,
    pub(crate) metafields: Vec<&'r Record<'a>>,
    /// Inventory levels: its stock at each location.
    levels: Vec<&'r Record<'a>>,
    /// Its prices in other currencies.
    pub(crate) prices: Vec<&'r Record<'a>>,
}

impl<'r, 'a> Variant<'r, 'a> {
    fn new(record: &'r Record<'a>) -> Self {
        let (media, metafields) = (Vec::new(), Vec::new());
        let (levels, prices) = (Vec::new(), Vec::new());
        Variant { record, id: gid_of(record), media, metafields, levels, prices }
    }

    /// The stock: the variant's own figure, else the sum of what its inventory levels say is available.
    pub(crate) fn stock(&self) -> Option<i64> {
        let levels = || self.levels.iter().filter_map(|level| stock_of(level)).reduce(i64::saturating_add);
        self.record.inventory_quantity.0.or_else(levels)
    }

    /// The id of the variant's document, and of its row in the relational catalog.
    pub(crate) fn document_id(&self) -> Option<&str> {
        document_id(self.record, self.id)
    }
}

impl Product<'_, '_> {
    /// The id by which the index knows the product.
    pub(crate) fn document_id(&self) -> Option<&str> {
        document_id(self.root, self.id)
    }
}

fn document_id<'i>(record: &'i Record<'_>, id: &'i Gid<'_>) -> Option<&'i str> {
    let is_number = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    let legacy = || record.legacy_id.get().map(|id| &*id.resource_id).filter(is_number);
    id.document_id().or_else(legacy)
}

/// The id of a record; empty if it has none.
pub(crate) fn gid_of<'r>(record: &'r Record<'_>) -> &'r Gid<'r> {
    // Webhooks carry the number as `id` and the gid beside it; only the gid says the type.
    record.graphql_id.get().or(record.id.get()).or(record.legacy_id.get()).unwrap_or(Gid::NONE)
}

/// The id of the record that a record belongs to.
pub(crate) fn parent_of<'r>(record: &'r Record<'_>) -> Option<&'r Gid<'r>> {
    let product = || record.product.as_deref().and_then(|product| product.id.get());
    let owner = || record.owner.as_deref().and_then(|owner| owner.id.get());
    record.parent_id.get().or_else(product).or_else(owner).or_else(|| record.product_id.get())
}

/// Puts a product together.
pub(crate) fn assemble<'r, 'a>(family: &'r Family<'a>) -> Product<'r, 'a> {
    let root = family.root();
    let mut variants: Vec<(Child<'r, 'a>, Variant<'r, 'a>)> = Vec::new();
    let (mut media, mut metafields, mut collections) = (Vec::new(), Vec::new(), Vec::new());
    let (mut selling_plan_groups, mut references) = (Vec::new(), Vec::new());
    let mut of_variants = Vec::new();
    for child in family.children() {
        match (child.owner, child.kind) {
            (Owner::Product, Kind::Variant) => variants.push((child, Variant::new(child.record))),
            (Owner::Product, Kind::Media) => media.push(child),
            (Owner::Product, Kind::Metafield) => metafields.push(child),
            (Owner::Product, Kind::Collection) => collections.push(child),
            (Owner::Product, Kind::SellingPlanGroup) => selling_plan_groups.push(child),
            (Owner::Metafield, _) => references.push(child),
            (Owner::Variant, _) => of_variants.push(child),
            _ => {}
        }
    }
    variants.sort_by(|(one, _), (other, _)| {
        let position = |child: &Child<'_, '_>| child.record.position.0.unwrap_or(i64::MAX);
        position(one).cmp(&position(other)).then_with(|| by_id(one, other))
    });
    let mut variants: Vec<Variant<'r, 'a>> = variants.into_iter().map(|(_, variant)| variant).collect();
    attach(&mut variants, of_variants);
    for children in [&mut collections, &mut selling_plan_groups, &mut references] {
        children.sort_by(by_id);
    }
    let records = |children: Vec<Child<'r, 'a>>| children.into_iter().map(|child| child.record).collect();
    Product {
        root,
        id: gid_of(root),
        variants,
        media: in_order(media),
        metafields: one_per_key(metafields),
        collections: records(collections),
        selling_plan_groups: records(selling_plan_groups),
        references: records(references),
    }
}

/// Gives each variant its children. Those of variants that the export does not have are omitted.
fn attach<'r, 'a>(variants: &mut [Variant<'r, 'a>], children: Vec<Child<'r, 'a>>) {
    let mut owners: Vec<(&'r str, usize)> =
        variants.iter().map(|variant| &*variant.id.resource_id).zip(0..).collect();
    owners.sort_unstable();
    let mut own: Vec<(Vec<Child<'r, 'a>>, Vec<Child<'r, 'a>>)> = variants
        .iter()
        .map(|variant| {
            (
                nested(Kind::Media, &variant.record.media.0),
                nested(
                    Kind::Metafield,
                    variant.record.metafields.0.iter().chain(&variant.record.aliased.metafields),
                ),
            )
        })
        .collect();
    let mut own_prices: Vec<Vec<Child<'r, 'a>>> = vec![Vec::new(); variants.len()];
    for child in children {
        let Some(parent) = parent_of(child.record) else { continue };
        let Ok(found) = owners.binary_search_by(|(number, _)| (*number).cmp(&*parent.resource_id)) else {
            continue;
        };
        let at = owners[found].1;
        match child.kind {
            Kind::Media => own[at].0.push(child),
            Kind::Metafield => own[at].1.push(child),
            Kind::InventoryLevel => variants[at].levels.push(child.record),
            Kind::Price => own_prices[at].push(child),
            _ => {}
        }
    }
    for ((variant, (media, metafields)), mut prices) in variants.iter_mut().zip(own).zip(own_prices) {
        prices.sort_by(by_id);
        variant.prices = prices.into_iter().map(|child| child.record).collect();
        variant.media = in_order(media);
        variant.metafields = one_per_key(metafields);
    }
}

/// The children of a variant in a list of its own record.
fn nested<'r, 'a: 'r>(kind: Kind, records: impl IntoIterator<Item = &'r Record<'a>>) -> Vec<Child<'r, 'a>> {
    let child = |(place, record)| Child { kind, owner: Owner::Variant, place, record, line: "" };
    records.into_iter().enumerate().map(child).collect()
}

/// Media by what the export says of their order: by position, else by their place in a list, else by id. Ids grow as
/// pictures are added.
fn in_order<'r, 'a>(mut media: Vec<Child<'r, 'a>>) -> Vec<&'r Record<'a>> {
    media.sort_by(|one, other| {
        let position = |child: &Child<'r, 'a>| (child.record.position.0.unwrap_or(i64::MAX), child.place);
        position(one).cmp(&position(other)).then_with(|| by_id(one, other))
    });
    media.into_iter().map(|child| child.record).collect()
}

/// By id, else by place in a list, else by text.
fn by_id(one: &Child<'_, '_>, other: &Child<'_, '_>) -> Ordering {
    let by_place = || (one.place, one.line).cmp(&(other.place, other.line));
    compare_ids(gid_of(one.record), gid_of(other.record)).then_with(by_place)
}

fn compare_ids(one: &Gid<'_>, other: &Gid<'_>) -> Ordering {
    let order = |id| numeric_order(id);
    order(&one.resource_id).cmp(&order(&other.resource_id)).then_with(|| one.kind.cmp(&other.kind))
}

fn stock_of(level: &Record<'_>) -> Option<i64> {
    let named = level.quantities.0.iter().find(|quantity| quantity.name.get() == Some("available"));
    named.and_then(|quantity| quantity.quantity.0).or_else(|| level.available.get()?.parse().ok())
}

/// Sorts metafields and leaves one a namespace and key: the newest, else the one with the highest id.
fn one_per_key<'r, 'a>(mut metafields: Vec<Child<'r, 'a>>) -> Vec<&'r Record<'a>> {
    fn key<'r>(record: &'r Record<'_>) -> Option<(&'r str, &'r str)> {
        Some((record.namespace.get()?, record.key.get()?))
    }
    metafields.retain(|child| key(child.record).is_some());
    metafields.sort_by(|one, other| {
        let rank = |child: &Child<'r, 'a>| {
            let has_value = child.record.has(Record::value | Record::json_value);
            (has_value, child.record.age())
        };
        let by_rank = || rank(one).cmp(&rank(other)).then_with(|| by_id(one, other));
        key(one.record).cmp(&key(other.record)).then_with(by_rank)
    });
    let mut kept: Vec<&Record<'_>> = Vec::with_capacity(metafields.len());
    for child in metafields {
        if kept.last().is_some_and(|last| key(last) == key(child.record)) {
            kept.pop();
        }
        kept.push(child.record);
    }
    kept
}
