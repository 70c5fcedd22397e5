//! Rules for fields that hold a vector (an embedding) which the sender has made: Marqo refuses a whole batch for one
//! vector of a wrong length, and does not say which document it was.

use crate::issue::{Report, Step, quoted};
use crate::json::{self, Kind};
use crate::measure::measure;
use crate::number::Number;
use crate::values::{check_characters, duplicate_field};

/// Checks `{"vector": [numbers], "content": "text"}`, where `content` may be missing; returns how many
/// characters `json.dumps` writes for it.
pub(crate) fn check(field: &str, length: u32, raw: &str, report: &mut Report) -> usize {
    let whole = measure(raw);
    check_characters(&[Step::Key(field)], whole.illegal, whole.lone_surrogate, report);
    let mut vector = None;
    let mut content = None;
    let mut foreign = None;
    let walked = json::entries(raw, |key, value| {
        let twice = match &*key {
            "vector" => vector.replace(value).is_some(),
            "content" => content.replace(value).is_some(),
            _ => {
                foreign.get_or_insert(key);
                return;
            }
        };
        if twice {
            duplicate_field(&[Step::Key(field), Step::Key(&key)], &key, report);
        }
    });
    let shape = |report: &mut Report, path: &[Step<'_>], found: String| {
        report.error("invalid-vector", path, || {
            let field = quoted(field);
            format!("The vector field {field} {found}; send {{\"vector\": [{length} numbers], \"content\": \"text\"}}.")
        });
    };
    let at_field = [Step::Key(field)];
    if walked.is_err() {
        shape(report, &at_field, format!("is {} that cannot be read as one", Kind::of(raw).noun()));
        return whole.len;
    }
    if let Some(foreign) = foreign {
        shape(report, &[at_field[0], Step::Key(&foreign)], format!("has the key {}", quoted(&foreign)));
    }
    if let Some(kind) = content.map(Kind::of).filter(|kind| *kind != Kind::Text) {
        shape(report, &[at_field[0], Step::Key("content")], format!("has {} as its content", kind.noun()));
    }
    match vector {
        Some(vector) if Kind::of(vector) == Kind::Array => check_numbers(field, length, vector, report),
        Some(vector) => {
            let noun = Kind::of(vector).noun();
            shape(report, &[at_field[0], Step::Key("vector")], format!("has {noun} as its vector"));
        }
        None => shape(report, &at_field, "has no vector".to_owned()),
    }
    whole.len
}

fn check_numbers(field: &str, length: u32, vector: &str, report: &mut Report) {
    let mut found = 0_u64;
    let mut wrong = None;
    let walked = json::elements(vector, |position, element| {
        found += 1;
        let finite = Kind::of(element) == Kind::Number && Number::read(element).value().is_some();
        if !finite && wrong.is_none() {
            wrong = Some((position, element));
        }
    });
    // The text was walked once already as part of the document, so this cannot fail.
    debug_assert!(walked.is_ok());
    if let Some((position, element)) = wrong {
        report.error(
            "invalid-vector",
            &[Step::Key(field), Step::Key("vector"), Step::Index(position)],
            || {
                let (field, element) = (quoted(field), quoted(element));
                format!(
                    "The vector of {field} has {element} at position {position}; send finite numbers only."
                )
            },
        );
    }
    if found != u64::from(length) {
        report.error("vector-length", &[Step::Key(field), Step::Key("vector")], || {
            format!("The vector of {} has {found} numbers; this index takes {length}.", quoted(field))
        });
    }
}
