//! The fields that the setting `add` switches on, in one table, from which `docs/reference/shopify.md` is made.

use crate::fields::{Field, FieldLevel, field};

/// Every field that `add` can name. They are off at first, because an index has room for a hundred fields of text, and
/// because documents that are indexed already should change only when somebody asks for it.
pub const OPTIONAL_FIELDS: &[Field] = &[
    field(
        "created_timestamp",
        "integer",
        FieldLevel::Both,
        "`created_at` in seconds since 1970",
        "`createdAt`",
    ),
    field(
        "updated_timestamp",
        "integer",
        FieldLevel::Both,
        "`updated_at` in seconds since 1970",
        "`updatedAt`",
    ),
    field(
        "published_timestamp",
        "integer",
        FieldLevel::Both,
        "`published_at` in seconds since 1970, to sort by what is new",
        "`publishedAt`",
    ),
    field(
        "category_id",
        "string",
        FieldLevel::Both,
        "id in Shopify's taxonomy, such as `aa-1-10`",
        "`category.id`",
    ),
    field("category_leaf", "string", FieldLevel::Both, "last name of the category", "`category.fullName`"),
    category_level("category_lvl0", "first name of the category: `Apparel`"),
    category_level(
        "category_lvl1",
        "the names down to the second level, `Apparel > Clothing`; without the first ones if they exceed `filter-length`",
    ),
    category_level("category_lvl2", "likewise the third"),
    category_level("category_lvl3", "likewise the fourth"),
    category_level("category_lvl4", "likewise the fifth"),
    category_level("category_lvl5", "likewise the sixth"),
    category_level("category_lvl6", "likewise the seventh"),
    category_level("category_lvl7", "likewise the eighth"),
    field(
        "collection_ids",
        "list of strings",
        FieldLevel::Both,
        "numbers of the product's collections",
        "`collections.id`",
    ),
    field(
        "option_combinations",
        "list of strings",
        FieldLevel::Product,
        "the options of each variant together, `M / Red`: combinations that exist",
        "`variants.selectedOptions`",
    ),
    field(
        "variant_name",
        "string",
        FieldLevel::Variant,
        "title of the product and of the variant, `Shirt - Light blue`; of an only variant the product's",
        "`title`, `variants.title`",
    ),
    field(
        "min_available_price",
        "number",
        FieldLevel::Product,
        "lowest price of the variants that can be bought",
        "`variants.price`, `variants.availableForSale`",
    ),
    field(
        "discount",
        "number",
        FieldLevel::Both,
        "by how much `price` is below `compare_at_price`",
        "`variants.compareAtPrice`",
    ),
    field(
        "discount_percent",
        "integer",
        FieldLevel::Both,
        "the same in whole percent, rounded down",
        "`variants.compareAtPrice`",
    ),
    field(
        "min_compare_at_price",
        "number",
        FieldLevel::Product,
        "lowest of the earlier, higher prices of all variants",
        "`variants.compareAtPrice`, else `compareAtPriceRange`",
    ),
    field(
        "max_compare_at_price",
        "number",
        FieldLevel::Product,
        "highest of the earlier, higher prices of all variants",
        "`variants.compareAtPrice`, else `compareAtPriceRange`",
    ),
];

const fn category_level(name: &'static str, meaning: &'static str) -> Field {
    field(name, "string", FieldLevel::Both, meaning, "`category.fullName`")
}
