//! Options: what variants differ in.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::config::{Config, Level};
use crate::document::short_text;
use crate::offer::Offer;
use crate::record::{OptionDefinition, Record};
use crate::writer::DocumentWriter;

/// What Shopify calls the only variant of a product without options. Customers must not see it.
pub(crate) const DEFAULT_TITLE: &str = "Default Title";

/// One option of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChosenOption<'p> {
    pub(crate) name: Cow<'p, str>,
    pub(crate) value: Cow<'p, str>,
}

/// The options of a variant in their order, each name once. GraphQL writes them with their names; REST numbers them, and the names
/// stand with the product.
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

/// Texts without repetitions; texts that differ only in case or in their blanks are repetitions of the first one.
pub(crate) fn distinct<'t>(texts: impl IntoIterator<Item = Cow<'t, str>>) -> Vec<Cow<'t, str>> {
    let mut kept: Vec<Cow<'t, str>> = Vec::new();
    let mut known: HashSet<String> = HashSet::new();
    for text in texts {
        if !text.is_empty() && known.insert(folded(&text)) {
            kept.push(text);
        }
    }
    kept
}

fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(&word.to_lowercase());
    }
    folded
}

/// Writes the options of the given variants: all of them as `Name: Value`, and those with a field of their own there as well.
pub(crate) fn write_options(writer: &mut DocumentWriter, offers: &[Offer<'_, '_, '_>], config: &Config) {
    let all = || offers.iter().flat_map(|offer| &offer.options);
    let mut names: Vec<&str> = Vec::new();
    for option in all() {
        if !names.contains(&&*option.name) {
            names.push(&option.name);
        }
    }
    let values_of = |names: &[&str]| {
        distinct(
            all().filter(|option| names.contains(&&*option.name)).map(|option| Cow::from(&*option.value)),
        )
    };
    // By option, then by variant: `Size: S`, `Size: M`, `Color: Red`.
    let labelled = names.iter().flat_map(|name| {
        values_of(&[name]).into_iter().map(move |value| Cow::Owned(format!("{name}: {value}")))
    });
    writer.list("options", labelled);

    let mut fields: Vec<(&str, Vec<&str>)> = Vec::new();
    for name in &names {
        let Some(field) = config.option_field(name) else { continue };
        match fields.iter_mut().find(|(known, _)| *known == field) {
            Some((_, names)) => names.push(name),
            None => fields.push((field, vec![name])),
        }
    }
    for (field, names) in fields {
        let values = values_of(&names);
        match config.level {
            Level::Product => writer.list(field, values),
            Level::Variant => writer.text(field, values.first().map(|value| &**value).unwrap_or_default()),
        }
    }
}
