//! Whether a product is whole, by what the export itself says about how much of it there is.

use crate::assemble::Product;
use crate::record::Record;

/// What of a product is missing; `None` if nothing says that anything is.
///
/// GraphQL says with `pageInfo` that a connection has another page, and counts variants in `variantsCount` and, formerly,
/// `totalVariants`. Webhooks have at most 100 variants, and name all of them in `variant_gids`.
pub(crate) fn missing(product: &Product<'_, '_>) -> Option<String> {
    let root = product.root;
    let lists = [
        ("variants", root.variants.has_next_page()),
        ("media", root.media.has_next_page()),
        ("images", root.images.has_next_page()),
        ("metafields", root.metafields.has_next_page()),
        ("collections", root.collections.has_next_page()),
    ];
    let of_variant =
        |variant: &Record<'_>| variant.metafields.has_next_page() || variant.media.has_next_page();
    if let Some((name, _)) = lists.into_iter().find(|(_, has_next_page)| *has_next_page) {
        return Some(format!("its `{name}` have another page"));
    }
    if product.variants.iter().any(|variant| of_variant(variant.record)) {
        return Some("the metafields or media of a variant have another page".to_owned());
    }
    let present = product.variants.len();
    // An export that selects no variants is a choice.
    let counted = variants_of(root).filter(|counted| present > 0 && *counted > present as u64)?;
    Some(format!("the export has {present} of its {counted} variants"))
}

/// How many variants a product has, as its own record says.
fn variants_of(root: &Record<'_>) -> Option<u64> {
    let counts = [root.variants_count.as_ref().and_then(|counted| counted.count.0), root.total_variants.0];
    let counts = counts.into_iter().flatten().filter_map(|count| u64::try_from(count).ok());
    counts.chain([root.variant_gids.0.len() as u64]).max()
}
