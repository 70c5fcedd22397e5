//! The page of the Shopify plug-in: the fields of its documents, and the bulk query of Shopify's API that exports all
//! they need.

use crate::{cell, check};
use shopify_plugin::{BULK_QUERY, FIELDS, Field, OPTIONAL_FIELDS};
use std::fmt::Write;

#[test]
fn shopify() {
    let mut page = String::from(
        "The plug-in [`shopify`](../plugins.md) turns each product of an export into one document, or each variant with `level = \"variant\"`. \
         A field without a value is omitted. `host plugin inspect` prints the plug-in's configuration. The codes of its issues are in \
         [report codes](report-codes.md).\n\n\
         ## Fields\n\n\
         The level says which documents have the field. The last column names what the field is made of, as the query below calls it.\n\n",
    );
    push_table(&mut page, FIELDS);
    write!(
        page,
        "\nThe identity (`_id`) of a document is the number in the product's id, or in the variant's. A configured option becomes a list \
         of strings (of a variant one string), a configured metafield has the type that the configuration or the metafield's own type says: \
         `host plugin inspect` shows both settings.\n\n\
         ## Optional fields\n\n\
         They are written where the setting `add` names them, one by one or with `*`: `add = [\"published_timestamp\", \"category_lvl*\"]`. \
         Without that they are off, because an index has room for a hundred fields of text, and so that documents change only when you ask \
         for it.\n\n"
    )
    .unwrap();
    push_table(&mut page, OPTIONAL_FIELDS);
    write!(
        page,
        "\n## Other names\n\n\
         `rename`, `omit`, `copy` and `constants` apply to every field of these tables and to those of configured options, metafields, \
         markets and languages; the names above are those to use there. `updated_at` stays, because write protection compares by it, and \
         `variants` can be omitted but not renamed, because a catalog loads it by its name. A catalog also shows `title` by its name: `copy` \
         it rather than rename it there. `fields = \"marqo-ecommerce\"` has the names that \
         [Marqo's ecommerce API](https://marqo.pages.dev/latest/home/add-products) documents, with a document for each variant:\n\n\
         | field | name |\n| --- | --- |\n\
         | `title` | `productTitle` |\n\
         | `variant_name` | `variantTitle` |\n\
         | `image` | `variantImageUrl` |\n\
         | `product_id` | `parentProductId` |\n\
         | `collection_handles` | `productCollections` |\n\
         | `variant_title`, `variants` | omitted |\n\n\
         ## What leaves the index\n\n\
         A product that is not active any more leaves with all of its documents, whichever variants the export still has of it. A variant \
         that was deleted leaves with the next export that has the product. With `level = \"variant\"`, an active product without variants in \
         the export keeps the documents that it has, with the warning `no-variants`: in a shop each product has at least one variant, so it is \
         the export that lacks them.\n\n\
         ## The bulk query\n\n\
         For Admin API 2026-10. Five connections are the most that a bulk query may have, `products` among them; hence `variants.image`, which \
         Shopify has deprecated in favour of one connection more, and no metafields of variants: export those by a second \
         query of products, variants and their metafields that selects no more than `id` of products and variants, and pass both files to \
         one run. \
         [The user guide](../guide.md#export) says how to run it.\n\n```graphql\n{}\n```\n\n\
         ## What else a query may select\n\n\
         Each of these fills fields that the configuration names; what is not selected is left out of the documents.\n\n\
         | selection | of | fields |\n| --- | --- | --- |\n\
         | `pricing_de: contextualPricing(context: {{country: DE}}) {{ price {{ amount currencyCode }} compareAtPrice {{ amount currencyCode }} }}` | variants | `markets = {{ de = \"pricing_de\" }}` |\n\
         | `presentmentPrices` with `price` and `compareAtPrice` | variants | `markets = {{ uk = \"GBP\" }}` |\n\
         | `translations_fr: translations(locale: \"fr\") {{ key value }}` | products | `locales = {{ fr = \"translations_fr\" }}` |\n\
         | `care: metafield(namespace: \"custom\", key: \"care\") {{ namespace key type value }}`, under any alias | products, variants | `metafields` |\n\
         | `reference {{ ... on Metaobject {{ displayName }} ... on Product {{ title }} }}`, `references` | metafields | `metafields`: names instead of ids |\n\
         | `publishedOnPublication(publicationId: …)` | products | none: `unpublished = \"remove\"` removes products for which it is false |\n",
        BULK_QUERY.trim()
    )
    .unwrap();
    check("shopify.md", "Shopify: fields and bulk query", &page);
}

fn push_table(page: &mut String, fields: &[Field]) {
    page.push_str("| field | type | level | meaning | made of |\n| --- | --- | --- | --- | --- |\n");
    for field in fields {
        writeln!(
            page,
            "| `{}` | {} | {} | {} | {} |",
            field.name,
            field.kind,
            field.level,
            cell(field.meaning),
            cell(field.made_of)
        )
        .unwrap();
    }
}
