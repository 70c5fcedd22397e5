//! Rules for the reserved key `variants`: an array of objects, each with its own id. The relational catalog (SQLite or
//! PostgreSQL) loads them. They are never sent to a Marqo index, so neither its rules for values nor its limit of size
//! hold for them.

use crate::issue::{Report, Step, quoted};
use crate::json::{self, Kind};
use crate::keys::Keys;
use crate::measure::measure;
use crate::values::duplicate_field;

/// The reserved key.
pub(crate) const VARIANTS: &str = "variants";

/// Most levels of nesting. Every JSON reader accepts as many; few accept more than twice as many.
const MAX_DEPTH: usize = 60;

/// Checks the value of `variants`.
pub(crate) fn check(raw: &str, report: &mut Report) {
    if Kind::of(raw) != Kind::Array {
        report.error("invalid-variants", &[Step::Key(VARIANTS)], || {
            format!("The key variants is {}; send an array of objects.", Kind::of(raw).noun())
        });
        return;
    }
    let sound = check_readable(raw, report);
    let mut ids = Keys::default();
    let walked = json::elements(raw, |position, variant| {
        let path = [Step::Key(VARIANTS), Step::Index(position)];
        if Kind::of(variant) != Kind::Object {
            report.error("invalid-variants", &path, || {
                format!("Variant {position} is {}; send an object with an id.", Kind::of(variant).noun())
            });
        } else if sound {
            check_variant(position, variant, &mut ids, report);
        }
    });
    // The text was walked once already as part of the document, so this cannot fail.
    debug_assert!(walked.is_ok());
}

/// Whether every JSON reader can read the variants: what is accepted here must not stop a later stage.
fn check_readable(raw: &str, report: &mut Report) -> bool {
    let whole = measure(raw);
    let path = [Step::Key(VARIANTS)];
    if let Some(unit) = whole.lone_surrogate {
        report.error("lone-surrogate", &path, || {
            format!("The variants contain \\u{unit:04x}, half of a surrogate pair; write both halves or remove it.")
        });
    }
    if whole.infinite {
        report.error("number-out-of-range", &path, || {
            "The variants contain a number that is too large for a float; send it as a string.".to_owned()
        });
    }
    if whole.depth > MAX_DEPTH {
        report.error("too-deep", &path, || {
            format!("The variants are nested {} levels deep; use at most {MAX_DEPTH}.", whole.depth)
        });
    }
    whole.lone_surrogate.is_none() && !whole.infinite && whole.depth <= MAX_DEPTH
}

fn check_variant<'a>(position: usize, variant: &'a str, ids: &mut Keys<'a>, report: &mut Report) {
    let mut keys = Keys::default();
    let mut id = None;
    let walked = json::entries(variant, |key, value: &'a str| {
        if key == "id" {
            id = Some(value);
        }
        if !keys.insert(&key) {
            duplicate_field(&[Step::Key(VARIANTS), Step::Index(position), Step::Key(&key)], &key, report);
        }
    });
    // Only a lone surrogate in a key stops the walk, and such variants do not come here.
    debug_assert!(walked.is_ok());
    let path = [Step::Key(VARIANTS), Step::Index(position), Step::Key("id")];
    match id.and_then(json::decode) {
        Some(id) if id.is_empty() => report.error("variant-without-id", &path, || {
            format!("Variant {position} has an empty id; give it one that no other variant has.")
        }),
        Some(id) => {
            if !ids.insert(&id) {
                report.error("duplicate-variant", &path, || {
                    format!("The variant id {} is there more than once; send each variant once.", quoted(&id))
                });
            }
        }
        None => report.error("variant-without-id", &path[..2], || {
            format!("Variant {position} has no string as its id; give it one that no other variant has.")
        }),
    }
}
