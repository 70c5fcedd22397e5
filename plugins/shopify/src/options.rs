//! Options: what the variants of a product differ in, such as size and color.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::config::{Config, Level};
use crate::document::short_text;
use crate::offer::Offer;
use crate::record::{OptionDefinition, Record};
use crate::text::is_printable_ascii;
use crate::writer::DocumentWriter;

/// What Shopify calls the only variant of a product without options. Customers must not see it.
pub(crate) const DEFAULT_TITLE: &str = "Default Title";

/// One option of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChosenOption<'p> {
    pub(crate) name: Cow<'p, str>,
    pub(crate) value: Cow<'p, str>,
}

/// The options of a variant in their order, each name once. GraphQL writes them with their names; REST numbers them,
/// and the names are written with the product.
pub(crate) fn of_variant<'p>(
    record: &'p Record<'_>,
    definitions: &'p [OptionDefinition<'_>],
) -> Vec<ChosenOption<'p>> {
    let mut options: Vec<ChosenOption<'p>> = Vec::new();
    let mut push = |name: Option<&'p str>, value: Option<&'p str>| {
        let (Some(name), Some(value)) = (name.map(short_text), value.map(short_text)) else { return };
        let is_default = value == DEFAULT_TITLE && name == "Title";
        if name.is_empty() || value.is_empty() || is_default || options.iter().any(|known| known.name == name)
        {
            return;
        }
        options.push(ChosenOption { name, value });
    };
    if record.selected_options.0.is_empty() {
        let mut definitions: Vec<&OptionDefinition<'_>> = definitions.iter().collect();
        definitions.sort_by_key(|definition| definition.position.0.unwrap_or(i64::MAX));
        for (definition, value) in
            definitions.into_iter().zip([&record.option1, &record.option2, &record.option3])
        {
            push(definition.name.get(), value.get());
        }
    } else {
        for option in &record.selected_options.0 {
            push(option.name.get(), option.value.get());
        }
    }
    options
}

/// Up to this many texts are compared with each other; more are looked up in a hash set.
const FEW: usize = 12;

/// Texts without repetitions; texts that differ only in case or in their blanks are repetitions of the first one.
pub(crate) fn dedupe<'t>(texts: impl IntoIterator<Item = Cow<'t, str>>) -> Vec<Cow<'t, str>> {
    let mut kept: Vec<Cow<'t, str>> = Vec::with_capacity(FEW);
    // The bit of a text, by its index, says that its folded form is its lower case. Folded forms of the others are
    // stored in `folds`.
    let mut simple = 0_u16;
    let mut folds: Vec<String> = Vec::new();
    let mut known: HashSet<String> = HashSet::new();
    for text in texts.into_iter().filter(|text| !text.is_empty()) {
        if kept.len() == FEW && known.is_empty() {
            known = kept.iter().map(|text| folded(text)).collect();
        }
        let is_new = if kept.len() < FEW {
            let fold = (!is_single_spaced_ascii(&text)).then(|| folded(&text));
            let simple_ones = kept.iter().enumerate().filter(|(index, _)| simple >> index & 1 == 1);
            let mut others = simple_ones.map(|(_, text)| &**text).chain(folds.iter().map(|fold| &**fold));
            let own = fold.as_deref().unwrap_or(&text);
            let is_new = !others.any(|other| own.eq_ignore_ascii_case(other));
            if is_new {
                simple |= u16::from(fold.is_none()) << kept.len();
                folds.extend(fold);
            }
            is_new
        } else {
            known.insert(folded(&text))
        };
        if is_new {
            kept.push(text);
        }
    }
    kept
}

/// Whether folding only changes the case of ASCII letters.
fn is_single_spaced_ascii(text: &str) -> bool {
    let is_right = |pair: &[u8]| (pair[0] != b' ') | (pair[1] != b' ');
    is_printable_ascii(text)
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && text.as_bytes().windows(2).fold(true, |all, pair| all & is_right(pair))
}

/// The form in which texts are compared: lower case, words separated by single blanks.
fn folded(text: &str) -> String {
    if is_single_spaced_ascii(text) {
        return text.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        if word.is_ascii() {
            folded.extend(word.bytes().map(|byte| char::from(byte.to_ascii_lowercase())));
        } else {
            folded.push_str(&word.to_lowercase());
        }
    }
    folded
}

/// The options of a variant in one text, as the shop shows it.
pub(crate) fn combination(options: &[ChosenOption<'_>]) -> String {
    options.iter().map(|option| &*option.value).collect::<Vec<_>>().join(" / ")
}

/// Writes the options of the variants: all of them as `Name: Value`, and those with their own field there as well.
pub(crate) fn write_options(
    writer: &mut DocumentWriter<'_>,
    offers: &[Offer<'_, '_, '_>],
    definitions: &[OptionDefinition<'_>],
    config: &Config,
) {
    let all = || offers.iter().flat_map(|offer| &offer.options);
    let mut names: Vec<&str> = Vec::new();
    for option in all() {
        if !names.iter().any(|name| **name == option.name) {
            names.push(&option.name);
        }
    }
    let values_of = |names: &[&str]| {
        dedupe(
            all()
                .filter(|option| names.iter().any(|name| **name == option.name))
                .map(|option| Cow::from(&*option.value)),
        )
    };
    // By option, then by variant: `Size: S`, `Size: M`, `Color: Red`.
    let all_labelled = names.iter().flat_map(|name| {
        values_of(&[name]).into_iter().map(move |value| Cow::Owned(format!("{name}: {value}")))
    });
    writer.list("options", all_labelled);

    let mut fields: Vec<(Cow<'_, str>, Vec<&str>)> = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let position = definitions.iter().position(|definition| is_of(definition, name)).unwrap_or(place);
        let Some(field) = config.option_field(name, position + 1) else { continue };
        match fields.iter_mut().find(|(known, _)| *known == field) {
            Some((_, names)) => names.push(name),
            None => fields.push((field, vec![name])),
        }
    }
    for (field, names) in fields {
        let mut values = values_of(&names);
        match config.level {
            Level::Product => {
                in_the_shops_order(&mut values, &names, definitions);
                writer.list(&field, values);
            }
            Level::Variant => writer.text(&field, values.first().map(|value| &**value).unwrap_or_default()),
        }
    }
}

fn is_of(definition: &OptionDefinition<'_>, name: &str) -> bool {
    definition.name.get().is_some_and(|defined| short_text(defined) == name)
}

/// Sorts values of options as the shop has them, which variants need not follow. Values that the shop does not list come
/// last.
fn in_the_shops_order(values: &mut [Cow<'_, str>], names: &[&str], definitions: &[OptionDefinition<'_>]) {
    let definitions =
        definitions.iter().filter(|definition| names.iter().any(|name| is_of(definition, name)));
    let values_of = |definition: &OptionDefinition<'_>| {
        let named = definition.option_values.0.iter().map(|value| &value.name);
        named
            .chain(&definition.values.0)
            .filter_map(|value| Some(folded(&short_text(value.get()?))))
            .collect()
    };
    let order: Vec<String> =
        definitions.flat_map(|definition| -> Vec<String> { values_of(definition) }).collect();
    if !order.is_empty() {
        values.sort_by_cached_key(|value| {
            let value = folded(value);
            order.iter().position(|known| *known == value).unwrap_or(usize::MAX)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn repetitions_are_found_among_few_and_many(texts in proptest::collection::vec("[ aAbéÉ]{0,3}", 0..40)) {
            let mut known = HashSet::new();
            let expected: Vec<&str> =
                texts.iter().map(String::as_str).filter(|text| !text.is_empty() && known.insert(folded(text))).collect();
            proptest::prop_assert_eq!(dedupe(texts.iter().map(Cow::from)), expected);
        }
    }
}
