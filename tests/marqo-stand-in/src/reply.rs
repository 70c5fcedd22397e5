//! Answers of the stand-in for Marqo before they become bytes, and the refusals of whole requests.

use crate::http::Response;
use crate::rules::{Answer, BODY_WRONG_TYPE, Rule};
use serde_json::{Map, Value, json};

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Body,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The rules of the table of Marqo's behaviour that were applied.
    pub(crate) met: Vec<&'static Rule>,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    Json(Value),
    Html(String),
    Text(String),
    /// JSON that is cut off in the middle.
    Cut(Value),
}

impl Reply {
    /// An answer 200 with JSON.
    pub(crate) fn json(body: Value) -> Self {
        Self::of(200, Body::Json(body))
    }

    pub(crate) fn of(status: u16, body: Body) -> Self {
        Self { status, body, headers: Vec::new(), met: Vec::new() }
    }

    /// Adds a rule that was applied.
    pub(crate) fn met(mut self, rule: &'static Rule) -> Self {
        self.met.push(rule);
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Says `__root__` for the place of what is malformed in the request, as versions after 2.13 do, in place of
    /// `body`.
    pub(crate) fn with_root_places(mut self) -> Self {
        if let (422, Body::Json(body)) = (self.status, &mut self.body) {
            body["detail"][0]["loc"][0] = json!("__root__");
        }
        self
    }

    /// An HTML page that a proxy in front of Marqo returns in place of an answer.
    pub(crate) fn page(status: u16, title: &str) -> Self {
        let page = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
        );
        Self::of(status, Body::Html(page))
    }

    /// An answer in the form of FastAPI, Marqo's web framework.
    pub(crate) fn detail(status: u16, detail: &str, rule: &'static Rule) -> Self {
        Self::of(status, Body::Json(json!({ "detail": detail }))).met(rule)
    }

    /// The refusal of the whole request by a rule. If the rule is about malformed requests, `message` is the wrong key,
    /// if there is one, and the answer has the form of pydantic, the library by which Marqo validates requests.
    pub(crate) fn refused(rule: &'static Rule, message: &str) -> Self {
        match rule.answer {
            Answer::Framework(status) => Self::detail(status, message, rule),
            Answer::Shape => {
                let key = (!message.is_empty()).then_some(message);
                Refusal::shape(rule, key.as_slice(), "extra fields not permitted", "value_error.extra").into()
            }
            _ => Refusal::new(rule, message).into(),
        }
    }

    pub(crate) fn into_response(self) -> Response {
        let (kind, bytes) = match self.body {
            Body::Json(value) => ("application/json", value.to_string().into_bytes()),
            Body::Html(page) => ("text/html", page.into_bytes()),
            Body::Text(text) => ("text/plain; charset=utf-8", text.into_bytes()),
            Body::Cut(value) => {
                let mut bytes = value.to_string().into_bytes();
                bytes.truncate(bytes.len() / 2);
                ("application/json", bytes)
            }
        };
        let mut headers = self.headers;
        headers.push(("content-type", kind.to_owned()));
        Response { status: self.status, headers, body: bytes }
    }
}

/// Why the whole request is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    rule: &'static Rule,
    /// The answer's `message`, or its `detail` if the request is malformed.
    message: Value,
}

impl Refusal {
    pub(crate) fn new(rule: &'static Rule, message: impl Into<String>) -> Self {
        Self { rule, message: Value::String(message.into()) }
    }

    /// The refusal of a malformed body in the form of pydantic; `place` are the keys that lead to what is wrong.
    pub(crate) fn shape(rule: &'static Rule, place: &[&str], message: &str, kind: &str) -> Self {
        let place: Vec<&str> = std::iter::once("body").chain(place.iter().copied()).collect();
        Self { rule, message: json!([{ "loc": place, "msg": message, "type": kind }]) }
    }

    /// The refusal of a value of the wrong type.
    pub(crate) fn wrong_type(place: &[&str], expected: &str) -> Self {
        let kind = format!("type_error.{expected}");
        Self::shape(&BODY_WRONG_TYPE, place, &format!("value is not a valid {expected}"), &kind)
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let (status, body) = match refusal.rule.answer {
            Answer::Whole { status, code, kind } => {
                (status, json!({ "message": refusal.message, "code": code, "type": kind, "link": null }))
            }
            _ => (
                422,
                json!({
                    "detail": refusal.message,
                    "code": "unprocessable_entity",
                    "type": "invalid_request",
                    "link": "",
                }),
            ),
        };
        Self::of(status, Body::Json(body)).met(refusal.rule)
    }
}

/// Status and code with which a rule refuses an item.
pub(crate) fn item_answer(rule: &'static Rule) -> (u16, Option<&'static str>) {
    match rule.answer {
        Answer::Item { status, code, .. } => (status, code),
        _ => (500, None),
    }
}

/// Adds the headers `x-count-*`, which count the statuses of the items. An item without a status is a document that was
/// read.
pub(crate) fn counted(reply: Reply, items: &[Value]) -> Reply {
    let [mut success, mut failure, mut error] = [0_usize; 3];
    for item in items {
        match item["status"].as_u64().unwrap_or(200) {
            ..400 => success += 1,
            400..500 => failure += 1,
            _ => error += 1,
        }
    }
    reply
        .header("x-count-success", success)
        .header("x-count-failure", failure)
        .header("x-count-error", error)
        .met(&crate::rules::COUNT_HEADERS)
}

/// A JSON object from pairs, without those that are null.
pub(crate) fn object<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    let present = pairs.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(present.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
}
