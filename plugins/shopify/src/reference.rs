//! What a metafield refers to: metaobjects, products, files and others, as far as the export has them.

use crate::assemble::{gid_of, parent_of};
use crate::document::short_text;
use crate::gid::Gid;
use crate::record::Record;

/// The texts of what a metafield refers to, in the order of its value; empty if the export has nothing of it. Of a
/// metaobject `field` names the field that counts. `lines` are the records of the product whose parent is a metafield.
pub(crate) fn texts(
    metafield: &Record<'_>,
    value: &str,
    field: Option<&str>,
    lines: &[&Record<'_>],
) -> Vec<String> {
    let own = gid_of(metafield);
    let of_lines = lines.iter().copied().filter(|line| {
        !own.resource_id.is_empty() && parent_of(line).is_some_and(|parent| parent.matches(own))
    });
    let ids: Vec<Gid<'_>> =
        value.split(['[', ']', '"', ',', ' ']).filter(|id| !id.is_empty()).map(Gid::parse).collect();
    let nested = metafield.reference.as_deref().into_iter().chain(&metafield.references.0);
    let mut referenced: Vec<(usize, String)> = nested
        .chain(of_lines)
        .filter_map(|record| {
            let id = gid_of(record);
            let place = ids.iter().position(|known| known.matches(id)).unwrap_or(usize::MAX);
            Some((place, text_of(record, field)?))
        })
        .collect();
    referenced.sort_by_key(|(place, _)| *place);
    referenced.into_iter().map(|(_, text)| text).collect()
}

fn text_of(record: &Record<'_>, field: Option<&str>) -> Option<String> {
    let fields = || record.fields.0.iter();
    let short = |text: &str| short_text(text).into_owned();
    if let Some(wanted) = field {
        let found = fields().find(|field| field.key.get() == Some(wanted))?;
        return found.value.get().map(short);
    }
    let named = [&record.display_name, &record.title, &record.name].into_iter().find_map(|text| text.get());
    let first_field = || fields().find_map(|field| field.value.get());
    let image = || record.image.as_deref().and_then(|image| image.url.get());
    named.or_else(first_field).or_else(image).or(record.url.get()).or(record.handle.get()).map(short)
}
