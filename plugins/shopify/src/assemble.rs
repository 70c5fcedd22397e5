//! From the records of an export (its JSON objects) to one product: which child belongs where, in which order, and
//! which of two copies counts.
//!
//! Nothing here depends on the order of lines, except that pictures stay in the order of the export and that the last
//! of two equally new copies counts.

use crate::gid::{Gid, numeric_order};
use crate::instant::instant;
use crate::record::Record;

/// A product with the records that belong to it.
pub(crate) struct Product<'r, 'a> {
    pub(crate) root: &'r Record<'a>,
    pub(crate) id: &'r Gid<'r>,
    /// By position, then by id.
    pub(crate) variants: Vec<Variant<'r, 'a>>,
    /// Pictures, videos and models in the order of the export.
    pub(crate) media: Vec<&'r Record<'a>>,
    /// By namespace, key and id; one for each key.
    pub(crate) metafields: Vec<&'r Record<'a>>,
    /// By id.
    pub(crate) collections: Vec<&'r Record<'a>>,
    pub(crate) selling_plan_groups: Vec<&'r Record<'a>>,
    /// What metafields refer to, in any order.
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

impl Variant<'_, '_> {
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

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Product,
    Variant,
    Media,
    Metafield,
    Collection,
    InventoryLevel,
    SellingPlanGroup,
    /// What a variant costs in another currency.
    Price,
    /// A type of a newer API version or of a query with more connections than this plug-in reads.
    Other,
}

impl Kind {
    /// By the type it names, else by the type of its id, else by its keys: children of some connections have neither.
    pub(crate) fn of(record: &Record<'_>) -> Kind {
        if let Some(name) = record.type_name.get() {
            return Kind::of_type(name);
        }
        let id = gid_of(record);
        if !id.kind.is_empty() {
            return Kind::of_type(&id.kind);
        }
        if record.namespace.get().is_some() && record.key.get().is_some() {
            Kind::Metafield
        } else if parent_of(record).is_some_and(|parent| parent.kind == "ProductVariant")
            && record.price.as_ref().is_some_and(|price| price.currency.get().is_some())
        {
            Kind::Price
        } else if parent_of(record).is_none() {
            Kind::Product
        } else if record.sku.0.is_some()
            || record.price.is_some()
            || !record.selected_options.0.is_empty()
            || record.option1.get().is_some()
        {
            Kind::Variant
        } else if !record.quantities.0.is_empty() || (record.location.0 && record.available.get().is_some()) {
            Kind::InventoryLevel
        } else if [&record.media_type, &record.url, &record.src, &record.original_src, &record.alt_text]
            .iter()
            .any(|field| field.get().is_some())
            || record.image.is_some()
            || record.preview.is_some()
        {
            Kind::Media
        } else {
            Kind::Other
        }
    }

    fn of_type(name: &str) -> Kind {
        match name.as_bytes() {
            b"Product" => Kind::Product,
            b"ProductVariant" => Kind::Variant,
            b"MediaImage" | b"ProductImage" | b"Image" | b"ImageSource" | b"Video" | b"ExternalVideo"
            | b"Model3d" => Kind::Media,
            b"Metafield" => Kind::Metafield,
            b"Collection" => Kind::Collection,
            b"InventoryLevel" => Kind::InventoryLevel,
            b"SellingPlanGroup" => Kind::SellingPlanGroup,
            b"ProductVariantPricePair" => Kind::Price,
            _ => Kind::Other,
        }
    }
}

/// The id of a record; empty if it has none.
pub(crate) fn gid_of<'r>(record: &'r Record<'_>) -> &'r Gid<'r> {
    // Webhooks carry the number as `id` and the gid beside it; only the gid says the type.
    record.graphql_id.get().or(record.id.get()).or(record.legacy_id.get()).unwrap_or(Gid::NONE)
}

pub(crate) fn parent_of<'r>(record: &'r Record<'_>) -> Option<&'r Gid<'r>> {
    let product = || record.product.as_deref().and_then(|product| product.id.get());
    let owner = || record.owner.as_deref().and_then(|owner| owner.id.get());
    record.parent_id.get().or_else(product).or_else(owner).or_else(|| record.product_id.get())
}

/// Chooses the record that speaks for the product: the newest copy, the last one of equally new copies. Copies are not
/// mixed, because what the newest copy leaves out may have been deleted.
pub(crate) fn root_of<'r, 'a>(records: &'r [Record<'a>]) -> Option<&'r Record<'a>> {
    let roots =
        records.iter().filter(|record| parent_of(record).is_none() && Kind::of(record) == Kind::Product);
    roots.max_by_key(|record| instant(record.updated_at.get()))
}

/// Puts a product together from its own record and all others.
pub(crate) fn assemble<'r, 'a>(root: &'r Record<'a>, records: &'r [Record<'a>]) -> Product<'r, 'a> {
    let id = gid_of(root);
    let mut product = Product {
        root,
        variants: Vec::new(),
        media: Vec::new(),
        metafields: root.metafields.0.iter().chain(&root.aliased.metafields).collect(),
        collections: root.collections.0.iter().collect(),
        selling_plan_groups: Vec::new(),
        references: Vec::new(),
        id,
    };
    let mut variants: Vec<&Record<'_>> = root.variants.0.iter().collect();
    let mut children = Vec::new();
    for record in records {
        if parent_of(record).is_some_and(|parent| parent.kind == "Metafield") {
            product.references.push(record);
            continue;
        }
        match Kind::of(record) {
            Kind::Variant => variants.push(record),
            Kind::Product | Kind::Other => {}
            kind => children.push((kind, record)),
        }
    }
    product.variants = dedupe_by_id(variants)
        .into_iter()
        .map(|record| Variant {
            record,
            id: gid_of(record),
            media: record.media.0.iter().collect(),
            metafields: record.metafields.0.iter().chain(&record.aliased.metafields).collect(),
            levels: Vec::new(),
            prices: Vec::new(),
        })
        .collect();
    product.media = root.media.0.iter().chain(&root.images.0).collect();
    attach(&mut product, children);

    product.variants.sort_by(|one, other| {
        let order = |variant: &Variant<'_, '_>| variant.record.position.0.unwrap_or(i64::MAX);
        let by_id = || numeric_order(&one.id.resource_id).cmp(&numeric_order(&other.id.resource_id));
        order(one).cmp(&order(other)).then_with(by_id)
    });
    for variant in &mut product.variants {
        variant.metafields = one_per_key(std::mem::take(&mut variant.metafields));
        variant.levels = dedupe_by_id(std::mem::take(&mut variant.levels));
    }
    product.metafields = one_per_key(product.metafields);
    product.collections = dedupe_by_id(product.collections);
    product.collections.sort_by(|one, other| {
        let (one, other) = (gid_of(one), gid_of(other));
        numeric_order(&one.resource_id).cmp(&numeric_order(&other.resource_id))
    });
    product
}

/// Adds each child to the product or to its variant. Children of anything else, such as a collection's image, are
/// omitted.
fn attach<'r, 'a>(product: &mut Product<'r, 'a>, children: Vec<(Kind, &'r Record<'a>)>) {
    let mut owners: Vec<(&'r str, usize)> = Vec::new();
    for (kind, record) in children {
        let parent = parent_of(record);
        if parent.as_ref().is_none_or(|parent| parent.matches(product.id)) {
            match kind {
                Kind::Media => product.media.push(record),
                Kind::Metafield => product.metafields.push(record),
                Kind::Collection => product.collections.push(record),
                Kind::SellingPlanGroup => product.selling_plan_groups.push(record),
                _ => {}
            }
            continue;
        }
        let Some(parent) = parent.filter(|parent| parent.kind.is_empty() || parent.kind == "ProductVariant")
        else {
            continue;
        };
        if owners.is_empty() {
            owners = product.variants.iter().map(|variant| &*variant.id.resource_id).zip(0..).collect();
            owners.sort_unstable();
        }
        let Ok(found) = owners.binary_search_by(|(number, _)| (*number).cmp(&*parent.resource_id)) else {
            continue;
        };
        let Some(variant) = product.variants.get_mut(owners[found].1) else { continue };
        match kind {
            Kind::Media => variant.media.push(record),
            Kind::Metafield => variant.metafields.push(record),
            Kind::InventoryLevel => variant.levels.push(record),
            Kind::Price => variant.prices.push(record),
            _ => {}
        }
    }
}

fn stock_of(level: &Record<'_>) -> Option<i64> {
    let named = level.quantities.0.iter().find(|quantity| quantity.name.get() == Some("available"));
    named.and_then(|quantity| quantity.quantity.0).or_else(|| level.available.get()?.parse().ok())
}

/// Up to this many records are compared with each other; more are sorted.
const FEW: usize = 12;

/// Leaves one record of those with the same id: the newest, else the last, in the place of the first. Records without
/// id stay, even if they are equal: two inventory levels of five pieces are ten pieces.
fn dedupe_by_id<'r, 'a>(records: impl IntoIterator<Item = &'r Record<'a>>) -> Vec<&'r Record<'a>> {
    let records: Vec<&Record<'_>> = records.into_iter().collect();
    let is_known = |(index, record): (usize, &&Record<'_>)| {
        let id = gid_of(record);
        !id.resource_id.is_empty()
            && records[..index].iter().any(|other| gid_of(other).resource_id == id.resource_id)
    };
    // This is so nearly always, and finding it out allocates no memory.
    if records.len() <= FEW && !records.iter().enumerate().any(is_known) {
        return records;
    }
    let ids: Vec<&Gid<'_>> = records.iter().map(|record| gid_of(record)).collect();
    let compared = |one: usize, other: usize| {
        let parts = |id: &'r Gid<'r>| (&*id.resource_id, &*id.kind, &*id.query);
        parts(ids[one]).cmp(&parts(ids[other]))
    };
    let are_same = |one: &usize, other: &usize| compared(*one, *other).is_eq();
    let mut order: Vec<usize> =
        (0..records.len()).filter(|index| !ids[*index].resource_id.is_empty()).collect();
    order.sort_by(|one, other| compared(*one, *other));
    if order.windows(2).all(|pair| !are_same(&pair[0], &pair[1])) {
        return records;
    }
    let mut kept: Vec<Option<&Record<'_>>> = records.iter().copied().map(Some).collect();
    for copies in order.chunk_by(are_same) {
        let newest = copies.iter().max_by_key(|index| instant(records[**index].updated_at.get()));
        let newest = newest.map(|index| records[*index]);
        for copy in copies {
            kept[*copy] = None;
        }
        kept[copies[0]] = newest;
    }
    kept.into_iter().flatten().collect()
}

/// Sorts metafields and leaves one a namespace and key: the newest, else the one with the highest id.
fn one_per_key<'r, 'a>(metafields: Vec<&'r Record<'a>>) -> Vec<&'r Record<'a>> {
    if metafields.is_empty() {
        return metafields;
    }
    let mut metafields = dedupe_by_id(metafields);
    metafields.sort_by(|&one, &other| {
        let key = |record: &'r Record<'a>| {
            (record.namespace.get().unwrap_or_default(), record.key.get().unwrap_or_default())
        };
        let age = |record: &Record<'a>| instant(record.updated_at.get());
        let (one_id, other_id) = (gid_of(one), gid_of(other));
        let by_id = || numeric_order(&one_id.resource_id).cmp(&numeric_order(&other_id.resource_id));
        key(one).cmp(&key(other)).then_with(|| age(one).cmp(&age(other))).then_with(by_id)
    });
    let mut kept: Vec<&Record<'_>> = Vec::with_capacity(metafields.len());
    for record in metafields {
        let (Some(namespace), Some(key)) = (record.namespace.get(), record.key.get()) else { continue };
        let is_same = |other: &&Record<'_>| {
            other.key.get().is_some_and(|other| other == key)
                && other.namespace.get().is_some_and(|other| other == namespace)
        };
        if kept.last().is_some_and(is_same) {
            kept.pop();
        }
        kept.push(record);
    }
    kept
}
