//! Envelopes: JSON texts with a schema number, for what processes of different versions of host exchange: queue
//! messages, job records, chunk outcomes, dead letters. The number tells a process which texts it can read
//! (`docs/compatibility.md`).

use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, Error as _},
};

/// The newest schema that this version reads, and the one that it writes. Raised only when an older version would
/// misunderstand the content. A text without a number has schema 1.
pub const SCHEMA: u32 = 1;

/// Why a text cannot be read and is left as it is: a newer version of host or another program wrote it.
#[derive(Debug, thiserror::Error)]
pub enum UnsupportedFormat {
    /// A newer version wrote it.
    #[error(
        "its schema is {schema}, and this version of host reads up to {SCHEMA}: a newer version handles it"
    )]
    Newer {
        /// The schema that it names.
        schema: u32,
    },
    /// No version of host writes such a text.
    #[error("host did not write it: {0}")]
    Foreign(#[from] serde_json::Error),
}

/// What is written: the content's fields beside the schema number.
#[derive(Serialize)]
struct Outgoing<'a, T> {
    schema: u32,
    #[serde(flatten)]
    content: &'a T,
}

/// What is read first, to decide whether the rest can be read.
#[derive(Deserialize)]
struct Schema {
    #[serde(default = "first_schema")]
    schema: u32,
}

fn first_schema() -> u32 {
    1
}

/// Plain data as JSON with its schema number.
pub fn to_envelope(content: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Outgoing { schema: SCHEMA, content })
}

/// The plain data of a text that [`to_envelope`] has written.
pub fn from_envelope<T: DeserializeOwned>(text: &str) -> Result<T, UnsupportedFormat> {
    // serde accepts an array for a struct, so `[]` would pass for an object whose fields have their defaults.
    if !text.trim_start().starts_with('{') {
        return Err(serde_json::Error::custom("it is not a JSON object").into());
    }
    let Schema { schema } = serde_json::from_str(text)?;
    if schema > SCHEMA {
        return Err(UnsupportedFormat::Newer { schema });
    }
    Ok(serde_json::from_str(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Counts;

    #[test]
    fn a_newer_schema_is_told_from_foreign_text() {
        let counts = Counts { failed: 2, ..Counts::default() };
        let text = to_envelope(&counts).unwrap();
        assert!(text.starts_with(r#"{"schema":1,"#), "{text}");
        assert_eq!(from_envelope::<Counts>(&text).unwrap(), counts);
        let without = serde_json::to_string(&counts).unwrap();
        assert_eq!(from_envelope::<Counts>(&without).unwrap(), counts, "the first versions wrote no number");

        let newer = from_envelope::<Counts>(r#"{"schema":2,"unknown":true}"#).unwrap_err();
        assert!(matches!(newer, UnsupportedFormat::Newer { schema: 2 }), "{newer}");
        for foreign in ["", "not JSON", "[]", r#"{"schema":"b"}"#, r#"{"processed":"many"}"#] {
            let error = from_envelope::<Counts>(foreign).unwrap_err();
            assert!(matches!(error, UnsupportedFormat::Foreign(_)), "{foreign}: {error}");
        }
    }
}
