//! One record of several copies, field by field: an export in several files has a product or variant more than once,
//! each time with other fields.
//!
//! A copy is as new as its own `updatedAt`. What the newest copy has counts, null included; what it lacks comes from
//! the next. Equally new copies, and those without a time, speak of the same state: their objects and lists are united.
//! Should they contradict each other all the same, the copy with more fields counts, then the text of the line decides,
//! so that neither the order of lines nor the names of files matter. A copy without a time comes after all that have
//! one.

use std::cmp::Reverse;

use jiff::Timestamp;
use plain_json::Raw;

use crate::aliases::Aliases;
use crate::assemble::gid_of;
use crate::gid::Gid;
use crate::instant::instant;
use crate::kind::is_variant;
use crate::record::{
    Component, MetaobjectField, Money, OptionDefinition, OptionValue, Quantity, Record, Reference,
    SelectedOption,
};
use crate::scalar::{Flag, Id, Int, List, Nullable, Tags, Text};

/// How a copy compares with the one that it is merged into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// Both speak of the same state, as far as is known.
    Same,
    /// It is known to be older, so that its values are outdated.
    Older,
}

/// A value that two copies of a record have.
pub(crate) trait Merge: Sized {
    /// Takes over what the value lacks from that of a copy; a value without parts stays as it is.
    fn merge(&mut self, _copy: Self, _age: Age) {}
}

macro_rules! without_parts {
    ($($type:ty)*) => {$(impl Merge for $type {})*};
}

without_parts! {
    Text<'_> Id<'_> Nullable<'_> Int Flag Tags<'_> Option<Raw<'_>>
    // Their order means something, so they are not united.
    List<OptionDefinition<'_>> List<OptionValue<'_>> List<SelectedOption<'_>> List<Quantity<'_>> List<Reference<'_>>
    List<Id<'_>> List<Text<'_>> List<MetaobjectField<'_>> List<Component<'_>>
}

impl<T: Merge> Merge for Option<Box<T>> {
    fn merge(&mut self, copy: Self, age: Age) {
        if age == Age::Same
            && let (Some(value), Some(copy)) = (self, copy)
        {
            value.merge(*copy, age);
        }
    }
}

impl Merge for Money<'_> {
    fn merge(&mut self, copy: Self, age: Age) {
        if age == Age::Same {
            self.amount.0 = self.amount.0.take().or(copy.amount.0);
            self.currency.0 = self.currency.0.take().or(copy.currency.0);
        }
    }
}

/// A nested list. Which elements there are, the newest copy that has the list says; outdated copies of its elements only
/// fill in what they lack.
impl<'a> Merge for List<Record<'a>> {
    fn merge(&mut self, mut copy: Self, age: Age) {
        match age {
            Age::Same => {
                self.1 |= copy.1;
                // Nothing tells whether a variant without id is another one.
                copy.0.retain(|one| gid_of(one) != Gid::NONE || !is_variant(one));
            }
            Age::Older => copy.0.retain(|one| {
                let id = gid_of(one);
                !id.resource_id.is_empty() && self.0.iter().any(|other| gid_of(other).matches(id))
            }),
        }
        self.0.append(&mut copy.0);
    }
}

/// What the copies select under names of their own; of one name, the newest.
impl Merge for Aliases<'_> {
    fn merge(&mut self, copy: Self, _age: Age) {
        self.append(copy);
    }
}

/// Fields that say the same in several dialects: a newer copy that has one of them outdates the others, too.
const SPELLINGS: [u128; 8] = [
    Record::description_html | Record::body_html | Record::description,
    Record::featured_media | Record::featured_image | Record::image | Record::image_id,
    Record::variants_count | Record::total_variants | Record::variant_gids,
    Record::available_for_sale | Record::available | Record::inventory_management,
    Record::selected_options | Record::option1 | Record::option2 | Record::option3,
    Record::url | Record::src | Record::original_src,
    Record::alt | Record::alt_text,
    Record::value | Record::json_value,
];

impl<'a> Record<'a> {
    /// Fills in what this record lacks from a copy that is not newer.
    fn fill_from(&mut self, mut copy: Record<'a>, age: Age) {
        if age == Age::Older {
            let outdated = SPELLINGS.iter().filter(|fields| self.has(**fields));
            copy.forget(outdated.fold(0, |all, fields| all | fields));
        }
        let other_medium = |one: &Record<'_>, other: &Record<'_>| {
            !gid_of(one).matches(gid_of(other)) && other.has(Record::id)
        };
        if let (Some(medium), Some(other)) = (&self.featured_media, &copy.featured_media)
            && other_medium(medium, other)
        {
            copy.forget(Record::featured_media);
        }
        self.merge(copy, age);
    }

    /// Makes nested records as new as this one, if they do not say themselves how new they are.
    pub(crate) fn pass_on_age(&mut self) {
        let lists = [
            &mut self.variants,
            &mut self.media,
            &mut self.images,
            &mut self.metafields,
            &mut self.collections,
        ];
        let aliased = &mut self.aliased.metafields;
        for nested in lists.into_iter().flat_map(|list| &mut list.0).chain(aliased) {
            if nested.updated_at.get().is_none() {
                nested.updated_at = self.updated_at.clone();
            }
        }
    }

    /// When it was last changed; `None` is older than every instant.
    pub(crate) fn age(&self) -> Option<Timestamp> {
        instant(self.updated_at.get())
    }
}

/// A copy with the text of its line, which is empty for a nested record.
pub(crate) type Copied<'a> = (Record<'a>, &'a str);

/// One record of all copies.
pub(crate) fn merge_copies<'a>(mut copies: Vec<Copied<'a>>) -> Option<Record<'a>> {
    copies.iter_mut().for_each(|(record, _)| record.pass_on_age());
    copies.sort_by_cached_key(|(record, line)| Reverse((record.age(), record.field_count(), *line)));
    let mut merged: Option<Record<'a>> = None;
    let mut copies = copies.into_iter().map(|(record, _)| record).peekable();
    while let Some(mut newest) = copies.next() {
        // Those of the same age first, so that what they say together outdates the older ones.
        let age = newest.age();
        while let Some(copy) = copies.next_if(|copy| copy.age() == age) {
            newest.fill_from(copy, Age::Same);
        }
        match &mut merged {
            // Nothing says that a copy without a time is older.
            Some(merged) if age.is_none() => merged.fill_from(newest, Age::Same),
            Some(merged) => merged.fill_from(newest, Age::Older),
            None => merged = Some(newest),
        }
    }
    merged
}
