//! Names of fields and constants: what `rename`, `omit`, `copy` and `constants` make of a document.

use std::collections::{BTreeMap, BTreeSet};

use host_index_rules::is_storable;
use serde_json::Value;

use crate::config::{Config, Names};
use crate::schema::check_field_name;
use crate::writer::{write_boolean, write_float, write_integer, write_key, write_string};

/// The field by which write protection compares documents.
const VERSION: &str = "updated_at";

/// The field that a relational catalog loads, and that host keeps out of a Marqo index by its name.
const VARIANTS: &str = "variants";

/// The share of a document that constants may take, as a divisor.
const CONSTANTS_SHARE: usize = 10;

/// Under which names each field is written, and what every document holds besides.
#[derive(Debug, Clone, Default)]
pub(crate) struct Naming {
    /// The fields whose names are configured, sorted, with all names under which they are written.
    changed: Vec<(String, Vec<String>)>,
    /// The members of a JSON object.
    constants: String,
    /// All names that fields and constants have, or would have without configuration.
    taken: BTreeSet<String>,
}

impl Naming {
    /// Checks the configuration of names against the fields that its documents can have.
    pub(crate) fn new(config: &Config) -> Result<Naming, String> {
        let fields = config.document_fields()?;
        let check = |setting: &str, field: &str| config.check_documented(setting, field, &fields);
        let mut changed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for field in &config.omit {
            check("omit", field)?;
            if field == VERSION {
                return Err(format!("`omit` names `{VERSION}`, by which write protection compares; keep it"));
            }
            changed.insert(field, Vec::new());
        }
        for (field, name) in &config.rename {
            check("rename", field)?;
            check_field_name(name)?;
            if field == VERSION {
                let message = "by which write protection compares; use `copy` to have it under another name";
                return Err(format!("`rename` names `{VERSION}`, {message}"));
            }
            if changed.insert(field, vec![name]).is_some() {
                return Err(format!("`{field}` is in both `rename` and `omit`; remove it from one"));
            }
        }
        for (field, names) in &config.copy {
            check("copy", field)?;
            if config.omit.contains(field) {
                return Err(format!(
                    "`{field}` is in both `copy` and `omit`; use `rename` to write it under another name only"
                ));
            }
            let written = changed.entry(field).or_insert_with(|| vec![field]);
            for name in names.iter() {
                check_field_name(name)?;
                written.push(name);
            }
        }
        if changed.get(VARIANTS).is_some_and(|names| !names.is_empty()) {
            return Err(format!(
                "`{VARIANTS}` can be omitted, but not renamed or copied: a catalog loads it by its name"
            ));
        }
        let taken = check_clashes(config, &fields, &changed)?;
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        Ok(Naming {
            changed: changed.into_iter().map(|(field, names)| (field.to_owned(), owned(names))).collect(),
            constants: constants(config)?,
            taken,
        })
    }

    /// The names under which a field is written.
    pub(crate) fn names<'n>(&'n self, field: &'n str) -> impl Iterator<Item = &'n str> {
        let place = self.changed.binary_search_by(|(changed, _)| (**changed).cmp(field)).ok();
        let configured = place.map_or(&[][..], |place| &self.changed[place].1);
        place.is_none().then_some(field).into_iter().chain(configured.iter().map(String::as_str))
    }

    /// Whether a field or constant has this name, or has it by default.
    pub(crate) fn is_taken(&self, name: &str) -> bool {
        self.taken.contains(name)
    }

    /// What every document holds besides its fields: the members of a JSON object.
    pub(crate) fn constants(&self) -> &str {
        &self.constants
    }
}

/// Refuses a name that two fields, or a field and a constant, would have.
fn check_clashes(
    config: &Config,
    fields: &BTreeSet<String>,
    changed: &BTreeMap<&str, Vec<&str>>,
) -> Result<BTreeSet<String>, String> {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for field in fields {
        let own = [field.as_str()];
        for name in changed.get(&**field).map_or(&own[..], Vec::as_slice) {
            if let Some(other) = taken.insert(name, field) {
                return Err(format!(
                    "the field `{name}` would be written twice, from `{other}` and from `{field}`; rename or omit one"
                ));
            }
        }
    }
    for name in config.constants.keys() {
        check_field_name(name)?;
        if let Some(field) = taken.get(&**name) {
            return Err(format!(
                "the constant `{name}` has the name of the field that is written from `{field}`; choose another name, or omit the field"
            ));
        }
    }
    let written = taken.into_keys().map(str::to_owned);
    Ok(written.chain(fields.iter().cloned()).chain(config.constants.keys().cloned()).collect())
}

/// The constants as members of a JSON object.
fn constants(config: &Config) -> Result<String, String> {
    let mut json = String::from("{");
    for (name, value) in &config.constants {
        write_key(&mut json, name);
        write_constant(&mut json, value)
            .map_err(|problem| format!("the constant `{name}` {problem}; {CONSTANT_KINDS}"))?;
    }
    json.remove(0);
    let most = config.max_document_chars / CONSTANTS_SHARE;
    if host_index_rules::json_dumps_escaped_len(&json) > most {
        return Err(format!("the constants are too long; they may take {most} characters of each document"));
    }
    Ok(json)
}

const CONSTANT_KINDS: &str = "a constant is a text, a number, true, false or a list of texts";

fn write_constant(json: &mut String, value: &Value) -> Result<(), &'static str> {
    let text = |json: &mut String, text: &str| {
        if text.trim().is_empty() {
            return Err("is or has an empty text");
        }
        if !text.chars().all(is_storable) {
            return Err("has a control character, which no index stores");
        }
        write_string(json, text);
        Ok(())
    };
    match value {
        Value::String(value) => text(json, value)?,
        Value::Bool(flag) => write_boolean(json, *flag),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => write_integer(json, integer),
            (None, Some(float)) if !number.is_u64() => write_float(json, float),
            _ => return Err("is a whole number beyond 64 bits"),
        },
        Value::Array(items) if !items.is_empty() => {
            json.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                text(json, item.as_str().ok_or("has an item that is not a text")?)?;
            }
            json.push(']');
        }
        Value::Array(_) => return Err("is an empty list"),
        Value::Null => return Err("is null"),
        Value::Object(_) => return Err("is an object"),
    }
    Ok(())
}

impl Names {
    fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Names::One(name) => std::slice::from_ref(name),
            Names::Several(names) => names,
        }
        .iter()
        .map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    fn refusal(json: &str) -> String {
        Config::from_json(json).expect_err(json)
    }

    #[test]
    fn names_that_cannot_be_used_are_refused_with_their_reason() {
        for (json, reason) in [
            (r#"{"rename":{"titel":"name"}}"#, "`rename` names `titel`, which is no field"),
            (r#"{"omit":["titel"]}"#, "`omit` names `titel`, which is no field"),
            (r#"{"copy":{"titel":"name"}}"#, "`copy` names `titel`, which is no field"),
            (r#"{"rename":{"sku":"code"}}"#, "`sku`, which only documents of variants have"),
            (r#"{"level":"variant","omit":["skus"]}"#, "`skus`, which only documents of products have"),
            (r#"{"rename":{"title":"the title"}}"#, "cannot be a field name"),
            (r#"{"rename":{"title":"_id"}}"#, "cannot be a field name"),
            (r#"{"copy":{"title":"marqo__x"}}"#, "cannot be a field name"),
            (r#"{"copy":{"title":["a","1"]}}"#, "cannot be a field name"),
            (r#"{"constants":{"a-b":1}}"#, "cannot be a field name"),
            (r#"{"rename":{"title":"query"}}"#, "cannot be a field name"),
            (
                r#"{"rename":{"title":"handle"}}"#,
                "`handle` would be written twice, from `handle` and from `title`",
            ),
            (r#"{"copy":{"title":"handle"}}"#, "would be written twice"),
            (r#"{"copy":{"title":"title"}}"#, "would be written twice"),
            (r#"{"rename":{"title":"x","handle":"x"}}"#, "would be written twice"),
            (
                r#"{"metafields":{"a.b":{"field":"x"}},"rename":{"title":"x"}}"#,
                "`x` would be written twice, from `title` and from `x`",
            ),
            (r#"{"constants":{"title":"a"}}"#, "the constant `title` has the name"),
            (r#"{"rename":{"title":"name"},"constants":{"name":"a"}}"#, "written from `title`"),
            (r#"{"rename":{"title":"x"},"omit":["title"]}"#, "both `rename` and `omit`"),
            (r#"{"copy":{"title":"x"},"omit":["title"]}"#, "both `copy` and `omit`"),
            (r#"{"omit":["updated_at"]}"#, "write protection"),
            (r#"{"rename":{"updated_at":"changed"}}"#, "use `copy`"),
            (r#"{"rename":{"variants":"skus2"}}"#, "not renamed or copied"),
            (r#"{"copy":{"variants":"skus2"}}"#, "not renamed or copied"),
            (r#"{"omit":["variants"],"rename":{"title":"variants"}}"#, "cannot be a field name"),
            (r#"{"constants":{"a":null}}"#, "is null"),
            (r#"{"constants":{"a":{"b":1}}}"#, "is an object"),
            (r#"{"constants":{"a":[]}}"#, "is an empty list"),
            (r#"{"constants":{"a":[1]}}"#, "has an item that is not a text"),
            (r#"{"constants":{"a":"  "}}"#, "empty text"),
            (r#"{"constants":{"a":"\u0007"}}"#, "control character"),
            (r#"{"constants":{"a":18446744073709551615}}"#, "beyond 64 bits"),
        ] {
            let error = refusal(json);
            assert!(error.contains(reason), "{json}: {error}");
        }
        let long = format!(r#"{{"constants":{{"a":"{}"}}}}"#, "é".repeat(1_600));
        assert!(refusal(&long).contains("9500 characters"), "{}", refusal(&long));
    }

    #[test]
    fn fields_may_change_places() {
        for json in [
            r#"{"rename":{"title":"handle","handle":"title"}}"#,
            r#"{"omit":["handle"],"copy":{"title":["handle","name"]}}"#,
            r#"{"rename":{"title":"name"},"copy":{"title":"title"}}"#,
            r#"{"omit":["title"],"metafields":{"a.b":{"field":"x"}},"rename":{"x":"title"}}"#,
            r#"{"omit":["variants"],"copy":{"updated_at":"changed"}}"#,
        ] {
            assert_eq!(Config::from_json(json).err(), None, "{json}");
        }
    }
}
