//! The fields of documents in one table, from which `docs/reference/shopify.md` is made.

use crate::config::Level;

/// A field of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name in the document.
    pub name: &'static str,
    /// Its type, in words.
    pub kind: &'static str,
    /// Which documents have it: those of products, of variants, or both.
    pub level: FieldLevel,
    /// What it says.
    pub meaning: &'static str,
    /// What it is made of, as [`BULK_QUERY`] calls it.
    pub made_of: &'static str,
}

/// Which documents have a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldLevel {
    /// Documents of products and of variants.
    Both,
    /// Documents of products.
    Product,
    /// Documents of variants.
    Variant,
}

impl std::fmt::Display for FieldLevel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            FieldLevel::Both => "both",
            FieldLevel::Product => "product",
            FieldLevel::Variant => "variant",
        })
    }
}

/// The bulk query whose result has every field; it also fits the limit of five connections.
pub const BULK_QUERY: &str = include_str!("bulk_query.graphql");

/// Every field that a document can have without configuration, and `metafields`, which `other-metafields: list` adds.
pub const FIELDS: &[Field] = &[
    field("title", "string", FieldLevel::Both, "the product's title, entities decoded", "`title`"),
    field("handle", "string", FieldLevel::Both, "last part of the page's address", "`handle`"),
    field(
        "description",
        "string",
        FieldLevel::Both,
        "text of the HTML description, words apart, without markup",
        "`descriptionHtml`",
    ),
    field("vendor", "string", FieldLevel::Both, "the brand", "`vendor`"),
    field("product_type", "string", FieldLevel::Both, "the shop's own kind of product", "`productType`"),
    field("category", "string", FieldLevel::Both, "full name in Shopify's taxonomy", "`category.fullName`"),
    field(
        "url",
        "string",
        FieldLevel::Both,
        "page of the product (`?variant=` for a variant); made of `shop-domain` and handle if the export has none",
        "`onlineStoreUrl`",
    ),
    field(
        "tags",
        "list of strings",
        FieldLevel::Both,
        "each tag once, upper and lower case being the same",
        "`tags`",
    ),
    field(
        "collections",
        "list of strings",
        FieldLevel::Both,
        "titles of the product's collections",
        "`collections.title`",
    ),
    field(
        "collection_handles",
        "list of strings",
        FieldLevel::Both,
        "handles of the collections",
        "`collections.handle`",
    ),
    field("seo_title", "string", FieldLevel::Both, "title for search engines", "`seo.title`"),
    field(
        "seo_description",
        "string",
        FieldLevel::Both,
        "description for search engines",
        "`seo.description`",
    ),
    field(
        "options",
        "list of strings",
        FieldLevel::Both,
        "`Size: M`, `Color: Red`; a variant has its own only",
        "`variants.selectedOptions`",
    ),
    field(
        "metafields",
        "list of strings",
        FieldLevel::Both,
        "`custom.care: cold`, only with `other-metafields: list`",
        "`metafields`",
    ),
    field(
        "price",
        "number",
        FieldLevel::Both,
        "the variant's price; of a product the lowest of all variants",
        "`variants.price`, else `priceRangeV2`",
    ),
    field(
        "min_price",
        "number",
        FieldLevel::Product,
        "lowest price",
        "`variants.price`, else `priceRangeV2`",
    ),
    field(
        "max_price",
        "number",
        FieldLevel::Product,
        "highest price",
        "`variants.price`, else `priceRangeV2`",
    ),
    field(
        "compare_at_price",
        "number",
        FieldLevel::Both,
        "the earlier, higher price of the variant that `price` is from",
        "`variants.compareAtPrice`",
    ),
    field(
        "on_sale",
        "boolean",
        FieldLevel::Both,
        "whether `price` is below an earlier price: `compare_at_price`",
        "`variants.compareAtPrice`",
    ),
    field(
        "currency",
        "string",
        FieldLevel::Both,
        "of the export, else of the setting `currency`",
        "`priceRangeV2.minVariantPrice.currencyCode`",
    ),
    field(
        "available",
        "boolean",
        FieldLevel::Both,
        "whether the variant (of a product: any variant) can be bought; follows from stock, its tracking and `inventoryPolicy` where the export does not say it",
        "`variants.availableForSale`",
    ),
    field(
        "inventory_quantity",
        "integer",
        FieldLevel::Both,
        "stock, below zero if oversold; omitted for a product that does not track it",
        "`totalInventory`, `tracksInventory`, `variants.inventoryQuantity`",
    ),
    field("gift_card", "boolean", FieldLevel::Both, "whether it is a gift card", "`isGiftCard`"),
    field(
        "image",
        "string",
        FieldLevel::Both,
        "address of the featured picture, of a variant its own",
        "`featuredMedia`, `variants.image`",
    ),
    field(
        "images",
        "list of strings",
        FieldLevel::Both,
        "addresses of all pictures, `image` first; those that Shopify still processes are omitted",
        "`featuredMedia`, `media`, `variants.image`",
    ),
    field(
        "image_alts",
        "list of strings",
        FieldLevel::Both,
        "what the pictures show",
        "`media.alt`, `variants.image.altText`",
    ),
    field("sku", "string", FieldLevel::Variant, "stock keeping unit", "`variants.sku`"),
    field("skus", "list of strings", FieldLevel::Product, "of all variants", "`variants.sku`"),
    field("barcode", "string", FieldLevel::Variant, "barcode, GTIN or ISBN", "`variants.barcode`"),
    field("barcodes", "list of strings", FieldLevel::Product, "of all variants", "`variants.barcode`"),
    field("variant_count", "integer", FieldLevel::Product, "number of variants", "`variants`"),
    field("variant_id", "string", FieldLevel::Variant, "number of the variant", "`variants.id`"),
    field("variant_title", "string", FieldLevel::Variant, "title of the variant", "`variants.title`"),
    field(
        "position",
        "integer",
        FieldLevel::Variant,
        "place among the variants, from 1",
        "`variants.position`",
    ),
    field("product_id", "string", FieldLevel::Both, "number of the product", "`id`"),
    field("created_at", "string", FieldLevel::Both, "when the product was created", "`createdAt`"),
    field(
        "updated_at",
        "string",
        FieldLevel::Both,
        "when the product was last changed: the version by which write protection compares",
        "`updatedAt`",
    ),
    field("published_at", "string", FieldLevel::Both, "when the product was published", "`publishedAt`"),
    field(
        "variants",
        "list of objects",
        FieldLevel::Both,
        "for a catalog: `id`, `title`, `sku`, `barcode`, `price`, `compare_at_price`, `available`, `inventory_quantity`, `position`, \
         `image`, `attributes` (option name to value)",
        "`variants`",
    ),
];

/// The field that only `other-metafields: list` adds.
pub(crate) const METAFIELDS: &str = "metafields";

impl Field {
    /// Whether the documents of a level can have it.
    pub(crate) fn is_at(&self, level: Level) -> bool {
        match self.level {
            FieldLevel::Both => true,
            FieldLevel::Product => level == Level::Product,
            FieldLevel::Variant => level == Level::Variant,
        }
    }
}

pub(crate) const fn field(
    name: &'static str,
    kind: &'static str,
    level: FieldLevel,
    meaning: &'static str,
    made_of: &'static str,
) -> Field {
    Field { name, kind, level, meaning, made_of }
}
