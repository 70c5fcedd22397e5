//! Parses the bodies of answers, and assigns the items of an answer (its parts, each about one document) to the
//! documents sent.

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use std::{borrow::Cow, collections::HashMap};

/// Most characters of a body that a message quotes.
const EXCERPT: usize = 200;

/// Code and message of an answer or item that is not a success; the code is `None` where the server gives none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Option<String>,
    pub(super) message: String,
}

impl Refusal {
    /// Reads the body of a whole answer, in any of the shapes that servers and proxies use.
    pub(super) fn of_body(body: &[u8]) -> Self {
        let Ok(Value::Object(object)) = serde_json::from_slice::<Value>(body) else {
            return Self { code: None, message: excerpt(body) };
        };
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let detail = || match object.get("detail") {
            Some(Value::String(detail)) => Some(detail.clone()),
            other => other.map(Value::to_string),
        };
        let message = text("message").or_else(detail).unwrap_or_else(|| excerpt(body));
        Self { code: text("code"), message }
    }

    /// The code in kebab-case, as in all reports of the host; `otherwise` if there is none.
    pub(super) fn kebab_code(&self, otherwise: &str) -> String {
        self.code.as_deref().filter(|code| !code.is_empty()).unwrap_or(otherwise).replace('_', "-")
    }
}

/// The beginning of a body, which need not be text.
pub(super) fn excerpt(body: &[u8]) -> String {
    // A character has 4 bytes at most.
    let text = String::from_utf8_lossy(&body[..body.len().min(EXCERPT * 4)]);
    let mut excerpt: String = text.chars().take(EXCERPT).collect();
    if excerpt.len() < body.len() {
        excerpt.push('…');
    }
    excerpt
}

/// A message for people. Where the server passes on its validation errors as a JSON list, their texts; of a long text,
/// both ends.
pub(super) fn plain(message: &str) -> String {
    #[derive(Deserialize)]
    struct ValidationError {
        msg: String,
    }
    let message = match serde_json::from_str::<Vec<ValidationError>>(message) {
        Ok(errors) => errors.into_iter().map(|error| error.msg).collect::<Vec<_>>().join("; "),
        Err(_) => message.to_owned(),
    };
    let length = message.chars().count();
    if length <= 3 * EXCERPT {
        return message;
    }
    let start: String = message.chars().take(2 * EXCERPT).collect();
    let end: String = message.chars().skip(length - EXCERPT).collect();
    format!("{start} … {end}")
}

/// The answer to an add, update or delete.
#[derive(Debug, Deserialize)]
pub(super) struct Items<'a> {
    #[serde(borrow)]
    items: Vec<RawItem<'a>>,
    #[serde(rename = "processingTimeMs")]
    pub(super) processing_time_ms: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct RawItem<'a> {
    status: u16,
    #[serde(rename = "_id", default, borrow)]
    id: Cow<'a, str>,
    message: Option<String>,
    error: Option<String>,
    code: Option<String>,
    result: Option<String>,
}

/// What an answer says of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) status: u16,
    pub(super) refusal: Refusal,
}

impl From<RawItem<'_>> for Item {
    fn from(raw: RawItem<'_>) -> Self {
        let message = raw.message.or(raw.error).or(raw.result).unwrap_or_default();
        Self { status: raw.status, refusal: Refusal { code: raw.code, message } }
    }
}

impl Items<'_> {
    /// For each id that was sent, its item; `None` if it is not clear which one belongs to it. The ids that were sent
    /// are distinct, but items of invalid documents may have the id `""`, and then only their order identifies them.
    pub(super) fn by_document(self, sent: &[&str]) -> Vec<Option<Item>> {
        if self.items.iter().map(|item| item.id.as_ref()).eq(sent.iter().copied()) {
            return self.items.into_iter().map(|raw| Some(raw.into())).collect();
        }
        let positions: HashMap<&str, usize> =
            sent.iter().enumerate().map(|(position, id)| (*id, position)).collect();
        let mut found: Vec<Option<Item>> = vec![None; sent.len()];
        let mut nameless = Vec::new();
        let is_complete = self.items.len() == sent.len();
        for (item_position, raw) in self.items.into_iter().enumerate() {
            match positions.get(raw.id.as_ref()) {
                Some(&position) => found[position] = Some(raw.into()),
                // In a complete answer whose order is that of the request, its position identifies it.
                None => nameless.push((item_position, Item::from(raw))),
            }
        }
        if is_complete {
            let free: Vec<usize> = (0..sent.len()).filter(|&position| found[position].is_none()).collect();
            let in_place = nameless.iter().all(|(position, _)| found[*position].is_none());
            for (nth, (item_position, item)) in nameless.into_iter().enumerate() {
                // As many items are left over as documents, and they are in the same order.
                let position = if in_place { Some(item_position) } else { free.get(nth).copied() };
                if let Some(position) = position {
                    found[position] = Some(item);
                }
            }
        }
        found
    }
}

/// The answer to a read of several documents.
#[derive(Debug, Deserialize)]
pub(super) struct Results<'a> {
    /// One for each id. Values are parsed only when they are used: documents are large and vectors larger.
    #[serde(borrow)]
    pub(super) results: Vec<Fields<'a>>,
}

/// The fields of a document in an answer, and `_found`, which says whether there is such a document.
pub(super) type Fields<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

/// The value of a field that is a string; `None` otherwise.
pub(super) fn text(fields: &Fields<'_>, name: &str) -> Option<String> {
    serde_json::from_str(fields.get(name)?.get()).ok()
}

/// Whether the index has the document.
pub(super) fn is_found(fields: &Fields<'_>) -> bool {
    fields.get("_found").is_some_and(|found| found.get() == "true")
}

/// The document itself, without `_found`.
pub(super) fn document(fields: &Fields<'_>) -> serde_json::Result<Map<String, Value>> {
    let own = fields.iter().filter(|(name, _)| name.as_ref() != "_found");
    own.map(|(name, value)| Ok((name.to_string(), serde_json::from_str(value.get())?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_from_every_shape() {
        for (body, code, message) in [
            (r#"{"message":"m","code":"c","type":"t","link":null}"#, Some("c"), "m"),
            (r#"{"message":"m","code":null,"type":null,"link":""}"#, None, "m"),
            (r#"{"detail":"Not Found"}"#, None, "Not Found"),
            (
                r#"{"detail":[{"loc":["body"],"msg":"x"}],"code":"unprocessable_entity"}"#,
                Some("unprocessable_entity"),
                r#"[{"loc":["body"],"msg":"x"}]"#,
            ),
            ("Internal Server Error", None, "Internal Server Error"),
            ("<html>502</html>", None, "<html>502</html>"),
            ("[1]", None, "[1]"),
            (r#"{"a":1}"#, None, r#"{"a":1}"#),
            ("", None, ""),
        ] {
            let expected = Refusal { code: code.map(str::to_owned), message: message.to_owned() };
            assert_eq!(Refusal::of_body(body.as_bytes()), expected);
        }
        assert_eq!(excerpt("é".repeat(500).as_bytes()), format!("{}…", "é".repeat(200)));
        assert_eq!(excerpt(&[0xff, 0xfe]), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_message_is_readable_and_bounded() {
        assert_eq!(plain("Field content `None`"), "Field content `None`");
        assert_eq!(
            plain(r#"[{"loc":["__root__"],"msg":"too short","type":"x"},{"msg":"b"}]"#),
            "too short; b"
        );
        assert_eq!(plain("[1.0] is too short"), "[1.0] is too short");
        let long = format!("begin {} end", "é".repeat(5000));
        let plain = plain(&long);
        assert!(plain.starts_with("begin é") && plain.ends_with("é end"), "{plain}");
        assert_eq!(plain.chars().count(), 3 * EXCERPT + 3);
    }

    fn statuses(items: &str, sent: &[&str]) -> Vec<Option<u16>> {
        let answer = format!(r#"{{"items":{items}}}"#);
        let items: Items<'_> = serde_json::from_str(&answer).unwrap();
        items.by_document(sent).into_iter().map(|item| item.map(|item| item.status)).collect()
    }

    #[test]
    fn items_find_their_documents() {
        let [a, b, empty] = [(200, "a"), (201, "b"), (400, "")]
            .map(|(status, id)| format!(r#"{{"status":{status},"_id":"{id}"}}"#));
        let empty_too = r#"{"status":401,"_id":""}"#;
        // In order.
        assert_eq!(statuses(&format!("[{a},{b}]"), &["a", "b"]), [Some(200), Some(201)]);
        // By position.
        assert_eq!(
            statuses(&format!("[{a},{empty},{b}]"), &["a", "c", "b"]),
            [Some(200), Some(400), Some(201)]
        );
        // Those without an id come last, whatever their place in the request.
        assert_eq!(
            statuses(&format!("[{a},{b},{empty}]"), &["c", "a", "b"]),
            [Some(400), Some(200), Some(201)]
        );
        assert_eq!(
            statuses(&format!("[{b},{empty},{empty_too}]"), &["c", "d", "b"]),
            [Some(400), Some(401), Some(201)]
        );
        // Too few items: only their ids say where they belong.
        assert_eq!(statuses(&format!("[{b}]"), &["a", "b"]), [None, Some(201)]);
        assert_eq!(statuses(&format!("[{empty}]"), &["a", "b"]), [None, None]);
        assert_eq!(statuses("[]", &["a"]), [None]);
    }
}
