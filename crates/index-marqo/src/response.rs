//! Parses bodies of answers, and assigns items to their documents.

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use std::{borrow::Cow, collections::HashMap};

/// Most characters of a body that are quoted.
const EXCERPT: usize = 200;

/// Code and message of a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Option<String>,
    pub(super) message: String,
}

impl Refusal {
    /// Of a whole answer, in any of the shapes that servers and proxies use.
    pub(super) fn of_body(body: &[u8]) -> Self {
        let Ok(Value::Object(body_)) = serde_json::from_slice::<Value>(body) else {
            return Self { code: None, message: excerpt(body) };
        };
        let text = |key: &str| body_.get(key).and_then(Value::as_str).map(str::to_owned);
        let detail = || match body_.get("detail") {
            Some(Value::String(detail)) => Some(detail.clone()),
            other => other.map(Value::to_string),
        };
        let message = text("message").or_else(detail).unwrap_or_else(|| excerpt(body));
        Self { code: text("code"), message }
    }

    /// The code as this program spells codes.
    pub(super) fn kebab_code(&self, otherwise: &str) -> String {
        self.code.as_deref().filter(|code| !code.is_empty()).unwrap_or(otherwise).replace('_', "-")
    }
}

/// The beginning of a text that may be anything.
pub(super) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(EXCERPT * 4)]);
    let mut excerpt: String = text.chars().take(EXCERPT).collect();
    if excerpt.len() < body.len() {
        excerpt.push('…');
    }
    excerpt
}

/// A readable message: the texts of the server's own checks where it is their JSON, and the two ends of a long text.
pub(super) fn plain(message: &str) -> String {
    #[derive(Deserialize)]
    struct Complaint {
        msg: String,
    }
    let message = match serde_json::from_str::<Vec<Complaint>>(message) {
        Ok(complaints) => {
            complaints.into_iter().map(|complaint| complaint.msg).collect::<Vec<_>>().join("; ")
        }
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

/// The answer to an add, PATCH or delete.
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
    /// For each id that was sent, its item, if exactly one can belong to it. Ids that were sent are
    /// distinct; the server names some of them `""`, and then only their order identifies them.
    pub(super) fn by_document(self, sent: &[&str]) -> Vec<Option<Item>> {
        if self.items.iter().map(|item| item.id.as_ref()).eq(sent.iter().copied()) {
            return self.items.into_iter().map(|raw| Some(raw.into())).collect();
        }
        let positions: HashMap<&str, usize> =
            sent.iter().enumerate().map(|(position, id)| (*id, position)).collect();
        let mut found: Vec<Option<Item>> = vec![None; sent.len()];
        let mut nameless = Vec::new();
        let is_whole = self.items.len() == sent.len();
        for (item_position, raw) in self.items.into_iter().enumerate() {
            match positions.get(raw.id.as_ref()) {
                Some(&position) => found[position] = Some(raw.into()),
                // In a whole answer in order, the neighbours prove the position.
                None => nameless.push((item_position, Item::from(raw))),
            }
        }
        if is_whole {
            let free: Vec<usize> = (0..sent.len()).filter(|&position| found[position].is_none()).collect();
            let in_place = nameless.iter().all(|(position, _)| found[*position].is_none());
            for (nth, (item_position, item)) in nameless.into_iter().enumerate() {
                // Each item has one document and each document one item, so those left over belong to each other.
                let position = if in_place { Some(item_position) } else { free.get(nth).copied() };
                if let Some(position) = position {
                    found[position] = Some(item);
                }
            }
        }
        found
    }
}

/// The answer to a get of many.
#[derive(Debug, Deserialize)]
pub(super) struct Results<'a> {
    /// Values stay text until they are used: documents are large and vectors larger.
    #[serde(borrow)]
    pub(super) results: Vec<Fields<'a>>,
}

/// A document as it is answered.
pub(super) type Fields<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

/// A field as text.
pub(super) fn text(fields: &Fields<'_>, name: &str) -> Option<String> {
    serde_json::from_str(fields.get(name)?.get()).ok()
}

/// Whether the index has it.
pub(super) fn is_found(fields: &Fields<'_>) -> bool {
    fields.get("_found").is_some_and(|found| found.get() == "true")
}

/// A document as it is kept.
pub(super) fn document(fields: &Fields<'_>) -> serde_json::Result<Map<String, Value>> {
    let kept = fields.iter().filter(|(name, _)| name.as_ref() != "_found");
    kept.map(|(name, value)| Ok((name.to_string(), serde_json::from_str(value.get())?))).collect()
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
    fn a_message_is_made_plain() {
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
        // Those without a name sank to the end.
        assert_eq!(
            statuses(&format!("[{a},{b},{empty}]"), &["c", "a", "b"]),
            [Some(400), Some(200), Some(201)]
        );
        assert_eq!(
            statuses(&format!("[{b},{empty},{empty_too}]"), &["c", "d", "b"]),
            [Some(400), Some(401), Some(201)]
        );
        // Too few: only names count.
        assert_eq!(statuses(&format!("[{b}]"), &["a", "b"]), [None, Some(201)]);
        assert_eq!(statuses(&format!("[{empty}]"), &["a", "b"]), [None, None]);
        assert_eq!(statuses("[]", &["a"]), [None]);
    }
}
