//! The category of a product in Shopify's taxonomy: its id, and its names level by level.

use crate::config::Config;
use crate::document::short_text;
use crate::record::Category;
use crate::text::cut_chars;
use crate::writer::DocumentWriter;

/// What separates the names of a category.
const SEPARATOR: &str = " > ";

/// The fields of the levels.
const LEVELS: [&str; 8] = [
    "category_lvl0",
    "category_lvl1",
    "category_lvl2",
    "category_lvl3",
    "category_lvl4",
    "category_lvl5",
    "category_lvl6",
    "category_lvl7",
];

/// Writes those fields of a category that are switched on.
pub(crate) fn write(writer: &mut DocumentWriter<'_>, config: &Config, category: &Category<'_>) {
    if let Some(id) = category.id.get().filter(|_| config.adds("category_id")) {
        writer.text("category_id", &id.resource_id);
    }
    let Some(full_name) = category.full_name.get().or(category.name.get()).map(short_text) else { return };
    let names: Vec<&str> = full_name.split(SEPARATOR).map(str::trim).collect();
    if let Some(leaf) = names.last().filter(|_| config.adds("category_leaf")) {
        writer.text("category_leaf", leaf);
    }
    for (level, field) in LEVELS.into_iter().enumerate().take(names.len()) {
        if config.adds(field) {
            writer.text(field, &path(&names[..=level], config.filter_length));
        }
    }
}

/// The names from the first level on. An index does not filter by longer texts, so the first ones are left out of a path
/// that is too long: what is last tells most.
fn path(names: &[&str], max_chars: usize) -> String {
    let paths = (0..names.len()).map(|first| names[first..].join(SEPARATOR));
    let fitting = paths.into_iter().find(|path| path.chars().count() <= max_chars);
    fitting.unwrap_or_else(|| cut_chars(names.last().unwrap_or(&""), max_chars).to_owned())
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn a_path_fits_the_filter_length() {
        let names = ["Apparel & Accessories", "Clothing", "Outerwear"];
        assert_eq!(path(&names, 50), "Apparel & Accessories > Clothing > Outerwear");
        assert_eq!(path(&names, 44), "Apparel & Accessories > Clothing > Outerwear");
        assert_eq!(path(&names, 43), "Clothing > Outerwear");
        assert_eq!(path(&names, 10), "Outerwear");
        assert_eq!(path(&names, 5), "Outer");
        assert_eq!(path(&["Überwürfe", "Mäntel"], 18), "Überwürfe > Mäntel");
    }
}
