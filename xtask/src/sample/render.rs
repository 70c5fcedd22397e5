//! Writes the lines of one product in the order of a bulk export: the product itself (the root), then its children:
//! variants, media, metafields and collections.
//!
//! A lean line has fewer fields, as if the bulk operation's query had selected no others.

use crate::sample::html;
use crate::sample::json::Json;
use crate::sample::metafields::{self, DEFINITIONS};
use crate::sample::product::{Product, Variant};
use crate::sample::rng::{Rng, from_bands};
use crate::sample::sentences::ALTS;
use crate::sample::shape::Traits;

const STORE: &str = "https://demo.myshopify.com/products/";
/// In a reserved domain, so that no real server is asked for these pictures.
const PICTURES: &str = "https://cdn.shop.example/s/files/1/0723/0744/1902/files/";
const CURRENCY: &str = "EUR";

/// Handle and title of each of the shop's collections.
static COLLECTIONS: &[(&str, &str)] = &[
    ("frontpage", "Home page"),
    ("new-in", "New in"),
    ("sale", "Sale – up to 50% off"),
    ("gifts", "Gifts & more"),
    ("bestsellers", "Bestsellers"),
    ("winter", "Winter ❄️"),
    ("under-30", "Under 30 €"),
];

/// Lines of JSON, one after the other, each with its line feed. The buffer is used again for each product.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
    /// A buffer for text before it is escaped, also used again.
    scratch: String,
}

impl Lines {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(crate) fn count(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }

    /// Appends a line without a parent.
    fn root(&mut self, write: impl FnOnce(&mut Json<'_>)) {
        let mut json = Json::new(&mut self.bytes);
        json.open();
        write(&mut json);
        json.close().end_line();
        self.ends.push(self.bytes.len());
    }

    /// Appends a line whose parent is the product.
    fn child(&mut self, product: &Product, write: impl FnOnce(&mut Json<'_>)) {
        self.root(|json| {
            write(json);
            json.key("__parentId").gid("Product", product.id);
        });
    }
}

/// Appends all lines of `product`.
pub(crate) fn render(lines: &mut Lines, rng: &mut Rng, product: &Product, traits: &Traits) {
    let length = from_bands(rng, traits.html) as usize;
    let mut description = std::mem::take(&mut lines.scratch);
    html::describe(&mut description, rng, product, length, traits.lean);
    let tags = tags(rng, product, traits);
    lines.root(|json| root(json, rng, product, &description, &tags, traits.lean));

    // Which article numbers (SKU and barcode) there are depends on the supplier, so it is the same for the whole
    // product.
    let articles = rng.below(100);
    for (position, variant) in product.variants.iter().enumerate() {
        lines.child(product, |json| {
            self::variant(json, rng, product, variant, position, articles, traits.lean);
        });
    }
    for position in 0..product.media {
        lines.child(product, |json| media(json, rng, product, position));
    }
    let mut value = description;
    let first = rng.below(DEFINITIONS.len() as u32) as usize;
    for position in 0..from_bands(rng, traits.metafields) {
        let definition = (first + position as usize) % DEFINITIONS.len();
        metafields::value(&mut value, rng, product, definition);
        lines.child(product, |json| metafield(json, product, position, definition, &value));
    }
    lines.scratch = value;
    let first = rng.below(COLLECTIONS.len() as u32) as usize;
    for position in 0..from_bands(rng, traits.collections) as usize {
        let number = (first + position) % COLLECTIONS.len();
        let (handle, title) = COLLECTIONS[number];
        lines.child(product, |json| {
            json.key("__typename")
                .text("Collection")
                .key("id")
                .gid("Collection", 310_000_000_000 + number as u64);
            json.key("handle").text(handle).key("title").text(title);
        });
    }
}

fn root(json: &mut Json<'_>, rng: &mut Rng, product: &Product, description: &str, tags: &[&str], lean: bool) {
    json.key("__typename").text("Product").key("id").gid("Product", product.id);
    if !lean {
        json.key("legacyResourceId").text(&product.id.to_string());
    }
    json.key("title").text(&product.title).key("handle").text(&product.handle);
    json.key("descriptionHtml").text(description);
    json.key("vendor").text(if rng.chance(80) { "" } else { product.brand });
    json.key("productType").text(if rng.chance(1_900) { "" } else { product.kind.product_type });
    json.key("tags").array(tags, |json, tag| {
        json.text(tag);
    });
    json.key("status").text(product.status);
    if !lean {
        json.key("isGiftCard").boolean(false);
        json.key("createdAt").time(product.created);
    }
    json.key("updatedAt").time(product.updated);
    match product.published {
        Some(moment) => {
            json.key("publishedAt").time(moment);
            json.key("onlineStoreUrl").pieces(&[STORE, &product.handle]);
        }
        None => {
            json.key("publishedAt").null().key("onlineStoreUrl").null();
        }
    }
    if lean {
        return;
    }
    json.key("totalInventory").number(product.variants.iter().filter_map(|variant| variant.stock).sum());
    json.key("tracksInventory").boolean(product.tracked);
    json.key("hasOnlyDefaultVariant").boolean(product.has_only_default_variant());
    let (category, category_name) = product.kind.category;
    json.key("category");
    if rng.chance(3_000) {
        json.null();
    } else {
        json.open().key("id").pieces(&["gid://shopify/TaxonomyCategory/", category]);
        json.key("fullName").pieces(&[product.department.category, " > ", category_name]).close();
    }
    json.key("seo").open().key("title");
    if rng.chance(8_000) {
        json.null().key("description").null();
    } else {
        json.pieces(&[&product.title, " | ", product.brand]).key("description").pieces(&[
            "Discover the ",
            product.material,
            " ",
            &product.noun,
            " for ",
            rng.pick(product.department.uses),
            ". Free shipping from 50 €.",
        ]);
    }
    json.close();
    options(json, product);
    let (lowest, highest) = product.price_range();
    json.key("priceRangeV2").open().key("minVariantPrice").open().key("amount").amount(lowest);
    json.key("currencyCode").text(CURRENCY).close();
    json.key("maxVariantPrice").open().key("amount").amount(highest);
    json.key("currencyCode").text(CURRENCY).close().close();
    json.key("featuredMedia");
    if product.media == 0 {
        json.null();
    } else {
        json.open().key("id").gid("MediaImage", product.media_id(0)).key("alt").text("");
        json.key("mediaContentType").text("IMAGE").key("preview").open().key("image").open();
        picture(json.key("url"), product, 0);
        json.close().close().close();
    }
}

fn options(json: &mut Json<'_>, product: &Product) {
    json.key("options");
    let default = ["Default Title"];
    let given = product.choices.iter().map(|choice| (choice.name, choice.values.as_slice()));
    let missing = product.choices.is_empty().then_some(("Title", default.as_slice()));
    json.array(given.chain(missing).enumerate(), |json, (index, (name, values))| {
        json.open().key("id").gid("ProductOption", 10_400_000_000_000 + product.index * 4 + index as u64);
        json.key("name").text(name).key("position").number(index as i64 + 1);
        json.key("values").array(values, |json, value| {
            json.text(value);
        });
        json.close();
    });
}

fn variant(
    json: &mut Json<'_>,
    rng: &mut Rng,
    product: &Product,
    variant: &Variant,
    position: usize,
    articles: u32,
    lean: bool,
) {
    let chosen = |option: usize| product.choices[option].values[variant.values[option]];
    json.key("__typename").text("ProductVariant").key("id").gid("ProductVariant", variant.id).key("title");
    match product.choices.len() {
        0 => json.text("Default Title"),
        1 => json.text(chosen(0)),
        2 => json.pieces(&[chosen(0), " / ", chosen(1)]),
        _ => json.pieces(&[chosen(0), " / ", chosen(1), " / ", chosen(2)]),
    };
    json.key("sku");
    let position_text = (position + 1).to_string();
    let number = (10_000 + product.index).to_string();
    let initials = product.brand.get(..2).unwrap_or("XX");
    match articles {
        0..=18 => json.null(),
        19..=23 => json.text(""),
        // The same number for all variants.
        24..=27 => json.pieces(&[initials, "-", &number]),
        _ => json.pieces(&[initials, "-", &number, "-", &position_text]),
    };
    if !lean {
        json.key("barcode");
        match articles {
            40..=69 => json.text(&barcode(product.index * 2_048 + position as u64)),
            70 => json.pieces(&["'0", &number]),
            _ => json.null(),
        };
    }
    json.key("price").price(variant.cents).key("compareAtPrice");
    match variant.compare_at_cents {
        Some(cents) => json.price(cents),
        None => json.null(),
    };
    let in_stock = variant.stock.is_some_and(|stock| stock > 0);
    if !lean {
        json.key("position").number(position as i64 + 1);
    }
    json.key("availableForSale").boolean(in_stock || product.sells_without_stock || !product.tracked);
    json.key("inventoryQuantity");
    match variant.stock {
        Some(stock) => json.number(stock),
        None => json.null(),
    };
    if !lean {
        json.key("inventoryPolicy").text(if product.sells_without_stock { "CONTINUE" } else { "DENY" });
        json.key("taxable").boolean(!rng.chance(300));
    }
    json.key("selectedOptions");
    if product.choices.is_empty() {
        json.array([()], |json, ()| {
            json.open().key("name").text("Title").key("value").text("Default Title").close();
        });
    } else {
        json.array(product.choices.iter().enumerate(), |json, (option, choice)| {
            json.open().key("name").text(choice.name).key("value").text(chosen(option)).close();
        });
    }
    if lean {
        return;
    }
    json.key("image");
    if product.media == 0 || rng.chance(3_500) {
        json.null();
    } else {
        // The same picture as in a media line, under another id, as in Shopify's exports.
        let shown = variant.values[0] as u32 % product.media;
        json.open().key("id").gid("ProductImage", product.media_id(shown) + 4_000_000_000_000);
        picture(json.key("url"), product, shown);
        json.close();
    }
    json.key("createdAt").time(product.created).key("updatedAt").time(variant.updated);
}

fn media(json: &mut Json<'_>, rng: &mut Rng, product: &Product, position: u32) {
    let id = product.media_id(position);
    // The first one is always a picture, because the product's own line says so.
    let ticket = if position == 0 { 999 } else { rng.below(1_000) };
    let (kind, content) = match ticket {
        0..=14 => ("Video", "VIDEO"),
        15..=24 => ("ExternalVideo", "EXTERNAL_VIDEO"),
        25..=29 => ("Model3d", "MODEL_3D"),
        _ => ("MediaImage", "IMAGE"),
    };
    json.key("__typename").text(kind).key("id").gid(kind, id).key("alt");
    match rng.below(10) {
        0..=2 => json.null(),
        3..=5 => json.text(""),
        _ => json.pieces(&[&product.title, ", ", rng.pick(ALTS)]),
    };
    json.key("mediaContentType").text(content);
    let status = match ticket {
        30..=37 => "PROCESSING",
        38..=41 => "FAILED",
        _ => "READY",
    };
    json.key("status").text(status);
    if kind != "MediaImage" {
        return;
    }
    json.key("image");
    if status != "READY" {
        json.null();
        return;
    }
    picture(json.open().key("url"), product, position);
    let side = i64::from(rng.pick(&[800_u32, 1_024, 1_500, 2_048]));
    json.key("width")
        .number(side)
        .key("height")
        .number(side * i64::from(rng.pick(&[3_u32, 4, 5])) / 4)
        .close();
}

fn metafield(json: &mut Json<'_>, product: &Product, position: u32, definition: usize, value: &str) {
    let (namespace, key, kind) = DEFINITIONS[definition];
    json.key("__typename").text("Metafield").key("id").gid("Metafield", product.metafield_id(position));
    json.key("namespace").text(namespace).key("key").text(key).key("type").text(kind);
    json.key("value").text(value).key("updatedAt").time(product.updated);
}

/// Writes the address of a picture.
fn picture(json: &mut Json<'_>, product: &Product, position: u32) {
    let version = (product.updated - i64::from(position)).to_string();
    json.pieces(&[PICTURES, &product.handle, "_", &position.to_string(), ".jpg?v=", &version]);
}

/// Tags of the department and of the product, each once, sorted as Shopify sorts them: without regard to case.
fn tags(rng: &mut Rng, product: &Product, traits: &Traits) -> Vec<&'static str> {
    let wanted = from_bands(rng, traits.tags) as usize;
    let department = product.department;
    let lists = [
        department.tags,
        product.kind.materials,
        department.adjectives,
        department.uses,
        &[product.kind.noun],
    ];
    let available = lists.iter().map(|list| list.len()).sum::<usize>() as u32;
    let (mut missing, mut left) = (wanted.min(available as usize) as u32, available);
    let mut tags: Vec<&'static str> = Vec::with_capacity(wanted);
    for tag in lists.into_iter().flatten() {
        if rng.below(left) < missing {
            tags.push(tag);
            missing -= 1;
        }
        left -= 1;
    }
    tags.sort_by(|one, other| {
        let lower = |text: &'static str| text.bytes().map(|byte| byte.to_ascii_lowercase());
        lower(one).cmp(lower(other))
    });
    tags
}

/// An EAN-13 with its check digit.
fn barcode(number: u64) -> String {
    let digits = format!("40{:010}", number % 10_000_000_000);
    let sum: u32 = digits
        .bytes()
        .zip([1, 3].into_iter().cycle())
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}
