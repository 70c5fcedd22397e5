//! One object of an export, in whichever of Shopify's dialects it is written.
//!
//! GraphQL says `compareAtPrice`, REST and webhooks say `compare_at_price`; bulk files put children on separate lines,
//! other answers nest them. One struct with every key of interest, read in one pass and borrowing from the line, serves
//! all of them; other keys are skipped without being stored. Of a key that occurs twice the last one counts.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::mem::take;

use plain_json::{NeedsFallback, Raw};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::aliases::Aliases;
use crate::merge::{Age, Merge};
use crate::scalar::{self, Flag, Id, Int, Lenient, List, Nullable, Tags, Text};

/// Declares a struct that is read from a JSON object key by key; anything but an object becomes the default. The number
/// type holds a bit for each field.
///
/// Serde's derive refuses a key that occurs twice and a value of another type, exports have both.
macro_rules! objects {
    ($($(#[$meta:meta])* $name:ident $([$others:ident])?: $bits:ty { $($field:ident: $type:ty = $($key:literal)|+,)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub(crate) struct $name<'a> {
            $(pub(crate) $field: $type,)*
            /// The fields whose keys are there, with null or any other value; a further bit is for keys that are no field's.
            present: $bits,
            $(pub(crate) $others: Aliases<'a>,)?
            lifetime: PhantomData<&'a ()>,
        }

        const _: () = {
            #[derive(Clone, Copy)]
            #[allow(non_camel_case_types)]
            enum Name { $($field,)* other }

            /// The bit of each field.
            #[allow(non_upper_case_globals, dead_code)]
            impl $name<'_> {
                $(pub(crate) const $field: $bits = 1 << Name::$field as u32;)*
            }

            impl<'de: 'a, 'a> Object<'de> for $name<'a> {
                fn fill<A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
                    // As bytes, which are compared one by one; texts would be compared by a call each.
                    let name_of = |key: &[u8]| match key {
                        $($($key)|+ => Name::$field,)*
                        _ => Name::other,
                    };
                    while let Some((meant, key)) = map.next_key_seed(Key(name_of))? {
                        let _only_for_aliases = key;
                        match meant {
                            $(Name::$field => {
                                self.present |= Self::$field;
                                self.$field = map.next_value()?;
                            })*
                            // A query may have called it so.
                            $(Name::other => {
                                self.present |= 1 << Name::other as u32;
                                self.$others.add(key, map.next_value()?);
                            })?
                            #[allow(unreachable_patterns)]
                            Name::other => {
                                map.next_value::<IgnoredAny>()?;
                            }
                        }
                    }
                    Ok(())
                }
            }

            impl Merge for $name<'_> {
                fn merge(&mut self, other: Self, age: Age) {
                    $(if other.present & Self::$field != 0 {
                        if self.present & Self::$field == 0 {
                            self.$field = other.$field;
                        } else {
                            self.$field.merge(other.$field, age);
                        }
                    })*
                    $(self.$others.merge(other.$others, age);)?
                    self.present |= other.present;
                }
            }
        };

        impl<'de: 'a, 'a> Lenient<'de> for $name<'a> {
            fn from_map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
                let mut object = $name::default();
                object.fill(map)?;
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

/// What is read from the keys of a JSON object.
trait Object<'de> {
    fn fill<A: MapAccess<'de>>(&mut self, map: A) -> Result<(), A::Error>;
}

/// Reads a key and returns its constant and, if it is written without escapes, the key itself.
struct Key<F>(F);

impl<'de, N, F: Fn(&[u8]) -> N> DeserializeSeed<'de> for Key<F> {
    type Value = (N, Option<&'de str>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, N, F: Fn(&[u8]) -> N> Visitor<'de> for Key<F> {
    type Value = (N, Option<&'de str>);

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok((self.0(key.as_bytes()), Some(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok((self.0(key.as_bytes()), None))
    }
}

/// Fills an object in place: a record is so large that moving it costs more than reading many a line.
struct InPlace<'o, T>(&'o mut T);

impl<'de, T: Object<'de>> DeserializeSeed<'de> for InPlace<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Object<'de>> Visitor<'de> for InPlace<'_, T> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.fill(map)
    }
}

impl<'a> Record<'a> {
    /// Reads a line and appends it to the records; if it cannot be read, nothing is appended.
    pub(crate) fn read_onto(
        records: &mut Vec<Record<'a>>,
        line: &'a str,
        scratch: &mut Vec<u8>,
    ) -> serde_json::Result<()> {
        records.push(Record::default());
        let Some(record) = records.last_mut() else { return Ok(()) };
        if record.read_plain(line, scratch).is_ok() {
            return Ok(());
        }
        *record = Record::default();
        let mut json = serde_json::Deserializer::from_str(line);
        let read = InPlace(record).deserialize(&mut json).and_then(|()| json.end());
        if read.is_err() {
            records.pop();
        }
        read
    }

    /// Whether it has any of these fields, with null or any other value.
    pub(crate) fn has(&self, fields: u128) -> bool {
        self.present & fields != 0
    }

    /// Whether it has any field but these.
    pub(crate) fn has_more_than(&self, fields: u128) -> bool {
        self.present & !fields != 0
    }

    /// Makes these fields count as absent.
    pub(crate) fn forget(&mut self, fields: u128) {
        self.present &= !fields;
    }

    pub(crate) fn field_count(&self) -> u32 {
        self.present.count_ones()
    }

    fn read_plain(&mut self, line: &'a str, scratch: &mut Vec<u8>) -> Result<(), NeedsFallback> {
        let mut json = plain_json::Deserializer::new(line, take(scratch));
        let read = InPlace(self).deserialize(&mut json).and_then(|()| json.end());
        *scratch = json.into_scratch();
        read
    }
}

objects! {
    /// A product, variant, picture, metafield, collection, inventory level, or something that this plug-in does not
    /// know.
    Record [aliased]: u128 {
        type_name: Text<'a> = b"__typename",
        id: Id<'a> = b"id",
        graphql_id: Id<'a> = b"admin_graphql_api_id",
        legacy_id: Id<'a> = b"legacyResourceId",
        parent_id: Id<'a> = b"__parentId",
        // Of a variant that a query for variants returned: what it selects of the product.
        product: Option<Box<Record<'a>>> = b"product",
        owner: Option<Box<Reference<'a>>> = b"owner",
        product_id: Id<'a> = b"product_id",

        title: Text<'a> = b"title",
        handle: Text<'a> = b"handle",
        status: Text<'a> = b"status",
        created_at: Text<'a> = b"createdAt" | b"created_at",
        updated_at: Text<'a> = b"updatedAt" | b"updated_at",

        // Products. The plain description is read only if the others are missing, so it stays unread JSON until then.
        description_html: Text<'a> = b"descriptionHtml",
        body_html: Text<'a> = b"body_html" | b"bodyHtml",
        description: Option<Raw<'a>> = b"description",
        vendor: Text<'a> = b"vendor",
        product_type: Text<'a> = b"productType" | b"product_type",
        tags: Tags<'a> = b"tags",
        gift_card: Flag = b"isGiftCard",
        published_at: Nullable<'a> = b"publishedAt" | b"published_at",
        published_on_publication: Flag = b"publishedOnPublication",
        online_store_url: Nullable<'a> = b"onlineStoreUrl",
        total_inventory: Int = b"totalInventory",
        tracks_inventory: Flag = b"tracksInventory",
        options: List<OptionDefinition<'a>> = b"options",
        price_range: Option<Box<PriceRange<'a>>> = b"priceRangeV2" | b"priceRange",
        compare_at_range: Option<Box<CompareAtRange<'a>>> = b"compareAtPriceRange",
        category: Option<Box<Category<'a>>> = b"category",
        seo: Option<Box<Seo<'a>>> = b"seo",
        featured_media: Option<Box<Record<'a>>> = b"featuredMedia",
        featured_image: Option<Box<Picture<'a>>> = b"featuredImage" | b"featured_image",
        variants: List<Record<'a>> = b"variants",
        // How many variants there are, which may be more than the export has.
        variants_count: Option<Box<Count<'a>>> = b"variantsCount",
        total_variants: Int = b"totalVariants",
        variant_gids: List<Reference<'a>> = b"variant_gids",
        media: List<Record<'a>> = b"media",
        images: List<Record<'a>> = b"images",
        metafields: List<Record<'a>> = b"metafields",
        collections: List<Record<'a>> = b"collections",
        requires_selling_plan: Flag = b"requiresSellingPlan",
        selling_plan_groups: List<Record<'a>> = b"sellingPlanGroups",
        // Parts of a bundle; of a variant, too.
        components: List<Component<'a>> = b"bundleComponents" | b"productVariantComponents",

        // Variants.
        sku: Text<'a> = b"sku",
        barcode: Text<'a> = b"barcode",
        price: Option<Box<Money<'a>>> = b"price",
        compare_at_price: Option<Box<Money<'a>>> = b"compareAtPrice" | b"compare_at_price",
        position: Int = b"position",
        available_for_sale: Flag = b"availableForSale",
        inventory_quantity: Int = b"inventoryQuantity" | b"inventory_quantity",
        inventory_policy: Text<'a> = b"inventoryPolicy" | b"inventory_policy",
        inventory_management: Nullable<'a> = b"inventory_management",
        inventory_item: Option<Box<InventoryItem<'a>>> = b"inventoryItem",
        selected_options: List<SelectedOption<'a>> = b"selectedOptions",
        option1: Text<'a> = b"option1",
        option2: Text<'a> = b"option2",
        option3: Text<'a> = b"option3",
        image_id: Id<'a> = b"image_id",
        grams: Text<'a> = b"grams",
        unit_price: Option<Box<Money<'a>>> = b"unitPrice",
        unit_price_measurement: Option<Box<UnitPriceMeasurement<'a>>> = b"unitPriceMeasurement",
        requires_components: Flag = b"requiresComponents",
        presentment_prices: List<Record<'a>> = b"presentmentPrices" | b"presentment_prices",

        // Pictures, videos and models.
        image: Option<Box<Picture<'a>>> = b"image",
        preview: Option<Box<Preview<'a>>> = b"preview",
        preview_image: Option<Box<Picture<'a>>> = b"preview_image",
        media_type: Text<'a> = b"mediaContentType" | b"media_type",
        alt: Text<'a> = b"alt",
        alt_text: Text<'a> = b"altText",
        url: Text<'a> = b"url",
        src: Text<'a> = b"src",
        original_src: Text<'a> = b"originalSrc",
        variant_ids: List<Id<'a>> = b"variant_ids",

        // Metafields. Values can be megabytes and are read only if the configuration names them.
        namespace: Text<'a> = b"namespace",
        key: Text<'a> = b"key",
        kind: Text<'a> = b"type",
        value: Option<Raw<'a>> = b"value",
        json_value: Option<Raw<'a>> = b"jsonValue",

        // Inventory levels; also a boolean of the variants in a shop's public product list.
        available: Text<'a> = b"available",
        quantities: List<Quantity<'a>> = b"quantities",
        location: Option<Box<Reference<'a>>> = b"location",

        // What metafields refer to.
        reference: Option<Box<Record<'a>>> = b"reference",
        references: List<Record<'a>> = b"references",
        display_name: Text<'a> = b"displayName",
        name: Text<'a> = b"name",
        fields: List<MetaobjectField<'a>> = b"fields",
    }

    /// A metafield, or prices in a market, as a query selects it under any key.
    Aliased: u16 {
        price: Option<Box<Money<'a>>> = b"price",
        compare_at_price: Option<Box<Money<'a>>> = b"compareAtPrice",
        min_pricing: Option<Box<Pricing<'a>>> = b"minVariantPricing",
        id: Id<'a> = b"id",
        namespace: Text<'a> = b"namespace",
        key: Text<'a> = b"key",
        kind: Text<'a> = b"type",
        value: Option<Raw<'a>> = b"value",
        json_value: Option<Raw<'a>> = b"jsonValue",
        updated_at: Text<'a> = b"updatedAt",
        reference: Option<Box<Record<'a>>> = b"reference",
        references: List<Record<'a>> = b"references",
    }

    /// A price in some market.
    Pricing: u8 { price: Option<Box<Money<'a>>> = b"price", compare_at_price: Option<Box<Money<'a>>> = b"compareAtPrice", }

    Translation: u8 { key: Text<'a> = b"key", value: Text<'a> = b"value", locale: Text<'a> = b"locale", }

    MetaobjectField: u8 { key: Text<'a> = b"key", value: Text<'a> = b"value", }

    /// A number of things.
    Count: u8 { count: Int = b"count", }

    /// Something that is only named.
    Reference: u8 { id: Id<'a> = b"id", }

    /// An option of a product and its values in their order.
    OptionDefinition: u8 {
        name: Text<'a> = b"name",
        position: Int = b"position",
        values: List<Text<'a>> = b"values",
        option_values: List<OptionValue<'a>> = b"optionValues",
    }

    OptionValue: u8 { name: Text<'a> = b"name", swatch: Option<Box<Swatch<'a>>> = b"swatch", }

    /// How an option value looks.
    Swatch: u8 { color: Text<'a> = b"color", image: Option<Box<Record<'a>>> = b"image", }

    /// What a variant is for one option.
    SelectedOption: u8 { name: Text<'a> = b"name", value: Text<'a> = b"value", }

    PriceRange: u8 { min: Money<'a> = b"minVariantPrice", max: Money<'a> = b"maxVariantPrice", }

    CompareAtRange: u8 { min: Money<'a> = b"minVariantCompareAtPrice", max: Money<'a> = b"maxVariantCompareAtPrice", }

    /// What a variant is in stock.
    InventoryItem: u8 { tracked: Flag = b"tracked", measurement: Option<Box<Measurement<'a>>> = b"measurement", }

    Measurement: u8 { weight: Option<Box<Weight<'a>>> = b"weight", }

    Weight: u8 { value: Text<'a> = b"value", unit: Text<'a> = b"unit", }

    /// How much a variant holds, and by how much its unit price is.
    UnitPriceMeasurement: u8 {
        quantity_value: Text<'a> = b"quantityValue",
        quantity_unit: Text<'a> = b"quantityUnit",
        reference_value: Text<'a> = b"referenceValue",
        reference_unit: Text<'a> = b"referenceUnit",
    }

    /// A part of a bundle.
    Component: u8 {
        product: Option<Box<Record<'a>>> = b"componentProduct",
        variant: Option<Box<Record<'a>>> = b"productVariant",
    }

    Category: u8 { id: Id<'a> = b"id", full_name: Text<'a> = b"fullName" | b"full_name", name: Text<'a> = b"name", }

    Seo: u8 { title: Text<'a> = b"title", description: Text<'a> = b"description", }

    /// An image by its address, which has had several names over the years.
    Picture: u8 {
        url: Text<'a> = b"url",
        src: Text<'a> = b"src",
        original_src: Text<'a> = b"originalSrc",
        alt: Text<'a> = b"alt",
        alt_text: Text<'a> = b"altText",
    }

    Preview: u8 { image: Option<Box<Picture<'a>>> = b"image", }

    Quantity: u8 { name: Text<'a> = b"name", quantity: Int = b"quantity", }
}

impl<'a> Aliased<'a> {
    pub(crate) fn is_metafield(&self) -> bool {
        self.namespace.get().is_some() && self.key.get().is_some()
    }

    pub(crate) fn into_metafield(self) -> Record<'a> {
        let bits = [
            (Aliased::id, Record::id),
            (Aliased::namespace, Record::namespace),
            (Aliased::key, Record::key),
            (Aliased::kind, Record::kind),
            (Aliased::value, Record::value),
            (Aliased::json_value, Record::json_value),
            (Aliased::updated_at, Record::updated_at),
            (Aliased::reference, Record::reference),
            (Aliased::references, Record::references),
        ];
        let Aliased {
            present,
            id,
            namespace,
            key,
            kind,
            value,
            json_value,
            updated_at,
            reference,
            references,
            ..
        } = self;
        let is_present = |(aliased, _): &&(_, u128)| present & aliased != 0;
        Record {
            present: bits.iter().filter(is_present).fold(0, |all, (_, bit)| all | bit),
            id,
            namespace,
            key,
            kind,
            value,
            json_value,
            updated_at,
            reference,
            references,
            ..Record::default()
        }
    }

    /// The price: of a variant, else the lowest one of a product.
    pub(crate) fn into_pricing(self) -> Pricing<'a> {
        let Aliased { price, compare_at_price, min_pricing, .. } = self;
        let own = Pricing { price, compare_at_price, ..Pricing::default() };
        if own.price.is_some() { own } else { min_pricing.map_or(own, |pricing| *pricing) }
    }
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
