//! One object of an export, in whichever of Shopify's dialects it is written.
//!
//! GraphQL says `compareAtPrice`, REST and webhooks say `compare_at_price`; bulk files put children on lines of their own, other
//! answers nest them. One struct with every key of interest, read in one pass and borrowing from the line, serves all of
//! them; keys that nobody reads are skipped without being stored. Of a key that occurs twice the last one counts.

use std::borrow::Cow;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess};
use serde_json::value::RawValue;

use crate::scalar::{self, Asked, Flag, Id, Int, Lenient, List, Present, Tags, Text};

/// Declares a struct that is read from a JSON object key by key; anything but an object gives the default.
///
/// Serde's derive refuses a key that occurs twice and a value of another type, exports have both.
macro_rules! objects {
    ($($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty = $($key:literal)|+,)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub(crate) struct $name<'a> {
            $(pub(crate) $field: $type,)*
            lifetime: PhantomData<&'a ()>,
        }

        impl<'de: 'a, 'a> Lenient<'de> for $name<'a> {
            fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
                let mut object = $name::default();
                while let Some(Text(Some(key))) = map.next_key::<Text<'de>>()? {
                    match &*key {
                        $($($key)|+ => object.$field = map.next_value()?,)*
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(object)
            }
        }

        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                scalar::read(deserializer)
            }
        }
    )*};
}

objects! {
    /// A product, variant, picture, metafield, collection, inventory level, or something that this plug-in does not know.
    Record {
        type_name: Text<'a> = "__typename",
        id: Id<'a> = "id",
        graphql_id: Text<'a> = "admin_graphql_api_id",
        legacy_id: Text<'a> = "legacyResourceId",
        parent_id: Id<'a> = "__parentId",
        product: Option<Box<Reference<'a>>> = "product",
        owner: Option<Box<Reference<'a>>> = "owner",
        product_id: Id<'a> = "product_id",

        title: Text<'a> = "title",
        handle: Text<'a> = "handle",
        status: Text<'a> = "status",
        created_at: Text<'a> = "createdAt" | "created_at",
        updated_at: Text<'a> = "updatedAt" | "updated_at",

        // Products. The plain description is read only if the others are missing, hence raw.
        description_html: Text<'a> = "descriptionHtml",
        body_html: Text<'a> = "body_html" | "bodyHtml",
        description: Option<&'a RawValue> = "description",
        vendor: Text<'a> = "vendor",
        product_type: Text<'a> = "productType" | "product_type",
        tags: Tags<'a> = "tags",
        gift_card: Flag = "isGiftCard",
        published_at: Asked<'a> = "publishedAt" | "published_at",
        online_store_url: Asked<'a> = "onlineStoreUrl",
        total_inventory: Int = "totalInventory",
        tracks_inventory: Flag = "tracksInventory",
        options: List<OptionDefinition<'a>> = "options",
        price_range: Option<Box<PriceRange<'a>>> = "priceRangeV2" | "priceRange",
        category: Option<Box<Category<'a>>> = "category",
        seo: Option<Box<Seo<'a>>> = "seo",
        featured_media: Option<Box<Record<'a>>> = "featuredMedia",
        featured_image: Option<Box<Picture<'a>>> = "featuredImage" | "featured_image",
        variants: List<Record<'a>> = "variants",
        media: List<Record<'a>> = "media",
        images: List<Record<'a>> = "images",
        metafields: List<Record<'a>> = "metafields",
        collections: List<Record<'a>> = "collections",

        // Variants.
        sku: Text<'a> = "sku",
        barcode: Text<'a> = "barcode",
        price: Option<Box<Money<'a>>> = "price",
        compare_at_price: Option<Box<Money<'a>>> = "compareAtPrice" | "compare_at_price",
        position: Int = "position",
        available_for_sale: Flag = "availableForSale",
        inventory_quantity: Int = "inventoryQuantity" | "inventory_quantity",
        inventory_policy: Text<'a> = "inventoryPolicy" | "inventory_policy",
        inventory_management: Asked<'a> = "inventory_management",
        selected_options: List<SelectedOption<'a>> = "selectedOptions",
        option1: Text<'a> = "option1",
        option2: Text<'a> = "option2",
        option3: Text<'a> = "option3",
        image_id: Id<'a> = "image_id",

        // Pictures, videos and models.
        image: Option<Box<Picture<'a>>> = "image",
        preview: Option<Box<Preview<'a>>> = "preview",
        preview_image: Option<Box<Picture<'a>>> = "preview_image",
        media_type: Text<'a> = "mediaContentType" | "media_type",
        alt: Text<'a> = "alt",
        alt_text: Text<'a> = "altText",
        url: Text<'a> = "url",
        src: Text<'a> = "src",
        original_src: Text<'a> = "originalSrc",
        variant_ids: List<Id<'a>> = "variant_ids",

        // Metafields. Values can be megabytes and are read only if the configuration names them.
        namespace: Text<'a> = "namespace",
        key: Text<'a> = "key",
        kind: Text<'a> = "type",
        value: Option<&'a RawValue> = "value",
        json_value: Option<&'a RawValue> = "jsonValue",

        // Inventory levels; also a boolean of the variants in a shop's public product list.
        available: Text<'a> = "available",
        quantities: List<Quantity<'a>> = "quantities",
        location: Present = "location",
    }

    /// Something that is only named.
    Reference { id: Id<'a> = "id", }

    /// An option of a product and its values in their order.
    OptionDefinition { name: Text<'a> = "name", position: Int = "position", }

    /// What a variant is for one option.
    SelectedOption { name: Text<'a> = "name", value: Text<'a> = "value", }

    PriceRange { min: Money<'a> = "minVariantPrice", max: Money<'a> = "maxVariantPrice", }

    Category { full_name: Text<'a> = "fullName" | "full_name", name: Text<'a> = "name", }

    Seo { title: Text<'a> = "title", description: Text<'a> = "description", }

    /// An image by its address, which has had several names over the years.
    Picture {
        url: Text<'a> = "url",
        src: Text<'a> = "src",
        original_src: Text<'a> = "originalSrc",
        alt: Text<'a> = "alt",
        alt_text: Text<'a> = "altText",
    }

    Preview { image: Option<Box<Picture<'a>>> = "image", }

    Quantity { name: Text<'a> = "name", quantity: Int = "quantity", }
}

/// An amount: text or number, or an object with its currency.
#[derive(Debug, Default)]
pub(crate) struct Money<'a> {
    pub(crate) amount: Text<'a>,
    pub(crate) currency: Text<'a>,
}

impl<'de: 'a, 'a> Lenient<'de> for Money<'a> {
    fn from_text(amount: Cow<'de, str>) -> Self {
        Money { amount: Text(Some(amount)), currency: Text::default() }
    }

    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut money = Money::default();
        while let Some(Text(Some(key))) = map.next_key::<Text<'de>>()? {
            match &*key {
                "amount" => money.amount = map.next_value()?,
                "currencyCode" | "currency_code" => money.currency = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(money)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Money<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar::read(deserializer)
    }
}
