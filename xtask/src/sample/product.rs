//! Makes up a product before its first line is written: the first line (the root, which is the product itself) already
//! has the price range, the options and the first picture, which come from lines that follow it.
//!
//! `chance(n)` is true in n of 10,000 cases.

use crate::sample::departments::{Axis, DEPARTMENTS, Department, Kind};
use crate::sample::languages::{LANGUAGES, Language};
use crate::sample::rng::{Rng, from_bands};
use crate::sample::shape::Traits;

/// 2022-01-01T00:00:00Z, in seconds since 1970, as all times here: no product is older.
const OPENING: i64 = 1_640_995_200;
/// 2025-12-01T00:00:00Z: the time of the export.
const EXPORT: i64 = 1_764_547_200;
const DAY: i64 = 86_400;
/// The difference between the ids of two neighbours; ids in real shops differ by multiples of this number.
pub(crate) const ID_STEP: u64 = 32_768;

/// An option of a product, with those of its values that the product has.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) name: &'static str,
    pub(crate) values: Vec<&'static str>,
}

/// A variant.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) id: u64,
    /// Position of the value within each option.
    pub(crate) values: [usize; 3],
    /// Price.
    pub(crate) cents: u32,
    /// Price before a reduction.
    pub(crate) compare_at_cents: Option<u32>,
    /// Number in stock; `None` if Shopify exports null.
    pub(crate) stock: Option<i64>,
    pub(crate) updated: i64,
}

/// A product with everything that more than one of its lines needs.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) id: u64,
    /// Its number in the export, from 0.
    pub(crate) index: u64,
    pub(crate) department: &'static Department,
    pub(crate) kind: &'static Kind,
    /// `None` for English.
    pub(crate) language: Option<&'static Language>,
    pub(crate) brand: &'static str,
    pub(crate) material: &'static str,
    /// The noun as it is written inside a sentence.
    pub(crate) noun: String,
    pub(crate) title: String,
    pub(crate) handle: String,
    pub(crate) status: &'static str,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) published: Option<i64>,
    /// Its options, at most three; empty if it has only the default variant.
    pub(crate) choices: Vec<Choice>,
    pub(crate) variants: Vec<Variant>,
    /// Number of pictures, videos and models.
    pub(crate) media: u32,
    pub(crate) sells_without_stock: bool,
    /// Whether its stock is counted.
    pub(crate) tracked: bool,
}

impl Product {
    /// Makes up product `index`.
    pub(crate) fn decide(rng: &mut Rng, traits: &Traits, index: u64) -> Self {
        let department = &DEPARTMENTS[rng.below(DEPARTMENTS.len() as u32) as usize];
        let kind = &department.kinds[rng.below(department.kinds.len() as u32) as usize];
        let brand = rng.pick(department.brands);
        let material = rng.pick(kind.materials);
        let language = if traits.lean { None } else { pick_language(rng) };
        let title = title(rng, department, kind, language, material);
        let handle = handle(&title, index);
        let status = match rng.below(1_000) {
            0..=884 => "ACTIVE",
            885..=964 => "DRAFT",
            965..=989 => "ARCHIVED",
            _ => "UNLISTED",
        };
        let (created, updated) = life(rng);
        let published = match status {
            "DRAFT" => None,
            _ if rng.chance(100) => None,
            _ => Some((created + i64::from(rng.below(5)) * 3_600).min(updated)),
        };
        let mut product = Self {
            id: 8_214_000_000_000 + index * ID_STEP,
            index,
            department,
            kind,
            language,
            brand,
            material,
            noun: kind.noun.to_lowercase(),
            title,
            handle,
            status,
            created,
            updated,
            published,
            choices: Vec::new(),
            variants: Vec::new(),
            media: from_bands(rng, traits.media),
            sells_without_stock: rng.chance(1_500),
            tracked: rng.chance(9_000),
        };
        let wanted = from_bands(rng, traits.variants) as usize;
        product.choose_options(rng, wanted);
        product.make_variants(rng, wanted);
        product
    }

    /// The id of the picture, video or model at this position.
    pub(crate) fn media_id(&self, position: u32) -> u64 {
        33_000_000_000_000 + (self.index * 256 + u64::from(position)) * ID_STEP
    }

    /// The id of the metafield at this position.
    pub(crate) fn metafield_id(&self, position: u32) -> u64 {
        29_000_000_000_000 + (self.index * 64 + u64::from(position)) * ID_STEP
    }

    /// Lowest and highest price in cents.
    pub(crate) fn price_range(&self) -> (u32, u32) {
        let prices = self.variants.iter().map(|variant| variant.cents);
        (prices.clone().min().unwrap_or(0), prices.max().unwrap_or(0))
    }

    /// Whether the only variant is the one that every product without options has.
    pub(crate) fn has_only_default_variant(&self) -> bool {
        self.choices.is_empty()
    }

    /// Chooses options with at least `wanted` combinations. For a single variant there usually are none.
    fn choose_options(&mut self, rng: &mut Rng, wanted: usize) {
        if wanted == 1 && rng.chance(8_000) {
            return;
        }
        let [second, third] = self.department.axes;
        let mut axes = [(0, self.kind.sizes), (1, second), (2, third)];
        if rng.chance(4_000) {
            axes.swap(0, 1);
        }
        let mut missing = wanted;
        for (position, (original, axis)) in axes.into_iter().enumerate() {
            if missing <= 1 && position > 0 {
                break;
            }
            let available = axis.values.len();
            // Two options with several values look more natural than one with many.
            let taken = if missing > 8 && position < 2 {
                missing.div_ceil(3).min(available).max(available / 2)
            } else {
                missing.min(available)
            };
            let name = self.language.map_or(axis.name, |language| language.axes[original]);
            self.choices.push(Choice { name, values: take_values(rng, axis, taken) });
            missing = missing.div_ceil(taken);
        }
    }

    /// Makes up to `wanted` variants, one for each combination of the options' values.
    fn make_variants(&mut self, rng: &mut Rng, wanted: usize) {
        let (low, high) = self.kind.prices;
        let ending = rng.pick(&[0, 0, 95, 99, 50]);
        let base = rng.between(low, high) * 100 + ending;
        let free = rng.chance(80);
        // In some products larger sizes cost more: by this for each value of the first option.
        let step = if rng.chance(2_500) { rng.between(1, 12) * 50 } else { 0 };
        // Whether and how the prices are compared with earlier ones is the same for all variants.
        let sale = rng.below(10_000);
        let lengths: [usize; 3] = std::array::from_fn(|position| {
            self.choices.get(position).map_or(1, |choice| choice.values.len())
        });
        let combinations = lengths.iter().product::<usize>();
        self.variants.reserve(wanted.min(combinations));
        for number in 0..wanted.min(combinations) {
            let values =
                [number / (lengths[1] * lengths[2]), number / lengths[2] % lengths[1], number % lengths[2]];
            let cents = if free { 0 } else { base + step * values[0] as u32 };
            let compare_at_cents = match sale {
                0..2_000 => Some(cents + cents / 4 + 99),
                2_000..2_700 => Some(cents),
                2_700..2_950 => Some(cents.saturating_sub(500)),
                2_950..3_050 => Some(0),
                _ => None,
            };
            let stock = match rng.below(1_000) {
                0..=29 => None,
                30..=31 => Some(-i64::from(rng.between(1, 4))),
                32..=180 => Some(0),
                _ => Some(i64::from(rng.below(250))),
            };
            let updated = if rng.chance(3_000) { self.created } else { self.updated };
            let id = 44_000_000_000_000 + (self.index * 2_048 + number as u64) * ID_STEP;
            self.variants.push(Variant { id, values, cents, compare_at_cents, stock, updated });
        }
    }
}

fn pick_language(rng: &mut Rng) -> Option<&'static Language> {
    let mut ticket = rng.below(10_000);
    for language in LANGUAGES {
        if ticket < language.share {
            return Some(language);
        }
        ticket -= language.share;
    }
    None
}

fn title(
    rng: &mut Rng,
    department: &Department,
    kind: &Kind,
    language: Option<&Language>,
    material: &str,
) -> String {
    if let Some(language) = language {
        return format!("{}{}{}", rng.pick(language.adjectives), language.space, rng.pick(language.nouns));
    }
    let adjective = rng.pick(department.adjectives);
    let noun = kind.noun;
    let mut title = match rng.below(10) {
        0..=5 => format!("{adjective} {material} {noun}"),
        6 | 7 => format!("{material} {noun} “{adjective}”"),
        8 => format!("{noun} – {adjective}, {material}"),
        _ => format!("{adjective} {noun} in {material} for {}", rng.pick(department.uses)),
    };
    match rng.below(1_000) {
        0..=69 => title = title.to_uppercase(),
        70..=79 => title.push_str(" ✨"),
        80..=85 => title.push_str(" 👨‍👩‍👧 Family Edition"),
        86..=90 => title = title.replace(' ', "\u{a0}"),
        91..=93 => title.push_str(" &amp; Friends"),
        94..=98 => title.insert(0, ' '),
        99..=120 => title.push_str(" (2-Pack)"),
        121..=150 => title.push('™'),
        _ => {}
    }
    title
}

/// The name of the product in its address: in lower case, with dashes between the words, and with the product's number,
/// because handles are unique in a shop.
fn handle(title: &str, index: u64) -> String {
    let mut handle = String::with_capacity(title.len() + 8);
    for character in title.chars() {
        if character.is_alphanumeric() {
            handle.extend(character.to_lowercase());
        } else if !handle.is_empty() && !handle.ends_with('-') {
            handle.push('-');
        }
    }
    if !handle.ends_with('-') {
        handle.push('-');
    }
    handle.push_str(&index.to_string());
    handle
}

/// When the product was created and last updated. A third were updated within the last month, one in twenty in the same
/// second (a bulk edit), one in twenty never, and the rest at any time.
fn life(rng: &mut Rng) -> (i64, i64) {
    let created = OPENING + i64::from(rng.below((EXPORT - OPENING - 60 * DAY) as u32));
    let updated = match rng.below(100) {
        0..=4 => EXPORT - 3 * DAY,
        5..=39 => EXPORT - i64::from(rng.below(30 * DAY as u32)),
        40..=44 => created,
        _ => created + i64::from(rng.below((EXPORT - created) as u32)),
    };
    (created, updated)
}

/// Takes `count` values: neighbouring ones of sizes, any of colours, in the list's order.
fn take_values(rng: &mut Rng, axis: &Axis, count: usize) -> Vec<&'static str> {
    let available = axis.values.len();
    if axis.ordered {
        let start = rng.below((available - count + 1) as u32) as usize;
        return axis.values[start..start + count].to_vec();
    }
    let mut missing = count as u32;
    let mut left = available as u32;
    let mut taken = Vec::with_capacity(count);
    for value in axis.values {
        if rng.below(left) < missing {
            taken.push(*value);
            missing -= 1;
        }
        left -= 1;
    }
    taken
}
