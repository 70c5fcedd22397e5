//! The page of the Shopify plug-in: the fields of its documents, and the bulk query of Shopify's API that exports all
//! they need.

use crate::{cell, check};
use shopify_plugin::{BULK_QUERY, FIELDS};
use std::fmt::Write;

#[test]
fn shopify() {
    let mut page = String::from(
        "The plug-in [`shopify`](../plugins.md) turns each product of an export into one document, or each variant with `level = \"variant\"`. \
         A field without a value is omitted. `host plugin inspect` prints the plug-in's configuration. The codes of its issues are in \
         [report codes](report-codes.md).\n\n\
         ## Fields\n\n\
         The level says which documents have the field. The last column names what the field is made of, as the query below calls it.\n\n\
         | field | type | level | meaning | made of |\n| --- | --- | --- | --- | --- |\n",
    );
    for field in FIELDS {
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
    write!(
        page,
        "\nThe identity (`_id`) of a document is the number in the product's id, or in the variant's. A configured option becomes a list \
         of strings (of a variant one string), a configured metafield has the type that the configuration or the metafield's own type says: \
         `host plugin inspect` shows both settings.\n\n\
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
         [The user guide](../guide.md#export) says how to run it.\n\n```graphql\n{}\n```\n",
        BULK_QUERY.trim()
    )
    .unwrap();
    check("shopify.md", "Shopify: fields and bulk query", &page);
}
